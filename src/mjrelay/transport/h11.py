"""
The default transport: h11 over sockets and asyncio.

A relay is one origin, so that it needs a list of idle connections, not a pool for many origins and protocols.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from mjrelay.base import SettingError, close_after_fork
from mjrelay.transport.failures import connect_error
from mjrelay.transport.protocol import ClientProtocol
from mjrelay.transport.response import (
    CLOSED,
    ExchangeError,
    ResponseBuilder,
    may_be_repeated,
    with_encoding,
)
from mjrelay.transport.route import CONNECT, HostPort, LookUpResult, dial, look_up, receive, tls_context
from mjrelay.transport.transport import LARGEST_BODY, warn_unclosed

if TYPE_CHECKING:
    from mjrelay.http import Exchange, Request
    from mjrelay.transport.transport import TransportConfig


IDLE_SECONDS = 60.0
"""How long an idle connection is kept. Firewalls drop idle connections without closing them."""

_READ_SIZE = 64 * 1024


class _IdleConnection(Protocol):
    """A connection that can be idle."""

    expires: float

    def expired(self) -> bool: ...
    def close(self) -> None: ...


C = TypeVar("C", bound=_IdleConnection)


class _IdleConnections(Generic[C]):
    """Idle connections, the last one used first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[C] | None = []

    def __bool__(self) -> bool:
        return bool(self._connections)

    def take(self) -> C | None:
        """Return a usable connection, or None; raise `SettingError` after `close`."""
        while True:
            with self._lock:
                if self._connections is None:
                    raise SettingError(CLOSED)
                if not self._connections:
                    return None
                connection = self._connections.pop()
            if not connection.expired():
                return connection
            connection.close()

    def put(self, connection: C) -> None:
        """Keep a connection, unless `close` was called, and close the oldest one if it has expired."""
        now = time.monotonic()
        old: C | None = None
        connection.expires = now + IDLE_SECONDS
        with self._lock:
            if self._connections is None:
                old = connection
            else:
                self._connections.append(connection)
                if self._connections[0].expires < now:
                    old = self._connections.pop(0)
        if old is not None:
            old.close()

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections or [], None
        for connection in connections:
            connection.close()


def _request_bytes(protocol: ClientProtocol, request: Request) -> bytes:
    return protocol.request_bytes(
        request.method, request.target, with_encoding(request.headers), request.body
    )


class _Connection:
    """A blocking connection."""

    def __init__(self, sock: socket.socket, authority: str) -> None:
        self._socket, self._protocol = sock, ClientProtocol(authority)
        self._readable = _Selector()
        self._readable.register(sock, selectors.EVENT_READ)
        self.expires = 0.0

    @property
    def awaiting_response(self) -> bool:
        return self._protocol.awaiting_response

    def exchange(self, request: Request, builder: ResponseBuilder) -> None:
        """Send a request and receive the response."""
        sock, protocol = self._socket, self._protocol
        sock.settimeout(builder.left())
        with suppress(ConnectionError):  # the response may have arrived before the server closed
            sock.sendall(_request_bytes(protocol, request))  # not in a variable, which a traceback could show
        while not protocol.receive(receive(sock, _READ_SIZE), builder):
            sock.settimeout(builder.left())

    def start_next(self) -> bool:
        return self._protocol.start_next()

    def expired(self) -> bool:
        """Return whether it is too old, or readable: closed by the server, or with unexpected bytes."""
        return time.monotonic() > self.expires or bool(self._readable.select(0))

    def close(self) -> None:
        self._readable.close()
        self._socket.close()


_Selector = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)  # select() fails from descriptor 1024 on


class H11Transport:
    """`Transport` over h11 and sockets."""

    def __init__(self, config: TransportConfig) -> None:
        self._config, self._peer = config, HostPort.of(config.origin)
        self._tls = tls_context(config.verify) if self._peer.tls else None
        self._idle: _IdleConnections[_Connection] = _IdleConnections()
        self._slots = threading.Semaphore(config.connections)

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        builder = ResponseBuilder(self._config, request, timeout, largest)
        if not self._slots.acquire(timeout=max(0.0, timeout)):
            return builder.fail(builder.late, unsent=True)
        connection: _Connection | None = None
        try:
            if (connection := self._idle.take()) is not None:
                try:
                    connection.exchange(request, builder)
                except (ExchangeError, OSError):
                    if not may_be_repeated(request) or not connection.awaiting_response:
                        raise
                    connection.close()
                    connection = None
            if connection is None:
                sock = dial(self._peer, self._tls, builder.left)
                connection = _Connection(sock, self._peer.authority)
                connection.exchange(request, builder)
            if connection.start_next():
                self._idle.put(connection)
                connection = None
            return builder.finish()
        except (ExchangeError, OSError) as error:
            return builder.fail(error, unsent=connection is None and not may_be_repeated(request))
        finally:
            if connection is not None:
                connection.close()
            self._slots.release()

    def close(self) -> None:
        self._idle.close()


