"""Name lookup, connections, proxies and trusted certificates."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import sys
import threading
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen

from mjrelay.base import SettingError, close_after_fork
from mjrelay.http import is_loopback_url
from mjrelay.transport.failures import RefusedError, connect_error

if TYPE_CHECKING:
    from collections.abc import Callable


Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LookUpResult = list[Any] | Exception
"""The result or the exception of `socket.getaddrinfo`."""

CONNECT = 5.0
"""Connect timeout for each address of a host, in seconds."""


@frozen
class HostPort:
    """Host and port of an origin. ``authority`` is the value of the Host header."""

    host: str
    port: int
    tls: bool
    authority: str

    @classmethod
    def of(cls, url: str) -> HostPort:
        """The host of a URL; raises ValueError for one without a host."""
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in {"http", "https"}:
            raise ValueError("no http or https URL")
        host, tls = parts.hostname.encode("idna").decode("ascii"), parts.scheme == "https"
        authority = (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port else "")
        return cls(host, parts.port or (443 if tls else 80), tls, authority)


def proxy(url: str, given: str | None) -> str | None:
    """
    Return the proxy for a URL: the given one, or that of the environment or the operating system, or None.

    An empty string disables it. A loopback address uses a proxy only if one is given.
    """
    if given is not None:
        return given or None
    system = sys.platform in {"darwin", "win32"}
    if is_loopback_url(url) or not (system or any(name.lower().endswith("_proxy") for name in os.environ)):
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - as slow to import as all else here

    proxies, parts = getproxies(), urlsplit(url)
    result = proxies.get(parts.scheme) or proxies.get("all")
    if not result or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return result if "://" in result else f"http://{result}"


def tls_context(verify: bool | str | ssl.SSLContext) -> ssl.SSLContext:
    """
    Return the SSL context for a ``verify`` setting; see `TransportConfig`.

    Raises:
        SettingError: The certificates cannot be read.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is not True:
        return _trusting(verify or None)
    trusted = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if not trusted:
        import certifi  # noqa: PLC0415 - only needed here

        trusted = certifi.where()
    return _trusting(trusted)


@lru_cache(maxsize=8)  # loading certificates takes longer than an exchange
def _trusting(trusted: str | None) -> ssl.SSLContext:
    if trusted is None:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    else:
        where: Any = {"capath" if Path(trusted).is_dir() else "cafile": trusted}
        try:
            made = ssl.create_default_context(**where)
        except OSError as error:  # ssl.SSLError among them
            raise SettingError(
                f"cannot read certificates from {trusted!r} ({error}); check verify= and SSL_CERT_FILE"
            ) from error
    made.set_alpn_protocols(["http/1.1"])
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python sets it; see `receive`
    return made


def dial(
    peer: HostPort,
    tls: ssl.SSLContext | None,
    left: Callable[[], float],
    admit: Callable[[Address], bool] | None = None,
) -> socket.socket:
    """
    Return a socket connected to one of the host's addresses.

    Args:
        peer: Host and port.
        tls: Use TLS with this context; the certificate must be valid for the host name.
        left: Returns the remaining seconds, and raises after the deadline.
        admit: Returns whether an address may be connected to. By default all may.

    Raises:
        ConnectError: No connection could be made.
        RefusedError: ``admit`` allows none of the addresses.
    """
    try:
        result = _addresses(peer, left())
    except (OSError, UnicodeError) as error:
        raise connect_error(peer.authority, error) from error
    if admit is not None:
        result = [one for one in result if admit(ipaddress.ip_address(one[4][0].partition("%")[0]))]
        if not result:
            raise RefusedError(f"{peer.authority} has no allowed address")
    for rest, (family, kind, number, _, address) in zip(range(len(result), 0, -1), result, strict=True):
        sock = socket.socket(family, kind, number)
        close_after_fork(sock)
        try:
            sock.settimeout(min(CONNECT, left() / rest))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(left())
            if tls is not None:
                sock = secure = start_tls(sock, tls, peer.host)
                secure.do_handshake()
        except OSError as error:
            sock.close()
            if rest == 1:
                raise connect_error(peer.authority, error) from error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise AssertionError("a host has an address")


def start_tls(sock: socket.socket, tls: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Return the socket with TLS, before the handshake. An end without close_notify is an error."""
    secure = tls.wrap_socket(
        sock, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )
    close_after_fork(secure)
    return secure


def receive(sock: socket.socket, size: int) -> bytes | None:
    """
    Return received bytes: ``b""`` at the end, and None at the end of TLS without close_notify.

    TLS ends with this message. A connection that ends without it may have been cut.
    """
    try:
        return sock.recv(size)
    except ssl.SSLEOFError:
        return None


def _addresses(peer: HostPort, seconds: float) -> list[Any]:
    results: SimpleQueue[LookUpResult] = SimpleQueue()
    look_up(peer, results.put)
    try:
        result = results.get(timeout=seconds)
    except Empty as error:
        raise TimeoutError("name lookup timed out") from error
    if isinstance(result, Exception):
        raise result
    return result


def look_up(peer: HostPort, on_result: Callable[[LookUpResult], object]) -> None:
    """
    Look up the addresses of a host and pass them, or the exception, to ``on_result``.

    A name is looked up in a daemon thread, which calls ``on_result``: `socket.getaddrinfo` has no timeout.
    """
    try:
        ipaddress.ip_address(peer.host)
    except ValueError:
        threading.Thread(target=_resolve, args=(peer, on_result), daemon=True).start()
    else:
        _resolve(peer, on_result)


def _resolve(peer: HostPort, on_result: Callable[[LookUpResult], object]) -> None:
    result: LookUpResult
    try:
        result = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        result = error
    on_result(result)
