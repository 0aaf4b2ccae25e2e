"""
When to poll a pending task again.

A fixed interval wastes most requests in the middle of a task, and notices its end half an interval late on
average. A schedule polls seldom while nothing can happen, and often when the end is near. It uses four
sources.

*The task.* If progress is proportional to time, a percentage ``p`` that shows at ``t`` and did not at ``s``
puts the end between ``100 s / p`` and ``100 t / p`` after the start, whether progress is steady or in jumps.
If it is steady, each response also shows that the end is not before ``100 t / (p + 1)``. Contradictory bounds
mean that progress follows another law: they are dropped, counting restarts at that response, and later bounds
are trusted less. A bound delays the next poll by at most a share of the time watched. This limits the cost of
a wrong law, or of a relay whose clock is wrong.

*The relay.* Some relays refresh their data at intervals. Two different responses have such a refresh, a tick,
between them. These windows, shifted by whole intervals and intersected, predict the next tick; more than one
poll between two ticks is useless. Real intervals are a little longer than documented, so windows widen with
time. If windows contradict each other, ticks are ignored.

*Other tasks.* At ages at which tasks of this relay seldom end, polls are further apart.

*The state.* Before a task has started, one poll per refresh of the relay is enough. Only during the first
refresh there are three: a start that falls into it shows the next tick.

All times are seconds of the caller's clock. Of the relay's clock only a task's age is used. A `Schedule` is
plain numbers; a `RefreshModel` is shared by all tasks of a relay.
"""

from __future__ import annotations

from math import floor, inf, log2

from attrs import define

_SHORT_INTERVAL = 3.6  # seconds between two polls when the end may be near
_MIN_DELAY = 2.0  # minimum delay in seconds, and the width below which a window is not halved
_AGE_SHARE = 0.005  # minimum interval, as a share of the task's age
_EXPECTED_SHARE = 0.028  # interval, as a share of the expected time until an end,
_MAX_AGE_SHARE = 0.035  # limited to this share of the age above twice the short interval
_BANDS = 6  # number of age bands while the age doubles
_MAX_BAND_TIME = 10_000.0  # seconds spent in an age band after which its statistics are halved
_STEADY_REACH, _REACH, _LOW_REACH = 0.5, 0.3, 0.12  # maximum delay, as a share of the time watched
_JITTER = 0.05  # as a share of the interval
_QUEUED_SHARE = 1 / 3  # interval of a queued task, as a share of the first refresh
_DRIFT = 0.04  # share by which a relay's interval may be longer than documented
_MAX_HEAD_START = 3.0  # seconds by which a task may have started before its first poll
_MAX_GAP = 600.0  # seconds between two polls from which nothing is learned: polling was interrupted
_LATENCY = 0.5  # seconds by which a response's data may be older than its arrival
_DOUBT_WEIGHT, _MAX_DOUBT = 0.2, 0.1  # weight of one contradiction of windows, and the maximum doubt


