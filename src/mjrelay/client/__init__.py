"""The clients `Relay` and `AsyncRelay`, their tasks and their errors."""

from mjrelay.client.async_relay import AsyncRelay
from mjrelay.client.relay import Relay
from mjrelay.client.task import (
    AnswerError,
    DownloadError,
    EmptyAnswerError,
    EnvelopeError,
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    SomeTasksError,
    Task,
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
    "AsyncRelay",
    "DownloadError",
    "EmptyAnswerError",
    "EnvelopeError",
    "ForbiddenError",
    "MissingTaskError",
    "RateLimitedError",
    "Relay",
    "RelayError",
    "SomeTasksError",
    "Task",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UndecodableError",
    "UnreachableError",
    "WaitTimeoutError",
    "WebPageError",
    "WrongTaskError",
]
