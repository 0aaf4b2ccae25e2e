"""Rules of this project: a contract is complete, and the generator supports every part of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mjrelay.base import ContractError
from mjrelay.contract import is_json
from mjrelay.http import Credential
from mjrelay_codegen.linter.draft import SCHEMAS, Node, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay_codegen.linter.draft import Draft


_EXTENSIONS = {"x-evidence", "x-mj-task", "x-mj-submit", "x-mj-answers", "x-enum-varnames"}
_SCALARS = {"string", "integer", "number", "boolean"}

# Keys that the generator drops or rejects, by the kind of node, each with the fix.
_DROPPED: dict[str, dict[str, str]] = {
    "document": {
        "security": "write it on each operation",
        "webhooks": "leave them out; x-mj-task describes the body of a callback",
    },
    "components": dict.fromkeys(
        (
            "responses",
            "parameters",
            "examples",
            "requestBodies",
            "headers",
            "links",
            "callbacks",
            "pathItems",
        ),
        "write them inline where they are used; only schemas and securitySchemes may be shared",
    ),
    "path": {"servers": "write them at the root"},
    "operation": {
        "servers": "write them at the root",
        "callbacks": "leave them out; x-mj-task describes the body of a callback",
    },
    "response": {"headers": "write it in the description", "links": "write it in the description"},
    "parameter": {
        "content": "give the parameter a schema",
        "style": "leave it out, or choose a parameter whose default style fits",
        "explode": "leave it out, or choose a parameter whose default style fits",
        "allowReserved": "leave it out",
        "allowEmptyValue": "leave it out",
    },
    **{kind: {"discriminator": "leave it out; anyOf lists the schemas"} for kind in SCHEMAS},
}

_NOTES = {"title", "description", "example", "examples", "deprecated"}
_LIMITS = {
    *("format", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_FIXES = {
    "$ref": "put it inside anyOf",
    "allOf": "write all properties into one component",
    "const": "make it an enumeration of one value",
    "default": "write it in the description",
    "enum": "make it a component of its own, wrapped in anyOf, and refer to it",
    "nullable": 'write null among the types, type: [string, "null"]',
    "oneOf": "write anyOf",
    "properties": "make it a component of its own and refer to it",
}

_OBJECT = "a component is an object (type: object) or an enumeration (anyOf with title and enum inside)"
_ENUMERATION = "an enumeration is written anyOf: [{type: string, title: Name, enum: [VALUE]}]"
_PROPERTY = (
    "a property has a list of types (type: [string]), refers to components inside "
    "anyOf: [{$ref: '#/components/schemas/Name'}], or has only a description if any type is allowed"
)
_ITEMS = (
    "items have one scalar type (type: string), are a $ref to a component, or list alternatives inside "
    "anyOf: [{type: string}, {$ref: '#/components/schemas/Name'}]"
)
_BODY = "a body is a $ref to a component, or {type: array, items: …}"
_VALUE = "a parameter has one scalar type (type: string), or is an array of it in the query"


def operation(draft: Draft) -> Iterator[Problem]:
    """Each operation has a plain path, an operationId, one tag, examples, and a 401 response."""
    for node in draft.of("path"):
        if found := re.search(r"[?#\s]", str(node.location[-1])):
            yield Problem(
                node.location,
                f"the path contains {found[0]!r}; write a query parameter in parameters, and its value in "
                "set of x-mj-task",
            )
    for node in draft.of("operation"):
        name, tags = node.value.get("operationId"), node.value.get("tags", [])
        if name is None or not re.fullmatch("[a-z]+([A-Z][a-z0-9]*)+", name):
            yield Problem(
                (*node.location, "operationId"),
                "the operation has no operationId of a verb and an object; write one, such as fetchTask",
            )
        if len(tags) != 1 or not re.fullmatch("[a-z][a-z0-9_-]*", tags[0]):
            yield Problem(
                (*node.location, "tags"),
                "the tag becomes a Python package; write exactly one, in lower-case ASCII letters",
            )
        responses = node.value.get("responses", {})
        if "401" not in responses and any(node.value.get("security", ())):
            yield Problem(
                (*node.location, "responses"),
                "the operation needs a credential and has no 401 response; describe it, with x-evidence "
                "if the page does not show it",
            )
        for media in draft.of("media"):
            start, at = (*node.location, "responses"), len(node.location) + 1
            if media.location[:at] == start and is_json(str(media.location[-1])):
                yield from _has_examples(media)


def _has_examples(media: Node) -> Iterator[Problem]:
    examples = media.value.get("examples", {})
    if not examples:
        yield Problem(media.location, "this body has no example; write a named one under examples")
    for name, example in examples.items():
        if "value" not in example:
            yield Problem(
                (*media.location, "examples", name), "the example has no value; write it inline as value"
            )


def security(draft: Draft) -> Iterator[Problem]:
    """Each operation lists its security, by schemes that a client supports."""
    schemes = {node.location[-1]: node for node in draft.of("scheme")}
    for name, scheme in schemes.items():
        try:
            Credential.compile(str(name), scheme.value)
        except ContractError as error:
            yield Problem(scheme.location, str(error))
    for node in draft.of("operation"):
        if "security" not in node.value:
            yield Problem(
                node.location,
                "the operation has no security; write it here, or [{}] if the server needs no key",
            )
        for index, alternative in enumerate(node.value.get("security", ())):
            here = (*node.location, "security", index)
            if len(alternative) > 1:
                yield Problem(
                    here,
                    f"{' and '.join(alternative)} are required together, and a client has one key; write "
                    "each as a separate item of the list",
                )
            for name in alternative.keys() - schemes.keys():
                yield Problem(here, f"there is no security scheme {name}; define it in securitySchemes")
        if "security" in node.value and not node.value["security"]:
            yield Problem(
                (*node.location, "security"), "the list is empty; write [{}] if the server needs no key"
            )


def dropped(draft: Draft) -> Iterator[Problem]:
    """A contract has no part that the generator silently drops or cannot process."""
    fields = {(node.value.get("in"), str(node.value.get("name")).lower()) for node in draft.of("scheme")} | {
        ("header", name) for name in ("authorization", "accept", "content-type")
    }
    for node in draft.nodes:
        if isinstance(node.value, bool) and node.kind in SCHEMAS and node.kind != "extra":
            yield Problem(
                node.location, "the generator rejects boolean schemas; write the schema of the value"
            )
        if not isinstance(node.value, dict) or node.named:
            continue
        for key, fix in _DROPPED.get(node.kind, {}).items():
            if key in node.value:
                yield Problem((*node.location, key), f"the generator drops {key}; {fix}")
        for key in node.value:
            if key.startswith("x-") and key not in _EXTENSIONS:
                known = ", ".join(sorted(_EXTENSIONS))
                yield Problem(
                    (*node.location, key),
                    f"{key} is an unknown extension; correct it, the known ones are {known}",
                )
        if node.kind == "parameter" and (node.value["in"], node.value["name"].lower()) in fields:
            yield Problem(
                node.location,
                f"the client sends {node.value['name']} itself; delete the parameter, and describe "
                "credentials in security and securitySchemes",
            )
        if node.kind in SCHEMAS:
            yield from _class_names(node)


def _class_names(node: Node) -> Iterator[Problem]:
    title, values = node.value.get("title", ""), node.value.get("enum", [])
    if not title.isascii():
        yield Problem(
            (*node.location, "title"),
            f"the title {title} becomes a class name; write it in ASCII, and the original in the description",
        )
    if None in values:
        yield Problem(
            (*node.location, "enum", values.index(None)),
            'null in an enum splits the class; delete it, and write {type: "null"} beside the $ref',
        )
    elif len({type(value) for value in values}) > 1:
        yield Problem(
            (*node.location, "enum"),
            "the generator rejects an enum of several types; write one enumeration for each type",
        )


def convention(draft: Draft) -> Iterator[Problem]:
    """Schemas and servers use the few forms that overlays can extend and the generator supports."""
    for node in draft.of("server"):
        # A path with a variable is a prefix that x-mj-submit fills; then "/" stands for no prefix.
        if not re.fullmatch(r"(?:https?://[^/{}]+)?(?:/\{\w+\})?|/", node.value["url"]):
            yield Problem(
                (*node.location, "url"),
                "a server URL has a scheme and a host, and at most a variable; move its path into each path",
            )
    for node in draft.of("parameter"):
        schema = node.value.get("schema")
        if isinstance(schema, dict) and schema.get("type") == "array" and node.value["in"] != "query":
            yield Problem((*node.location, "schema"), f"only a query parameter can be an array; {_VALUE}")
    forms = {
        "component": _component,
        "property": _property,
        "items": _items,
        "extra": _items,
        "body": _body,
        "value": _value,
    }
    for node in draft.of(*forms):
        yield from forms[node.kind](node)


def _component(node: Node) -> Iterator[Problem]:
    if "anyOf" in node.value:
        yield from _only(node, {"anyOf"}, _ENUMERATION)
        yield from _enumeration(node)
        return
    yield from _only(node, {"type", "properties", "required", "additionalProperties"}, _OBJECT)
    if node.value.get("type") != "object":
        yield Problem(
            (*node.location, "type"), f"the component is neither an object nor an enumeration; {_OBJECT}"
        )
    properties = node.value.get("properties", {})
    for index, name in enumerate(node.value.get("required", ())):
        if name not in properties:
            yield Problem(
                (*node.location, "required", index),
                f"required lists {name}, which properties lacks; correct one of them",
            )


def _enumeration(node: Node) -> Iterator[Problem]:
    first, *rest = node.value["anyOf"]
    here = (*node.location, "anyOf", 0)
    if not isinstance(first, dict) or not first.get("enum") or first.get("type") not in {"string", "integer"}:
        yield Problem(here, f"this is not a list of string or integer values; {_ENUMERATION}")
        return
    if first.get("title") != node.location[-1]:
        yield Problem(
            (*here, "title"),
            f"the title is not the component's name; write title: {node.location[-1]} beside the enum",
        )
    for key in sorted(first.keys() - {"type", "enum", "x-enum-varnames", "x-evidence"} - _NOTES):
        yield Problem(
            (*here, key), f"{key} is not allowed in an enumeration; {_FIXES.get(key, _ENUMERATION)}"
        )
    if rest and rest != [{"type": first["type"]}]:
        yield Problem(
            (*node.location, "anyOf", 1),
            f"the second item can only open the list; write {{type: {first['type']}}}",
        )
    values, names = first["enum"], first.get("x-enum-varnames")
    if {type(value) for value in values} == {int if first["type"] == "string" else str}:
        yield Problem(
            (*here, "type"), f"no value has the type {first['type']}; correct the type, or quote the values"
        )
    texts = [value for value in values if isinstance(value, str)]
    nameable = len({text.upper() for text in texts}) == len(texts)
    nameable = nameable and all(re.match("[A-Za-z]", text) for text in texts)
    if names is None and not nameable:
        yield Problem(
            (*here, "enum"),
            "some values differ only in case or do not begin with a letter; add x-enum-varnames",
        )
    given = {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    if names is not None and len(given) != len(values):
        yield Problem(
            (*here, "x-enum-varnames"),
            f"there are {len(values)} values and {len(given)} names; write one name per value",
        )


def description(draft: Draft) -> Iterator[Problem]:
    """Each property has a description."""
    for node in draft.of("property"):
        if not str(node.value.get("description", "")).strip():
            yield Problem(node.location, "the property has no description; write one")


def _property(node: Node) -> Iterator[Problem]:
    if "anyOf" in node.value:
        yield from _only(node, {"anyOf"}, _PROPERTY)
        # The rule `dropped` reports boolean schemas.
        members = [one for one in node.value["anyOf"] if isinstance(one, dict)]
        if not any("$ref" in member for member in members):
            yield Problem((*node.location, "anyOf"), f"none of these is a $ref; {_PROPERTY}")
        for index, member in enumerate(node.value["anyOf"]):
            if isinstance(member, dict) and "$ref" not in member and member != {"type": "null"}:
                yield from _scalar(Node("items", (*node.location, "anyOf", index), member), _PROPERTY)
        return
    if not node.value.keys() - _NOTES:  # any type
        return
    types = node.value.get("type")
    yield from _only(node, {"type", "items", *_LIMITS}, _PROPERTY)
    if not isinstance(types, list) or not set(types) - {"null"} <= {*_SCALARS, "array"}:
        yield Problem((*node.location, "type"), f"type is not a list of scalar types and array; {_PROPERTY}")
    elif ("array" in types) != ("items" in node.value):
        yield Problem(node.location, "type array and items belong together; write both")


def _items(node: Node) -> Iterator[Problem]:
    if "anyOf" in node.value:
        yield from _only(node, {"anyOf"}, _ITEMS)
        for index, member in enumerate(node.value["anyOf"]):
            if isinstance(member, dict):
                inner = Node("items", (*node.location, "anyOf", index), member)
                yield from () if "$ref" in member else _scalar(inner, _ITEMS)
    elif "$ref" not in node.value:
        yield from _scalar(node, _ITEMS)


def _value(node: Node) -> Iterator[Problem]:
    if node.value.get("type") == "array" and "items" in node.value:
        yield from _only(node, {"type", "items", *_LIMITS}, _VALUE)
    else:
        yield from _scalar(node, _VALUE)


def _scalar(node: Node, form: str) -> Iterator[Problem]:
    yield from _only(node, {"type", *_LIMITS}, form)
    if node.value.get("type") not in tuple(_SCALARS):
        yield Problem((*node.location, "type"), f"type is not one scalar type; {form}")


def _body(node: Node) -> Iterator[Problem]:
    if "$ref" not in node.value:
        yield from _only(node, {"type", "items", *_LIMITS}, _BODY)
        if node.value.get("type") != "array" or "items" not in node.value:
            yield Problem(node.location, f"the body is neither a $ref nor an array; {_BODY}")


def _only(node: Node, keys: set[str], form: str) -> Iterator[Problem]:
    """Yield the keys that a schema may not have, except those that the rule `dropped` reports."""
    for key in node.value.keys() - keys - _NOTES - _DROPPED[node.kind].keys():
        if not key.startswith("x-"):
            yield Problem((*node.location, key), f"{key} is not allowed here; {_FIXES.get(key, form)}")
