"""
What every other package may use: the base errors, the clock, locations in documents, text for people.

It imports no other package of mjrelay.
"""

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
from mjrelay.base.location import Location, json_pointer
from mjrelay.base.text import did_you_mean, nearest_names, replace_unprintable
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
    "json_pointer",
    "nearest_names",
    "replace_unprintable",
]
