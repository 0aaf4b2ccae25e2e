"""
What a relay's documents mean, read by what its contract says in `x-mj-task`.

Everything here is read from the contract. `null` and `""` are unset everywhere.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay.semantics.predicate import Predicate, always
from mjrelay.semantics.values import percent, scalar_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mjrelay.base import Location
    from mjrelay.semantics.matcher import Matcher
    from mjrelay.semantics.paths import JSONPath
    from mjrelay.semantics.relation import Relation


VERSION = 1
"""The version of `x-mj-task` that this reader speaks."""


class State(StrEnum):
    """Where a task stands, in words that are the same for every relay."""

    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_INPUT = "needs-input"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def terminal(self) -> bool:
        """Whether nothing comes after it."""
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


@define(unsafe_hash=True, repr=False)
class Button:
    """An action that can be taken with a finished task; ``id`` is what to submit in order to press it."""

    # Read-only by its properties: a class that refuses every assignment takes three times as long to fill.
    _id: str
    _label: str | None
    _emoji: str | None

    @property
    def id(self) -> str:
        """What to submit in order to press it."""
        return self._id

    @property
    def label(self) -> str | None:
        """What is written on it."""
        return self._label

    @property
    def emoji(self) -> str | None:
        """What is drawn on it."""
        return self._emoji

    def __repr__(self) -> str:
        return f"Button(id={self._id!r}, label={self._label!r}, emoji={self._emoji!r})"


@frozen
class Media:
    """One way to URLs in a document: a path, and when it counts."""

    path: JSONPath
    _scope: Predicate = field(repr=False, eq=False)

    def urls(self, document: Any) -> list[str]:
        """The URLs that stand there; text of any kind counts, for the suite judges it."""
        if self._scope is not always and not self._scope(document):
            return []
        values = self.path.find(document)
        for value in values:
            if not (value and isinstance(value, str)):
                return [value for value in values if value and isinstance(value, str)]
        return values


@frozen
class Timestamp:
    """One moment in a document: a path, and how it is written."""

    path: JSONPath
    _unset: Callable[[Any], bool | None] = field(repr=False, eq=False)
    _read: Callable[[Any], datetime | None] = field(repr=False, eq=False)

    def raw(self, document: Any) -> Any:
        """The value as sent, or None where it is unset."""
        value = self.path.first(document)
        return None if self._unset(value) else value

    def read(self, document: Any) -> datetime | None:
        """The moment, aware; None where it is unset or cannot be read."""
        return self._read(self.raw(document))


_MOST_COPIED = 200_000
"""Members beside a list that are copied for its items; in a response with more they are left out."""


@frozen
class Batch:
    """How several tasks are asked for at once."""

    operation: str
    ids: str
    items: JSONPath
    limit: int | None
    array: JSONPath | None
    place: Location = field(default=())

    def documents(self, answer: Any) -> list[Any]:
        """The tasks in an answer, each as a document that all other paths are about."""
        items = self.items.find(answer)
        if not self.place:
            return items
        around = self.around(answer)
        if len(items) * self._members(around) > _MOST_COPIED:
            around = {}
        return [self.placed(item, around) for item in items]

    def _members(self, around: Any) -> int:
        """Members that each item gets a copy of."""
        count = 0
        for step in self.place:
            if isinstance(around, list):
                around = around[0] if around else None
            elif isinstance(around, dict):
                count += len(around)
                around = around.get(step)
        return count

    def around(self, answer: Any) -> dict[str, Any]:
        """What an answer says beside its list, in members of its own."""
        where = None if self.array is None else self.array.location
        if not where or not isinstance(answer, dict):
            return {}
        return {name: value for name, value in answer.items() if name != where[0]}

    def placed(self, item: Any, around: Any) -> Any:
        """An item in its place in a task's document, with what else stands in that document."""
        return _placed(item, self.place, around)

    def bare(self, answer: Any) -> bool:
        """Whether an answer is a list without what a task comes in; there `accepts` judges nothing."""
        return bool(self.place) and isinstance(answer, list)

    def item(self, document: Any) -> Any:
        """What of a task's document an item is; None where it is not there."""
        for step in self.place:
            try:
                document = document[step]
            except (KeyError, IndexError, TypeError):
                return None
        return document

    def listed(self, answer: Any) -> bool:
        """Whether an answer holds the list, be it empty; some servers send null for an empty one."""
        found = () if self.array is None else self.array.find(answer)
        return any(value is None or isinstance(value, list) for value in found)


@frozen
class Seed:
    """How the seed of a task's image is asked for."""

    operation: str
    value: JSONPath


