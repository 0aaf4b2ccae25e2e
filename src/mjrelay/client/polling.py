"""
The polling state machine: it does no I/O and reads no clock.

The caller passes the time and the responses, sends the requests that it returns, and sleeps in between.
Three limits are separate: the timeout of one request (the caller's), the consecutive transient errors of one
task (``retries``), and the deadline of the whole wait (``deadline``).

A batch is a request for several ids. A failed batch is retried once and then split into halves, so that an
id that breaks its batch ends up alone. A transient error may mean that the relay is down: the batch is then
split only if the relay has answered another request since, and one of its ids is sent alone as a probe.
"""

from __future__ import annotations

import copy
import heapq
import logging
import math
import random
from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from mjrelay.client.batches import Batch, BatchSize, as_batch_size
from mjrelay.client.events import FetchFailed, TaskDone, TaskUpdated
from mjrelay.client.pending import MISSING_GRACE, PendingTask, backoff, limit_body
from mjrelay.client.task import (
    RateLimitedError,
    RelayError,
    Task,
    UnauthorizedError,
    UnreachableError,
    WaitTimeoutError,
)
from mjrelay.http import FailureKind, parse_json
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.client.events import Event, PollResult
    from mjrelay.client.schedule import RefreshModel
    from mjrelay.contract import Contract
    from mjrelay.http import Redactor


CONNECT_GRACE = 10.0
"""Seconds for which a refused connection or an unknown host is retried, before the first response."""

_FATAL = (UnauthorizedError, UnreachableError)
"""Errors that end the polling of all tasks, if none was ever fetched."""

_MAX_LOGGED_STATUSES = 100
"""Maximum number of unknown statuses that are logged."""

_MIN_TIMEOUT = 1.0
"""Minimum timeout of one request in seconds, however near the deadline is."""

_ONCE_RETRIES = 2
"""Maximum number of retries if any state is enough."""

_log = logging.getLogger("mjrelay")


