"""The tasks that callbacks of one relay are about: a bounded queue, and the workers that fetch them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay.base import MjrelayError
from mjrelay.client import Stage, stage_of
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.client import AsyncRelay, Task


_log = logging.getLogger("mjrelay")

MOST_QUEUED = 1000
"""Maximum number of tasks of one relay that wait for their fetch or are being fetched."""

_MOST_REMEMBERED = 10_000
"""Number of tasks whose fetched state is remembered, and of ids that are logged once."""

_WORKERS = 16
"""Maximum number of concurrent fetches of one relay."""

_LAG = 15.0
"""Seconds until a relay has a change that it was not aware of, where the contract gives no time."""

_NEVER: Stage = (-1, 0)


class Recent(OrderedDict[str, Any]):
    """A dict of the most recently set items; older ones are forgotten."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self.move_to_end(name)
        if len(self) > _MOST_REMEMBERED:
            self.popitem(last=False)

    def first_time(self, name: str) -> bool:
        """Return whether a name is new, and remember it."""
        known = name in self
        self[name] = None
        return not known


@frozen
class _Wanted:
    """What the callback of a queued task claims, and whether to fetch once more if the relay lags."""

    stage: Stage
    again: bool = True


@define(eq=False)
class Inbox:
    """
    Fetches the tasks that callbacks announce, each once per change and at most ``rate`` per second.

    `add` is where an announced task becomes due: another way to poll replaces the workers behind it.
    The workers run while there is work, in the event loop of the last callback.
    """

    relay: AsyncRelay
    _on_task: Callable[[Task], object]
    _rate: float | None
    _queued: dict[str, _Wanted] = field(factory=dict, init=False)
    _in_flight: dict[str, _Wanted | None] = field(factory=dict, init=False)
    _fetched: Recent = field(factory=Recent, init=False)
    _logged: Recent = field(factory=Recent, init=False)
    _lagging: dict[str, tuple[_Wanted, asyncio.TimerHandle]] = field(factory=dict, init=False)
    _workers: set[asyncio.Task[None]] = field(factory=set, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)

    def add(self, task_id: str, stage: Stage) -> bool:
        """
        Make a task due, unless it was fetched in this stage or a later one; False if the queue is full.

        The stage is what the callback claims: it decides only whether another fetch is needed.
        """
        return self._add(task_id, _Wanted(stage))

    async def aclose(self) -> None:
        """Stop the fetches, and forget what is queued: polling finds it."""
        for _, timer in self._lagging.values():
            timer.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._forget_work()

    def _add(self, task_id: str, wanted: _Wanted) -> bool:
        if self._loop is not (loop := asyncio.get_running_loop()):
            self._forget_work()  # the earlier loop has ended, with its workers
            self._loop = loop
        waits = self._lagging[task_id][0].stage if task_id in self._lagging else _NEVER
        if wanted.stage <= max(waits, self._fetched.get(task_id, _NEVER)):
            return True
        if task_id in self._in_flight:  # the response in flight may be older than the callback
            self._in_flight[task_id] = _later(self._in_flight[task_id], wanted)
        elif task_id in self._queued:
            self._queued[task_id] = _later(self._queued[task_id], wanted)
        elif len(self._queued) + len(self._in_flight) + len(self._lagging) >= MOST_QUEUED:
            return False
        else:
            self._queue(task_id, wanted)
        return True

    def _forget_work(self) -> None:
        for pending in (self._workers, self._in_flight, self._queued, self._lagging):
            pending.clear()

    def _queue(self, task_id: str, wanted: _Wanted) -> None:
        self._queued[task_id] = wanted
        if len(self._workers) < _WORKERS:
            worker = asyncio.get_running_loop().create_task(self._work(), name="mjrelay callbacks")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        while self._queued:
            task_id = next(iter(self._queued))
            wanted = self._queued.pop(task_id)
            self._in_flight[task_id] = None
            try:
                await self._wait_for_turn()
                stage = await self._fetch(task_id)
            finally:
                newer = self._in_flight.pop(task_id, None)
            if stage is None:
                continue
            if newer is not None and newer.stage > stage:
                self._queue(task_id, newer)
            elif wanted.stage > stage and wanted.again:
                self._fetch_later(task_id, _Wanted(wanted.stage, again=False))

    async def _wait_for_turn(self) -> None:
        if self._rate is not None:
            clock = self.relay._options.clock  # noqa: SLF001 - the relay's own clock
            turn = max(now := clock.now(), self._next)
            self._next = turn + 1 / self._rate
            if turn > now:
                await clock.asleep(turn - now)

    async def _fetch(self, task_id: str) -> Stage | None:
        """Fetch a task and hand it over; return its stage, or None if that failed."""
        try:
            task = await self.relay.fetch(task_id)
        except MjrelayError as error:
            if self._logged.first_time(task_id):
                _log.warning("a task with a callback was not fetched; polling goes on: %s", error)
            return None
        except Exception:  # noqa: BLE001 - the worker has other tasks to fetch
            _log.exception("task %s was not fetched after a callback; polling goes on", _shown(task_id))
            return None
        try:
            if inspect.isawaitable(result := self._on_task(task)):
                await result
        except Exception:  # noqa: BLE001 - a faulty function must not stop the others
            _log.exception("on_task failed for task %s; its next callback calls it again", _shown(task_id))
            return None
        self._fetched[task_id] = stage = stage_of(task)
        return stage

    def _fetch_later(self, task_id: str, wanted: _Wanted) -> None:
        """Fetch a task once more: a gateway may read its upstream in turns, later than the callback."""

        def add() -> None:
            del self._lagging[task_id]
            self._add(task_id, wanted)

        if task_id in self._lagging:
            self._lagging.pop(task_id)[1].cancel()
        refresh = self.relay._contract.reader.refresh or _LAG  # noqa: SLF001 - the relay's own contract
        self._lagging[task_id] = wanted, asyncio.get_running_loop().call_later(refresh, add)


def _later(one: _Wanted | None, other: _Wanted) -> _Wanted:
    return other if one is None or other.stage > one.stage else one


def _shown(task_id: str) -> str:
    return printable_text(task_id)[:60]
