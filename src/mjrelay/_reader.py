"""
What a relay's documents mean: `x-mj-task`, compiled once into plain closures.

Everything here is read from the contract. `null` and `""` are unset everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay import _request
from mjrelay._format import PROGRESS_FORMATS, compile_time, is_number, percent
from mjrelay._jsonpath import Path
from mjrelay._matcher import Matcher
from mjrelay._predicate import Predicate, compile_predicate, compile_scope, same
from mjrelay._relation import Relation
from mjrelay.errors import ContractError

if TYPE_CHECKING:
    from datetime import datetime

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


@frozen
class Button:
    """An action that can be taken with a finished task; ``id`` is what to submit in order to press it."""

    id: str
    label: str | None
    emoji: str | None


@frozen
class Media:
    """One way to URLs in a document: a path, and when it counts."""

    path: Path
    _scope: Predicate = field(repr=False, eq=False)

    def urls(self, document: Any) -> list[str]:
        """The URLs that stand there; text of any kind counts, for the suite judges it."""
        if not self._scope(document):
            return []
        return [value for value in self.path.find(document) if isinstance(value, str) and value]


@frozen
class Timestamp:
    """One moment in a document: a path, and how it is written."""

    path: Path
    _unset: tuple[Any, ...] = field(repr=False)
    _read: Callable[[Any], datetime | None] = field(repr=False, eq=False)

    def raw(self, document: Any) -> Any:
        """The value as sent, or None where it is unset."""
        value = self.path.first(document)
        return None if value in (None, "") or any(same(value, word) for word in self._unset) else value

    def read(self, document: Any) -> datetime | None:
        """The moment, aware; None where it is unset or cannot be read."""
        return self._read(self.raw(document))


@frozen
class Batch:
    """How several tasks are asked for at once."""

    operation: str
    ids: str
    items: Path
    limit: int | None


@frozen
class Seed:
    """How the seed of a task's image is asked for."""

    operation: str
    value: Path


@frozen
class Reader:
    """
    The meaning of one relay's documents.

    Each method takes a document (parsed JSON) and never raises on what a relay may send: what cannot be
    read is None, empty or `State.UNKNOWN`.
    """

    ask: str
    id_path: Path
    status_path: Path | None
    progress_path: Path | None
    prompt_path: Path | None
    submitted: Timestamp | None
    started: Timestamp | None
    finished: Timestamp | None
    image_media: tuple[Media, ...]
    video_media: tuple[Media, ...]
    input_media: tuple[Media, ...]
    failure_paths: tuple[Path, ...]
    missing: tuple[Matcher, ...]
    unauthorized: tuple[Matcher, ...]
    forbidden: tuple[Matcher, ...]
    elsewhere: tuple[Matcher, ...]
    relations: tuple[Relation, ...]
    refresh: float | None
    batch: Batch | None
    seed: Seed | None
    _accept: Predicate = field(repr=False)
    _kind: Path | None = field(repr=False)
    _words: tuple[tuple[Any, State], ...] = field(repr=False)
    _wheres: tuple[tuple[Predicate, State], ...] = field(repr=False)
    _progress_scale: int = field(repr=False)
    _buttons: Callable[[Any], tuple[Button, ...]] = field(repr=False)
    _error_code: tuple[Path, ...] = field(repr=False)
    _error_message: tuple[Path, ...] = field(repr=False)
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
            status = self.status_path.first(document)
            for word, state in self._words:
                if same(word, status):
                    return state
        return State.UNKNOWN

    def kind(self, document: Any) -> str | None:
        """What kind of job it is, in the relay's own word."""
        return _text(None if self._kind is None else self._kind.first(document))

    def prompt(self, document: Any) -> str | None:
        """The prompt."""
        return _text(None if self.prompt_path is None else self.prompt_path.first(document))

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


