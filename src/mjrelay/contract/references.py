"""
Find references that lead out of a contract, and resolve local ones.

A contract is one document, and nothing is retrieved for it. A reference to another document is an error,
wherever a tool might follow it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mjrelay.base import ContractError, json_pointer, pointer_steps
from mjrelay.contract.limits import REFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mjrelay.base import Location


METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://spec.openapis.org/oas/3.1/dialect/base",
)
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef", "operationRef")
_EXAMPLES = ("x-example", "x-examples")  # extensions that schemathesis reads

_DATA = "data"
_OTHER = "other"
# The kinds of an object's children by key, or one kind for all children of an object or a list. A child that
# is not listed is `_OTHER`. So are the parts of a schema: tools follow a `$ref` anywhere inside one.
_GRAMMAR: dict[str, str | dict[str, str]] = {
    "document": {"paths": "paths", "webhooks": "paths", "components": "components"},
    "components": {
        "callbacks": "callbacks",
        "examples": "examples",
        "headers": "bodies",
        "links": "links",
        "parameters": "bodies",
        "pathItems": "paths",
        "requestBodies": "bodies",
        "responses": "bodies",
        "schemas": "schemas",
    },
    "schemas": "schema",
    "paths": "path",
    "path": {"parameters": "bodies"} | dict.fromkeys(METHODS, "operation"),
    "operation": {
        "callbacks": "callbacks",
        "parameters": "bodies",
        "requestBody": "body",
        "responses": "bodies",
    },
    "callbacks": "paths",
    "bodies": "body",
    # A parameter, a header, a request body or a response.
    "body": {
        "content": "content",
        "example": _DATA,
        "examples": "examples",
        "headers": "bodies",
        "links": "links",
        "schema": "schema",
    },
    "content": "media",
    "media": {"schema": "schema", "example": _DATA, "examples": "examples", "encoding": "encodings"},
    "encodings": "encoding",
    "encoding": {"headers": "bodies"},
    "examples": "example",
    "example": {"value": _DATA},
    "links": "link",
    "link": {"parameters": _DATA, "requestBody": _DATA},
}


def reference_target(document: Any, reference: str) -> tuple[Location, Any]:
    """
    Return the location and the node that a local reference leads to.

    Raises:
        LookupError: The reference is not a JSON Pointer fragment, or leads nowhere.
    """
    if not reference.startswith("#/"):
        raise LookupError(reference)
    location: Location = ()
    node = document
    for name in pointer_steps(unquote(reference)):
        try:
            key = int(name) if isinstance(node, list) else name
            node = node[key]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise LookupError(reference) from error
        location = (*location, key)
    return location, node


def operation_name(location: Location, operation: dict[str, Any]) -> str:
    """Return the operationId of an operation, or a name made of its method and path if it has none."""
    if "operationId" in operation:
        return str(operation["operationId"])
    return "_".join(re.findall("[A-Za-z0-9]+", f"{location[2]} {location[1]}"))


def stray_references(document: Any) -> Iterator[tuple[Location, str]]:
    """
    Yield the references that lead out of a document or nowhere: the location, and what is wrong.

    Checked are `$ref`, `$dynamicRef`, `$recursiveRef`, `operationRef`, the `mapping` of a discriminator,
    `externalValue`, `$id` (which changes the base of the references below it), and unknown dialects.
    Not checked are the values of examples outside schemas, the parameters of links, and extensions of objects
    other than schemas, because no tool follows references there.
    """
    return _Walk(document).found()


class _Walk:
    """A walk through a document. Targets of references are walked too, even inside data."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._left: list[tuple[str, Location, Any]] = [("document", (), document)]
        self._seen: set[tuple[str, Location]] = set()

    def found(self) -> Iterator[tuple[Location, str]]:
        while self._left:
            kind, location, node = self._left.pop()
            if kind == _DATA or (kind, location) in self._seen:
                continue
            self._seen.add((kind, location))
            if isinstance(node, dict):
                yield from self._faults(kind, location, node)
                children = [(child_kind(kind, key), key, value) for key, value in node.items()]
            elif isinstance(node, list):
                children = [(child_kind(kind), index, value) for index, value in enumerate(node)]
            else:
                continue
            # The last one is taken first, so they are reversed to keep document order.
            self._left += [(inner, (*location, step), value) for inner, step, value in reversed(children)]

    def _faults(self, kind: str, location: Location, node: dict[str, Any]) -> Iterator[tuple[Location, str]]:
        # If the value is not text, the key is a property's name, and not a keyword.
        for keyword in _REFERENCES:
            reference = node.get(keyword)
            if isinstance(reference, str) and (problem := self._followed(keyword, reference, kind)):
                yield (*location, keyword), problem
        match node.get("discriminator"):
            case {"mapping": dict(mapping)}:
                for name, value in mapping.items():
                    if isinstance(value, str) and (problem := self._mapped(value)):
                        yield (*location, "discriminator", "mapping", name), problem
        if isinstance(url := node.get("externalValue"), str):
            yield (
                (*location, "externalValue"),
                f"{url} is outside this document; write the example's value here",
            )
        if isinstance(url := node.get("$id"), str):
            yield (
                (*location, "$id"),
                f"$id {url} changes the base of the references below it; delete it, and refer from the root",
            )
        for keyword in ("$schema", "jsonSchemaDialect"):
            url = node.get(keyword)
            if isinstance(url, str) and url.removesuffix("#") not in _DIALECTS:
                yield (*location, keyword), f"the dialect {url} is not supported; delete {keyword}"

    def _followed(self, keyword: str, reference: str, kind: str) -> str | None:
        """Return what is wrong with a reference. Its target is added to the walk."""
        if keyword in {"$dynamicRef", "$recursiveRef"} and reference[:1] == "#" and reference[:2] != "#/":
            return None  # an anchor of this document
        if not reference.startswith("#/"):
            return f"{reference} is outside this document; write it into this file, under components"
        try:
            location, node = reference_target(self._document, reference)
        except LookupError:
            return f"{reference} refers to nothing in this document; correct it"
        self._left.append((_OTHER if keyword == "operationRef" else kind, location, node))
        return self._circular(reference, node) if keyword == "$ref" else None

    def _circular(self, reference: str, node: Any) -> str | None:
        seen = {reference}
        while isinstance(node, dict) and isinstance(following := node.get("$ref"), str):
            if following in seen:
                return f"{following} refers to itself; correct it"
            if len(seen) == REFERENCES:
                return (
                    f"{reference} leads through more than {REFERENCES} references, which is the limit; "
                    "refer to the final target"
                )
            seen.add(following)
            try:
                node = reference_target(self._document, following)[1]
            except LookupError:  # reported at its own location
                break
        return None

    def _mapped(self, value: str) -> str | None:
        try:
            reference_target(self._document, "#" + json_pointer(("components", "schemas", value)))
        except LookupError:
            return self._followed("$ref", value, _OTHER)
        return None


