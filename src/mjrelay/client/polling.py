"""
Waiting for tasks, as a machine that does no I/O and has no clock: it is told the time and the answers, and
says whom to ask for next and what became of whom. Whoever drives it does the sending and the sleeping.

Three bounds are kept apart: one request's (the driver's), the troubles in a row that are borne for one task
(``retries``), and the whole wait's (``deadline``).

A batch is a request for several ids. One that fails is retried once, and then split into halves, so that an
id that breaks its batch ends up alone. A transient error may mean that the relay is down: the batch is then
split only if the relay has answered another request since, and one of its ids is sent alone to find out.
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

from attrs import define, evolve, field, frozen

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
    from collections.abc import Callable, Iterator, Mapping

    from mjrelay.client.schedule import RefreshModel
    from mjrelay.http import Redactor


GRACE = 10.0
"""Seconds in which a task that was just submitted may still be unknown to the relay."""

LONGEST_PAUSE = 120.0
"""Seconds that a relay's Retry-After is obeyed for; one that wants more is asked again after these."""

_LAST_CALL = 1.0
"""Seconds before the deadline at which a task that is not due before it is asked for once more."""

_GATHERING = 2.3
"""Seconds between two requests for several ids, in which more falls due; none where more is due than fits."""

_FIRST_TRIES = 2
"""Answers in a row that may be no task, before one was: more would only hide a wrong base URL."""

_LONGEST_BACKOFF = 30.0
"""Seconds between two tries at most, where the relay names none."""

_ABOUT_ALL = (TransportError, UnavailableError, RateLimitedError)
"""Errors that say nothing of whether a relay takes several ids in one request."""

_STRIKES = 3
"""Batches in a row that fail before batching is given up, where none ever worked."""

_KEPT = 65_536
"""Bytes of a body that are kept of an answer without a task: thousands of tasks may be in trouble at once."""

_log = logging.getLogger("mjrelay")


@frozen
class PollRequest:
    """One request: for one id, or for several at once."""

    ids: tuple[str, ...]


@frozen
class TaskChanged:
    """A task is not done, and not as it was seen last."""

    task: Task


@frozen
class TaskEnded:
    """A task is done, or nothing more comes of it by itself."""

    task: Task


@frozen
class TaskLost:
    """A task will not be had."""

    error: RelayError


Event = TaskChanged | TaskEnded | TaskLost


def ends(task: Task) -> bool:
    """Whether there is nothing to wait for any more: the task is done, or needs input."""
    return task.state.terminal or task.state is State.NEEDS_INPUT


@define(eq=False)
class _Watch:
    """What is remembered of one task; small, for there may be thousands."""

    id: str
    schedule: Schedule
    likeness: int | None = None
    body: bytes | None = None
    failures: int = 0
    trouble: RelayError | None = None
    missing_since: float = math.inf
    alone: bool = False
    held: _Group | None = None


@define(eq=False)
class _Group:
    """
    The tasks of one batch, kept together after it has failed.

    ``failures`` are those in a row. ``sent`` and ``failed`` are the numbers of requests and of responses at
    the moment of the last request and of the first failure.
    """

    watches: list[_Watch]
    failures: int = 0
    sent: int = 0
    failed: int = 0
    probed: bool = False


