"""Waiting for thousands of tasks: memory and time per task."""

from __future__ import annotations

import asyncio
import gc
import itertools
import tracemalloc
from typing import TYPE_CHECKING

from benchmarks.example import ALONE, ID, KEY, RELAY, body
from benchmarks.rounds import Contender, Effort, interleave
from benchmarks.server import serving
from benchmarks.table import Row, at_most
from mjrelay import AsyncRelay
from mjrelay.base.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay import Task

FEW, MANY = 100, 10_000
IN_FLIGHT = 100
LARGEST = 4096
MODES = {ALONE: "one by one", RELAY: "a hundred in one request"}
_serial = itertools.count(1_000_000_000_000_000)


class SkippingClock(Clock):
    """A clock that skips every pause, at least one second, after calling a function."""

    def __init__(self, before: Callable[[], None] | None = None) -> None:
        self._passed, self._before = 0.0, before

    def now(self) -> float:
        """Return the skipped seconds."""
        return self._passed

    def time(self) -> float:
        """Return a fixed time plus the skipped seconds."""
        return 1_730_621_830.0 + self._passed

    async def asleep(self, seconds: float) -> None:
        """Skip the pause."""
        if self._before is not None:
            self._before()
        self._passed += max(seconds, 1.0)  # so that several tasks are due together, as in real time
        await asyncio.sleep(0)


class EnoughError(Exception):
    """Every task has been seen."""


def measure(effort: Effort) -> list[Row]:
    """Return the rows of waiting for thousands of tasks."""
    many = effort.times(MANY) if effort.rounds == 1 else MANY
    return [row for relay in MODES for row in (_memory(relay, many), _time(relay, many, effort))]


def _memory(relay: str, many: int) -> Row:
    """Wait for running tasks, and measure when each was seen and no request is in flight."""
    with serving(ID, [body("running", relay, id=ID)]) as server:
        taken = asyncio.run(_memory_use(relay, server.url, many))
    return Row(
        what=f"memory for each of {many:,} tasks waited for, {MODES[relay]}",
        ours=taken / many,
        unit="B",
        target=at_most(LARGEST),
        note="as measured by tracemalloc",
    )


async def _memory_use(relay: str, url: str, many: int) -> int:
    seen = before = used = 0

    def measure_use() -> None:
        nonlocal used
        if seen == many:
            gc.collect()
            used = tracemalloc.get_traced_memory()[0] - before
            raise EnoughError

    def count(_: Task) -> None:  # called once per task, because no task changes
        nonlocal seen
        seen += 1

    ids = _ids(many)
    async with AsyncRelay(relay, KEY, base_url=url, fast=True, clock=SkippingClock(measure_use)) as ours:
        await asyncio.gather(*(ours.fetch(ID) for _ in range(IN_FLIGHT)))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            async for _ in ours.wait_all(ids, concurrency=IN_FLIGHT, rate=None, on_progress=count):
                raise ValueError("a task ended, but the server never ends one")
        except EnoughError:
            return used
        finally:
            tracemalloc.stop()
    raise ValueError("waiting ended early")


def _time(relay: str, many: int, effort: Effort) -> Row:
    """Wait for tasks that succeed in the third response, all together or a few at a time."""
    bodies = [body("running", relay, id=ID, progress=progress) for progress in ("31%", "62%")]
    with serving(ID, [*bodies, body("succeeded", relay, id=ID)]) as server, asyncio.Runner() as runner:
        ours = runner.run(_open(relay, server.url))

        def waits(name: str, tasks: int, times: int) -> Contender:
            def run() -> None:
                for _ in range(times):
                    runner.run(_wait(ours, tasks))

            return Contender(name, run, tasks * times)

        few = min(FEW, many)
        contenders = [waits("few", few, min(20, many // few)), waits("many", many, 1)]
        timings = interleave(contenders, max(1, effort.rounds // 3))
        runner.run(ours.aclose())
    return Row.longer(
        f"time for each of {many:,} tasks, against each of {few:,}, {MODES[relay]}",
        timings["many"],
        timings["few"],
        at_most(1.3),
    )


async def _open(relay: str, url: str) -> AsyncRelay:
    return AsyncRelay(relay, KEY, base_url=url, fast=True, clock=SkippingClock())


async def _wait(ours: AsyncRelay, tasks: int) -> None:
    ended = {task.id async for task in ours.wait_all(_ids(tasks), concurrency=IN_FLIGHT, rate=None)}
    if len(ended) != tasks:
        raise ValueError("a task was lost")


def _ids(number: int) -> list[str]:
    """Return new ids."""
    return [str(next(_serial)) for _ in range(number)]
