"""Limits for contracts, so that a file from an unknown author cannot exhaust memory or time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


LARGEST = 1 << 20
"""Bytes of a file."""
NODES = 60_000
"""Values and names of a document with its aliases expanded."""
CHARACTERS = 4 << 20
"""Characters of all values and names of a document with its aliases expanded."""
DEEPEST = 50
"""Levels of a document."""
DIGITS = 100
"""Characters of a number."""
FILES = 10
"""Files that extend one another."""
REFERENCES = 32
"""References in a chain from one to the next."""
SUBSCHEMAS = 10_000
"""Schemas of a document with its references expanded."""
NESTED = 200
"""Schemas that are nested in one another, references followed."""
WORK = 500_000
"""Nodes that all actions of an overlay read together."""


class Size(NamedTuple):
    """The size of a document or a part of one."""

    nodes: int
    characters: int
    depth: int

    @classmethod
    def around(cls, parts: Iterable[Size]) -> Size:
        """Return the size of an object or array with these parts."""
        nodes, characters, depth = 1, 0, 0
        for part in parts:
            nodes, characters, depth = (
                nodes + part.nodes,
                characters + part.characters,
                max(depth, part.depth),
            )
        return cls(nodes, characters, depth + 1)

    @classmethod
    def of(cls, document: Any) -> Size:
        """Return the size of a document."""
        if isinstance(document, dict):
            return cls.around(cls.of(part) for pair in document.items() for part in pair)
        if isinstance(document, list):
            return cls.around(map(cls.of, document))
        return cls(1, len(document) if isinstance(document, str) else 1, 1)

    def excess(self) -> str | None:
        """Return which limit is exceeded and what to do, or None."""
        rows = (
            (self.depth, DEEPEST, "levels", "nest less, or move parts to components and refer to them"),
            (self.nodes, NODES, "values and names", "delete what does not concern tasks"),
            (self.characters, CHARACTERS, "characters", "delete what does not concern tasks"),
        )
        for found, limit, unit, remedy in rows:
            if found > limit:
                written = "" if unit == "levels" else " once aliases are expanded"
                return f"has more than {limit:,} {unit}{written}, which is the limit; {remedy}"
        return None
