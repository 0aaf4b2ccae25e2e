"""
What can go wrong, one class for each thing a caller would handle differently.

Every message says what happened and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from mjrelay._exchange import Exchange


class MjrelayError(Exception):
    """The base of everything this package raises on purpose."""


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
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
        super().__init__(f"no relay is called {name!r}; {hint} List them with: mjrelay relays")


class SettingError(MjrelayError):
    """A base URL or a key is missing or cannot be used."""


class RelayError(MjrelayError):
    """
    A relay did not give the task that was asked for.

    ``relay`` and ``task_id`` say which, ``exchange`` holds what was sent and what came.
    """

    def __init__(self, message: str, *, relay: str, task_id: str | None, exchange: Exchange) -> None:
        self.relay, self.task_id, self.exchange = relay, task_id, exchange
        super().__init__(f"{relay}: {message}")


class TransportError(RelayError):
    """No complete answer came."""


class UnauthorizedError(RelayError):
    """The relay refused the credential."""


class MissingTaskError(RelayError):
    """The relay has no such task."""


class AnswerError(RelayError):
    """An answer came, but it is no task: another status, a web page, no JSON, an error in disguise."""


class WrongTaskError(AnswerError):
    """The answer is a task, but not the one asked for."""


class MissingExtraError(MjrelayError):
    """A command needs a part that was not installed."""

    def __init__(self, extra: str, module: str) -> None:
        self.extra = extra
        super().__init__(f"this needs {module}, which is not installed; run: pip install 'mjrelay[{extra}]'")
