"""A contract before validation: its nodes by kind, and the examples of its responses."""

from __future__ import annotations

from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import define, field, frozen
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from jsonschema_path import SchemaPath
from jsonschema_path.accessors import SchemaAccessor
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped] # it has no py.typed
from referencing.jsonschema import DRAFT202012

from mjrelay.base import ContractError, Pattern
from mjrelay.contract import METHODS, Contract, body_schemas, load_yaml, plain_yaml
from mjrelay.http import parse_json
from mjrelay.semantics import compile_reader, parse_expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from mjrelay.base import Location
    from mjrelay.semantics import Reader


SCHEMAS = ("component", "property", "items", "member", "extra", "body", "value")
"""The kinds of schemas, by their place: `body` in a media type, `value` in a parameter."""

_SCHEMA = {
    "properties": "properties",
    "items": "items",
    "additionalProperties": "extra",
    "anyOf": "members",
    "oneOf": "members",
    "allOf": "members",
    "prefixItems": "members",
    "not": "member",
}
_PARAMETER = {"schema": "value", "content": "content", "examples": "examples"}
# The kinds of the children of each kind of node: by their keys, or one kind for all of them.
_GRAMMAR: dict[str, str | dict[str, str]] = {
    **dict.fromkeys(SCHEMAS, _SCHEMA),
    "document": {
        "info": "info",
        "servers": "servers",
        "tags": "tags",
        "paths": "paths",
        "webhooks": "paths",
        "components": "components",
    },
    "info": {"contact": "contact", "license": "license"},
    "servers": "server",
    "tags": "tag",
    "paths": "path",
    "path": {"parameters": "parameters", "servers": "servers"} | dict.fromkeys(METHODS, "operation"),
    "operation": {
        "parameters": "parameters",
        "requestBody": "request",
        "responses": "responses",
        "servers": "servers",
    },
    "parameters": "parameter",
    "parameter": _PARAMETER,
    "request": {"content": "content"},
    "responses": "response",
    "response": {"headers": "headers", "content": "content"},
    "headers": "header",
    "header": _PARAMETER,
    "content": "media",
    "media": {"schema": "body", "examples": "examples"},
    "examples": "example",
    "components": {
        "schemas": "schemas",
        "securitySchemes": "schemes",
        "responses": "responses",
        "parameters": "parameters",
        "examples": "examples",
        "headers": "headers",
        "pathItems": "paths",
    },
    "schemas": "component",
    "schemes": "scheme",
    "properties": "property",
    "members": "member",
}
_NAMED = {"properties", "schemas", "schemes", "examples", "content", "headers", "parameters"}


MATCHERS = ("missing", "unauthorized", "forbidden", "elsewhere")
"""The keys of `x-mj-task` that describe responses."""


class Problem(NamedTuple):
    """A location in a contract, and a message of the form "what is wrong; how to fix it"."""

    location: Location
    message: str


@frozen
class Node:
    """A node of an OpenAPI document: its kind, its location and its value."""

    kind: str
    location: Location
    value: Any = field(repr=False)

    @property
    def named(self) -> bool:
        """Whether the keys of this node are names that the author chose."""
        return self.kind in _NAMED

    @property
    def examples(self) -> Iterator[tuple[Location, Any]]:
        """The values in `example` and `examples` of this node."""
        if "example" in self.value:
            yield (*self.location, "example"), self.value["example"]
        examples = self.value.get("examples", ())
        if isinstance(examples, list):
            for index, value in enumerate(examples):
                yield (*self.location, "examples", index), value
        elif isinstance(examples, dict):
            for name, example in examples.items():
                if "value" in example:
                    yield (*self.location, "examples", name, "value"), example["value"]


@frozen
class BodyExample:
    """An example of a response body."""

    status: str
    media_type: str
    name: str | int
    document: Any = field(repr=False)
    location: Location = field(repr=False)


