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

    from mjrelay.transport.transport import AsyncTransport, Transport, TransportConfig


_log = logging.getLogger("mjrelay")
_warned_in: int | None = None


def connect(link: TransportConfig, *, fast: bool = False, client: httpx.Client | None = None) -> Transport:
    """
    A wire along the link: over ``client`` where one is given, over the ``fast`` extra where asked for.

    A client is used as it is, but for its ``auth``, which could overwrite the credential; it is left open.
    In a child process in which pyreqwest cannot run, ``fast`` is ignored with a warning.
    Raises `MissingExtraError` where the extra is not installed, and `SettingError` for a proxy,
    certificates or a client that cannot be used.
    """
    if client is not None:
        from mjrelay.transport.httpx import HTTPXTransport  # noqa: PLC0415

        return HTTPXTransport(link, client)
    if fast:
        with _extra():
            from mjrelay.transport.pyreqwest import PyreqwestTransport  # noqa: PLC0415
        with _fork_allowed():
            return PyreqwestTransport(link)
    from mjrelay.transport import route as _route  # noqa: PLC0415

    if _route.proxy(link.origin, link.proxy):
        from mjrelay.transport.httpx import ProxyTransport  # noqa: PLC0415

        return ProxyTransport(link)
    from mjrelay.transport.h11 import H11Transport  # noqa: PLC0415

    return H11Transport(link)


def connect_async(
    link: TransportConfig, *, fast: bool = False, client: httpx.AsyncClient | None = None
) -> AsyncTransport:
    """The twin of `connect`."""
    if client is not None:
        from mjrelay.transport.httpx import AsyncHTTPXTransport  # noqa: PLC0415

        return AsyncHTTPXTransport(link, client)
    if fast:
        with _extra():
            from mjrelay.transport.pyreqwest import AsyncPyreqwestTransport  # noqa: PLC0415
        with _fork_allowed():
            return AsyncPyreqwestTransport(link)
    from mjrelay.transport import route as _route  # noqa: PLC0415

    if _route.proxy(link.origin, link.proxy):
        from mjrelay.transport.httpx import AsyncProxyTransport  # noqa: PLC0415

        return AsyncProxyTransport(link)
    from mjrelay.transport.h11 import AsyncH11Transport  # noqa: PLC0415

    return AsyncH11Transport(link)


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
