"""
The number of requests and the lag of waiting, compared with polling every five seconds.

Tasks, relay and clock are simulated; nothing is sent. Run it with
``python -m benchmarks.waiting [--seed N] [--tasks N]``.
"""

from __future__ import annotations

import argparse
import math
from bisect import bisect_left, bisect_right
from collections import deque
from datetime import UTC, datetime
from random import Random
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, ClassVar, cast

from attrs import define, frozen
from rich.console import Console
from rich.table import Table

from mjrelay.client.events import TaskDone
from mjrelay.client.polling import Poller
from mjrelay.client.schedule import RefreshModel
from mjrelay.http.redaction import Redactor
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mjrelay.client.task import Task
    from mjrelay.contract import Contract
    from mjrelay.errors import RelayError

INTERVAL = 5.0  # seconds between two requests of fixed polling
ARRIVING = 600.0  # seconds over which the tasks arrive
BATCH = 100  # ids in one request

# A law of progress is a polyline: fractions of a task's duration, and the percentages shown at them.
# Two points at the same fraction are a jump; without points the relay reports no progress.
Law = tuple[tuple[float, float], ...]


def _stairs(steps: Iterable[int]) -> Law:
    """Return progress that jumps to each of these percentages in time."""
    points, shown = [(0.0, 0.0)], 0
    for step in steps:
        points += [(step / 100, shown), (step / 100, step)]
        shown = step
    return (*points, (1.0, shown))


LAWS: Mapping[str, Callable[[Random], Law]] = {
    "linear": lambda _: ((0, 0), (1, 100)),
    "jumps": lambda _: _stairs((25, 50, 75)),
    "random jumps": lambda random: _stairs(sorted(random.sample(range(3, 98), random.randint(2, 6)))),
    "stalls": lambda random: ((0, 0), (random.uniform(0.5, 0.9), 93), (1, 93)),
    "none": lambda _: (),
    "zero": lambda _: ((0, 0), (1, 0)),
}


@frozen
class Refreshing:
    """How a relay refreshes its data: the documented interval, the real interval, and its variation."""

    documented: float | None = None
    actual: float | None = None
    variation: float = 0.0


RELAYS: Mapping[str, Refreshing] = {"immediately": Refreshing(), "every 15 s": Refreshing(15.0, 15.0)}


@frozen
class _Task:
    arrival: float
    duration: float
    law: Law

    @property
    def end(self) -> float:
        """The end of the task."""
        return self.arrival + self.duration

    def progress(self, age: float) -> int | None:
        """Return the percentage shown at an age."""
        if not self.law:
            return None
        fraction = age / self.duration
        after = bisect_right(self.law, fraction, key=lambda point: point[0])
        (left, low), (right, high) = self.law[after - 1], self.law[min(after, len(self.law) - 1)]
        return int(low + (high - low) * (fraction - left) / (right - left) if right > left else low)


@frozen
class _Relay:
    """The refresh times of a simulated relay; without ticks data is always current."""

    ticks: list[float]

    @classmethod
    def draw(cls, refreshing: Refreshing, random: Random, until: float) -> _Relay:
        ticks: list[float] = []
        if refreshing.actual is not None:
            ticks.append(-random.uniform(0, refreshing.actual))
            while ticks[-1] < until:
                ticks.append(ticks[-1] + refreshing.actual + random.uniform(0, refreshing.variation))
        return cls(ticks)

    def refreshed(self, moment: float) -> float:
        """Return the refresh time of the data in a response."""
        return self.ticks[bisect_right(self.ticks, moment) - 1] if self.ticks else moment

    def visible(self, moment: float) -> float:
        """Return when an event first appears in the data."""
        return self.ticks[bisect_left(self.ticks, moment)] if self.ticks else moment

    def response(self, task_id: str, task: _Task, now: float) -> _TaskSnapshot:
        """Return the response about a task."""
        made = self.refreshed(now)
        if now >= self.visible(task.end):
            state = State.SUCCEEDED
        else:
            state = State.RUNNING if made >= task.arrival else State.QUEUED
        return _TaskSnapshot(
            id=task_id,
            state=state,
            progress=task.progress(max(made - task.arrival, 0.0)),
            started=None if state is State.QUEUED else datetime.fromtimestamp(task.arrival, UTC),
            document={"id": task_id},
        )


@define
class _TaskSnapshot:
    """The attributes of a task that waiting reads."""

    status: ClassVar[str | None] = None
    images: ClassVar[tuple[str, ...]] = ()
    videos: ClassVar[tuple[str, ...]] = ()
    previews: ClassVar[tuple[str, ...]] = ()
    exchange: ClassVar[None] = None

    id: str
    state: State
    progress: int | None
    started: datetime | None
    document: dict[str, str]


