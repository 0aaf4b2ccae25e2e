"""The tasks of a mock relay: the contract's examples, and those that were submitted."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mjrelay.base import another_text
from mjrelay.semantics import State, SubmitOutcome
from mjrelay_conformance.mock import writer
from mjrelay_conformance.mock.submits import example_of
from mjrelay_conformance.mock.tasks import FixedTask, SimulatedTask, copy_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.submits import Accepted


_STATES = (State.SUCCEEDED, *(state for state in State if state not in {State.SUCCEEDED, State.UNKNOWN}))
"""The states that an example can have, the most important one first."""


class TaskStore:
    """
    The tasks of a mock relay.

    Args:
        contract: The contract.
        clock: Returns the current time in seconds since 1970.
        seed: Random seed of task ids.
        duration: Seconds from a submit to the end of its task.
    """

    def __init__(self, contract: Contract, clock: Callable[[], float], *, seed: int, duration: float) -> None:
        self.contract, self.clock = contract, clock
        self.known: dict[State, str] = {}
        self.accepted: list[str] = []
        self._duration = duration
        self._id_random = random.Random(f"the mock's own tasks {seed}")  # noqa: S311 - to be repeatable
        self._tasks: dict[str, FixedTask | SimulatedTask] = {}
        for state in _STATES:
            if state.value in contract.examples:
                self._add_example(state, contract.examples[state.value])

    def submit(
        self, duration: float = 30.0, *, outcome: State = State.SUCCEEDED, task_id: str | None = None
    ) -> str:
        """
        Add a task that is queued, runs and ends after a while, and return its id.

        If the contract has no example of a queued or running task, the task ends immediately.

        Args:
            duration: Seconds until the task ends.
            outcome: The state in which the task ends.
            task_id: The id of the task; a random one by default.

        Returns:
            The task id.

        Raises:
            ContractError: The contract has no example of ``outcome``.
        """
        if task_id is None:
            task_id = self._unused_id()
        if not {State.QUEUED.value, State.RUNNING.value} & self.contract.examples.keys():
            duration = 0
        task = SimulatedTask(
            self.contract, task_id, as_datetime(self.clock()), timedelta(seconds=duration), outcome
        )
        task.document(outcome, None)  # raises now instead of at the first request
        self._tasks[task_id] = task
        return task_id

    def changing(self) -> list[tuple[str, State, Any]]:
        """Return the id, the state and the document of each task that changes over time."""
        now, tasks = as_datetime(self.clock()), list(self._tasks.items())
        return [(task_id, *task.at(now)) for task_id, task in tasks if isinstance(task, SimulatedTask)]

    def _snapshot(self, now: datetime) -> tuple[dict[str, State], dict[str, list[str]]]:
        """Return the state of each task, and the ids of its buttons."""
        at = {task_id: task.at(now) for task_id, task in self._tasks.items()}
        states = {task_id: state for task_id, (state, _) in at.items()}
        buttons = {
            task_id: [button.id for button in self.contract.reader.buttons(document)]
            for task_id, (_, document) in at.items()
        }
        return states, buttons

    def _add_example(self, state: State, example: Any) -> None:
        """Add an example from the contract, with a new id if its id is taken."""
        found = self.contract.reader.id(example)
        if found in (None, ""):
            return
        task_id, document = str(found), example
        if task_id in self._tasks:
            task_id = self._unused_id()
            document = writer.replace_id(self.contract, copy_json(example), task_id)
        self.known[state] = task_id
        self._tasks[task_id] = FixedTask(state, document)

    def _unused_id(self) -> str:
        """Return an unused id with the format of the existing ones."""
        pattern = next(iter(self._tasks), "0000000000000000")
        while (drawn := another_text(pattern, self._id_random, set(self._tasks))).startswith("0"):
            continue
        return drawn

    def _accept(self, accepted: Accepted) -> str:
        """Add the task of a submit; return its id."""
        form, examples = accepted.operation.form, self.contract.examples
        task_id = (accepted.parent if form.action == "modal" else None) or self._unused_id()
        if not form.answer.makes_tasks:
            return task_id
        waitable, progresses = State.NEEDS_INPUT.value in examples, {"queued", "running"} & examples.keys()
        waits = waitable and accepted.outcome is SubmitOutcome.NEEDS_MODAL
        duration = self._duration if progresses and not waits else 0.0
        self._tasks[task_id] = SimulatedTask(
            self.contract,
            task_id,
            as_datetime(self.clock()),
            timedelta(seconds=duration),
            State.NEEDS_INPUT if waits else State.SUCCEEDED,
            example=None if waits else example_of(self.contract, form.action),
            prompt=accepted.prompt,
            token=accepted.token,
            meanwhile=form.meanwhile if waitable else None,
        )
        self.accepted.append(task_id)
        return task_id


def as_datetime(seconds: float) -> datetime:
    """Return Unix time as a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
