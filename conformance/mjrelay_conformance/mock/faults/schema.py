"""Faults of documents that violate the schema."""

from __future__ import annotations

import copy
import zlib
from typing import TYPE_CHECKING, Any

from mjrelay.contract import json_type
from mjrelay.semantics import State
from mjrelay_conformance.mock import slots, writer
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import Fault
from mjrelay_conformance.mock.slots import ABSENT, schema_allows

if TYPE_CHECKING:
    from mjrelay_conformance.mock.responses import MockRequest


_SCHEMA = ("fetch/200/schema",)
_EXACT = 2**53
"""Integers below it are exact in floating point."""
_UNDOCUMENTED = "a_field_of_no_contract"


def _missing_required(request: MockRequest, document: Any) -> Any:
    found = next(
        (
            location
            for location, _ in slots.all_editable_slots(request.contract, document)
            if isinstance(location[-1], str) and not schema_allows(request.contract, location, ABSENT)
        ),
        None,
    )
    for location in slots.state_locations(request.contract, document) if found is None else [found]:
        del slots.value_at(document, location[:-1])[location[-1]]
    return document


def _null_field(request: MockRequest, document: Any) -> Any:
    for location, value in slots.all_editable_slots(request.contract, document):
        if value is not None and not schema_allows(request.contract, location, "null"):
            writer.set_value(document, location, None)
            break
    return document


def _id_as_number(request: MockRequest, document: Any) -> Any:
    for location in request.contract.reader.id_path.locate(document):
        text = slots.value_at(document, location)
        if isinstance(text, str) and not schema_allows(request.contract, location, "integer"):
            digits = text.isascii() and text.isdecimal() and len(text) <= 4000
            writer.set_value(
                document, location, int(text) if digits else zlib.crc32(text.encode(errors="replace"))
            )
    return document


def _unknown_enum(request: MockRequest, document: Any) -> Any:
    changed = copy.deepcopy(document)
    for location in slots.state_locations(request.contract, document):
        value = slots.value_at(document, location)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        lower = isinstance(value, str) and value.islower()
        unknown: Any = 7919 if number else "word_of_no_relay" if lower else "WORD_OF_NO_RELAY"
        writer.set_value(changed, location, unknown)
    return changed if request.contract.reader.state(changed) is State.UNKNOWN else document


def _undocumented(request: MockRequest, document: Any) -> Any:
    for location in request.contract.reader.id_path.locate(document):
        task = slots.value_at(document, location[:-1])
        if isinstance(task, dict):
            task[_UNDOCUMENTED] = "new"
    return document


def _fraction(request: MockRequest, document: Any) -> Any:
    for location, value in slots.all_editable_slots(request.contract, document):
        whole = json_type(value) == "integer" and abs(value) < _EXACT
        if whole and not schema_allows(request.contract, location, "number"):
            writer.set_value(document, location, float(value))
            break
    return document


FAULTS = (
    Fault(
        "integer-with-fraction",
        "An integer is written with a fraction.",
        ("fetch/200/integers",),
        on_document=_fraction,
    ),
    Fault(
        "body-is-array",
        "The task is wrapped in an array.",
        _SCHEMA,
        on_document=lambda _, document: [document],
    ),
    Fault(
        "wrong-type",
        "A documented value has a JSON type that violates the schema.",
        _SCHEMA,
        on_document=effects.wrong_type,
    ),
    Fault(
        "missing-required",
        "A required property is missing, or the status if none is required.",
        (*_SCHEMA, "fetch/200/presence"),
        on_document=_missing_required,
    ),
    Fault("null-field", "A value is null although the schema forbids it.", _SCHEMA, on_document=_null_field),
    Fault(
        "id-as-number", "The task id is a JSON number.", (*_SCHEMA, "fetch/200/id"), on_document=_id_as_number
    ),
    Fault(
        "unknown-enum",
        "The status of the task is an undocumented value.",
        ("fetch/200/enum", "fetch/200/status-word"),
        on_document=_unknown_enum,
    ),
    Fault(
        "extra-field",
        "The task has an undocumented property.",
        ("fetch/200/undocumented",),
        on_document=_undocumented,
    ),
)