def simulate(
    seed: int,
    tasks: int = 1000,
    *,
    laws: Mapping[str, Callable[[Random], Law]] = LAWS,
    relays: Mapping[str, Refreshing] = RELAYS,
    size: int = 1,
) -> list[dict[str, Any]]:
    """
    Return a row for each law and relay, with requests and lag of the schedule and of fixed polling.

    Lag is the time in seconds from the first response that could show a task's end until its caller has it.
    With a ``size`` above one, the schedule polls batches of up to ``size`` ids; fixed polling never does.
    """
    return [
        {"law": law, "relay": name, "size": size, **_compare(seed, tasks, laws[law], relays[name], size)}
        for name in relays
        for law in laws
    ]


def _compare(
    seed: int, count: int, law: Callable[[Random], Law], refreshing: Refreshing, size: int
) -> dict[str, Any]:
    random = Random(seed)  # noqa: S311 - a simulation is to be repeatable
    tasks = sorted(
        (_Task(random.uniform(0, ARRIVING), _duration(random), law(random)) for _ in range(count)),
        key=lambda task: task.arrival,
    )
    end = max(task.end for task in tasks)
    relay = _Relay.draw(refreshing, random, end)
    requests, lags = _wait(tasks, relay, RefreshModel(refreshing.documented), random, size)
    fixed_requests, fixed_lags = _poll(tasks, relay)
    return {
        "requests": requests,
        "fixed_requests": fixed_requests,
        "ratio": requests / fixed_requests,
        **_summary("", lags),
        **_summary("fixed_", fixed_lags),
    }


def _duration(random: Random) -> float:
    """A tenth takes exactly 600 s; the others are lognormal, with median 45 s and 95th percentile 180 s."""
    return 600.0 if random.random() < 0.1 else random.lognormvariate(math.log(45), math.log(4) / 1.6449)


def _poll(tasks: Iterable[_Task], relay: _Relay) -> tuple[int, list[float]]:
    """Return requests and lags of fixed polling, which starts immediately."""
    requests, lags = 0, []
    for task in tasks:
        known = relay.visible(task.end)
        # The tolerance: an end at the time of a request is noticed.
        waits = math.ceil((known - task.arrival) / INTERVAL - 1e-9)
        requests += waits + 1
        lags.append(max(task.arrival + waits * INTERVAL - known, 0.0))
    return requests, lags


def _wait(
    tasks: Iterable[_Task], relay: _Relay, model: RefreshModel, random: Random, size: int
) -> tuple[int, list[float]]:
    """Return requests and lags of `Poller`, to which each task is added on arrival."""
    known = {str(number): task for number, task in enumerate(tasks)}
    waiting = Poller(
        contract=cast("Contract", None),  # only used for tasks that fail or time out
        model=model,
        redactor=Redactor(),
        started=0.0,
        unix_offset=0.0,
        concurrency=len(known),
        batch_size=size if size > 1 else None,
        random=random.random,
    )
    coming = deque(known.items())
    requests, lags, now = 0, [], 0.0
    while coming or not waiting.done:
        step = waiting.next_request(now)
        if isinstance(step, tuple):
            requests += 1
            responses = {task_id: relay.response(task_id, known[task_id], now) for task_id in step}
            waiting.receive(step, cast("dict[str, Task | RelayError]", responses), now)
            ended = [event.task.id for event in waiting.pop_events() if isinstance(event, TaskDone)]
            lags += [now - relay.visible(known[task_id].end) for task_id in ended]
            continue
        now = min(step, coming[0][1].arrival) if coming else step
        while coming and coming[0][1].arrival <= now:
            waiting.add(coming.popleft()[0], now)
    return requests, lags


def _summary(prefix: str, lags: list[float]) -> dict[str, float]:
    return {f"{prefix}median": median(lags), f"{prefix}p95": quantiles(lags, n=20, method="inclusive")[-1]}


def _rows(seed: int, tasks: int) -> Iterator[dict[str, Any]]:
    yield from simulate(seed, tasks)
    yield from simulate(seed, tasks, size=BATCH)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args()
    table = Table(title=f"{options.tasks} tasks, seed {options.seed}; against a request every {INTERVAL:g} s")
    for column in ("relay", "ids", "law", "requests", "fixed", "ratio", "median lag", "p95 lag"):
        table.add_column(column, justify="left" if column in {"relay", "law"} else "right")
    for row in _rows(options.seed, options.tasks):
        table.add_row(
            row["relay"],
            str(row["size"]),
            row["law"],
            str(row["requests"]),
            str(row["fixed_requests"]),
            f"{row['ratio']:.3f}" if row["size"] == 1 else f"1/{1 / row['ratio']:.0f}",
            f"{row['median']:.2f} / {row['fixed_median']:.2f} s",
            f"{row['p95']:.2f} / {row['fixed_p95']:.2f} s",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
