"""One GET whose body is read as it comes, from an address that was admitted before anything was sent."""

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
from mjrelay.transport.protocol import ClientProtocol
from mjrelay.transport.response import ExchangeError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from mjrelay.http import Headers

    Admit = Callable[[_route.Address], bool]


_PIECE = 256 * 1024


class StreamError(Exception):
    """A stream cannot be opened, or breaks off, for the reason given."""


class RefusedAddressError(StreamError):
    """The host has no address that was admitted."""


@define
class Stream:
    """The answer to a GET whose body is still to be read."""

    status: int
    headers: Headers = field(repr=False)
    _pieces: Iterator[bytes] = field(repr=False)

    def header(self, name: str) -> str | None:
        """The first value of a header field."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def chunks(self) -> Iterator[bytes]:
        """
        The body as it was sent, in pieces as they come; raises `StreamError` where it breaks off.

        A piece may be empty: what belongs to no body came, and whoever reads may look at the time.
        """
        with _told():
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
    One GET; no redirect is followed, and nothing is sent but these header fields.

    The host is resolved here, and the connection goes to an address that ``admit`` lets pass, whatever the
    name resolves to a moment later; TLS still checks the name. Through a proxy, which resolves names itself,
    only an address that stands in the URL can be judged. ``timeout`` bounds the head in all and then each
    wait; through a proxy each wait.

    Raises `StreamError`, as `RefusedAddressError` where no address was admitted, and `SettingError` for a
    proxy or certificates that cannot be used.
    """
    try:
        place = _route.HostPort.of(url)
    except ValueError as error:
        raise StreamError(f"this is no URL that can be fetched ({error})") from error
    fields = (*headers, ("Accept-Encoding", "identity"), ("Connection", "close"))
    through = _route.proxy(url, proxy)
    with ExitStack() as held:
        with _told():  # not around the caller's block, whose errors are its own
            if through is None:
                opened = held.enter_context(_direct(url, fields, timeout=timeout, admit=admit, verify=verify))
            else:
                _judge(place, admit)
                from mjrelay.transport.httpx import download  # noqa: PLC0415 - httpx is slow to import

                parts = download(url, fields, timeout=timeout, proxy=through, verify=verify)
                opened = Stream(*held.enter_context(parts))
        yield opened


class _Heard:
    """What has come and was not handed on yet."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: Headers = ()
        self.pieces: list[bytes] = []

    def begin(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers

    def take(self, piece: bytes) -> None:
        self.pieces.append(bytes(piece))


@contextmanager
def _direct(
    url: str, headers: Headers, *, timeout: float, admit: Admit, verify: bool | str | ssl.SSLContext
) -> Iterator[Stream]:
    deadline = time.monotonic() + timeout

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError(f"no answer within {timeout:g} seconds")
        return seconds

    place, parts = _route.HostPort.of(url), urlsplit(url)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=string.punctuation)
    with _route.dial(place, _route.tls_context(verify) if place.tls else None, left, admit) as line:
        talk, heard = ClientProtocol(place.authority), _Heard()
        line.sendall(talk.ask("GET", target, headers, b""))
        ended = False
        while heard.status is None:
            line.settimeout(left())
            ended = talk.hear(line.recv(_PIECE), heard)
        line.settimeout(timeout)
        yield Stream(heard.status, heard.headers, _rest(line, talk, heard, ended=ended))


def _rest(line: socket.socket, talk: ClientProtocol, heard: _Heard, *, ended: bool) -> Iterator[bytes]:
    while True:
        yield b"".join(heard.pieces)
        heard.pieces.clear()
        if ended:
            return
        ended = talk.hear(line.recv(_PIECE), heard)


def _judge(place: _route.HostPort, admit: Admit) -> None:
    """Raises `RefusedError` for a host that is an address, in any of its spellings, and not admitted."""
    host = place.host.rstrip(".")
    try:
        address: _route.Address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return
    if not admit(address):
        raise _route.RefusedError(f"{place.authority} may not be connected to")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _route.RefusedError as error:
        raise RefusedAddressError(str(error)) from error
    except (ExchangeError, OSError) as error:
        raise StreamError(str(error) or type(error).__name__) from error