def compile_reader(form: Mapping[str, Any]) -> Reader:
    """
    The reader that an `x-mj-task` denotes.

    Raises `ContractError`, naming the key, where a form cannot be compiled.
    """
    if not isinstance(form, Mapping):
        raise ContractError(f"x-mj-task: {form!r} is no mapping")
    if not same(form.get("version"), VERSION):
        raise ContractError(
            f"x-mj-task: version {form.get('version')!r} is not known; this reader speaks {VERSION}"
        )
    compilers: dict[str, Callable[[], Any]] = {
        "ask": lambda: _ask(form["ask"]),
        "id": lambda: Path.compile(form["id"]),
        "accept": lambda: compile_predicate(form.get("accept", {})),
        "kind": lambda: _path(form.get("kind")),
        "prompt": lambda: _path(form.get("prompt")),
        "status": lambda: _path(form.get("status")),
        "states": lambda: _states(form["states"]),
        "progress": lambda: _progress(form.get("progress")),
        "times": lambda: _times(form.get("times", {})),
        "images": lambda: _media(form.get("images", ())),
        "videos": lambda: _media(form.get("videos", ())),
        "inputs": lambda: _media(form.get("inputs", ())),
        "buttons": lambda: _compile_buttons(form.get("buttons")),
        "failure": lambda: _paths(form.get("failure", ())),
        "error": lambda: _members(_paths, form.get("error", {}), "code", "message"),
        "complete": lambda: _members(
            compile_scope, form.get("complete", {}), "progress", "media", "finished"
        ),
        "missing": lambda: _matchers(form.get("missing", ())),
        "unauthorized": lambda: _matchers(form.get("unauthorized", ())),
        "forbidden": lambda: _matchers(form.get("forbidden", ())),
        "elsewhere": lambda: _matchers(form.get("elsewhere", ())),
        "relations": lambda: tuple(map(Relation.compile, _list(form.get("relations", ())))),
        "refresh": lambda: _positive(form.get("refresh")),
        "batch": lambda: _batch(form.get("batch")),
        "seed": lambda: _seed(form.get("seed")),
    }
    try:
        _known(form, "version", *compilers)
    except ContractError as error:
        raise ContractError(f"x-mj-task: {error}") from error
    parts = {key: _compile(key, compiler) for key, compiler in compilers.items()}
    words, wheres = parts["states"]
    if words and parts["status"] is None:
        raise ContractError(f"x-mj-task: status is missing: where else would {words[0][0]!r} stand?")
    progress_path, progress_scale = parts["progress"]
    return Reader(
        ask=parts["ask"],
        id_path=parts["id"],
        status_path=parts["status"],
        progress_path=progress_path,
        prompt_path=parts["prompt"],
        submitted=parts["times"].get("submitted"),
        started=parts["times"].get("started"),
        finished=parts["times"].get("finished"),
        image_media=parts["images"],
        video_media=parts["videos"],
        input_media=parts["inputs"],
        missing=parts["missing"],
        unauthorized=parts["unauthorized"],
        forbidden=parts["forbidden"],
        elsewhere=parts["elsewhere"],
        relations=parts["relations"],
        refresh=parts["refresh"],
        batch=parts["batch"],
        seed=parts["seed"],
        accept=parts["accept"],
        kind=parts["kind"],
        words=words,
        wheres=wheres,
        progress_scale=progress_scale,
        buttons=parts["buttons"],
        failure_paths=parts["failure"],
        error_code=parts["error"].get("code", ()),
        error_message=parts["error"].get("message", ()),
        complete=parts["complete"],
    )


def _compile(key: str, compiler: Callable[[], Any]) -> Any:
    try:
        return compiler()
    except ContractError as error:
        raise ContractError(f"x-mj-task: {key}: {error}") from error
    except KeyError as error:
        raise ContractError(f"x-mj-task: {key}: {error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise ContractError(
            f"x-mj-task: {key} does not have the shape that its schema asks for: {error}"
        ) from error


def _known(form: Mapping[str, Any], *keys: str) -> None:
    unknown = form.keys() - set(keys)
    if unknown:
        raise ContractError(f"unknown key {min(unknown, key=str)!r}; the keys are {', '.join(keys)}")


def _list(form: Any) -> Iterable[Any]:
    if not isinstance(form, list | tuple):
        raise ContractError(f"{form!r} is no list")
    return form


