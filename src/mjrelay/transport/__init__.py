"""Sockets: sends a request to a relay and returns the exchange, or streams a file. It reads no documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.response import CLOSED
from mjrelay.transport.transport import (
    LARGEST_BATCH,
    LARGEST_BODY,
    AsyncTransport,
    Transport,
    TransportConfig,
)

if TYPE_CHECKING:
    from mjrelay.transport.streaming import RefusedAddressError, Stream, StreamError, stream_url
else:
    _STREAMING = {"RefusedAddressError", "Stream", "StreamError", "stream_url"}

    def __getattr__(name: str) -> Any:
        # h11 takes a tenth of the time of `import mjrelay`, and is only needed once something is sent.
        if name not in _STREAMING:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from mjrelay.transport import streaming  # noqa: PLC0415 - see above

        return getattr(streaming, name)


__all__ = [
    "CLOSED",
    "LARGEST_BATCH",
    "LARGEST_BODY",
    "AsyncTransport",
    "RefusedAddressError",
    "Stream",
    "StreamError",
    "Transport",
    "TransportConfig",
    "connect",
    "connect_async",
    "stream_url",
]
