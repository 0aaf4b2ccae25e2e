"""JSON as foreign bodies hold it, read strictly."""

from __future__ import annotations

import codecs
import json
import math
import re
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


DEEPEST = 500
"""
Lists and objects within one another that are read.

CPython's own reader gives up at 1,000 calls within one another, and so does `repr`. Half of them are left to
the caller, so that how deep a body may be does not depend on where it is read, nor on which decoder reads it.
"""

MOST_VALUES = 200_000
"""
Values and names of objects, counted together, that are read from one body.

Each costs the memory of a Python object, and the shortest take three bytes: five million empty objects fit
into 15 kB of gzip. A full response to a request for a hundred tasks has about 10,000.
"""

LONGEST_NUMBER = 1000
"""Digits of one number in a large body; the time to convert a whole number grows with their square."""

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_WHITESPACE = b" \t\r\n"
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_NESTING = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""An opening bracket as 1 and a closing one as -1, read as signed bytes."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


class NotJSONError(ValueError):
    """A body is not one JSON text (RFC 8259), for the reason given."""


class OversizeError(NotJSONError):
    """A body exceeds a bound on what is decoded, whether or not it is JSON."""


class HalfPairError(NotJSONError):
    """A text holds half a surrogate pair, which the grammar allows and no character is (section 8.2)."""


def parse_json(body: bytes) -> Any:
    """
    The value of one JSON text (RFC 8259): UTF-8, no byte order mark, no NaN or Infinity, nothing after it.

    Raises `NotJSONError` for everything else. Half a surrogate pair, which is no character and could be
    written nowhere, is included, and as `OversizeError` what `check_json_bounds` refuses.
    """
    return parse_json_with(_fastest(), body)


def parse_json_with(decode: Callable[[bytes], Any] | None, body: bytes) -> Any:
    """
    The value as `parse_json` gives it, read by a decoder that is as strict as the standard library made here.

    What the decoder refuses, the standard library judges, so that the reasons are the same without it.
    """
    check_json_bounds(body)
    if decode is None:
        return _standard(body)
    try:
        return decode(body)
    except Exception:  # noqa: BLE001 - whatever its reason, it is not this one that is told
        return _standard(body)


def check_json_bounds(body: bytes, most: int = MOST_VALUES) -> None:
    """
    Raise `OversizeError` for a body whose decoding costs too much, before any of it is decoded.

    Bounds how deep it is nested, how many values and names of objects it has (``most``), and the digits of a
    number. One pass takes the strings out; what is left is counted. In a text that is JSON the count is
    exact, in any other one it is no less than what a decoder makes before it gives up.
    """
    # Nothing is nested more deeply than it has brackets, and nothing has more values than bytes.
    if len(body) <= most and body.count(b"[") + body.count(b"{") <= DEEPEST:
        return
    skeleton, strings = _STRING.subn(b'"', body, most + 1)
    if strings > most:
        raise OversizeError(f"holds more than {most:,} strings; {_bound(most)}")
    skeleton = skeleton.translate(_DIGITS, _WHITESPACE)
    # A text with more brackets than this has too many values, or is not JSON.
    nesting = skeleton.translate(_NESTING, _NO_BRACKETS)[: 2 * most]
    depth = max(accumulate(memoryview(nesting).cast("b")), default=0)
    if depth > DEEPEST:
        raise OversizeError(f"is nested too deeply: {depth:,} levels, and {DEEPEST} are read")
    # Each value or name but the outermost stands behind one of these, and only an empty container has none.
    values = 1 + skeleton.count(b",") + skeleton.count(b":") + skeleton.count(b"[") + skeleton.count(b"{")
    values -= skeleton.count(b"[]") + skeleton.count(b"{}")
    if values > most:
        raise OversizeError(f"holds {values:,} values and names; {_bound(most)}")
    if len(body) > most and b"0" * (LONGEST_NUMBER + 1) in skeleton:
        raise OversizeError(f"holds a number with too many digits, more than {LONGEST_NUMBER:,}")


def _bound(most: int) -> str:
    return f"at most {most:,} values and names of objects are read"


@cache
def _fastest() -> Callable[[bytes], Any] | None:
    """The decoder of the ``fast`` extra, None where that is not installed."""
    try:
        import msgspec  # noqa: PLC0415 - an extra, and not needed to import this package
    except ImportError:
        return None
    return msgspec.json.Decoder().decode


def _standard(body: bytes) -> Any:
    if not body.strip():
        raise NotJSONError("the body is empty")
    try:
        document = _DECODER.decode(body.decode("utf-8"))
        if _ESCAPED_SURROGATE.search(body):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJSONError(f"byte {error.start} is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise HalfPairError("holds half a surrogate pair, which is no character") from error
    except json.JSONDecodeError as error:
        reason = "Unexpected UTF-8 BOM" if body.startswith(codecs.BOM_UTF8) else error.msg
        raise NotJSONError(f"{reason} at line {error.lineno}, column {error.colno}") from error
    except NotJSONError:
        raise
    except ValueError as error:  # a number of more digits than Python converts
        raise NotJSONError("holds a number with too many digits") from error
    except RecursionError as error:
        raise NotJSONError("is nested too deeply") from error
    return document


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJSONError("holds a number that is too large")
    return number


def _constant(name: str) -> NoReturn:
    raise NotJSONError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=_constant)
