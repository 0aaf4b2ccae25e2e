"""The bodies of requests: their schemas, values as these type them, and what they forbid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mjrelay.base import pointer_steps
from mjrelay.contract.schemas import child_schema, combined_schemas
from mjrelay.semantics import is_number, same_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mjrelay.base import Location
    from mjrelay.contract.references import Resolver


def declared_body(contract: Resolver, operation: Location) -> tuple[bool, dict[str, Any]]:
    """Return whether an operation requires a body, and its Media Type Objects by media type."""
    _, path, method = operation
    body = contract.resolve(contract.document["paths"][path][method].get("requestBody", {}))
    return bool(body.get("required")), body.get("content", {})


def body_schemas(
    contract: Resolver,
    operation: Location,
    pointer: str = "",
    *,
    described_by: Callable[[str], bool] | None = None,
) -> list[Any] | None:
    """
    Return the alternative schemas of a value in a body, or None if no schema describes it.

    ``described_by`` selects the media types that count; by default JSON.
    """
    selects, contents = described_by or is_json, declared_body(contract, operation)[1].items()
    schemas = [media["schema"] for name, media in contents if selects(name) and "schema" in media]
    for step in pointer_steps(pointer):
        schemas = [
            found[1]
            for _, one in combined_schemas(contract, *schemas)
            if (found := child_schema(one, step)) is not None
        ]
    return schemas or None


def is_json(media_type: str) -> bool:
    """Return whether a media type is JSON."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def typed_value(contract: Resolver, schema: Any, values: Sequence[Any]) -> Any:
    """
    Return values in the type that a schema allows: an array or a single value, a number or text.

    Raises:
        ValueError: The schema takes one value, and there are several.
    """
    types = _types(contract, schema)
    if "array" in types:
        items = [found[1] for _, one in combined_schemas(contract, schema) if (found := child_schema(one, 0))]
        item_types = {name for item in items for name in _types(contract, item)}
        if len(values) != 1 or "string" not in types:
            return [_scalar(value, item_types) for value in values]
    if len(values) != 1:
        raise ValueError(f"takes one value, not {len(values)}")
    return _scalar(values[0], types)


def _types(contract: Resolver, schema: Any) -> set[str]:
    """Return the JSON types that a schema names; empty if it allows any."""
    types: set[str] = set()
    for _, one in combined_schemas(contract, schema):
        named = one.get("type", [])
        types |= {named} if isinstance(named, str) else set(named)
        types |= {json_type(value) for value in one.get("enum", ())}
    return types


def _scalar(value: Any, types: set[str]) -> Any:
    if isinstance(value, str) and types and "string" not in types:
        for name, convert in (("integer", int), ("number", float)):
            if name in types:
                try:
                    number = convert(value)
                except ValueError:
                    continue
                if is_number(number) and json.dumps(number) == value:  # 007 is another id than 7
                    return number
        if "boolean" in types and value in {"true", "false"}:
            return value == "true"
    if isinstance(value, int | float) and not isinstance(value, bool) and "string" in types:
        return value if {"integer", "number"} & types else str(value)
    return value


def value_problems(contract: Resolver, schema: Any, value: Any, where: str = "") -> Iterator[str]:
    """
    Yield what a schema forbids in a request body: types, required members, enumerations and sizes.

    It knows the keywords that request bodies use. A combination with anyOf or oneOf is checked as a whole.
    The bytes of a file are text of that length, as in OpenAPI 3.0.
    """
    schema = contract.resolve(schema)
    if not isinstance(schema, dict):
        return
    for keyword in ("anyOf", "oneOf"):
        found = [list(value_problems(contract, one, value, where)) for one in schema.get(keyword, ())]
        if found and all(found):
            yield from min(found, key=len)
    for option in schema.get("allOf", ()):
        yield from value_problems(contract, option, value, where)
    yield from _own_problems(schema, value, where or "the body")
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, member in members:
        below = child_schema(schema, step)
        if below is not None:
            yield from value_problems(contract, below[1], member, f"{where}/{step}")


_SIZES = {
    "string": ("Length", "characters"),
    "array": ("Items", "items"),
    "object": ("Properties", "members"),
}


def _own_problems(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    kind = json_type(value)
    named = schema.get("type")
    types = [named] if isinstance(named, str) else named or []
    if types and kind not in types and not (kind == "integer" and "number" in types):
        yield f"{where} is {kind}, expected {' or '.join(types)}"
        return
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if allowed is not None and not any(same_value(value, one) for one in allowed):
        yield f"{where} is not one of {', '.join(map(str, allowed))}"
    for name in schema.get("required", ()) if kind == "object" else ():
        if name not in value:
            yield f"{where} needs {name}"
    least, most, size, unit = "minimum", "maximum", value, ""
    if kind in _SIZES:
        suffix, unit = _SIZES[kind]
        least, most, size = f"min{suffix}", f"max{suffix}", len(value)
    elif kind not in {"integer", "number"}:
        return
    if size < schema.get(least, size):
        yield f"{where} is {size} {unit}".rstrip() + f", the minimum is {schema[least]}"
    if size > schema.get(most, size):
        yield f"{where} is {size} {unit}".rstrip() + f", the maximum is {schema[most]}"


def json_type(value: Any) -> str:
    """Return the JSON type of a value; a float without a fraction is an integer, as in JSON Schema."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    names = {
        float: "number",
        str: "string",
        bytes: "string",
        list: "array",
        dict: "object",
        type(None): "null",
    }
    return names[type(value)]
