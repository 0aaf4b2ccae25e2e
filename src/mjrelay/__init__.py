"""
Typed clients for Midjourney relays: fetch tasks, wait for them, and download their images.

The names in ``__all__`` are public, with their public attributes.
"""

from mjrelay.base import __version__
from mjrelay.client import AsyncRelay, Relay, Task
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
from mjrelay.http import Exchange
from mjrelay.semantics import Button, State

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