def _members(compiler: Callable[[Any], Any], form: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    _known(form, *keys)
    return {key: compiler(member) for key, member in form.items()}


def _positive(value: Any) -> Any:
    if value is not None and not (is_number(value) and value > 0):
        raise ContractError(f"{value!r} is no number above 0")
    return value


def _ask(expression: str) -> str:
    _request.ask(expression)
    return expression


def _path(text: str | None) -> Path | None:
    return None if text is None else Path.compile(text)


def _paths(texts: Iterable[str]) -> tuple[Path, ...]:
    return tuple(Path.compile(text) for text in _list(texts))


def _states(
    form: Mapping[str, Any],
) -> tuple[tuple[tuple[Any, State], ...], tuple[tuple[Predicate, State], ...]]:
    words: list[tuple[Any, State]] = []
    wheres: list[tuple[Predicate, State]] = []
    known = [state.value for state in State if state is not State.UNKNOWN]
    for name, entries in form.items():
        if name not in known:
            raise ContractError(f"{name!r} is no state; the states are {', '.join(known)}")
        for entry in _list(entries):
            if isinstance(entry, Mapping):
                _known(entry, "where")
                wheres.append((compile_predicate(entry["where"]), State(name)))
            else:
                words.append((entry, State(name)))
    return tuple(words), tuple(wheres)


def _progress(form: Mapping[str, str] | None) -> tuple[Path | None, int]:
    if form is None:
        return None, 1
    _known(form, "path", "format")
    if form["format"] not in PROGRESS_FORMATS:
        raise ContractError(f"{form['format']!r} is no format; write one of {', '.join(PROGRESS_FORMATS)}")
    return Path.compile(form["path"]), PROGRESS_FORMATS[form["format"]]


def _times(form: Mapping[str, Any]) -> dict[str, Timestamp]:
    if not form:
        return {}
    moments = ("submitted", "started", "finished")
    _known(form, *moments, "format", "zone", "unset")
    read = compile_time(form["format"], form.get("zone"))
    unset = tuple(_list(form.get("unset", ())))
    return {name: Timestamp(Path.compile(form[name]), unset, read) for name in moments if name in form}


def _media(forms: Iterable[Any]) -> tuple[Media, ...]:
    return tuple(
        Media(Path.compile(form), compile_scope(True))
        if isinstance(form, str)
        else Media(
            Path.compile(form["path"]),
            compile_scope({key: form[key] for key in form if key != "path"} or True),
        )
        for form in _list(forms)
    )


def _compile_buttons(form: Mapping[str, str] | None) -> Callable[[Any], tuple[Button, ...]]:
    if form is None:
        return lambda _: ()
    _known(form, "items", "id", "label", "emoji")
    items, members = Path.compile(form["items"]), {"id": form["id"], "label": None, "emoji": None, **form}

    def member(item: Any, key: str) -> str | None:
        name = members[key]
        if name == "$":
            return _text(item)
        return _text(item.get(name)) if isinstance(item, Mapping) and name is not None else None

    def buttons(document: Any) -> tuple[Button, ...]:
        return tuple(
            Button(id_, member(item, "label"), member(item, "emoji"))
            for item in items.find(document)
            if (id_ := member(item, "id")) is not None
        )

    return buttons


def _matchers(forms: Any) -> tuple[Matcher, ...]:
    return tuple(Matcher.compile(form) for form in (forms if isinstance(forms, list | tuple) else [forms]))


def _batch(form: Mapping[str, Any] | None) -> Batch | None:
    if form is None:
        return None
    _known(form, "operation", "ids", "items", "limit")
    _ask(form["ids"])
    return Batch(form["operation"], form["ids"], Path.compile(form["items"]), _positive(form.get("limit")))


def _seed(form: Mapping[str, Any] | None) -> Seed | None:
    if form is None:
        return None
    _known(form, "operation", "value")
    return Seed(form["operation"], Path.compile(form["value"]))


def _urls(media: tuple[Media, ...], document: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url for one in media for url in one.urls(document)))


def _first(paths: tuple[Path, ...], document: Any) -> str | None:
    for path in paths:
        for value in path.find(document):
            if (text := _text(value)) is not None:
                return text
    return None


def _text(value: Any) -> str | None:
    """Text as text, numbers as their digits; unset and everything else is None."""
    if isinstance(value, str):
        return value or None
    return str(value) if is_number(value) else None
