"""The parts of an ASGI application that do not depend on the contract."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_REQUEST = 32 * 1024 * 1024
"""Maximum size of a request body in bytes; a submission may hold several images in base64."""


class TooLargeError(Exception):
    """A request body is larger than `LARGEST_REQUEST`."""


async def read_body(receive: Receive) -> bytes | None:
    """Return the body of a request, or None if the client has disconnected; raise `TooLargeError`."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > LARGEST_REQUEST:
            raise TooLargeError
        if not message.get("more_body", False):
            return bytes(body)


async def refuse_body(send: Send) -> None:
    """Answer a request whose body is too large, and close the connection."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body"})


async def wait_for_disconnect(receive: Receive, seconds: float) -> None:
    """Wait until the client disconnects, but no longer than ``seconds``."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                continue


async def serve_lifespan(receive: Receive, send: Send) -> None:
    """Confirm the start and the end of the server."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
