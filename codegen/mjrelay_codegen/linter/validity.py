"""Rules of the formats that a contract is written in: JSON, OpenAPI 3.1 and JSON Schema."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.base import Location
    from mjrelay_codegen.linter.draft import Draft


_REFERENCE = re.compile("#/components/schemas/([A-Za-z0-9._-]+)")
_OPENAPI = dict(schema_v31)


def name(draft: Draft) -> Iterator[Problem]:
    """A relay's name is the name of its file, of a Python package and of a command's argument."""
    stem = draft.path.stem
    if not re.fullmatch("[a-z][a-z0-9]*", stem) or stem == "runtime":
        yield Problem(
            (),
            f"{stem!r} cannot name a relay; name the file in small letters and digits, a letter first, "
            "and not runtime",
        )


def json(draft: Draft) -> Iterator[Problem]:
    """A contract says nothing that JSON cannot say, and its root is an object."""
    if not isinstance(draft.source, dict):
        yield Problem((), "is no OpenAPI document; begin it with openapi: 3.1.0, info and paths")
    yield from _foreign(draft.source, ())


def _foreign(value: Any, location: Location) -> Iterator[Problem]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and not isinstance(key, str):
                yield Problem((*location, key), f"the key {key} is {_kind(key)} in YAML; put it in quotes")
            yield from _foreign(item, (*location, key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(location, f"{value} is no number in JSON; leave it out, or write it in quotes")
    elif not isinstance(value, str | int | float | None):
        yield Problem(location, f"{value} is {_kind(value)} in YAML and nothing in JSON; put it in quotes")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "null"
    return "a number" if isinstance(value, int | float) else f"a {type(value).__name__.lower()}"


def reference(draft: Draft) -> Iterator[Problem]:
    """References lead to this contract's own component schemas, from where they are followed."""
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
            yield Problem(
                here, f"a {node.kind} is not referred to, for not every reader follows; write it out here"
            )
        elif node.kind == "component":
            yield Problem(
                here, f"a component is more than a reference; refer to {target} itself where it is used"
            )
        elif found is None:
            yield Problem(
                here,
                f"{target!r} does not lead to a component of this contract; write #/components/schemas/Name",
            )
        elif not isinstance(schemas, dict) or found[1] not in schemas:
            known = ", ".join(schemas) if isinstance(schemas, dict) else "none"
            yield Problem(here, f"there is no component {found[1]}; correct the name, known are {known}")
        elif siblings:
            yield Problem(
                (*node.location, siblings[0]),
                f"{', '.join(siblings)} beside a $ref is dropped; put the $ref inside anyOf, or say it there",
            )


def openapi(draft: Draft) -> Iterator[Problem]:
    """A contract is a valid OpenAPI 3.1 document."""
    version = draft.document.get("openapi")
    if not isinstance(version, str) or not re.fullmatch(r"3\.1\.[0-9]+", version):
        yield Problem(
            ("openapi",), f"OpenAPI {version} is not what the generator reads; write openapi: 3.1.0"
        )
        return
    # The last pass takes for granted what the two before make sure of. They are not left to the package: it
    # would take whichever validator is installed, and give paths in a schema from that schema on.
    faults = list(_faults(_OPENAPI, (), draft.document)) or [
        fault
        for node in draft.of("component", "body", "value")
        for fault in _faults(Draft202012Validator.META_SCHEMA, node.location, node.value)
    ]
    faults = faults or [
        Problem(_operation(draft, error.message), error.message)
        for error in OpenAPIV31SpecValidator(offline_path(_unpatterned(draft.document))).iter_errors()
    ]
    for place, message in dict(reversed(faults)).items():  # of each place the first, which is the plainest
        yield Problem(place, f"{_short(message)}; correct it as OpenAPI 3.1 asks")


def _faults(schema: dict[str, Any], start: Location, value: Any) -> Iterator[Problem]:
    for error in trusted_validator(schema).iter_errors(value):
        fault = best_match([error])
        yield Problem((*start, *fault.absolute_path), fault.message)


def _unpatterned(value: Any) -> Any:
    """
    The document without its patterns.

    That pass judges defaults by them, in unbounded time; the rule `example` judges by them with a timeout.
    """
    if isinstance(value, dict):
        return {
            name: _unpatterned(item)
            for name, item in value.items()
            if not (name == "pattern" and isinstance(item, str)) and name != "patternProperties"
        }
    return [_unpatterned(item) for item in value] if isinstance(value, list) else value


def _operation(draft: Draft, message: str) -> Location:
    """Where the operation stands whose path and method a sentence quotes."""
    for node in draft.of("operation"):
        _, path, method = node.location
        if f"'{path}'" in message and f"'{method}'" in message:
            return node.location
    return ()


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:110]} … {text[-45:]}"


def example(draft: Draft) -> Iterator[Problem]:
    """Each example fits the schema that it stands beside."""
    judge = contract_validator(draft.document, formats=True)
    for node in draft.of("media", "parameter", *SCHEMAS):
        schema = node.value if node.kind in SCHEMAS else node.value.get("schema", {})
        for location, value in node.examples:
            try:
                faults = [best_match([error]) for error in judge.evolve(schema=schema).iter_errors(value)]
            except Unresolvable as error:
                yield Problem(location, f"the schema refers to {error.ref}, which is not here; correct that")
                continue
            for fault in faults:
                yield Problem(
                    (*location, *fault.absolute_path),
                    f"the example breaks its schema: {_short(fault.message)}; correct the one that is wrong",
                )
