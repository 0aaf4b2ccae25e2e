"""The tasks of a mock relay: one that stays as the contract shows it, or one that runs and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from mjrelay.semantics import State
from mjrelay_conformance.mock import slots, writer

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from mjrelay.contract import Contract


_QUEUED_PART = 0.1
"""The part of a task's duration that it waits in the queue."""


@frozen
class FixedTask:
    """A task that stays as the contract shows it."""

    state: State
    example: Any

    def at(self, _: datetime) -> tuple[State, Any]:
        """Its state and a copy of its document."""
        return self.state, copy_json(self.example)


@frozen
class SimulatedTask:
    """A task that goes from the queue to its outcome; states that the contract does not show are skipped."""

    contract: Contract
    task_id: str
    submitted: datetime
    duration: timedelta
    outcome: State

    @property
    def started(self) -> datetime:
        """When it leaves the queue."""
        queued = State.QUEUED.value in self.contract.examples
        return self.submitted + self.duration * (_QUEUED_PART if queued else 0)

    @property
    def finished(self) -> datetime:
        """When it ends."""
        return self.submitted + self.duration

    def at(self, now: datetime) -> tuple[State, Any]:
        """Its state and its document at a moment."""
        shown = self.contract.examples
        state = self.outcome
        if now < self.finished:
            stages = [State.QUEUED, State.RUNNING] if now < self.started else [State.RUNNING, State.QUEUED]
            state = next((stage for stage in stages if stage.value in shown), self.outcome)
        done = (now - self.started) / (self.finished - self.started) if self.finished > self.started else 1.0
        progress = min(max(int(done * 100), 1), 99) if state is State.RUNNING else None
        return state, self.document(state, progress)

    def document(self, state: State, progress: int | None) -> Any:
        """Its document in a state."""
        times = {"submitted": self.submitted, "started": self.started, "finished": self.finished}
        document = writer.write_task(self.contract, state, self.task_id, times, progress)
        return slots.extend_signed_urls(self.contract, document, self.finished)


def copy_json(value: Any) -> Any:
    """A JSON value as another one, much quicker than by `copy.deepcopy`."""
    if isinstance(value, dict):
        return {name: copy_json(inner) for name, inner in value.items()}
    return [copy_json(inner) for inner in value] if isinstance(value, list) else value
