"""The keys that schemas describe, and those of a document that they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mjrelay.contract.schemas import combined_schemas

if TYPE_CHECKING:
    from mjrelay.contract.references import Resolver


_CONTAINERS = frozenset({dict, list})
_FREE = ("additionalProperties", "patternProperties", "unevaluatedProperties")


class Shape:
    """The keys that schemas describe in an object or a list; nested shapes are built on demand."""

    def __init__(self, contract: Resolver, schemas: list[Any]) -> None:
        self.free = False
        self._contract = contract
        self._schemas: dict[str | None, list[Any]] = {}
        self._shapes: dict[str | None, Shape] = {}
        for _, option in combined_schemas(contract, *schemas):
            properties, items = option.get("properties", {}), option.get("items")
            for name, inner in properties.items():
                self._schemas.setdefault(name, []).append(inner)
            if items is not None:
                self._schemas.setdefault(None, []).append(items)
            kinds = option.get("type")
            anything = "object" in (kinds if isinstance(kinds, list) else [kinds]) and not properties
            self.free |= anything or any(option.get(word, False) is not False for word in _FREE)
        self.keys = self._schemas.keys() - {None}

    def within(self, name: str | None) -> Shape:
        """Return the shape of a property, or of the items if the name is None."""
        if name not in self._shapes:
            self._shapes[name] = Shape(self._contract, self._schemas.get(name, []))
        return self._shapes[name]


def undocumented_keys(shape: Shape, document: Any) -> list[str]:
    """Return pointers to the undocumented keys, each once; all items of a list share the step ``*``."""
    found: dict[str, None] = {}
    left = [(shape, document, "")]
    while left:
        one, value, place = left.pop()
        if isinstance(value, list):
            left += [(one.within(None), item, f"{place}/*") for item in reversed(value)]
        elif isinstance(value, dict) and one.keys:
            if not one.free and not value.keys() <= one.keys:
                found |= dict.fromkeys(f"{place}/{name}" for name in value if name not in one.keys)
            left += [
                (one.within(name), inner, f"{place}/{name}")
                for name, inner in value.items()
                if type(inner) in _CONTAINERS and name in one.keys
            ]
    return list(found)
