"""Rules of the formats of a contract: JSON, OpenAPI 3.1 and JSON Schema."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.schemas import schema_v31
from referencing.exceptions import Unresolvable

from mjrelay.contract import stray_references
from mjrelay_codegen.linter.draft import SCHEMAS, Problem, contract_validator, offline_path, trusted_validator
from mjrelay_codegen.source import is_relay_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.base import Location
    from mjrelay_codegen.linter.draft import Draft


_REFERENCE = re.compile("#/components/schemas/([A-Za-z0-9._-]+)")
_OPENAPI = dict(schema_v31)


def name(draft: Draft) -> Iterator[Problem]:
    """The file name is a valid relay name: it becomes a Python package and a command argument."""
    stem = draft.path.stem
    if not is_relay_name(stem):
        yield Problem(
            (),
            f"{stem!r} is not a valid relay name; rename the file to lower-case letters and digits, a letter "
            "first, and neither runtime nor a Python keyword",
        )


def json(draft: Draft) -> Iterator[Problem]:
    """A contract has only JSON values, and its root is an object."""
    if not isinstance(draft.source, dict):
        yield Problem((), "the document is not an object; write openapi: 3.1.0, info and paths")
    yield from _not_json(draft.source, ())


def _not_json(value: Any, location: Location) -> Iterator[Problem]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and not isinstance(key, str):
                yield Problem((*location, key), f"the key {key} is {_kind(key)} in YAML; put it in quotes")
            yield from _not_json(item, (*location, key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(location, f"JSON has no number {value}; delete it, or put it in quotes")
    elif not isinstance(value, str | int | float | None):
        yield Problem(
            location, f"{value} is {_kind(value)} in YAML, which JSON does not have; put it in quotes"
        )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "null"
    return "a number" if isinstance(value, int | float) else f"a {type(value).__name__.lower()}"


def reference(draft: Draft) -> Iterator[Problem]:
    """Every reference leads to a component schema of the contract, from where tools follow it."""
    found = list(_referring(draft))
    reported = {one.location for one in found}
    yield from found
    yield from (Problem(*one) for one in stray_references(draft.document) if one[0] not in reported)


def _referring(draft: Draft) -> Iterator[Problem]:
    components = draft.document.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    for node in draft.nodes:
        if not isinstance(node.value, dict) or "$ref" not in node.value or node.named:
            continue
        target = node.value["$ref"]
        found = _REFERENCE.fullmatch(target) if isinstance(target, str) else None
        siblings = sorted(node.value.keys() - {"$ref", "x-evidence"})
        here = (*node.location, "$ref")
        if node.kind not in SCHEMAS:
            yield Problem(here, f"not every tool follows a reference to a {node.kind}; write it inline")
        elif node.kind == "component":
            yield Problem(here, f"a component cannot be only a reference; refer to {target} where it is used")
        elif found is None:
            yield Problem(
                here,
                f"{target!r} does not lead to a component of this contract; write #/components/schemas/Name",
            )
        elif not isinstance(schemas, dict) or found[1] not in schemas:
            known = ", ".join(schemas) if isinstance(schemas, dict) else "none"
            yield Problem(
                here, f"there is no component {found[1]}; correct the name, the known ones are {known}"
            )
        elif siblings:
            yield Problem(
                (*node.location, siblings[0]),
                f"{', '.join(siblings)} beside a $ref is dropped; put the $ref inside anyOf, or move it",
            )


def openapi(draft: Draft) -> Iterator[Problem]:
    """A contract is a valid OpenAPI 3.1 document."""
    version = draft.document.get("openapi")
    if not isinstance(version, str) or not re.fullmatch(r"3\.1\.[0-9]+", version):
        yield Problem(("openapi",), f"the generator does not support OpenAPI {version}; write openapi: 3.1.0")
        return
    # The last pass needs a document that passes the first two. These do not use the package: it picks any
    # installed validator, and its error paths start at the schema instead of the document.
    errors = list(_schema_errors(_OPENAPI, (), draft.document)) or [
        error
        for node in draft.of("component", "body", "value")
        for error in _schema_errors(Draft202012Validator.META_SCHEMA, node.location, node.value)
    ]
    errors = errors or [
        Problem(_operation(draft, error.message), error.message)
        for error in OpenAPIV31SpecValidator(offline_path(_without_patterns(draft.document))).iter_errors()
    ]
    for place, message in dict(reversed(errors)).items():  # the first error of each place
        yield Problem(place, f"{_short(message)}; correct it as OpenAPI 3.1 requires")


def _schema_errors(schema: dict[str, Any], start: Location, value: Any) -> Iterator[Problem]:
    for error in trusted_validator(schema).iter_errors(value):
        best = best_match([error])
        yield Problem((*start, *best.absolute_path), best.message)


def _without_patterns(value: Any) -> Any:
    """
    Return the document without its patterns.

    openapi-spec-validator matches defaults without a timeout. The rule `example` has one.
    """
    if isinstance(value, dict):
        return {
            name: _without_patterns(item)
            for name, item in value.items()
            if not (name == "pattern" and isinstance(item, str)) and name != "patternProperties"
        }
    return [_without_patterns(item) for item in value] if isinstance(value, list) else value


def _operation(draft: Draft, message: str) -> Location:
    """Return the location of the operation whose path and method a message quotes."""
    for node in draft.of("operation"):
        _, path, method = node.location
        if f"'{path}'" in message and f"'{method}'" in message:
            return node.location
    return ()


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:110]} … {text[-45:]}"


def example(draft: Draft) -> Iterator[Problem]:
    """Each example is valid against the schema beside it."""
    validator = contract_validator(draft.document, formats=True)
    for node in draft.of("media", "parameter", *SCHEMAS):
        schema = node.value if node.kind in SCHEMAS else node.value.get("schema", {})
        for location, value in node.examples:
            try:
                errors = [best_match([error]) for error in validator.evolve(schema=schema).iter_errors(value)]
            except Unresolvable as missing:
                yield Problem(
                    location, f"the schema refers to {missing.ref}, which does not exist; correct it"
                )
                continue
            for error in errors:
                yield Problem(
                    (*location, *error.absolute_path),
                    f"the example is invalid: {_short(error.message)}; correct the example or the schema",
                )
