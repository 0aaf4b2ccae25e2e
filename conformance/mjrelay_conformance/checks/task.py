"""Checks of the task: its id, state, times, progress, buttons and failure reason are consistent."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mjrelay.semantics import State
from mjrelay_conformance.checks.helpers import extension
from mjrelay_conformance.checks.schema import presence, status_word
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    define_check,
    failed,
    not_applicable,
)

if TYPE_CHECKING:
    from mjrelay.contract import Contract


EARLIEST = datetime(2021, 1, 1, tzinfo=UTC)
"""The lower bound of timestamps: Midjourney did not exist before."""
GRACE = timedelta(minutes=5)
"""The maximum difference between two clocks."""
_NO_CLOCK = datetime(9998, 1, 1, tzinfo=UTC)
"""Replaces the current time if the response has no usable Date."""

_NO_TASK = "the document is not an object"
NOT_REQUIRED = "the contract does not require it of this task"


@define_check("fetch/200/id", Level.MUST, on=[Kind.KNOWN], needs=[presence], clause=extension("id"))
def id_(o: Observation) -> Judgement:
    """
    The returned task has the requested id.

    Another task under this id is a wrong result that goes unnoticed. Relays return the id of their upstream,
    or another task from a cache.
    """
    if o.task is None:
        return not_applicable(_NO_TASK)
    found = o.reader.id(o.task)
    if str(found) == o.task_id:
        return PASSED
    return failed(f"the id {o.task_id}", f"the id {o.show(found)}")


@define_check(
    "fetch/200/state",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[id_, status_word],
    clause=extension("states"),
)
def state(o: Observation) -> Judgement:
    """
    The task is in the state given with --task.

    If caller and relay disagree, one of them misreads the state. Most often the task has changed since the
    caller looked.
    """
    if o.task is None or o.expected is None:
        return not_applicable("no state was given with --task")
    regressed = any(before.task and before.state is o.expected for before in o.earlier)
    if o.state is o.expected or regressed:
        return PASSED
    return failed(o.expected.value, f"{o.state.value} ({o.show(o.reader.status(o.task))})")


@define_check("fetch/200/times", Level.MUST, on=[Kind.KNOWN], needs=[presence], clause=extension("times"))
def times(o: Observation) -> Judgement:
    """
    Timestamps, read in the documented unit, fall between 2021 and now.

    Clients sort by these timestamps and compute durations. Relays send seconds where they document
    milliseconds, or local time as UTC.
    """
    latest = _now(o) + GRACE
    for name, (raw, moment) in o.times.items():
        if moment is None or not EARLIEST <= moment <= latest:
            read = "not a timestamp" if moment is None else _utc(moment)
            unit = _misread(o, raw, latest)
            return failed(
                f"a timestamp between {EARLIEST:%Y-%m-%d} and the Date of the response",
                f"`{_field(o, name)}` is {o.show(raw)}: {f'{unit} (read so: {read})' if unit else read}",
                clause=extension("times", "format" if unit else name)(o),
            )
    return PASSED


@define_check(
    "fetch/200/times-order",
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[times, status_word],
    clause=extension("times"),
)
def order(o: Observation) -> Judgement:
    """
    A task is submitted, started and finished in this order.

    Otherwise durations are negative. Relays mix their own clock with that of their upstream. The level is
    MUST for succeeded tasks only.
    """
    moments = [(name, moment) for name, (_, moment) in o.times.items() if moment is not None]
    for (before, earlier), (after, later) in itertools.pairwise(moments):
        if later < earlier:
            return failed(
                f"{before} before {after}",
                f"{before} {_utc(earlier)}, {after} {_utc(later)}",
                level=Level.MUST if o.state is State.SUCCEEDED else Level.SHOULD,
            )
    return PASSED


@define_check(
    "fetch/200/progress",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[presence],
    clause=extension("progress"),
)
def progress(o: Observation) -> Judgement:
    """
    Numeric progress is between 0 and 100, with a percent sign if the contract's examples have one.

    Progress bars overflow otherwise, and clients that compare the text with "100%" never finish. Relays add
    up the parts of a job, or count in thousandths.
    """
    if o.task is None or o.reader.progress_path is None:
        return not_applicable("the contract describes no progress")
    value = o.reader.percent(o.task)
    sent = o.reader.progress_path.first(o.task)
    if value is None:
        return PASSED
    if not 0 <= value <= 100:
        return failed("0 to 100", o.show(sent))
    if isinstance(sent, str) and "%" not in sent and _signed(o.contract):
        return failed("a percent sign, as in the contract's examples", o.show(sent))
    return PASSED


@define_check(
    "fetch/200/succeeded/progress",
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[status_word, progress],
    clause=extension("complete", "progress"),
)
def succeeded_progress(o: Observation) -> Judgement:
    """
    A succeeded task has a progress of 100 percent.

    Some clients stop polling only at 100 percent. Relays update the status and not the progress.
    """
    if not completes(o, "progress") or o.reader.progress_path is None:
        return not_applicable(NOT_REQUIRED)
    if o.reader.percent(o.task) == 100:
        return PASSED
    return failed("100", o.show(o.reader.progress_path.first(o.task)))


@define_check(
    "fetch/200/succeeded/finished",
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[status_word],
    clause=extension("complete", "finished"),
)
def succeeded_finished(o: Observation) -> Judgement:
    """
    A succeeded task has a finish time.

    Clients derive the expiry of links from it and sort lists by it. Relays omit it for tasks that their
    poller closed.
    """
    if not completes(o, "finished") or o.reader.finished is None:
        return not_applicable(NOT_REQUIRED)
    if o.reader.finished.raw(o.task) is not None:
        return PASSED
    return failed("a finish time", o.show(o.reader.finished.path.first(o.task)))


@define_check(
    "fetch/200/succeeded/buttons",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[status_word],
    clause=extension("buttons"),
)
def succeeded_buttons(o: Observation) -> Judgement:
    """
    A succeeded task has buttons if the contract's example of this kind has some.

    Without buttons the images cannot be upscaled or varied. Relays drop them with a change of their upstream.
    """
    example = o.contract.examples.get(State.SUCCEEDED.value)
    kind = o.reader.kind(example)
    alike = o.state is State.SUCCEEDED and kind is not None and o.reader.kind(o.task) == kind
    if not alike or not o.reader.buttons(example):
        return not_applicable("the contract has no example of such a task with buttons")
    return (
        PASSED if o.reader.buttons(o.task) else failed("buttons", f"none for a task of kind {o.show(kind)}")
    )


@define_check(
    "fetch/200/succeeded/no-reason",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[status_word],
    clause=extension("failure"),
)
def succeeded_no_reason(o: Observation) -> Judgement:
    """
    A succeeded task has no failure reason.

    Clients that check the reason first treat the task as failed. Relays keep the reason of an earlier
    attempt.
    """
    if o.state is not State.SUCCEEDED or not o.reader.failure_paths:
        return not_applicable("the task has not succeeded, or the contract describes no failure reason")
    reason = o.reader.failure(o.task)
    return PASSED if reason is None else failed("no failure reason", o.show(reason))


@define_check(
    "fetch/200/failed/reason",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[status_word],
    clause=extension("failure"),
)
def failed_reason(o: Observation) -> Judgement:
    """
    A failed task has a failure reason.

    The reason shows whether to change the prompt, to wait or to ask for support. Relays drop the
    reason that their upstream sends.
    """
    if o.state is not State.FAILED:
        return not_applicable("the task has not failed")
    if not o.reader.failure_paths:
        return not_applicable("the contract describes no failure reason")
    if o.reader.failure(o.task) is not None:
        return PASSED
    return failed(
        "a failure reason", f"nothing at {' or '.join(path.text for path in o.reader.failure_paths)}"
    )


CHECKS = (
    id_,
    state,
    times,
    order,
    progress,
    succeeded_progress,
    succeeded_finished,
    succeeded_buttons,
    succeeded_no_reason,
    failed_reason,
)


_UNITS = {"s": ("seconds", 1), "ms": ("milliseconds", 1_000), "us": ("microseconds", 1_000_000)}


def _field(o: Observation, name: str) -> str:
    """Return the path of a timestamp in the document."""
    stamp = getattr(o.reader, name)
    return str(stamp.path.text).removeprefix("$.")


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _misread(o: Observation, raw: Any, latest: datetime) -> str | None:
    """Explain an implausible timestamp by its unit, if another unit makes it plausible."""
    documented = o.contract.operation["x-mj-task"]["times"].get("format")
    number = int(raw) if isinstance(raw, str) and raw.isdecimal() and len(raw) <= 20 else raw
    if documented not in _UNITS or isinstance(number, bool) or not isinstance(number, int | float):
        return None
    for unit, per_second in _UNITS.values():
        if EARLIEST.timestamp() <= number / per_second <= latest.timestamp():
            return f"{unit}, where the contract says {_UNITS[documented][0]}"
    return None


@lru_cache(64)
def _signed(contract: Contract) -> bool:
    """Whether the contract's examples have progress with a percent sign."""
    path = contract.reader.progress_path
    values = [path.first(example) for example in contract.examples.values()] if path else []
    texts = [text for text in values if isinstance(text, str) and any(map(str.isdigit, text))]
    return bool(texts) and all("%" in text for text in texts)


def _now(o: Observation) -> datetime:
    """Return the time by the relay's clock; checks use no other clock."""
    return _date(o.exchange.header("date") or "")


@lru_cache(64)
def _date(text: str) -> datetime:
    """Parse an HTTP date; return the placeholder if it is invalid."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return _NO_CLOCK
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment if EARLIEST <= moment <= _NO_CLOCK else _NO_CLOCK


def completes(o: Observation, part: str) -> bool:
    """Whether the contract requires a part of this succeeded task."""
    return o.state is State.SUCCEEDED and o.reader.completes(part, o.task)
