"""
Decode a response body into the documented types. Decoding is strict about JSON types and lenient otherwise.

A decoder takes a JSON value and returns a Python value, or raises `DecodeError`. Each enclosing array or
object adds its key to the path of the error.
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
"""Takes a JSON value, returns the decoded value."""

BodyDecoder = Callable[[bytes], Any]
"""Takes the bytes of a body, returns the decoded value."""


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
    """Return the name of the JSON type of a value."""
    return _KINDS.get(type(value), type(value).__name__)


def step_into(step: str | int, decode: Decoder, value: Any) -> Any:
    """Decode an item of an array or object; an error has its key or index in the path."""
    try:
        return decode(value)
    except DecodeError as error:
        raise error.within(step) from None


def anything(value: Any) -> Any:
    """Return any JSON value."""
    return value


def null(value: Any) -> None:
    """Decode null."""
    if value is not None:
        raise DecodeError("null", kind(value))


def boolean(value: Any) -> bool:
    """Decode a boolean."""
    if isinstance(value, bool):
        return value
    raise DecodeError("boolean", kind(value))


def integer(value: Any) -> int:
    """Decode an integer, also one written as 1.0; a boolean is not an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise DecodeError("integer", kind(value))


def number(value: Any) -> float:
    """Decode a number; a boolean is not a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise DecodeError("number", kind(value))


def string(value: Any) -> str:
    """Decode a string."""
    if isinstance(value, str):
        return value
    raise DecodeError("string", kind(value))


def enumeration(words: type[Enum]) -> Decoder:
    """Return a decoder of an enumeration; an unknown value raises `DecodeError`."""
    known = {member.value: member for member in words}
    plain: Decoder = integer if issubclass(words, int) else string

    def decode(value: Any) -> Enum:
        word = plain(value)
        try:
            return known[word]
        except KeyError:
            raise DecodeError(f"a value of {words.__name__}", kind(value)) from None

    return decode


def constant(expected: Any) -> Decoder:
    """Return a decoder of a constant."""

    def decode(value: Any) -> Any:
        if kind(value) != kind(expected) or value != expected:
            raise DecodeError(repr(expected), kind(value))
        return value

    return decode


def array(item: Decoder) -> Decoder:
    """Return a decoder of an array."""

    def decode(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise DecodeError("array", kind(value))
        return [step_into(index, item, element) for index, element in enumerate(value)]

    return decode


def either(*alternatives: Decoder) -> Decoder:
    """Return a decoder that tries alternatives in order. If none fits, the deepest error is raised."""
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
    """Return a decoder of a JSON body; the content type is ignored."""

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
    """Decode a text body as UTF-8, with replacement characters."""
    return content.decode("utf-8", "replace")


def raw_body(content: bytes) -> bytes:
    """Return the body unchanged."""
    return content


MOST_VALUES: Final = 200_000
"""Maximum number of values and object keys in a body: each takes the memory of a Python object."""

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def _check_size(content: bytes) -> None:
    """Reject a body with too many values before parsing it. A body never has more values than bytes."""
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
        case _:  # the interpreter's limit on the digits of an integer
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
