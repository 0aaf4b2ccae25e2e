"""Helpers for text: control characters, suggestions for mistyped names, and ids of the same form."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence


_BREAKS = re.compile(r"[\t\r\n]+")


def replace_unprintable(text: str, *, keep_lines: bool = False) -> str:
    """
    Return text without control characters, which a terminal could interpret.

    White space becomes a space, any other unprintable character U+FFFD.

    Args:
        text: Text from any source.
        keep_lines: Keep line breaks. By default the result is one line.
    """
    kept = "\n" if keep_lines else ""
    text = text.replace("\r\n", "\n") if keep_lines else _BREAKS.sub(" ", text)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept else _replacement(one) for one in text)


def _replacement(character: str) -> str:
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def nearest_names(name: str, known: Iterable[str], *, count: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return the known names most similar to a mistyped one, the most similar first."""
    import difflib  # noqa: PLC0415 - slow to import, and only needed for an error

    return difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)


def did_you_mean(near: Sequence[str]) -> str:
    """Return "did you mean …?" for an error message, or an empty string without similar names."""
    return f"did you mean {' or '.join(near)}?" if near else ""


def another_text(text: str, chance: random.Random, taken: set[str]) -> str:
    """Return a random text of the same form, digit for digit and letter for letter, that is not taken."""
    if not any(character.isalnum() for character in text):
        text = "0000000000000000"
    letters = "abcdef" if all(c in string.hexdigits + "-" for c in text) else string.ascii_lowercase

    def other(character: str) -> str:
        if character.isdigit():
            return chance.choice(string.digits)
        if character.isalpha():
            drawn = chance.choice(letters)
            return drawn.upper() if character.isupper() else drawn
        return character

    while (drawn := "".join(map(other, text))) in taken:
        text += "0"
    return drawn
