"""
The way to the network: a request goes out, an exchange comes back, and trouble is told in it, not raised.

What carries the bytes is imported when a wire is made, not with this module. The default is connections of
our own; where a proxy stands before the relay, or a client is given, it is httpx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    import ssl

    from mjrelay.http import Exchange, Redactor, Request


LARGEST_BODY = 4 * 1024 * 1024
"""Bytes of a body, as sent and decompressed, that are read by default; a task is a few kilobytes."""

LARGEST_BATCH = 16 * 1024 * 1024
"""The same for a response with several tasks."""


class Transport(Protocol):
    """
    Sends requests to one relay and never follows a redirect. Threads may share it.

    A GET may be sent twice, where a connection that was kept open turns out dead.
    """

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        """
        The exchange, all of it within ``timeout`` seconds; trouble on the way is in its ``failure``.

        Of a body more than ``largest`` bytes are not read; `Exchange.oversize` is true then.

        Raises `SettingError` after `close`, and for a request that HTTP cannot carry.
        """

    def close(self) -> None:
        """Close the connections; what is under way ends as it ends."""


class AsyncTransport(Protocol):
    """The twin of `Transport` for the tasks of one event loop."""

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        """As `Transport.send`."""

    async def close(self) -> None:
        """Close the connections; what is under way ends as it ends."""


@frozen
class TransportConfig:
    """
    Where a relay is, and how it is reached.

    ``origin`` is scheme, host and port. ``proxy`` is a URL, else the environment's proxy is taken where it
    names one for the host; an empty one means none. ``verify`` is a file or folder of certificates, a
    context, or False; True means ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` where set. ``redactor`` takes the
    secrets out of what is told.
    """

    origin: str
    redactor: Redactor = field(repr=False)
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str | ssl.SSLContext = True
    connections: int = 100
