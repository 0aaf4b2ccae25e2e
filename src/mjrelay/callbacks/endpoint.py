"""The ASGI side of callbacks: routes, and bodies bounded in size, time and memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Reply = tuple[int, str]
"""The status code of a response, and its text."""

LARGEST_BODY = 1024 * 1024
"""Maximum size of the body of a callback, in bytes."""

MOST_BUFFERED = 32 * LARGEST_BODY
"""Maximum size of all bodies that are being received, in bytes."""

_JSON = re.compile(r"application/(?:[\w.!#$&^-]+\+)?json", re.IGNORECASE)


class _RefusedError(Exception):
    """A request is refused with a status code and a text; its body was not read to the end."""


class CallbackEndpoint(Generic[T]):
    """
    An ASGI app that receives callbacks and hands over their bodies. Use it in one event loop at a time.

    Args:
        find: Returns what a path belongs to, or None for a 404.
        handle: Called with what ``find`` returned and the body; returns the reply.
        timeout: Seconds to receive a body.
    """

    def __init__(
        self,
        find: Callable[[str], T | None],
        handle: Callable[[T, bytes], Awaitable[Reply]],
        *,
        timeout: float = 10.0,
    ) -> None:
        self._find, self._handle, self._timeout = find, handle, timeout
        self._buffered = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case other:
                raise ValueError(f"unsupported ASGI connection type {other}; send HTTP requests")

    async def aclose(self) -> None:
        """Stop what the app has started; called when the server stops, unless the app is mounted."""

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        fields: list[tuple[str, str]] = []
        try:
            status, text = await self._reply(scope, receive)
        except _RefusedError as refused:
            (status, text), fields = refused.args, [("connection", "close")]
        except ConnectionError:  # the client has disconnected
            return
        if status == 405:
            fields.append(("allow", "POST"))
        body = f"{text}\n".encode() if text else b""
        if status != 204:
            fields += [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body)))]
        headers = [(name.encode(), value.encode()) for name, value in fields]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _reply(self, scope: MutableMapping[str, Any], receive: Receive) -> Reply:
        found = self._find(scope["path"])
        if found is None:
            raise _RefusedError(404, "not found")
        if scope["method"] != "POST":
            raise _RefusedError(405, "send a POST request")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        media_type = headers.get("content-type", "").partition(";")[0].strip()
        if (media_type and not _JSON.fullmatch(media_type)) or "content-encoding" in headers:
            raise _RefusedError(415, "send application/json without a content coding")
        if (length := headers.get("content-length", "")).isdecimal() and int(length[:20]) > LARGEST_BODY:
            raise _RefusedError(413, f"the limit is {LARGEST_BODY} bytes")
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout):
                await self._read_into(body, receive)
            return await self._handle(found, bytes(body))
        except TimeoutError:
            raise _RefusedError(408, "the body was not received in time") from None
        finally:
            self._buffered -= len(body)

    async def _read_into(self, body: bytearray, receive: Receive) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            piece = message.get("body", b"")
            if len(body) + len(piece) > LARGEST_BODY:
                raise _RefusedError(413, f"the limit is {LARGEST_BODY} bytes")
            if self._buffered + len(piece) > MOST_BUFFERED:
                raise _RefusedError(503, "too many requests are being received")
            body += piece
            self._buffered += len(piece)
            more = message.get("more_body", False)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                await self.aclose()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