class RefreshModel:
    """
    What the tasks of one relay have shown: when it refreshes its data, and at which ages tasks end.

    Threads may share a model: a lost update is harmless.

    Attributes:
        refresh: The interval in seconds; 0 if data is always fresh.
        saw_task: Whether the relay ever returned a task.
    """

    __slots__ = ("_ages", "_doubt", "_saw_end", "_window", "refresh", "saw_task")

    def __init__(self, refresh: float | None) -> None:
        self.refresh = refresh or 0.0
        self.saw_task = False
        self._window: tuple[float, float] | None = None
        self._doubt = 0.0
        self._ages: dict[tuple[bool, int], tuple[float, float]] = {}
        self._saw_end = False

    def add_change(self, before: float, after: float) -> None:
        """Record that a task's data changed between the arrivals of two responses."""
        before -= _LATENCY
        if after - before >= self.refresh:
            return
        early, late = self._next_window(before) or (before, after)
        if early + self.refresh < after:  # two ticks are possible: keep the narrower window
            if after - before < late - early:
                self._window = before, after
            return
        another = self._window is None or early > self._window[0]
        early, late = max(early, before), min(late, after)
        if another or early >= late:  # polls of one tick agree only once
            self._doubt += _DOUBT_WEIGHT * ((early >= late) - self._doubt)
        self._window = (early, late) if early < late else (before, after)

    def tick(self, moment: float) -> tuple[float, float] | None:
        """Return the window of the first tick after a moment, or None if it is unknown."""
        return self._next_window(moment) if self._doubt < _MAX_DOUBT else None

    def data_time(self, now: float) -> tuple[float, float]:
        """Return the earliest and latest time of the data of a response that arrived now."""
        tick = self.tick(now)
        if tick is None:
            return now - self.refresh, now
        early, late = tick
        return early - self.refresh * (1 + _DRIFT), now if early < now else min(late - self.refresh, now)

    def add_poll(self, age: float, waited: float, *, has_progress: bool, ended: bool) -> None:
        """Record whether a task of an age, with or without progress, ended before the next poll."""
        key = has_progress, _band(age)
        spent, ends = self._ages.get(key, (0.0, 0.0))
        spent, ends = spent + waited, ends + ended
        self._ages[key] = (spent, ends) if spent < _MAX_BAND_TIME else (spent / 2, ends / 2)
        self._saw_end = self._saw_end or ended

    def interval(self, age: float, *, has_progress: bool) -> float:
        """Return seconds until the next poll of a task of an age that may end at any time."""
        shortest = max(_SHORT_INTERVAL, _AGE_SHARE * age)
        if not self._saw_end:
            return shortest
        spent, ends = self._ages.get((has_progress, _band(age)), (0.0, 0.0))
        longest = 2 * _SHORT_INTERVAL + _MAX_AGE_SHARE * age
        return min(max(shortest, _EXPECTED_SHARE * spent / (ends + 1)), longest)

    def _next_window(self, moment: float) -> tuple[float, float] | None:
        """Return the first window that ends after a moment, or None if it is as wide as the interval."""
        if self._window is None:
            return None
        early, late = self._window
        longest = self.refresh * (1 + _DRIFT)
        intervals = max(floor((moment - late) / longest) + 1, 0)
        early, late = early + intervals * self.refresh, late + intervals * longest
        return (early, late) if late - early < self.refresh else None


