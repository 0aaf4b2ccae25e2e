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
import json
import logging
import math
import random
from collections import deque
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from mjrelay.client.events import FetchFailed, PollRequest, TaskDone, TaskUpdated
from mjrelay.client.schedule import Schedule
from mjrelay.client.task import (
    AnswerError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    Task,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    WaitTimeoutError,
)
from mjrelay.http import retry_after
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.client.events import Event, PollResult
    from mjrelay.client.schedule import RefreshModel
    from mjrelay.http import Redactor


MISSING_GRACE = 10.0
"""Seconds for which "no such task" is retried: a new task may not be known to the whole relay yet."""

LONGEST_PAUSE = 120.0
"""Upper bound of a Retry-After, in seconds."""

_LAST_POLL = 1.0
"""Seconds before the deadline at which a task that is scheduled after the deadline is polled once more."""

_BATCH_INTERVAL = 2.3
"""Seconds between two batches, so that more tasks become due; none if more are due than fit into one."""

_FIRST_RETRIES = 2
"""Retries of an `AnswerError` before the first task: such errors usually mean a wrong base URL."""

_LONGEST_BACKOFF = 30.0
"""Upper bound of the backoff in seconds, without Retry-After."""

_RELAY_ERRORS = (TransportError, UnavailableError, RateLimitedError)
"""Errors of the whole relay: they do not show whether it supports batches."""

_MAX_BATCH_FAILURES = 3
"""Consecutive failed batches after which batching stops, if none ever worked."""

_MAX_KEPT_BODY = 65_536
"""Bytes kept of the body of a failed response: thousands of tasks may hold one each."""

_log = logging.getLogger("mjrelay")


def needs_no_poll(task: Task) -> bool:
    """Return whether the task has ended or needs input, so that polling it further is useless."""
    return task.state.terminal or task.state is State.NEEDS_INPUT


@define(eq=False)
class _PendingTask:
    """The state of polling one task; small, because there may be thousands."""

    id: str
    schedule: Schedule
    fingerprint: int | None = None
    body: bytes | None = None
    failures: int = 0
    last_error: RelayError | None = None
    missing_since: float = math.inf
    alone: bool = False
    probed_batch: _Batch | None = None


@define(eq=False)
class _Batch:
    """
    The tasks of one request. They stay together after the request has failed.

    ``failures`` counts consecutive failures. ``sent`` is the number of the last request, ``failed`` the
    number of the response that reported the first failure.
    """

    tasks: list[_PendingTask]
    failures: int = 0
    sent: int = 0
    failed: int = 0
    probed: bool = False