@define(frozen=True, slots=False)
class Draft:
    """A contract that is valid YAML, and nothing more is assumed."""

    path: Path
    source: Any = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Draft:
        """Load a draft from a file; raises `ContractError` if it cannot be read or is not YAML."""
        return cls(path, load_yaml(path))

    @cached_property
    def document(self) -> Any:
        """The document as plain JSON values; the rule `json` guarantees that."""
        return plain_yaml(self.source)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes that OpenAPI defines, in document order; references are not followed."""
        return tuple(_walk("document", (), self.document))

    def of(self, *kinds: str) -> Iterator[Node]:
        """The nodes of these kinds whose values are objects."""
        return (node for node in self.nodes if node.kind in kinds and isinstance(node.value, dict))

    @cached_property
    def contract(self) -> Contract:
        """The contract; valid only after the rule `openapi` passed."""
        return Contract(self.path.stem, self.document, self.path)

    @cached_property
    def fetch_operations(self) -> tuple[Node, ...]:
        """The operations with `x-mj-task`."""
        return tuple(node for node in self.of("operation") if "x-mj-task" in node.value)

    @property
    def extension(self) -> tuple[Location, Any]:
        """The location and the value of `x-mj-task`."""
        return (*self.fetch_operations[0].location, "x-mj-task"), self.fetch_operations[0].value["x-mj-task"]

    @cached_property
    def reader(self) -> Reader | None:
        """The compiled `x-mj-task`, or None if it is invalid; other rules report that."""
        if len(self.fetch_operations) != 1 or not trusted_validator(extension_schema("x-mj-task")).is_valid(
            self.extension[1]
        ):
            return None
        try:
            return compile_reader(self.extension[1])
        except ContractError:
            return None

    def body_examples(self, operation: Node, status: str | None = None) -> list[BodyExample]:
        """Return the examples of an operation, for one status (as written in the contract) or for all."""
        start, at = (*operation.location, "responses"), len(operation.location) + 1
        return [
            BodyExample(
                str(where[at]), str(where[at + 2]), where[-2 if where[-1] == "value" else -1], value, where
            )
            for media in self.of("media")
            if media.location[:at] == start and status in {None, media.location[at]}
            for where, value in media.examples
        ]

    @cached_property
    def task_examples(self) -> list[BodyExample]:
        """The examples of a 200 of the fetch operation."""
        found = self.contract.response(200)
        return [] if found is None else self.body_examples(self.fetch_operations[0], str(found[0][-1]))

    def parameters(self, operation: Node) -> list[Node]:
        """Return the parameters of an operation and of its path."""
        places = (operation.location, operation.location[:-1])
        return [node for node in self.of("parameter") if node.location[:-2] in places]

    def undeclared(self, operation: Node, expression: str) -> str | None:
        """Return what a runtime expression names if the operation does not have it, for a message."""
        place, name = parse_expression(expression)
        if place == "body":
            described = body_schemas(self.contract, operation.location, name) is not None
            if described or body_schemas(self.contract, operation.location) == [{}]:
                return None
            return f"the value {name} in the body" if "requestBody" in operation.value else "the body"
        declared = {(node.value["in"], node.value["name"]) for node in self.parameters(operation)}
        return None if (place, name) in declared else f"the {place} parameter {name}"

    def operation(self, name: str) -> Node | None:
        """Return the operation with this operationId."""
        return next((node for node in self.of("operation") if node.value.get("operationId") == name), None)


def offline_path(document: dict[str, Any]) -> SchemaPath:
    """Return a document in the form that openapi-spec-validator takes, with retrieval disabled."""
    registry = REGISTRY.with_resource("", DRAFT202012.create_resource(document))
    return SchemaPath(SchemaAccessor(document, registry.resolver()))


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """Match in bounded time; raises `PatternError`."""
    if isinstance(instance, str) and not Pattern.compile(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _ignore(_: Any, __: Any, ___: Any, ____: Any) -> Iterator[ValidationError]:
    yield from ()


def _additional(validator: Any, extra: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if "patternProperties" not in schema:
        yield from _KEYWORDS["additionalProperties"](validator, extra, instance, schema)


_KEYWORDS = Draft202012Validator.VALIDATORS
# The generator drops patternProperties, and the keywords beside it depend on its patterns.
_BOUNDED: Any = extend(  # type: ignore[no-untyped-call]  # it has no type hints
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _ignore,
        "additionalProperties": _additional,
        "unevaluatedProperties": _ignore,
    },
)


def contract_validator(schema: Any, *, formats: bool = False) -> Draft202012Validator:
    """
    Return a validator for a schema of a contract: it retrieves nothing and bounds the time of patterns.

    Without an explicit registry, jsonschema opens every URL that a reference names.
    """
    checker = Draft202012Validator.FORMAT_CHECKER if formats else None
    bounded: Draft202012Validator = _BOUNDED(schema, registry=REGISTRY, format_checker=checker)
    return bounded


def trusted_validator(schema: Any) -> Draft202012Validator:
    """
    Return a validator for a schema of this project or of a standard, with every keyword enabled.

    There are few such schemas, so each validator is kept. It only refers to the schema: jsonschema reads a
    whole root schema again for each dynamic reference that it follows, of which OpenAPI's has hundreds.
    """
    if id(schema) not in _trusted:
        resource = DRAFT202012.create_resource(schema)
        uri = resource.id() or "urn:mjrelay:schema"
        registry = REGISTRY.with_resource(uri, resource).crawl()
        _trusted[id(schema)] = Draft202012Validator({"$ref": uri}, registry=registry)
    return _trusted[id(schema)]


_trusted: dict[int, Draft202012Validator] = {}
"""The validators by the identity of their schemas, which they keep alive."""


@cache
def extension_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of an extension, `x-mj-task` or `x-mj-submit`."""
    loaded: dict[str, Any] = parse_json((resources.files("mjrelay") / f"{name}.schema.json").read_bytes())
    return loaded


def matchers(form: Mapping[str, Any], key: str) -> Iterator[tuple[Location, Any]]:
    """Yield the matchers under a key of `x-mj-task`, each with its location there."""
    found = form.get(key, [])
    if isinstance(found, list):
        yield from (((key, index), matcher) for index, matcher in enumerate(found))
    else:
        yield (key,), found


def _walk(kind: str, location: Location, value: Any) -> Iterator[Node]:
    yield Node(kind, location, value)
    grammar = _GRAMMAR.get(kind, {})
    if isinstance(value, dict):
        children: Iterable[tuple[str | int, Any]] = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    else:
        return
    for key, child in children:
        inner = grammar if isinstance(grammar, str) else grammar.get(str(key))
        extension = kind in {"paths", "responses"} and str(key).startswith("x-")
        if inner is not None and not extension:
            yield from _walk(inner, (*location, key), child)