@define(eq=False)
class Schedule:
    """
    When to poll one task again.

    Attributes:
        first_poll: When the first response arrived.
        last_poll: When the last response arrived.
        idle_until: When the task was last seen without progress.
        started: The start of the task by the relay's clock.
        progress: The last percentage.
        progress_time: The earliest time of its data.
        origin: Where progress is counted from,
        origin_progress: and the percentage there.
        increases: The number of increases since then.
        earliest_end: A lower bound of the end.
        earliest_end_if_steady: A lower bound that holds if progress is steady; infinite if it is not.
        latest_end: An upper bound of the end.
    """

    first_poll: float = -inf
    last_poll: float = -inf
    idle_until: float = -inf
    started: float = -inf
    progress: int = 0
    progress_time: float = -inf
    origin: float = -inf
    origin_progress: int = 0
    increases: int = 0
    earliest_end: float = -inf
    earliest_end_if_steady: float = -inf
    latest_end: float = inf

    def observe(
        self,
        now: float,
        model: RefreshModel,
        *,
        progress: int | None,
        age: float | None,
        changed: bool,
        queued: bool = False,
        jitter: float = 0.0,
    ) -> float:
        """
        Return seconds until the next poll of a task that a response showed to be pending.

        Args:
            now: When the response arrived.
            model: The relay's model.
            progress: The percentage, or None.
            age: The seconds since the task's start by the relay's clock, or None.
            changed: Whether the response differs from the previous one.
            queued: Whether the task has not started yet.
            jitter: A random number from 0 to 1.
        """
        percent = self.progress if progress is None else min(max(progress, 0), 100)
        if self.first_poll == -inf:
            self.first_poll = now
            self.progress = self.origin_progress = percent
            if percent == 0:
                self.idle_until = now
        else:
            self._teach(model, now, changed=changed, ended=False)
        early, late = model.data_time(now)
        if age is not None and 0 <= age < inf:
            if abs(now - age - self.started) > _MIN_DELAY:
                self.started = now - age
                self._count_from(max(self.started, self.idle_until - _MAX_HEAD_START), 0)
        elif percent <= self.origin_progress:
            self._count_from(early, percent)  # it may have been queued until now
        if progress is not None:
            if percent > self.origin_progress:
                self._narrow_bounds(percent, early, late)
            self.progress, self.progress_time = percent, early
        self.last_poll = now
        return self._delay(now, model, jitter, queued=queued)

    def conclude(self, now: float, model: RefreshModel) -> None:
        """Record that a response showed the task to be done, for the schedules of other tasks."""
        if self.first_poll > -inf:
            self._teach(model, now, changed=True, ended=True)

    def _teach(self, model: RefreshModel, now: float, *, changed: bool, ended: bool) -> None:
        age, waited = self.last_poll - self.first_poll, now - self.last_poll
        if not 0 <= waited <= _MAX_GAP:
            return
        if changed:
            model.add_change(self.last_poll, now)
        model.add_poll(age, waited, has_progress=self.progress > 0, ended=ended)

    def _count_from(self, origin: float, progress: int) -> None:
        """Drop the bounds of the end, and count progress from a percentage at a moment."""
        self.origin, self.origin_progress, self.increases = origin, progress, 0
        self.earliest_end = self.earliest_end_if_steady = -inf
        self.latest_end = inf

    def _narrow_bounds(self, percent: int, early: float, late: float) -> None:
        """Narrow the bounds of the end by a percentage in data from between two moments."""
        total, done = 100 - self.origin_progress, percent - self.origin_progress
        begun = max(self.origin, self.idle_until)  # no progress until then, whatever the relay's clock shows
        if percent > self.progress:
            self.increases += 1
            previous = begun + (self.progress_time - begun) * total / done
            self.earliest_end = max(self.earliest_end, previous)
            self.latest_end = min(self.latest_end, self.origin + (late - self.origin) * total / done)
            if self.earliest_end > self.latest_end:
                self._count_from(late, percent)
                self.earliest_end_if_steady = inf
                return
        steady = begun + (early - begun) * total / (done + 1)
        self.earliest_end_if_steady = max(self.earliest_end_if_steady, steady)
        if self.earliest_end_if_steady > self.latest_end:
            self.earliest_end_if_steady = inf  # progress is in jumps

    def _delay(self, now: float, model: RefreshModel, jitter: float, *, queued: bool) -> float:
        watched = max(now - self.first_poll, 0.0)
        interval = model.interval(watched, has_progress=self.progress > 0)
        if queued:
            interval = max(interval, model.refresh * (1.0 if watched >= model.refresh else _QUEUED_SHARE))
        lower, upper = now, inf
        if now < self.latest_end < inf:
            steady = self.increases > 1 and self.earliest_end_if_steady < inf
            reach = _STEADY_REACH if steady else _LOW_REACH if self.origin_progress else _REACH
            earliest = self.earliest_end_if_steady if steady else self.earliest_end
            lower = min(max(now, earliest), now + reach * watched)
            upper = self.latest_end
        at = min(lower + interval, upper)
        if self.last_poll > self.first_poll and (tick := model.tick(lower)):
            early, at = max(tick[0], now), tick[1]
            if at - early > _MIN_DELAY:
                at = (early + at) / 2
        return max(at - now, _MIN_DELAY) + _JITTER * interval * jitter


def _band(age: float) -> int:
    return int(_BANDS * log2(1 + max(age, 0.0)))
