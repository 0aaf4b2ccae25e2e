"""
The state of waiting for one task, as JSON that any store and any job system can keep.

A ticket holds a `PendingTask` with its moments in Unix time, rounded to milliseconds. It has no key, no body
and no error, and refers to nothing in the process that made it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, field, fields, frozen

from mjrelay.base import SettingError
from mjrelay.client.pending import PendingTask
from mjrelay.client.schedule import Schedule
from mjrelay.http import NotJSONError, parse_json
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mjrelay.client.task import RelayError, Task

VERSION = 1
"""The version of the JSON. Older versions stay readable."""

_MAX_LENGTH = 16_384
"""Maximum length of a ticket's JSON in characters; ids have no documented limit."""

_MAX_NUMBER = 10**15
"""Bound of all numbers. As a moment, in milliseconds, it stands for infinity."""

_MOMENTS = ("deadline", "due", "missing_since", "failed_since")
_COUNTERS = ("polls", "failures", "fingerprint", "batch", "batch_failures")
_SCHEDULE: tuple[tuple[str, Any, bool], ...] = tuple(
    (one.name, one.default, isinstance(one.default, float)) for one in fields(Schedule)
)
"""The name and default of each number of a schedule, and whether it is a moment."""
_LAST_POLL = [name for name, _, _ in _SCHEDULE].index("last_poll")


def _rounded(moment: float) -> float:
    return round(moment, 3)


def _all_rounded(numbers: Iterable[float]) -> tuple[float, ...]:
    return tuple([round(number, 3) for number in numbers])


