"""
The way to the network: a request goes out, an exchange comes back, and trouble is told in it, not raised.

What carries the bytes is imported when a wire is made, not with this module. The default is connections of
our own; where a proxy stands before the relay, or a client is given, it is httpx.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from mjrelay.errors import MissingExtraError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    import httpx

    from mjrelay._exchange import Exchange
    from mjrelay._redaction import Redactor
    from mjrelay._request import Request

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of a body, as sent and unpacked, that are read before the exchange is given up."""


class Wire(Protocol):
    """
    Sends requests to one relay and never follows a redirect. Threads may share it.

    A GET may be sent twice, where a connection that was kept open turns out dead.
    """

    def send(self, request: Request, timeout: float) -> Exchange:
        """
        The exchange, all of it within ``timeout`` seconds; trouble on the way is in its ``failure``.

        Raises `SettingError` after `close`, and for a request that HTTP cannot carry.
        """

    def close(self) -> None:
        """Close the connections; what is under way ends as it ends."""


class AsyncWire(Protocol):
    """The twin of `Wire` for the tasks of one event loop."""

    async def send(self, request: Request, timeout: float) -> Exchange:
        """As `Wire.send`."""

    async def close(self) -> None:
        """Close the connections; what is under way ends as it ends."""


@frozen
class Link:
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


def connect(link: Link, *, fast: bool = False, client: httpx.Client | None = None) -> Wire:
    """
    A wire along the link: over ``client`` where one is given, over the ``fast`` extra where asked for.

    A client is used as it is, but for its ``auth``, which could overwrite the credential; it is left open.
    Raises `MissingExtraError` where the extra is not installed, and `SettingError` for a proxy,
    certificates or a client that cannot be used.
    """
    if client is not None:
        from mjrelay._wire._client import ClientWire  # noqa: PLC0415

        return ClientWire(link, client)
    if fast:
        with _extra():
            from mjrelay._wire._fast import FastWire  # noqa: PLC0415
        return FastWire(link)
    from mjrelay._wire import _route  # noqa: PLC0415

    if _route.proxy(link.origin, link.proxy):
        from mjrelay._wire._client import ProxyWire  # noqa: PLC0415

        return ProxyWire(link)
    from mjrelay._wire._http import HTTPWire  # noqa: PLC0415

    return HTTPWire(link)


def connect_async(link: Link, *, fast: bool = False, client: httpx.AsyncClient | None = None) -> AsyncWire:
    """The twin of `connect`."""
    if client is not None:
        from mjrelay._wire._client import AsyncClientWire  # noqa: PLC0415

        return AsyncClientWire(link, client)
    if fast:
        with _extra():
            from mjrelay._wire._fast import AsyncFastWire  # noqa: PLC0415
        return AsyncFastWire(link)
    from mjrelay._wire import _route  # noqa: PLC0415

    if _route.proxy(link.origin, link.proxy):
        from mjrelay._wire._client import AsyncProxyWire  # noqa: PLC0415

        return AsyncProxyWire(link)
    from mjrelay._wire._http import AsyncHTTPWire  # noqa: PLC0415

    return AsyncHTTPWire(link)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError("fast", error.name or "pyreqwest") from error
