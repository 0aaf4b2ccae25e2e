"""One task, the same for every relay."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mjrelay import _contract
from mjrelay._format import text
from mjrelay._predicate import same
from mjrelay._reader import State
from mjrelay.errors import AnswerError, MjrelayError, UnknownRelayError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from mjrelay._contract import Contract
    from mjrelay._exchange import Exchange
    from mjrelay._reader import Button

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
        return text(self._reader.id(self._document)) or ""

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
        return (self.relay, self.id) == (other.relay, other.id) and same(self.document, other.document)

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


def _packaged(contract: Contract) -> bool:
    try:
        return _contract.contract(contract.name) is contract
    except UnknownRelayError:
        return False


def _restored(
    document: Any, exchange: Exchange | None, name: str, contract: Any = None, source: Path | None = None
) -> Task:
    if source is None:
        return Task(_contract.contract(name), document, exchange)
    return Task(_contract.Contract(name, contract, source), document, exchange)


def _decoder(contract: Contract) -> tuple[Callable[[bytes], Any], type[Exception]]:
    """
    What the relay's generated client decodes a 200 with, and what that raises.

    The client is searched for the fetch operation: how modules and classes are named is its own business.
    """
    import pkgutil  # noqa: PLC0415 - as the client itself, only for those who ask for a model

    client = import_module(_client(contract))
    api = import_module(f"{client.__name__}.api")
    operation = _letters(str(contract.operation.get("operationId")))
    for found in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        if not found.ispkg and _letters(found.name.rpartition(".")[2]) == operation:
            for first, last, decode in import_module(found.name)._RESPONSES:  # noqa: SLF001 - a client of our own
                if first <= 200 <= last and decode is not None:
                    return decode, client.DecodeError
    raise MjrelayError(
        f"the generated client of {contract.name} has no model of a task; document has it as sent"
    )


def _client(contract: Contract) -> str:
    """The package of the generated client that was made of this very contract; `MjrelayError` without one."""
    if _packaged(contract):
        return f"mjrelay_clients.{contract.name}"
    from mjrelay import _outside  # noqa: PLC0415 - only for contracts that are not packaged

    package = f"{contract.name}_client"
    made = _outside.made(package)
    if made == contract.document:
        return package
    lack = "has no generated client" if made is None else f"is not what {package} was generated from"
    raise MjrelayError(
        f"{contract.name} {lack}, so there is no model; write one with: mjrelay generate "
        f"{_outside.arguments(contract)} --output DIR, where DIR is on the path that Python imports from"
    )


def _letters(name: str) -> str:
    return name.replace("_", "").lower()