@define(eq=False)
class Polling:
    """
    Waits for tasks, each until ``until`` says that it will do.

    ``batch`` is the largest number of ids in one request, None where the relay takes one at a time;
    ``rate`` bounds requests per second, ``concurrency`` those in flight. ``restore`` makes a task of the JSON
    that was kept of it. Moments are seconds on one monotonic clock, and ``epoch`` is its zero in Unix time.
    """

    relay: str
    rhythm: RefreshModel
    redactor: Redactor
    restore: Callable[[bytes], Task]
    started: float
    epoch: float
    deadline: float = math.inf
    until: Callable[[Task], bool] = ends
    retries: int = 8
    grace: float = GRACE
    concurrency: int = 1
    rate: float | None = None
    batch: int | None = None
    chance: Callable[[], float] = random.random
    _watches: dict[str, _Watch] = field(init=False, factory=dict)
    _due: list[tuple[float, int, _Watch | _Group]] = field(init=False, factory=list)
    _batches: dict[tuple[str, ...], _Group] = field(init=False, factory=dict)
    _events: deque[Event] = field(init=False, factory=deque)
    _entries: int = field(init=False, default=0)
    _in_flight: int = field(init=False, default=0)
    _paused_until: float = field(init=False, default=-math.inf)
    _gathering_until: float = field(init=False, default=-math.inf)
    _budget: float = field(init=False, default=-math.inf)
    _met: bool = field(init=False, default=False)
    _requests: int = field(init=False, default=0)
    _responses: int = field(init=False, default=0)
    _alive: int = field(init=False, default=0)
    _batched: bool = field(init=False, default=False)
    _strikes: int = field(init=False, default=0)
    _struck: int = field(init=False, default=0)
    _strange: set[str] = field(init=False, factory=set)

    def add(self, task_id: str, now: float) -> None:
        """Wait for one more task, unless it is waited for already; it is due at once."""
        if task_id not in self._watches:
            self._watches[task_id] = watch = _Watch(task_id, Schedule(self.rhythm, self.chance))
            self._put(watch, now)

    @property
    def done(self) -> bool:
        """Whether nothing is waited for any more."""
        return not self._watches

    def events(self) -> Iterator[Event]:
        """What has happened since this was asked last."""
        while self._events:
            yield self._events.popleft()

    def next(self, now: float) -> PollRequest | float:
        """Whom to ask for now, else the moment to come back; infinite where an answer has to come first."""
        if now >= self.deadline:
            self._lose_all(None)
            return math.inf
        if not self._due or self._in_flight >= self.concurrency:
            return math.inf
        # A second's worth of requests may go out together.
        moment = max(self._due[0][0], self._paused_until, self._gathering_until, self._budget - 1.0)
        if moment > now:
            return min(moment, self.deadline)
        if self.rate is not None:
            self._budget = max(self._budget, now) + 1 / self.rate
        self._in_flight += 1
        self._requests += 1
        group = self._pick(now)
        ids = tuple(watch.id for watch in group.watches)
        if len(ids) > 1:
            group.sent = self._requests
            self._batches[ids] = group
        return PollRequest(ids)

    def _pick(self, now: float) -> _Group:
        """Take what is sent next: a batch that failed before, or the tasks that are due."""
        first = heapq.heappop(self._due)[2]
        if isinstance(first, _Group):
            return first
        group = _Group([first])
        if self.batch is not None and not first.alone:
            while len(group.watches) < self.batch and (other := self._joining(now)) is not None:
                group.watches.append(other)
            if not (self._due and self._due[0][0] <= now):
                self._gathering_until = now + _GATHERING
        return group

    def _joining(self, now: float) -> _Watch | None:
        """Take the next task if it may join a batch: it is due, or has no error to wait out."""
        if not self._due:
            return None
        due, _, watch = self._due[0]
        if isinstance(watch, _Group) or watch.alone or not (due <= now or watch.trouble is None):
            return None
        heapq.heappop(self._due)
        return watch

    def answered(
        self, ask: PollRequest, answer: Mapping[str, Task | RelayError] | RelayError, now: float
    ) -> None:
        """Take what came for a request: what became of each id, or why the request told nothing of any."""
        self._in_flight -= 1
        self._responses += 1
        group = self._batches.pop(ask.ids, None)
        if (first := self._watches[ask.ids[0]]).held is not None:
            self._put(first.held, now)
            first.held = None
        if isinstance(answer, RelayError):
            if isinstance(answer, UnauthorizedError) and not self._met:
                self._lose_all(answer)
            elif group is not None:
                self._broken(group, answer, now)
                return
            answer = {task_id: _about(answer, task_id) for task_id in ask.ids}
        if not all(isinstance(one, RelayError) and one.transient for one in answer.values()):
            self._alive = self._responses
        if group is not None and any(isinstance(one, Task) for one in answer.values()):
            self._batched, self._strikes = True, 0
        for task_id in ask.ids:
            watch, one = self._watches[task_id], answer[task_id]
            if isinstance(one, RelayError):
                due = self._trouble(watch, one, now, many=group is not None)
            else:
                due = self._news(watch, one, now)
            if due is not None:
                self._put(watch, due)

    def _broken(self, group: _Group, error: RelayError, now: float) -> None:
        """Handle a batch whose response says nothing of any of its tasks: retry, split, probe or give up."""
        group.failures += 1
        if group.failures == 1:
            group.failed = self._responses
        trouble = _light(error)
        for watch in group.watches:
            watch.trouble = trouble
        half = len(group.watches) // 2
        alive = self._alive > group.failed and not isinstance(error, RateLimitedError)
        if error.exchange is not None and error.exchange.oversize:
            self._split(group, half, now)
            return
        self._strike(group, error)
        due = now + self._delay(error, 1 if alive else group.failures, now) if error.transient else now
        if group.failures <= min(1, self.retries) or self.batch is None:
            self._put(group, due)
        elif alive or not error.transient:
            self._split(group, half, due)
        elif not group.probed and not isinstance(error, RateLimitedError):
            self._probe(group, due)
        elif group.failures <= self.retries:
            self._put(group, due)
        else:
            for watch in group.watches:
                self._lose(watch, _about(error, watch.id))

    def _strike(self, group: _Group, error: RelayError) -> None:
        """
        Count a failed batch; give batching up after three in a row where none ever worked.

        Batches that were sent before the last one was counted are not: they failed together. An error of the
        whole relay counts only if single tasks are answered.
        """
        if self._batched or group.sent <= self._struck or (isinstance(error, _ABOUT_ALL) and not self._met):
            return
        self._strikes, self._struck = self._strikes + 1, self._requests
        if self._strikes >= _STRIKES and self.batch is not None:
            self.batch, self._gathering_until = None, -math.inf
            waiting, self._due = self._due, []
            for due, _, entry in waiting:
                self._put(entry, due)

    def _split(self, group: _Group, size: int, due: float) -> None:
        """Put the first ``size`` tasks of a batch and the others apart; each half is split when it fails."""
        for part in (group.watches[:size], group.watches[size:]):
            if len(part) == 1:
                part[0].alone = True
                self._put(part[0], due)
            else:
                self._put(_Group(part, failures=1, failed=self._responses), due)

    def _probe(self, group: _Group, due: float) -> None:
        """Send one task of a batch alone, and hold the others until its response: the relay may be down."""
        probe, *others = group.watches
        group.watches, group.probed = others, True
        probe.alone, probe.held = True, group
        self._put(probe, due)

    def _news(self, watch: _Watch, task: Task, now: float) -> float | None:
        """Take an answer that holds the task; when it is due again, None where it is done."""
        self._met = True
        watch.failures, watch.trouble, watch.missing_since, watch.alone = 0, None, math.inf, False
        if self.until(task):
            watch.schedule.conclude(now)
            del self._watches[watch.id]
            self._events.append(TaskEnded(task))
            return None
        likeness = _likeness(task)
        changed = likeness != watch.likeness
        if changed:
            watch.likeness = likeness
            watch.body = json.dumps(task.document, ensure_ascii=False, separators=(",", ":")).encode()
            self._events.append(TaskChanged(task))
            self._wonder_at(task)
        age = None if task.started is None else now + self.epoch - task.started.timestamp()
        delay = watch.schedule.observe(now, progress=task.progress, age=age, changed=changed)
        pause = retry_after(task.exchange, now + self.epoch)
        if pause is not None:
            return now + min(max(delay, pause), LONGEST_PAUSE)
        last_call = self.deadline - _LAST_CALL
        return min(now + delay, last_call if now < last_call else self.deadline)

    def _trouble(self, watch: _Watch, error: RelayError, now: float, *, many: bool) -> float | None:
        """Take an answer that holds no task; when the next try is due, None where there is none."""
        watch.trouble = _light(error)
        if isinstance(error, MissingTaskError):
            watch.missing_since = min(watch.missing_since, now)
            bearable = now - watch.missing_since < self.grace
        else:
            watch.failures += 1
            hasty = many or (watch.likeness is None and isinstance(error, AnswerError))
            bearable = error.transient and watch.failures <= (
                min(self.retries, _FIRST_TRIES) if hasty else self.retries
            )
        if not bearable and many and not isinstance(error, UnauthorizedError):
            watch.alone = True  # nothing that was asked for among others is lost before it was alone
        elif not bearable:
            self._lose(watch, error)
            return None
        return now + self._delay(error, watch.failures, now)

    def _delay(self, error: RelayError, failures: int, now: float) -> float:
        """Seconds until the next try; a relay that asks for a pause gets it for all tasks."""
        delay = 2.0 ** min(max(failures - 1, 0), 5) * (0.75 + self.chance() / 2)
        delay = min(delay, _LONGEST_BACKOFF)
        if error.retry_after is not None:
            delay = min(max(error.retry_after, delay), LONGEST_PAUSE)
        if error.retry_after is not None or isinstance(error, RateLimitedError):
            self._paused_until = max(self._paused_until, now + delay)
        return delay

    def _lose(self, watch: _Watch, error: RelayError | None) -> None:
        del self._watches[watch.id]
        task = None if watch.body is None else self.restore(watch.body)
        if error is None:
            error = self._timed_out(watch, task)
        error.task = error.task or task
        self._events.append(TaskLost(error))

    def _lose_all(self, error: RelayError | None) -> None:
        """Give up all that is not in flight: for a key that is refused, or because the time is over."""
        while self._due:
            entry = heapq.heappop(self._due)[2]
            for watch in entry.watches if isinstance(entry, _Group) else [entry]:
                if watch.held is not None:
                    self._put(watch.held, -math.inf)
                self._lose(watch, error and _about(error, watch.id))

    def _timed_out(self, watch: _Watch, task: Task | None) -> RelayError:
        if task is None:
            stood = "was never seen" if watch.trouble is None else f"was never seen ({watch.trouble})"
        else:
            progress = "" if task.progress is None else f" at {task.progress} %"
            stood = f"was {task.state}{progress}"
        error = WaitTimeoutError(
            f"task {watch.id} {stood} after {self.deadline - self.started:g} seconds; nothing was cancelled, "
            f"so go on waiting with wait({watch.id!r}), or: mjrelay wait {self.relay} {watch.id}",
            relay=self.relay,
            task_id=watch.id,
            exchange=None if watch.trouble is None else watch.trouble.exchange,
        )
        error.__cause__ = watch.trouble
        return error

    def _wonder_at(self, task: Task) -> None:
        """Say once of a word that the contract does not know that it was met."""
        word = self.redactor.excerpt(repr(task.status), 80)
        if task.state is State.UNKNOWN and word not in self._strange:
            self._strange.add(word)
            _log.warning(
                "%s: the contract does not know the status %s; waiting on until the deadline",
                self.relay,
                word,
            )

    def _put(self, entry: _Watch | _Group, due: float) -> None:
        if isinstance(entry, _Group) and (self.batch is None or len(entry.watches) == 1):
            for watch in entry.watches:
                self._put(watch, due)
            return
        self._entries += 1  # no two entries compare their watches
        heapq.heappush(self._due, (due, self._entries, entry))


def _likeness(task: Task) -> int:
    """What must differ for a task to have changed; a link signed anew is the same link."""
    media = (*task.images, *task.videos, *task.previews)
    links = tuple(url.partition("?")[0] for url in media)
    return hash((task.state, str(task.status), task.progress, links, task.started))


def _about(error: RelayError, task_id: str) -> RelayError:
    """The same error about one of the tasks that it befell."""
    if error.task_id == task_id:
        return error
    own = copy.copy(error)
    own.task_id = task_id
    return own


def _light(error: RelayError) -> RelayError:
    """The error with no more of the answer than may be kept for each task."""
    if error.exchange is not None and len(error.exchange.body) > _KEPT:
        error.exchange = evolve(error.exchange, body=error.exchange.body[:_KEPT])
    return error
