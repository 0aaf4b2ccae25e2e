"""What the receiver of callbacks refuses, and its bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from cli_process import until
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_conformance.mock import Server
from receivers import JSON, KEY, Receiver, Upstream, post, received
from served import document


def test_refusals() -> None:
    """Wrong paths, methods, media types, sizes and bodies are refused and cause no fetch."""
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream)
        with Server(one.app) as own:
            url, good = one.app.url(own), document("running")
            large = b" " * (1 << 20) + good
            gzip = JSON | {"Content-Encoding": "gzip"}
            refused: dict[int, list[tuple[Any, ...]]] = {
                404: [(f"{own}/", good), (f"{url}x", good), (url[:-1], good), (f"{url}/", good)],
                405: [(url, b"", {}, "GET"), (url, b"", {}, "HEAD"), (url, good, JSON, "PUT")],
                415: [
                    (url, good, {"Content-Type": "text/plain"}),
                    (url, good, gzip),
                ],
                413: [(url, iter([large[:-1], large]), JSON)],
                400: [
                    *((url, body) for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"id": null}')),
                    (url, b"[" * 1000 + b"]" * 1000),
                    (url, document("running", "")),
                    (url, document("running", "9" * 201)),
                ],
                204: [(url, good, {}), (url, good, {"Content-Type": "application/hal+json; charset=utf-8"})],
            }
            for status, sent in refused.items():
                for arguments in sent:
                    found, body = post(*arguments)
                    assert found == status, arguments
                    assert KEY.encode() not in body
            until(lambda: one.tasks)
    assert set(upstream.asked) == {"1"}


def test_a_declared_size_beyond_the_limit_is_refused_before_the_body() -> None:
    """A Content-Length above 1 MiB is a 413 although no byte of the body was sent."""
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream)
        with Server(one.app) as own:
            status, _ = post(one.app.url(own), b"", JSON | {"Content-Length": str((1 << 20) + 1)})
    assert status == 413


def test_slow_and_many_bodies_are_bounded() -> None:
    """A body that stops is a 408, and all bodies in progress together have a limit."""

    async def main() -> None:
        async with received() as one:
            one.app._timeout = 0.05
            started, stopped = asyncio.Event(), list[int]()

            def slow(piece: bytes) -> Any:
                turn = iter([{"type": "http.request", "body": piece, "more_body": True}])

                async def receive() -> Any:
                    for message in turn:
                        return message
                    started.set()
                    return await asyncio.Event().wait()

                async def send(message: Any) -> None:
                    stopped.extend([message["status"]] if "status" in message else [])

                return one.app(
                    {"type": "http", "method": "POST", "path": one.path(), "headers": []}, receive, send
                )

            await asyncio.gather(*(slow(b"x" * (1 << 20)) for _ in range(40)))
            assert sorted(stopped) == [408] * 32 + [503] * 8
            assert await one.post(document("succeeded")) == 204  # all is given back
            await one.settle()

    asyncio.run(main())


def test_lifespan() -> None:
    """Served alone, the app confirms the start and the end, and stops its fetches."""

    async def main() -> None:
        async with received() as one:
            kinds = iter(["lifespan.startup", "lifespan.shutdown"])
            sent: list[str] = []

            async def receive() -> Any:
                return {"type": next(kinds)}

            async def send(message: Any) -> None:
                sent.append(message["type"])

            await one.post(document("running"))
            await one.app({"type": "lifespan"}, receive, send)
            assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
            assert not one.app._inboxes["main"]._workers
            with pytest.raises(ValueError, match="websocket"):
                await one.app({"type": "websocket"}, receive, send)

    asyncio.run(main())


VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda one: st.dictionaries(st.text(), one))
ANY = Receiver("http://127.0.0.1:9", Upstream())


@settings(deadline=None)
@given(
    body=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps({"id": value, "status": value}).encode()),
    path=st.text(max_size=50),
)
def test_any_body_and_path(body: bytes, path: str) -> None:
    """Foreign bytes never raise: the reply is one of the documented ones."""

    async def main() -> None:
        assert await ANY.post(body, path or "/") == 404
        assert await ANY.post(body) in {204, 400}
        await ANY.app.aclose()

    asyncio.run(main())
