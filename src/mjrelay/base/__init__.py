"""
Errors, the clock, files, locks, patterns, locations and text, for all other packages.

It imports no other package of mjrelay.
"""

from mjrelay.base.caching import cached_property
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
from mjrelay.base.files import lock_file, open_file, read_file
from mjrelay.base.fork import close_after_fork, renew_after_fork
from mjrelay.base.location import Location, json_pointer, pointer_steps
from mjrelay.base.patterns import Pattern, PatternError, check_pattern, time_limit
from mjrelay.base.settings import setting_name, use_options
from mjrelay.base.text import another_text, did_you_mean, nearest_names, replace_unprintable
from mjrelay.base.version import __version__

__all__ = [
    "Clock",
    "ContractError",
    "Location",
    "MissingExtraError",
    "MjrelayError",
    "OverlayError",
    "Pattern",
    "PatternError",
    "PlainHTTPWarning",
    "SettingError",
    "UnknownRelayError",
    "__version__",
    "another_text",
    "cached_property",
    "check_pattern",
    "close_after_fork",
    "did_you_mean",
    "json_pointer",
    "lock_file",
    "nearest_names",
    "open_file",
    "pointer_steps",
    "read_file",
    "renew_after_fork",
    "replace_unprintable",
    "setting_name",
    "time_limit",
    "use_options",
]
