"""
When to ask again about a task that is not done.

To ask at a fixed interval wastes most requests in the middle of a task, and is late by half an interval at
its end. A schedule asks seldom where nothing can happen and often where the end is near. It knows from three
sources.

*The task.* Where progress keeps step with time, a percentage ``p`` that shows at ``t`` and did not at ``s``
puts the end between ``100 s / p`` and ``100 t / p`` after the start, be it reached steadily or in jumps;
where it is steady, each answer says as well that the end is not before ``100 t / (p + 1)``. Bounds that
contradict each other mean another law: they are dropped, counting begins anew from that answer, and trust is
smaller from then on. No bound is waited for longer than a share of the time the task was watched, which
limits what a law misread, or a relay whose clock is wrong, can cost.

*The relay.* Some refresh their data at intervals only. Two answers that differ put such a moment, a tick,
between them; these windows, moved on by whole intervals and laid over each other, tell the next tick, and to
ask more than once between two ticks is waste. Intervals last a little longer than they are said to, so
windows widen with time. A relay whose windows contradict each other is asked as if nothing were known of its
ticks.

*Other tasks.* At ages at which tasks of this relay seldom end, the next look may take a share of the time
that passes until one does.

Everything is counted on the caller's monotonic clock; of the relay's clock only a task's age is used.
"""

from __future__ import annotations

from math import floor, inf, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


_CLOSE = 3.6  # seconds between two looks where the end may be near
_LEAST = 2.0  # seconds; nothing is asked for more often, nor is a window below that worth halving
_AGEING = 0.005  # the share of its age by which the end of a task may be noticed late
_EXPECTED = 0.028  # the share of the time until an end is expected that a look may wait,
_STRETCH = 0.035  # up to this share of the age above twice the close interval
_BANDS = 6  # how many ages are told apart while an age doubles
_MEMORY = 10_000.0  # seconds spent at an age after which what was learnt there counts half
_STEADY, _TRUSTED, _MISREAD = 0.5, 0.3, 0.12  # the longest wait, as a share of the time watched
_SPREAD = 0.05  # the share of an interval left to chance, so that tasks do not ask in step
_DRIFT = 0.04  # by how much of itself a relay's interval may be longer than it is said to be
_EARLIER = 3.0  # seconds by which a task that shows nothing yet may have started before it was first seen
_LATENCY = 0.5  # seconds by which what an answer tells may be older than its arrival
_GAIN, _DOUBT = 0.2, 0.1  # what one contradiction adds to the doubt about windows, and how much is too much


class RefreshModel:
    """
    What the tasks of one relay teach: when it refreshes its data, and at which ages tasks end.

    ``refresh`` is the interval in seconds, None where the data is always fresh. Threads may share a rhythm;
    what they lose of each other's lessons does no harm.
    """

    __slots__ = ("_doubt", "_looks", "_refresh", "_taught", "_window")

    def __init__(self, refresh: float | None) -> None:
        self._refresh = refresh
        self._window: tuple[float, float] | None = None
        self._doubt = 0.0
        self._looks: dict[tuple[bool, int], tuple[float, float]] = {}
        self._taught = False

    def changed(self, before: float, after: float) -> None:
        """Learn that a task's data changed between the arrivals of two answers."""
        before -= _LATENCY
        if self._refresh is None or after - before >= self._refresh:
            return
        early, late = self._next(before) or (before, after)
        if early + self._refresh < after:  # either of two ticks may have been seen: the narrower window stays
            if after - before < late - early:
                self._window = before, after
            return
        another = self._window is None or early > self._window[0]
        early, late = max(early, before), min(late, after)
        if another or early >= late:  # looks at one tick, however many, agree once
            self._doubt += _GAIN * ((early >= late) - self._doubt)
        self._window = (early, late) if early < late else (before, after)

    def tick(self, moment: float) -> tuple[float, float] | None:
        """The window of the first tick that may come after a moment, None where it is not known."""
        return self._next(moment) if self._doubt < _DOUBT else None

    def made(self, now: float) -> tuple[float, float]:
        """Between which moments the data of an answer that came now was made."""
        if self._refresh is None:
            return now, now
        tick = self.tick(now)
        if tick is None:
            return now - self._refresh, now
        early, late = tick
        return early - self._refresh * (1 + _DRIFT), now if early < now else min(late - self._refresh, now)

    def looked(self, age: float, waited: float, *, shows: bool, ended: bool) -> None:
        """Learn whether a task of an age, whose progress shows or not, ended before the next look."""
        key = shows, _band(age)
        spent, ends = self._looks.get(key, (0.0, 0.0))
        spent, ends = spent + waited, ends + ended
        self._looks[key] = (spent, ends) if spent < _MEMORY else (spent / 2, ends / 2)
        self._taught = self._taught or ended

    def pace(self, age: float, *, shows: bool) -> float:
        """Seconds until the next look at a task of an age whose end may come at any time."""
        close = max(_CLOSE, _AGEING * age)
        if not self._taught:
            return close
        spent, ends = self._looks.get((shows, _band(age)), (0.0, 0.0))
        return min(max(close, _EXPECTED * spent / (ends + 1)), 2 * _CLOSE + _STRETCH * age)

    def _next(self, moment: float) -> tuple[float, float] | None:
        """The first window that ends after a moment, None once it is as wide as the interval."""
        if self._window is None or self._refresh is None:
            return None
        early, late = self._window
        longest = self._refresh * (1 + _DRIFT)
        turns = max(floor((moment - late) / longest) + 1, 0)
        early, late = early + turns * self._refresh, late + turns * longest
        return (early, late) if late - early < self._refresh else None


