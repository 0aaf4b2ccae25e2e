"""A place in a document, and its JSON Pointer."""

from __future__ import annotations

Location = tuple[str | int, ...]
"""The names and indices that lead from a document's root to one of its nodes."""


def json_pointer(location: Location) -> str:
    """A location as a JSON Pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)
