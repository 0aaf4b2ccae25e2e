"""
Values in a task's document, located through the contract, its schema and its `x-mj-task`.

This module contains no field names. A slot is a location in a document together with its value.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mjrelay.contract import COMBINING, child_schema, json_type
from mjrelay.http import url_expiry
from mjrelay.semantics import JSONPath, State, same_value
from mjrelay_conformance.mock import writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from mjrelay.base import Location
    from mjrelay.contract import Contract

    Slot = tuple[Location, Any]


SCALARS = {"null", "boolean", "integer", "number", "string"}
"""The JSON types of values that contain no other values."""
NUMBERS = {"integer", "number"}


def editable_slots(contract: Contract, document: Any) -> tuple[list[Slot], list[Slot]]:
    """
    Return the slots that can be changed without changing the task's id or state.

    The first list has the slots that `x-mj-task` does not refer to, the second list those that it does,
    including the values inside them. Both are in document order.
    """
    form = contract.operation["x-mj-task"]
    essential = {form["id"], *form.get("accept", {}), *state_paths(contract)}
    fixed = {location for text in essential for location in json_path(text).locate(document)}
    fixed |= {location[:depth] for location in fixed for depth in range(len(location))}
    named = {location for text in _paths(form) for location in json_path(text).locate(document)}
    unnamed: list[Slot] = []
    others: list[Slot] = []
    for location, value in walk(document):
        if location not in fixed:
            inside = any(location[:depth] in named for depth in range(1, len(location) + 1))
            (others if inside else unnamed).append((location, value))
    return unnamed, others


def all_editable_slots(contract: Contract, document: Any) -> list[Slot]:
    """Return `editable_slots` in one list, values that `x-mj-task` does not refer to first."""
    unnamed, named = editable_slots(contract, document)
    return unnamed + named


def state_paths(contract: Contract) -> list[str]:
    """Return the paths that determine a task's state."""
    form = contract.operation["x-mj-task"]
    entries = [entry for entries in form["states"].values() for entry in entries if isinstance(entry, dict)]
    status = [form["status"]] if "status" in form else []
    scopes = [scope for entry in entries for scope in entry.values()]
    return list(dict.fromkeys([*status, *(path for scope in scopes for path in scope)]))


def state_locations(contract: Contract, document: Any) -> list[Location]:
    """Return the locations of the scalars that determine the task's state."""
    found = [place for path in state_paths(contract) for place in json_path(path).locate(document)]
    return [
        place for place in dict.fromkeys(found) if place and json_type(value_at(document, place)) in SCALARS
    ]


def extend_signed_urls(contract: Contract, document: Any, finished: datetime) -> Any:
    """Extend the signatures of media URLs that would expire before the task finishes."""
    for location, url in media_slots(contract, document):
        end = url_expiry(url)
        if end is not None and end < finished.timestamp():
            later = f"{int(finished.timestamp()) + _SIGNED:x}"
            writer.set_value(document, location, re.sub("(?<=[?&]ex=)[^&]*", later, url))
    return document


_SIGNED = 24 * 60 * 60
"""Seconds for which Discord signs a URL."""


def media_slots(contract: Contract, document: Any) -> list[Slot]:
    """Return the media URLs of a task."""
    return [
        (location, url)
        for media in (*contract.reader.image_media, *contract.reader.video_media)
        if media.urls(document)
        for location in media.path.locate(document)
        if isinstance(url := value_at(document, location), str) and "://" in url
    ]


def read_times(contract: Contract, document: Any) -> dict[str, Any]:
    """Return the times that are set in a document."""
    stamps = writer.timestamps(contract)
    return {name: moment for name, stamp in stamps.items() if (moment := stamp.read(document)) is not None}


def unset_value(contract: Contract, location: Location, unset: Sequence[Any] = ()) -> Any:
    """Return an unset value for a location: one from another example, or one that the schema allows."""
    shown = [
        value
        for state in State
        if state.value in contract.examples
        for place, value in walk(contract.examples[state.value])
        if place == location and any(same_value(value, one) for one in (None, "", *unset))
    ]
    candidates = (*shown, *unset, None, "")
    return next((value for value in candidates if schema_allows(contract, location, json_type(value))), None)


def walk(node: Any, location: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Yield every value in a document except the root, outer values first."""
    steps: Iterable[tuple[str | int, Any]] = ()
    if isinstance(node, dict):
        steps = node.items()
    elif isinstance(node, list):
        steps = enumerate(node)
    for step, value in steps:
        yield (*location, step), value
        yield from walk(value, (*location, step))


def value_at(document: Any, location: Location) -> Any:
    """Return the value at a location."""
    for step in location:
        document = writer.opened(document)[step]
    return document


def _paths(form: Any) -> Iterator[str]:
    """Yield every JSONPath in an `x-mj-task`."""
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
def json_path(text: str) -> JSONPath:
    """Compile a JSONPath; cached."""
    return JSONPath.compile(text)


ABSENT = "absent"
"""Stands for a missing value in `schema_allows`."""


@frozen
class Exactly:
    """Stands for one exact value in `schema_allows`: an ``enum`` or ``const`` has to include it."""

    value: Any


def schema_allows(contract: Contract, location: Location, wanted: str | Exactly) -> bool:
    """
    Return whether the schema may allow a JSON type, an exact value or no value at a location.

    False is certain: the schema rejects every such document. True is not certain, because only types,
    presence, enumerations and formats of empty text are evaluated.
    """
    schemas = [media["schema"] for media in contract.content(200).values() if "schema" in media]
    return not schemas or any(_schema_allows(contract, schema, location, wanted) for schema in schemas)


def _schema_allows(contract: Contract, schema: Any, location: Location, wanted: str | Exactly) -> bool:
    schema = contract.resolve(schema)
    if not isinstance(schema, dict):
        return schema is not False
    return _own(contract, schema, location, wanted) and all(
        combine(_schema_allows(contract, option, location, wanted) for option in schema[keyword])
        for keyword, combine in zip(COMBINING, (all, any, any), strict=True)
        if keyword in schema
    )


def _own(contract: Contract, schema: dict[str, Any], location: Location, wanted: str | Exactly) -> bool:
    """Evaluate a schema without its ``allOf``, ``anyOf`` and ``oneOf``."""
    if not location:
        return _typed(schema, wanted)
    step, rest = location[0], location[1:]
    found = child_schema(schema, step)
    if isinstance(step, int):
        return _typed(schema, "array") and _schema_allows(contract, found[1] if found else True, rest, wanted)
    if not _typed(schema, "object"):
        return False
    if not rest and wanted == ABSENT:
        return step not in schema.get("required", ())
    other = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    return _schema_allows(contract, found[1] if found else other, rest, wanted)


_NON_EMPTY = {"format", "pattern", "minLength", "minItems"}
"""Keywords that an empty string or array may not satisfy."""


def _typed(schema: dict[str, Any], wanted: str | Exactly) -> bool:
    name = json_type(wanted.value) if isinstance(wanted, Exactly) else wanted
    same = {name, "number"} if name == "integer" else {name}
    if wanted == Exactly("") and ("format" in schema or schema.get("minLength")):
        return False
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not same.intersection(types):
            return False
    if isinstance(wanted, Exactly) and wanted.value in ("", []) and _NON_EMPTY & schema.keys():
        return False
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is None:
        return True
    if isinstance(wanted, Exactly):
        return any(json_type(value) in same and value == wanted.value for value in values)
    return any(json_type(value) in same for value in values)