@frozen
class Reader:
    """
    The meaning of one relay's documents.

    Each method takes a document (parsed JSON) and never raises on what a relay may send: what cannot be
    read is None, empty or `State.UNKNOWN`.
    """

    ask: str
    id_path: JSONPath
    status_path: JSONPath | None
    progress_path: JSONPath | None
    prompt_path: JSONPath | None
    submitted: Timestamp | None
    started: Timestamp | None
    finished: Timestamp | None
    image_media: tuple[Media, ...]
    video_media: tuple[Media, ...]
    input_media: tuple[Media, ...]
    failure_paths: tuple[JSONPath, ...]
    missing: tuple[Matcher, ...]
    unauthorized: tuple[Matcher, ...]
    forbidden: tuple[Matcher, ...]
    elsewhere: tuple[Matcher, ...]
    relations: tuple[Relation, ...]
    refresh: float | None
    batch: Batch | None
    seed: Seed | None
    _accept: Predicate = field(repr=False)
    _kind: JSONPath | None = field(repr=False)
    _meaning: Callable[[Any], State | None] = field(repr=False)
    _wheres: tuple[tuple[Predicate, State], ...] = field(repr=False)
    _progress_scale: int = field(repr=False)
    _buttons: Callable[[Any], tuple[Button, ...]] = field(repr=False)
    _error_code: tuple[JSONPath, ...] = field(repr=False)
    _error_message: tuple[JSONPath, ...] = field(repr=False)
    _complete: Mapping[str, Predicate] = field(repr=False)

    def accepts(self, document: Any) -> bool:
        """Whether a 200 with this document is what it says, and not an error in disguise."""
        return self._accept(document)

    def id(self, document: Any) -> Any:
        """The id as sent; it should be text."""
        return self.id_path.first(document)

    def status(self, document: Any) -> Any:
        """The relay's own word for the state, as sent."""
        return None if self.status_path is None else self.status_path.first(document)

    def state(self, document: Any) -> State:
        """The state; a word that the contract does not know is `State.UNKNOWN`."""
        for predicate, state in self._wheres:
            if predicate(document):
                return state
        if self.status_path is not None:
            return self._meaning(self.status_path.first(document)) or State.UNKNOWN
        return State.UNKNOWN

    def kind(self, document: Any) -> str | None:
        """What kind of job it is, in the relay's own word."""
        return scalar_text(None if self._kind is None else self._kind.first(document))

    def prompt(self, document: Any) -> str | None:
        """The prompt."""
        return scalar_text(None if self.prompt_path is None else self.prompt_path.first(document))

    def percent(self, document: Any) -> float | None:
        """The progress in percent as the relay means it, out of range or not; None where it is no number."""
        if self.progress_path is None:
            return None
        return percent(self.progress_path.first(document), self._progress_scale)

    def progress(self, document: Any) -> int | None:
        """The progress, 0 to 100; None where it is unset, no number or out of range."""
        value = self.percent(document)
        return int(value) if value is not None and 0 <= value <= 100 else None

    def images(self, document: Any) -> tuple[str, ...]:
        """The URLs of images, each once, in document order; previews too, for the state says which."""
        return _urls(self.image_media, document)

    def videos(self, document: Any) -> tuple[str, ...]:
        """The URLs of videos, each once, in document order."""
        return _urls(self.video_media, document)

    def inputs(self, document: Any) -> tuple[str, ...]:
        """The URLs of what the task began with, each once."""
        return _urls(self.input_media, document)

    def buttons(self, document: Any) -> tuple[Button, ...]:
        """The actions that can be taken next; those without an id are left out."""
        return self._buttons(document)

    def failure(self, document: Any) -> str | None:
        """Why the task failed, for people."""
        return _first(self.failure_paths, document)

    def error(self, document: Any) -> tuple[str | None, str | None]:
        """The code and the message of an error document."""
        return _first(self._error_code, document), _first(self._error_message, document)

    def completes(self, part: str, document: Any) -> bool:
        """Whether a succeeded task must have this part: ``progress`` 100, ``media`` or ``finished``."""
        scope = self._complete.get(part)
        return scope is not None and scope(document)


def _placed(item: Any, place: Location, around: Any) -> Any:
    if not place:
        return item
    step, rest = place[0], place[1:]
    if isinstance(step, int):
        return [_placed(item, rest, around[0] if isinstance(around, list) and around else None)]
    members = around if isinstance(around, dict) else {}
    return {**members, step: _placed(item, rest, members.get(step))}


def _urls(media: tuple[Media, ...], document: Any) -> tuple[str, ...]:
    urls = [] if not media else media[0].urls(document)
    for one in media[1:]:
        urls = urls + one.urls(document)
    return tuple(urls if len(urls) < 2 else dict.fromkeys(urls))


def _first(paths: tuple[JSONPath, ...], document: Any) -> str | None:
    for path in paths:
        for value in path.find(document):
            if (found := scalar_text(value)) is not None:
                return found
    return None
