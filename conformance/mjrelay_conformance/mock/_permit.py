"""What a contract's schema of a task can allow at a place of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from mjrelay._contract import Contract
    from mjrelay._yaml import Location

ABSENT = "absent"
"""The kind of what is not there."""


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@frozen
class Exactly:
    """The kind of one value alone: where a schema lists values, it has to be one of them."""

    value: Any


def kind(value: Any) -> str:
    """The JSON type of a value, as JSON Schema calls it."""
    return _KINDS[type(value)]


def permits(contract: Contract, location: Location, wanted: str | Exactly) -> bool:
    """
    Whether a task's document may have a value of a kind at a location, or none there.

    A no is certain: the schema refuses every such document. A yes is not, for values are not looked at but
    where a schema lists them.
    """
    schemas = [media["schema"] for media in contract.content(200).values() if "schema" in media]
    return not schemas or any(_permits(contract, schema, location, wanted) for schema in schemas)


def _permits(contract: Contract, schema: Any, location: Location, wanted: str | Exactly) -> bool:
    schema = contract.resolve(schema)
    if not isinstance(schema, dict):
        return schema is not False
    return _own(contract, schema, location, wanted) and all(
        combine(_permits(contract, option, location, wanted) for option in schema[keyword])
        for keyword, combine in (("allOf", all), ("anyOf", any), ("oneOf", any))
        if keyword in schema
    )


def _own(contract: Contract, schema: dict[str, Any], location: Location, wanted: str | Exactly) -> bool:
    """What a schema says itself, without those that it is combined from."""
    if not location:
        return _typed(schema, wanted)
    step, rest = location[0], location[1:]
    if isinstance(step, int):
        prefix = schema.get("prefixItems", [])
        child = prefix[step] if step < len(prefix) else schema.get("items", True)
        return _typed(schema, "array") and _permits(contract, child, rest, wanted)
    if not _typed(schema, "object"):
        return False
    if not rest and wanted == ABSENT:
        return step not in schema.get("required", ())
    properties = schema.get("properties", {})
    other = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    return _permits(contract, properties.get(step, other), rest, wanted)


def _typed(schema: dict[str, Any], wanted: str | Exactly) -> bool:
    name = kind(wanted.value) if isinstance(wanted, Exactly) else wanted
    same = {name, "number"} if name == "integer" else {name}
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not same.intersection(types):
            return False
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is None:
        return True
    if isinstance(wanted, Exactly):
        return any(kind(value) in same and value == wanted.value for value in values)
    return any(kind(value) in same for value in values)
