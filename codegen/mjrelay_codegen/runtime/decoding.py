"""
From a body to values of the documented types: strict about JSON types, at ease with anything else.

A decoder takes one JSON value and returns what stands for it, or raises `DecodeError`, whose path grows
while it passes the arrays and objects on its way out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .errors import DecodeError

if TYPE_CHECKING:
    from enum import Enum

Decoder = Callable[[Any], Any]
"""Takes one JSON value, returns what stands for it."""

BodyDecoder = Callable[[bytes], Any]
"""Takes the bytes of a body, returns what stands for it."""


_KINDS: Final = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def kind(value: Any) -> str:
    """The name of a JSON value's type, for people."""
    return _KINDS.get(type(value), type(value).__name__)


def step_into(step: str | int, decode: Decoder, value: Any) -> Any:
    """Decode what an array or object holds at one of its places; an error tells the place."""
    try:
        return decode(value)
    except DecodeError as error:
        raise error.within(step) from None


def anything(value: Any) -> Any:
    """Any JSON value."""
    return value


def null(value: Any) -> None:
    """A null."""
    if value is not None:
        raise DecodeError("null", kind(value))


def boolean(value: Any) -> bool:
    """A boolean."""
    if isinstance(value, bool):
        return value
    raise DecodeError("boolean", kind(value))


def integer(value: Any) -> int:
    """An integer, which in JSON may be written 1.0; a boolean is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise DecodeError("integer", kind(value))


def number(value: Any) -> float:
    """A number; a boolean is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise DecodeError("number", kind(value))


def string(value: Any) -> str:
    """A string."""
    if isinstance(value, str):
        return value
    raise DecodeError("string", kind(value))


def enumeration(words: type[Enum]) -> Decoder:
    """The member of an enumeration; a word the contract does not know is an error here."""
    known = {member.value: member for member in words}
    plain: Decoder = integer if issubclass(words, int) else string

    def decode(value: Any) -> Enum:
        word = plain(value)
        try:
            return known[word]
        except KeyError:
            raise DecodeError(f"a word of {words.__name__}", kind(value)) from None

    return decode


def constant(expected: Any) -> Decoder:
    """The one value that the contract allows."""

    def decode(value: Any) -> Any:
        if kind(value) != kind(expected) or value != expected:
            raise DecodeError(repr(expected), kind(value))
        return value

    return decode


def array(item: Decoder) -> Decoder:
    """An array, all of whose items are alike."""

    def decode(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise DecodeError("array", kind(value))
        return [step_into(index, item, element) for index, element in enumerate(value)]

    return decode


def either(*alternatives: Decoder) -> Decoder:
    """The first alternative that fits; where none does, the error of the one that came furthest."""
    nullable = null in alternatives
    others = tuple(alternative for alternative in alternatives if alternative is not null)

    def decode(value: Any) -> Any:
        if value is None and nullable:
            return None
        errors: list[DecodeError] = []
        for alternative in others:
            try:
                return alternative(value)
            except DecodeError as error:
                errors.append(error)
        deepest = max(errors, key=lambda error: len(error.path), default=None)
        if deepest is not None and deepest.path != "$":
            raise deepest
        expected = dict.fromkeys([*(error.expected for error in errors), *(["null"] if nullable else [])])
        raise DecodeError(" or ".join(expected), kind(value))

    return decode


def json_body(decode: Decoder) -> BodyDecoder:
    """A body that is JSON text, whatever its content type says."""

    def decode_body(content: bytes) -> Any:
        _check_size(content)
        try:
            document = _JSON.decode(content.decode("utf-8-sig"))
        except RecursionError:
            raise DecodeError("JSON", "arrays or objects nested too deeply") from None
        except ValueError as error:
            raise DecodeError("JSON", _fault(content, error)) from None
        try:
            return decode(document)
        except RecursionError:
            raise DecodeError("JSON", "arrays or objects nested too deeply") from None

    return decode_body


def text_body(content: bytes) -> str:
    """A body that is plain text."""
    return content.decode("utf-8", "replace")


def raw_body(content: bytes) -> bytes:
    """A body that is whatever it is."""
    return content


MOST_VALUES: Final = 200_000
"""Values and names of objects in one body that are decoded: each takes the memory of a Python object."""

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def _check_size(content: bytes) -> None:
    """Refuse a body with too many values before any is made; nothing has more of them than bytes."""
    if len(content) <= MOST_VALUES:
        return
    rest, strings = _STRING.subn(b'"', content, MOST_VALUES + 1)
    if max(strings, sum(map(rest.count, (b",", b":", b"[", b"{")))) > MOST_VALUES:
        raise DecodeError(f"JSON of at most {MOST_VALUES} values", "more")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise DecodeError("JSON", "a number too large")
    return value


def _refuse(text: str) -> float:
    raise DecodeError("JSON", f"{text}, which JSON does not have")


_JSON: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _fault(content: bytes, error: ValueError) -> str:
    match error:
        case UnicodeDecodeError():
            return f"bytes that are not UTF-8 at {error.start}"
        case json.JSONDecodeError() if not content.strip():
            return "an empty body"
        case json.JSONDecodeError():
            return f"other text (line {error.lineno}, column {error.colno})"
        case _:  # what is left is the interpreter's limit to the digits of an integer
            return "a number too long"


__all__ = [
    "BodyDecoder",
    "Decoder",
    "anything",
    "array",
    "boolean",
    "constant",
    "either",
    "enumeration",
    "integer",
    "json_body",
    "kind",
    "null",
    "number",
    "raw_body",
    "step_into",
    "string",
    "text_body",
]
