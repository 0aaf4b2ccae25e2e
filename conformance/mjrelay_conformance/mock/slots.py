"""
Places in a task's document, found through the contract, its schema and its `x-mj-task`.

No field's name is known here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

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
"""The kinds of values that hold no others."""
NUMBERS = {"integer", "number"}


def editable_slots(contract: Contract, document: Any) -> tuple[list[Slot], list[Slot]]:
    """
    Where a value may be broken without the document ceasing to be that task in that state.

    First the places that `x-mj-task` does not name, then those that it names and what is in them, each in
    document order.
    """
    form = contract.operation["x-mj-task"]
    telling = {form["id"], *form.get("accept", {}), *state_paths(contract)}
    kept = {location for text in telling for location in json_path(text).locate(document)}
    kept |= {location[:depth] for location in kept for depth in range(len(location))}
    named = {location for text in _paths(form) for location in json_path(text).locate(document)}
    unnamed: list[Slot] = []
    others: list[Slot] = []
    for location, value in walk(document):
        if location not in kept:
            inside = any(location[:depth] in named for depth in range(1, len(location) + 1))
            (others if inside else unnamed).append((location, value))
    return unnamed, others


def all_editable_slots(contract: Contract, document: Any) -> list[Slot]:
    """All `places` in one list, those first that `x-mj-task` does not name."""
    unnamed, named = editable_slots(contract, document)
    return unnamed + named


def state_paths(contract: Contract) -> list[str]:
    """The paths that say which state a task is in."""
    form = contract.operation["x-mj-task"]
    entries = [entry for entries in form["states"].values() for entry in entries if isinstance(entry, dict)]
    status = [form["status"]] if "status" in form else []
    return list(dict.fromkeys([*status, *(path for entry in entries for path in entry["where"])]))


def state_locations(contract: Contract, document: Any) -> list[Location]:
    """Where the document says which state the task is in."""
    found = [place for path in state_paths(contract) for place in json_path(path).locate(document)]
    return [
        place for place in dict.fromkeys(found) if place and json_type(value_at(document, place)) in SCALARS
    ]


def extend_signed_urls(contract: Contract, document: Any, finished: datetime) -> Any:
    """The document; its links that would have ended by then are signed anew, as the chat service does."""
    for location, url in media_slots(contract, document):
        end = url_expiry(url)
        if end is not None and end < finished.timestamp():
            later = f"{int(finished.timestamp()) + _SIGNED:x}"
            writer.set_value(document, location, re.sub("(?<=[?&]ex=)[^&]*", later, url))
    return document


_SIGNED = 24 * 60 * 60
"""Seconds for which the chat service, whose bot draws, signs a link."""


def media_slots(contract: Contract, document: Any) -> list[Slot]:
    """The URLs of what the task made."""
    return [
        (location, url)
        for media in (*contract.reader.image_media, *contract.reader.video_media)
        if media.urls(document)
        for location in media.path.locate(document)
        if isinstance(url := value_at(document, location), str) and "://" in url
    ]


def read_times(contract: Contract, document: Any) -> dict[str, Any]:
    """The times that are set in a document."""
    stamps = writer.timestamps(contract)
    return {name: moment for name, stamp in stamps.items() if (moment := stamp.read(document)) is not None}


def unset_value(contract: Contract, location: Location, words: Sequence[Any] = ()) -> Any:
    """What stands at a place when nothing is set: as other examples have it, else as the schema allows."""
    shown = [
        value
        for state in State
        if state.value in contract.examples
        for place, value in walk(contract.examples[state.value])
        if place == location and any(same_value(value, word) for word in (None, "", *words))
    ]
    candidates = (*shown, *words, None, "")
    return next((value for value in candidates if schema_allows(contract, location, json_type(value))), None)


def walk(node: Any, location: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Every value in a document but the document itself, the outer before the inner."""
    steps: Iterable[tuple[str | int, Any]] = ()
    if isinstance(node, dict):
        steps = node.items()
    elif isinstance(node, list):
        steps = enumerate(node)
    for step, value in steps:
        yield (*location, step), value
        yield from walk(value, (*location, step))


def value_at(document: Any, location: Location) -> Any:
    """What stands at a place."""
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
def json_path(text: str) -> JSONPath:
    """The JSONPath that a text is."""
    return JSONPath.compile(text)


ABSENT = "absent"
"""The kind of what is not there."""


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@frozen
class Exactly:
    """The kind of one value alone: where a schema lists values, it has to be one of them."""

    value: Any


def json_type(value: Any) -> str:
    """The JSON type of a value, as JSON Schema calls it."""
    return _KINDS[type(value)]


def schema_allows(contract: Contract, location: Location, wanted: str | Exactly) -> bool:
    """
    Whether a task's document may have a value of a kind at a location, or none there.

    A no is certain: the schema refuses every such document. A yes is not, for values are not looked at but
    where a schema lists them.
    """
    schemas = [media["schema"] for media in contract.content(200).values() if "schema" in media]
    return not schemas or any(_schema_allows(contract, schema, location, wanted) for schema in schemas)


def _schema_allows(contract: Contract, schema: Any, location: Location, wanted: str | Exactly) -> bool:
    schema = contract.resolve(schema)
    if not isinstance(schema, dict):
        return schema is not False
    return _own(contract, schema, location, wanted) and all(
        combine(_schema_allows(contract, option, location, wanted) for option in schema[keyword])
        for keyword, combine in (("allOf", all), ("anyOf", any), ("oneOf", any))
        if keyword in schema
    )


def _own(contract: Contract, schema: dict[str, Any], location: Location, wanted: str | Exactly) -> bool:
    """What a schema says itself, without those that it is combined from."""
    if not location:
        return _typed(schema, wanted)
    step, rest = location[0], location[1:]
    if isinstance(step, int):
        prefix = schema.get("prefixItems", [])
        child = prefix[step] if step < len(prefix) else schema.get("items", True)
        return _typed(schema, "array") and _schema_allows(contract, child, rest, wanted)
    if not _typed(schema, "object"):
        return False
    if not rest and wanted == ABSENT:
        return step not in schema.get("required", ())
    properties = schema.get("properties", {})
    other = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    return _schema_allows(contract, properties.get(step, other), rest, wanted)


def _typed(schema: dict[str, Any], wanted: str | Exactly) -> bool:
    name = json_type(wanted.value) if isinstance(wanted, Exactly) else wanted
    same = {name, "number"} if name == "integer" else {name}
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not same.intersection(types):
            return False
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is None:
        return True
    if isinstance(wanted, Exactly):
        return any(json_type(value) in same and value == wanted.value for value in values)
    return any(json_type(value) in same for value in values)
