"""The way to a host: its address, a proxy where one stands before it, and whose certificates are trusted."""

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
from mjrelay.transport.response import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Callable


Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Found = list[Any] | Exception
"""What `socket.getaddrinfo` returned or raised."""

CONNECT = 5.0
"""Seconds that one address of a host has to take a connection."""


class ConnectError(ExchangeError):
    """There is no connection to a host. The cause, if any, is the operating system's error."""


class RefusedError(ConnectError):
    """None of a host's addresses may be connected to."""


@frozen
class HostPort:
    """The host and port of an origin; ``authority`` is both as the Host field has them."""

    host: str
    port: int
    tls: bool
    authority: str

    @classmethod
    def of(cls, url: str) -> HostPort:
        """The place of a URL; raises ValueError for one without a host."""
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in {"http", "https"}:
            raise ValueError("no http or https URL")
        host, tls = parts.hostname.encode("idna").decode("ascii"), parts.scheme == "https"
        authority = (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port else "")
        return cls(host, parts.port or (443 if tls else 80), tls, authority)


def proxy(url: str, given: str | None) -> str | None:
    """
    The proxy for a URL: the one given, else the environment's, else the system's, else None.

    An empty one given means that none is used; a loopback address has none unless one is given.
    """
    if given is not None:
        return given or None
    system = sys.platform in {"darwin", "win32"}
    if is_loopback_url(url) or not (system or any(name.lower().endswith("_proxy") for name in os.environ)):
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - as slow to import as all else here

    proxies, parts = getproxies(), urlsplit(url)
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return found if "://" in found else f"http://{found}"


def tls_context(verify: bool | str | ssl.SSLContext) -> ssl.SSLContext:
    """
    What TLS trusts; True means ``SSL_CERT_FILE``, else ``SSL_CERT_DIR``, else the certificates of certifi.

    Raises `SettingError` for certificates that cannot be read.
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


@lru_cache(maxsize=8)  # reading a bundle of certificates takes longer than using it
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
                f"no certificates can be read from {trusted!r} ({error}); check verify= and SSL_CERT_FILE"
            ) from error
    made.set_alpn_protocols(["http/1.1"])
    return made


def dial(
    place: HostPort,
    tls: ssl.SSLContext | None,
    left: Callable[[], float],
    admit: Callable[[Address], bool] | None = None,
) -> socket.socket:
    """
    A socket connected to one of the addresses that ``admit`` lets pass, with TLS to the host's own name.

    ``left`` says how many seconds remain, and raises when there are none. Raises `ExchangeError`, as
    `RefusedError` where no address was admitted.
    """
    try:
        found = _addresses(place, left())
    except (OSError, UnicodeError) as error:
        raise unreachable(place, error) from error
    if admit is not None:
        found = [one for one in found if admit(ipaddress.ip_address(one[4][0].partition("%")[0]))]
        if not found:
            raise RefusedError(f"{place.authority} has no address that may be connected to")
    for rest, (family, kind, number, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        line = socket.socket(family, kind, number)
        close_after_fork(line)
        try:
            line.settimeout(min(CONNECT, left() / rest))
            line.connect(address)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.settimeout(left())
            if tls is not None:
                line = tls.wrap_socket(line, server_hostname=place.host, do_handshake_on_connect=False)
                close_after_fork(line)
                line.do_handshake()
        except OSError as error:
            line.close()
            if rest == 1:
                raise unreachable(place, error) from error
        except BaseException:
            line.close()
            raise
        else:
            return line
    raise AssertionError("a host has an address")


def unreachable(place: HostPort, error: Exception) -> ConnectError:
    """Says that there is no connection to a place, and why."""
    reason = getattr(error, "strerror", None) or str(error) or "it takes too long"
    return ConnectError(f"no connection to {place.authority} ({reason})")


def _addresses(place: HostPort, seconds: float) -> list[Any]:
    answers: SimpleQueue[Found] = SimpleQueue()
    look_up(place, answers.put)
    try:
        found = answers.get(timeout=seconds)
    except Empty as error:
        raise TimeoutError("its name was not resolved in time") from error
    if isinstance(found, Exception):
        raise found
    return found


def look_up(place: HostPort, tell: Callable[[Found], object]) -> None:
    """
    Have the addresses of a host told, or why there are none.

    A name is looked up in a thread that nobody waits for: the system's resolver keeps to no deadline but its
    own. ``tell`` is called there.
    """
    try:
        ipaddress.ip_address(place.host)
    except ValueError:
        threading.Thread(target=_resolve, args=(place, tell), daemon=True).start()
    else:
        _resolve(place, tell)


def _resolve(place: HostPort, tell: Callable[[Found], object]) -> None:
    found: Found
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        found = error
    tell(found)
