"""Thousands of tasks waited for at once: the memory that each takes, and the time."""

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
WAYS = {ALONE: "one by one", RELAY: "a hundred in one request"}
_serial = itertools.count(1_000_000_000_000_000)


class Leap(Clock):
    """A clock that leaps over every pause, a second at least, and calls before it does."""

    def __init__(self, before: Callable[[], None] | None = None) -> None:
        self._passed, self._before = 0.0, before

    def now(self) -> float:
        """Seconds leapt over."""
        return self._passed

    def time(self) -> float:
        """Some moment, and the seconds leapt over."""
        return 1_730_621_830.0 + self._passed

    async def asleep(self, seconds: float) -> None:
        """Leap."""
        if self._before is not None:
            self._before()
        self._passed += max(
            seconds, 1.0
        )  # so that many are due at once, as they are where time goes by itself
        await asyncio.sleep(0)


class EnoughError(Exception):
    """What was to be seen has been seen."""


def measure(effort: Effort) -> list[Row]:
    """The rows of tasks waited for by the thousand."""
    many = effort.times(MANY) if effort.rounds == 1 else MANY
    return [row for relay in WAYS for row in (_memory(relay, many), _time(relay, many, effort))]


def _memory(relay: str, many: int) -> Row:
    """Waits for tasks that run, and looks once each was seen and nothing is in flight."""
    with serving(ID, [body("running", relay, id=ID)]) as server:
        taken = asyncio.run(_held(relay, server.url, many))
    return Row(
        what=f"memory for each of {many:,} tasks waited for, {WAYS[relay]}",
        ours=taken / many,
        unit="B",
        target=at_most(LARGEST),
        note="as tracemalloc counts it",
    )


async def _held(relay: str, url: str, many: int) -> int:
    seen = before = held = 0

    def look() -> None:
        nonlocal held
        if seen == many:
            gc.collect()
            held = tracemalloc.get_traced_memory()[0] - before
            raise EnoughError

    def see(_: Task) -> None:  # each once, for none of them changes
        nonlocal seen
        seen += 1

    ids = _ids(many)
    async with AsyncRelay(relay, KEY, base_url=url, fast=True, clock=Leap(look)) as ours:
        await asyncio.gather(*(ours.fetch(ID) for _ in range(IN_FLIGHT)))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            async for _ in ours.wait_all(ids, concurrency=IN_FLIGHT, rate=None, on_progress=see):
                raise ValueError("a task ended that runs for ever")
        except EnoughError:
            return held
        finally:
            tracemalloc.stop()
    raise ValueError("the tasks were given up")


def _time(relay: str, many: int, effort: Effort) -> Row:
    """Waits for tasks that are seen to run twice and then have succeeded, all of them or a few at a time."""
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
        f"time for each of {many:,} tasks, against each of {few:,}, {WAYS[relay]}",
        timings["many"],
        timings["few"],
        at_most(1.3),
    )


async def _open(relay: str, url: str) -> AsyncRelay:
    return AsyncRelay(relay, KEY, base_url=url, fast=True, clock=Leap())


async def _wait(ours: AsyncRelay, tasks: int) -> None:
    ended = {task.id async for task in ours.wait_all(_ids(tasks), concurrency=IN_FLIGHT, rate=None)}
    if len(ended) != tasks:
        raise ValueError("a task was lost")


def _ids(number: int) -> list[str]:
    """Ids that nobody has asked for."""
    return [str(next(_serial)) for _ in range(number)]
