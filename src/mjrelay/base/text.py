"""What is done to text before people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def replace_unprintable(text: str) -> str:
    """Text with U+FFFD for each character that could steer a terminal, line breaks included."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def nearest_names(name: str, known: Iterable[str], *, count: int = 3, cutoff: float = 0.5) -> list[str]:
    """The known names that are most like a mistyped one, the nearest first."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    return difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)


def did_you_mean(near: Sequence[str]) -> str:
    """The question for an error message; empty where no name is near."""
    return f"did you mean {' or '.join(near)}?" if near else ""
