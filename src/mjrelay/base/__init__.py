"""The door of mjrelay.base."""

from mjrelay.base.clock import Clock
from mjrelay.base.errors import (
    ContractError,
    MissingExtraError,
    MjrelayError,
    OverlayError,
    PlainHTTPWarning,
    SettingError,
    UnknownRelayError,
)
from mjrelay.base.location import Location, pointer
from mjrelay.base.version import __version__

__all__ = [
    "Clock",
    "ContractError",
    "Location",
    "MissingExtraError",
    "MjrelayError",
    "OverlayError",
    "PlainHTTPWarning",
    "SettingError",
    "UnknownRelayError",
    "__version__",
    "pointer",
]
