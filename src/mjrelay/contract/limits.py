"""How large a contract may be, whatever its author wrote: a foreign one must not exhaust the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


LARGEST = 1 << 20
"""Bytes of a file."""
NODES = 30_000
"""Values and names of a document, its aliases written out."""
CHARACTERS = 4 << 20
"""Characters of all values and names of a document, its aliases written out."""
DEEPEST = 50
"""Levels of a document."""
DIGITS = 100
"""Characters of a number."""
FILES = 10
"""Files that extend one another."""
REFERENCES = 32
"""References that lead from one to the next."""
SUBSCHEMAS = 10_000
"""Schemas of a document, its references written out."""
NESTED = 200
"""Schemas that lead to one another, each by way of the one before it."""
WORK = 500_000
"""Nodes that the actions of an overlay read, all of them together."""


class Size(NamedTuple):
    """The size of a document or a part of one."""

    nodes: int
    characters: int
    depth: int

    @classmethod
    def around(cls, parts: Iterable[Size]) -> Size:
        """The size of what holds the parts."""
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
        """The size of a document."""
        if isinstance(document, dict):
            return cls.around(cls.of(part) for pair in document.items() for part in pair)
        if isinstance(document, list):
            return cls.around(map(cls.of, document))
        return cls(1, len(document) if isinstance(document, str) else 1, 1)

    def excess(self) -> str | None:
        """What exceeds a limit, and what to do; None where nothing does."""
        rows = (
            (self.depth, DEEPEST, "levels", "write it flatter, or as components that are referred to"),
            (self.nodes, NODES, "values and names", "leave out what is not about tasks"),
            (self.characters, CHARACTERS, "characters", "leave out what is not about tasks"),
        )
        for found, limit, unit, remedy in rows:
            if found > limit:
                written = "" if unit == "levels" else " once aliases are written out"
                return f"has more than {limit:,} {unit}{written}, which is the limit; {remedy}"
        return None
