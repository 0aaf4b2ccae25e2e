"""Apply overlays to a contract and record where each changed part is written."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay.base import OverlayError
from mjrelay.contract.document import Origin
from mjrelay.contract.limits import WORK, Size
from mjrelay.contract.overlay import Update

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mjrelay.base import Location
    from mjrelay.contract.document import Contract
    from mjrelay.contract.overlay import Action, Overlay


def apply_overlay(contract: Contract, overlay: Overlay) -> Contract:
    """
    Apply an overlay to a contract, and record an origin for each part that it changes.

    If a part is new as a whole, only its outermost location is recorded.

    Raises:
        OverlayError: The overlay does not fit the contract, or exceeds a limit.
    """
    document, origins, work = contract.document, dict(contract.origins), 0
    for index, action in enumerate(overlay.actions):
        work += Size.of(document).nodes
        if work > WORK:
            raise OverlayError(
                f"its {len(overlay.actions)} actions read more than {WORK:,} nodes, which is the "
                f"limit ({work // (index + 1):,} for each); merge or delete actions",
                source=overlay.source,
                line=action.line,
            )
        changed = evolve(overlay, actions=(action,)).apply(document)
        new = {
            location: Origin(overlay.source, ("actions", index, *_place(action, location)))
            for location in _changes(document, changed)
        }
        # Origins inside a replaced part no longer apply.
        kept = {old: origin for old, origin in origins.items() if not _within(old, new)}
        origins, document = kept | new, changed
    return evolve(contract, document=document, origins=origins)


def _within(location: Location, parts: Mapping[Location, Origin]) -> bool:
    return any(location[:depth] in parts for depth in range(len(location) + 1))


def _changes(before: Any, after: Any, location: Location = ()) -> Iterator[Location]:
    """Yield the outermost locations whose values are new or different. Removed parts have none."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in after.items():
            if name not in before:
                yield (*location, name)
            else:
                yield from _changes(before[name], value, (*location, name))
    elif isinstance(before, list) and isinstance(after, list):
        for index, value in enumerate(after):
            if index >= len(before):
                yield (*location, index)
            else:
                yield from _changes(before[index], value, (*location, index))
    elif type(before) is not type(after) or before != after:
        yield location


def _place(action: Action, location: Location) -> Location:
    """Return the location of a changed part in an action. A list item has the location of its list."""
    if not isinstance(action.does, Update):
        return ()
    ends = (tuple(takewhile(_is_name, location[depth:])) for depth in range(len(location)))
    return ("update", *next((end for end in ends if end and _leads(action.does.value, end)), ()))


def _is_name(step: str | int) -> bool:
    return isinstance(step, str)


def _leads(value: Any, location: Location) -> bool:
    for step in location:
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True
