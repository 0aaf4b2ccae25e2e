"""
The state of waiting for one task, and what a response changes in it.

The state is plain data: an id, times, counters, and the numbers of the schedule. It refers to no socket, loop
or other task. All times are seconds of one clock, which the caller chooses.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING
from zlib import crc32

from attrs import define, evolve, field

from mjrelay.client.schedule import Schedule
from mjrelay.client.task import AnswerError, MissingTaskError, WrongTaskError
from mjrelay.http import retry_after
from mjrelay.semantics import State

if TYPE_CHECKING:
    from mjrelay.client.schedule import RefreshModel
    from mjrelay.client.task import RelayError, Task

MISSING_GRACE = 10.0
"""Seconds for which "no such task" is retried: a new task may not be known to the whole relay yet."""

LONGEST_PAUSE = 120.0
"""Upper bound of a Retry-After, in seconds."""

_LAST_POLL = 1.0
"""Seconds before the deadline at which a task that is scheduled after the deadline is polled once more."""

_FIRST_RETRIES = 2
"""Retries of an `AnswerError` before the relay's first task: such errors usually mean a wrong base URL."""

_LONGEST_BACKOFF = 30.0
"""Upper bound of the backoff in seconds, without Retry-After."""

_MAX_KEPT_BODY = 65_536
"""Bytes kept of the body of a failed response: thousands of tasks may hold one each."""


@define(eq=False)
class PendingTask:
    """
    The state of waiting for one task; small, because there may be thousands.

    Attributes:
        id: The task's id.
        deadline: The end of the wait.
        started: The start of the wait.
        schedule: When to poll the task again.
        fingerprint: A hash of the last snapshot, or None before the first.
        failures: The number of consecutive errors.
        missing_since: When the relay first had no such task, else infinite.
        failed_since: When the task first seemed to have failed, else infinite; see `confirm_failure`.
        alone: Whether the task must not be polled in a batch.
        body: The last snapshot as JSON, for error messages.
        last_error: The error of the last poll.
        passes: A state that does not end the wait, although it usually does.
    """

    id: str
    deadline: float = math.inf
    started: float = 0.0
    schedule: Schedule = field(factory=Schedule)
    fingerprint: int | None = None
    failures: int = 0
    missing_since: float = math.inf
    failed_since: float = math.inf
    alone: bool = False
    body: bytes | None = None
    last_error: RelayError | None = None
    passes: State | None = None

    def receive_task(self, task: Task) -> bool:
        """Store a snapshot; return whether it differs from the previous one."""
        self.failures, self.last_error, self.missing_since = 0, None, math.inf
        self.alone = False
        previous, self.fingerprint = self.fingerprint, _fingerprint(task)
        if changed := self.fingerprint != previous:
            self.body = json.dumps(task.document, ensure_ascii=False, separators=(",", ":")).encode()
        return changed

    def confirm_failure(self, now: float, refresh: float) -> bool:
        """
        Return whether a failure that contradicts the status value is final.

        It is once two snapshots show it, ``refresh`` seconds apart: a relay may still start the task.
        """
        confirmed = self.failed_since < now and now - self.failed_since >= refresh
        self.failed_since = min(self.failed_since, now)
        return confirmed

    def next_poll(
        self, task: Task, now: float, unix_now: float, *, changed: bool, model: RefreshModel, jitter: float
    ) -> float:
        """Return the time of the next poll of a task that has not ended."""
        delay = self.schedule.observe(
            now,
            model,
            progress=task.progress,
            age=None if task.started is None else unix_now - task.started.timestamp(),
            queued=task.state is State.QUEUED,
            changed=changed,
            jitter=jitter,
        )
        if (pause := retry_after(task.exchange, unix_now)) is not None:
            return now + min(max(delay, pause), LONGEST_PAUSE)
        if self.failed_since < math.inf:
            delay = max(delay, self.failed_since + model.refresh - now)
        last_poll = self.deadline - _LAST_POLL
        return min(now + delay, last_poll if now < last_poll else self.deadline)

    def receive_error(
        self, error: RelayError, now: float, *, retries: int, missing_grace: float, saw_task: bool
    ) -> bool:
        """Count an error; return whether to retry. ``saw_task`` is whether the relay ever returned a task."""
        self.last_error = limit_body(error)
        if isinstance(error, MissingTaskError):
            self.missing_since = min(self.missing_since, now)
            return now - self.missing_since < missing_grace
        self.failures += 1
        if not saw_task and isinstance(error, AnswerError):
            retries = min(retries, _FIRST_RETRIES)
        transient = error.transient or (saw_task and isinstance(error, WrongTaskError))
        return transient and self.failures <= retries


def backoff(error: RelayError, failures: int, random: float) -> float:
    """Return the seconds until a retry. ``random`` is a number from 0 to 1."""
    delay = min(2.0 ** min(max(failures - 1, 0), 5) * (0.75 + random / 2), _LONGEST_BACKOFF)
    return delay if error.retry_after is None else min(max(error.retry_after, delay), LONGEST_PAUSE)


def limit_body(error: RelayError) -> RelayError:
    """Cut the error's response body to the size that may be kept for each task."""
    if error.exchange is not None and len(error.exchange.body) > _MAX_KEPT_BODY:
        error.exchange = evolve(error.exchange, body=error.exchange.body[:_MAX_KEPT_BODY])
    return error


def _fingerprint(task: Task) -> int:
    """Return a hash of what counts as a change; a new signature in a URL's query does not."""
    media = (*task.images, *task.videos, *task.previews)
    urls = [url.partition("?")[0] for url in media]
    shown = (task.state.value, str(task.status), task.progress, urls, task.started)
    return crc32(repr(shown).encode("utf-8", "surrogatepass"))  # `hash` differs between processes
