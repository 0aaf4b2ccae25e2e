"""Stream the response to a GET from an address that is checked before the connection (against SSRF)."""

from __future__ import annotations

import ipaddress
import socket
import string
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from attrs import define, field

from mjrelay.transport import route as _route
from mjrelay.transport.failures import RefusedError
from mjrelay.transport.protocol import ClientProtocol
from mjrelay.transport.response import ExchangeError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from mjrelay.http import Headers

    Admit = Callable[[_route.Address], bool]


_READ_SIZE = 256 * 1024


class StreamError(Exception):
    """A stream cannot be opened, or is truncated."""


class RefusedAddressError(StreamError):
    """The host has no allowed address."""


@define
class Stream:
    """A response whose body has not been read yet."""

    status: int
    headers: Headers = field(repr=False)
    _pieces: Iterator[bytes] = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return the first value of a header field, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def chunks(self) -> Iterator[bytes]:
        """
        Yield the pieces of the body as received, without decompression.

        A piece may be empty, so that the caller can check a deadline.

        Raises:
            StreamError: The body is truncated.
        """
        with _converted_errors():
            yield from self._pieces


@contextmanager
def stream_url(
    url: str,
    headers: Headers,
    *,
    timeout: float,
    admit: Admit,
    proxy: str | None = None,
    verify: bool | str | ssl.SSLContext = True,
) -> Iterator[Stream]:
    """
    Send a GET and open the response. Redirects are not followed.

    The name is looked up once, and the connection goes to an allowed address (no DNS rebinding).
    A proxy looks names up itself, so that only an address in the URL can be checked.

    Args:
        url: An http or https URL.
        headers: Header fields to send, besides Host, Accept-Encoding and Connection.
        timeout: Seconds for the response head, and then for each read. Through a proxy: for each read.
        admit: Returns whether an address may be connected to.
        proxy: See `TransportConfig`.
        verify: See `TransportConfig`.

    Raises:
        StreamError: The connection failed, or the response is not valid.
        RefusedAddressError: ``admit`` allows none of the addresses.
        SettingError: The proxy or the certificates cannot be used.
    """
    try:
        peer = _route.HostPort.of(url)
    except ValueError as error:
        raise StreamError(f"the URL cannot be fetched ({error})") from error
    fields = (*headers, ("Accept-Encoding", "identity"), ("Connection", "close"))
    through = _route.proxy(url, proxy)
    with ExitStack() as held:
        with _converted_errors():  # the errors of the caller's block are not converted
            if through is None:
                opened = held.enter_context(_direct(url, fields, timeout=timeout, admit=admit, verify=verify))
            else:
                _check_literal_address(peer, admit)
                from mjrelay.transport.httpx import download  # noqa: PLC0415 - httpx is slow to import

                parts = download(url, fields, timeout=timeout, proxy=through, verify=verify)
                opened = Stream(*held.enter_context(parts))
        yield opened


class _Received:
    """The part of a response that was received and not yet yielded."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: Headers = ()
        self.pieces: list[bytes] = []

    def begin(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers

    def add(self, piece: bytes) -> None:
        self.pieces.append(bytes(piece))


@contextmanager
def _direct(
    url: str, headers: Headers, *, timeout: float, admit: Admit, verify: bool | str | ssl.SSLContext
) -> Iterator[Stream]:
    deadline = time.monotonic() + timeout

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError(f"no response within {timeout:g} seconds")
        return seconds

    peer, parts = _route.HostPort.of(url), urlsplit(url)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=string.punctuation)
    with _route.dial(peer, _route.tls_context(verify) if peer.tls else None, left, admit) as sock:
        protocol, received = ClientProtocol(peer.authority), _Received()
        sock.sendall(protocol.request_bytes("GET", target, headers, b""))
        ended = False
        while received.status is None:
            sock.settimeout(left())
            ended = protocol.receive(_route.receive(sock, _READ_SIZE), received)
        sock.settimeout(timeout)
        yield Stream(received.status, received.headers, _rest(sock, protocol, received, ended=ended))


def _rest(
    sock: socket.socket, protocol: ClientProtocol, received: _Received, *, ended: bool
) -> Iterator[bytes]:
    while True:
        yield b"".join(received.pieces)
        received.pieces.clear()
        if ended:
            return
        ended = protocol.receive(_route.receive(sock, _READ_SIZE), received)


def _check_literal_address(peer: _route.HostPort, admit: Admit) -> None:
    """Raise `RefusedError` for a host that is an address, in any notation, and not allowed."""
    host = peer.host.rstrip(".")
    try:
        address: _route.Address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return
    if not admit(address):
        raise RefusedError(f"{peer.authority} is not an allowed address")


@contextmanager
def _converted_errors() -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        raise RefusedAddressError(str(error)) from error
    except (ExchangeError, OSError) as error:
        raise StreamError(str(error) or type(error).__name__) from error
