"""
What can go wrong, one class for each thing a caller would handle differently.

Every message says what happened and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mjrelay.base.text import did_you_mean

if TYPE_CHECKING:
    from os import PathLike


class MjrelayError(Exception):
    """The base of everything this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled as a call with its message alone, which these do not take.
        return _restored, (type(self), self.args), self.__dict__


class ContractError(MjrelayError):
    """
    A contract or an overlay cannot be used as it is written.

    ``source`` names the document and ``line`` the place (from 1), where they are known.
    """

    def __init__(
        self, message: str, *, source: str | PathLike[str] | None = None, line: int | None = None
    ) -> None:
        self.source = None if source is None else str(source)
        self.line = line
        place = "" if self.source is None else self.source + ("" if line is None else f":{line}") + ": "
        super().__init__(f"{place}{message}")


class OverlayError(ContractError):
    """An overlay is malformed, or does not fit the contract that it is applied to."""


class UnknownRelayError(MjrelayError):
    """No packaged contract has this name; ``known`` holds those that do, ``near`` the likely ones."""

    def __init__(self, name: str, known: list[str], near: list[str]) -> None:
        self.name, self.known, self.near = name, known, near
        hint = did_you_mean(near) or f"known are {', '.join(known)}."
        super().__init__(f"no relay is called {name!r}; {hint} List them with: mjrelay relays")


class SettingError(MjrelayError):
    """A base URL or a key is missing or cannot be used."""


class MissingExtraError(MjrelayError):
    """A command needs a part that was not installed."""

    def __init__(self, extra: str, module: str) -> None:
        self.extra = extra
        super().__init__(f"this needs {module}, which is not installed; run: pip install 'mjrelay[{extra}]'")


class PlainHTTPWarning(UserWarning):
    """A key goes over the network unencrypted."""


def _restored(kind: type[MjrelayError], args: tuple[Any, ...]) -> MjrelayError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error
