"""
Fetch Midjourney tasks from any relay until they are done, typed; judge whether a relay keeps its contract.

What stands in ``__all__`` is public, with the errors' attributes and the fields of `Task`.
"""

from mjrelay._async_relay import AsyncRelay
from mjrelay._exchange import Exchange
from mjrelay._reader import Button, State
from mjrelay._relay import Relay
from mjrelay._task import Task
from mjrelay._version import __version__
from mjrelay.errors import (
    AnswerError,
    ContractError,
    DownloadError,
    EmptyAnswerError,
    EnvelopeError,
    ForbiddenError,
    MissingExtraError,
    MissingTaskError,
    MjrelayError,
    OverlayError,
    PlainHTTPWarning,
    RateLimitedError,
    RelayError,
    SettingError,
    SomeTasksError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UndecodableError,
    UnknownRelayError,
    WaitTimeoutError,
    WebPageError,
    WrongTaskError,
)

__all__ = [
    "AnswerError",
    "AsyncRelay",
    "Button",
    "ContractError",
    "DownloadError",
    "EmptyAnswerError",
    "EnvelopeError",
    "Exchange",
    "ForbiddenError",
    "MissingExtraError",
    "MissingTaskError",
    "MjrelayError",
    "OverlayError",
    "PlainHTTPWarning",
    "RateLimitedError",
    "Relay",
    "RelayError",
    "SettingError",
    "SomeTasksError",
    "State",
    "Task",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UndecodableError",
    "UnknownRelayError",
    "WaitTimeoutError",
    "WebPageError",
    "WrongTaskError",
    "__version__",
]
