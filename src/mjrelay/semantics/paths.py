"""Compile RFC 9535 JSONPaths. Paths of names, indexes and wildcards are evaluated without the library."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import ContractError, pointer_steps
from mjrelay.http import NotJSONError, parse_json

if TYPE_CHECKING:
    import jsonpath_rfc9535

    from mjrelay.base import Location


_STEP = re.compile(
    r"""\.([A-Za-z_]\w*)|\['([ -&(-\[\]-~]*)'\]|\["([ !#-\[\]-~]*)"\]|\[(0|[1-9]\d{0,8})\]|\.\*|\[\*\]""",
    re.ASCII,
)
_SIMPLE = re.compile(rf"\$(?:{_STEP.pattern})*", re.ASCII)
_INDEX = 4  # the group of _STEP for an index

_Selector = Callable[[Any], Iterable[Any]]
_FirstAndFind = tuple[Callable[[Any], Any], Callable[[Any], list[Any]]]

_LONGEST_TEXT = 100_000
"""Characters of a text that is read as a JSON document."""


@frozen
class JSONPath:
    """A JSONPath query. `first` returns one value, `find` all of them."""

    text: str

    first: Callable[[Any], Any] = field(repr=False, eq=False)
    """Returns the first selected value, or None: null and missing are both unset."""

    find: Callable[[Any], list[Any]] = field(repr=False, eq=False)
    """Returns all selected values in document order, or none if the document is nested too deeply."""

    @classmethod
    def compile(cls, text: str) -> JSONPath:
        """Compile a path. Raises `ContractError` if it is not RFC 9535."""
        if not _SIMPLE.fullmatch(text):
            return cls(text, *_several(_search(compile_query(text))))
        groups = [(step.lastindex, step[step.lastindex or 0]) for step in _STEP.finditer(text)]
        if all(group is not None and group < _INDEX for group, _ in groups):
            return cls(text, *_one([name for _, name in groups]))
        plain = next(index for index, (group, _) in enumerate(groups) if group is None or group == _INDEX)
        find = _one([name for _, name in groups[:plain]])[1]
        selectors = [_selector(group, found) for group, found in groups[plain:]]
        return cls(text, *_several(lambda document: _select(selectors, map(_opened, find(document)))))

    @property
    def _query(self) -> jsonpath_rfc9535.JSONPathQuery:
        return compile_query(self.text)

    @property
    def location(self) -> Location | None:
        """The location that a path of names and indexes leads to, or None for any other path."""
        steps = self._steps
        if steps is None or any(step.lastindex is None for step in steps):
            return None
        found = [(step.lastindex, step[step.lastindex or 0]) for step in steps]
        return tuple(int(text) if group == _INDEX else text for group, text in found)

    @property
    def array(self) -> str | None:
        """The path of the array or object before the last wildcard, or None if there is no wildcard."""
        wildcards = [step.start() for step in self._steps or () if step.lastindex is None]
        return self.text[: wildcards[-1]] if wildcards else None

    @property
    def _steps(self) -> list[re.Match[str]] | None:
        return list(_STEP.finditer(self.text)) if _SIMPLE.fullmatch(self.text) else None

    def locate(self, document: Any) -> list[Location]:
        """Return the locations of the selected values. One inside a text of JSON continues through it."""
        location = self.location
        if location is not None:
            return [location] if self.find(document) else []
        array = None if self.array is None else JSONPath.compile(self.array)
        place = None if array is None else array.location
        if array is None or place is None or not isinstance(text := array.first(document), str):
            return [node.location for node in self._query.finditer(document)]
        inner = compile_query(f"${self.text.removeprefix(array.text)}")
        return [(*place, *node.location) for node in inner.finditer(_opened(text))]


def _one(names: list[str]) -> _FirstAndFind:
    """Return the functions that read the value at a list of names."""
    get: Callable[[Any], Any] = itemgetter(*names) if len(names) == 1 else lambda root: _descend(names, root)

    # Only an object can be indexed by text, so no type check is needed.
    def first(document: Any) -> Any:
        try:
            return get(document)
        except KeyError:
            return None
        except TypeError:
            return next(iter(_through_texts(names, document)), None)

    def find(document: Any) -> list[Any]:
        try:
            return [get(document)]
        except KeyError:
            return []
        except TypeError:
            return _through_texts(names, document)

    return first, find


def _descend(names: list[str], value: Any) -> Any:
    for name in names:
        value = value[name]
    return value


def _through_texts(names: list[str], value: Any) -> list[Any]:
    """Return the value at a list of names, also below texts that hold a JSON document."""
    for name in names:
        value = _opened(value)
        if not isinstance(value, dict) or name not in value:
            return []
        value = value[name]
    return [value]


def _opened(value: Any) -> Any:
    """Return the object or array that a text holds as JSON, or else the value itself."""
    text = isinstance(value, str) and value.startswith(("{", "[")) and len(value) <= _LONGEST_TEXT
    return _parsed(value) if text else value


@lru_cache(8)  # several paths lead through the same text
def _parsed(text: str) -> Any:
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except NotJSONError:
        return text


def _several(find: Callable[[Any], list[Any]]) -> _FirstAndFind:
    """Return the functions that read the values that a search finds."""

    def first(document: Any) -> Any:
        return next(iter(find(document)), None)

    return first, find


def _select(selectors: list[_Selector], found: Iterable[Any]) -> list[Any]:
    values = list(found)
    for select in selectors:
        values = list(chain.from_iterable(map(select, values)))
    return values


def _selector(group: int | None, found: str) -> _Selector:
    """Return what selects the values of one step."""
    if group is None:
        return _children
    if group == _INDEX:
        index = int(found)
        return lambda value: value[index : index + 1] if isinstance(value, list) else ()
    return lambda value: (value[found],) if isinstance(value, dict) and found in value else ()


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
    """Compile a query with the library. Raises `ContractError` if it is invalid or could take too long."""
    from mjrelay.semantics import queries  # noqa: PLC0415 - slow to import

    return queries.build(text)


_EXPRESSION = re.compile(r"\$request\.(?:(path|query|header)\.([\w.-]+)|body#((?:/[^/]+)+))")
_BESIDE = "two values of the request's body cannot be in one place"


@cache
def parse_expression(expression: str) -> tuple[str, str]:
    """
    Return the place in a request that a runtime expression names.

    Returns:
        ``path``, ``query`` or ``header`` with a name, or ``body`` with a JSON Pointer.

    Raises:
        ContractError: The text is not an OpenAPI runtime expression for a request.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ContractError(
            f"{expression!r} is not an OpenAPI runtime expression; write $request.path.id, "
            "$request.query.id, $request.header.X-Id or $request.body#/id (OpenAPI has none for a cookie)"
        )
    place, name, pointer = match.groups()
    return (place, name) if pointer is None else ("body", pointer)


def body_with(values: Mapping[str, Any], body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Return a JSON body with values at JSON Pointers through objects.

    Args:
        values: The values by pointer.
        body: The body to add them to; it is copied as far as it changes.

    Raises:
        ContractError: One pointer leads through the value of another one.
    """
    document = dict(body or {})
    for pointer, value in values.items():
        *above, last = pointer_steps(pointer)
        node = document
        for name in above:
            inner = node.get(name, {})
            if not isinstance(inner, dict):
                raise ContractError(f"{pointer} leads through {inner!r}; {_BESIDE}")
            node[name] = node = dict(inner)
        node[last] = value
    return document
