"""The HTTP request that a mock relay receives, and how ids and credentials are read from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from attrs import frozen

from mjrelay.base import Pattern, pointer_steps
from mjrelay.http import NotFormError, NotJSONError, decode_form, is_form, parse_json
from mjrelay.semantics import scalar_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mjrelay.http import Credential


_BROKEN = object()
"""Marks a body that is not JSON, or in which a pointer does not resolve."""


@frozen
class ReceivedRequest:
    """The parts of a request that may contain ids or a credential."""

    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    body: bytes
    method: str = "GET"
    query_string: str = ""

    @classmethod
    def at(
        cls, path: Mapping[str, str], query: str, headers: Sequence[tuple[str, str]], body: bytes, method: str
    ) -> ReceivedRequest:
        """Build a request from a query and the groups of a pattern made by `compile_path`."""
        fields = parse_qsl(query, keep_blank_values=True)
        return cls(path, fields, headers, body, method, query)

    def values(self, place: str, name: str) -> list[str]:
        """Return the values of a field; empty if there is no such field."""
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
                return list(filter(None, [scalar_text(self._pointed(name))]))

    def texts(self, place: str, name: str) -> list[str] | None:
        """Return the ids in a list field; empty if it is missing, None if it has another type."""
        if place != "body":
            return self.values(place, name)
        value = self._pointed(name)
        if value is None:
            return []
        texts = list(map(scalar_text, value)) if isinstance(value, list) else [None]
        return None if None in texts else [text for text in texts if text is not None]

    def presented(self, credential: Credential) -> Iterable[str]:
        """Yield the secrets in a credential's place; the authentication scheme is case-insensitive."""
        for value in self.values(credential.place, credential.field):
            if value[: len(credential.prefix)].lower() == credential.prefix.lower():
                yield value[len(credential.prefix) :].strip()

    def _pointed(self, pointer: str) -> Any:
        """Resolve a JSON Pointer in the body; None if the value is missing or null. A file is its name."""
        media_type = next(iter(self.values("header", "content-type")), "")
        try:
            node = self._form(media_type) if is_form(media_type) else parse_json(self.body)
        except (NotJSONError, NotFormError):
            return _BROKEN
        for name in pointer_steps(pointer):
            if not isinstance(node, dict):
                return _BROKEN
            node = node.get(name)
            if node is None:
                return None
        return node

    def _form(self, media_type: str) -> dict[str, str]:
        return {
            one.name: one.data.decode("utf-8", "replace") if one.filename is None else one.filename
            for one in decode_form(media_type, self.body)
        }


def compile_path(template: str) -> Pattern:
    """Compile a path template; a parameter matches a segment or a part of one, and may be empty."""
    pieces = re.split(r"\{([^}]*)\}", template)
    return Pattern.compile(
        "".join(
            f"(?P<{_group(piece)}>[^/]*)" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
    )


def _group(name: str) -> str:
    return "p_" + name.encode().hex()
