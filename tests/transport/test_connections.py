"""Connections are reused, bounded and never the cause of a second POST; for every transport."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from peers import Peer, always, closed_port, reset, response
from senders import Kind, MakeSender, make_request, with_uvloop

from mjrelay.errors import SettingError

if TYPE_CHECKING:
    import socket

    from mjrelay.http.exchange import Exchange


def close_after_one(peer: Peer, client: socket.socket, number: int) -> None:
    """Close the first connection at its second request; answer all others."""
    while peer.receive(client):
        if number == 1 and len(peer.requests) == 2:
            return
        client.sendall(response())


def test_connections_are_reused(make: MakeSender) -> None:
    """Consecutive requests share a connection, also after an error response."""
    with Peer(always(response(b"no", status=b"500 Internal Server Error"))) as peer:
        sender = make(peer.origin)
        assert [sender.send().status for _ in range(5)] == [500] * 5
    assert peer.connections == 1


@with_uvloop
@pytest.mark.parametrize("last", [b"Connection: close", b"X: 1"])
def test_a_closed_connection_is_not_reused(make: MakeSender, last: bytes) -> None:
    """A connection that the server closes, announced or not, fails no request, not even a POST."""
    with Peer(always(response(b"{}", last), close=True)) as peer:
        sender = make(peer.origin)
        for _ in range(3):
            assert sender.send(make_request("POST", b"{}")).failure is None
            sender.settle()
    assert (peer.connections, len(peer.requests)) == (3, 3)


@with_uvloop
def test_a_get_is_sent_again_once(make: MakeSender) -> None:
    """A GET on a reused connection that turns out to be closed is sent again on a new one, once."""
    with Peer(close_after_one) as peer:
        sender = make(peer.origin)
        assert [sender.send().failure for _ in range(3)] == [None] * 3
    assert (peer.connections, len(peer.requests)) == (2, 4)

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        while peer.receive(client) and len(peer.requests) == 1:
            client.sendall(response())

    with Peer(serve) as peer:
        sender = make(peer.origin)
        assert [sender.send().failure is None for _ in range(2)] == [True, False]
    assert (peer.connections, len(peer.requests)) == (2, 3)


def test_a_post_is_not_sent_again(make: MakeSender) -> None:
    """A POST may have been executed, so it is not sent again."""
    with Peer(close_after_one) as peer:
        sender = make(peer.origin)
        sender.send(make_request("POST", b"{}"))
        exchange = sender.send(make_request("POST", b"{}"))
    assert (exchange.status, exchange.failure is None) == (None, False)
    assert (peer.connections, len(peer.requests)) == (1, 2)


@with_uvloop
def test_a_new_connection_is_not_replaced(make: MakeSender) -> None:
    """A request that fails on a new connection is not sent again."""
    with Peer(lambda peer, client, _: peer.receive(client)) as peer:
        exchange = make(peer.origin).send()
    assert exchange.status is None
    assert exchange.failure is not None
    assert (peer.connections, len(peer.requests)) == (1, 1)


@with_uvloop
def test_a_server_that_closes_immediately(make: MakeSender) -> None:
    """A connection that ends or is reset before the request is sent fails before the deadline."""
    for serve in (lambda *_: None, reset):
        with Peer(serve) as peer:
            sender = make(peer.origin)
            for _ in range(20):
                exchange = sender.send()
                assert (exchange.status, exchange.failure is None) == (None, False)
                assert exchange.elapsed < 5


def test_a_truncated_response_is_not_requested_again(make: MakeSender, kind: Kind) -> None:
    """After the first byte of a response the request is not sent again."""
    if kind.fast:
        pytest.skip("pyreqwest does not report half a head")

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        client.sendall(response())
        peer.receive(client)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-")

    with Peer(serve) as peer:
        sender = make(peer.origin)
        sender.send()
        assert sender.send().failure is not None
    assert (peer.connections, len(peer.requests)) == (1, 2)


@pytest.mark.parametrize("apart", [False, True], ids=["glued", "later"])
def test_unexpected_bytes_are_no_response(make: MakeSender, apart: bool) -> None:
    """A second response, glued to the first or sent later, is not taken for that of the next request."""

    def serve(peer: Peer, client: socket.socket, number: int) -> None:
        while peer.receive(client):
            client.sendall(response(b"%d" % number) + (b"" if apart else response(b"stray")))
            if apart:
                peer.pause(0.03)
                client.sendall(response(b"stray"))

    with Peer(serve) as peer:
        sender = make(peer.origin)
        bodies = []
        for _ in range(3):
            bodies.append(sender.send().body)
            sender.settle()
    assert bodies == [b"1", b"2", b"3"]


@with_uvloop
def test_no_server(make: MakeSender) -> None:
    """A closed port and an unknown host are failures that name the host."""
    with closed_port() as origin:
        assert origin[7:] in (make(origin).send().failure or "")
    assert "no-such-host.invalid" in (make("http://no-such-host.invalid").send().failure or "")


@with_uvloop
def test_many_concurrent_requests(make: MakeSender) -> None:
    """Of 2,000 requests, 100 at a time, all succeed over at most 100 connections."""
    with Peer(always(response(b'{"id": "1"}'))) as peer:
        exchanges = make(peer.origin).many(2000, 100)
    assert {(one.status, one.body, one.failure) for one in exchanges} == {(200, b'{"id": "1"}', None)}
    assert (len(peer.requests), peer.connections <= 100) == (2000, True)


@with_uvloop
def test_connections_are_bounded(make: MakeSender) -> None:
    """Requests beyond the allowed connections wait, within their own deadline."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        while peer.receive(client):
            peer.pause(0.05)
            client.sendall(response())

    with Peer(serve) as peer:
        sender = make(peer.origin, connections=2)
        assert {one.failure for one in sender.many(8, 8)} == {None}
        late = [one for one in sender.many(8, 8, timeout=0.12) if one.failure]
    assert late
    assert {one.failure for one in late} == {"no complete response within 0.12 seconds"}
    assert peer.connections <= 2 + len(late)


@pytest.mark.parametrize("route", ["own", "client", "proxy"])
def test_a_closed_transport(make_routed: MakeSender, route: str) -> None:
    """After `close`, which may be called twice, a request is a `SettingError`."""
    with Peer(always(response())) as peer:
        sender = make_routed(peer, route)
        assert sender.send().failure is None
        sender.close()
        sender.close()
        with pytest.raises(SettingError, match="this relay is closed; create a new one"):
            sender.send()
    assert len(peer.requests) == 1


@with_uvloop
def test_close_during_an_exchange(make: MakeSender) -> None:
    """Closing the transport does not end an exchange in progress."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        asked.set()
        peer.pause(0.2)
        client.sendall(response())

    asked = threading.Event()
    with Peer(serve) as peer:
        sender = make(peer.origin)
        if sender.runner is None:
            with ThreadPoolExecutor(1) as threads:
                sent = threads.submit(sender.send)
                asked.wait(30)
                sender.close()
                exchange = sent.result()
        else:

            async def both() -> Exchange:
                sent = asyncio.create_task(sender.transport.send(make_request(), 30.0))
                await asyncio.to_thread(asked.wait, 30)
                await sender.transport.close()
                exchange: Exchange = await sent
                return exchange

            exchange = sender.runner.run(both())
    assert (exchange.status, exchange.failure) == (200, None)
