"""One request and what came back, as plain data."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import field, frozen

from mjrelay.base import cached_property
from mjrelay.http.strictjson import NotJSONError, OversizeError, parse_json

__all__ = ["Exchange", "Headers", "NotJSONError", "parse_json"]

_OVERLOADED = frozenset({429, 503, *range(520, 528), 530})
"""The last ones are those of Cloudflare, for a server that does not respond to it."""

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order sent, repeated ones included."""

OVERSIZE = "the body is larger than"
"""How the ``failure`` of an exchange begins whose body was not read to its end for its size."""


@frozen(slots=False)
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
    _refused: tuple[type[NotJSONError], str] | None = field(default=None, init=False, repr=False, eq=False)

    def header(self, name: str) -> str | None:
        """The first value of a header field of the answer."""
        return self._named.get(name.lower())

    @cached_property
    def _named(self) -> dict[str, str]:
        return {name.lower(): value for name, value in reversed(self.headers)}

    @cached_property
    def media_type(self) -> str:
        """The media type of the answer without its parameters, in lower case; empty where none is said."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @cached_property
    def document(self) -> Any:
        """The body as JSON; raises `NotJSONError` where it is not one strict JSON text."""
        if self._refused is not None:
            kind, reason = self._refused
            raise kind(reason)
        try:
            return parse_json(self.body)
        except NotJSONError as error:  # kept, for it costs as much to find as a document
            object.__setattr__(self, "_refused", (type(error), str(error)))
            raise

    @property
    def oversize(self) -> bool:
        """Whether the body exceeds the bounds within which one is read and decoded."""
        if self.failure is not None:
            return self.failure.startswith(OVERSIZE)
        try:
            _ = self.document
        except NotJSONError as error:
            return isinstance(error, OversizeError)
        return False

    @property
    def object(self) -> dict[str, Any] | None:
        """The body where it is a JSON object, else None."""
        try:
            document = self.document
        except NotJSONError:
            return None
        return document if isinstance(document, dict) else None


def is_overloaded(exchange: Exchange) -> bool:
    """
    Whether the response only says to try again later, and nothing about the request: 429, 503 or 52x.

    502 and 504 are not among them: relays return both for errors of the server behind them.
    """
    return exchange.status in _OVERLOADED


def retry_after(exchange: Exchange | None, now: float | None = None) -> float | None:
    """
    Seconds that an answer asks to be left alone (RFC 9110, section 10.2.3); None where it does not.

    ``now`` is Unix time, the machine's own where it is not given.
    """
    value = None if exchange is None else exchange.header("retry-after")
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:  # HTTP dates are in UTC, whether or not they say so
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
