"""The wire over real sockets: from good and bad servers all comes on time, whole, and without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import ipaddress
import itertools
import logging
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st
from twins import runner

from mjrelay.errors import SettingError
from mjrelay.http.redaction import Redactor
from mjrelay.http.request import Request
from mjrelay.transport import route as _route
from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.protocol import LARGEST_HEAD, ClientProtocol
from mjrelay.transport.response import ExchangeError, ResponseBuilder
from mjrelay.transport.streaming import RefusedAddressError, StreamError, stream_url
from mjrelay.transport.transport import LARGEST_BODY, TransportConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from certificates import Certificates

    from mjrelay.http.exchange import Exchange

T = TypeVar("T")

KEY = "sk-never-to-be-seen-4711"
TARGET = "/mj/task/1/fetch?n=1"


def asking(method: str = "GET", body: bytes = b"") -> Request:
    """A request with a key in it, and how it is shown."""
    accept = ("Accept", "application/json")
    shown = Request(method, TARGET, (accept, ("Authorization", "[redacted]")), body)
    return Request(method, TARGET, (accept, ("Authorization", f"Bearer {KEY}")), body, shown)


@frozen
class Kind:
    """One of the wires that must behave alike."""

    asynchronous: bool
    fast: bool = False
    uvloop: bool = False

    def __str__(self) -> str:
        loop = " uvloop" if self.uvloop else " async" if self.asynchronous else ""
        return ("fast" if self.fast else "own") + loop

    def runner(self) -> asyncio.Runner:
        """A runner with this kind's event loop."""
        return runner(uvloop=self.uvloop)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in a new event loop, as `asyncio.run` does."""
        with self.runner() as running:
            return running.run(main)


KINDS = [Kind(asynchronous, fast) for fast in (False, True) for asynchronous in (False, True)]

with_uvloop = pytest.mark.parametrize(
    "kind", [*KINDS, Kind(asynchronous=True, uvloop=True)], indirect=True, ids=str
)
"""For tests of what depends on the event loop: connections, timeouts, TLS and errors of the system."""


class Line:
    """A wire of either kind, driven by the test's own thread."""

    def __init__(self, kind: Kind, link: TransportConfig, client: Any = None) -> None:
        self._runner = kind.runner() if kind.asynchronous else None
        make: Any = connect_async if kind.asynchronous else connect
        self.wire: Any = make(link, fast=kind.fast, client=client)

    def send(self, request: Request | None = None, timeout: float = 30.0) -> Exchange:
        """One exchange."""
        sent = self.wire.send(request or asking(), timeout)
        exchange: Exchange = self._runner.run(sent) if self._runner else sent
        return exchange

    def many(self, number: int, at_once: int, timeout: float = 30.0) -> list[Exchange]:
        """Many exchanges, so many at once."""
        if self._runner is None:
            with ThreadPoolExecutor(at_once) as threads:
                return list(threads.map(lambda _: self.wire.send(asking(), timeout), range(number)))

        async def all_of_them() -> list[Exchange]:
            slots = asyncio.Semaphore(at_once)

            async def one() -> Exchange:
                async with slots:
                    exchange: Exchange = await self.wire.send(asking(), timeout)
                    return exchange

            return await asyncio.gather(*(one() for _ in range(number)))

        return self._runner.run(all_of_them())

    def rest(self) -> None:
        """Do nothing until what is on its way has come."""
        if self._runner:
            self._runner.run(asyncio.sleep(0.1))
        else:
            time.sleep(0.1)

    def close(self) -> None:
        closed = self.wire.close()
        if self._runner:
            self._runner.run(closed)

    def end(self) -> None:
        """Close the wire, and what drives it."""
        self.close()
        if self._runner:
            self._runner.close()


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each transport in turn."""
    chosen: Kind = request.param
    if chosen.fast:
        pytest.importorskip("pyreqwest")
    return chosen


@pytest.fixture
def line(kind: Kind) -> Iterator[Callable[..., Line]]:
    """Makes lines to an origin, and ends them when the test is over."""
    with contextlib.ExitStack() as opened:

        def make(origin: str, client: Any = None, **options: Any) -> Line:
            made = Line(kind, TransportConfig(origin, Redactor(KEY), **options), client)
            opened.callback(made.end)
            return made

        yield make


@pytest.fixture
def clients(kind: Kind) -> Iterator[Callable[..., Any]]:
    """Makes httpx clients of the kind that fits the wire."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append((httpx.AsyncClient if kind.asynchronous else httpx.Client)(trust_env=False, **options))
        return made[-1]

    yield make
    for one in made:
        if kind.asynchronous:
            kind.run(one.aclose())
        else:
            one.close()


@pytest.fixture
def reached(line: Callable[..., Line], clients: Callable[..., Any], kind: Kind) -> Callable[..., Line]:
    """Makes lines to a peer over connections of our own, over a user's client, or to it as a proxy."""

    def make(peer: Peer, way: str) -> Line:
        if kind.fast and way != "own":
            pytest.skip("the fast wire has one way for all")
        if way == "proxy":
            return line("http://relay.test", proxy=peer.origin)
        return line(peer.origin, clients() if way == "client" else None)

    return make


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificates of the machine at hand reach the tests."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name in {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
            monkeypatch.delenv(name)


_held: list[socket.socket] = []
"""Listeners of ended peers. Each keeps its port until the test is over: a client that connects again
must not reach the server of another test."""


@pytest.fixture(autouse=True)
def _ports() -> Iterator[None]:
    yield
    while _held:
        listener = _held.pop()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@define(eq=False)
class Peer:
    """A server on loopback that does with each connection, counted from 1, what the test says."""

    serve: Callable[[Peer, socket.socket, int], object]
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    requests: list[bytes] = field(init=False, factory=list)
    connections: int = field(init=False, default=0)
    origin: str = field(init=False)
    port: int = field(init=False)
    _listener: socket.socket = field(init=False)
    _over: threading.Event = field(init=False, factory=threading.Event)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family, backlog=200)
        self.port = self._listener.getsockname()[1]
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.origin = f"{'https' if self.tls else 'http'}://{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        _held.append(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                if self._over.is_set():
                    client.close()
                    continue
                threading.Thread(target=self._talk, args=(client, self.connections), daemon=True).start()

    def _talk(self, client: socket.socket, number: int) -> None:
        try:
            with contextlib.suppress(OSError):
                if self.tls is not None:
                    client = self.tls.wrap_socket(client, server_side=True)
                self.serve(self, client, number)
        finally:
            client.close()

    def heard(self, client: socket.socket) -> bytes:
        """The next request; empty where the connection has ended."""
        got = b""
        while b"\r\n\r\n" not in got:
            piece = client.recv(65536)
            if not piece:
                return b""
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        for name, _, value in (one.partition(b":") for one in head.split(b"\r\n")):
            while name.lower() == b"content-length" and len(body) < int(value):
                body += client.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def pause(self, seconds: float = 30.0) -> bool:
        """Wait, but no longer than the test takes; whether it is over."""
        return self._over.wait(seconds)


