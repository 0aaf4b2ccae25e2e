"""A request as the mock relay receives it, and what is found in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from attrs import frozen

from mjrelay.base import Pattern
from mjrelay.http import NotJSONError, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mjrelay.http import Credential


_BROKEN = object()
"""What a body that is no JSON, or none that a pointer leads into, holds."""


@frozen
class ReceivedRequest:
    """The parts of a request that may carry ids or a credential."""

    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    body: bytes
    method: str = "GET"

    @classmethod
    def at(
        cls, match: re.Match[str], query: str, headers: Sequence[tuple[str, str]], body: bytes, method: str
    ) -> ReceivedRequest:
        """The request whose path is a template's, as `compile_path` matches it."""
        return cls(match.groupdict(), parse_qsl(query, keep_blank_values=True), headers, body, method)

    def values(self, place: str, name: str) -> list[str]:
        """What stands in a field of the request; nothing where there is no such field."""
        match place:
            case "path":
                group = _group(name)
                return [unquote(self.path[group], errors="replace")] if group in self.path else []
            case "query":
                return [value for key, value in self.query if key == name]
            case "header":
                return [value.strip() for key, value in self.headers if key.lower() == name.lower()]
            case "cookie":
                pairs = [
                    pair.partition("=")
                    for line in self.values("header", "cookie")
                    for pair in line.split(";")
                ]
                return [
                    unquote(value.strip(), errors="replace") for key, _, value in pairs if key.strip() == name
                ]
            case _:
                value = self._pointed(name)
                scalar = isinstance(value, str | int | float)
                return [str(value)] if scalar else []

    def texts(self, place: str, name: str) -> list[str] | None:
        """The texts in a field that holds many, none where it is not there; None where it holds others."""
        if place != "body":
            return self.values(place, name)
        value = self._pointed(name)
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        return None

    def presented(self, credential: Credential) -> Iterable[str]:
        """The secrets that stand where a credential belongs; a scheme's case does not matter."""
        for value in self.values(credential.place, credential.field):
            if value[: len(credential.prefix)].lower() == credential.prefix.lower():
                yield value[len(credential.prefix) :].strip()

    def _pointed(self, pointer: str) -> Any:
        """What a pointer leads to in the body; None where nothing is there."""
        try:
            node = parse_json(self.body)
        except NotJSONError:
            return _BROKEN
        for step in pointer.split("/")[1:]:
            if not isinstance(node, dict):
                return _BROKEN
            node = node.get(step.replace("~1", "/").replace("~0", "~"))
            if node is None:
                return None
        return node


def compile_path(template: str) -> Pattern:
    """The pattern of a template's paths; a parameter is a segment or part of one, and may be empty."""
    pieces = re.split(r"\{([^}]*)\}", template)
    return Pattern.compile(
        "".join(
            f"(?P<{_group(piece)}>[^/]*)" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
    )


def _group(name: str) -> str:
    return "p_" + name.encode().hex()
