"""Faults of a document that does not fit the contract's schema."""

from __future__ import annotations

import copy
import zlib
from typing import TYPE_CHECKING, Any

from mjrelay.semantics import State
from mjrelay_conformance.mock import places, writer
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import Fault
from mjrelay_conformance.mock.places import ABSENT, permits

if TYPE_CHECKING:
    from mjrelay_conformance.mock.response import MockRequest


_SCHEMA = ("fetch/200/schema",)
_UNDOCUMENTED = "a_field_of_no_contract"


def _missing_required(call: MockRequest, document: Any) -> Any:
    found = next(
        (
            location
            for location, _ in places.unkept(call.contract, document)
            if isinstance(location[-1], str) and not permits(call.contract, location, ABSENT)
        ),
        None,
    )
    for location in places.status(call.contract, document) if found is None else [found]:
        del places.at(document, location[:-1])[location[-1]]
    return document


def _null_field(call: MockRequest, document: Any) -> Any:
    for location, value in places.unkept(call.contract, document):
        if value is not None and not permits(call.contract, location, "null"):
            writer.put(document, location, None)
            break
    return document


def _id_as_number(call: MockRequest, document: Any) -> Any:
    for location in call.contract.reader.id_path.locate(document):
        text = places.at(document, location)
        if isinstance(text, str) and not permits(call.contract, location, "integer"):
            digits = text.isascii() and text.isdecimal() and len(text) <= 4000
            writer.put(document, location, int(text) if digits else zlib.crc32(text.encode(errors="replace")))
    return document


def _unknown_enum(call: MockRequest, document: Any) -> Any:
    changed = copy.deepcopy(document)
    for location in places.status(call.contract, document):
        word = places.at(document, location)
        number = isinstance(word, int | float) and not isinstance(word, bool)
        lower = isinstance(word, str) and word.islower()
        unknown: Any = 7919 if number else "word_of_no_relay" if lower else "WORD_OF_NO_RELAY"
        writer.put(changed, location, unknown)
    return changed if call.contract.reader.state(changed) is State.UNKNOWN else document


def _undocumented(call: MockRequest, document: Any) -> Any:
    for location in call.contract.reader.id_path.locate(document):
        task = places.at(document, location[:-1])
        if isinstance(task, dict):
            task[_UNDOCUMENTED] = "new"
    return document


FAULTS = (
    Fault("body-is-array", "The task stands in an array.", _SCHEMA, alter=lambda _, document: [document]),
    Fault(
        "wrong-type",
        "A documented value has a JSON type that the schema refuses.",
        _SCHEMA,
        alter=effects.wrong_type,
    ),
    Fault(
        "missing-required",
        "A required property is not there, or the status where none is required.",
        (*_SCHEMA, "fetch/200/presence"),
        alter=_missing_required,
    ),
    Fault("null-field", "A value is null where the schema forbids it.", _SCHEMA, alter=_null_field),
    Fault("id-as-number", "The id is a JSON number.", (*_SCHEMA, "fetch/200/id"), alter=_id_as_number),
    Fault(
        "unknown-enum",
        "The status is a word that nobody knows.",
        ("fetch/200/enum", "fetch/200/status-word"),
        alter=_unknown_enum,
    ),
    Fault(
        "extra-field",
        "The task has a property that the contract does not know.",
        ("fetch/200/undocumented",),
        alter=_undocumented,
    ),
)
