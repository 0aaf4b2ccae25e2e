"""How a relay is told who asks, as the contract's `securitySchemes` say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from mjrelay.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
