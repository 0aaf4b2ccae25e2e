"""What was read of each task before a call began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from mjrelay_conformance._check import Observation
    from mjrelay_conformance.replay._call import Call

_LATEST = 15
"""Latest readings of a task, besides its first, that a check may look back at."""
_UNDER_WAY = 32
"""Readings at either end of a task's that are kept: so many of one task at once nobody has under way."""


@define
class Readings:
    """The readings of each task in the order of time, with when they were over."""

    _of: dict[tuple[str, str], list[tuple[float | None, Observation]]] = field(factory=dict, init=False)

    def add(self, call: Call, observation: Observation) -> None:
        """A reading of the task that a call asks for."""
        own = self._of.setdefault(call.task, [])
        own.append((call.entry.ended, observation))
        del own[_UNDER_WAY:-_UNDER_WAY]

    def before(self, call: Call) -> tuple[Observation, ...]:
        """The first and the latest readings that were over: of the task, or of each of a batch."""
        started = call.entry.started
        found: list[Observation] = []
        for task_id in dict.fromkeys(call.ids or (call.task_id,)):
            ends = self._of.get((call.base, task_id), [])
            over = [seen for ended, seen in ends if ended is None or started is None or ended <= started]
            found += [*over[:1], *over[1:][-_LATEST:]]
        return tuple(found)
