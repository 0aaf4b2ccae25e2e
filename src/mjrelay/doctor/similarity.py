"""Compare a document with a contract: names, types, and how unset values are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay.contract import combined_schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract
    from mjrelay.semantics import State


_DEEPEST = 6
"""Maximum depth of the comparison."""
_ITEMS = 3
"""Number of items of a list that are compared."""
_MANY = 400
"""Number of names of an object that are compared."""

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


@define
class Similarity:
    """
    How a document fits a schema: the number of correct names, and the paths of the others.

    ``extra`` names are not in the schema. ``absent`` names are not in the document; the schema requires the
    ``lacking`` ones among them. ``mistyped`` values have a type that the schema forbids.
    """

    agreed: int = 0
    extra: list[str] = field(factory=list)
    absent: list[str] = field(factory=list)
    lacking: list[str] = field(factory=list)
    mistyped: list[str] = field(factory=list)

    @property
    def value(self) -> float:
        """The share of correct names, from 0 to 1."""
        wrong = len(self.extra) + len(self.lacking) + len(self.mistyped)
        return self.agreed / (self.agreed + wrong) if self.agreed + wrong else 0.0


def schema(contract: Contract, status: int) -> Any:
    """Return the schema of the first body of a status, or None."""
    media = next(iter(contract.content(status).values()), None)
    return None if media is None else contract.resolve(media).get("schema")


def similarity(contract: Contract, document: Any, status: int = 200) -> Similarity | None:
    """Return how a document fits the schema of a status, or None without a schema."""
    node = schema(contract, status)
    if node is None:
        return None
    found = Similarity()
    _compare(SchemaPath(contract), document, node, found)
    return found


def example_similarity(contract: Contract, document: Any, state: State) -> float:
    """
    Return how similar a document is to the contract's example of its state, from 0 to 1.

    Besides names and types this compares unset values, in which servers with the same schema differ.
    """
    shown = contract.examples
    examples = [shown[state.value]] if state.value in shown else list(shown.values())
    return max((_alike(dict(_kinds(document)), dict(_kinds(one))) for one in examples), default=0.0)


def unset(contract: Contract, document: Any) -> dict[str, list[str]]:
    """Return the paths of unset values by how they are written, for names in the contract."""
    found: dict[str, list[str]] = {"null": [], "empty": [], "zero": [], "absent": []}
    known = similarity(contract, document) or Similarity()
    strange = {*known.extra}
    for path, kind in _kinds(document):
        if kind in found and path not in strange:
            found[kind].append(path)
    found["absent"] = known.absent[:_MANY]
    return found


def _compare(place: SchemaPath, value: Any, node: Any, found: Similarity) -> None:
    forms = [form for _, form in combined_schemas(place.contract, node)]
    types = {one for form in forms for one in _listed(form.get("type"))}
    if types and not _is_of(value, types):
        found.mistyped.append(place.path)
        return
    if place.depth:
        found.agreed += 1
    if place.depth >= _DEEPEST:
        return
    if isinstance(value, dict):
        _compare_object(place, value, forms, found)
    elif isinstance(value, list):
        items = next((form["items"] for form in forms if "items" in form), None)
        for item in value[:_ITEMS] if items is not None else ():
            _compare(place.below("[*]"), item, items, found)


def _compare_object(place: SchemaPath, value: dict[str, Any], forms: list[Any], found: Similarity) -> None:
    properties = {name: one for form in forms for name, one in (form.get("properties") or {}).items()}
    if not properties:
        return
    for name in list(value)[:_MANY]:
        if name in properties:
            _compare(place.below(f".{name}"), value[name], properties[name], found)
        else:
            found.extra.append(f"{place.path}.{name}")
    required = {name for form in forms for name in form.get("required") or ()}
    absent = [name for name in properties if name not in value]
    found.absent += [f"{place.path}.{name}" for name in absent]
    found.lacking += [f"{place.path}.{name}" for name in absent if name in required]


@frozen
class SchemaPath:
    """A path in a document during the comparison."""

    contract: Contract
    path: str = "$"
    depth: int = 0

    def below(self, step: str) -> SchemaPath:
        return SchemaPath(self.contract, self.path + step, self.depth + 1)


def _listed(types: Any) -> list[Any]:
    return types if isinstance(types, list) else [] if types is None else [types]


def _is_of(value: Any, types: set[Any]) -> bool:
    name = _type(value)
    return name in types or (name == "integer" and "number" in types)


def _type(value: Any) -> str:
    return _TYPES.get(type(value), "null")


def _kinds(value: Any, path: str = "$", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield each path through objects with the type of its value, or how an unset value is written."""
    if isinstance(value, dict) and value and depth < _DEEPEST:
        for name, held in list(value.items())[:_MANY]:
            yield from _kinds(held, f"{path}.{name}", depth + 1)
    elif value is None:
        yield path, "null"
    elif value in ("", [], {}):
        yield path, "empty"
    elif value == 0 and not isinstance(value, bool):
        yield path, "zero"
    else:
        yield path, _type(value)


def _alike(one: dict[str, str], other: dict[str, str]) -> float:
    """Return the share of paths that a document and an example have in common."""
    same = sum(1.0 if one.get(path) == other.get(path) else 0.3 for path in one.keys() & other.keys())
    alone = sum(_ALONE.get(kind, 1.0) for path, kind in other.items() if path not in one)
    alone += len(one.keys() - other.keys())
    both = len(one.keys() & other.keys())
    return same / (both + alone) if both + alone else 0.0


_ALONE = {"null": 0.5, "empty": 0.5, "zero": 0.5}
"""Weight of a path that the document lacks: half if the example has no value there."""
