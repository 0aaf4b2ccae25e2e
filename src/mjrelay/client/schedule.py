"""
When to poll a pending task again.

A fixed interval wastes most requests in the middle of a task, and notices its end half an interval late on
average. A schedule polls seldom while nothing can happen, and often when the end is near. It uses three
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

All times are seconds of the caller's monotonic clock. Of the relay's clock only a task's age is used.
"""

from __future__ import annotations

from math import floor, inf, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


_CLOSE = 3.6  # seconds between two polls when the end may be near
_LEAST = 2.0  # minimum delay in seconds, and the width below which a window is not halved
_AGEING = 0.005  # lag of the end of a task, as a share of its age
_EXPECTED = 0.028  # delay of a poll, as a share of the expected time until an end,
_STRETCH = 0.035  # at most this share of the age above twice the close interval
_BANDS = 6  # number of age bands while the age doubles
_MEMORY = 10_000.0  # seconds spent in an age band after which its statistics are halved
_STEADY, _TRUSTED, _MISREAD = 0.5, 0.3, 0.12  # maximum delay, as a share of the time watched
_SPREAD = 0.05  # jitter, as a share of the interval
_DRIFT = 0.04  # share by which a relay's interval may be longer than documented
_EARLIER = 3.0  # seconds by which a task may have started before its first poll
_LATENCY = 0.5  # seconds by which a response's data may be older than its arrival
_GAIN, _DOUBT = 0.2, 0.1  # weight of one contradiction of windows, and the maximum doubt


class RefreshModel:
    """
    What the tasks of one relay show: when it refreshes its data, and at which ages tasks end.

    ``refresh`` is the interval in seconds, or None if data is always fresh. Threads may share a model: a lost
    update is harmless.
    """

    __slots__ = ("_doubt", "_polls", "_refresh", "_saw_end", "_window")

    def __init__(self, refresh: float | None) -> None:
        self._refresh = refresh
        self._window: tuple[float, float] | None = None
        self._doubt = 0.0
        self._polls: dict[tuple[bool, int], tuple[float, float]] = {}
        self._saw_end = False

    def add_change(self, before: float, after: float) -> None:
        """Record that a task's data changed between the arrivals of two responses."""
        before -= _LATENCY
        if self._refresh is None or after - before >= self._refresh:
            return
        early, late = self._next(before) or (before, after)
        if early + self._refresh < after:  # two ticks are possible: keep the narrower window
            if after - before < late - early:
                self._window = before, after
            return
        another = self._window is None or early > self._window[0]
        early, late = max(early, before), min(late, after)
        if another or early >= late:  # polls of one tick agree only once
            self._doubt += _GAIN * ((early >= late) - self._doubt)
        self._window = (early, late) if early < late else (before, after)

    def tick(self, moment: float) -> tuple[float, float] | None:
        """Return the window of the first tick after a moment, or None if it is unknown."""
        return self._next(moment) if self._doubt < _DOUBT else None

    def data_time(self, now: float) -> tuple[float, float]:
        """Return the earliest and latest time of the data of a response that arrived now."""
        if self._refresh is None:
            return now, now
        tick = self.tick(now)
        if tick is None:
            return now - self._refresh, now
        early, late = tick
        return early - self._refresh * (1 + _DRIFT), now if early < now else min(late - self._refresh, now)

    def polled(self, age: float, waited: float, *, shows: bool, ended: bool) -> None:
        """Record whether a task of an age, with or without progress, ended before the next poll."""
        key = shows, _band(age)
        spent, ends = self._polls.get(key, (0.0, 0.0))
        spent, ends = spent + waited, ends + ended
        self._polls[key] = (spent, ends) if spent < _MEMORY else (spent / 2, ends / 2)
        self._saw_end = self._saw_end or ended

    def pace(self, age: float, *, shows: bool) -> float:
        """Return seconds until the next poll of a task of an age that may end at any time."""
        close = max(_CLOSE, _AGEING * age)
        if not self._saw_end:
            return close
        spent, ends = self._polls.get((shows, _band(age)), (0.0, 0.0))
        return min(max(close, _EXPECTED * spent / (ends + 1)), 2 * _CLOSE + _STRETCH * age)

    def _next(self, moment: float) -> tuple[float, float] | None:
        """Return the first window that ends after a moment, or None if it is as wide as the interval."""
        if self._window is None or self._refresh is None:
            return None
        early, late = self._window
        longest = self._refresh * (1 + _DRIFT)
        turns = max(floor((moment - late) / longest) + 1, 0)
        early, late = early + turns * self._refresh, late + turns * longest
        return (early, late) if late - early < self._refresh else None


