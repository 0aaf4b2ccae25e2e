"""Send a request to a relay and return the exchange, or stream a file. Bodies are not parsed here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.response import CLOSED, ExchangeError
from mjrelay.transport.transport import (
    LARGEST_BATCH,
    LARGEST_BODY,
    AsyncTransport,
    Transport,
    TransportConfig,
)

if TYPE_CHECKING:
    from mjrelay.transport.protocol import ClientProtocol
    from mjrelay.transport.proxied import OpenConnection, open_connection
    from mjrelay.transport.route import HostPort, receive
    from mjrelay.transport.streaming import RefusedAddressError, Stream, StreamError, stream_url
else:
    # ssl and h11 take much of the time of `import mjrelay`, and are only needed for the first request.
    _LAZY = {
        **dict.fromkeys(("HostPort", "receive"), "route"),
        **dict.fromkeys(("OpenConnection", "open_connection"), "proxied"),
        "ClientProtocol": "protocol",
        **dict.fromkeys(("RefusedAddressError", "Stream", "StreamError", "stream_url"), "streaming"),
    }

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


__all__ = [
    "CLOSED",
    "LARGEST_BATCH",
    "LARGEST_BODY",
    "AsyncTransport",
    "ClientProtocol",
    "ExchangeError",
    "HostPort",
    "OpenConnection",
    "RefusedAddressError",
    "Stream",
    "StreamError",
    "Transport",
    "TransportConfig",
    "connect",
    "connect_async",
    "open_connection",
    "receive",
    "stream_url",
]
