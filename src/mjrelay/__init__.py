"""
Typed clients for Midjourney relays: fetch tasks, wait for them, and download their images.

The names in ``__all__`` are public, with their public attributes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mjrelay.base import __version__
    from mjrelay.client import AsyncRelay, Poll, Relay, Submission, SubmitRecord, Task, Ticket
    from mjrelay.errors import (
        AnswerError,
        BalanceError,
        BannedPromptError,
        ButtonRefusedError,
        ContractError,
        DownloadError,
        EmptyAnswerError,
        EnvelopeError,
        ForbiddenError,
        InvalidSubmitError,
        MissingExtraError,
        MissingTaskError,
        MjrelayError,
        OverlayError,
        ParentNotReadyError,
        PlainHTTPWarning,
        QueueFullError,
        RateLimitedError,
        RelayError,
        SettingError,
        SomeTasksError,
        SpendingLimitError,
        SubmitError,
        SubmitOutcomeUnknownError,
        SubmitRefusedError,
        TransportError,
        UnauthorizedError,
        UnavailableError,
        UndecodableError,
        UnknownRelayError,
        UnreachableError,
        WaitTimeoutError,
        WebPageError,
        WrongTaskError,
    )
    from mjrelay.http import Exchange
    from mjrelay.semantics import Button, State

__all__ = [
    "AnswerError",
    "AsyncRelay",
    "BalanceError",
    "BannedPromptError",
    "Button",
    "ButtonRefusedError",
    "ContractError",
    "DownloadError",
    "EmptyAnswerError",
    "EnvelopeError",
    "Exchange",
    "ForbiddenError",
    "InvalidSubmitError",
    "MissingExtraError",
    "MissingTaskError",
    "MjrelayError",
    "OverlayError",
    "ParentNotReadyError",
    "PlainHTTPWarning",
    "Poll",
    "QueueFullError",
    "RateLimitedError",
    "Relay",
    "RelayError",
    "SettingError",
    "SomeTasksError",
    "SpendingLimitError",
    "State",
    "Submission",
    "SubmitError",
    "SubmitOutcomeUnknownError",
    "SubmitRecord",
    "SubmitRefusedError",
    "Task",
    "Ticket",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UndecodableError",
    "UnknownRelayError",
    "UnreachableError",
    "WaitTimeoutError",
    "WebPageError",
    "WrongTaskError",
    "__version__",
]

_MODULES = ("base", "client", "errors", "http", "semantics")

if not TYPE_CHECKING:  # type checkers would accept any name

    def __getattr__(name: str) -> Any:
        # All are imported with the first: the command handles Ctrl-C before it imports anything.
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        modules = [import_module(f"{__name__}.{module}") for module in _MODULES]
        for one in __all__:
            globals()[one] = next(getattr(module, one) for module in modules if hasattr(module, one))
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
