"""Requests and credentials as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from attrs import field, frozen

from mjrelay.base import ContractError
from mjrelay.http.redaction import REDACTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mjrelay.http.exchange import Headers


@frozen
class Request:
    """
    A request. Its `repr` shows only the method.

    Attributes:
        method: HTTP method.
        target: Path and query, percent-encoded.
        headers: Header fields.
        body: Request body.
        shown: The same request with secrets redacted, or None if it has none.
    """

    method: str
    target: str = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    shown: Request | None = field(default=None, repr=False)

    def authenticated(self, credential: Credential, secret: str) -> Request:
        """Return the request with a credential."""
        return holding(self, credential, secret, holding(self.shown or self, credential, REDACTED))

    def with_headers(self, fields: Headers, shown: Headers) -> Request:
        """Return the request with more header fields; ``shown`` are the same fields, redacted."""
        seen = self.shown or self
        shown_request = Request(seen.method, seen.target, (*seen.headers, *shown), seen.body)
        return Request(self.method, self.target, (*self.headers, *fields), self.body, shown_request)


def holding(request: Request, credential: Credential, secret: str, shown: Request | None = None) -> Request:
    value = credential.value(secret)
    target, headers = request.target, request.headers
    match credential.place:
        case "header":
            headers = (*headers, (credential.field, value))
        case "cookie":
            headers = (*headers, ("Cookie", f"{credential.field}={quote(value, safe='')}"))
        case _:
            target = with_query(target, credential.field, value)
    return Request(request.method, target, headers, request.body, shown)


def path_segment(value: str) -> str:
    """Return a value as one percent-encoded path segment. Dots alone are encoded too (path traversal)."""
    if value.isascii() and value.isalnum():  # fast path for most ids
        return value
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def with_query(target: str, name: str, value: str) -> str:
    return target + ("&" if "?" in target else "?") + urlencode({name: value}, quote_via=quote)


_PLACES = ("header", "query", "cookie")


@frozen
class Credential:
    """
    Where a request carries the key. It contains no secret.

    Attributes:
        scheme: Name in the contract's ``securitySchemes``.
        place: ``header``, ``query`` or ``cookie``.
        field: Name of the header field, query parameter or cookie.
        prefix: Text before the secret, such as ``Bearer ``.
    """

    scheme: str
    place: str
    field: str
    prefix: str

    @classmethod
    def compile(cls, scheme: str, form: Mapping[str, Any]) -> Credential:
        """Return the credential of a Security Scheme Object; raise `ContractError` for an unsupported one."""
        match form:
            case {"type": "http", "scheme": str(word)} if word.lower() == "bearer":
                return cls(scheme, "header", "Authorization", "Bearer ")
            case {"type": "apiKey", "in": str(place), "name": str(field)} if place in _PLACES:
                return cls(scheme, place, field, "")
            case _:
                raise ContractError(
                    f"securitySchemes: {scheme} has an unsupported type; write type http with scheme "
                    "bearer, or type apiKey with in and name"
                )

    def value(self, secret: str) -> str:
        """Return the value of the field."""
        return self.prefix + secret

    def __str__(self) -> str:
        shown = f"{self.prefix}…" if self.prefix else "…"
        return f"{self.place} {self.field}: {shown}"
