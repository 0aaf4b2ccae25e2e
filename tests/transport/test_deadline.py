"""Deadlines hold at every step of an exchange; for every transport."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import pytest
from peers import Peer, always, drip, response, silent
from senders import MakeSender, with_uvloop


@pytest.mark.parametrize(
    ("serve", "status"),
    [
        pytest.param(silent, None, id="silence"),
        pytest.param(drip(b"", b"H"), None, id="bytes-without-end-of-line"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), None, id="head"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n"), None, id="fields"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1), None, id="100-continue"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"), 200, id="body"),
        pytest.param(
            drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
            200,
            id="chunks",
        ),
    ],
)
def test_the_deadline_bounds_the_exchange(make: MakeSender, serve: Any, status: int | None) -> None:
    """A server that sends a little at a time does not extend the deadline."""
    with Peer(serve) as peer:
        sender = make(peer.origin)
        started = time.monotonic()
        exchange = sender.send(timeout=0.4)
        took = time.monotonic() - started
    assert 0.35 < took < 5
    assert exchange.failure == "no complete response within 0.4 seconds"
    assert exchange.status in {status, None}
    assert 0.35 < exchange.elapsed < 5


@with_uvloop
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_deadline_bounds_connecting(make: MakeSender, scheme: str) -> None:
    """A host that accepts no connection, or never completes the TLS handshake, is given up in time."""
    with contextlib.ExitStack() as open_:
        full = open_.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        if scheme == "http":
            for _ in range(4):  # who comes after these is not answered at all
                filling = open_.enter_context(socket.socket())
                filling.setblocking(False)
                filling.connect_ex(full.getsockname())
        sender = make(f"{scheme}://127.0.0.1:{full.getsockname()[1]}", verify=False)
        started = time.monotonic()
        exchange = sender.send(timeout=0.4)
        assert 0.3 < time.monotonic() - started < 5
    assert exchange.status is None
    assert exchange.failure is not None


@pytest.mark.parametrize("timeout", [1e-3, 1e-6, 1e-9])
def test_a_tiny_timeout(make: MakeSender, timeout: float) -> None:
    """A timeout near 0 is a failure, and the transport works afterwards."""
    with Peer(lambda peer, client, n: peer.pause(0.1) or always(response())(peer, client, n)) as peer:
        sender = make(peer.origin, connections=1)
        for _ in range(5):
            assert sender.send(timeout=timeout).failure is not None
        assert sender.send().failure is None
        assert sender.send(timeout=timeout).status in {None, 200}
        assert sender.send().failure is None