def answer(body: bytes = b"{}", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer as it should be."""
    head = (b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def always(*pieces: bytes, close: bool = False) -> Callable[[Peer, socket.socket, int], None]:
    """Answers each request with these bytes, and closes the connection behind them if told to."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        while peer.heard(client):
            for piece in pieces:
                client.sendall(piece)
            if close:
                return

    return serve


def test_importing_the_wire_imports_no_client() -> None:
    """Neither the package's import nor a wire without a proxy loads httpx; the import alone loads nothing."""
    code = (
        "import sys; from mjrelay import transport as wire; from mjrelay.http.redaction import Redactor\n"
        "heavy = {'httpx', 'httpcore', 'anyio', 'h11', 'pyreqwest', 'asyncio'}\n"
        "print(sorted(heavy & sys.modules.keys() - {'asyncio'}))\n"
        "wire.connect(wire.TransportConfig('http://127.0.0.1:1', Redactor()))\n"
        "print(sorted({'httpx', 'httpcore', 'anyio', 'pyreqwest'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


@with_uvloop
def test_an_exchange_says_what_was_sent_and_what_came(line: Callable[..., Line]) -> None:
    """The server gets the key; the exchange has the placeholder, the answer as sent, and how long it took."""
    sent = answer(b'{"a": 1}', b"Content-Type: application/json", b"Set-Cookie: a", b"set-COOKIE: b\xe9")
    with Peer(always(sent)) as peer:
        exchange = line(peer.origin).send()
    head = peer.requests[0].lower()
    assert head.startswith(b"get " + TARGET.encode() + b" http/1.1\r\n")
    assert f"authorization: bearer {KEY}\r\n".encode() in head
    assert b"accept-encoding: gzip\r\n" in head
    assert f"host: 127.0.0.1:{peer.port}\r\n".encode() in head
    assert (exchange.method, exchange.url) == ("GET", peer.origin + TARGET)
    assert ("Authorization", "[redacted]") in exchange.request_headers
    assert ("Accept-Encoding", "gzip") in exchange.request_headers
    assert KEY not in str((exchange.url, exchange.request_headers, exchange.request_body))
    assert (exchange.status, exchange.body, exchange.failure) == (200, b'{"a": 1}', None)
    assert exchange.header("CONTENT-type") == "application/json"
    assert [name.lower() for name, _ in exchange.headers].count("set-cookie") == 2
    assert 0 < exchange.elapsed < 5


def test_names_of_fields_keep_their_case(line: Callable[..., Line], kind: Kind) -> None:
    """Our own connections tell the names as they were sent, repeated ones and bytes beyond ASCII included."""
    if kind.fast:
        pytest.skip("pyreqwest tells names in lower case, and nothing beyond ASCII")
    with Peer(always(answer(b"", b"X-ODD-case: \xe9", b"x-odd-CASE: 2"))) as peer:
        exchange = line(peer.origin).send()
    assert exchange.headers[1:] == (("X-ODD-case", "\xe9"), ("x-odd-CASE", "2"))


def test_a_body_is_sent(line: Callable[..., Line]) -> None:
    """A POST carries its body and its length, an empty one too, and the exchange holds it."""
    with Peer(always(answer())) as peer:
        to = line(peer.origin)
        exchange = to.send(asking("POST", b'{"ids": ["1"]}'))
        to.send(asking("POST"))
    assert peer.requests[0].endswith(b'\r\n\r\n{"ids": ["1"]}')
    assert b"content-length: 0\r\n" in peer.requests[1].lower()
    assert (exchange.request_body, exchange.status) == (b'{"ids": ["1"]}', 200)


@pytest.mark.parametrize("way", ["own", "client", "proxy"])
@pytest.mark.parametrize("field", [("X-Key", f"{KEY}\r\nX-Other: 1"), ("X Key", KEY), ("X-Key", f"{KEY}猪")])
def test_what_cannot_be_sent_is_refused_without_the_key(
    reached: Callable[..., Line], kind: Kind, way: str, field: tuple[str, str]
) -> None:
    """A header field that would end the head early is a mistake told at once, and not shown either."""
    if kind.fast and not field[1].isascii():
        pytest.skip("pyreqwest sends it in UTF-8")
    request = Request("GET", "/", (field,))
    with Peer(always(answer())) as peer:
        to = reached(peer, way)
        with pytest.raises(SettingError, match="cannot be sent") as caught:
            to.send(request)
        assert to.send().failure is None
    assert len(peer.requests) == 1
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_connections_are_used_again(line: Callable[..., Line]) -> None:
    """One after another all requests share a connection, after errors with a body too."""
    with Peer(always(answer(b"no", status=b"500 Internal Server Error"))) as peer:
        to = line(peer.origin)
        assert [to.send().status for _ in range(5)] == [500] * 5
    assert peer.connections == 1


@with_uvloop
@pytest.mark.parametrize("last", [b"Connection: close", b"X: 1"])
def test_a_connection_that_the_server_closes_is_not_used_again(
    line: Callable[..., Line], last: bytes
) -> None:
    """Announced or not, the end of a connection costs no request, not even one that cannot be repeated."""
    with Peer(always(answer(b"{}", last), close=True)) as peer:
        to = line(peer.origin)
        for _ in range(3):
            assert to.send(asking("POST", b"{}")).failure is None
            to.rest()
    assert (peer.connections, len(peer.requests)) == (3, 3)


def _deaf(peer: Peer, client: socket.socket, number: int) -> None:
    """Answers once on the first connection and then hangs up on a request; answers always on others."""
    while peer.heard(client):
        if number == 1 and len(peer.requests) == 2:
            return
        client.sendall(answer())


@with_uvloop
def test_a_dead_connection_is_replaced_once_for_a_get(line: Callable[..., Line]) -> None:
    """A GET that found its kept connection dead is sent again on a new one; nobody notices."""
    with Peer(_deaf) as peer:
        to = line(peer.origin)
        assert [to.send().failure for _ in range(3)] == [None] * 3
    assert (peer.connections, len(peer.requests)) == (2, 4)


def test_a_dead_connection_is_not_replaced_for_a_post(line: Callable[..., Line]) -> None:
    """What may have been done already is not asked for twice."""
    with Peer(_deaf) as peer:
        to = line(peer.origin)
        to.send(asking("POST", b"{}"))
        exchange = to.send(asking("POST", b"{}"))
    assert (exchange.status, exchange.failure is None) == (None, False)
    assert (peer.connections, len(peer.requests)) == (1, 2)


@with_uvloop
def test_a_new_connection_that_dies_is_not_replaced(line: Callable[..., Line]) -> None:
    """Only a kept connection is replaced; a server that hangs up on a new one is told about."""
    with Peer(lambda peer, client, _: peer.heard(client)) as peer:
        exchange = line(peer.origin).send()
    assert exchange.status is None
    assert exchange.failure is not None
    assert (peer.connections, len(peer.requests)) == (1, 1)


@with_uvloop
@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_server_that_hangs_up_at_once(line: Callable[..., Line], how: str) -> None:
    """A connection that ends before the request is out is a failure at once, not at the deadline."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Peer(serve) as peer:
        to = line(peer.origin)
        for _ in range(20):
            exchange = to.send()
            assert (exchange.status, exchange.failure is None) == (None, False)
            assert exchange.elapsed < 5


def test_an_answer_that_broke_off_is_not_asked_for_again(line: Callable[..., Line], kind: Kind) -> None:
    """Once a byte of the answer has come on a kept connection, the request is not repeated."""
    if kind.fast:
        pytest.skip("to pyreqwest half a head is none")

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.heard(client)
        client.sendall(answer())
        peer.heard(client)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-")

    with Peer(serve) as peer:
        to = line(peer.origin)
        to.send()
        assert to.send().failure is not None
    assert (peer.connections, len(peer.requests)) == (1, 2)


@pytest.mark.parametrize("apart", [False, True], ids=["glued", "later"])
def test_bytes_that_nobody_asked_for_answer_nobody(line: Callable[..., Line], apart: bool) -> None:
    """A second answer behind the first, or one sent to an idle connection, is not taken for the next one."""

    def serve(peer: Peer, client: socket.socket, number: int) -> None:
        while peer.heard(client):
            client.sendall(answer(b"%d" % number) + (b"" if apart else answer(b"stray")))
            if apart:
                peer.pause(0.03)
                client.sendall(answer(b"stray"))

    with Peer(serve) as peer:
        to = line(peer.origin)
        bodies = []
        for _ in range(3):
            bodies.append(to.send().body)
            to.rest()
    assert bodies == [b"1", b"2", b"3"]


def _trickle(first: bytes, piece: bytes) -> Callable[[Peer, socket.socket, int], None]:
    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.heard(client)
        client.sendall(first)
        while not peer.pause(0.02):
            client.sendall(piece)

    return serve


@pytest.mark.parametrize(
    ("serve", "status"),
    [
        pytest.param(lambda peer, *_: peer.pause(), None, id="silence"),
        pytest.param(_trickle(b"", b"H"), None, id="bytes-without-end-of-line"),
        pytest.param(_trickle(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), None, id="head"),
        pytest.param(_trickle(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n"), None, id="fields"),
        pytest.param(_trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), None, id="100-continue"),
        pytest.param(_trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"), 200, id="body"),
        pytest.param(
            _trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
            200,
            id="chunks",
        ),
    ],
)
def test_the_deadline_bounds_the_whole_exchange(
    line: Callable[..., Line], serve: Any, status: int | None
) -> None:
    """A server that never stops sending a little is given up when the time is over, and not much later."""
    with Peer(serve) as peer:
        to = line(peer.origin)
        started = time.monotonic()
        exchange = to.send(timeout=0.4)
        took = time.monotonic() - started
    assert 0.35 < took < 5
    assert exchange.failure == "no complete response within 0.4 seconds"
    assert exchange.status in {status, None}
    assert 0.35 < exchange.elapsed < 5


@with_uvloop
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_deadline_bounds_connecting(line: Callable[..., Line], scheme: str) -> None:
    """A host that takes no connection, or never speaks TLS, is given up in time as well."""
    with contextlib.ExitStack() as open_:
        full = open_.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        if scheme == "http":
            for _ in range(4):  # who comes after these is not answered at all
                filling = open_.enter_context(socket.socket())
                filling.setblocking(False)
                filling.connect_ex(full.getsockname())
        to = line(f"{scheme}://127.0.0.1:{full.getsockname()[1]}", verify=False)
        started = time.monotonic()
        exchange = to.send(timeout=0.4)
        assert 0.3 < time.monotonic() - started < 5
    assert exchange.status is None
    assert exchange.failure is not None


@pytest.mark.parametrize("timeout", [1e-3, 1e-6, 1e-9])
def test_a_tiny_timeout_is_a_failure(line: Callable[..., Line], timeout: float) -> None:
    """However short the time is, the answer is an exchange, and the wire is as good as before."""
    with Peer(lambda peer, client, n: peer.pause(0.1) or always(answer())(peer, client, n)) as peer:
        to = line(peer.origin, connections=1)
        for _ in range(5):
            assert to.send(timeout=timeout).failure is not None
        assert to.send().failure is None
        assert to.send(timeout=timeout).status in {None, 200}
        assert to.send().failure is None


@with_uvloop
def test_nobody_listens(line: Callable[..., Line]) -> None:
    """A closed port, and a name that is none, are failures that name the host."""
    with socket.socket() as closed:  # bound, so that no other server gets the port
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        exchange = line(f"http://127.0.0.1:{port}").send()
    assert exchange.failure is not None
    assert f"127.0.0.1:{port}" in exchange.failure
    exchange = line("http://no-such-host.invalid").send()
    assert exchange.failure is not None
    assert "no-such-host.invalid" in exchange.failure


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _chunked(data: bytes, *fields: bytes) -> bytes:
    head = HEAD + b"".join(one + b"\r\n" for one in fields) + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
PACKED = gzip.compress(b"{}")
GZIP = b"Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        pytest.param(_chunked(b"{}"), 200, b"{}", id="chunked"),
        pytest.param(HEAD + b"\r\n{}", 200, b"{}", id="until-close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", id="http-1.0"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", id="304"),
        pytest.param(EARLY + answer(), 200, b"{}", id="1xx"),
        pytest.param(answer(b"{}", b"Content-Encoding: identity"), 200, b"{}", id="identity"),
        pytest.param(answer(PACKED, b"content-encoding: GZIP"), 200, b"{}", id="gzip"),
        pytest.param(answer(PACKED, b"Content-Encoding: x-gzip"), 200, b"{}", id="x-gzip"),
        pytest.param(_chunked(PACKED, GZIP), 200, b"{}", id="gzip-chunked"),
        pytest.param(answer(PACKED + b"more", GZIP), 200, b"{}", id="gzip-more"),
        pytest.param(answer(b"", GZIP), 200, b"", id="gzip-empty"),
        pytest.param(answer(b"gone", status=b"561 Odd"), 561, b"gone", id="561"),
        pytest.param(answer(b"", b"Location: /other", status=b"302 Found"), 302, b"", id="redirect"),
    ],
)
def test_whole_answers(line: Callable[..., Line], sent: bytes, status: int, body: bytes) -> None:
    """Each way to say where a body ends is understood, and gzip undone; a redirect is an answer."""
    with Peer(always(sent, close=True)) as peer:
        exchange = line(peer.origin).send()
    assert (exchange.status, exchange.body, exchange.failure) == (status, body, None)
    assert len(peer.requests) == 1


TWICE = gzip.compress(PACKED)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\n{}", 200, id="short"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", 200, id="chunks-without-end"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", 200, id="no-chunks"),
        pytest.param(answer(gzip.compress(b"{}" * 99)[:-9], b"Content-Encoding: gzip"), 200, id="gzip-short"),
        pytest.param(answer(b"{}", b"Content-Encoding: gzip"), 200, id="no-gzip"),
        pytest.param(answer(TWICE, b"Content-Encoding: gzip, gzip"), 200, id="twice"),
        pytest.param(
            answer(TWICE, b"Content-Encoding: gzip", b"Content-Encoding: gzip"), 200, id="two-fields"
        ),
        pytest.param(answer(zlib.compress(b"{}"), b"Content-Encoding: deflate"), 200, id="deflate"),
        pytest.param(answer(b"{}", b"Content-Encoding: br"), 200, id="br"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"\x16\x03\x01 what\r\n\r\n", None, id="garbage"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX", None, id="half-a-head"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", None, id="101"),
        pytest.param(HEAD + b"X: %b\r\n\r\n" % (b"x" * 9 * LARGEST_HEAD), None, id="huge-head"),
        pytest.param(HEAD + b"X: 1\r\n" * LARGEST_HEAD + b"\r\n", None, id="many-fields"),
    ],
)
def test_broken_answers(line: Callable[..., Line], kind: Kind, sent: bytes, status: int | None) -> None:
    """What breaks off, is no HTTP, or is encoded as nobody asked, is a failure that keeps what had come."""
    with Peer(always(sent, close=True)) as peer:
        exchange = line(peer.origin).send()
    assert exchange.failure
    assert exchange.status == status or (kind.fast and exchange.status is None)  # pyreqwest reads ahead
    assert len(peer.requests) == 1


def test_a_short_body_is_kept(line: Callable[..., Line], kind: Kind) -> None:
    """Of a body that breaks off the exchange has what came."""
    if kind.fast:
        pytest.skip("pyreqwest reads ahead, and tells nothing of what breaks off meanwhile")
    with Peer(always(HEAD + b"Content-Length: 9\r\n\r\n{}", close=True)) as peer:
        exchange = line(peer.origin).send()
    assert (exchange.status, exchange.body) == (200, b"{}")


def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


@pytest.mark.parametrize("what", ["endless", "announced", "bomb", "zeros after gzip"])
def test_a_body_is_bounded(line: Callable[..., Line], what: str) -> None:
    """Nobody makes us hold more than the bound: by its length or without one, packed or behind what is."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.heard(client)
        length = b"Content-Length: %d\r\n" % (1 << 40) if what == "announced" else b""
        coding = b"Content-Encoding: gzip\r\n" if what in {"bomb", "zeros after gzip"} else b""
        client.sendall(HEAD + length + coding + b"\r\n")
        if what == "bomb":
            client.sendall(_bomb(8 * LARGEST_BODY))
            return
        client.sendall(gzip.compress(b"{}") if coding else b"")
        while True:
            client.sendall(bytes(1 << 16))

    with Peer(serve) as peer:
        exchange = line(peer.origin).send(timeout=30)
    assert (exchange.status, exchange.failure) == (200, f"the body is larger than {LARGEST_BODY} bytes")
    assert len(exchange.body) <= LARGEST_BODY


def test_a_large_body_within_the_bound_is_whole(line: Callable[..., Line]) -> None:
    """The bound itself is still a body, packed or not."""
    body = os.urandom(1 << 20) * (LARGEST_BODY >> 20)
    with Peer(always(answer(body))) as peer:
        assert line(peer.origin).send(timeout=30).body == body
    with Peer(always(answer(_bomb(LARGEST_BODY), b"Content-Encoding: gzip"))) as peer:
        assert line(peer.origin).send(timeout=30).body == bytes(LARGEST_BODY)


@with_uvloop
def test_many_at_once(line: Callable[..., Line]) -> None:
    """2,000 requests, 100 at once, all succeed over no more than 100 connections."""
    with Peer(always(answer(b'{"id": "1"}'))) as peer:
        exchanges = line(peer.origin).many(2000, 100)
    assert {(one.status, one.body, one.failure) for one in exchanges} == {(200, b'{"id": "1"}', None)}
    assert (len(peer.requests), peer.connections <= 100) == (2000, True)


@with_uvloop
def test_connections_are_bounded(line: Callable[..., Line]) -> None:
    """No more connections than allowed are used at a time; the others wait, within their own deadline."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        while peer.heard(client):
            peer.pause(0.05)
            client.sendall(answer())

    with Peer(serve) as peer:
        to = line(peer.origin, connections=2)
        assert {one.failure for one in to.many(8, 8)} == {None}
        late = [one for one in to.many(8, 8, timeout=0.12) if one.failure]
    assert late
    assert {one.failure for one in late} == {"no complete response within 0.12 seconds"}
    assert peer.connections <= 2 + len(late)


@with_uvloop
def test_a_cancelled_request_costs_its_connection_alone(kind: Kind) -> None:
    """After CancelledError at any moment the wire works on, with all its slots."""
    if not kind.asynchronous:
        pytest.skip("threads are not cancelled")

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        while peer.heard(client):
            peer.pause(0.02)
            client.sendall(HEAD + b"Content-Length: 2\r\n\r\n{")
            peer.pause(0.02)
            client.sendall(b"}")

    async def main(origin: str) -> None:
        wire = connect_async(TransportConfig(origin, Redactor(KEY), connections=2), fast=kind.fast)
        for delay in (0, 0.001, 0.01, 0.03):
            tasks = [asyncio.create_task(wire.send(asking(), 30.0)) for _ in range(4)]
            await asyncio.sleep(delay)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended)
            after = await asyncio.gather(*(wire.send(asking(), 30.0) for _ in range(4)))
            assert {(one.status, one.body, one.failure) for one in after} == {(200, b"{}", None)}
        await wire.close()

    with Peer(serve) as peer:
        kind.run(main(peer.origin))


@with_uvloop
def test_an_interrupt_costs_its_connection_alone(kind: Kind, request: pytest.FixtureRequest) -> None:
    """KeyboardInterrupt comes out of `send` at once, and the wire, with one slot, works on."""
    if kind.asynchronous or kind.fast:
        pytest.skip("the event loop, or the client, turns an interrupt into something else")

    def serve(peer: Peer, client: socket.socket, number: int) -> None:
        while peer.heard(client):
            if number == 1:
                asked.set()
                peer.pause()
            client.sendall(answer())

    asked = threading.Event()

    def interrupt() -> None:
        asked.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    # What runs in the background of a shell ignores the signal, unless told not to.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with Peer(serve) as peer:
        wire = connect(TransportConfig(peer.origin, Redactor(KEY), connections=1))
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            wire.send(asking(), 10.0)
        thread.join()
        assert wire.send(asking(), 30.0).failure is None
        wire.close()


@pytest.mark.parametrize("way", ["own", "client", "proxy"])
def test_a_closed_wire_says_so(reached: Callable[..., Line], way: str) -> None:
    """After `close`, which may be called twice, a request is a mistake that no waiting mends."""
    with Peer(always(answer())) as peer:
        to = reached(peer, way)
        assert to.send().failure is None
        to.close()
        to.close()
        with pytest.raises(SettingError, match="this relay is closed; create a new one"):
            to.send()
    assert len(peer.requests) == 1


@with_uvloop
def test_an_exchange_under_way_outlives_close(line: Callable[..., Line]) -> None:
    """Closing the wire from another thread lets the request that is under way end as it ends."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.heard(client)
        asked.set()
        peer.pause(0.2)
        client.sendall(answer())

    asked = threading.Event()
    with Peer(serve) as peer:
        to = line(peer.origin)
        if to._runner is None:
            with ThreadPoolExecutor(1) as threads:
                sent = threads.submit(to.send)
                asked.wait(30)
                to.close()
                exchange = sent.result()
        else:

            async def both() -> Exchange:
                sent = asyncio.create_task(to.wire.send(asking(), 30.0))
                await asyncio.to_thread(asked.wait, 30)
                await to.wire.close()
                exchange: Exchange = await sent
                return exchange

            exchange = to._runner.run(both())
    assert (exchange.status, exchange.failure) == (200, None)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # a loop was closed around a connection
@with_uvloop
@pytest.mark.parametrize("proxied", [False, True])
def test_a_loop_after_another(kind: Kind, proxied: bool) -> None:
    """Connections of an event loop that is gone are not used by the next one."""
    if not kind.asynchronous:
        pytest.skip("threads have no loop")
    with Peer(always(answer())) as peer:
        link = TransportConfig("http://relay.test", Redactor(KEY), proxy=peer.origin) if proxied else None
        wire = connect_async(link or TransportConfig(peer.origin, Redactor(KEY)), fast=kind.fast)
        for _ in range(2):
            assert kind.run(wire.send(asking(), 30.0)).failure is None
        kind.run(wire.close())
        del wire
        gc.collect()


@with_uvloop
def test_two_loops_that_wait_for_a_connection(kind: Kind) -> None:
    """Where requests must wait for each other, a wire serves one event loop after another all the same."""
    if not kind.asynchronous:
        pytest.skip("threads have no loop")

    async def main(wire: Any, last: bool) -> list[Exchange]:
        ended = await asyncio.gather(*(wire.send(asking(), 30.0) for _ in range(4)))
        if last:
            await wire.close()
        return ended

    with Peer(always(answer(b"{}", b"Connection: close"), close=True)) as peer:
        wire = connect_async(TransportConfig(peer.origin, Redactor(KEY), connections=1), fast=kind.fast)
        for last in (False, True):
            assert [one.failure for one in kind.run(main(wire, last))] == [None] * 4


@with_uvloop
def test_a_connection_of_a_loop_that_still_runs_is_left_to_it(kind: Kind) -> None:
    """A wire that goes from a living event loop to another one closes the connection where it belongs."""
    if not kind.asynchronous or kind.fast:
        pytest.skip("only our own connections belong to a loop")
    with Peer(always(answer())) as peer, kind.runner() as first, kind.runner() as second:
        wire = connect_async(TransportConfig(peer.origin, Redactor(KEY)))
        for runner in (first, second, first):
            assert runner.run(wire.send(asking(), 30.0)).failure is None
        first.run(wire.close())
        second.run(asyncio.sleep(0.05))
        first.run(asyncio.sleep(0.05))
    assert peer.connections == 3


@with_uvloop
@pytest.mark.parametrize("answers", [True, False])
def test_names_are_looked_up_beside_the_loops_own_threads(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """Full threads of the event loop delay no request, and a resolver that hangs not the loop's end."""
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
        wire = connect_async(TransportConfig(origin, Redactor(KEY)))
        exchange = await wire.send(asking(), 1.0)
        await wire.close()
        if answers:
            over.set()
        return exchange

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Peer(always(answer())) as peer:
        started = time.monotonic()
        exchange = kind.run(main(f"http://relay.test:{peer.port}"))
        took = time.monotonic() - started
        over.set()
    assert (exchange.failure is None) == answers
    assert took < 5


@with_uvloop
def test_no_frame_of_ours_shows_the_key(kind: Kind) -> None:
    """A traceback with local variables, of an exchange that was broken off, holds no key."""
    if kind.fast:
        pytest.skip("Ctrl-C waits for the client")
    seen = threading.Event()

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.heard(client)
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

    async def main(wire: Any) -> None:
        loop.append(asyncio.get_running_loop())
        await wire.send(asking(), 1.0)
        await wire.close()

    def run() -> None:
        link = TransportConfig(peer.origin, Redactor(KEY))
        if kind.asynchronous:
            kind.run(main(connect_async(link)))
        else:
            wire = connect(link)
            wire.send(asking(), 1.0)
            wire.close()

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


@with_uvloop
def test_ipv6(line: Callable[..., Line]) -> None:
    """A host may be an IPv6 address, and is named as such in the Host field."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with Peer(always(answer()), host="::1") as peer:
        assert line(peer.origin).send().failure is None
    assert f"host: [::1]:{peer.port}".encode() in peer.requests[0].lower()


@with_uvloop
def test_a_second_address_is_tried(line: Callable[..., Line]) -> None:
    """Where localhost has two addresses and one of them refuses, the other is used."""
    with Peer(always(answer())) as peer:
        assert line(f"http://localhost:{peer.port}").send().failure is None


# TLS


@with_uvloop
def test_tls(line: Callable[..., Line], certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate is trusted by path, by environment or not at all; the name counts, too."""
    with Peer(always(answer()), tls=certificates.context) as peer:
        origin = f"https://localhost:{peer.port}"
        to = line(origin, verify=certificates.authority)
        assert [to.send().failure for _ in range(3)] == [None] * 3
        assert peer.connections == 1
        assert line(origin, verify=False).send().failure is None
        for exchange in (
            line(origin).send(),
            line(f"https://127.0.0.1:{peer.port}", verify=certificates.authority).send(),
        ):
            assert exchange.status is None
            assert "certificate" in (exchange.failure or "").lower()
        monkeypatch.setenv("SSL_CERT_FILE", certificates.authority)
        assert line(origin).send().failure is None


@with_uvloop
def test_a_slow_handshake_has_the_whole_time(
    line: Callable[..., Line], kind: Kind, monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    """What an address has to take a connection does not bound the talk about TLS."""
    if kind.fast:
        pytest.skip("pyreqwest has one bound for both")
    monkeypatch.setattr("mjrelay.transport.route.CONNECT", 0.3)
    monkeypatch.setattr("mjrelay.transport.h11.CONNECT", 0.3)

    class Slow(Peer):
        def _talk(self, client: socket.socket, number: int) -> None:
            self.pause(0.8)
            super()._talk(client, number)

    with Slow(always(answer()), tls=certificates.context) as peer:
        to = line(f"https://localhost:{peer.port}", verify=certificates.authority)
        assert to.send().failure is None


def test_a_context_of_the_users_own_is_used(
    line: Callable[..., Line], kind: Kind, certificates: Certificates
) -> None:
    """An `ssl.SSLContext` is taken as it is."""
    if kind.fast:
        pytest.skip("pyreqwest takes no context, and says so")
    context = ssl.create_default_context(cafile=certificates.authority)
    with Peer(always(answer()), tls=certificates.context) as peer:
        assert line(f"https://localhost:{peer.port}", verify=context).send().failure is None


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read(
    line: Callable[..., Line], tmp_path: Path, content: str | None
) -> None:
    """A missing file, or one without certificates, is told when the wire is made."""
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match=r"authority\.pem"):
        line("https://localhost:1", verify=str(path))


# Proxies


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)


def proxy_to(target: Callable[[], int]) -> Callable[[Peer, socket.socket, int], None]:
    """A proxy that brings whatever is asked for from one port on loopback."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        request = peer.heard(client)
        with socket.create_connection(("127.0.0.1", target())) as server:
            if request.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(request)
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join()

    return serve


@pytest.mark.parametrize("how", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "given"])
def test_a_proxy_is_used(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The proxy that is given, or that the environment names, gets the request, and its own credentials."""
    with Peer(always(answer(gzip.compress(b"{}"), b"Content-Encoding: gzip"))) as peer:
        with Peer(proxy_to(lambda: peer.port)) as proxy:
            url = f"http://user:pass%2Dword%2D4711@127.0.0.1:{proxy.port}"
            if how != "given":
                monkeypatch.setenv(how, url)
            exchange = line("http://relay.test", **({"proxy": url} if how == "given" else {})).send()
        assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
        assert proxy.requests[0].startswith(b"GET http://relay.test" + TARGET.encode())
        assert b"proxy-authorization: basic " in proxy.requests[0].lower()
        assert exchange.url == "http://relay.test" + TARGET


def test_tls_through_a_proxy(line: Callable[..., Line], certificates: Certificates) -> None:
    """Over a tunnel the relay's own certificate is checked, and the key is not the proxy's to read."""
    with (
        Peer(always(answer()), tls=certificates.context) as peer,
        Peer(proxy_to(lambda: peer.port)) as proxy,
    ):
        through = f"http://127.0.0.1:{proxy.port}"
        to = line("https://relay.test", proxy=through, verify=certificates.authority)
        assert [to.send().failure for _ in range(2)] == [None, None]
        assert (proxy.connections, len(peer.requests)) == (1, 2)
        assert proxy.requests[0].startswith(b"CONNECT relay.test:443 ")
        assert KEY.encode() not in b"".join(proxy.requests)
        assert "certificate" in (line("https://relay.test", proxy=through).send().failure or "").lower()


@pytest.mark.parametrize("names", ["relay.test", "127.0.0.1,.test", "*"])
def test_no_proxy(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    """What NO_PROXY names is asked directly."""
    with Peer(always(answer())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", names)
        assert "relay.test" in (line("http://relay.test").send(timeout=3.0).failure or "")
    assert proxy.connections == 0


def test_loopback_has_no_proxy_from_the_environment(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine is reached directly, whatever the environment says, unless a proxy is given."""
    with Peer(always(answer())) as peer, Peer(proxy_to(lambda: peer.port)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("ALL_PROXY", url)
        assert line(peer.origin).send().failure is None
        assert line(f"http://localhost:{peer.port}").send().failure is None
        assert proxy.connections == 0
        assert line(peer.origin, proxy=url).send().failure is None
        assert proxy.connections == 1


def test_an_empty_proxy_is_none(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    """proxy="" switches the environment's off."""
    with Peer(always(answer())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert line("http://no-such-host.invalid", proxy="").send().failure is not None
    assert proxy.connections == 0


def test_a_proxys_credentials_are_not_told(
    line: Callable[..., Line], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a failure, nor a repr, nor a log says what the proxy's password is, even where it echoes it."""
    caplog.set_level(logging.DEBUG)
    refusal = answer(b"", status=b"407 pass-word-4711 is wrong")
    with Peer(always(refusal, close=True)) as proxy:
        url = f"http://user:pass%2Dword%2D4711@127.0.0.1:{proxy.port}"
        to = line("https://relay.test", proxy=url)
        exchange = to.send()
    gone = to.send()
    assert (exchange.status, gone.status) == (None, None)
    assert exchange.failure
    config = TransportConfig("http://a", Redactor(), proxy=url)
    said = f"{exchange} {exchange.failure} {gone} {config} {caplog.text}"
    assert "pass-word" not in said
    assert "pass%2D" not in said


@pytest.mark.parametrize("url", ["gopher://u:pass-word-4711@h:1", "http://u:pass-word-4711@h:port"])
def test_a_proxy_that_is_none(line: Callable[..., Line], url: str) -> None:
    """What cannot be a proxy's URL is told when the wire is made, without the password."""
    with pytest.raises(SettingError, match="proxy") as caught:
        line("http://relay.test", proxy=url)
    assert "pass-word" not in str(caught.value)


def test_the_deadline_holds_through_a_proxy(line: Callable[..., Line]) -> None:
    """A proxy that sends a little for ever is given up in time too, in the head and in the body."""
    for first in (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"):
        with Peer(_trickle(first, b"a")) as proxy:
            to = line("http://relay.test", proxy=f"http://127.0.0.1:{proxy.port}")
            started = time.monotonic()
            exchange = to.send(timeout=0.4)
            assert time.monotonic() - started < 5
        assert exchange.failure == "no complete response within 0.4 seconds"


# A client of the user's own


@pytest.fixture
def client(kind: Kind, clients: Callable[..., Any]) -> Callable[..., Any]:
    """Makes httpx clients where one can be given."""
    if kind.fast:
        pytest.skip("a client takes the place of the fast wire")
    return clients


def test_a_client_is_used_as_it_is(line: Callable[..., Line], client: Callable[..., Any]) -> None:
    """Its fields go along, its auth does not replace the key, no redirect is followed, it stays open."""
    with Peer(always(answer(b"", b"Location: /other", status=b"302 Found"))) as peer:
        own = client(
            auth=("user", "password"),
            headers={"X-Own": "1"},
            follow_redirects=True,
            base_url="http://a.invalid/b/",
        )
        to = line(peer.origin, own)
        exchange = to.send()
        to.close()
        assert not own.is_closed
    assert exchange.status == 302
    assert peer.requests[0].startswith(b"GET " + TARGET.encode() + b" ")
    assert f"authorization: bearer {KEY}\r\n".encode() in peer.requests[0].lower()
    assert b"x-own: 1\r\n" in peer.requests[0].lower()


def test_a_client_of_the_other_kind_is_refused(line: Callable[..., Line], kind: Kind) -> None:
    """A sync transport needs an `httpx.Client`, an async one an `httpx.AsyncClient`."""
    if kind.fast:
        pytest.skip("a client takes the place of the fast wire")
    other, wanted = (httpx.Client, "AsyncClient") if kind.asynchronous else (httpx.AsyncClient, "Client")
    with pytest.raises(SettingError, match=rf"must be an httpx\.{wanted} here, not {other.__name__}"):
        line("http://relay.test", other(trust_env=False))


def test_a_client_that_its_owner_closed(line: Callable[..., Line], client: Callable[..., Any]) -> None:
    """A closed client is a mistake that is told at once."""
    own = client()
    to = line("http://relay.test", own)
    if to._runner:
        to._runner.run(own.aclose())
    else:
        own.close()
    with pytest.raises(SettingError, match="client= is closed"):
        to.send()


def test_an_exchange_that_was_given_up_leaves_no_thread(
    line: Callable[..., Line], client: Callable[..., Any]
) -> None:
    """Over a client, a body that never ends is let go soon after the deadline, with its connection."""
    gone = threading.Event()

    def serve(peer: Peer, client: socket.socket, number: int) -> None:
        try:
            _trickle(HEAD + b"Content-Length: 9999\r\n\r\n", b"a")(peer, client, number)
        except OSError:
            gone.set()

    with Peer(serve) as peer:
        exchange = line(peer.origin, client()).send(timeout=0.2)
        assert exchange.failure == "no complete response within 0.2 seconds"
        assert gone.wait(5)


def test_the_secrets_of_each_living_link_are_kept_out_of_logs(
    line: Callable[..., Line], client: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Two wires over one client have secrets of their own, and neither's are logged by the other."""
    caplog.set_level(logging.DEBUG)
    own, other = client(), "another-secret-4712"
    sent = answer(b"{}", f"X-Echo: {KEY} {other}".encode())
    with Peer(always(sent)) as peer:
        first = line(peer.origin, own)
        make: Any = connect_async if first._runner else connect
        second = make(TransportConfig(peer.origin, Redactor(other)), client=own)
        assert first.send().failure is None
        del second
    assert "[redacted] [redacted]" in caplog.text
    assert not [one for one in (KEY, other) if one in caplog.text]


def test_a_clients_own_timeout_counts_where_it_is_shorter(
    line: Callable[..., Line], client: Callable[..., Any]
) -> None:
    """A client that waits 0.2 seconds waits no longer here, and one that waits for ever waits as we say."""
    with Peer(lambda peer, *_: peer.pause()) as peer:
        for own, ours in ((0.2, 30.0), (None, 0.2)):
            started = time.monotonic()
            assert line(peer.origin, client(timeout=own)).send(timeout=ours).failure is not None
            assert time.monotonic() - started < 5


@pytest.mark.parametrize("packed", [False, True])
def test_a_transport_made_for_tests(
    line: Callable[..., Line], client: Callable[..., Any], packed: bool
) -> None:
    """A client over `httpx.MockTransport` works, and what it raises is a failure."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            raise RuntimeError(f"no POST with {KEY}")
        body, fields = (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}) if packed else (b"{}", {})
        return httpx.Response(200, content=body, headers=fields)

    to = line("http://relay.test", client(transport=httpx.MockTransport(handle)))
    exchange = to.send()
    assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
    assert to.send(asking("POST")).failure == "no POST with [redacted]"


@pytest.mark.parametrize("way", ["own", "client", "proxy"])
def test_no_log_holds_the_key(
    line: Callable[..., Line], client: Callable[..., Any], caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """A relay that echoes the key in its header puts it into no log, and other words stay as they are."""
    caplog.set_level(logging.DEBUG)
    sent = answer(b"{}", b"X-Echo: " + KEY.encode(), b"X-Plain: plain-and-simple")
    target = f"{TARGET}&key={KEY}"
    request = Request("GET", target, (("Authorization", KEY),), b"", Request("GET", TARGET))
    with Peer(always(sent)) as peer:
        options = {"proxy": f"http://127.0.0.1:{peer.port}"} if way == "proxy" else {}
        to = line(peer.origin, client() if way == "client" else None, **options)
        assert to.send(request).failure is None
    assert KEY in peer.requests[0].decode()
    assert KEY not in caplog.text
    assert ("plain-and-simple" in caplog.text) == (way != "own")
    assert ("[redacted]" in caplog.text) == (way != "own")


# The protocol without sockets


PIECES = [
    b"HTTP/1.1 ",
    b"200 OK\r\n",
    b"100 Continue\r\n",
    b"101 Switching Protocols\r\nUpgrade: a\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    GZIP + b"\r\n",
    b": ",
    b"\n",
    b"\r\n",
    b"3\r\n",
    b"0\r\n",
    b"abc",
    PACKED,
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=24), st.lists(st.integers(0, 200)))
def test_any_bytes_are_an_answer_or_a_failure_however_they_are_cut(
    parts: list[bytes], cuts: list[int]
) -> None:
    """Bytes from anywhere end in an exchange, and where they are cut into pieces makes no difference."""
    data = b"".join(parts)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[i:j] for i, j in itertools.pairwise(places)]
    assert _told(pieces) == _told([data] if data else [])


def _told(pieces: list[bytes]) -> tuple[object, ...]:
    protocol = ClientProtocol("relay.test")
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), asking(), 60.0)
    protocol.request_bytes("GET", "/", (), b"")
    try:
        ended = any(protocol.receive(piece, builder) for piece in [*pieces, b""])
        assert ended
        exchange = builder.finish()
    except ExchangeError as error:
        exchange = builder.fail(error)
    # What had come of a body that fails depends on the pieces, and so does h11's word for some failures.
    body = exchange.body if exchange.failure is None else None
    return exchange.status, exchange.headers, body, exchange.failure is None


def test_the_engine_is_ready_for_the_next_request_only_when_both_are_done() -> None:
    """A connection is used again after a whole builder, and not while one is under way."""
    protocol = ClientProtocol("relay.test")
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), asking(), 60.0)
    for _ in range(2):
        protocol.request_bytes("GET", "/", (), b"")
        assert not protocol.receive(HEAD + b"Content-Length: 2\r\n\r\n{", builder)
        assert not protocol.start_next()
        assert protocol.receive(b"}", builder)
        assert protocol.start_next()


def test_a_bomb_is_not_unpacked_beyond_the_bound() -> None:
    """However much comes at once, no more memory is taken than the bound asks for."""
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), asking(), 60.0)
    builder.begin(200, (("Content-Encoding", "gzip"),))
    bomb = _bomb(8 * LARGEST_BODY)
    tracemalloc.start()
    try:
        with pytest.raises(ExchangeError, match="larger"):
            builder.add(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST_BODY
    finally:
        tracemalloc.stop()


def test_what_comes_after_the_deadline_is_not_taken() -> None:
    """Bytes that were read in time, but are many small pieces, are not worked through for ever."""
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), asking(), 0.01)
    builder.begin(200, ())
    builder.add(b"{")
    time.sleep(0.02)
    with pytest.raises(ExchangeError, match="no complete response"):
        builder.add(b"}")


# Streams


def anywhere(_: object) -> bool:
    """Admits every address."""
    return True


def test_a_stream_is_read_as_it_comes() -> None:
    """The head comes first, then the body in pieces as sent, for nothing else is asked."""
    begun = threading.Event()

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.heard(client)
        client.sendall(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\nX-A: 1\r\n\r\nabc")
        begun.wait(30)
        client.sendall(b"def")

    with Peer(serve) as peer:
        url = peer.origin + "/猪 %20.png?a=b#c"
        with stream_url(url, (("Range", "bytes=0-5"),), timeout=30, admit=anywhere) as opened:
            assert (opened.status, opened.header("x-a")) == (206, "1")
            begun.set()
            assert b"".join(opened.chunks()) == b"abcdef"
    head = peer.requests[0].lower()
    assert head.startswith(b"get /%e7%8c%aa%20%20.png?a=b http/1.1\r\n")
    assert b"accept-encoding: identity\r\n" in head
    assert b"range: bytes=0-5\r\n" in head


def test_a_stream_follows_no_redirect_and_may_be_left_early() -> None:
    """A redirect is an answer; who does not read the body to its end costs nothing but the connection."""
    with Peer(always(answer(bytes(1 << 20), b"Location: /b", status=b"302 Found"))) as peer:
        with stream_url(peer.origin, (), timeout=30, admit=anywhere) as opened:
            assert opened.header("location") == "/b"
            assert next(opened.chunks())
        assert len(peer.requests) == 1


def test_an_address_that_is_not_admitted_gets_no_connection() -> None:
    """The host's addresses are judged before anything is sent, under each of their names."""
    with Peer(always(answer())) as peer:
        for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1"):
            with (
                pytest.raises(RefusedAddressError),
                stream_url(
                    f"http://{host}:{peer.port}/", (), timeout=30, admit=lambda one: not one.is_loopback
                ),
            ):
                pass
    assert peer.connections == 0


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    """A name that changes its address after it was judged gains nothing; TLS checks the name all the same."""
    answers = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("10.0.0.1")]
    judged: list[object] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "relay.test"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (str(answers.pop(0)), port))]

    with Peer(always(answer(b"abc")), tls=certificates.context) as peer:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with stream_url(
            f"https://relay.test:{peer.port}/",
            (),
            timeout=30,
            admit=lambda one: not judged.append(one),  # type: ignore[func-returns-value]
            verify=certificates.authority,
        ) as opened:
            assert b"".join(opened.chunks()) == b"abc"
    assert [str(one) for one in judged] == ["127.0.0.1"]


def test_only_admitted_addresses_of_several_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a name has a private and a public address, the private one is left out."""
    with Peer(always(answer(b"abc"))) as peer:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, peer.port))
            for address in ("127.0.0.9", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        allowed = ipaddress.ip_address("127.0.0.1")
        with stream_url(
            f"http://a.test:{peer.port}/", (), timeout=30, admit=lambda one: one == allowed
        ) as opened:
            assert opened.status == 200


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(lambda peer, *_: peer.pause(), id="silence"),
        pytest.param(_trickle(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"), id="head"),
        pytest.param(_trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="100-continue"),
        pytest.param(always(b"", close=True), id="nothing"),
        pytest.param(always(b"SSH-2.0\r\n\r\n", close=True), id="garbage"),
    ],
)
def test_a_stream_that_does_not_begin(serve: Any) -> None:
    """A head that does not come in time, or is none, is a StreamError, soon."""
    with Peer(serve) as peer:
        started = time.monotonic()
        with pytest.raises(StreamError), stream_url(peer.origin, (), timeout=0.4, admit=anywhere):
            pass
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("stall", [False, True])
@pytest.mark.parametrize("proxied", [False, True])
def test_a_stream_that_breaks_off(stall: bool, proxied: bool) -> None:
    """A body that ends early or stalls is a StreamError after what came, through a proxy too."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.heard(client)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        if stall:
            peer.pause()

    with Peer(serve) as peer:
        url = "http://relay.test/" if proxied else peer.origin
        proxy = peer.origin if proxied else None
        with stream_url(url, (), timeout=0.4, admit=anywhere, proxy=proxy) as opened:
            chunks = opened.chunks()
            assert next(chunks) == b"abc"
            with pytest.raises(StreamError):
                next(chunks)


def test_a_stream_through_a_proxy() -> None:
    """The proxy resolves the name; an address in the URL, however it is spelt, is judged before."""
    with Peer(always(answer(b"abc"), close=True)) as proxy:
        through = f"http://127.0.0.1:{proxy.port}"
        with stream_url(
            "http://relay.test/a", (), timeout=30, admit=lambda _: False, proxy=through
        ) as opened:
            assert (opened.status, b"".join(opened.chunks())) == (200, b"abc")
        for host in ("10.0.0.1", "[::1]", "167772161", "0xa.1"):
            with (
                pytest.raises(RefusedAddressError),
                stream_url(f"http://{host}/a", (), timeout=30, admit=lambda _: False, proxy=through),
            ):
                pass
        assert proxy.connections == 1
        assert b"accept-encoding: identity\r\n" in proxy.requests[0].lower()


@pytest.mark.parametrize("url", ["ftp://a/b", "/b", "http://", "http://a:b/", "http://[::1/", "http://a..b/"])
def test_what_is_no_url_is_no_stream(url: str) -> None:
    """A URL from a relay may be anything."""
    with pytest.raises(StreamError), stream_url(url, (), timeout=30, admit=anywhere):
        pass


def test_an_error_of_the_callers_own_stays_what_it_is() -> None:
    """What is raised inside the with block is not taken for trouble on the way."""
    with (
        Peer(always(answer())) as peer,
        pytest.raises(OSError, match="disk"),
        stream_url(peer.origin, (), timeout=30, admit=anywhere),
    ):
        raise OSError("the disk is full")


# Routes


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("https://relay.test", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://relay.test", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://relay.test", {"ALL_PROXY": "p:1"}, "http://p:1"),
        ("https://relay.test:8443", {"ALL_PROXY": "p:1", "NO_PROXY": "relay.test:8443"}, None),
        ("https://relay.test", {"ALL_PROXY": "", "HTTPS_PROXY": ""}, None),
        ("http://[::1]:1", {"ALL_PROXY": "p:1"}, None),
        ("http://127.0.0.2", {"ALL_PROXY": "p:1"}, None),
    ],
)
def test_which_proxy(
    url: str, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment names a proxy by scheme, or for all, and never for this machine."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _route.proxy(url, None) == expected
