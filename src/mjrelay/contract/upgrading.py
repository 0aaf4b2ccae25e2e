"""Upgrade OpenAPI 3.0 documents to 3.1, so that all other code reads one version."""

from __future__ import annotations

from typing import Any

from mjrelay.contract.references import child_kind
from mjrelay.contract.schemas import subschemas

_NOTES = {"title", "description", "deprecated", "readOnly", "writeOnly", "examples", "default"}
_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_BODILESS = ("get", "head", "delete")


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """
    Return an OpenAPI 3.0 document as 3.1; any other document unchanged.

    In schemas, `nullable`, boolean exclusive bounds and `example` are written as in 3.1. What 3.0 ignores is
    dropped: the keys beside a `$ref`, and the request body of a GET, HEAD or DELETE. One rule is more lenient
    than 3.0, because authors mean it so: a nullable reference or enumeration accepts null.
    """
    if not str(document.get("openapi", "")).startswith("3.0"):
        return document
    return {**_walk("document", document), "openapi": "3.1.0"}


def _walk(kind: str, node: Any) -> Any:
    if kind == "schema":
        return _schema(node)
    if kind == "path" and isinstance(node, dict):
        node = {key: _without_body(value) if key in _BODILESS else value for key, value in node.items()}
    if isinstance(node, dict):
        return {key: _walk(child_kind(kind, key), value) for key, value in node.items()}
    return [_walk(child_kind(kind), item) for item in node] if isinstance(node, list) else node


def _without_body(operation: Any) -> Any:
    if not isinstance(operation, dict):
        return operation
    return {key: value for key, value in operation.items() if key != "requestBody"}


def _schema(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    new = subschemas(schema, _schema)
    nullable = new.pop("nullable", None) is True
    if isinstance(new.get("$ref"), str):
        new = {"$ref": new["$ref"]}
    for exclusive, bound in _BOUNDS.items():
        if isinstance(new.get(exclusive), bool) and new.pop(exclusive) and bound in new:
            new[exclusive] = new.pop(bound)
    if "example" in new:
        new.setdefault("examples", [new.pop("example")])
    rest = {key: value for key, value in new.items() if key not in _NOTES and not key.startswith("x-")}
    if not nullable or not rest:
        return new
    if isinstance(new.get("type"), str) and "enum" not in new:
        return new | {"type": [new["type"], "null"]}
    notes = {key: value for key, value in new.items() if key not in rest}
    return notes | {"anyOf": [rest, {"type": "null"}]}
