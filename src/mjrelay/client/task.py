"""A task, the same for every relay, and the errors of a relay."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from mjrelay.base import MjrelayError
from mjrelay.client.models import is_packaged, model_decoder
from mjrelay.contract import Contract, load_contract
from mjrelay.semantics import State, same_value, scalar_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from mjrelay.http import Exchange
    from mjrelay.semantics import Button, Charged, MayResend


_SHOWN = 60
"""Characters of a relay's name or a task's id that a repr shows."""


class Task:
    """
    A snapshot of a task.

    Fields are read lazily from ``document``, by the relay's contract. A field that is missing or unreadable
    is None or empty, and never raises. Tasks are equal if their relay and document are equal.
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
        """The JSON document as received."""
        return self._document

    @property
    def exchange(self) -> Exchange | None:
        """The request, without the key, and the response; None for a callback's task."""
        return self._exchange

    @property
    def relay(self) -> str:
        """The relay's name."""
        return self._contract.name

    @property
    def id(self) -> str:
        """The id as text; empty if the document has none."""
        return scalar_text(self._reader.id(self._document)) or ""

    @property
    def state(self) -> State:
        """The state, the same for every relay."""
        state = self._state
        if state is None:  # cached, because most other fields need it
            state = self._state = self._reader.state(self._document)
        return state

    @property
    def status(self) -> Any:
        """The relay's own status value, as received."""
        return self._reader.status(self._document)

    @property
    def progress(self) -> int | None:
        """The progress in percent, 0 to 100."""
        return self._reader.progress(self._document)

    @property
    def images(self) -> tuple[str, ...]:
        """The image URLs of a succeeded task."""
        return self._reader.images(self._document) if (self._state or self.state) is State.SUCCEEDED else ()

    @property
    def videos(self) -> tuple[str, ...]:
        """The video URLs of a succeeded task."""
        return self._reader.videos(self._document) if (self._state or self.state) is State.SUCCEEDED else ()

    @property
    def previews(self) -> tuple[str, ...]:
        """The image and video URLs of a task that has not succeeded."""
        if (self._state or self.state) is State.SUCCEEDED:
            return ()
        reader = self._reader
        return tuple(dict.fromkeys((*reader.images(self._document), *reader.videos(self._document))))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The URLs of the task's input images."""
        return self._reader.inputs(self._document)

    @property
    def buttons(self) -> tuple[Button, ...]:
        """The actions that are available next."""
        return self._reader.buttons(self._document)

    @property
    def prompt(self) -> str | None:
        """The prompt."""
        return self._reader.prompt(self._document)

    @property
    def kind(self) -> str | None:
        """The relay's own name of the kind of job."""
        return self._reader.kind(self._document)

    @property
    def submitted(self) -> datetime | None:
        """When the task was submitted, in UTC."""
        stamp = self._reader.submitted
        return None if stamp is None else stamp.read(self._document)

    @property
    def started(self) -> datetime | None:
        """When the relay started the task, in UTC."""
        stamp = self._reader.started
        return None if stamp is None else stamp.read(self._document)

    @property
    def finished(self) -> datetime | None:
        """When the task ended, in UTC."""
        stamp = self._reader.finished
        return None if stamp is None else stamp.read(self._document)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts that a finished describe or shorten suggests."""
        return self._reader.prompts(self._document)

    @property
    def failure(self) -> str | None:
        """The relay's reason of a failure, as text, whatever the state is."""
        return self._reader.failure(self._document)

    @property
    def raw(self) -> Any:
        """
        The document as a typed model of the relay's generated client, decoded on each access.

        Raises:
            AnswerError: The document does not match the contract's types.
            MjrelayError: There is no generated client, or it has no model of a task.
        """
        decode, mismatch = model_decoder(self._contract)
        try:
            return decode(json.dumps(self._document).encode())
        except (mismatch, ValueError, RecursionError) as error:
            raise AnswerError(
                f"the document does not match the contract's types: {error}; use .document instead of .raw",
                relay=self.relay,
                task_id=self.id,
                exchange=self.exchange,
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """
        Return the task as JSON-compatible data.

        Returns:
            All fields except ``document``, ``exchange`` and ``raw``; times as RFC 3339 strings.
        """
        times = {"submitted": self.submitted, "started": self.started, "finished": self.finished}
        return {
            "relay": self.relay,
            "id": self.id,
            "state": self.state.value,
            "status": self.status,
            "kind": self.kind,
            "prompt": self.prompt,
            "prompts": list(self.prompts),
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
        # In Python 1 == True; as ids they differ.
        return (self.relay, self.id) == (other.relay, other.id) and same_value(self.document, other.document)

    def __hash__(self) -> int:
        return hash((self.relay, self.id))

    def __repr__(self) -> str:
        shown = f"{_cut(self.relay)}, {_cut(self.id)}, state={self.state.value!r}, progress={self.progress}"
        return f"Task({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A contract's reader cannot be pickled; a packaged contract is loaded again by its name.
        contract = self._contract
        origin = () if is_packaged(contract) else (contract.document, contract.source)
        return _restored, (self.document, self.exchange, contract.name, *origin)


def _cut(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _restored(
    document: Any, exchange: Exchange | None, name: str, contract: Any = None, source: Path | None = None
) -> Task:
    if source is None:
        return Task(load_contract(name), document, exchange)
    return Task(Contract(name, contract, source), document, exchange)


Stage = tuple[int, int]
"""How far a task is; later ones are larger."""

_STAGES = (
    *(State.UNKNOWN, State.NEEDS_INPUT, State.QUEUED, State.RUNNING),
    *(State.CANCELLED, State.FAILED, State.SUCCEEDED),
)
"""Input that was given puts a task back into the queue."""


def stage_of(task: Task, unknown: State = State.UNKNOWN) -> Stage:
    """Return how far a task is; ``unknown`` is the state that an unknown one counts as."""
    if task.state is State.UNKNOWN and unknown is not State.UNKNOWN:
        return _STAGES.index(unknown), 100
    return _STAGES.index(task.state), task.progress or 0


class RelayError(MjrelayError):
    """
    A request to a relay failed.

    Attributes:
        relay: The relay's name.
        task_id: The id of the task, or None.
        exchange: The request, without the key, and the response; or None.
        retry_after: Seconds of the response's Retry-After, or None.
        task: The last snapshot of the task, or None.
        charged: For a submit, whether it costs money: ``yes``, ``no`` or ``unknown``; else None.
        may_resend: For a submit, whether it may be sent again without paying twice: ``now``, ``later``,
            ``never`` or ``unknown``; else None.
        state: The state token of the submit, or None.
        transient: Whether a retry may succeed.
    """

    transient: bool = False

    def __init__(
        self,
        message: str,
        *,
        relay: str,
        task_id: str | None = None,
        exchange: Exchange | None = None,
        retry_after: float | None = None,
        task: Task | None = None,
        charged: Charged | None = None,
        may_resend: MayResend | None = None,
        state: str | None = None,
    ) -> None:
        self.relay, self.task_id, self.exchange = relay, task_id, exchange
        self.retry_after, self.task = retry_after, task
        self.charged, self.may_resend, self.state = charged, may_resend, state
        super().__init__(f"{relay}: {message}")


class TransportError(RelayError):
    """No complete response arrived."""

    transient = True


class UnreachableError(TransportError):
    """No connection is possible: the certificate, the TLS version, the proxy or the address is wrong."""

    transient = False


class UnauthorizedError(RelayError):
    """The relay refused the key."""


class ForbiddenError(RelayError):
    """The relay accepts the key, but the key may not do this."""


class RateLimitedError(RelayError):
    """The relay received too many requests."""

    transient = True


class UnavailableError(RelayError):
    """The relay or a proxy in front of it failed, usually with a 5xx."""

    transient = True


class MissingTaskError(RelayError):
    """The relay has no such task."""


class EmptyAnswerError(MissingTaskError):
    """The response is a 200 without a body, which usually means that there is no such task."""


class AnswerError(RelayError):
    """The response holds no such task."""


class WebPageError(AnswerError):
    """The response is a web page: the base URL is wrong, the site is down, or a proxy blocks programs."""

    transient = True


class UndecodableError(AnswerError):
    """The response is not JSON, truncated, or too large."""

    transient = True


class EnvelopeError(AnswerError):
    """The response is a 200 that holds an error, or anything else but a task."""

    transient = True


class WrongTaskError(AnswerError):
    """The response holds another task than the requested one."""


class WaitTimeoutError(RelayError):
    """The task has not ended within the timeout of the wait. It is not cancelled at the relay."""


class DownloadError(RelayError):
    """
    Some files could not be downloaded.

    Attributes:
        failures: The reason for each URL that failed.
        paths: The paths of the files that were downloaded.
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
    """
    Some of several tasks could not be fetched.

    Attributes:
        errors: The error of each of these tasks.
    """

    def __init__(self, errors: Sequence[RelayError]) -> None:
        self.errors = tuple(errors)
        kinds = Counter(type(error).__name__ for error in errors)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        total = f"{len(errors)} task{'s' if len(errors) > 1 else ''}"
        message = f"{total} could not be fetched ({counted}); see .errors, or pass on_error="
        super().__init__(message, relay=errors[0].relay)
