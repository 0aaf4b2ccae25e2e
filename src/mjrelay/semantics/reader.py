"""
Read the documents of a relay as its contract's `x-mj-task` describes them.

`null` and `""` are unset everywhere.
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
    from mjrelay.semantics.readings import Readings
    from mjrelay.semantics.relation import Relation


VERSION = 1
"""The supported version of `x-mj-task`."""


class State(StrEnum):
    """The state of a task, the same for every relay."""

    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_INPUT = "needs-input"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def terminal(self) -> bool:
        """Whether the state is final."""
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


@define(unsafe_hash=True, repr=False)
class Button:
    """An action on a finished task. Submit its ``id`` to run it."""

    # Properties make it read-only. A frozen class takes three times as long to create.
    _id: str
    _label: str | None
    _emoji: str | None

    @property
    def id(self) -> str:
        """The id to submit in order to run the action."""
        return self._id

    @property
    def label(self) -> str | None:
        """The text on the button."""
        return self._label

    @property
    def emoji(self) -> str | None:
        """The emoji on the button."""
        return self._emoji

    def __repr__(self) -> str:
        return f"Button(id={self._id!r}, label={self._label!r}, emoji={self._emoji!r})"


@frozen
class Media:
    """A path to URLs in a document, and the scope in which it applies."""

    path: JSONPath
    _scope: Predicate = field(repr=False, eq=False)

    def urls(self, document: Any) -> list[str]:
        """Return the URLs. Any text counts: the conformance suite judges whether it is a URL."""
        if self._scope is not always and not self._scope(document):
            return []
        values = self.path.find(document)
        for value in values:
            if not (value and isinstance(value, str)):
                return [value for value in values if value and isinstance(value, str)]
        return values


@frozen
class Timestamp:
    """A path to a time in a document, the scope in which it is meaningful, and its format."""

    path: JSONPath
    _scope: Predicate = field(repr=False, eq=False)
    _unset: Callable[[Any], bool | None] = field(repr=False, eq=False)
    _read: Callable[[Any], datetime | None] = field(repr=False, eq=False)

    def raw(self, document: Any) -> Any:
        """Return the value as sent, or None if it is unset."""
        if self._scope is not always and not self._scope(document):
            return None
        value = self.path.first(document)
        return None if self._unset(value) else value

    def read(self, document: Any) -> datetime | None:
        """Return the time (aware), or None if it is unset or cannot be parsed."""
        return self._read(self.raw(document))


_MOST_COPIED = 200_000
"""Members beside a list that are copied for its items. Larger responses are read without them."""


@frozen
class Batch:
    """How to fetch several tasks in one request."""

    operation: str
    ids: str
    constants: Mapping[str, Any]
    items: JSONPath
    limit: int | None
    array: JSONPath | None
    place: Location = field(default=())

    def documents(self, response: Any) -> list[Any]:
        """Return the tasks in a response, each in the form that all other paths expect."""
        items = self.items.find(response)
        if not self.place:
            return items
        around = self.around(response)
        if len(items) * self._members(around) > _MOST_COPIED:
            around = {}
        return [self.placed(item, around) for item in items]

    def _members(self, around: Any) -> int:
        """Return how many members are copied for each item."""
        count = 0
        for step in self.place:
            if isinstance(around, list):
                around = around[0] if around else None
            elif isinstance(around, dict):
                count += len(around)
                around = around.get(step)
        return count

    def around(self, response: Any) -> dict[str, Any]:
        """Return the members of a response beside its list."""
        where = None if self.array is None else self.array.location
        if not where or not isinstance(response, dict):
            return {}
        return {name: value for name, value in response.items() if name != where[0]}

    def placed(self, item: Any, around: Any) -> Any:
        """Put an item at its place in the document of a task, with the other members around it."""
        return _placed(item, self.place, around)

    def bare(self, response: Any) -> bool:
        """Return whether a response is a bare list. `accepts` does not apply to one."""
        return bool(self.place) and isinstance(response, list)

    def item(self, document: Any) -> Any:
        """Return the part of a task's document that is an item in a list, or None."""
        for step in self.place:
            try:
                document = document[step]
            except (KeyError, IndexError, TypeError):
                return None
        return document

    def listed(self, response: Any) -> bool:
        """Return whether a response has the list, even an empty one. Some servers send null for it."""
        found = () if self.array is None else self.array.find(response)
        return any(value is None or isinstance(value, list) for value in found)


@frozen
class Seed:
    """How the seed of a task's image is asked for."""

    operation: str
    constants: Mapping[str, Any]
    value: JSONPath


