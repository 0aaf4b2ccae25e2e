"""The door of mjrelay.transport."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mjrelay.transport.factory import connect as connect
    from mjrelay.transport.factory import connect_async as connect_async
    from mjrelay.transport.streaming import RefusedAddressError as RefusedAddressError
    from mjrelay.transport.streaming import Stream as Stream
    from mjrelay.transport.streaming import StreamError as StreamError
    from mjrelay.transport.streaming import stream as stream
    from mjrelay.transport.transport import AsyncWire as AsyncWire
    from mjrelay.transport.transport import Link as Link
    from mjrelay.transport.transport import Wire as Wire

_WHERE = {
    "AsyncWire": "transport",
    "Link": "transport",
    "RefusedAddressError": "streaming",
    "Stream": "streaming",
    "StreamError": "streaming",
    "Wire": "transport",
    "connect": "factory",
    "connect_async": "factory",
    "stream": "streaming",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value
