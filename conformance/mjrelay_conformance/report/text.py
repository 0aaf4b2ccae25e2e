"""Foreign text without control characters."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replace characters that could control a terminal or reorder text. Line breaks stay."""
    return "".join(
        one if one == "\n" or one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}"
        for one in text.replace("\r\n", "\n")
    )


def one_line(text: str, longest: int | None = None) -> str:
    """Return printable text on one line, cut after ``longest`` characters."""
    text = " ".join(filter(None, map(str.strip, printable(text).split("\n"))))
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text) - longest} more characters)"
