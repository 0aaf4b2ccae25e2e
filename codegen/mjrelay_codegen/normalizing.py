"""
Rewrite any OpenAPI 3.1 document in the few forms that the generator and its overlays support.

The packaged contracts are written in these forms, so they come out unchanged. Unsupported parts stay as they
are, and the linter reports them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import ContractError
from mjrelay.contract import child_kind, operation_name, reference_target
from mjrelay_codegen.forms import SchemaForms, pascal

if TYPE_CHECKING:
    from mjrelay.base import Location


_PARTS = 100_000
"""Parts of a document once references are written out."""
_KEPT = {"x-evidence", "x-mj-task", "x-mj-submit", "x-mj-answers", "x-enum-varnames"}
_UNUSED = {
    "document": {"webhooks", "security"},
    "components": {"callbacks", "examples", "headers", "links", "parameters", "pathItems"}
    | {"requestBodies", "responses", "schemas"},
    "operation": {"callbacks"},
    "body": {"headers", "links"},
}
"""Keys that a client does not need, or that are written out elsewhere."""
_NAMES = {"bodies", "examples", "content", "links", "encodings"}
"""Kinds of objects whose keys are names, and not keywords."""
_INLINED = {"body", "example", "path"}
"""Kinds of objects that may be references."""
_SUFFIXES = {("operation", "requestBody"): "Request", ("operation", "responses"): "Response"}
"""Parts of an operation, and how the names of components from them end."""


@frozen
class Normalized:
    """
    A document in the supported forms.

    Attributes:
        document: The document.
        places: Where each component schema that the original does not have is written in it.
    """

    document: dict[str, Any]
    places: dict[Location, Location] = field(factory=dict)

    def source(self, location: Location) -> Location:
        """Return where the part at a location is written in the original document."""
        start, rest = location[:3], location[3:]
        return (*self.places[start], *rest) if start in self.places else location


def normalize(document: dict[str, Any]) -> Normalized:
    """
    Return a document in the supported forms.

    Raises:
        ContractError: A reference leads nowhere, or the document is too large with references written out.
    """
    try:
        return _Normalizer(document).normalized()
    except LookupError as error:
        raise ContractError(f"{error} refers to nothing in this document; correct it") from error


class _Normalizer:
    def __init__(self, document: dict[str, Any]) -> None:
        self._original = document
        self._schemas = SchemaForms(document)
        self._parts = 0
        schemes = document.get("components", {}).get("securitySchemes", {}).values()
        self._sent = {(scheme.get("in"), str(scheme.get("name")).lower()) for scheme in schemes}
        self._sent |= {("header", name) for name in ("accept", "authorization", "content-type")}

    def normalized(self) -> Normalized:
        document = self._walk("document", (), self._original, "")
        for key in ("info", "tags", "servers"):
            if key in document:
                document[key] = _without_extensions(document[key])
        if schemas := self._schemas.components:
            document["components"] = document.get("components", {}) | {"schemas": schemas}
        return Normalized(document, self._schemas.places)

    def _walk(self, kind: str, location: Location, node: Any, name: str) -> Any:
        """Return a part of the document. ``name`` is for schemas in it that become components."""
        self._parts += 1
        if self._parts > _PARTS:
            raise ContractError(f"has more than {_PARTS:,} parts once references are written out")
        while kind in _INLINED and isinstance(node, dict) and isinstance(node.get("$ref"), str):
            location, node = reference_target(self._original, node["$ref"])
        if kind == "schema":
            return self._schemas.body(node, name or "Body", location)
        if isinstance(node, list) and kind == "bodies":
            found = [self._walk("body", (*location, index), one, name) for index, one in enumerate(node)]
            return [one for one in found if (one.get("in"), str(one.get("name")).lower()) not in self._sent]
        if not isinstance(node, dict) or kind in {"data", "other"}:
            return node
        if kind == "operation":
            node = self._operation(node, location)
            name = pascal(node["operationId"])
        result = {
            key: self._walk(
                child_kind(kind, key), (*location, key), value, name + _SUFFIXES.get((kind, key), "")
            )
            for key, value in node.items()
            if kind in _NAMES or not (key in _UNUSED.get(kind, ()) or _is_unknown(key))
            if (kind, key) != ("body", "schema")
        }
        if kind == "body" and "schema" in node:
            result["schema"] = self._schemas.value(node["schema"])
        return result

    def _operation(self, node: dict[str, Any], location: Location) -> dict[str, Any]:
        """Return an operation with its own security, a name and a tag of which Python names can be made."""
        tags = [tag for tag in node.get("tags", ()) if re.fullmatch("[a-z][a-z0-9_-]*", str(tag))]
        security = node.get("security", self._original.get("security"))
        name = operation_name(location, node)
        return node | {"operationId": name, "tags": tags[:1] or ["default"], "security": security or [{}]}


def _is_unknown(key: str) -> bool:
    return key.startswith("x-") and key not in _KEPT


def _without_extensions(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_extensions(value) for key, value in node.items() if not _is_unknown(key)}
    return [_without_extensions(one) for one in node] if isinstance(node, list) else node