class Schedule:
    """When to ask again about one task; `chance` gives numbers from 0 to 1, `random.random` for example."""

    __slots__ = (
        "_asked", "_base", "_chance", "_first", "_idle", "_least", "_made", "_most", "_origin", "_progress",
        "_rhythm", "_start", "_steady", "_steps",
    )  # fmt: skip

    def __init__(self, rhythm: RefreshModel, chance: Callable[[], float]) -> None:
        self._rhythm, self._chance = rhythm, chance
        self._first = self._idle = self._asked = self._made = self._start = -inf
        self._progress = 0
        self._count_from(-inf, 0)

    def observe(self, now: float, *, progress: int | None, age: float | None, changed: bool) -> float:
        """
        Seconds until a task is asked for again of which an answer came now that did not find it done.

        ``progress`` is a percentage, and ``age`` the seconds since the task started as the relay has it, each
        None where not told. ``changed`` is whether the answer differs from the one before.
        """
        percent = self._progress if progress is None else min(max(progress, 0), 100)
        if self._first == -inf:
            self._first = now
            self._progress = self._base = percent
            if percent == 0:
                self._idle = now
        else:
            self._learn(now, changed=changed, ended=False)
        early, late = self._rhythm.made(now)
        if age is not None and 0 <= age < inf:
            if abs(now - age - self._start) > _LEAST:
                self._start = now - age
                self._count_from(max(self._start, self._idle - _EARLIER), 0)
        elif percent <= self._base:
            self._count_from(early, percent)  # it may have been queued so far
        if progress is not None:
            if percent > self._base:
                self._reckon(percent, early, late)
            self._progress, self._made = percent, early
        self._asked = now
        return self._delay(now)

    def conclude(self, now: float) -> None:
        """Tell that an answer came now that found the task done, for the sake of those still waited for."""
        if self._first > -inf:
            self._learn(now, changed=True, ended=True)

    def _learn(self, now: float, *, changed: bool, ended: bool) -> None:
        if changed:
            self._rhythm.changed(self._asked, now)
        age, waited = self._asked - self._first, now - self._asked
        self._rhythm.looked(age, waited, shows=self._progress > 0, ended=ended)

    def _count_from(self, origin: float, base: int) -> None:
        """Forget the bounds of the end; progress is counted from one percentage at one moment."""
        self._origin, self._base = origin, base
        self._least = self._steady = -inf  # not before these; the second holds if progress is steady
        self._most = inf
        self._steps = 0

    def _reckon(self, percent: int, early: float, late: float) -> None:
        """Narrow the bounds of the end by a percentage seen in data made between two moments."""
        origin, whole, done = self._origin, 100 - self._base, percent - self._base
        begun = max(origin, self._idle)  # nothing had shown until then, whatever the relay's clock says
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
            self._steady = inf  # it comes in jumps

    def _delay(self, now: float) -> float:
        watched = max(now - self._first, 0.0)
        pace = self._rhythm.pace(watched, shows=self._progress > 0)
        lower, upper = now, inf
        if now < self._most < inf:
            steady = self._steps > 1 and self._steady < inf
            reach = _STEADY if steady else _MISREAD if self._base else _TRUSTED
            lower = min(max(now, self._steady if steady else self._least), now + reach * watched)
            upper = self._most
        at = min(lower + pace, upper)
        if self._asked > self._first and (tick := self._rhythm.tick(lower)):
            early, at = max(tick[0], now), tick[1]
            if at - early > _LEAST:
                at = (early + at) / 2
        return max(at - now, _LEAST) + _SPREAD * pace * self._chance()


def _band(age: float) -> int:
    return int(_BANDS * log2(1 + max(age, 0.0)))
