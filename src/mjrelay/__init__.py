"""Typed clients and a conformance suite for Midjourney relays."""

from mjrelay._reader import Button, State
from mjrelay._relay import Relay
from mjrelay._task import Task
from mjrelay._version import __version__
from mjrelay.errors import (
    AnswerError,
    ContractError,
    MissingTaskError,
    MjrelayError,
    OverlayError,
    RelayError,
    SettingError,
    TransportError,
    UnauthorizedError,
    UnknownRelayError,
    WrongTaskError,
)

__all__ = [
    "AnswerError",
    "Button",
    "ContractError",
    "MissingTaskError",
    "MjrelayError",
    "OverlayError",
    "Relay",
    "RelayError",
    "SettingError",
    "State",
    "Task",
    "TransportError",
    "UnauthorizedError",
    "UnknownRelayError",
    "WrongTaskError",
    "__version__",
]
