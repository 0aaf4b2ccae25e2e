"""
What can go wrong, one class for each thing a caller would handle differently.

Every message says what happened and what to do next.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from pathlib import Path

    from mjrelay._exchange import Exchange
    from mjrelay._task import Task


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
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
        super().__init__(f"no relay is called {name!r}; {hint} List them with: mjrelay relays")


class SettingError(MjrelayError):
    """A base URL or a key is missing or cannot be used."""


class RelayError(MjrelayError):
    """
    A relay did not give what was asked for.

    ``relay`` and ``task_id`` say of what, ``exchange`` holds what was sent and what came, ``retry_after`` the
    seconds that the relay wants to be left alone, ``task`` the task as it was last seen; each may be None.
    `transient` says whether asking again later may help.
    """

    transient: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        relay: str,
        task_id: str | None = None,
        exchange: Exchange | None = None,
        retry_after: float | None = None,
        task: Task | None = None,
    ) -> None:
        self.relay, self.task_id, self.exchange = relay, task_id, exchange
        self.retry_after, self.task = retry_after, task
        super().__init__(f"{relay}: {message}")


class TransportError(RelayError):
    """No complete answer came."""

    transient = True


class UnauthorizedError(RelayError):
    """The relay refused the credential."""


class ForbiddenError(RelayError):
    """The relay knows the credential, but it may not do this."""


class RateLimitedError(RelayError):
    """The relay wants to be asked less often."""

    transient = True


class UnavailableError(RelayError):
    """The relay, or what stands before it, is in trouble of its own."""

    transient = True


class MissingTaskError(RelayError):
    """The relay has no such task."""


class EmptyAnswerError(MissingTaskError):
    """The relay answered 200 with nothing, which on most that do so means that there is no such task."""


class AnswerError(RelayError):
    """An answer came, but it is no task."""


class WebPageError(AnswerError):
    """The answer is a web page; a wrong base URL gives one, and so does a site that is down."""

    transient = True


class UndecodableError(AnswerError):
    """The answer is not JSON, broken off, or not what the contract says in a way that cannot be read."""

    transient = True


class EnvelopeError(AnswerError):
    """The answer says 200, but it holds an error, or anything else but a task."""

    transient = True


class WrongTaskError(AnswerError):
    """The answer is a task, but not the one asked for."""


class WaitTimeoutError(RelayError):
    """The time to wait is over, and the task is not done; it goes on at the relay."""


class DownloadError(RelayError):
    """
    Some files were not downloaded.

    ``failures`` says why by URL, ``paths`` holds the files that are there.
    """

    def __init__(
        self,
        message: str,
        *,
        failures: Mapping[str, str],
        paths: Sequence[Path],
        relay: str,
        task: Task | None = None,
    ) -> None:
        self.failures, self.paths = dict(failures), list(paths)
        super().__init__(message, relay=relay, task_id=None if task is None else task.id, task=task)


class SomeTasksError(RelayError):
    """Of several tasks some were not had; ``errors`` says why, one error for each."""

    def __init__(self, errors: Sequence[RelayError]) -> None:
        self.errors = tuple(errors)
        kinds = Counter(type(error).__name__ for error in errors)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        message = f"{len(errors)} tasks were not had ({counted}); see .errors, or give on_error="
        super().__init__(message, relay=errors[0].relay)


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