def child_kind(kind: str, key: str | None = None) -> str:
    """Return the kind of a child of an object, by its key, or of an item of a list."""
    grammar = _GRAMMAR.get(kind, {})
    if isinstance(grammar, str):
        return grammar
    if key is not None and kind in _GRAMMAR and key.startswith("x-") and key not in _EXAMPLES:
        return _DATA
    return _OTHER if key is None else grammar.get(key, _OTHER)


class Resolver:
    """A document whose local references are followed; the base of a contract."""

    document: dict[str, Any]
    source: Path

    def resolve(self, node: Any) -> Any:
        """
        Return a node, or the target of its local ``$ref``.

        Raises:
            ContractError: The reference leads nowhere, or in a circle.
        """
        return self.follow(node)[1]

    def follow(self, node: Any, location: Location = ()) -> tuple[Location, Any]:
        """
        Return a node with its location, or the target of its local ``$ref`` with the target's location.

        Raises:
            ContractError: The reference leads nowhere, or in a circle.
        """
        seen: list[str] = []
        while isinstance(node, dict) and "$ref" in node:
            reference = str(node["$ref"])
            if reference in seen:
                raise ContractError(f"{reference} refers to itself", source=self.source)
            if len(seen) == REFERENCES:
                raise ContractError(
                    f"{seen[0]} leads through more than {REFERENCES} references, which is the limit; "
                    "refer to the final target",
                    source=self.source,
                )
            seen.append(reference)
            try:
                location, node = reference_target(self.document, reference)
            except LookupError as error:
                raise ContractError(
                    f"{reference} refers to nothing in this document; correct it", source=self.source
                ) from error
        return location, node
