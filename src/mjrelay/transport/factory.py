"""
Choose the transport for a relay: h11 by default, httpx with a proxy or a given client, pyreqwest if ``fast``.

Each is imported when it is first needed, because httpx is slow to import.
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


def connect(config: TransportConfig, *, fast: bool = False, client: httpx.Client | None = None) -> Transport:
    """
    Return a transport to one relay.

    Args:
        config: Where the relay is, and the connection settings.
        fast: Use pyreqwest. In a child process in which it cannot run, this is ignored with a warning.
        client: Use this client with its own settings. Its ``auth`` is ignored, because it could overwrite the
            credential. The client is not closed.

    Raises:
        MissingExtraError: The ``fast`` extra is not installed.
        SettingError: The proxy, the certificates or the client cannot be used.
    """
    if client is not None:
        from mjrelay.transport.httpx import HTTPXTransport  # noqa: PLC0415

        return HTTPXTransport(config, client)
    if fast:
        with _extra():
            from mjrelay.transport.pyreqwest import PyreqwestTransport  # noqa: PLC0415
        with _fork_allowed():
            return PyreqwestTransport(config)
    from mjrelay.transport import route as _route  # noqa: PLC0415

    if _route.proxy(config.origin, config.proxy):
        from mjrelay.transport.httpx import ProxyTransport  # noqa: PLC0415

        return ProxyTransport(config)
    from mjrelay.transport.h11 import H11Transport  # noqa: PLC0415

    return H11Transport(config)


def connect_async(
    config: TransportConfig, *, fast: bool = False, client: httpx.AsyncClient | None = None
) -> AsyncTransport:
    """Return an async transport to one relay; see `connect`."""
    if client is not None:
        from mjrelay.transport.httpx import AsyncHTTPXTransport  # noqa: PLC0415

        return AsyncHTTPXTransport(config, client)
    if fast:
        with _extra():
            from mjrelay.transport.pyreqwest import AsyncPyreqwestTransport  # noqa: PLC0415
        with _fork_allowed():
            return AsyncPyreqwestTransport(config)
    from mjrelay.transport import route as _route  # noqa: PLC0415

    if _route.proxy(config.origin, config.proxy):
        from mjrelay.transport.httpx import AsyncProxyTransport  # noqa: PLC0415

        return AsyncProxyTransport(config)
    from mjrelay.transport.h11 import AsyncH11Transport  # noqa: PLC0415

    return AsyncH11Transport(config)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError("fast", error.name or "pyreqwest") from error


@contextmanager
def _fork_allowed() -> Iterator[None]:
    """
    Ignore that pyreqwest cannot run in a child process whose parent has started it, and warn once.

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
