"""Foreign text without control characters."""

from __future__ import annotations

from mjrelay.base import replace_unprintable


def one_line(text: str, longest: int | None = None) -> str:
    """Return printable text on one line, cut after ``longest`` characters."""
    text = " ".join(filter(None, map(str.strip, replace_unprintable(text, keep_lines=True).split("\n"))))
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text) - longest} more characters)"
