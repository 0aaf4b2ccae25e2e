"""A relay in simulated time, driven by the polling state machine: no socket, no sleep, no thread."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay import RelayError, Task
from mjrelay.client.events import Event, FetchFailed, TaskDone
from mjrelay.client.polling import Poller
from mjrelay.client.schedule import RefreshModel
from mjrelay.contract import load_contract
from mjrelay.http import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONTRACT = load_contract("zhongzhuan")
SECRET = "sk-never-to-be-seen"

Result = Task | RelayError
"""The result of one id."""


def task(task_id: str, state: str = "running", **changes: Any) -> Task:
    """An example of the contract, with another id."""
    return Task(CONTRACT, {**CONTRACT.examples[state], "id": task_id, **changes})


def error(kind: type[RelayError], **attributes: Any) -> RelayError:
    """An error as a response makes it."""
    return kind("no", relay="zhongzhuan", **attributes)


@define
class Simulation:
    """
    A relay that responds after ``latency`` seconds, and what has happened.

    ``respond`` returns the result of a request for these ids at this time: one error, one for each id, or one
    for a single id.
    """

    respond: Callable[[tuple[str, ...], float], dict[str, Result] | Result]
    latency: float = 0.0
    sent: list[tuple[float, tuple[str, ...]]] = field(factory=list)
    events: list[tuple[float, Event]] = field(factory=list)
    now: float = 0.0

    def run(self, ids: Iterable[str], timeout: float = math.inf, **options: Any) -> Simulation:
        """Drive a poller, without jitter, until each id has ended or failed."""
        poller = Poller(
            contract=options.pop("contract", CONTRACT),
            model=options.pop("model", None) or RefreshModel(None),
            redactor=Redactor(SECRET),
            started=0.0,
            unix_offset=1_730_621_826.0,
            deadline=timeout,
            random=lambda: 0.5,
            **options,
        )
        for task_id in ids:
            poller.add(task_id, 0.0)
        in_flight: list[tuple[float, int, tuple[str, ...], Any]] = []
        serial = itertools.count()
        while not poller.done:
            step = poller.next_request(self.now)
            if isinstance(step, tuple):
                self.sent.append((self.now, step))
                assert len(self.sent) < 20_000, "a request storm"
                result = self.respond(step, self.now)
                result = {step[0]: result} if isinstance(result, Task) else result
                heapq.heappush(in_flight, (self.now + self.latency, next(serial), step, result))
            elif in_flight and in_flight[0][0] <= step:
                self.now, _, sent, result = heapq.heappop(in_flight)
                poller.receive(sent, result, self.now)
            elif step < math.inf:
                assert self.now < step
                self.now = step
            self.events += [(self.now, event) for event in poller.pop_events()]
        return self

    @property
    def times(self) -> list[float]:
        """When requests were sent."""
        return [moment for moment, _ in self.sent]

    @property
    def ended(self) -> Counter[str]:
        """How often each id ended."""
        return Counter(event.task.id for _, event in self.events if isinstance(event, TaskDone))

    @property
    def lost(self) -> dict[str, RelayError]:
        """The error of each id that failed."""
        errors = [event.error for _, event in self.events if isinstance(event, FetchFailed)]
        assert len({one.task_id for one in errors}) == len(errors)
        return {str(one.task_id): one for one in errors}

    @property
    def sizes(self) -> Counter[int]:
        """How many requests had how many ids."""
        return Counter(len(ids) for _, ids in self.sent)
