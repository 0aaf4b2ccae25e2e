"""A worker: the process that polls the tasks of a queue, and reports those that have ended."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Self

from dbos import DBOS

from mjrelay.base import MjrelayError, SettingError
from mjrelay.durable.database import FINISH, POLL, queue_name
from mjrelay.durable.leases import LeaseLostError
from mjrelay.durable.upkeep import Upkeep
from mjrelay.durable.workflows import Calls, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.durable.leases import Lease
    from mjrelay.durable.queue import Backlog, TaskQueue

_log = logging.getLogger("mjrelay")

_INTERVAL = 0.5
"""Seconds between two looks of the engine for what is due."""

_POLLS = 8
"""Maximum number of concurrent polls of one relay in a worker."""

_STARTED_CALLS = 128
"""Maximum number of results that a worker has taken; ``concurrency`` of them are being reported."""

_LONGEST_END = 30
"""Maximum number of seconds that polls and calls in progress get at the end."""

_running: list[Worker] = []
"""The worker of this process; the engine allows one."""


class Worker:
    """
    Polls the tasks of a queue while it is open, in threads. A process has at most one.

    Args:
        queue: The queue.

    Raises:
        SettingError: The database cannot be reached, another worker uses the SQLite file, or this process has
            a worker.
    """

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._lease: Lease | None = None
        self._calls = Calls(threading.Semaphore(queue.concurrency))
        self._chores: threading.Thread | None = None
        self._limits: dict[str, tuple[int, float] | None] = {}

    def __enter__(self) -> Self:
        if _running:
            raise SettingError("this process has a worker already; start another process")
        self._lease = self._queue.database.lease()
        try:
            self._launch(self._lease.executor)
        except BaseException:
            self._close(0)
            raise
        _running.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        """
        Let the polls and calls in progress end, for at most 30 seconds, and stop.

        If one does not end, the worker keeps its identity until the process ends: no other repeats the call
        beside it.
        """
        self._calls.stopping = True
        self._close(_LONGEST_END)
        _running.clear()

    @property
    def ended(self) -> bool:
        """Whether nothing of the worker runs any more."""
        return not self._calls.running and not (self._chores and self._chores.is_alive())

    def run(
        self, stop: threading.Event, report: Callable[[list[Backlog]], object], *, every: float = 10.0
    ) -> None:
        """
        Keep the queue in order until ``stop`` is set.

        Args:
            stop: Ends the method.
            report: Called with what waits.
            every: Seconds between two calls of ``report``.

        Raises:
            LeaseLostError: The connection that keeps the worker's identity was lost. Start the worker again.
        """
        if self._lease is None:
            raise SettingError("the worker is not open; use it in a with statement")
        upkeep = Upkeep(self._queue, self._lease)
        chores = [
            _Chore(5.0, upkeep.resume),
            _Chore(1.0, upkeep.merge),
            _Chore(1.0, self._keep_rates),
            _Chore(15.0, upkeep.forget),
            _Chore(15.0, upkeep.repair),
            _Chore(every, lambda: report(self._queue.backlog())),
        ]
        failures: list[LeaseLostError] = []

        def work() -> None:
            try:
                while not stop.wait(0.2):
                    for chore in chores:
                        chore.do()
            except LeaseLostError as error:
                failures.append(error)

        # In a thread, because a database that does not answer must not keep this one from signals.
        self._chores = threading.Thread(target=work, name="mjrelay chores", daemon=True)
        self._chores.start()
        while self._chores.is_alive() and not stop.wait(0.2):
            pass
        self._chores.join(5)
        if failures:
            raise failures[0]

    def _launch(self, executor: str) -> None:
        """Start the engine with the two workflows, and with the queues of this worker's relays."""
        queue = self._queue
        # The engine would resume the work of an earlier worker beside the queues, without their rates.
        queue.database.resume(executor)
        register(queue, self._calls)
        DBOS(config=queue.database.config(executor))
        DBOS.listen_queues([queue_name(one, relay) for one in (POLL, FINISH) for relay in queue.relays])
        DBOS.launch()
        self._keep_rates()
        for relay in queue.relays:
            _register_queue(queue_name(FINISH, relay), _STARTED_CALLS, None)

    def _keep_rates(self) -> None:
        """Limit the polls of each relay, again if it has refused a batch: each task is a request then."""
        for relay in self._queue.relays:
            limit = self._queue.limit(relay)
            if relay not in self._limits or self._limits[relay] != limit:
                _register_queue(queue_name(POLL, relay), _POLLS, limit)
                self._limits[relay] = limit

    def _close(self, timeout: int) -> None:
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=timeout)
        if self.ended:
            self._queue.close()
            if self._lease is not None:
                self._lease.close()


def _register_queue(name: str, concurrency: int, limit: tuple[int, float] | None) -> None:
    DBOS.register_queue(
        name,
        worker_concurrency=concurrency,
        limiter=None if limit is None else {"limit": limit[0], "period": limit[1]},
        polling_interval_sec=_INTERVAL,
        on_conflict="always_update",  # the last worker that started decides
    )


class _Chore:
    """A function that is called at intervals. Its errors are logged, unless they end the worker."""

    def __init__(self, seconds: float, function: Callable[[], object]) -> None:
        self._seconds, self._function, self._next = seconds, function, 0.0

    def do(self) -> None:
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + self._seconds
        try:
            self._function()
        except LeaseLostError:
            raise
        except MjrelayError as error:
            _log.warning("%s; the next try is in %.0f s", error, self._seconds)
        except Exception:  # noqa: BLE001 - tasks are polled without this chore too
            _log.exception("the queue was not kept in order; the next attempt is in %.0f s", self._seconds)
