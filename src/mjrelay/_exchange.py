"""One request and what came back, as plain data."""

from __future__ import annotations

import json
import math
from functools import cached_property
from typing import Any, NoReturn

from attrs import define, field

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order sent, repeated ones included."""


class NotJSONError(ValueError):
    """A body is not one JSON text (RFC 8259), for the reason given."""


@define(frozen=True, slots=False)
class Exchange:
    """
    One request and its answer.

    ``url`` and ``request_headers`` hold placeholders where a secret was sent. ``status`` is None where no
    answer came, and ``failure`` then says why; an answer that broke off has both. ``elapsed`` is in seconds.
    """

    method: str
    url: str
    request_headers: Headers = field(default=(), repr=False)
    request_body: bytes = field(default=b"", repr=False)
    status: int | None = None
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    elapsed: float = field(default=0.0, repr=False)
    failure: str | None = None

    def header(self, name: str) -> str | None:
        """The first value of a header field of the answer."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @cached_property
    def media_type(self) -> str:
        """The media type of the answer without its parameters, in lower case; empty where none is said."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @cached_property
    def document(self) -> Any:
        """The body as JSON; raises `NotJSONError` where it is not one strict JSON text."""
        return parse(self.body)

    @property
    def object(self) -> dict[str, Any] | None:
        """The body where it is a JSON object, else None."""
        try:
            document = self.document
        except NotJSONError:
            return None
        return document if isinstance(document, dict) else None


def parse(body: bytes) -> Any:
    """
    The value of one JSON text (RFC 8259): UTF-8, no byte order mark, no NaN or Infinity, nothing after it.

    Raises `NotJSONError` for everything else. Nesting or numbers too large to read are included, and half a
    surrogate pair, which is no character and could be written nowhere.
    """
    if not body.strip():
        raise NotJSONError("the body is empty")
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_constant, parse_float=_float)
        if b"\\u" in body:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJSONError(f"byte {error.start} is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise NotJSONError("holds half a surrogate pair, which is no character") from error
    except json.JSONDecodeError as error:
        raise NotJSONError(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
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
        raise NotJSONError(f"{text[:20]} is too large a number")
    return number


def _constant(name: str) -> NoReturn:
    raise NotJSONError(f"{name} is not a JSON value")
