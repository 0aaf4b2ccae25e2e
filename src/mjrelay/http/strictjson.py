"""Strict JSON (RFC 8259) from untrusted sources, with limits."""

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
Maximum nesting depth.

The recursion limit of CPython is 1,000 calls, also for `repr`. The caller may use half of them, so that the
limit does not depend on the caller or the decoder.
"""

MOST_VALUES = 200_000
"""
Maximum number of values and object names in one body.

Each is a Python object, and the shortest take three bytes: five million empty objects fit into 15 kB of gzip.
A response with a hundred tasks has about 10,000.
"""

LONGEST_NUMBER = 1000
"""Maximum digits of a number in a large body; the time to convert an integer grows with their square."""

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_WHITESPACE = b" \t\r\n"
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_NESTING = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Maps opening brackets to 1 and closing ones to -1, as signed bytes."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


class NotJSONError(ValueError):
    """A body is not JSON (RFC 8259)."""


class OversizeError(NotJSONError):
    """A body exceeds a limit. It may or may not be JSON."""


class HalfPairError(NotJSONError):
    """A string contains half a surrogate pair: valid in the grammar, but not a character (section 8.2)."""


def parse_json(body: bytes) -> Any:
    """
    Return the value of a JSON text (RFC 8259): UTF-8, no NaN or Infinity.

    A byte order mark is ignored, as section 8.1 allows.

    Raises:
        NotJSONError: The body is not JSON, or contains half a surrogate pair.
        OversizeError: The body exceeds a limit; see `check_json_bounds`.
    """
    return parse_json_with(_fastest(), body)


def parse_json_with(decode: Callable[[bytes], Any] | None, body: bytes) -> Any:
    """
    Return the value of a JSON text, decoded by another decoder that is as strict; see `parse_json`.

    If it fails, the standard library decodes the body again, so that error messages do not depend on it.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    check_json_bounds(body)
    if decode is None:
        return _standard(body)
    try:
        return decode(body)
    except Exception:  # noqa: BLE001 - the standard library reports the reason
        return _standard(body)


def check_json_bounds(body: bytes, most: int = MOST_VALUES) -> None:
    """
    Raise `OversizeError` if a body is too expensive to decode.

    Limits the nesting depth, the number of values and object names (``most``), and the digits of a number.
    One pass removes the strings, and the rest is counted. The count is exact for JSON. For other bodies it is
    at least the number of objects that a decoder creates before it fails.
    """
    # The depth is at most the number of brackets, the number of values at most that of bytes.
    if len(body) <= most and body.count(b"[") + body.count(b"{") <= DEEPEST:
        return
    skeleton, strings = _STRING.subn(b'"', body, most + 1)
    if strings > most:
        raise OversizeError(f"contains more than {most:,} strings; {_bound(most)}")
    skeleton = skeleton.translate(_DIGITS, _WHITESPACE)
    # A text with more brackets has too many values, or is not JSON.
    nesting = skeleton.translate(_NESTING, _NO_BRACKETS)[: 2 * most]
    depth = max(accumulate(memoryview(nesting).cast("b")), default=0)
    if depth > DEEPEST:
        raise OversizeError(f"is nested too deeply: {depth:,} levels, the limit is {DEEPEST}")
    # One of these precedes each value or name, except the outermost. Empty containers have none.
    values = 1 + skeleton.count(b",") + skeleton.count(b":") + skeleton.count(b"[") + skeleton.count(b"{")
    values -= skeleton.count(b"[]") + skeleton.count(b"{}")
    if values > most:
        raise OversizeError(f"contains {values:,} values and names; {_bound(most)}")
    if len(body) > most and b"0" * (LONGEST_NUMBER + 1) in skeleton:
        raise OversizeError(f"contains a number with too many digits, more than {LONGEST_NUMBER:,}")


def _bound(most: int) -> str:
    return f"the limit is {most:,} values and object names"


@cache
def _fastest() -> Callable[[bytes], Any] | None:
    """Return the decoder of the ``fast`` extra, or None if it is not installed."""
    try:
        import msgspec  # noqa: PLC0415 - an extra
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
        raise HalfPairError("contains half a surrogate pair, which is not a character") from error
    except json.JSONDecodeError as error:
        raise NotJSONError(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except NotJSONError:
        raise
    except ValueError as error:  # more digits than Python converts
        raise NotJSONError("contains a number with too many digits") from error
    except RecursionError as error:
        raise NotJSONError("is nested too deeply") from error
    return document


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJSONError("contains a number that is too large")
    return number


def _constant(name: str) -> NoReturn:
    raise NotJSONError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=_constant)
