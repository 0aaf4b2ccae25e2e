"""The base errors: one class for each case that a caller handles differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mjrelay.base.text import did_you_mean

if TYPE_CHECKING:
    from os import PathLike


class MjrelayError(Exception):
    """Base class of all errors of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is unpickled with its message alone, but these take other arguments.
        return _restored, (type(self), self.args), self.__dict__


class ContractError(MjrelayError):
    """
    A contract or an overlay is not valid.

    Attributes:
        source: The document, or None.
        line: Line number from 1, or None.
    """

    def __init__(
        self, message: str, *, source: str | PathLike[str] | None = None, line: int | None = None
    ) -> None:
        self.source = None if source is None else str(source)
        self.line = line
        place = "" if self.source is None else self.source + ("" if line is None else f":{line}") + ": "
        super().__init__(f"{place}{message}")


class OverlayError(ContractError):
    """An overlay is not valid, or does not match its contract."""


class UnknownRelayError(MjrelayError):
    """No packaged contract has this name. ``known`` lists all names, ``near`` the similar ones."""

    def __init__(self, name: str, known: list[str], near: list[str]) -> None:
        self.name, self.known, self.near = name, known, near
        hint = did_you_mean(near) or f"known are {', '.join(known)}."
        super().__init__(f"no relay is called {name!r}; {hint} List them with: mjrelay relays")


class SettingError(MjrelayError):
    """A base URL, a key or another setting is missing or not valid."""


class MissingExtraError(MjrelayError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, module: str) -> None:
        self.extra = extra
        super().__init__(
            f"this needs {module}, which is not installed; in a clone of mjrelay, run: "
            f"pip install '.[{extra}]'"
        )


class PlainHTTPWarning(UserWarning):
    """The key is sent unencrypted."""


def _restored(kind: type[MjrelayError], args: tuple[Any, ...]) -> MjrelayError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error
