"""Schemas of a contract that no document can be judged by in bounded time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay.base import ContractError, check_pattern
from mjrelay.contract.limits import NESTED, SUBSCHEMAS
from mjrelay.contract.references import reference_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.base import Location
    from mjrelay.contract.document import Contract


# The keywords that hold subschemas, and the part of a value that these apply to: "" is the value itself,
# "[]" its items, "*" its members. The names in ``properties`` are parts of their own.
_LISTS = {"allOf": "", "anyOf": "", "oneOf": "", "prefixItems": "[]"}
_SCHEMAS = {
    **dict.fromkeys(("not", "if", "then", "else"), ""),
    **dict.fromkeys(("items", "contains", "unevaluatedItems"), "[]"),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties"), "*"),
}
_MAPS = {"dependentSchemas": "", "patternProperties": "*"}
_ROOTS = 50
"""Times that the limit of one schema may be spent on all of them."""
_DATA = {"example", "examples", "value", "default", "enum", "const"}
"""What is no schema; a property of such a name is reached from the schema that has it."""
_UNSUPPORTED = ("$dynamicRef", "$recursiveRef")


def schema_faults(contract: Contract) -> Iterator[tuple[Location, str]]:
    """Schemas by which judging a document takes too long or never ends, and patterns that are too large."""
    expansion = _Expansion(contract)
    for location, node in _objects(contract.document, ()):
        for keyword in _UNSUPPORTED:
            if isinstance(node.get(keyword), str):
                yield (*location, keyword), f"{keyword} is not supported; refer with $ref to a component"
                return
        try:
            expansion.visit(node)
        except ContractError as error:
            yield location, str(error).removeprefix(f"{error.source}: ")
            return
        yield from _large_patterns(location, node)


def _objects(value: Any, location: Location) -> Iterator[tuple[Location, dict[str, Any]]]:
    if isinstance(value, dict):
        yield location, value
        for name, item in value.items():
            if name not in _DATA and not name.startswith("x-"):
                yield from _objects(item, (*location, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _objects(item, (*location, index))


@define
class _Expansion:
    """
    Counts the schemas that judge a document when every reference is written out.

    A schema may refer to itself from a part of its value, once for each part. Twice for one part, and a
    document that is nested 40 levels deep would take 2 ** 40 steps.
    """

    contract: Contract
    _visits: int = 0
    _sizes: dict[int, int] = field(factory=dict)
    _open: dict[int, tuple[int, int]] = field(factory=dict)
    """The schemas above this one: their depth, and how much of the path leads to them."""
    _path: list[str] = field(factory=list)
    _cycles: dict[int, list[list[str]]] = field(factory=dict)

    def visit(self, node: Any) -> tuple[int, int]:
        """Return the size of a schema, and the depth of the outermost open one that it refers back to."""
        depth = len(self._open)
        if not isinstance(node, dict):
            return 1, depth
        if id(node) in self._open:
            self._close(node)
            return 1, self._open[id(node)][0]
        if id(node) in self._sizes:
            return self._sizes[id(node)], depth
        self._visits += 1
        if depth == NESTED:
            raise ContractError(
                f"more than {NESTED} schemas lead to one another, which is the limit; nest fewer"
            )
        self._open[id(node)] = depth, len(self._path)
        size, back = 1, depth
        for part, child in self._children(node):
            self._path += [part] if part else []
            inner, outermost = self.visit(child)
            size, back = size + inner, min(back, outermost)
            del self._path[len(self._path) - bool(part) :]
            if max(size, self._visits // _ROOTS) > SUBSCHEMAS:
                raise ContractError(
                    f"the schema has more than {SUBSCHEMAS:,} parts once references are written out, "
                    "which is the limit; combine fewer"
                )
        del self._open[id(node)]
        self._cycles.pop(id(node), None)
        if back == depth:  # else it is another size where another schema is open
            self._sizes[id(node)] = size
        return size, back

    def _close(self, node: dict[str, Any]) -> None:
        """A schema refers to itself: note by way of which parts."""
        cycle = self._path[self._open[id(node)][1] :]
        if not cycle:
            raise ContractError(
                "the schema applies itself to the same value, without end; refer to it from a property or "
                "from items"
            )
        cycles = self._cycles.setdefault(id(node), [])
        if any(all(map(_overlaps, cycle, other)) for other in cycles):
            raise ContractError(
                "the schema applies itself twice to the same part of a value, which takes too long on a "
                "nested one; refer to it once"
            )
        cycles.append(cycle)

    def _children(self, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        if isinstance(node.get("$ref"), str):
            with suppress(LookupError):  # reported where it stands
                yield "", reference_target(self.contract.document, node["$ref"])[1]
        for keyword, value in node.items():
            if keyword in _SCHEMAS:
                yield _SCHEMAS[keyword], value
            elif keyword in _LISTS and isinstance(value, list):
                yield from ((_LISTS[keyword], one) for one in value)
            elif keyword in _MAPS and isinstance(value, dict):
                yield from ((_MAPS[keyword], one) for one in value.values())
            elif keyword == "properties" and isinstance(value, dict):
                yield from ((f".{name}", one) for name, one in value.items())


def _overlaps(one: str, other: str) -> bool:
    return one == other or ("*" in {one, other} and "[]" not in {one, other})


def _large_patterns(location: Location, node: dict[str, Any]) -> Iterator[tuple[Location, str]]:
    by_name = node.get("patternProperties")
    found = [("pattern", node.get("pattern"))]
    found += [("patternProperties", name) for name in by_name] if isinstance(by_name, dict) else []
    for keyword, pattern in found:
        if isinstance(pattern, str):
            try:
                check_pattern(pattern)
            except ContractError as error:
                yield (*location, keyword), str(error)
