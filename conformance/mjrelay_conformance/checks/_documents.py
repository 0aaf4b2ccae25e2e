"""How two documents of one task differ, as far as that says something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay._yaml import Location
    from mjrelay_conformance._check import Observation

_QUERY = re.compile(r"[?#]\S*")


def change(o: Observation, before: Any, after: Any) -> tuple[Location, Any, Any] | None:
    """
    The first place where two documents of a task differ, and what stood and stands there; None for none.

    What the contract does not know, a request's own number for instance, may be new each time.
    """
    for place, was, now in _differences(before, after):
        if all(o.schema.documents(200, place[: depth + 1]) for depth in range(len(place))):
            return place, was, now
    return None


def _differences(before: Any, after: Any, place: Location = ()) -> Iterator[tuple[Location, Any, Any]]:
    """Where two documents differ; the query strings of URLs, which relays sign anew, are not looked at."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _differences(before.get(name), after.get(name), (*place, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (was, now) in enumerate(zip(before, after, strict=True)):
            yield from _differences(was, now, (*place, index))
    elif _unsigned(before) != _unsigned(after) or type(before) is not type(after):
        yield place, before, after


def _unsigned(value: Any) -> Any:
    return _QUERY.sub("", value) if isinstance(value, str) and "://" in value else value
