"""JSON as foreign bodies hold it, read strictly."""

from __future__ import annotations

import codecs
import json
import math
import re
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


DEEPEST = 500
"""
Lists and objects within one another that are read.

CPython's own reader gives up at 1,000 calls within one another, and so does `repr`. Half of them are left to
the caller, so that how deep a body may be does not depend on where it is read, nor on which decoder reads it.
"""

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONTAINERS = frozenset({dict, list})


class NotJSONError(ValueError):
    """A body is not one JSON text (RFC 8259), for the reason given."""


class HalfPairError(NotJSONError):
    """A text holds half a surrogate pair, which the grammar allows and no character is (section 8.2)."""


def parse_json(body: bytes) -> Any:
    """
    The value of one JSON text (RFC 8259): UTF-8, no byte order mark, no NaN or Infinity, nothing after it.

    Raises `NotJSONError` for everything else. Nesting or numbers too large to read are included, and half a
    surrogate pair, which is no character and could be written nowhere.
    """
    return parse_json_with(_fastest(), body)


def parse_json_with(decode: Callable[[bytes], Any] | None, body: bytes) -> Any:
    """
    The value as `parse_json` gives it, read by a decoder that is as strict as the standard library made here.

    What the decoder refuses, the standard library judges, so that the reasons are the same without it.
    """
    if decode is None:
        document = _standard(body)
    else:
        try:
            document = decode(body)
        except Exception:  # noqa: BLE001 - whatever its reason, it is not this one that is told
            document = _standard(body)
    # Nothing is nested more deeply than it has brackets, and those are counted much faster.
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _check_depth(document)
    return document


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


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(DEEPEST + 1):
        containers = [node for node in level if type(node) in _CONTAINERS]
        if not containers:
            return
        level = list(chain.from_iterable([c.values() if type(c) is dict else c for c in containers]))
    raise NotJSONError("is nested too deeply")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJSONError("holds a number that is too large")
    return number


def _constant(name: str) -> NoReturn:
    raise NotJSONError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=_constant)
