"""A request as plain data, built from a contract's operation, the ids of tasks and a credential."""

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
    What is sent. ``target`` is path and query, percent-encoded; nothing in it is shown by `repr`.

    ``shown`` is the same without the secrets, where it holds any.
    """

    method: str
    target: str = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    shown: Request | None = field(default=None, repr=False)

    def authenticated(self, credential: Credential, secret: str) -> Request:
        """The same request with a secret where the credential belongs."""
        return holding(self, credential, secret, holding(self.shown or self, credential, REDACTED))

    def with_headers(self, fields: Headers, shown: Headers) -> Request:
        """The same request with more header fields, and what stands in their place when it is shown."""
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
    """One segment of a path; dots alone would climb out of it."""
    if value.isascii() and value.isalnum():  # as most ids are, and much quicker
        return value
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def with_query(target: str, name: str, value: str) -> str:
    return target + ("&" if "?" in target else "?") + urlencode({name: value}, quote_via=quote)


_PLACES = ("header", "query", "cookie")


@frozen
class Credential:
    """
    One way of authenticating: a field of the request, and what stands before the secret in it.

    ``scheme`` is its name among the contract's `securitySchemes`, ``place`` one of header, query, cookie.
    It holds no secret.
    """

    scheme: str
    place: str
    field: str
    prefix: str

    @classmethod
    def compile(cls, scheme: str, form: Mapping[str, Any]) -> Credential:
        """The credential that a Security Scheme Object denotes; raises `ContractError` for other kinds."""
        match form:
            case {"type": "http", "scheme": str(word)} if word.lower() == "bearer":
                return cls(scheme, "header", "Authorization", "Bearer ")
            case {"type": "apiKey", "in": str(place), "name": str(field)} if place in _PLACES:
                return cls(scheme, place, field, "")
            case _:
                raise ContractError(
                    f"securitySchemes: {scheme} is of a kind that no relay uses; write type http with scheme "
                    "bearer, or type apiKey with in and name"
                )

    def value(self, secret: str) -> str:
        """What stands in the field."""
        return self.prefix + secret

    def __str__(self) -> str:
        shown = f"{self.prefix}…" if self.prefix else "…"
        return f"{self.place} {self.field}: {shown}"