@frozen
class Ticket:
    """
    The state of waiting for one task, to be stored between two polls; see `Relay.ticket`.

    All moments are Unix times. A ticket is immutable: `Relay.poll` returns the next one.

    Attributes:
        relay: The relay's name.
        id: The task's id.
        started: The start of the wait.
        deadline: The end of the wait.
        due: When to poll the task.
        polls: The number of responses.
        failures: The number of consecutive errors.
        fingerprint: A hash of the last snapshot, or None before the first.
        missing_since: When the relay first had no such task, else infinite.
        failed_since: When the task first seemed to have failed, else infinite.
        alone: Whether the task must not be polled in a batch.
        batch: A hash of the batch that failed with this task and is sent again, or None.
        batch_failures: The number of consecutive failures of that batch.
        passes: A state that does not end the wait, although it usually does.
        schedule: The numbers of the schedule; empty before the first snapshot.
    """

    relay: str
    id: str
    started: float = field(converter=_rounded)
    deadline: float = field(converter=_rounded)
    due: float = field(converter=_rounded)
    polls: int = 0
    failures: int = 0
    fingerprint: int | None = field(default=None, repr=False)
    missing_since: float = field(default=math.inf, converter=_rounded, repr=False)
    failed_since: float = field(default=math.inf, converter=_rounded, repr=False)
    alone: bool = field(default=False, repr=False)
    batch: int | None = field(default=None, repr=False)
    batch_failures: int = field(default=0, repr=False)
    passes: State | None = field(default=None, repr=False)
    schedule: tuple[float, ...] = field(default=(), converter=_all_rounded, repr=False)

    def to_json(self) -> str:
        """Return the ticket as one line of JSON, of about 200 characters."""
        values: dict[str, Any] = {"v": VERSION, "relay": self.relay, "id": self.id, "started": self.started}
        moments = {name: getattr(self, name) for name in _MOMENTS}
        values |= {name: self._offset(moment) for name, moment in moments.items() if moment < math.inf}
        values |= {name: value for name in _COUNTERS if (value := getattr(self, name))}
        if self.alone:
            values["alone"] = True
        if self.passes is not None:
            values["passes"] = self.passes.value
        if self.schedule:
            values["schedule"] = [
                None if number == default else self._offset(number) if is_moment else int(number)
                for number, (_, default, is_moment) in zip(self.schedule, _SCHEDULE, strict=True)
            ]
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """
        Return the ticket that `to_json` wrote.

        Raises:
            SettingError: The text is no ticket, or a newer version of mjrelay wrote it.
        """
        if not isinstance(text, str | bytes):
            raise SettingError(f"the ticket is of type {type(text).__name__}; pass the text of to_json()")
        body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if len(body) > _MAX_LENGTH:
            raise SettingError(f"the ticket has {len(body)} bytes; a ticket has at most {_MAX_LENGTH}")
        try:
            values = parse_json(body)
        except NotJSONError as error:
            raise SettingError(f"the ticket is not JSON: {error}") from error
        if not isinstance(values, dict) or not _is_whole(values.get("v")) or values["v"] < 1:
            raise SettingError("the text is not a ticket; pass the text of to_json()")
        if values["v"] > VERSION:
            raise SettingError(
                f"the ticket has version {values['v']}, and this mjrelay reads {VERSION}; update mjrelay"
            )
        try:
            return cls._of(values)
        except (KeyError, TypeError, ValueError) as error:
            raise SettingError(f"the ticket is damaged ({error}); pass the text of to_json()") from error

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        """Return the ticket of an object; raise `KeyError`, `TypeError` or `ValueError`."""
        started = float(_checked("started", values["started"], lambda one: _is_whole(one) or _is_float(one)))

        def moment(name: str, number: Any) -> float:
            offset = _checked(name, number, _is_whole)
            return math.inf if offset == _MAX_NUMBER else started + offset / 1000

        schedule = _checked("schedule", values.get("schedule", []), lambda one: isinstance(one, list))
        if schedule and len(schedule) != len(_SCHEDULE):
            raise ValueError("schedule")
        numbers: dict[str, Any] = {name: moment(name, values[name]) for name in _MOMENTS if name in values}
        numbers |= {name: _checked(name, values[name], _is_count) for name in _COUNTERS if name in values}
        return cls(
            _checked("relay", values["relay"], lambda one: isinstance(one, str)),
            _checked("id", values["id"], lambda one: isinstance(one, str)),
            started,
            alone=_checked("alone", values.get("alone", False), lambda one: isinstance(one, bool)),
            passes=None if "passes" not in values else State(values["passes"]),
            schedule=tuple(
                default
                if number is None
                else moment("schedule", number)
                if is_moment
                else _checked("schedule", number, _is_count)
                for number, (_, default, is_moment) in zip(schedule, _SCHEDULE, strict=False)
            ),
            **numbers,
        )

    def _offset(self, moment: float) -> int:
        """Return the milliseconds from the start of the wait to a moment."""
        return _MAX_NUMBER if math.isinf(moment) else round((moment - self.started) * 1000)

    def moved(self, now: float) -> Ticket:
        """
        Return the ticket as it counts on a system clock that reads ``now``.

        If the clock was set back behind the last response, all moments move back with it: the time between
        counts as none.
        """
        last = max(self.started, self.schedule[_LAST_POLL]) if self.schedule else self.started
        if last <= now:
            return self
        return self.advanced(self.restored(0.0), self.due, now - last)

    def restored(self, offset: float) -> PendingTask:
        """Return the state with moments on another clock, which reads 0 at the Unix time ``offset``."""
        return PendingTask(
            self.id,
            self.deadline - offset,
            self.started - offset,
            Schedule(*_shifted(self.schedule, -offset)),
            self.fingerprint,
            self.failures,
            self.missing_since - offset,
            self.failed_since - offset,
            self.alone,
            passes=self.passes,
        )

    def advanced(self, pending: PendingTask, due: float, offset: float, **changes: Any) -> Ticket:
        """Return the next ticket, from a state on another clock; see `restored`."""
        schedule = pending.schedule
        numbers = [getattr(schedule, name) for name, _, _ in _SCHEDULE]
        return evolve(
            self,
            started=pending.started + offset,
            deadline=pending.deadline + offset,
            due=due + offset,
            failures=pending.failures,
            fingerprint=pending.fingerprint,
            missing_since=pending.missing_since + offset,
            failed_since=pending.failed_since + offset,
            alone=pending.alone,
            schedule=() if schedule.first_poll == -math.inf else _shifted(numbers, offset),
            **changes,
        )


@frozen
class Poll:
    """
    What one poll of a ticket returned.

    Attributes:
        task: The task, or None if it could not be fetched.
        error: The error of this poll, or None. If ``done``, it ended the wait.
        ticket: The next ticket; if ``done``, the one that was polled.
        done: Whether the task has ended or needs input, or the wait has failed.
    """

    task: Task | None
    error: RelayError | None
    ticket: Ticket
    done: bool

    @property
    def due(self) -> float:
        """The Unix time of the next poll; infinite if ``done``."""
        return math.inf if self.done else self.ticket.due


def _shifted(numbers: Iterable[Any], by: float) -> list[Any]:
    """Return the numbers of a schedule with other moments."""
    shape = zip(numbers, _SCHEDULE, strict=False)
    return [number + by if is_moment else number for number, (_, _, is_moment) in shape]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def _is_count(value: object) -> bool:
    return _is_whole(value) and isinstance(value, int) and value >= 0


def _is_float(value: object) -> bool:
    return isinstance(value, float) and abs(value) <= _MAX_NUMBER


def _checked(name: str, value: Any, is_valid: Callable[[Any], bool]) -> Any:
    if not is_valid(value):
        raise ValueError(name)
    return value
