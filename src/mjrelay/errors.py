"""All exceptions and warnings of this package."""

from mjrelay.base import (
    ContractError,
    MissingExtraError,
    MjrelayError,
    OverlayError,
    PlainHTTPWarning,
    SettingError,
    UnknownRelayError,
)
from mjrelay.client import (
    AnswerError,
    DownloadError,
    EmptyAnswerError,
    EnvelopeError,
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    SomeTasksError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UndecodableError,
    UnreachableError,
    WaitTimeoutError,
    WebPageError,
    WrongTaskError,
)

__all__ = [
    "AnswerError",
    "ContractError",
    "DownloadError",
    "EmptyAnswerError",
    "EnvelopeError",
    "ForbiddenError",
    "MissingExtraError",
    "MissingTaskError",
    "MjrelayError",
    "OverlayError",
    "PlainHTTPWarning",
    "RateLimitedError",
    "RelayError",
    "SettingError",
    "SomeTasksError",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UndecodableError",
    "UnknownRelayError",
    "UnreachableError",
    "WaitTimeoutError",
    "WebPageError",
    "WrongTaskError",
]

for _name in __all__:  # tracebacks and pickles name this public module, not the defining one
    globals()[_name].__module__ = __name__
