"""A connection to an origin, directly or through an HTTP proxy (RFC 9110, section 9.3.6)."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from mjrelay.base import SettingError
from mjrelay.transport.failures import connect_error, proxy_error, proxy_status_error
from mjrelay.transport.protocol import ClientProtocol
from mjrelay.transport.response import ExchangeError
from mjrelay.transport.route import HostPort, dial, proxy, receive, start_tls, tls_context

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from mjrelay.http import Headers


@frozen
class OpenConnection:
    """
    A connected socket.

    Attributes:
        sock: The socket.
        prefix: What the target of each request starts with: the origin for a proxy, else nothing.
        headers: Header fields for the proxy; they may hold a password.
    """

    sock: socket.socket
    prefix: str = ""
    headers: Headers = field(default=(), repr=False)


def open_connection(
    origin: str,
    left: Callable[[], float],
    *,
    proxy_url: str | None = None,
    verify: bool | str | ssl.SSLContext = True,
) -> OpenConnection:
    """
    Connect to an origin.

    Args:
        origin: Scheme, host and port.
        left: Returns the remaining seconds, and raises after the deadline.
        proxy_url: URL of an HTTP proxy, or an empty string for none. None means the environment's proxy.
        verify: See `TransportConfig`.

    Raises:
        ConnectError: No connection could be made.
        SettingError: The proxy or the certificates cannot be used.
    """
    peer, through = HostPort.of(origin), proxy(origin, proxy_url)
    tls = tls_context(verify) if peer.tls else None
    if through is None:
        return OpenConnection(dial(peer, tls, left))
    try:
        parts, via = urlsplit(through), HostPort.of(through)
    except ValueError:  # the error may show the password
        via = None
    if via is None or via.tls:
        raise SettingError("the proxy cannot be used here; write http://host:port")
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    fields = (
        (("Proxy-Authorization", f"Basic {b64encode(login.encode()).decode()}"),) if parts.username else ()
    )
    try:
        sock = dial(via, None, left)
    except ExchangeError as error:
        raise proxy_error(through, error.__cause__ or error) from error
    if tls is None:
        return OpenConnection(sock, origin, fields)
    try:
        _tunnel(sock, peer, through, fields, left)
        sock = secure = start_tls(sock, tls, peer.host)
        secure.settimeout(left())
        secure.do_handshake()
    except OSError as error:
        sock.close()
        raise connect_error(peer.authority, error) from error
    except BaseException:
        sock.close()
        raise
    return OpenConnection(sock)


class _Head:
    """Receives the status of a proxy's response."""

    status: int | None = None

    def begin(self, status: int, _: Headers) -> None:
        self.status = status

    def add(self, _: bytes) -> None:
        """Ignore the body."""


def _tunnel(
    sock: socket.socket, peer: HostPort, through: str, fields: Headers, left: Callable[[], float]
) -> None:
    protocol, head, target = ClientProtocol(peer.authority), _Head(), f"{peer.host}:{peer.port}"
    if ":" in peer.host:
        target = f"[{peer.host}]:{peer.port}"
    sock.settimeout(left())
    sock.sendall(protocol.request_bytes("CONNECT", target, (("Host", target), *fields), b""))
    while head.status is None:
        sock.settimeout(left())
        protocol.receive(receive(sock, 4096), head)
    if not 200 <= head.status < 300:
        raise proxy_status_error(through, head.status)
