"""
The way to the network: a request goes out, an exchange comes back, and trouble is told in it, not raised.

What carries the bytes is imported when a wire is made, not with this module. The default is connections of
our own; where a proxy stands before the relay, or a client is given, it is httpx.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mjrelay.base import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from mjrelay.transport.transport import AsyncWire, TransportConfig, Wire


_log = logging.getLogger("mjrelay")
_warned_in: int | None = None


def connect(link: TransportConfig, *, fast: bool = False, client: httpx.Client | None = None) -> Wire:
    """
    A wire along the link: over ``client`` where one is given, over the ``fast`` extra where asked for.

    A client is used as it is, but for its ``auth``, which could overwrite the credential; it is left open.
    In a child process in which pyreqwest cannot run, ``fast`` is ignored with a warning.
    Raises `MissingExtraError` where the extra is not installed, and `SettingError` for a proxy,
    certificates or a client that cannot be used.
    """
    if client is not None:
        from mjrelay.transport.httpx import ClientWire  # noqa: PLC0415

        return ClientWire(link, client)
    if fast:
        with _extra():
            from mjrelay.transport.pyreqwest import FastWire  # noqa: PLC0415
        with _fork_allowed():
            return FastWire(link)
    from mjrelay.transport import route as _route  # noqa: PLC0415

    if _route.proxy(link.origin, link.proxy):
        from mjrelay.transport.httpx import ProxyWire  # noqa: PLC0415

        return ProxyWire(link)
    from mjrelay.transport.h11 import HTTPWire  # noqa: PLC0415

    return HTTPWire(link)


def connect_async(
    link: TransportConfig, *, fast: bool = False, client: httpx.AsyncClient | None = None
) -> AsyncWire:
    """The twin of `connect`."""
    if client is not None:
        from mjrelay.transport.httpx import AsyncClientWire  # noqa: PLC0415

        return AsyncClientWire(link, client)
    if fast:
        with _extra():
            from mjrelay.transport.pyreqwest import AsyncFastWire  # noqa: PLC0415
        with _fork_allowed():
            return AsyncFastWire(link)
    from mjrelay.transport import route as _route  # noqa: PLC0415

    if _route.proxy(link.origin, link.proxy):
        from mjrelay.transport.httpx import AsyncProxyWire  # noqa: PLC0415

        return AsyncProxyWire(link)
    from mjrelay.transport.h11 import AsyncHTTPWire  # noqa: PLC0415

    return AsyncHTTPWire(link)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError("fast", error.name or "pyreqwest") from error


@contextmanager
def _fork_allowed() -> Iterator[None]:
    """
    Go on without pyreqwest in a child process whose parent has started its runtime, and log that once.

    See https://github.com/MarkusSintonen/pyreqwest/issues/51.
    """
    global _warned_in  # noqa: PLW0603 - once per process
    try:
        yield
    except RuntimeError as error:
        if "fork()" not in str(error):
            raise
        if _warned_in != os.getpid():
            _warned_in = os.getpid()
            _log.warning(
                "fast=True has no effect in this process: pyreqwest was started before the fork and cannot "
                "run in the child, so requests are sent with h11; create the Relay after fork"
            )
