"""Where the parts of a contract are written that overlays have changed."""

from __future__ import annotations

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
    A contract with an overlay applied, whose origins know each part that this changed.

    Only the outermost of the parts that came together is named. Raises `OverlayError` where the overlay does
    not fit.
    """
    document, origins, work = contract.document, dict(contract.origins), 0
    for index, action in enumerate(overlay.actions):
        work += Size.of(document).nodes
        if work > WORK:
            raise OverlayError(
                f"its {len(overlay.actions)} actions read more than {WORK:,} nodes, which is the "
                f"limit ({work // (index + 1):,} for each); merge actions, or drop some",
                source=overlay.source,
                line=action.line,
            )
        changed = evolve(overlay, actions=(action,)).apply(document)
        new = {
            location: Origin(overlay.source, ("actions", index, *_place(action, location)))
            for location in _changes(document, changed)
        }
        # What was written within a part that is new has gone.
        kept = {old: origin for old, origin in origins.items() if not _within(old, new)}
        origins, document = kept | new, changed
    return evolve(contract, document=document, origins=origins)


def _within(location: Location, parts: Mapping[Location, Origin]) -> bool:
    return any(location[:depth] in parts for depth in range(len(location) + 1))


def _changes(before: Any, after: Any, location: Location = ()) -> Iterator[Location]:
    """The outermost places whose values are new or others; what is gone has no place."""
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
    """Where in an action a changed part stands, as exactly as names tell: an item of a list has none."""
    if not isinstance(action.does, Update):
        return ()
    ends = (location[depth:] for depth in range(len(location)))
    return ("update", *next((end for end in ends if _leads(action.does.value, end)), ()))


def _leads(value: Any, location: Location) -> bool:
    for step in location:
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True
