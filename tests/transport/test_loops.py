"""Cancellation, interrupts, event loops and frames."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from peers import HEAD, Peer, always, response
from senders import KEY, Kind, make_request, with_uvloop

from mjrelay.http.redaction import Redactor
from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.transport import TransportConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.http.exchange import Exchange


@with_uvloop
def test_a_cancelled_request(kind: Kind) -> None:
    """After a cancellation at any moment the transport works, with all its slots."""
    if not kind.asynchronous:
        pytest.skip("threads are not cancelled")

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        while peer.receive(client):
            peer.pause(0.02)
            client.sendall(HEAD + b"Content-Length: 2\r\n\r\n{")
            peer.pause(0.02)
            client.sendall(b"}")

    async def main(origin: str) -> None:
        transport = connect_async(TransportConfig(origin, Redactor(KEY), connections=2), fast=kind.fast)
        for delay in (0, 0.001, 0.01, 0.03):
            tasks = [asyncio.create_task(transport.send(make_request(), 30.0)) for _ in range(4)]
            await asyncio.sleep(delay)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended)
            after = await asyncio.gather(*(transport.send(make_request(), 30.0) for _ in range(4)))
            assert {(one.status, one.body, one.failure) for one in after} == {(200, b"{}", None)}
        await transport.close()

    with Peer(serve) as peer:
        kind.run(main(peer.origin))


@with_uvloop
def test_an_interrupt(kind: Kind, request: pytest.FixtureRequest) -> None:
    """KeyboardInterrupt leaves `send` immediately, and the transport, with one slot, works afterwards."""
    if kind.asynchronous or kind.fast:
        pytest.skip("the event loop, or the client, turns an interrupt into something else")

    def serve(peer: Peer, client: socket.socket, number: int) -> None:
        while peer.receive(client):
            if number == 1:
                asked.set()
                peer.pause()
            client.sendall(response())

    asked = threading.Event()

    def interrupt() -> None:
        asked.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    # What runs in the background of a shell ignores the signal, unless told not sender.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with Peer(serve) as peer:
        transport = connect(TransportConfig(peer.origin, Redactor(KEY), connections=1))
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            transport.send(make_request(), 10.0)
        thread.join()
        assert transport.send(make_request(), 30.0).failure is None
        transport.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # a loop was closed around a connection
@with_uvloop
@pytest.mark.parametrize("proxied", [False, True])
def test_consecutive_event_loops(kind: Kind, proxied: bool) -> None:
    """Connections of an event loop that has ended are not used in the next."""
    if not kind.asynchronous:
        pytest.skip("threads have no loop")
    with Peer(always(response())) as peer:
        config = TransportConfig("http://relay.test", Redactor(KEY), proxy=peer.origin) if proxied else None
        transport = connect_async(config or TransportConfig(peer.origin, Redactor(KEY)), fast=kind.fast)
        for _ in range(2):
            assert kind.run(transport.send(make_request(), 30.0)).failure is None
        kind.run(transport.close())
        del transport
        gc.collect()


@with_uvloop
def test_consecutive_event_loops_with_one_connection(kind: Kind) -> None:
    """Requests that wait for a connection work in consecutive event loops."""
    if not kind.asynchronous:
        pytest.skip("threads have no loop")

    async def main(transport: Any, last: bool) -> list[Exchange]:
        ended = await asyncio.gather(*(transport.send(make_request(), 30.0) for _ in range(4)))
        if last:
            await transport.close()
        return ended

    with Peer(always(response(b"{}", b"Connection: close"), close=True)) as peer:
        transport = connect_async(TransportConfig(peer.origin, Redactor(KEY), connections=1), fast=kind.fast)
        for last in (False, True):
            assert [one.failure for one in kind.run(main(transport, last))] == [None] * 4


@with_uvloop
def test_alternating_event_loops(kind: Kind) -> None:
    """A connection is closed in the event loop that it belongs sender."""
    if not kind.asynchronous or kind.fast:
        pytest.skip("only our own connections belong to a loop")
    with Peer(always(response())) as peer, kind.runner() as first, kind.runner() as second:
        transport = connect_async(TransportConfig(peer.origin, Redactor(KEY)))
        for runner in (first, second, first):
            assert runner.run(transport.send(make_request(), 30.0)).failure is None
        first.run(transport.close())
        second.run(asyncio.sleep(0.05))
        first.run(asyncio.sleep(0.05))
    assert peer.connections == 3


@with_uvloop
@pytest.mark.parametrize("answers", [True, False])
def test_name_lookup_in_a_separate_thread(kind: Kind, monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    """Busy threads of the event loop delay no lookup, and a stalled lookup does not delay its end."""
    if not kind.asynchronous or kind.fast:
        pytest.skip("only our own connections look names up here")
    over = threading.Event()

    def resolve(_: str, port: int, **__: Any) -> list[Any]:
        if not answers:
            over.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def main(origin: str) -> Exchange:
        if answers:
            threads = ThreadPoolExecutor(1)
            threads.submit(over.wait, 30)
            asyncio.get_running_loop().set_default_executor(threads)
        transport = connect_async(TransportConfig(origin, Redactor(KEY)))
        exchange = await transport.send(make_request(), 1.0)
        await transport.close()
        if answers:
            over.set()
        return exchange

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Peer(always(response())) as peer:
        started = time.monotonic()
        exchange = kind.run(main(f"http://relay.test:{peer.port}"))
        took = time.monotonic() - started
        over.set()
    assert (exchange.failure is None) == answers
    assert took < 5


@with_uvloop
def test_no_frame_holds_the_key(kind: Kind) -> None:
    """A traceback with local variables of an exchange in progress holds no key."""
    if kind.fast:
        pytest.skip("Ctrl-C waits for the client")
    seen = threading.Event()

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        seen.set()
        peer.pause()

    def frames() -> Iterator[traceback.FrameSummary]:
        found = [sys._current_frames()[thread.ident or 0]]
        if kind.asynchronous:
            found = [frame for task in asyncio.all_tasks(loop[0]) for frame in task.get_stack()]
            coroutine: Any = next(iter(asyncio.all_tasks(loop[0]))).get_coro()
            while coroutine is not None and hasattr(coroutine, "cr_frame"):
                found.append(coroutine.cr_frame)
                coroutine = coroutine.cr_await
        for frame in found:
            yield from traceback.StackSummary.extract(traceback.walk_stack(frame), capture_locals=True)

    loop: list[asyncio.AbstractEventLoop] = []

    async def main(transport: Any) -> None:
        loop.append(asyncio.get_running_loop())
        await transport.send(make_request(), 1.0)
        await transport.close()

    def run() -> None:
        config = TransportConfig(peer.origin, Redactor(KEY))
        if kind.asynchronous:
            kind.run(main(connect_async(config)))
        else:
            transport = connect(config)
            transport.send(make_request(), 1.0)
            transport.close()

    with Peer(serve) as peer:
        thread = threading.Thread(target=run)
        thread.start()
        assert seen.wait(30)
        time.sleep(0.05)
        shown = list(frames())
        thread.join()
    ours = [one for one in shown if one.name == "exchange"]
    assert ours
    assert KEY not in str([one.locals for one in ours])
