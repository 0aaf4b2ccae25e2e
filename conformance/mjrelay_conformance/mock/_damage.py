"""
What faults do to a task's document.

Each function takes a call and the document of its task, its own copy, and returns it with one thing wrong;
places are found through the contract, its schema and its `x-mj-task`, never by a field's name.
"""

from __future__ import annotations

import copy
import random
import zlib
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from mjrelay._jsonpath import Path
from mjrelay._predicate import same
from mjrelay._reader import State
from mjrelay_conformance._plan import another
from mjrelay_conformance.mock import _writer
from mjrelay_conformance.mock._permit import ABSENT, kind, permits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay._contract import Contract
    from mjrelay._yaml import Location
    from mjrelay_conformance.mock._answer import Call

    _Place = tuple[Location, Any]

ECHO = "x-caller"
"""The field in which a relay gives a caller's secret away."""

_SCALARS = {"null", "boolean", "integer", "number", "string"}


def wrong_type(call: Call, document: Any) -> Any:
    def wrong(location: Location, value: Any) -> list[Any]:
        if kind(value) not in _SCALARS - {"null"}:
            return []
        text = value if isinstance(value, str) else str(value).lower()
        candidates: tuple[Any, ...] = (17, text, True, [], {})
        return [other for other in candidates if not permits(call.contract, location, kind(other))]

    for location, value in _unkept(call.contract, document):
        if others := wrong(location, value):
            _writer.put(document, location, others[0])
            break
    return document


def missing_required(call: Call, document: Any) -> Any:
    found = next(
        (
            location
            for location, _ in _unkept(call.contract, document)
            if isinstance(location[-1], str) and not permits(call.contract, location, ABSENT)
        ),
        None,
    )
    for location in _status(call.contract, document) if found is None else [found]:
        del _at(document, location[:-1])[location[-1]]
    return document


def unknown_enum(call: Call, document: Any) -> Any:
    changed = copy.deepcopy(document)
    for location in _status(call.contract, document):
        word = _at(document, location)
        number = isinstance(word, int | float) and not isinstance(word, bool)
        lower = isinstance(word, str) and word.islower()
        unknown: Any = 7919 if number else "word_of_no_relay" if lower else "WORD_OF_NO_RELAY"
        _writer.put(changed, location, unknown)
    return changed if call.contract.reader.state(changed) is State.UNKNOWN else document


def null_field(call: Call, document: Any) -> Any:
    for location, value in _unkept(call.contract, document):
        if value is not None and not permits(call.contract, location, "null"):
            _writer.put(document, location, None)
            break
    return document


def id_as_number(call: Call, document: Any) -> Any:
    for location in call.contract.reader.id_path.locate(document):
        text = _at(document, location)
        if isinstance(text, str) and not permits(call.contract, location, "integer"):
            digits = text.isascii() and text.isdecimal() and len(text) <= 4000
            _writer.put(
                document, location, int(text) if digits else zlib.crc32(text.encode(errors="replace"))
            )
    return document


def nan(call: Call, document: Any) -> Any:
    for places in _places(call.contract, document):
        numbers = [location for location, value in places if kind(value) in {"integer", "number"}]
        if numbers:
            _writer.put(document, numbers[-1], float("nan"))
            return document
    if isinstance(document, dict):
        document["x-number"] = float("nan")
    return document


def wrong_id(call: Call, document: Any) -> Any:
    path = call.contract.reader.id_path
    other = next((id_ for id_ in call.tasks if id_ != call.task_id), None)
    if other is None:
        other = another(call.task_id, random.Random(call.task_id), {call.task_id})  # noqa: S311 - repeatable
    for location in path.locate(document):
        _writer.put(document, location, _writer.id_like(_at(document, location), other))
    return document


def seconds_not_ms(call: Call, document: Any) -> Any:
    if not _writer.stamps(call.contract):
        return document
    form = call.contract.operation["x-mj-task"]["times"]["format"]
    for stamp in _writer.stamps(call.contract).values():
        raw = stamp.raw(document)
        if form == "iso8601" or stamp.read(document) is None:
            continue
        value = int(float(raw) * 1000) if form == "s" else int(raw) // 1000
        places = stamp.path.locate(document)
        _writer.put_all(document, places, str(value) if isinstance(raw, str) else value)
    return document


def finish_before_start(call: Call, document: Any) -> Any:
    moments = _moments(call.contract, document)
    before = [moment for name, moment in moments.items() if name != "finished"]
    if before and "finished" in moments:
        _writer.set_time(call.contract, document, "finished", min(before) - timedelta(hours=1))
    return document


def success_without_media(call: Call, document: Any) -> Any:
    reader = call.contract.reader
    if not reader.completes("media", document):
        return document
    for media in (*reader.image_media, *reader.video_media):
        for location in media.path.locate(document) if media.urls(document) else ():
            index = next((depth for depth, step in enumerate(location) if isinstance(step, int)), None)
            if index is None:
                _writer.put(document, location, _unset(call.contract, location))
            else:
                _writer.put(document, location[:index], [])
    return document


