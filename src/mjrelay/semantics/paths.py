"""RFC 9535 JSONPath, compiled once; a path of names, indexes and wildcards is read without the library."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import ContractError, pointer_steps

if TYPE_CHECKING:
    import jsonpath_rfc9535

    from mjrelay.base import Location


_STEP = re.compile(
    r"""\.([A-Za-z_]\w*)|\['([ -&(-\[\]-~]*)'\]|\["([ !#-\[\]-~]*)"\]|\[(0|[1-9]\d{0,8})\]|\.\*|\[\*\]""",
    re.ASCII,
)
_SIMPLE = re.compile(rf"\$(?:{_STEP.pattern})*", re.ASCII)
_INDEX = 4  # the group of _STEP that is no name

_Selector = Callable[[Any], Iterable[Any]]
_FirstAndFind = tuple[Callable[[Any], Any], Callable[[Any], list[Any]]]

_NOTHING_THERE = (KeyError, TypeError)
"""What `JSONPath.first` and `JSONPath.find` meet where a name is missing, or asked of what is no object."""


@frozen
class JSONPath:
    """A JSONPath query: `JSONPath.first` returns one value, `JSONPath.find` all of them."""

    text: str

    first: Callable[[Any], Any] = field(repr=False, eq=False)
    """The first value selected in a document, or None where there is none: null and missing are unset."""

    find: Callable[[Any], list[Any]] = field(repr=False, eq=False)
    """Every value selected in a document, in its order; none where it is nested too deeply to search."""

    @classmethod
    def compile(cls, text: str) -> JSONPath:
        """The path that a text denotes; raises `ContractError` where it is not RFC 9535."""
        if not _SIMPLE.fullmatch(text):
            return cls(text, *_several(_search(compile_query(text))))
        groups = [(step.lastindex, step[step.lastindex or 0]) for step in _STEP.finditer(text)]
        if all(group is not None and group < _INDEX for group, _ in groups):
            return cls(text, *_one([name for _, name in groups]))
        selectors = [_selector(group, found) for group, found in groups]
        return cls(text, *_several(lambda document: _select(selectors, document)))

    @property
    def _query(self) -> jsonpath_rfc9535.JSONPathQuery:
        return compile_query(self.text)

    @property
    def location(self) -> Location | None:
        """The one place that a path of names and indexes leads to; None for any other path."""
        steps = self._steps
        if steps is None or any(step.lastindex is None for step in steps):
            return None
        found = [(step.lastindex, step[step.lastindex or 0]) for step in steps]
        return tuple(int(text) if group == _INDEX else text for group, text in found)

    @property
    def array(self) -> str | None:
        """The path of what the last wildcard of a plain path goes through; None where it has none."""
        wildcards = [step.start() for step in self._steps or () if step.lastindex is None]
        return self.text[: wildcards[-1]] if wildcards else None

    @property
    def _steps(self) -> list[re.Match[str]] | None:
        return list(_STEP.finditer(self.text)) if _SIMPLE.fullmatch(self.text) else None

    def locate(self, document: Any) -> list[Location]:
        """Where the selected values stand."""
        return [node.location for node in self._query.finditer(document)]


def _one(names: list[str]) -> _FirstAndFind:
    """How the one value that a list of names leads to is read."""
    get: Callable[[Any], Any] = itemgetter(*names) if len(names) == 1 else lambda root: _descend(names, root)

    # A JSON value other than an object has no item by a text, so nothing else needs to be asked of it.
    def first(document: Any) -> Any:
        try:
            return get(document)
        except _NOTHING_THERE:
            return None

    def find(document: Any) -> list[Any]:
        try:
            return [get(document)]
        except _NOTHING_THERE:
            return []

    return first, find


def _descend(names: list[str], value: Any) -> Any:
    for name in names:
        value = value[name]
    return value


def _several(find: Callable[[Any], list[Any]]) -> _FirstAndFind:
    """How the values that a search yields are read."""

    def first(document: Any) -> Any:
        return next(iter(find(document)), None)

    return first, find


def _select(selectors: list[_Selector], document: Any) -> list[Any]:
    values = [document]
    for select in selectors:
        values = list(chain.from_iterable(map(select, values)))
    return values


def _selector(group: int | None, found: str) -> _Selector:
    """What a step selects of one value."""
    if group is None:
        return _children
    if group == _INDEX:
        index = int(found)
        return lambda value: value[index : index + 1] if isinstance(value, list) else ()
    return _one([found])[1]


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, list):
        return value
    return value.values() if isinstance(value, dict) else ()


def _search(query: jsonpath_rfc9535.JSONPathQuery) -> Callable[[Any], list[Any]]:
    from jsonpath_rfc9535 import JSONPathError  # noqa: PLC0415 - see compile_query

    def find(document: Any) -> list[Any]:
        try:
            return [node.value for node in query.finditer(document)]
        except (JSONPathError, RecursionError):
            return []

    return find


@cache
def compile_query(text: str) -> jsonpath_rfc9535.JSONPathQuery:
    """Return a query of the library; raises `ContractError` where it is not RFC 9535, or takes too long."""
    from mjrelay.semantics import queries  # noqa: PLC0415 - it costs more than all the rest of a command

    return queries.build(text)


_EXPRESSION = re.compile(r"\$request\.(?:(path|query|header)\.([\w.-]+)|body#((?:/[^/]+)+))")


@cache
def parse_expression(expression: str) -> tuple[str, str]:
    """
    Where a request carries the id: ``path``, ``query`` or ``header`` and a name, ``body`` and a pointer.

    Raises `ContractError` for what is not an OpenAPI runtime expression of a request.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ContractError(
            f"{expression!r} is no runtime expression of OpenAPI; write $request.path.id, $request.query.id, "
            "$request.header.X-Id or $request.body#/id (there is none for a cookie)"
        )
    place, name, pointer = match.groups()
    return (place, name) if pointer is None else ("body", pointer)


def nested_body(pointer: str, value: Any) -> Any:
    """The smallest document that holds a value at a JSON Pointer through objects."""
    document: Any = value
    for name in reversed(pointer_steps(pointer)):
        document = {name: document}
    return document
