"""Patterns of schemas for which texts can be generated in bounded time."""

from __future__ import annotations

import re
from typing import Any

# A sequence of characters and classes without groups. Hypothesis generates matching texts by trial and error,
# which takes exponential time only for nested repetitions or alternatives.
_PLAIN_PATTERN = re.compile(
    r"\^?(?:\\[^\W\d_]|\\\W|\[[^\[\]\\]+\]|[\w:/@.-]|\{\d{1,3}(?:,\d{1,3})?\}|[+*?])*\$?", re.ASCII
)


def generable(value: Any) -> Any:
    """Return a document without the patterns for which Hypothesis cannot generate texts in bounded time."""
    if isinstance(value, dict):
        return {
            name: generable(item)
            for name, item in value.items()
            if name != "patternProperties" and not (name == "pattern" and not _plain(item))
        }
    return [generable(item) for item in value] if isinstance(value, list) else value


def _plain(pattern: Any) -> bool:
    if not isinstance(pattern, str):
        return True
    unbounded = pattern.count("+") + pattern.count("*")
    return len(pattern) < 200 and unbounded <= 2 and _PLAIN_PATTERN.fullmatch(pattern) is not None
