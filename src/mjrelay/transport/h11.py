"""
The wire that comes with the package: connections of its own to one origin, over h11.

A pool for many origins and protocols costs more with each connection that it holds; one origin needs a list.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from mjrelay.base import SettingError, close_after_fork
from mjrelay.transport.protocol import ClientProtocol
from mjrelay.transport.response import CLOSED, ExchangeError, ResponseBuilder, with_encoding
from mjrelay.transport.route import CONNECT, Found, HostPort, dial, look_up, tls_context, unreachable
from mjrelay.transport.transport import LARGEST_BODY

if TYPE_CHECKING:
    from mjrelay.http import Exchange, Request
    from mjrelay.transport.transport import TransportConfig


KEPT = 60.0
"""Seconds that an idle connection is kept; what stands between forgets connections without a word."""

_PIECE = 64 * 1024


class _Kept(Protocol):
    """What the list of idle connections knows of one."""

    kept_until: float

    def expired(self) -> bool: ...
    def close(self) -> None: ...


C = TypeVar("C", bound=_Kept)


class _Idle(Generic[C]):
    """Connections that wait for a request; the one that was used last is used next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[C] | None = []

    def take(self) -> C | None:
        """One that is still good, if there is any; raises `SettingError` after `close`."""
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
        """Keep one, unless `close` was called; the one that waits longest is let go when its time is over."""
        now = time.monotonic()
        old: C | None = None
        connection.kept_until = now + KEPT
        with self._lock:
            if self._connections is None:
                old = connection
            else:
                self._connections.append(connection)
                if self._connections[0].kept_until < now:
                    old = self._connections.pop(0)
        if old is not None:
            old.close()

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections or [], None
        for connection in connections:
            connection.close()


def _asked(talk: ClientProtocol, request: Request) -> bytes:
    return talk.ask(request.method, request.target, with_encoding(request.headers), request.body)


class _Connection:
    """One connection of a thread."""

    def __init__(self, line: socket.socket, authority: str) -> None:
        self._line, self._talk = line, ClientProtocol(authority)
        self._readable = _Selector()
        self._readable.register(line, selectors.EVENT_READ)
        self.kept_until = 0.0

    @property
    def silent(self) -> bool:
        return self._talk.silent

    def carry(self, request: Request, answer: ResponseBuilder) -> None:
        """Send a request and take its answer to the end."""
        line, talk = self._line, self._talk
        line.settimeout(answer.left())
        with suppress(ConnectionError):  # who closes early may have answered before
            line.sendall(_asked(talk, request))  # in no variable, which a traceback could show
        while not talk.hear(line.recv(_PIECE), answer):
            line.settimeout(answer.left())

    def renew(self) -> bool:
        return self._talk.renew()

    def expired(self) -> bool:
        """Whether it is too old, or its end, or bytes that nobody asked for, have come."""
        return time.monotonic() > self.kept_until or bool(self._readable.select(0))

    def close(self) -> None:
        self._readable.close()
        self._line.close()


_Selector = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)  # select() fails from descriptor 1024 on


class H11Transport:
    """`Transport` over connections of our own."""

    def __init__(self, link: TransportConfig) -> None:
        self._link, self._place = link, HostPort.of(link.origin)
        self._tls = tls_context(link.verify) if self._place.tls else None
        self._idle: _Idle[_Connection] = _Idle()
        self._slots = threading.Semaphore(link.connections)

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        answer = ResponseBuilder(self._link, request, timeout, largest)
        if not self._slots.acquire(timeout=max(0.0, timeout)):
            return answer.failed(answer.late)
        connection: _Connection | None = None
        try:
            if (connection := self._idle.take()) is not None:
                try:
                    connection.carry(request, answer)
                except (ExchangeError, OSError):
                    if request.method != "GET" or not connection.silent:
                        raise
                    connection.close()
                    connection = None
            if connection is None:
                line = dial(self._place, self._tls, answer.left)
                connection = _Connection(line, self._place.authority)
                connection.carry(request, answer)
            if connection.renew():
                self._idle.put(connection)
                connection = None
            return answer.end()
        except (ExchangeError, OSError) as error:
            return answer.failed(error)
        finally:
            if connection is not None:
                connection.close()
            self._slots.release()

    def close(self) -> None:
        self._idle.close()


