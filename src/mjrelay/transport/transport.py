"""The interface of the transports, and their settings."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    import ssl

    from mjrelay.http import Exchange, Redactor, Request


LARGEST_BODY = 4 * 1024 * 1024
"""Maximum size of a response body in bytes, compressed and decompressed; a task has a few kilobytes."""

LARGEST_BATCH = 16 * 1024 * 1024
"""Maximum size of a response body with several tasks, in bytes."""


class Transport(Protocol):
    """
    Send requests to one relay. Thread-safe; redirects are not followed.

    A GET is sent again, once, if a reused connection turns out to be closed.
    """

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        """
        Send a request and return the exchange. Network errors are reported in its ``failure``.

        Args:
            request: The request.
            timeout: Seconds for the whole exchange.
            largest: Maximum number of bytes of the response body. `Exchange.oversize` is true beyond it.

        Raises:
            SettingError: The transport is closed, or the request is not valid in HTTP.
        """

    def close(self) -> None:
        """Close idle connections. Exchanges in progress continue."""


class AsyncTransport(Protocol):
    """`Transport` for the tasks of one event loop."""

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        """Send a request; see `Transport.send`."""

    async def close(self) -> None:
        """Close idle connections. Exchanges in progress continue."""


@frozen
class TransportConfig:
    """
    Connection settings of one relay.

    Attributes:
        origin: Scheme, host and port.
        redactor: Removes secrets from error messages and logs.
        proxy: URL of a proxy, or an empty string for none. None means the environment's proxy.
        verify: File or folder of trusted certificates, an SSL context, or False to trust any. True means
            ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, else certifi.
        connections: Maximum number of concurrent connections.
    """

    origin: str
    redactor: Redactor = field(repr=False)
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str | ssl.SSLContext = True
    connections: int = 100


def warn_unclosed(transport: object, origin: str) -> None:
    """Warn that an async transport was garbage-collected while it had open connections."""
    message = f"an AsyncRelay of {origin} was not closed; use async with, or await aclose()"
    warnings.warn(message, ResourceWarning, stacklevel=2, source=transport)