@define(eq=False)
class Poller:
    """
    Polls tasks, each until ``is_done`` returns True for it.

    Args:
        relay: The relay's name, for messages.
        refresh_model: What earlier tasks of the relay taught about its refresh interval.
        redactor: Removes secrets from logged status values.
        parse_task: Makes a task of the JSON that was kept of it.
        started: The start of the wait. All times are seconds of one monotonic clock.
        unix_offset: The Unix time at which that clock reads 0.
        deadline: The end of the wait.
        is_done: Whether a task needs no further poll.
        retries: Maximum number of consecutive transient errors of one task.
        missing_grace: Seconds for which a missing task is retried.
        concurrency: Maximum number of requests in flight.
        rate: Maximum number of requests per second, or None.
        batch_size: Maximum number of ids in one request, or None if the relay takes one id at a time.
        random: Returns numbers from 0 to 1, for jitter.
    """

    relay: str
    refresh_model: RefreshModel
    redactor: Redactor
    parse_task: Callable[[bytes], Task]
    started: float
    unix_offset: float
    deadline: float = math.inf
    is_done: Callable[[Task], bool] = needs_no_poll
    retries: int = 8
    missing_grace: float = MISSING_GRACE
    concurrency: int = 1
    rate: float | None = None
    batch_size: int | None = None
    random: Callable[[], float] = random.random
    _tasks: dict[str, _PendingTask] = field(init=False, factory=dict)
    _queue: list[tuple[float, int, _PendingTask | _Batch]] = field(init=False, factory=list)
    _enqueued: int = field(init=False, default=0)
    _batches_in_flight: dict[tuple[str, ...], _Batch] = field(init=False, factory=dict)
    _events: deque[Event] = field(init=False, factory=deque)
    _in_flight: int = field(init=False, default=0)
    _paused_until: float = field(init=False, default=-math.inf)
    _next_batch_at: float = field(init=False, default=-math.inf)
    _rate_budget: float = field(init=False, default=-math.inf)
    _found_task: bool = field(init=False, default=False)
    _requests: int = field(init=False, default=0)
    _responses: int = field(init=False, default=0)
    _last_success: int = field(init=False, default=0)
    _batch_worked: bool = field(init=False, default=False)
    _batch_failures: int = field(init=False, default=0)
    _counted_request: int = field(init=False, default=0)
    _unknown_statuses: set[str] = field(init=False, factory=set)

    def add(self, task_id: str, now: float) -> None:
        """Add a task, due immediately; ignore an id that was added before."""
        if task_id not in self._tasks:
            self._tasks[task_id] = task = _PendingTask(task_id, Schedule(self.refresh_model, self.random))
            self._enqueue(task, now)

    @property
    def done(self) -> bool:
        """Whether no task is pending."""
        return not self._tasks

    def pop_events(self) -> Iterator[Event]:
        """Yield and remove the events since the last call."""
        while self._events:
            yield self._events.popleft()

    def next_request(self, now: float) -> PollRequest | float:
        """Return the next request, or the time to call again (`inf` while a response is pending)."""
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
        self._requests += 1
        batch = self._pop_batch(now)
        ids = tuple(task.id for task in batch.tasks)
        if len(ids) > 1:
            batch.sent = self._requests
            self._batches_in_flight[ids] = batch
        return PollRequest(ids)

    def receive(self, request: PollRequest, result: PollResult, now: float) -> None:
        """Handle the result of a request, and schedule the next poll of its tasks."""
        self._in_flight -= 1
        self._responses += 1
        batch = self._batches_in_flight.pop(request.ids, None)
        if (first := self._tasks[request.ids[0]]).probed_batch is not None:
            self._enqueue(first.probed_batch, now)
            first.probed_batch = None
        if isinstance(result, RelayError):
            if isinstance(result, UnauthorizedError) and not self._found_task:
                self._fail_queued(result)
            elif batch is not None:
                self._handle_batch_error(batch, result, now)
                return
            result = {task_id: _copy_for(result, task_id) for task_id in request.ids}
        if not all(isinstance(one, RelayError) and one.transient for one in result.values()):
            self._last_success = self._responses
        if batch is not None and any(isinstance(one, Task) for one in result.values()):
            self._count_batch_success(len(request.ids))
        for task_id in request.ids:
            pending, one = self._tasks[task_id], result[task_id]
            if isinstance(one, RelayError):
                due = self._handle_error(pending, one, now, in_batch=batch is not None)
            else:
                due = self._handle_task(pending, one, now)
            if due is not None:
                self._enqueue(pending, due)

    def _pop_batch(self, now: float) -> _Batch:
        """Remove the next batch from the queue: one that failed before, or one of due tasks."""
        first = heapq.heappop(self._queue)[2]
        if isinstance(first, _Batch):
            return first
        batch = _Batch([first])
        if self.batch_size is not None and not first.alone:
            while len(batch.tasks) < self.batch_size and (other := self._pop_for_batch(now)) is not None:
                batch.tasks.append(other)
            if not (self._queue and self._queue[0][0] <= now):
                self._next_batch_at = now + _BATCH_INTERVAL
        return batch

    def _pop_for_batch(self, now: float) -> _PendingTask | None:
        """Remove the next task from the queue if it may join a batch: it is due, or has no error."""
        if not self._queue:
            return None
        due, _, task = self._queue[0]
        if isinstance(task, _Batch) or task.alone or not (due <= now or task.last_error is None):
            return None
        heapq.heappop(self._queue)
        return task

    def _handle_batch_error(self, batch: _Batch, error: RelayError, now: float) -> None:
        """Handle an error of a whole batch: retry it, split it, probe one task, or give up."""
        batch.failures += 1
        if batch.failures == 1:
            batch.failed = self._responses
        last_error = _limit_body(error)
        for task in batch.tasks:
            task.last_error = last_error
        half = len(batch.tasks) // 2
        relay_is_up = self._last_success > batch.failed and not isinstance(error, RateLimitedError)
        if error.exchange is not None and error.exchange.oversize:
            self._split(batch, half, now)
            return
        self._count_batch_failure(batch, error)
        due = now
        if error.transient:
            due += self._retry_delay(error, 1 if relay_is_up else batch.failures, now)
        if batch.failures <= min(1, self.retries) or self.batch_size is None:
            self._enqueue(batch, due)
        elif relay_is_up or not error.transient:
            self._split(batch, half, due)
        elif not batch.probed and not isinstance(error, RateLimitedError):
            self._probe(batch, due)
        elif batch.failures <= self.retries:
            self._enqueue(batch, due)
        else:
            for task in batch.tasks:
                self._fail(task, _copy_for(error, task.id))

    def _count_batch_success(self, size: int) -> None:
        self._batch_worked, self._batch_failures = True, 0
        if self.batch_size is not None:
            self.batch_size = max(self.batch_size, size)

    def _count_batch_failure(self, batch: _Batch, error: RelayError) -> None:
        """
        Count a failed batch, and stop batching after three in a row if none ever worked.

        Batches in flight together count once. An error of the whole relay counts only if single tasks work.
        """
        if self._batch_worked or batch.sent <= self._counted_request:
            return
        if isinstance(error, _RELAY_ERRORS) and not self._found_task:
            return
        self._batch_failures, self._counted_request = self._batch_failures + 1, self._requests
        if self._batch_failures >= _MAX_BATCH_FAILURES and self.batch_size is not None:
            self.batch_size, self._next_batch_at = None, -math.inf
            queue, self._queue = self._queue, []
            for due, _, entry in queue:
                self._enqueue(entry, due)
        elif self.batch_size is not None and not error.transient:
            # The relay's limit may be lower than the contract's, so the next batches are smaller.
            self.batch_size = max(2, self.batch_size // 4)

    def _split(self, batch: _Batch, size: int, due: float) -> None:
        """Split a batch after its first ``size`` tasks; each part is split again when it fails."""
        for part in (batch.tasks[:size], batch.tasks[size:]):
            if len(part) == 1:
                part[0].alone = True
                self._enqueue(part[0], due)
            else:
                self._enqueue(_Batch(part, failures=1, failed=self._responses), due)

    def _probe(self, batch: _Batch, due: float) -> None:
        """Send one task of a batch alone, and hold the others until its response: the relay may be down."""
        probe, *others = batch.tasks
        batch.tasks, batch.probed = others, True
        probe.alone, probe.probed_batch = True, batch
        self._enqueue(probe, due)

    def _handle_task(self, pending: _PendingTask, task: Task, now: float) -> float | None:
        """Handle a fetched task. Return the time of its next poll, or None when it is done."""
        self._found_task = True
        pending.failures, pending.last_error, pending.missing_since = 0, None, math.inf
        pending.alone = False
        if self.is_done(task):
            pending.schedule.conclude(now)
            del self._tasks[pending.id]
            self._events.append(TaskDone(task))
            return None
        fingerprint = _fingerprint(task)
        changed = fingerprint != pending.fingerprint
        if changed:
            pending.fingerprint = fingerprint
            pending.body = json.dumps(task.document, ensure_ascii=False, separators=(",", ":")).encode()
            self._events.append(TaskUpdated(task))
            self._log_unknown_status(task)
        unix_now = now + self.unix_offset
        age = None if task.started is None else unix_now - task.started.timestamp()
        delay = pending.schedule.observe(now, progress=task.progress, age=age, changed=changed)
        pause = retry_after(task.exchange, unix_now)
        if pause is not None:
            return now + min(max(delay, pause), LONGEST_PAUSE)
        last_poll = self.deadline - _LAST_POLL
        return min(now + delay, last_poll if now < last_poll else self.deadline)

    def _handle_error(
        self, pending: _PendingTask, error: RelayError, now: float, *, in_batch: bool
    ) -> float | None:
        """Handle a failed poll. Return the time of the retry, or None to give up."""
        pending.last_error = _limit_body(error)
        if isinstance(error, MissingTaskError):
            pending.missing_since = min(pending.missing_since, now)
            retry = now - pending.missing_since < self.missing_grace
        else:
            pending.failures += 1
            never_worked = pending.fingerprint is None and isinstance(error, AnswerError)
            retries = min(self.retries, _FIRST_RETRIES) if in_batch or never_worked else self.retries
            retry = error.transient and pending.failures <= retries
        if not retry and in_batch and not isinstance(error, UnauthorizedError):
            pending.alone = True  # a task of a batch is fetched alone before it fails
        elif not retry:
            self._fail(pending, error)
            return None
        return now + self._retry_delay(error, pending.failures, now)

    def _retry_delay(self, error: RelayError, failures: int, now: float) -> float:
        """Return seconds until the next retry. Retry-After and rate limits pause all tasks."""
        delay = 2.0 ** min(max(failures - 1, 0), 5) * (0.75 + self.random() / 2)
        delay = min(delay, _LONGEST_BACKOFF)
        if error.retry_after is not None:
            delay = min(max(error.retry_after, delay), LONGEST_PAUSE)
        if error.retry_after is not None or isinstance(error, RateLimitedError):
            self._paused_until = max(self._paused_until, now + delay)
        return delay

    def _fail(self, pending: _PendingTask, error: RelayError | None) -> None:
        """Stop polling a task with an error; None stands for the deadline."""
        del self._tasks[pending.id]
        task = None if pending.body is None else self.parse_task(pending.body)
        if error is None:
            error = self._timeout_error(pending, task)
        error.task = error.task or task
        self._events.append(FetchFailed(error))

    def _fail_queued(self, error: RelayError | None) -> None:
        """Stop polling all tasks that are not in flight: the key is refused, or the deadline is over."""
        while self._queue:
            entry = heapq.heappop(self._queue)[2]
            for task in entry.tasks if isinstance(entry, _Batch) else [entry]:
                if task.probed_batch is not None:
                    self._enqueue(task.probed_batch, -math.inf)
                self._fail(task, error and _copy_for(error, task.id))

    def _timeout_error(self, pending: _PendingTask, task: Task | None) -> RelayError:
        last_error = pending.last_error
        if task is None:
            state = "was never fetched" if last_error is None else f"was never fetched ({last_error})"
        else:
            progress = "" if task.progress is None else f" at {task.progress} %"
            state = f"was {task.state}{progress}"
        error = WaitTimeoutError(
            f"task {pending.id} {state} after {self.deadline - self.started:g} seconds; it is not cancelled: "
            "wait for it again",
            relay=self.relay,
            task_id=pending.id,
            exchange=None if last_error is None else last_error.exchange,
        )
        error.__cause__ = last_error
        return error

    def _log_unknown_status(self, task: Task) -> None:
        """Log a status that the contract does not list, once."""
        status = self.redactor.excerpt(repr(task.status), 80)
        if task.state is State.UNKNOWN and status not in self._unknown_statuses:
            self._unknown_statuses.add(status)
            _log.warning(
                "%s: status %s is not in the contract; polling continues until the deadline",
                self.relay,
                status,
            )

    def _enqueue(self, entry: _PendingTask | _Batch, due: float) -> None:
        if isinstance(entry, _Batch) and (self.batch_size is None or len(entry.tasks) == 1):
            for task in entry.tasks:
                self._enqueue(task, due)
            return
        self._enqueued += 1  # a unique number, so that heapq does not compare entries
        heapq.heappush(self._queue, (due, self._enqueued, entry))


def _fingerprint(task: Task) -> int:
    """Return a hash of what counts as a change; a new signature in a URL's query does not."""
    media = (*task.images, *task.videos, *task.previews)
    urls = tuple(url.partition("?")[0] for url in media)
    return hash((task.state, str(task.status), task.progress, urls, task.started))


def _copy_for(error: RelayError, task_id: str) -> RelayError:
    """Return the error with this task id; a copy if it had another."""
    if error.task_id == task_id:
        return error
    copied = copy.copy(error)
    copied.task_id = task_id
    return copied


def _limit_body(error: RelayError) -> RelayError:
    """Cut the error's response body to the size that may be kept for each task."""
    if error.exchange is not None and len(error.exchange.body) > _MAX_KEPT_BODY:
        error.exchange = evolve(error.exchange, body=error.exchange.body[:_MAX_KEPT_BODY])
    return error
