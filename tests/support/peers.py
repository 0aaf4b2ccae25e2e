"""Servers on loopback that misbehave below the level of HTTP, and a proxy."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

import pytest
from attrs import define, field

if TYPE_CHECKING:
    import ssl

Serve = Callable[["Peer", socket.socket, int], object]
"""Handles a connection; the number counts from 1."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

_held: list[socket.socket] = []


@define(eq=False)
class Peer:
    """
    A server that handles each connection by a function.

    Its port stays bound until the test is over, so that no request reaches the server of another test.

    Attributes:
        requests: The requests received.
        connections: Number of connections.
        origin: Scheme, host and port.
    """

    serve: Serve
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
                threading.Thread(target=self._handle, args=(client, self.connections), daemon=True).start()

    def _handle(self, client: socket.socket, number: int) -> None:
        try:
            with contextlib.suppress(OSError):
                if self.tls is not None:
                    client = self.tls.wrap_socket(client, server_side=True)
                self.serve(self, client, number)
        finally:
            client.close()

    def receive(self, client: socket.socket) -> bytes:
        """Return the next request, or nothing if the connection has ended."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = client.recv(65536)
            if not piece or piece.startswith(b"\x16"):  # a TLS handshake has no end that is known here
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")):
            while name.lower() == b"content-length" and len(body) < int(value):
                body += client.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def pause(self, seconds: float = 30.0) -> bool:
        """Wait until the test is over, but not longer; return whether it is over."""
        return self._over.wait(seconds)


@pytest.fixture(autouse=True)
def _release_ports() -> Iterator[None]:
    yield
    while _held:
        listener = _held.pop()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """Yield the origin of a port that is bound, so that no other server gets it, and refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def response(body: bytes = b"{}", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a well-formed response."""
    return (
        b"\r\n".join((b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields)) + b"\r\n\r\n" + body
    )


def chunked(data: bytes, *fields: bytes) -> bytes:
    """Return a response in one chunk."""
    head = HEAD + b"".join(one + b"\r\n" for one in fields) + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


def gzip_bomb(size: int) -> bytes:
    """Return so many zeros, compressed."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def always(*pieces: bytes, close: bool = False) -> Serve:
    """Answer each request with these bytes, and close the connection after them if requested."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        while peer.receive(client):
            for piece in pieces:
                client.sendall(piece)
            if close:
                return

    return serve


def drip(first: bytes, piece: bytes, pause: float = 0.02) -> Serve:
    """Send some bytes and then a piece again and again."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        client.sendall(first)
        while not peer.pause(pause):
            client.sendall(piece)

    return serve


def silent(peer: Peer, _client: socket.socket, _number: int) -> None:
    """Send nothing."""
    peer.pause()


def reset(_peer: Peer, client: socket.socket, _number: int) -> None:
    """Close the connection with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut(data: bytes) -> Serve:
    """Answer a request with these bytes, and end the connection without the close_notify of TLS."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)

    return serve


def notify(data: bytes) -> Serve:
    """Answer a request with these bytes, and end TLS with close_notify."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        client.sendall(data)
        client.unwrap()  # type: ignore[attr-defined]

    return serve


def proxy_to(peer: Peer) -> Serve:
    """Be a proxy that connects to one peer, whatever host is requested."""

    def forward(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)

    def serve(proxy: Peer, client: socket.socket, _: int) -> None:
        request = proxy.receive(client)
        with socket.create_connection((peer.host, peer.port)) as server:
            if request.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(request)
            back = threading.Thread(target=forward, args=(server, client), daemon=True)
            back.start()
            forward(client, server)
            back.join()

    return serve
