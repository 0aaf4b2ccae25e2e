"""A request and its response as data."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from mjrelay.base import cached_property
from mjrelay.http.strictjson import NotJSONError, OversizeError, parse_json

__all__ = ["Exchange", "Headers", "NotJSONError", "parse_json"]

_OVERLOADED = frozenset({429, 503, *range(520, 528), 530})
"""Status codes 520 to 530 are from Cloudflare: the server behind it does not respond."""

Headers = tuple[tuple[str, str], ...]
"""Header fields in order, with repeated ones."""

OVERSIZE = "the body is larger than"
"""Start of the ``failure`` of an exchange whose body is too large."""


class FailureKind(StrEnum):
    """The failures of a connection that a retry may not mend."""

    SETUP = "setup"
    """The certificate, the TLS version or the proxy: a retry fails in the same way."""
    UNREACHABLE = "unreachable"
    """The connection was refused, or the host was not found."""


@frozen(slots=False)
class Exchange:
    """
    A request and its response.

    Attributes:
        method: HTTP method.
        url: URL, with secrets redacted.
        request_headers: Header fields of the request, with secrets redacted.
        request_body: Body of the request.
        status: Status code, or None without a response.
        headers: Header fields of the response.
        body: Body of the response, decompressed.
        elapsed: Duration in seconds.
        failure: Why there is no complete response, or None. A truncated response has a status as well.
        unsent: Whether certainly no byte of the request was sent, because there was no connection.
        failure_kind: The kind of the failure, or None if a retry may succeed.
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
    unsent: bool = field(default=False, repr=False)
    failure_kind: FailureKind | None = None
    _refused: tuple[type[NotJSONError], str] | None = field(default=None, init=False, repr=False, eq=False)

    def header(self, name: str) -> str | None:
        """Return the first value of a response header field, or None."""
        return self._named.get(name.lower())

    @cached_property
    def _named(self) -> dict[str, str]:
        return {name.lower(): value for name, value in reversed(self.headers)}

    @cached_property
    def media_type(self) -> str:
        """Media type of the response without parameters, in lower case, or an empty string."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @cached_property
    def document(self) -> Any:
        """The body as JSON; raises `NotJSONError` if it is not strict JSON."""
        if self._refused is not None:
            kind, reason = self._refused
            raise kind(reason)
        try:
            return parse_json(self.body)
        except NotJSONError as error:  # cached, because parsing is expensive
            object.__setattr__(self, "_refused", (type(error), str(error)))
            raise

    @property
    def oversize(self) -> bool:
        """Whether the body exceeds the limits for reading and decoding."""
        if self.failure is not None:
            return self.failure.startswith(OVERSIZE)
        try:
            _ = self.document
        except NotJSONError as error:
            return isinstance(error, OversizeError)
        return False

    @property
    def object(self) -> dict[str, Any] | None:
        """The body if it is a JSON object, else None."""
        try:
            document = self.document
        except NotJSONError:
            return None
        return document if isinstance(document, dict) else None


def is_overloaded(exchange: Exchange) -> bool:
    """
    Return whether the response only means "try again later": 429, 503 or 52x.

    502 and 504 are excluded, because relays return both for errors of the server behind them.
    """
    return exchange.status in _OVERLOADED


def retry_after(exchange: Exchange | None, now: float | None = None) -> float | None:
    """
    Return the seconds of `Retry-After` (RFC 9110, section 10.2.3), or None.

    Args:
        exchange: The exchange.
        now: Unix time, by default the current time.
    """
    value = None if exchange is None else exchange.header("retry-after")
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:  # HTTP dates are in UTC
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
