"""Explain why a connection failed, and whether a retry can succeed."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mjrelay.http import FailureKind
from mjrelay.transport.response import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Iterator


_TLS_REASONS = ("CERTIFICATE", "CIPHER", "HANDSHAKE_FAILURE", "HTTP_REQUEST", "PROTOCOL", "VERSION")
"""Parts of the names of TLS errors that a retry does not mend."""

_REFUSED_STATUS = range(400, 500)
_TRANSIENT_STATUS = {408, 425, 429}


class ConnectError(ExchangeError):
    """A connection failed. The cause, if any, is the error of the operating system."""

    unsent = True


class RefusedError(ConnectError):
    """No address of the host is allowed."""


def connect_error(authority: str, error: BaseException) -> ConnectError:
    """Return the error of a failed connection to a server, with its reason and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(authority, f"certificate verify failed: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if any(part in reason for part in _TLS_REASONS):
            return tls_refused(authority, f"TLS: {reason.replace('_', ' ').lower()}")
    kind = FailureKind.UNREACHABLE if _is_unreachable(error) else None
    return ConnectError(f"no connection to {authority} ({_reason(error)})", kind)


def untrusted(authority: str, reason: str) -> ConnectError:
    """Return the error for a certificate that is not trusted or not valid for the host."""
    hint = "check the host name; for your own CA set SSL_CERT_FILE or verify= to its certificate file"
    return ConnectError(f"no connection to {authority} ({reason}); {hint}", FailureKind.SETUP)


def tls_refused(authority: str, reason: str) -> ConnectError:
    """Return the error for a server that has no TLS version or cipher in common with the client."""
    hint = "check the scheme and port of the URL, and the TLS versions that the server or verify= allows"
    return ConnectError(f"no connection to {authority} ({reason}); {hint}", FailureKind.SETUP)


def proxy_error(proxy: str, error: BaseException | str) -> ConnectError:
    """Return the error of a failed connection to a proxy; ``proxy`` is its URL."""
    reason = error if isinstance(error, str) else _reason(error)
    message = f"the proxy {proxy_name(proxy)} cannot be reached ({reason}); {_PROXY_HINT}"
    return ConnectError(message, FailureKind.SETUP)


def proxy_status_error(proxy: str, status: int, *, unsent: bool = True) -> ConnectError:
    """Return the error for a proxy that answers instead of the relay, to CONNECT or to the request itself."""
    need = " and requires a user and password" if status == 407 else ""
    message = f"the proxy {proxy_name(proxy)} refused the connection (status {status}){need}; {_PROXY_HINT}"
    lasting = status in _REFUSED_STATUS and status not in _TRANSIENT_STATUS
    error = ConnectError(message, FailureKind.SETUP if lasting else None)
    error.unsent = unsent
    return error


_PROXY_HINT = "check proxy= and the environment, such as HTTPS_PROXY"


def proxy_name(proxy: str) -> str:
    """Return host and port of a proxy's URL, without the password."""
    return urlsplit(proxy).netloc.rpartition("@")[2]


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, ConnectionRefusedError | socket.gaierror | UnicodeError)


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    if number and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(number)  # asyncio has texts of its own
    return getattr(error, "strerror", None) or str(error) or "timed out"