@define(eq=False)
class Poller:
    """
    Polls tasks until they have ended or need input.

    Args:
        contract: The relay's contract.
        model: What earlier tasks of the relay taught, shared by all waits.
        redactor: Removes secrets from logs and error messages.
        started: The start of the wait. All times are seconds of one monotonic clock.
        unix_offset: The Unix time at which that clock reads 0.
        deadline: The end of the wait.
        request_timeout: Seconds for one request.
        once: Whether any state of a task is enough. A missing task is not retried then.
        retries: Maximum number of consecutive transient errors of one task.
        connect_grace: Seconds for which an address without a server is retried; `inf` after a response.
        concurrency: Maximum number of requests in flight.
        rate: Maximum number of requests per second, or None.
        batch_size: Maximum number of ids in one request, or None if the relay takes one id at a time.
        batch_interval: Seconds between two batches, so that more tasks become due; none if more are due than
            fit into one.
        unknown_statuses: The statuses that were logged because the contract does not list them.
        random: Returns numbers from 0 to 1, for jitter.
    """

    contract: Contract
    model: RefreshModel
    redactor: Redactor
    started: float
    unix_offset: float
    deadline: float = math.inf
    request_timeout: float = math.inf
    once: bool = False
    retries: int = 8
    connect_grace: float = math.inf
    concurrency: int = 1
    rate: float | None = None
    _batch_size: BatchSize = field(default=None, converter=as_batch_size)
    batch_interval: float = 2.3
    unknown_statuses: set[str] = field(factory=set)
    random: Callable[[], float] = random.random
    _tasks: dict[str, PendingTask] = field(init=False, factory=dict)
    _queue: list[tuple[float, int, PendingTask | Batch]] = field(init=False, factory=list)
    _enqueued: int = field(init=False, default=0)
    _batches_in_flight: dict[tuple[str, ...], Batch] = field(init=False, factory=dict)
    _probed_batches: dict[str, Batch] = field(init=False, factory=dict)
    _events: deque[Event] = field(init=False, factory=deque)
    _in_flight: int = field(init=False, default=0)
    _paused_until: float = field(init=False, default=-math.inf)
    _next_batch_at: float = field(init=False, default=-math.inf)
    _rate_budget: float = field(init=False, default=-math.inf)
    _saw_task: bool = field(init=False, default=False)
    _responses: int = field(init=False, default=0)
    _last_success: int = field(init=False, default=0)

    def add(self, task_id: str, now: float, passes: State | None = None) -> None:
        """
        Add a task, due immediately; ignore an id that was added before.

        ``passes`` is a state that does not end the wait, although it usually does.
        """
        if task_id not in self._tasks:
            self._tasks[task_id] = task = PendingTask(task_id, self.deadline, self.started, passes=passes)
            self._enqueue(task, now)

    @property
    def done(self) -> bool:
        """Whether no task is pending."""
        return not self._tasks

    def next_timeout(self, now: float) -> float:
        """Return the timeout of a request that is sent now: less near the deadline."""
        return min(self.request_timeout, max(self.deadline - now, _MIN_TIMEOUT))

    def pop_events(self) -> Iterator[Event]:
        """Yield and remove the events since the last call."""
        while self._events:
            yield self._events.popleft()

    def next_request(self, now: float) -> tuple[str, ...] | float:
        """Return the ids of the next request, or the time to call again (`inf` while one is pending)."""
        if now >= self.deadline:
            self._fail_queued(None)
            return math.inf
        if not self._queue or self._in_flight >= self.concurrency:
            return math.inf
        # The requests of one second may be sent together.
        due = max(self._queue[0][0], self._paused_until, self._next_batch_at, self._rate_budget - 1.0)
        if due > now:
            return min(due, self.deadline)
        if self.rate is not None:
            self._rate_budget = max(self._rate_budget, now) + 1 / self.rate
        self._in_flight += 1
        batch = self._pop_batch(now)
        self._batch_size.count_request(batch)
        ids = tuple(task.id for task in batch.tasks)
        if len(ids) > 1:
            self._batches_in_flight[ids] = batch
        return ids

    def receive(self, ids: tuple[str, ...], result: PollResult, now: float) -> None:
        """Handle the result of a request, and schedule the next poll of its tasks."""
        self._in_flight -= 1
        self._responses += 1
        batch = self._batches_in_flight.pop(ids, None)
        if (held := self._probed_batches.pop(ids[0], None)) is not None:
            self._enqueue(held, now)
        if not isinstance(result, RelayError):
            self.connect_grace = math.inf
        else:
            result = self._within_connect_grace(result, now)
            if isinstance(result, _FATAL) and not self.model.saw_task:
                self._fail_queued(result)
            elif batch is not None:
                self._handle_batch_error(batch, result, now)
                return
            result = {task_id: _copy_for(result, task_id) for task_id in ids}
        if not all(isinstance(one, RelayError) and one.transient for one in result.values()):
            self._last_success = self._responses
        if batch is not None and any(isinstance(one, Task) for one in result.values()):
            self._batch_size.count_success(len(ids))
        for task_id in ids:
            pending, one = self._tasks[task_id], result[task_id]
            if isinstance(one, RelayError):
                due = self._handle_error(pending, one, now, in_batch=batch is not None)
            else:
                due = self._handle_task(pending, one, now)
            if due is not None:
                self._enqueue(pending, due)

    def _pop_batch(self, now: float) -> Batch:
        """Remove the next batch from the queue: one that failed before, or one of due tasks."""
        first = heapq.heappop(self._queue)[2]
        if isinstance(first, Batch):
            return first
        batch = Batch([first])
        if (limit := self._batch_size.limit) is not None and not first.alone:
            while len(batch.tasks) < limit and (other := self._pop_for_batch(now)) is not None:
                batch.tasks.append(other)
            if not (self._queue and self._queue[0][0] <= now):
                self._next_batch_at = now + self.batch_interval
        return batch

    def _pop_for_batch(self, now: float) -> PendingTask | None:
        """Remove the next task from the queue if it may join a batch: it is due, or has no error."""
        if not self._queue:
            return None
        due, _, task = self._queue[0]
        if isinstance(task, Batch) or task.alone or not (due <= now or task.last_error is None):
            return None
        heapq.heappop(self._queue)
        return task

    def _handle_batch_error(self, batch: Batch, error: RelayError, now: float) -> None:
        """Handle an error of a whole batch: retry it, split it, probe one task, or give up."""
        batch.failures += 1
        if batch.failures == 1:
            batch.failed = self._responses
        last_error = limit_body(error)
        for task in batch.tasks:
            task.last_error = last_error
        relay_is_up = self._last_success > batch.failed and not isinstance(error, RateLimitedError)
        if error.exchange is not None and error.exchange.oversize:
            self._split(batch, now)
            return
        self._count_batch_failure(batch, error)
        due = now
        if error.transient:
            due += self._retry_delay(error, 1 if relay_is_up else batch.failures, now)
        if batch.failures <= min(1, self.retries) or self._batch_size.limit is None:
            self._enqueue(batch, due)
        elif relay_is_up or not error.transient:
            self._split(batch, due)
        elif not batch.probed and not isinstance(error, RateLimitedError):
            self._probe(batch, due)
        elif batch.failures <= self.retries:
            self._enqueue(batch, due)
        else:
            for task in batch.tasks:
                self._fail(task, _copy_for(error, task.id))

    def _count_batch_failure(self, batch: Batch, error: RelayError) -> None:
        self._batch_size.count_failure(batch, error, saw_task=self._saw_task)
        if self._batch_size.limit is None:
            self._next_batch_at = -math.inf
            queue, self._queue = self._queue, []
            for due, _, entry in queue:
                self._enqueue(entry, due)

    def _split(self, batch: Batch, due: float) -> None:
        for half in batch.halves(self._responses):
            self._enqueue(half, due)

    def _probe(self, batch: Batch, due: float) -> None:
        """Send one task of a batch alone, and hold the others until its response: the relay may be down."""
        probe, *batch.tasks = batch.tasks
        batch.probed = probe.alone = True
        self._probed_batches[probe.id] = batch
        self._enqueue(probe, due)

    def _handle_task(self, pending: PendingTask, task: Task, now: float) -> float | None:
        """Handle a fetched task. Return the time of its next poll, or None when it is done."""
        self._saw_task = self.model.saw_task = True
        if self.once or self._has_ended(pending, task, now):
            pending.schedule.conclude(now, self.model)
            del self._tasks[pending.id]
            self._events.append(TaskDone(task))
            return None
        if changed := pending.receive_task(task):
            self._events.append(TaskUpdated(task))
            self._log_unknown_status(task)
        unix_now, jitter = now + self.unix_offset, self.random()
        return pending.next_poll(task, now, unix_now, changed=changed, model=self.model, jitter=jitter)

    def _has_ended(self, pending: PendingTask, task: Task, now: float) -> bool:
        """Return whether polling the task further is useless."""
        if task.state is State.FAILED and self.contract.reader.overrides_status(task.document):
            return pending.confirm_failure(now, self.model.refresh)
        pending.failed_since = math.inf
        return task.state.terminal or (task.state is State.NEEDS_INPUT and task.state is not pending.passes)

    def _handle_error(
        self, pending: PendingTask, error: RelayError, now: float, *, in_batch: bool
    ) -> float | None:
        """Handle a failed poll. Return the time of the retry, or None to give up."""
        retry = pending.receive_error(
            error,
            now,
            retries=min(self.retries, _ONCE_RETRIES) if self.once or in_batch else self.retries,
            missing_grace=0.0 if self.once else MISSING_GRACE,
            saw_task=self.model.saw_task,
        )
        if not retry and in_batch and not isinstance(error, _FATAL):
            pending.alone = True  # a task of a batch is fetched alone before it fails
        elif not retry:
            self._fail(pending, error)
            return None
        return now + self._retry_delay(error, pending.failures, now)

    def _within_connect_grace(self, error: RelayError, now: float) -> RelayError:
        """Return the error, made lasting if no server was found for ``connect_grace`` seconds."""
        exchange = error.exchange
        if exchange is not None and exchange.status is not None:
            self.connect_grace = math.inf
        if exchange is None or not _is_unreachable(error) or now - self.started < self.connect_grace:
            return error
        return UnreachableError(
            f"{exchange.failure} for {now - self.started:.0f} seconds; check the address {exchange.url}, "
            f"or run: mjrelay doctor {exchange.url}",
            relay=self.contract.name,
            task_id=error.task_id,
            exchange=exchange,
        )

    def _retry_delay(self, error: RelayError, failures: int, now: float) -> float:
        """Return seconds until the next retry. Retry-After and rate limits pause all tasks."""
        delay = backoff(error, failures, self.random())
        if self.connect_grace < math.inf and _is_unreachable(error):
            delay = min(delay, max(0.0, self.started + self.connect_grace - now))
        if error.retry_after is not None or isinstance(error, RateLimitedError):
            self._paused_until = max(self._paused_until, now + delay)
        _log.info("%s; retry in %.1f seconds", error, delay)
        return delay

    def _fail(self, pending: PendingTask, error: RelayError | None) -> None:
        """Stop polling a task with an error; None stands for the deadline."""
        del self._tasks[pending.id]
        task = None if pending.body is None else Task(self.contract, parse_json(pending.body))
        if error is None:
            error = self._timeout_error(pending, task)
        error.task = error.task or task
        self._events.append(FetchFailed(error))

    def _fail_queued(self, error: RelayError | None) -> None:
        """Stop polling all tasks that are not in flight: the key is refused, or the deadline is over."""
        while self._queue:
            entry = heapq.heappop(self._queue)[2]
            for task in entry.tasks if isinstance(entry, Batch) else [entry]:
                if (held := self._probed_batches.pop(task.id, None)) is not None:
                    self._enqueue(held, -math.inf)
                self._fail(task, error and _copy_for(error, task.id))

    def _timeout_error(self, pending: PendingTask, task: Task | None) -> RelayError:
        last_error, relay = pending.last_error, self.contract.name
        if task is None:
            state = "was pending" if pending.fingerprint is not None else "was never fetched"
            state += "" if last_error is None else f" ({last_error})"
        else:
            progress = "" if task.progress is None else f" at {task.progress} %"
            reason = "" if task.failure is None else f" ({self.redactor.excerpt(task.failure, 200)})"
            state = f"was {task.state}{progress}{reason}"
        waited = pending.deadline - pending.started
        error = WaitTimeoutError(
            f"task {pending.id} {state} after {waited:g} seconds; it is not cancelled: wait for it again",
            relay=relay,
            task_id=pending.id,
            exchange=None if last_error is None else last_error.exchange,
        )
        error.__cause__ = last_error
        return error

    def _log_unknown_status(self, task: Task) -> None:
        """Log a status that the contract does not list, once."""
        status = self.redactor.excerpt(repr(task.status), 80)
        logged = self.unknown_statuses
        if task.state is State.UNKNOWN and status not in logged and len(logged) < _MAX_LOGGED_STATUSES:
            logged.add(status)
            _log.warning(
                "%s: status %s is not in the contract; polling continues until the deadline",
                self.contract.name,
                status,
            )

    def _enqueue(self, entry: PendingTask | Batch, due: float) -> None:
        if isinstance(entry, Batch) and (self._batch_size.limit is None or len(entry.tasks) == 1):
            for task in entry.tasks:
                self._enqueue(task, due)
            return
        self._enqueued += 1  # a unique number, so that heapq does not compare entries
        heapq.heappush(self._queue, (due, self._enqueued, entry))


def _is_unreachable(error: RelayError) -> bool:
    """Return whether the connection was refused, or the host was not found."""
    return error.exchange is not None and error.exchange.failure_kind is FailureKind.UNREACHABLE


def _copy_for(error: RelayError, task_id: str) -> RelayError:
    """Return the error with this task id; a copy if it had another."""
    if error.task_id == task_id:
        return error
    copied = copy.copy(error)
    copied.task_id = task_id
    return copied