def success_without_finish(call: Call, document: Any) -> Any:
    stamp = call.contract.reader.finished
    if (
        stamp is None
        or stamp.raw(document) is None
        or not call.contract.reader.completes("finished", document)
    ):
        return document
    words = call.contract.operation["x-mj-task"]["times"].get("unset", [])
    for location in stamp.path.locate(document):
        _writer.put(document, location, _unset(call.contract, location, words))
    return document


def success_at_50(call: Call, document: Any) -> Any:
    if call.contract.reader.completes("progress", document):
        _writer.set_progress(call.contract, document, 50)
    return document


def failure_without_reason(call: Call, document: Any) -> Any:
    for path in call.contract.reader.failure_paths:
        for location in path.locate(document):
            _writer.put(document, location, _unset(call.contract, location))
    return document


def progress_150(call: Call, document: Any) -> Any:
    _writer.set_progress(call.contract, document, 150)
    return document


def terminal_regression(call: Call, document: Any) -> Any:
    earlier = next((state for state in _BEFORE if state.value in call.contract.examples), None)
    if call.reads == 0 or call.state is None or not call.state.terminal or earlier is None:
        return document
    moments = _moments(call.contract, document)
    return _writer.write(call.contract, earlier, call.task_id, moments)


_BEFORE = (State.RUNNING, State.QUEUED)


def changes_when_read(call: Call, document: Any) -> Any:
    prompt = call.contract.reader.prompt_path
    preferred = [] if prompt is None else prompt.locate(document)
    unnamed, _ = _places(call.contract, document)
    others = [location for location, value in unnamed if "://" not in str(value)]
    for location in (*preferred, *others):
        text = _at(document, location)
        if isinstance(text, str) and text:
            _writer.put(document, location, f"{text} ({call.reads + 1})")
            break
    return document


def echo_in_body(call: Call, document: Any) -> Any:
    if isinstance(document, dict) and call.secrets:
        document[ECHO] = call.secrets[0]
    return document


# Places in documents.


def _places(contract: Contract, document: Any) -> tuple[list[_Place], list[_Place]]:
    """
    Where a value may be broken without the document ceasing to be that task in that state.

    First the places that `x-mj-task` does not name, then those that it names and what is in them, each in
    document order.
    """
    form = contract.operation["x-mj-task"]
    telling = {form["id"], *form.get("accept", {}), *_state_paths(contract)}
    kept = {location for text in telling for location in _path(text).locate(document)}
    kept |= {location[:depth] for location in kept for depth in range(len(location))}
    named = {location for text in _paths(form) for location in _path(text).locate(document)}
    unnamed: list[_Place] = []
    others: list[_Place] = []
    for location, value in _walk(document):
        if location not in kept:
            inside = any(location[:depth] in named for depth in range(1, len(location) + 1))
            (others if inside else unnamed).append((location, value))
    return unnamed, others


def _unkept(contract: Contract, document: Any) -> list[_Place]:
    unnamed, named = _places(contract, document)
    return unnamed + named


def _state_paths(contract: Contract) -> list[str]:
    """The paths that say which state a task is in."""
    form = contract.operation["x-mj-task"]
    entries = [entry for entries in form["states"].values() for entry in entries if isinstance(entry, dict)]
    status = [form["status"]] if "status" in form else []
    return list(dict.fromkeys([*status, *(path for entry in entries for path in entry["where"])]))


def _status(contract: Contract, document: Any) -> list[Location]:
    """Where the document says which state the task is in."""
    places = [place for path in _state_paths(contract) for place in _path(path).locate(document)]
    return [place for place in dict.fromkeys(places) if place and kind(_at(document, place)) in _SCALARS]


def _moments(contract: Contract, document: Any) -> dict[str, Any]:
    """The times that are set in a document."""
    stamps = _writer.stamps(contract)
    return {name: moment for name, stamp in stamps.items() if (moment := stamp.read(document)) is not None}


def _unset(contract: Contract, location: Location, words: Sequence[Any] = ()) -> Any:
    """What stands at a place when nothing is set: as other examples have it, else as the schema allows."""
    shown = [
        value
        for state in State
        if state.value in contract.examples
        for place, value in _walk(contract.examples[state.value])
        if place == location and any(same(value, word) for word in (None, "", *words))
    ]
    candidates = (*shown, *words, None, "")
    return next((value for value in candidates if permits(contract, location, kind(value))), None)


def _walk(node: Any, location: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Every value in a document but the document itself, the outer before the inner."""
    steps: Iterable[tuple[str | int, Any]] = ()
    if isinstance(node, dict):
        steps = node.items()
    elif isinstance(node, list):
        steps = enumerate(node)
    for step, value in steps:
        yield (*location, step), value
        yield from _walk(value, (*location, step))


def _at(document: Any, location: Location) -> Any:
    for step in location:
        document = document[step]
    return document


def _paths(form: Any) -> Iterator[str]:
    """Every JSONPath in an `x-mj-task`; what is none of them is passed over."""
    if isinstance(form, dict):
        for name, value in form.items():
            yield from _paths(name)
            yield from _paths(value)
    elif isinstance(form, list):
        for value in form:
            yield from _paths(value)
    elif isinstance(form, str) and form.startswith("$") and not form.startswith("$request"):
        yield form


@cache
def _path(text: str) -> Path:
    return Path.compile(text)