class Schedule:
    """When to poll one task again; ``random`` returns numbers from 0 to 1, for jitter."""

    __slots__ = (
        "_asked", "_base", "_first", "_idle", "_least", "_made", "_most", "_origin", "_progress", "_random",
        "_refresh_model", "_start", "_steady", "_steps",
    )  # fmt: skip

    def __init__(self, refresh_model: RefreshModel, random: Callable[[], float]) -> None:
        self._refresh_model, self._random = refresh_model, random
        self._first = self._idle = self._asked = self._made = self._start = -inf
        self._progress = 0
        self._count_from(-inf, 0)

    def observe(self, now: float, *, progress: int | None, age: float | None, changed: bool) -> float:
        """
        Return seconds until the next poll of a task that a response showed to be pending.

        ``progress`` is a percentage, and ``age`` the seconds since its start by the relay's clock; both can
        be None. ``changed`` is whether the response differs from the previous one.
        """
        percent = self._progress if progress is None else min(max(progress, 0), 100)
        if self._first == -inf:
            self._first = now
            self._progress = self._base = percent
            if percent == 0:
                self._idle = now
        else:
            self._learn(now, changed=changed, ended=False)
        early, late = self._refresh_model.data_time(now)
        if age is not None and 0 <= age < inf:
            if abs(now - age - self._start) > _LEAST:
                self._start = now - age
                self._count_from(max(self._start, self._idle - _EARLIER), 0)
        elif percent <= self._base:
            self._count_from(early, percent)  # it may have been queued until now
        if progress is not None:
            if percent > self._base:
                self._reckon(percent, early, late)
            self._progress, self._made = percent, early
        self._asked = now
        return self._delay(now)

    def conclude(self, now: float) -> None:
        """Record that a response showed the task to be done, for the schedules of other tasks."""
        if self._first > -inf:
            self._learn(now, changed=True, ended=True)

    def _learn(self, now: float, *, changed: bool, ended: bool) -> None:
        if changed:
            self._refresh_model.add_change(self._asked, now)
        age, waited = self._asked - self._first, now - self._asked
        self._refresh_model.polled(age, waited, shows=self._progress > 0, ended=ended)

    def _count_from(self, origin: float, base: int) -> None:
        """Drop the bounds of the end, and count progress from a percentage at a moment."""
        self._origin, self._base = origin, base
        self._least = self._steady = -inf  # lower bounds; the second holds if progress is steady
        self._most = inf
        self._steps = 0

    def _reckon(self, percent: int, early: float, late: float) -> None:
        """Narrow the bounds of the end by a percentage in data from between two moments."""
        origin, whole, done = self._origin, 100 - self._base, percent - self._base
        begun = max(origin, self._idle)  # no progress until then, whatever the relay's clock shows
        if percent > self._progress:
            self._steps += 1
            self._least = max(self._least, begun + (self._made - begun) * whole / done)
            self._most = min(self._most, origin + (late - origin) * whole / done)
            if self._least > self._most:
                self._count_from(late, percent)
                self._steady = inf
                return
        self._steady = max(self._steady, begun + (early - begun) * whole / (done + 1))
        if self._steady > self._most:
            self._steady = inf  # progress is in jumps

    def _delay(self, now: float) -> float:
        watched = max(now - self._first, 0.0)
        pace = self._refresh_model.pace(watched, shows=self._progress > 0)
        lower, upper = now, inf
        if now < self._most < inf:
            steady = self._steps > 1 and self._steady < inf
            reach = _STEADY if steady else _MISREAD if self._base else _TRUSTED
            lower = min(max(now, self._steady if steady else self._least), now + reach * watched)
            upper = self._most
        at = min(lower + pace, upper)
        if self._asked > self._first and (tick := self._refresh_model.tick(lower)):
            early, at = max(tick[0], now), tick[1]
            if at - early > _LEAST:
                at = (early + at) / 2
        return max(at - now, _LEAST) + _SPREAD * pace * self._random()


def _band(age: float) -> int:
    return int(_BANDS * log2(1 + max(age, 0.0)))
