"""One task, the same for every relay."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from mjrelay.base import MjrelayError
from mjrelay.client.models import _decoder, _packaged
from mjrelay.contract import Contract, load_contract
from mjrelay.semantics import State, same_value, scalar_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from mjrelay.http import Exchange
    from mjrelay.semantics import Button


_SHOWN = 60
"""Characters of a relay's name or a task's id that a repr shows."""


class Task:
    """
    A task as it stood when it was asked for.

    ``document`` is the JSON as sent, and ``exchange`` what was sent and what came, None where the document
    came another way. All else is read from the document, by the relay's contract, when it is asked for; what
    the document does not hold, or holds in a way that cannot be read, is None or empty. Two tasks are equal
    where relay and document are.
    """

    __slots__ = ("_contract", "_document", "_exchange", "_reader", "_state")

    def __init__(self, contract: Contract, document: Any, exchange: Exchange | None = None) -> None:
        self._contract = contract
        self._reader = contract.reader
        self._document = document
        self._exchange = exchange
        self._state: State | None = None

    @property
    def document(self) -> Any:
        """The JSON as sent."""
        return self._document

    @property
    def exchange(self) -> Exchange | None:
        """What was sent and what came."""
        return self._exchange

    @property
    def relay(self) -> str:
        """The relay's name."""
        return self._contract.name

    @property
    def id(self) -> str:
        """The id as text; empty where the document has none."""
        return scalar_text(self._reader.id(self._document)) or ""

    @property
    def state(self) -> State:
        """Where the task stands, in words that are the same for every relay."""
        state = self._state
        if state is None:  # most of the other fields ask for it
            state = self._state = self._reader.state(self._document)
        return state

    @property
    def status(self) -> Any:
        """Where the task stands in the relay's own word, as sent."""
        return self._reader.status(self._document)

    @property
    def progress(self) -> int | None:
        """The progress in percent, 0 to 100."""
        return self._reader.progress(self._document)

    @property
    def images(self) -> tuple[str, ...]:
        """The URLs of the images that a succeeded task made."""
        return self._reader.images(self._document) if (self._state or self.state) is State.SUCCEEDED else ()

    @property
    def videos(self) -> tuple[str, ...]:
        """The URLs of the videos that a succeeded task made."""
        return self._reader.videos(self._document) if (self._state or self.state) is State.SUCCEEDED else ()

    @property
    def previews(self) -> tuple[str, ...]:
        """The URLs in the places of images and videos while the task runs, or where it did not succeed."""
        if (self._state or self.state) is State.SUCCEEDED:
            return ()
        reader = self._reader
        return tuple(dict.fromkeys((*reader.images(self._document), *reader.videos(self._document))))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The URLs of what the task began with."""
        return self._reader.inputs(self._document)

    @property
    def buttons(self) -> tuple[Button, ...]:
        """The actions that can be taken next."""
        return self._reader.buttons(self._document)

    @property
    def prompt(self) -> str | None:
        """The prompt."""
        return self._reader.prompt(self._document)

    @property
    def kind(self) -> str | None:
        """What kind of job it is, in the relay's own word."""
        return self._reader.kind(self._document)

    @property
    def submitted(self) -> datetime | None:
        """When the task was submitted, in UTC."""
        stamp = self._reader.submitted
        return None if stamp is None else stamp.read(self._document)

    @property
    def started(self) -> datetime | None:
        """When the relay began with the task, in UTC."""
        stamp = self._reader.started
        return None if stamp is None else stamp.read(self._document)

    @property
    def finished(self) -> datetime | None:
        """When the task ended, in UTC."""
        stamp = self._reader.finished
        return None if stamp is None else stamp.read(self._document)

    @property
    def failure(self) -> str | None:
        """Why a failed task failed, for people."""
        return self._reader.failure(self._document) if (self._state or self.state) is State.FAILED else None

    @property
    def raw(self) -> Any:
        """
        The document as the typed model of the relay's generated client, built anew each time.

        Raises `AnswerError` where the document contradicts the contract's types, and `MjrelayError` where
        there is no generated client, or its contract gives a task no type.
        """
        decode, mismatch = _decoder(self._contract)
        try:
            return decode(json.dumps(self._document).encode())
        except (mismatch, ValueError, RecursionError) as error:
            raise AnswerError(
                f"the document is not of the contract's types, so read .document instead of .raw: {error}",
                relay=self.relay,
                task_id=self.id,
                exchange=self.exchange,
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data that JSON can hold; times are RFC 3339 text."""
        times = {"submitted": self.submitted, "started": self.started, "finished": self.finished}
        return {
            "relay": self.relay,
            "id": self.id,
            "state": self.state.value,
            "status": self.status,
            "kind": self.kind,
            "prompt": self.prompt,
            "progress": self.progress,
            "images": list(self.images),
            "videos": list(self.videos),
            "previews": list(self.previews),
            "inputs": list(self.inputs),
            "buttons": [{"id": b.id, "label": b.label, "emoji": b.emoji} for b in self.buttons],
            **{name: None if moment is None else moment.isoformat() for name, moment in times.items()},
            "failure": self.failure,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        # To Python 1 and true are equal; as ids they are not.
        return (self.relay, self.id) == (other.relay, other.id) and same_value(self.document, other.document)

    def __hash__(self) -> int:
        return hash((self.relay, self.id))

    def __repr__(self) -> str:
        shown = f"{_cut(self.relay)}, {_cut(self.id)}, state={self.state.value!r}, progress={self.progress}"
        return f"Task({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        # What reads a contract cannot be pickled; a packaged contract is found again by its name.
        contract = self._contract
        origin = () if _packaged(contract) else (contract.document, contract.source)
        return _restored, (self.document, self.exchange, contract.name, *origin)


def _cut(foreign: str) -> str:
    return repr(foreign if len(foreign) <= _SHOWN else f"{foreign[:_SHOWN]}…")


def _restored(
    document: Any, exchange: Exchange | None, name: str, contract: Any = None, source: Path | None = None
) -> Task:
    if source is None:
        return Task(load_contract(name), document, exchange)
    return Task(Contract(name, contract, source), document, exchange)


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
