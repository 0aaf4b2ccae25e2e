"""Bodies of type multipart/form-data (RFC 7578)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BOUNDARY = "mjrelay-form-boundary"
_BOUNDARY_PARAMETER = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_ESCAPES = {'"': "%22", "\r": "%0D", "\n": "%0A"}


class NotFormError(ValueError):
    """A body is no multipart form."""


@frozen
class FormPart:
    """
    A part of a form.

    Attributes:
        name: The name of the field.
        data: The content.
        media_type: The media type of the content, or None for text.
        filename: The name of the file, or None if the part is no file.
    """

    name: str
    data: bytes = field(repr=False)
    media_type: str | None = None
    filename: str | None = None


def is_form(media_type: str) -> bool:
    """Return whether a media type is that of a form with parts."""
    return media_type.partition(";")[0].strip().lower() == "multipart/form-data"


def encode_form(parts: Sequence[FormPart]) -> tuple[str, bytes]:
    """Return the media type and the body of a form. The boundary is fixed, unless a part contains it."""
    heads = [_head(part) for part in parts]
    chunks = [chunk for head, part in zip(heads, parts, strict=True) for chunk in (head, part.data)]
    boundary = _BOUNDARY
    while any(boundary.encode() in chunk for chunk in chunks):
        digest = hashlib.sha256(boundary.encode())
        for chunk in chunks:
            digest.update(chunk)
        boundary = f"mjrelay-{digest.hexdigest()[:32]}"
    line = f"--{boundary}\r\n".encode()
    pieces = [
        piece for head, part in zip(heads, parts, strict=True) for piece in (line, head, part.data, b"\r\n")
    ]
    return f"multipart/form-data; boundary={boundary}", b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def _head(part: FormPart) -> bytes:
    head = f'Content-Disposition: form-data; name="{_escaped(part.name)}"'
    if part.filename is not None:
        head += f'; filename="{_escaped(part.filename)}"'
    if part.media_type is not None:
        head += f"\r\nContent-Type: {part.media_type}"
    return f"{head}\r\n\r\n".encode()


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


def decode_form(media_type: str, body: bytes) -> list[FormPart]:
    """Return the parts of a form; raise `NotFormError` if the body is none."""
    return list(_decoded(media_type, body))


def _decoded(media_type: str, body: bytes) -> Iterator[FormPart]:
    found = _BOUNDARY_PARAMETER.search(media_type)
    if not is_form(media_type) or found is None:
        raise NotFormError("its media type names no boundary")
    delimiter = f"\r\n--{found[1] or found[2]}".encode()
    _, *pieces = (b"\r\n" + body).split(delimiter)
    if not pieces or not pieces.pop().startswith(b"--"):
        raise NotFormError("it does not end with its boundary")
    for piece in pieces:
        head, separator, data = piece.partition(b"\r\n\r\n")
        fields = {}
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        parameters = _PARAMETER.findall(fields.get("content-disposition", ""))
        named = {name.lower(): _unescaped(value) for name, value in parameters}
        if not separator or "name" not in named:
            raise NotFormError("one of its parts has no name")
        yield FormPart(named["name"], data, fields.get("content-type"), named.get("filename"))


def _unescaped(text: str) -> str:
    text = re.sub(r"\\(.)", r"\1", text)
    for character, escape in _ESCAPES.items():
        text = text.replace(escape, character)
    return text
