"""Request bodies as multipart forms: their parts from values, and values from their parts."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from mjrelay.contract.schemas import child_schema, combined_schemas
from mjrelay.contract.values import typed_value
from mjrelay.http import FormPart, NotJSONError, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mjrelay.contract.references import Resolver


@frozen
class Image:
    """
    An image to submit: a URL, or its bytes.

    Attributes:
        url: The URL, or None.
        data: The bytes; empty for a URL.
        media_type: The media type of the bytes, such as ``image/png``.
    """

    url: str | None = None
    data: bytes = field(default=b"", repr=False)
    media_type: str = ""

    def encoded(self, encodings: Sequence[str]) -> str | Image | None:
        """
        Return the image in the first encoding that it has; as ``file`` it is the image itself.

        A URL has ``url`` only, bytes have the others.
        """
        if self.url is not None:
            return self.url if "url" in encodings else None
        for encoding in encodings:
            if encoding == "file":
                return self
            if encoding != "url":
                text = base64.b64encode(self.data).decode()
                return text if encoding == "base64" else f"data:{self.media_type};base64,{text}"
        return None


def has_file(body: Mapping[str, Any]) -> bool:
    """Return whether a body has an image that is sent as a file."""
    return any(isinstance(one, Image) for value in body.values() for one in _listed(value))


def checkable(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with the bytes of its files, whose sizes a schema limits."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return value.data if isinstance(value, Image) else value

    return {name: plain(value) for name, value in body.items()}


def form_parts(body: Mapping[str, Any]) -> Iterator[FormPart]:
    """
    Yield the parts of a body: a text or a file for each value, several for a list, none for null.

    Objects are JSON, as OpenAPI defines it. Files are named after their number and their media type.
    """
    number = 0
    for name, values in body.items():
        for value in _listed(values):
            if isinstance(value, Image):
                number += 1
                extension = value.media_type.partition("/")[2]
                yield FormPart(name, value.data, value.media_type, f"image-{number}.{extension}")
            elif isinstance(value, dict | list):
                yield FormPart(name, json.dumps(value).encode(), "application/json")
            elif value is not None:
                yield FormPart(name, (value if isinstance(value, str) else json.dumps(value)).encode())


def without_content(parts: Sequence[FormPart]) -> list[FormPart]:
    """Return parts whose files are replaced by their sizes, to be shown and recorded."""
    return [
        one if one.filename is None else evolve(one, data=f"({len(one.data)} bytes)".encode())
        for one in parts
    ]


def form_document(contract: Resolver, schemas: Sequence[Any], parts: Sequence[FormPart]) -> dict[str, Any]:
    """
    Return the values of a form in the types that the schemas of the body give them; files as bytes.

    Raises:
        ValueError: A field that takes one value has several, or a part is not the JSON that it claims to be.
    """
    found: dict[str, list[Any]] = {}
    for part in parts:
        found.setdefault(part.name, []).append(_value(part))
    document: dict[str, Any] = {}
    for name, values in found.items():
        members = [child_schema(one, name) for _, one in combined_schemas(contract, *schemas)]
        schema = {"anyOf": [one[1] for one in members if one is not None] or [{}]}
        try:
            document[name] = typed_value(contract, schema, values)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    return document


def _value(part: FormPart) -> Any:
    if part.filename is not None:
        return part.data
    if part.media_type is not None and part.media_type.startswith("application/json"):
        try:
            return parse_json(part.data)
        except NotJSONError as error:
            raise ValueError(f"is not JSON: {error}") from error
    return part.data.decode("utf-8", "replace")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
