"""Locations in a document, and JSON Pointers (RFC 6901)."""

from __future__ import annotations

Location = tuple[str | int, ...]
"""The names and indices from a document's root to one of its nodes."""


def json_pointer(location: Location) -> str:
    """Return a location as a JSON Pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def pointer_steps(pointer: str) -> list[str]:
    """Return the names in a JSON Pointer, unescaped."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
