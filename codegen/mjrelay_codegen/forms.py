"""Rewrite JSON Schemas in the forms that the generator and its overlays support."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError
from mjrelay.contract import reference_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mjrelay.base import Location


NOTES = {"description", "example", "examples", "deprecated", "x-evidence"}
LIMITS = {
    *("format", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_ENUM = {"type", "title", "enum", "x-enum-varnames"}
_PARTS = 100_000
"""Schemas that are read, with references written out."""
_NULL = {"type": "null"}
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
_COMPONENTS = "#/components/schemas/"

Schema = dict[str, Any]


class SchemaForms:
    """
    Rewrites the schemas of one document.

    A schema is taken apart into its alternatives, and put together as its place needs it: objects and
    enumerations become components, everything else is written where it is used.

    Attributes:
        components: The component schemas so far.
        places: Where each component that the document did not have is written.
    """

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._sources: Schema = document.get("components", {}).get("schemas", {})
        self.components: Schema = {}
        self.places: dict[Location, Location] = {}
        self._parts = 0
        self._named: dict[str, Schema] = {}
        self._open: list[str] = []
        for name, source in self._sources.items():
            location = ("components", "schemas", name)
            members = [one for one in self._alternatives(source, (name,)) if one != _NULL]
            if len(members) == 1 and _is_named(members[0]):
                self.components[name] = self._component(members[0] | _notes(source), name, location)

    def body(self, schema: Any, name: str, location: Location) -> Any:
        """Return the schema of a request or response body: a reference or an array."""
        members = list(self._alternatives(schema))
        if len(members) == 1 and members[0].get("type") == "array":
            return _notes(schema) | self._array(members[0], name, location)
        return self._items(schema, name, location)

    def value(self, schema: Any) -> Any:
        """Return the schema of a parameter: one scalar type, or an array of it."""
        members = [one for one in self._alternatives(schema, names=False) if one != _NULL]
        if len(members) != 1 or members[0].get("type") == "object":
            return schema
        one = members[0]["anyOf"][0] if "anyOf" in members[0] else members[0]
        if one.get("type") == "array":
            return _notes(schema) | _limited(one) | {"items": self.value(one.get("items"))}
        return _notes(schema) | _limited(one)

    def _component(self, member: Schema, name: str, location: Location) -> Schema:
        notes = {key: value for key, value in member.items() if key in NOTES}
        if "anyOf" in member:
            first, *rest = member["anyOf"]
            return notes | {"anyOf": [first | {"title": name} | _varnames(first), *rest]}
        result: Schema = notes | {"type": "object"}
        properties = member.get("properties", {})
        if "properties" in member:
            result["properties"] = {
                key: self._property(one, name + pascal(key), (*location, "properties", key))
                for key, one in properties.items()
            }
        if "required" in member:
            result["required"] = [key for key in member["required"] if key in properties]
        extra = member.get("additionalProperties")
        if isinstance(extra, dict):
            extra = self._items(extra, f"{name}Value", (*location, "additionalProperties"))
        return result if extra is None else result | {"additionalProperties": extra}

    def _property(self, schema: Any, name: str, location: Location) -> Any:
        members = list(self._alternatives(schema))
        named = [one for one in members if _is_named(one)]
        plain = [one for one in members if one not in named and one != _NULL]
        null = [_NULL] if _NULL in members else []
        if named and not plain:
            return _notes(schema) | {
                "anyOf": [*(self._reference(one, name, location) for one in named), *null]
            }
        if named or not plain or {} in plain:
            return self._items(schema, name, location)
        result = _notes(schema) | (_limited(plain[0]) if len(plain) == 1 else {})
        result["type"] = [*dict.fromkeys(one["type"] for one in plain), *("null" for _ in null)]
        arrays = [one for one in plain if one["type"] == "array"]
        return result | (self._array(arrays[0], name, location) | {"type": result["type"]} if arrays else {})

    def _array(self, member: Schema, name: str, location: Location) -> Schema:
        text = json.dumps(member)
        if text in self._open:  # an array of itself has no finite form
            return _limited(member) | {"items": {}}
        self._open.append(text)
        items = self._items(member.get("items"), f"{name}Item", (*location, "items"))
        self._open.pop()
        return _limited(member) | {"items": items}

    def _items(self, schema: Any, name: str, location: Location) -> Any:
        members = list(self._alternatives(schema))
        if {} in members:
            return _notes(schema)
        forms = [
            self._reference(one, name, location) if _is_named(one) else self._plain(one, name, location)
            for one in members
        ]
        if len(forms) > 1:
            return _notes(schema) | {"anyOf": forms}
        return forms[0] if "$ref" in forms[0] else _notes(schema) | forms[0]

    def _plain(self, member: Schema, name: str, location: Location) -> Schema:
        if member["type"] == "array":
            return _notes(member) | self._array(member, name, location)
        return _notes(member) | _limited(member)

    def _reference(self, member: Schema, name: str, location: Location) -> Schema:
        """Return a reference to an object or enumeration, which becomes a component. Equal ones share one."""
        if "$ref" in member:
            return member
        text = json.dumps(member)
        if text in self._named:
            return self._named[text]
        taken = self._sources.keys() | self.components.keys()
        unique = next(one for one in _numbered(name) if one not in taken)
        place: Location = ("components", "schemas", unique)
        self.places[place] = location
        self.components[unique] = {}  # takes the name before its parts do
        self._named[text] = {"$ref": _COMPONENTS + unique}
        opened, self._open = self._open, []
        self.components[unique] = self._component(member, unique, location)
        self._open = opened
        return self._named[text]

    def _alternatives(
        self, schema: Any, above: tuple[str, ...] = (), *, names: bool = True
    ) -> Iterator[Schema]:
        """
        Yield the alternatives of a schema: references to components, objects, enumerations, arrays, scalars.

        Args:
            schema: The schema.
            above: The names of the components that contain it.
            names: Keep references to objects and enumerations.
        """
        self._parts += 1
        if self._parts > _PARTS:
            raise ContractError(
                f"its schemas have more than {_PARTS:,} parts once references are written out"
            )
        if not isinstance(schema, dict):
            yield {}
            return
        if isinstance(schema.get("$ref"), str):
            name = schema["$ref"].removeprefix(_COMPONENTS)
            if names and name in self._sources and self._is_component(name, above):
                yield {"$ref": schema["$ref"]}
            elif name in above:
                yield {}
            else:
                _, target = reference_target(self._document, schema["$ref"])
                yield from self._alternatives(target, (*above, name), names=names)
            return
        schema = self._merged(schema, above)
        for combining in ("anyOf", "oneOf"):
            if isinstance(schema.get(combining), list):
                inner = (
                    one for part in schema[combining] for one in self._alternatives(part, above, names=names)
                )
                yield from _opened(inner)
                return
        yield from _parts(schema)

    def _is_component(self, name: str, above: tuple[str, ...]) -> bool:
        if name in above:
            return True
        members = [one for one in self._alternatives(self._sources[name], (*above, name)) if one != _NULL]
        return len(members) == 1 and "$ref" not in members[0] and _is_named(members[0])

    def _merged(self, schema: Schema, above: tuple[str, ...]) -> Schema:
        """Return a schema with its `allOf` merged, if all its parts are objects or there is one."""
        parts = schema.get("allOf")
        if not isinstance(parts, list) or not parts:
            return schema
        own = {key: value for key, value in schema.items() if key != "allOf"}
        found = [list(self._alternatives(part, above, names=False)) for part in parts]
        if len(parts) == 1 and not own.keys() - NOTES:
            return {"anyOf": parts}
        if any(len(one) != 1 or one[0].get("type") != "object" for one in found):
            return schema
        merged: Schema = {"type": "object", "properties": {}, "required": []}
        for part in (*(one[0] for one in found), own):
            merged["properties"] |= part.get("properties", {})
            merged["required"] += part.get("required", [])
        return merged


def _parts(schema: Schema) -> Iterator[Schema]:
    """Yield one schema for each type."""
    if "const" in schema:
        schema = {key: value for key, value in schema.items() if key != "const"} | {"enum": [schema["const"]]}
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if isinstance(values := schema.get("enum"), list):
        yield from _enumerations(schema, values)
        return
    if not types:
        types = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
    if not types:
        yield {}
    for kind in types:
        yield _NULL if kind == "null" else schema | {"type": kind}


def _enumerations(schema: Schema, values: list[Any]) -> Iterator[Schema]:
    rest = {key: value for key, value in schema.items() if key in _ENUM - {"title"}}
    by_type: dict[str, list[Any]] = {}
    for value in values:
        by_type.setdefault(_TYPES.get(type(value), "null"), []).append(value)
    for kind, these in by_type.items():
        if kind in {"string", "integer"}:
            first = rest | {"type": kind, "enum": these}
            if len(by_type) - ("null" in by_type) > 1 or len(these) < len(rest.get("x-enum-varnames", ())):
                first.pop("x-enum-varnames", None)
            yield {"anyOf": [_notes(schema) | first]}
        else:
            yield {"type": kind}


def _opened(members: Iterable[Schema]) -> list[Schema]:
    """Return the members with an enumeration and its own type as one open enumeration."""
    found = list(members)
    for one in found:
        if "anyOf" in one and len(one["anyOf"]) == 1:
            own = {"type": one["anyOf"][0]["type"]}
            if own in found:
                opened = {"anyOf": [*one["anyOf"], own]}
                return [opened if other is one else other for other in found if other != own]
    return found


def _is_named(member: Schema) -> bool:
    return "$ref" in member or "anyOf" in member or member.get("type") == "object"


def _notes(schema: Any) -> Schema:
    return {key: value for key, value in schema.items() if key in NOTES} if isinstance(schema, dict) else {}


def _limited(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key in {"type", *LIMITS}}


def _varnames(first: Schema) -> Schema:
    """Return names for values that differ only in case, or do not begin with a letter."""
    if "x-enum-varnames" in first or first["type"] != "string":
        return {}
    names: list[str] = []
    for index, value in enumerate(first["enum"]):
        name = re.sub("[^A-Z0-9]", "_", value.upper())
        names.append(name if name[:1].isalpha() and name not in names else f"VALUE_{index}")
    unlike = any(name == f"VALUE_{index}" for index, name in enumerate(names))
    return {"x-enum-varnames": names} if unlike else {}


def pascal(text: str) -> str:
    """Return a name in PascalCase, of its ASCII letters and digits."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", text))


def _numbered(name: str) -> Iterator[str]:
    yield (name := name or "Schema")
    number = 2
    while True:
        yield f"{name}{number}"
        number += 1
