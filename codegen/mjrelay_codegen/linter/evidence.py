"""The rule for `x-evidence`."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from mjrelay_codegen.linter.draft import MATCHERS, Problem, matchers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.base import Location
    from mjrelay_codegen.linter.draft import Draft


def evidence(draft: Draft) -> Iterator[Problem]:
    """`x-evidence` has a source and the date on which it was checked."""
    holders = [
        (node.location, node.value)
        for node in draft.nodes
        if isinstance(node.value, dict) and not node.named and "x-evidence" in node.value
    ]
    for location, holder in (*holders, *_matchers_with_evidence(draft)):
        here, value = (*location, "x-evidence"), holder["x-evidence"]
        if not isinstance(value, dict):
            yield Problem(here, 'x-evidence is an object; write {source: …, date: "YYYY-MM-DD"}')
            continue
        for key in sorted(value.keys() - {"source", "date", "assumed"}):
            yield Problem((*here, key), f"x-evidence has no {key}; its keys are source, date and assumed")
        if not isinstance(value.get("source"), str) or not value["source"].strip():
            yield Problem(
                here, "x-evidence has no source; write where this was observed, or why it is assumed"
            )
        if not _is_date(value.get("date")):
            yield Problem(
                here, 'x-evidence has no valid date; write the day of the observation, date: "YYYY-MM-DD"'
            )
        if value.get("assumed", True) is not True:
            yield Problem((*here, "assumed"), "assumed can only be true; delete it")


def _matchers_with_evidence(draft: Draft) -> Iterator[tuple[Location, dict[str, Any]]]:
    """Yield the matchers in `x-mj-task` that have an `x-evidence`."""
    for node in draft.fetch_operations:
        form = node.value["x-mj-task"]
        for key in MATCHERS if isinstance(form, dict) else ():
            for location, matcher in matchers(form, key):
                if isinstance(matcher, dict) and "x-evidence" in matcher:
                    yield (*node.location, "x-mj-task", *location), matcher


def _is_date(text: Any) -> bool:
    if not isinstance(text, str) or not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
