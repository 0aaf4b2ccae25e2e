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
from mjrelay.base.text import did_you_mean, nearest, replace_unprintable
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
    "did_you_mean",
    "nearest",
    "pointer",
    "replace_unprintable",
]
