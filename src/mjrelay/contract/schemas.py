"""
JSON Schemas of a contract: how to walk them, and which are too expensive to validate documents with.

`combined_schemas` and `child_schema` are the one walker. They follow references and know the keywords.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay.base import ContractError, check_pattern
from mjrelay.contract.limits import NESTED, SUBSCHEMAS
from mjrelay.contract.references import reference_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract.references import Resolver


# The keywords that hold subschemas, and the part of a value that each applies to: "" is the value itself,
# "[]" its items, "*" its members. Each name in ``properties`` is a part.
COMBINING = ("allOf", "anyOf", "oneOf")
"""The keywords that combine schemas for one value."""
_LISTS = {**dict.fromkeys(COMBINING, ""), "prefixItems": "[]"}
_SCHEMAS = {
    **dict.fromkeys(("not", "if", "then", "else"), ""),
    **dict.fromkeys(("items", "contains", "unevaluatedItems"), "[]"),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties"), "*"),
}
_MAPS = {"dependentSchemas": "", "patternProperties": "*"}
_ROOTS = 50
"""All schemas of a document together may have this many times the limit of one schema."""
_DATA = {"example", "examples", "value", "default", "enum", "const"}
"""Keys that hold data. A property with such a name is reached from the schema that defines it."""
_UNSUPPORTED = ("$dynamicRef", "$recursiveRef")


def combined_schemas(
    contract: Resolver, *schemas: Any, location: Location = ()
) -> Iterator[tuple[Location, dict[str, Any]]]:
    """
    Yield the schemas that apply to one value: those given, and what they combine with allOf, anyOf or oneOf.

    References are followed, and each schema comes once, in document order. A reference that leads nowhere is
    skipped, because the checks of references report it. So are ``true`` and ``false``.

    Args:
        contract: The contract that the references refer to.
        schemas: Schemas for the same value.
        location: Where the schemas stand in the contract. A schema behind a reference has its own location.
    """
    seen: set[int] = set()
    left = [(location, schema) for schema in reversed(schemas)]
    while left:
        place, schema = left.pop()
        with suppress(ContractError):
            place, schema = contract.follow(schema, place)
            if isinstance(schema, dict) and id(schema) not in seen:
                seen.add(id(schema))
                yield place, schema
                left += reversed(
                    [
                        ((*place, keyword, index), option)
                        for keyword in COMBINING
                        for index, option in enumerate(schema.get(keyword) or ())
                    ]
                )


def child_schema(schema: dict[str, Any], step: str | int) -> tuple[Location, Any] | None:
    """
    Return the schema for a member (a name) or an item (an index), and its location below ``schema``.

    Only ``properties``, ``prefixItems`` and ``items`` are considered. The result is None if none applies.
    """
    if isinstance(step, str):
        members = schema.get("properties") or {}
        return (("properties", step), members[step]) if step in members else None
    prefix = schema.get("prefixItems") or ()
    if step < len(prefix):
        return ("prefixItems", step), prefix[step]
    return (("items",), schema["items"]) if "items" in schema else None


def subschemas(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a copy of a schema with each of its direct subschemas changed. References are not followed."""

    def changed(keyword: str, value: Any) -> Any:
        if keyword in _SCHEMAS:
            return change(value)
        if keyword in _LISTS and isinstance(value, list):
            return [change(one) for one in value]
        if keyword in {"properties", *_MAPS} and isinstance(value, dict):
            return {name: change(one) for name, one in value.items()}
        return value

    return {keyword: changed(keyword, value) for keyword, value in schema.items()}


def schema_problems(contract: Resolver) -> Iterator[tuple[Location, str]]:
    """Yield schemas that take too long or never end on a document, and patterns that are too large."""
    expansion = _Expansion(contract)
    for location, node in schema_objects(contract.document):
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


def schema_objects(value: Any, location: Location = ()) -> Iterator[tuple[Location, dict[str, Any]]]:
    """Yield the objects of an OpenAPI document with their locations, without examples and extensions."""
    if isinstance(value, dict):
        yield location, value
        for name, item in value.items():
            if name not in _DATA and not name.startswith("x-"):
                yield from schema_objects(item, (*location, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from schema_objects(item, (*location, index))


@define
class _Expansion:
    """
    Counts the schemas that apply to a document when every reference is written out.

    A schema may refer to itself once for each part of its value. If it referred to itself twice for one part,
    a document with 40 levels would take 2 ** 40 steps.
    """

    contract: Resolver
    _visits: int = 0
    _sizes: dict[int, int] = field(factory=dict)
    _open: dict[int, tuple[int, int]] = field(factory=dict)
    """The schemas above this one: their depth, and the length of the path to them."""
    _path: list[str] = field(factory=list)
    _cycles: dict[int, list[list[str]]] = field(factory=dict)

    def visit(self, node: Any) -> tuple[int, int]:
        """Return the size of a schema, and the depth of the outermost open schema that it refers back to."""
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
                f"more than {NESTED} schemas are nested in one another, which is the limit; nest fewer"
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
        if back == depth:  # otherwise the size depends on which schemas are open
            self._sizes[id(node)] = size
        return size, back

    def _close(self, node: dict[str, Any]) -> None:
        """Record the parts by way of which a schema refers to itself."""
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
            with suppress(LookupError):  # the checks of references report it
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