class _AsyncConnection(asyncio.Protocol):
    """A connection of an event loop. The response is parsed in `data_received`."""

    def __init__(self, authority: str) -> None:
        self._protocol, self._loop = ClientProtocol(authority), asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._builder: ResponseBuilder
        self._done: asyncio.Future[None] | None = None
        self._notified = False
        self.expires = 0.0

    @property
    def awaiting_response(self) -> bool:
        return self._protocol.awaiting_response

    async def exchange(self, request: Request, builder: ResponseBuilder) -> None:
        """Send a request and receive the response."""
        self._builder, self._done = builder, self._loop.create_future()
        self._transport.write(_request_bytes(self._protocol, request))
        await self._done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because the transports of uvloop do not derive from those of asyncio.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes | None) -> None:
        if self._done is None or self._done.done():
            self._transport.abort()  # unexpected bytes
            return
        try:
            if self._protocol.receive(data, self._builder):
                self._done.set_result(None)
        except ExchangeError as error:
            self._done.set_exception(error)

    def eof_received(self) -> None:
        # asyncio calls this also without close_notify; only after it another read returns no bytes.
        if (tls := self._transport.get_extra_info("ssl_object")) is not None:
            with suppress(ssl.SSLError):
                self._notified = not tls.read(1)

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is None or self._done.done():
            return
        if error is None:
            tls = self._transport.get_extra_info("ssl_object") is not None
            self.data_received(None if tls and not self._notified else b"")
        else:
            self._done.set_exception(error)

    def start_next(self) -> bool:
        return self._protocol.start_next()

    def expired(self) -> bool:
        """Return whether it is too old, closed, or of another event loop."""
        return not self._in_own_loop() or self._transport.is_closing() or time.monotonic() > self.expires

    def close(self) -> None:
        if self._in_own_loop():
            self._transport.abort()
        else:
            with suppress(RuntimeError):  # its loop has ended
                self._loop.call_soon_threadsafe(self._transport.abort)

    def _in_own_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


class AsyncH11Transport:
    """`AsyncTransport` over h11 and asyncio."""

    def __init__(self, config: TransportConfig) -> None:
        self._process = os.getpid()
        self._idle: _IdleConnections[_AsyncConnection] = _IdleConnections()
        self._config, self._peer = config, HostPort.of(config.origin)
        self._tls = tls_context(config.verify) if self._peer.tls else None
        self._slots: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        builder = ResponseBuilder(self._config, request, timeout, largest)
        connection: _AsyncConnection | None = None
        try:
            async with asyncio.timeout(timeout), self._loop_slots():
                if (connection := self._idle.take()) is not None:
                    try:
                        await connection.exchange(request, builder)
                    except (ExchangeError, OSError):
                        if not may_be_repeated(request) or not connection.awaiting_response:
                            raise
                        connection.close()
                        connection = None
                if connection is None:
                    connection = await self._dial(builder)
                    await connection.exchange(request, builder)
                if connection.start_next():
                    self._idle.put(connection)
                    connection = None
                return builder.finish()
        except (ExchangeError, OSError) as error:
            return builder.fail(error, unsent=connection is None and not may_be_repeated(request))
        finally:
            if connection is not None:
                connection.close()

    async def close(self) -> None:
        self._idle.close()
        await asyncio.sleep(0)  # the loop closes the sockets in its next iteration

    def __del__(self) -> None:
        # The loop would keep the sockets open without a warning. A child process has only copies of them.
        if self._process == os.getpid() and self._idle:
            warn_unclosed(self, self._config.origin)
            self._idle.close()

    def _loop_slots(self) -> asyncio.Semaphore:
        """Return the semaphore of the running event loop; one semaphore cannot serve two loops."""
        loop, slots = asyncio.get_running_loop(), self._slots
        if slots is None or slots[0] is not loop:
            self._slots = slots = (loop, asyncio.Semaphore(self._config.connections))
        return slots[1]

    async def _dial(self, builder: ResponseBuilder) -> _AsyncConnection:
        peer, loop = self._peer, asyncio.get_running_loop()
        try:
            addresses = await _addresses(peer)
        except (OSError, UnicodeError) as error:
            raise connect_error(peer.authority, error) from error
        for rest, (family, kind, number, _, address) in zip(
            range(len(addresses), 0, -1), addresses, strict=True
        ):
            try:
                sock = socket.socket(family, kind, number)
                close_after_fork(sock)
                try:
                    sock.setblocking(False)
                    async with asyncio.timeout(min(CONNECT, builder.left() / rest)):
                        # With a zone (``%eth0``) in the address, the loop would look it up again.
                        await loop.sock_connect(sock, (address[0].partition("%")[0], *address[1:]))
                except BaseException:
                    sock.close()
                    raise
                _, connection = await loop.create_connection(
                    lambda: _AsyncConnection(peer.authority),
                    sock=sock,
                    ssl=self._tls,
                    server_hostname=peer.host if self._tls else None,
                    ssl_handshake_timeout=builder.left() if self._tls else None,
                )
            except OSError as error:
                if rest == 1:
                    raise connect_error(peer.authority, error) from error
            else:
                return connection
        raise AssertionError("a host has an address")


async def _addresses(peer: HostPort) -> list[Any]:
    """Return the addresses of a host. The loop's own threads may be busy, and block its shutdown."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[LookUpResult] = loop.create_future()

    def set_result(addresses: LookUpResult) -> None:
        if not result.done():
            result.set_result(addresses)

    def deliver(addresses: LookUpResult) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(set_result, addresses)

    look_up(peer, deliver)
    addresses = await result
    if isinstance(addresses, Exception):
        raise addresses
    return addresses
