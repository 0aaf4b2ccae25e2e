"""The tasks of a mock relay: fixed examples, and simulated tasks that progress over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from mjrelay.semantics import State
from mjrelay_conformance.mock import slots, writer

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from mjrelay.contract import Contract


_QUEUED_PART = 0.1
"""Fraction of a task's duration that it spends in the queue."""


@frozen
class FixedTask:
    """An example from the contract, which never changes."""

    state: State
    example: Any

    def at(self, _: datetime) -> tuple[State, Any]:
        """Return the state and a copy of the document."""
        return self.state, copy_json(self.example)


@frozen
class SimulatedTask:
    """
    A task that progresses from queued to its outcome; states without an example are skipped.

    ``example`` is the name of the example of its outcome. ``prompt`` and ``token`` replace those of the
    examples. ``meanwhile`` is a state that it shows until it ends.
    """

    contract: Contract
    task_id: str
    submitted: datetime
    duration: timedelta
    outcome: State
    example: str | None = None
    prompt: str | None = None
    token: str | None = None
    meanwhile: State | None = None

    @property
    def started(self) -> datetime:
        """The time at which the task starts running."""
        queued = State.QUEUED.value in self.contract.examples
        return self.submitted + self.duration * (_QUEUED_PART if queued else 0)

    @property
    def finished(self) -> datetime:
        """The time at which the task ends."""
        return self.submitted + self.duration

    def at(self, now: datetime) -> tuple[State, Any]:
        """Return the state and the document at a time."""
        examples = self.contract.examples
        state = self.outcome
        if now < self.finished:
            stages = [State.QUEUED, State.RUNNING] if now < self.started else [State.RUNNING, State.QUEUED]
            state = next((stage for stage in stages if stage.value in examples), self.outcome)
        done = (now - self.started) / (self.finished - self.started) if self.finished > self.started else 1.0
        progress = min(max(int(done * 100), 1), 99) if state is State.RUNNING else None
        if self.meanwhile is not None and now < self.finished:
            state, progress = self.meanwhile, None
        return state, self.document(state, progress)

    def document(self, state: State, progress: int | None) -> Any:
        """Return the document for a state."""
        times = {"submitted": self.submitted, "started": self.started, "finished": self.finished}
        example = self.example if state is self.outcome else None
        document = writer.write_task(self.contract, state, self.task_id, times, progress, example=example)
        writer.set_text(document, self.contract.reader.prompt_path, self.prompt)
        writer.set_text(document, self.contract.reader.token_path, self.token)
        return slots.extend_signed_urls(self.contract, document, self.finished)


def copy_json(value: Any) -> Any:
    """Copy a JSON value; much faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {name: copy_json(inner) for name, inner in value.items()}
    return [copy_json(inner) for inner in value] if isinstance(value, list) else value
