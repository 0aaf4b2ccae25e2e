"""Rules of our own making: what keeps a contract complete, and whole on its way through the generator."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError
from mjrelay.http import Credential
from mjrelay_codegen.linter.draft import MATCHERS, SCHEMAS, Node, Problem, is_json, matchers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.base import Location
    from mjrelay_codegen.linter.draft import Draft


_EXTENSIONS = {"x-evidence", "x-mj-task", "x-enum-varnames"}
_SCALARS = {"string", "integer", "number", "boolean"}

# What is lost on the way through the generator, or stops it: by the kind of node, the keys, and the mend.
_DROPPED: dict[str, dict[str, str]] = {
    "document": {
        "security": "write it on each operation",
        "webhooks": "leave them out; what a callback's body means is x-mj-task's business",
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
        "write them out where they are used; only schemas and securitySchemes are shared",
    ),
    "path": {"servers": "write them at the root"},
    "operation": {
        "servers": "write them at the root",
        "callbacks": "leave them out; what a callback's body means is x-mj-task's business",
    },
    "response": {"headers": "say it in the description", "links": "say it in the description"},
    "parameter": {
        "content": "give the parameter a schema",
        "style": "leave it out, or choose a parameter whose default style fits",
        "explode": "leave it out, or choose a parameter whose default style fits",
        "allowReserved": "leave it out",
        "allowEmptyValue": "leave it out",
    },
    **{kind: {"discriminator": "leave it out; anyOf says which schemas there are"} for kind in SCHEMAS},
}

_NOTES = {"title", "description", "example", "examples", "deprecated"}
_LIMITS = {
    *("format", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_MENDS = {
    "$ref": "put it inside anyOf",
    "allOf": "write all properties into one component",
    "const": "make it an enumeration of one word",
    "default": "say it in the description",
    "enum": "make it a component of its own, wrapped in anyOf, and refer to it",
    "nullable": 'write null among the types, type: [string, "null"]',
    "oneOf": "write anyOf",
    "properties": "make it a component of its own and refer to it",
}

_OBJECT = "a component is an object (type: object) or an enumeration (anyOf with title and enum inside)"
_ENUMERATION = "an enumeration is written anyOf: [{type: string, title: Name, enum: [WORD]}]"
_PROPERTY = (
    "a property has its types as a list (type: [string]), or refers to components inside "
    "anyOf: [{$ref: '#/components/schemas/Name'}]"
)
_ITEMS = (
    "items have one plain type (type: string), or are a $ref to a component, or any of several inside "
    "anyOf: [{type: string}, {$ref: '#/components/schemas/Name'}]"
)
_BODY = "a body is a $ref to a component, or {type: array, items: …}"
_VALUE = "a parameter has one plain type (type: string), or is an array of it that a query repeats"


def operation(draft: Draft) -> Iterator[Problem]:
    """Each operation has a name, one tag, examples, and the answer for a bad credential."""
    for node in draft.of("operation"):
        name, tags = node.value.get("operationId"), node.value.get("tags", [])
        if name is None or not re.fullmatch("[a-z]+([A-Z][a-z0-9]*)+", name):
            yield Problem(
                (*node.location, "operationId"),
                "the operation has no operationId that names it; write verb and object, such as fetchTask",
            )
        if len(tags) != 1 or not re.fullmatch("[a-z][a-z0-9_-]*", tags[0]):
            yield Problem(
                (*node.location, "tags"),
                "the generator makes a package of the tag; write exactly one, in small ASCII letters",
            )
        responses = node.value.get("responses", {})
        if "401" not in responses and any(node.value.get("security", ())):
            yield Problem(
                (*node.location, "responses"),
                "the operation asks for a credential and has no 401; describe it, with x-evidence where "
                "the page does not",
            )
        for media in draft.of("media"):
            start, at = (*node.location, "responses"), len(node.location) + 1
            if media.location[:at] == start and is_json(str(media.location[-1])):
                yield from _has_examples(media)


def _has_examples(media: Node) -> Iterator[Problem]:
    examples = media.value.get("examples", {})
    if not examples:
        yield Problem(media.location, "there is no example of this body; write one under examples, by a name")
    for name, example in examples.items():
        if "value" not in example:
            yield Problem(
                (*media.location, "examples", name), "the example stands elsewhere; write its value inline"
            )


def security(draft: Draft) -> Iterator[Problem]:
    """Each operation says for itself how to authenticate, by schemes that a client can use."""
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
                "the operation does not say how to authenticate; write security here, [{}] where the server "
                "is open",
            )
        for index, alternative in enumerate(node.value.get("security", ())):
            here = (*node.location, "security", index)
            if len(alternative) > 1:
                yield Problem(
                    here,
                    f"{' and '.join(alternative)} are asked for at once, and a client has one secret; write "
                    "them as alternatives, each an item of its own",
                )
            for name in alternative.keys() - schemes.keys():
                yield Problem(here, f"there is no security scheme {name}; define it in securitySchemes")
        if "security" in node.value and not node.value["security"]:
            yield Problem(
                (*node.location, "security"), "an empty list says nothing; write [{}] for an open server"
            )


def evidence(draft: Draft) -> Iterator[Problem]:
    """`x-evidence` says where a statement comes from, and of which day that is true."""
    holders = [
        (node.location, node.value)
        for node in draft.nodes
        if isinstance(node.value, dict) and not node.named and "x-evidence" in node.value
    ]
    for location, holder in (*holders, *_evident_matchers(draft)):
        here, value = (*location, "x-evidence"), holder["x-evidence"]
        if not isinstance(value, dict):
            yield Problem(here, 'x-evidence is an object; write {source: …, date: "YYYY-MM-DD"}')
            continue
        for key in sorted(value.keys() - {"source", "date", "assumed"}):
            yield Problem((*here, key), f"x-evidence has no {key}; its keys are source, date and assumed")
        if not isinstance(value.get("source"), str) or not value["source"].strip():
            yield Problem(here, "x-evidence names no source; write where it was seen, or why it is assumed")
        if not _is_date(value.get("date")):
            yield Problem(here, 'x-evidence has no date; write the day it was looked up, date: "YYYY-MM-DD"')
        if value.get("assumed", True) is not True:
            yield Problem((*here, "assumed"), "assumed is true or left out; delete it")


def _evident_matchers(draft: Draft) -> Iterator[tuple[Location, dict[str, Any]]]:
    """The answers in `x-mj-task` that say where they were seen themselves."""
    for node in draft.fetches:
        form = node.value["x-mj-task"]
        for key in MATCHERS if isinstance(form, dict) else ():
            for location, matcher in matchers(form, key):
                if isinstance(matcher, dict) and "x-evidence" in matcher:
                    yield (*node.location, "x-mj-task", *location), matcher


def _is_date(text: Any) -> bool:
    if not isinstance(text, str) or not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def dropped(draft: Draft) -> Iterator[Problem]:
    """Nothing stands in a contract that the generator loses without a word, or stumbles over."""
    fields = {(node.value.get("in"), str(node.value.get("name")).lower()) for node in draft.of("scheme")} | {
        ("header", name) for name in ("authorization", "accept", "content-type")
    }
    for node in draft.nodes:
        if isinstance(node.value, bool) and node.kind in SCHEMAS and node.kind != "extra":
            yield Problem(node.location, "the generator refuses boolean schemas; write what may stand here")
        if not isinstance(node.value, dict) or node.named:
            continue
        for key, mend in _DROPPED.get(node.kind, {}).items():
            if key in node.value:
                yield Problem((*node.location, key), f"the generator drops {key}; {mend}")
        for key in node.value:
            if key.startswith("x-") and key not in _EXTENSIONS:
                known = ", ".join(sorted(_EXTENSIONS))
                yield Problem((*node.location, key), f"nothing reads {key}; correct it, known are {known}")
        if node.kind == "parameter" and (node.value["in"], node.value["name"].lower()) in fields:
            yield Problem(
                node.location,
                f"{node.value['name']} is no parameter but a credential or made by the client; leave it to "
                "security and securitySchemes",
            )
        if node.kind in SCHEMAS:
            yield from _unnameable(node)


def _unnameable(node: Node) -> Iterator[Problem]:
    title, words = node.value.get("title", ""), node.value.get("enum", [])
    if not title.isascii():
        yield Problem(
            (*node.location, "title"),
            f"the title {title} would become the name of a class; write it in ASCII, and the other words in "
            "the description",
        )
    if None in words:
        yield Problem(
            (*node.location, "enum", words.index(None)),
            'null among the words splits the class; take it out, and write {type: "null"} beside the $ref',
        )
    elif len({type(word) for word in words}) > 1:
        yield Problem(
            (*node.location, "enum"),
            "the generator refuses words of more than one type; write one enumeration for each",
        )


def convention(draft: Draft) -> Iterator[Problem]:
    """Schemas and servers have the few forms that overlays append to and that generate well."""
    for node in draft.of("server"):
        if not re.fullmatch("https?://[^/{}]+", node.value["url"]):
            yield Problem(
                (*node.location, "url"),
                "a server is scheme and host, without variables; write the path's beginning into each path",
            )
    for node in draft.of("parameter"):
        schema = node.value.get("schema")
        if isinstance(schema, dict) and schema.get("type") == "array" and node.value["in"] != "query":
            yield Problem((*node.location, "schema"), f"only a query repeats a parameter; {_VALUE}")
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
        yield Problem((*node.location, "type"), f"this is neither; {_OBJECT}")
    unknown = set(node.value.get("required", ())) - node.value.get("properties", {}).keys()
    if unknown:
        yield Problem(
            (*node.location, "required"),
            f"required names {', '.join(sorted(unknown))}, which properties lacks; correct one of them",
        )


def _enumeration(node: Node) -> Iterator[Problem]:
    first, *rest = node.value["anyOf"]
    here = (*node.location, "anyOf", 0)
    if not isinstance(first, dict) or not first.get("enum") or first.get("type") not in {"string", "integer"}:
        yield Problem(here, f"this is no closed list of words; {_ENUMERATION}")
        return
    if first.get("title") != node.location[-1]:
        yield Problem(
            (*here, "title"), f"the class would be misnamed; write title: {node.location[-1]} beside the enum"
        )
    for key in sorted(first.keys() - {"type", "enum", "x-enum-varnames", "x-evidence"} - _NOTES):
        yield Problem((*here, key), f"{key} has no place in an enumeration; {_MENDS.get(key, _ENUMERATION)}")
    if rest and rest != [{"type": first["type"]}]:
        yield Problem(
            (*node.location, "anyOf", 1),
            f"beside the words stands only what opens the list; write {{type: {first['type']}}}",
        )
    words, names = first["enum"], first.get("x-enum-varnames")
    if {type(word) for word in words} == {int if first["type"] == "string" else str}:
        yield Problem(
            (*here, "type"), f"no word is of type {first['type']}; correct the type, or quote the words"
        )
    texts = [word for word in words if isinstance(word, str)]
    nameable = len({text.upper() for text in texts}) == len(texts)
    nameable = nameable and all(re.match("[A-Za-z]", text) for text in texts)
    if names is None and not nameable:
        yield Problem(
            (*here, "enum"),
            "some words differ only in case or do not begin with a letter; add x-enum-varnames, one for each",
        )
    given = {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    if names is not None and len(given) != len(words):
        yield Problem(
            (*here, "x-enum-varnames"),
            f"there are {len(words)} words and {len(given)} names; write one for each",
        )


def description(draft: Draft) -> Iterator[Problem]:
    """Each property says in words what it holds."""
    for node in draft.of("property"):
        if not str(node.value.get("description", "")).strip():
            yield Problem(node.location, "the property is not described; give it a description")


def _property(node: Node) -> Iterator[Problem]:
    if "anyOf" in node.value:
        yield from _only(node, {"anyOf"}, _PROPERTY)
        # A boolean schema is dropped, and said to be by that rule.
        members = [one for one in node.value["anyOf"] if isinstance(one, dict) and one != {"type": "null"}]
        if not members or not all("$ref" in member for member in members):
            yield Problem(
                (*node.location, "anyOf"), f'beside $refs only {{type: "null"}} stands here; {_PROPERTY}'
            )
        return
    types = node.value.get("type")
    yield from _only(node, {"type", "items", *_LIMITS}, _PROPERTY)
    if not isinstance(types, list) or not set(types) - {"null"} <= {*_SCALARS, "array"}:
        yield Problem(
            (*node.location, "type"), f"the types are not a list of what may stand inline; {_PROPERTY}"
        )
    elif ("array" in types) != ("items" in node.value):
        yield Problem(node.location, "an array goes with items and items with an array; write both")


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
        yield Problem((*node.location, "type"), f"this is not one plain type; {form}")


def _body(node: Node) -> Iterator[Problem]:
    if "$ref" not in node.value:
        yield from _only(node, {"type", "items", *_LIMITS}, _BODY)
        if node.value.get("type") != "array" or "items" not in node.value:
            yield Problem(node.location, f"this is neither; {_BODY}")


def _only(node: Node, keys: set[str], form: str) -> Iterator[Problem]:
    """The keys that have no place in a schema; those that are dropped are said to be, by that rule."""
    for key in node.value.keys() - keys - _NOTES - _DROPPED[node.kind].keys():
        if not key.startswith("x-"):
            yield Problem((*node.location, key), f"{key} has no place here; {_MENDS.get(key, form)}")
