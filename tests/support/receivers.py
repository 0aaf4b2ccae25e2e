"""A receiver of callbacks, and the relay from which it fetches."""

from __future__ import annotations

import asyncio
import http.client
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from mjrelay_conformance.mock import Server
from served import document

from mjrelay import AsyncRelay, Task, callbacks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


KEY = "sk-never-to-be-seen-4711"
JSON = {"Content-Type": "application/json"}


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    pytest.fail("it never came")


class Upstream:
    """A relay that has every task in the state that ``states`` names; the default is succeeded."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self.delay = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task_id = scope["path"].split("/")[-2]
        self.asked.append(task_id)
        self.keys.add(dict(scope["headers"]).get(b"authorization", b"").decode())
        body = document(self.states.get(task_id, "succeeded"), task_id)
        await asyncio.sleep(self.delay)
        fields = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})


class Receiver:
    """A receiver with its upstream and a record of what it handed over. Nothing waits for the rate."""

    def __init__(self, base_url: str, upstream: Upstream, **options: Any) -> None:
        self.upstream, self.tasks = upstream, list[Task]()
        self.relay = AsyncRelay("zhongzhuan", KEY, base_url=base_url)
        options = {"on_task": self.tasks.append, "rate": None} | options
        self.app = callbacks.app({"main": self.relay}, **options)

    def path(self) -> str:
        return urlsplit(self.app.url("http://127.0.0.1/hooks")).path

    async def post(self, body: bytes, path: str | None = None, **scope: Any) -> int:
        """Send a request without a socket; return the status."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        fields = {"type": "http", "method": "POST", "path": path or self.path(), "headers": []}
        await self.app({**fields, **scope}, receive, send)
        return int(sent[0]["status"])

    async def settle(self) -> None:
        """Wait until no fetch is due or in flight."""
        await eventually(lambda: not any(one._workers for one in self.app._inboxes.values()))


@asynccontextmanager
async def received(**options: Any) -> AsyncIterator[Receiver]:
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream, **options)
        try:
            yield one
        finally:
            await one.app.aclose()
            await one.relay.aclose()


def post(url: str, body: Any, headers: dict[str, str] = JSON, method: str = "POST") -> tuple[int, bytes]:
    """Send a request over a socket; return the status and the body."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before the body was sent
            connection.request(method, parts.path, body, headers, encode_chunked=not isinstance(body, bytes))
        response = connection.getresponse()
        return response.status, response.read()