@frozen
class Lookup:
    """How to look for a task after a submit without a response: an operation that lists tasks."""

    operation: str
    by: str
    """What identifies the task: ``state`` or ``prompt``."""
    _items: JSONPath
    _place: Location

    def documents(self, response: Any) -> list[Any]:
        """Return the tasks in a response, each in the form that all other paths expect."""
        return [_placed(item, self._place, {}) for item in self._items.find(response)]

    def locate(self, response: Any) -> list[Location]:
        """Return the locations of the tasks in a response."""
        return self._items.locate(response)


@frozen
class Reader:
    """
    Reads the documents of one relay.

    Each method takes a document (parsed JSON), and never raises for what a relay sends. A value that cannot
    be read is None, empty or `State.UNKNOWN`.
    """

    ask: str
    constants: Mapping[str, Any]
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
    lookup: Lookup | None
    prompts: Readings = field(repr=False)
    has_buttons: bool
    token_path: JSONPath | None
    _accept: Predicate = field(repr=False)
    _kind: JSONPath | None = field(repr=False)
    _meaning: Callable[[Any], State | None] = field(repr=False)
    _wheres: tuple[tuple[Predicate, State], ...] = field(repr=False)
    _progress_scale: int = field(repr=False)
    _buttons: Callable[[Any], tuple[Button, ...]] = field(repr=False)
    _error: Callable[[Any], tuple[str | None, str | None]] = field(repr=False)
    _complete: Mapping[str, Predicate] = field(repr=False)

    def accepts(self, document: Any) -> bool:
        """Return whether a 200 with this document is a task, and not an error."""
        return self._accept(document)

    def id(self, document: Any) -> Any:
        """Return the id as sent. It should be text."""
        return self.id_path.first(document)

    def status(self, document: Any) -> Any:
        """Return the status as sent."""
        return None if self.status_path is None else self.status_path.first(document)

    def state(self, document: Any) -> State:
        """Return the state. A status that the contract does not list is `State.UNKNOWN`."""
        if (state := self.scoped_state(document)) is not None:
            return state
        if self.status_path is not None:
            return self._meaning(self.status_path.first(document)) or State.UNKNOWN
        return State.UNKNOWN

    def token(self, document: Any) -> str | None:
        """Return the state token of the submit, as the relay echoes it."""
        return scalar_text(None if self.token_path is None else self.token_path.first(document))

    @property
    def echoes_token(self) -> bool:
        """Whether the relay echoes the state token of a submit."""
        return self.token_path is not None

    def overrides_status(self, document: Any) -> bool:
        """Return whether a predicate decides the state although the status has another meaning."""
        meaning = self._meaning(self.status(document))
        return meaning is not None and meaning is not self.state(document)

    def scoped_state(self, document: Any) -> State | None:
        """Return the state whose scope includes the document, whatever its status, or None."""
        return next((state for scope, state in self._wheres if scope(document)), None)

    def kind(self, document: Any) -> str | None:
        """Return the kind of job, as the relay calls it."""
        return scalar_text(None if self._kind is None else self._kind.first(document))

    def prompt(self, document: Any) -> str | None:
        """Return the prompt."""
        return scalar_text(None if self.prompt_path is None else self.prompt_path.first(document))

    def percent(self, document: Any) -> float | None:
        """Return the progress in percent, not limited to 0 to 100, or None if it is not a number."""
        if self.progress_path is None:
            return None
        return percent(self.progress_path.first(document), self._progress_scale)

    def progress(self, document: Any) -> int | None:
        """Return the progress, 0 to 100, or None if it is unset, not a number or out of range."""
        value = self.percent(document)
        return int(value) if value is not None and 0 <= value <= 100 else None

    def images(self, document: Any) -> tuple[str, ...]:
        """Return the URLs of images, each once, in order. For an unfinished task they are previews."""
        return _urls(self.image_media, document)

    def videos(self, document: Any) -> tuple[str, ...]:
        """Return the URLs of videos, each once, in order."""
        return _urls(self.video_media, document)

    def inputs(self, document: Any) -> tuple[str, ...]:
        """Return the URLs of the task's inputs, each once, in order."""
        return _urls(self.input_media, document)

    def buttons(self, document: Any) -> tuple[Button, ...]:
        """Return the buttons that have an id."""
        return self._buttons(document)

    def failure(self, document: Any) -> str | None:
        """Return the reason of the failure, as the relay writes it."""
        return first_text(self.failure_paths, document)

    def error(self, document: Any) -> tuple[str | None, str | None]:
        """Return the code and the message of an error document."""
        return self._error(document)

    def completes(self, part: str, document: Any) -> bool:
        """Return whether a succeeded task must have ``progress`` 100, ``media`` or ``finished``."""
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


def first_text(paths: tuple[JSONPath, ...], document: Any) -> str | None:
    """Return the first text or number that a list of paths selects."""
    for path in paths:
        for value in path.find(document):
            if (found := scalar_text(value)) is not None:
                return found
    return None
