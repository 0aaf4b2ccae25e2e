"""Compile JSONPath queries beyond plain paths. Limits keep each to a few passes over a document."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from iregexp_check import check
from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError
from jsonpath_rfc9535.filter_expressions import Expression, FilterQuery, RootFilterQuery
from jsonpath_rfc9535.function_extensions import Match, Search
from jsonpath_rfc9535.segments import JSONPathRecursiveDescentSegment
from jsonpath_rfc9535.selectors import FilterSelector

from mjrelay.base import ContractError, Pattern, check_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonpath_rfc9535 import JSONPathQuery


_LONGEST = 1_000
"""Characters of a query."""
_DESCENTS = 2
"""Segments ``..`` of a query, including those in filters."""
_COPIES = 64
"""Times that a query may select a node, by selectors such as ``[*, *]``."""


class _Match(Match):
    def __call__(self, string: object, pattern: object) -> bool:
        compiled = _compiled(pattern)
        return compiled is not None and isinstance(string, str) and bool(compiled.fullmatch(string))


class _Search(Search):
    def __call__(self, string: object, pattern: object) -> bool:
        compiled = _compiled(pattern)
        return compiled is not None and isinstance(string, str) and bool(compiled.search(string))


class _Environment(JSONPathEnvironment):
    """The environment of the library, with functions that match in bounded time."""

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions |= {"match": _Match(), "search": _Search()}


_ENVIRONMENT = _Environment()


def build(text: str) -> JSONPathQuery:
    """Compile a query. Raises `ContractError` if it is not RFC 9535, or could take too long."""
    if len(text) > _LONGEST:
        raise ContractError(
            f"a JSONPath has {len(text):,} characters, the limit is {_LONGEST:,}; write a shorter one"
        )
    try:
        query = _ENVIRONMENT.compile(text)
        _check(text, query)
    except (JSONPathError, RecursionError) as error:
        raise ContractError(f"{text!r} is not a JSONPath (RFC 9535): {error}") from error
    return query


def _check(text: str, query: JSONPathQuery) -> None:
    queries = list(_queries(query))
    segments = [segment for one in queries for segment in one.segments]
    descents = sum(isinstance(segment, JSONPathRecursiveDescentSegment) for segment in segments)
    if descents > _DESCENTS:
        raise ContractError(f"{text!r} has .. {descents} times, the limit is {_DESCENTS}; name the members")
    copies = 1
    for segment in segments:
        copies *= len(segment.selectors)
    if copies > _COPIES:
        raise ContractError(
            f"{text!r} may select a node {copies:,} times, the limit is {_COPIES}; write fewer selectors"
        )


def _queries(query: JSONPathQuery) -> Iterator[JSONPathQuery]:
    """Yield the query and those in its filters. An absolute query in a filter must select one node."""
    yield query
    for segment in query.segments:
        for selector in segment.selectors:
            for inner in _filters(selector.expression) if isinstance(selector, FilterSelector) else ():
                if isinstance(inner, RootFilterQuery) and not inner.query.singular_query():
                    raise ContractError(
                        f"{inner} in a filter would run once for each node; make it select a single value"
                    )
                yield from _queries(inner.query)


def _filters(expression: Any) -> Iterator[FilterQuery]:
    if isinstance(expression, FilterQuery):
        yield expression
    for name in ("expression", "left", "right"):
        yield from _filters(getattr(expression, name)) if hasattr(expression, name) else ()
    for argument in getattr(expression, "args", ()):
        if isinstance(argument, Expression):
            yield from _filters(argument)


# The library's parser checks that a pattern is an I-Regexp (RFC 9485). Then only the dot differs from `re`.
_DOT = re.compile(r"(\\.|\[(?:\\.|[^]\\])*\])|\.", re.DOTALL)


@lru_cache(256)  # a pattern may come from a document
def _pattern(text: str) -> Pattern:
    return Pattern(text, 0, _DOT.sub(lambda found: found[1] or r"[^\r\n]", check_pattern(text)))


def _compiled(pattern: object) -> Pattern | None:
    return _pattern(pattern) if isinstance(pattern, str) and check(pattern) else None