class _AsyncConnection(asyncio.Protocol):
    """One connection of an event loop; the answer is heard where it comes in, and waited for once."""

    def __init__(self, authority: str) -> None:
        self._talk, self._loop = ClientProtocol(authority), asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._answer: ResponseBuilder
        self._done: asyncio.Future[None] | None = None
        self.kept_until = 0.0

    @property
    def silent(self) -> bool:
        return self._talk.silent

    async def carry(self, request: Request, answer: ResponseBuilder) -> None:
        """Send a request and take its answer to the end."""
        self._answer, self._done = answer, self._loop.create_future()
        self._transport.write(_asked(self._talk, request))
        await self._done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked by its class: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._done is None or self._done.done():
            self._transport.abort()  # nobody asked for this
            return
        try:
            if self._talk.hear(data, self._answer):
                self._done.set_result(None)
        except ExchangeError as error:
            self._done.set_exception(error)

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is None or self._done.done():
            return
        if error is None:
            self.data_received(b"")
        else:
            self._done.set_exception(error)

    def renew(self) -> bool:
        return self._talk.renew()

    def expired(self) -> bool:
        """Whether it is too old, or has ended, or belongs to another event loop."""
        return not self._at_home() or self._transport.is_closing() or time.monotonic() > self.kept_until

    def close(self) -> None:
        if self._at_home():
            self._transport.abort()
        else:
            with suppress(RuntimeError):  # its loop has ended
                self._loop.call_soon_threadsafe(self._transport.abort)

    def _at_home(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


class AsyncH11Transport:
    """`AsyncTransport` over connections of our own."""

    def __init__(self, link: TransportConfig) -> None:
        self._link, self._place = link, HostPort.of(link.origin)
        self._tls = tls_context(link.verify) if self._place.tls else None
        self._idle: _Idle[_AsyncConnection] = _Idle()
        self._slots: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        answer = ResponseBuilder(self._link, request, timeout, largest)
        connection: _AsyncConnection | None = None
        try:
            async with asyncio.timeout(timeout), self._slots_here():
                if (connection := self._idle.take()) is not None:
                    try:
                        await connection.carry(request, answer)
                    except (ExchangeError, OSError):
                        if request.method != "GET" or not connection.silent:
                            raise
                        connection.close()
                        connection = None
                if connection is None:
                    connection = await self._dial(answer)
                    await connection.carry(request, answer)
                if connection.renew():
                    self._idle.put(connection)
                    connection = None
                return answer.end()
        except (ExchangeError, OSError) as error:
            return answer.failed(error)
        finally:
            if connection is not None:
                connection.close()

    async def close(self) -> None:
        self._idle.close()
        await asyncio.sleep(0)  # the loop closes the sockets in its next round

    def _slots_here(self) -> asyncio.Semaphore:
        """The slots of the running event loop; a semaphore cannot be waited for in two."""
        loop, slots = asyncio.get_running_loop(), self._slots
        if slots is None or slots[0] is not loop:
            self._slots = slots = (loop, asyncio.Semaphore(self._link.connections))
        return slots[1]

    async def _dial(self, answer: ResponseBuilder) -> _AsyncConnection:
        place, loop = self._place, asyncio.get_running_loop()
        try:
            found = await _addresses(place)
        except (OSError, UnicodeError) as error:
            raise unreachable(place, error) from error
        for rest, (family, kind, number, _, address) in zip(range(len(found), 0, -1), found, strict=True):
            try:
                line = socket.socket(family, kind, number)
                close_after_fork(line)
                try:
                    line.setblocking(False)
                    async with asyncio.timeout(min(CONNECT, answer.left() / rest)):
                        # Its zone is a number behind the address; in it, the loop would look it up again.
                        await loop.sock_connect(line, (address[0].partition("%")[0], *address[1:]))
                except BaseException:
                    line.close()
                    raise
                _, connection = await loop.create_connection(
                    lambda: _AsyncConnection(place.authority),
                    sock=line,
                    ssl=self._tls,
                    server_hostname=place.host if self._tls else None,
                    ssl_handshake_timeout=answer.left() if self._tls else None,
                )
            except OSError as error:
                if rest == 1:
                    raise unreachable(place, error) from error
            else:
                return connection
        raise AssertionError("a host has an address")


async def _addresses(place: HostPort) -> list[Any]:
    """The addresses of a host, from no thread of the loop's own, which others may fill and its end awaits."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Found] = loop.create_future()

    def take(found: Found) -> None:
        if not told.done():
            told.set_result(found)

    def tell(found: Found) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(take, found)

    look_up(place, tell)
    found = await told
    if isinstance(found, Exception):
        raise found
    return found
