"""RFC 9535 JSONPath, compiled once and quick where a path is nothing but names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonpath_rfc9535
from attrs import field, frozen
from jsonpath_rfc9535.segments import JSONPathChildSegment
from jsonpath_rfc9535.selectors import NameSelector

from mjrelay.errors import ContractError

if TYPE_CHECKING:
    from mjrelay._yaml import Location


@frozen
class Path:
    """A JSONPath query; compare `Path.first` where one value is meant and `Path.find` where many are."""

    text: str
    _query: jsonpath_rfc9535.JSONPathQuery = field(repr=False, eq=False)
    _names: tuple[str, ...] | None = field(repr=False, eq=False)

    @classmethod
    def compile(cls, text: str) -> Path:
        """The path that a text denotes; raises `ContractError` where it is not RFC 9535."""
        try:
            query = jsonpath_rfc9535.compile(text)
        except (jsonpath_rfc9535.JSONPathError, RecursionError) as error:
            raise ContractError(f"{text!r} is not a JSONPath (RFC 9535): {error}") from error
        return cls(text, query, _names(query))

    def find(self, document: Any) -> list[Any]:
        """Every selected value, in document order; none where the document is nested too deeply to search."""
        if self._names is None:
            try:
                return [node.value for node in self._query.finditer(document)]
            except (jsonpath_rfc9535.JSONPathError, RecursionError):
                return []
        for name in self._names:
            if not isinstance(document, dict) or name not in document:
                return []
            document = document[name]
        return [document]

    def first(self, document: Any) -> Any:
        """The first selected value, or None where nothing is selected: null and missing are both unset."""
        values = self.find(document)
        return values[0] if values else None

    def locate(self, document: Any) -> list[Location]:
        """Where the selected values stand."""
        return [node.location for node in self._query.finditer(document)]


def _names(query: jsonpath_rfc9535.JSONPathQuery) -> tuple[str, ...] | None:
    names = []
    for segment in query.segments:
        if not isinstance(segment, JSONPathChildSegment) or len(segment.selectors) != 1:
            return None
        selector = segment.selectors[0]
        if not isinstance(selector, NameSelector):
            return None
        names.append(selector.name)
    return tuple(names)
