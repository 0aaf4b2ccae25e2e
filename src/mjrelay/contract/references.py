"""
References of a contract: where they lead, and which lead out of it.

Nothing is ever retrieved for a contract. So a reference that leads out of its document is an error, wherever
a tool might follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mjrelay.base import json_pointer, pointer_steps
from mjrelay.contract.limits import REFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterator

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
# The kinds of an object's children by their keys, or of all its children, as of a list's. What is not named
# here is `_OTHER`: schemas first of all, within which tools take `$ref` for a reference wherever it stands.
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
    },
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
    },
    "content": "media",
    "media": {"example": _DATA, "examples": "examples", "encoding": "encodings"},
    "encodings": "encoding",
    "encoding": {"headers": "bodies"},
    "examples": "example",
    "example": {"value": _DATA},
    "links": "link",
    "link": {"parameters": _DATA, "requestBody": _DATA},
}


def reference_target(document: Any, reference: str) -> tuple[Location, Any]:
    """
    The place that a local reference leads to, and the node there.

    Raises `LookupError` for a reference that is no JSON Pointer fragment, or leads to nothing.
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


def stray_references(document: Any) -> Iterator[tuple[Location, str]]:
    """
    Find the references of a document that lead out of it or to nothing: where each stands, and what is wrong.

    These are `$ref`, `$dynamicRef`, `$recursiveRef`, `operationRef`, the `mapping` of a discriminator,
    `externalValue`, an `$id` (references below it would start from there) and a dialect that is not built in.
    Not looked at, because no tool follows a reference there, are the values of examples outside schemas, the
    parameters of links, and extensions of objects other than schemas.
    """
    return _Walk(document).found()


class _Walk:
    """One way through a document; what references lead to is walked too, even within data."""

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
                children = [(_child(kind, key), key, value) for key, value in node.items()]
            elif isinstance(node, list):
                children = [(_item(kind), index, value) for index, value in enumerate(node)]
            else:
                continue
            # The last is taken first: so backwards, for the order of the document.
            self._left += [(inner, (*location, step), value) for inner, step, value in reversed(children)]

    def _faults(self, kind: str, location: Location, node: dict[str, Any]) -> Iterator[tuple[Location, str]]:
        # The value of a keyword is text; where it is none, the keyword is somebody's name for something.
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
            yield (*location, "externalValue"), f"{url} lies elsewhere; write the example's value here"
        if isinstance(url := node.get("$id"), str):
            yield (
                (*location, "$id"),
                f"$id {url} moves the references below it; leave it out, and refer from the root",
            )
        for keyword in ("$schema", "jsonSchemaDialect"):
            url = node.get(keyword)
            if isinstance(url, str) and url.removesuffix("#") not in _DIALECTS:
                yield (*location, keyword), f"the dialect {url} is not known; leave {keyword} out"

    def _followed(self, keyword: str, reference: str, kind: str) -> str | None:
        """What is wrong with a reference; what it leads to is still to be walked."""
        if keyword in {"$dynamicRef", "$recursiveRef"} and reference[:1] == "#" and reference[:2] != "#/":
            return None  # an anchor of this document
        if not reference.startswith("#/"):
            return f"{reference} lies elsewhere; write it into this file, under components"
        try:
            location, node = reference_target(self._document, reference)
        except LookupError:
            return f"{reference} refers to nothing here; correct it"
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
                    "refer to their target itself"
                )
            seen.add(following)
            try:
                node = reference_target(self._document, following)[1]
            except LookupError:  # reported where it stands
                break
        return None

    def _mapped(self, value: str) -> str | None:
        try:
            reference_target(self._document, "#" + json_pointer(("components", "schemas", value)))
        except LookupError:
            return self._followed("$ref", value, _OTHER)
        return None


def _child(kind: str, key: str) -> str:
    grammar = _GRAMMAR.get(kind, {})
    if isinstance(grammar, str):
        return grammar
    if kind in _GRAMMAR and key.startswith("x-") and key not in _EXAMPLES:
        return _DATA
    return grammar.get(key, _OTHER)


def _item(kind: str) -> str:
    grammar = _GRAMMAR.get(kind)
    return grammar if isinstance(grammar, str) else _OTHER
