"""
Whether a task makes sense.

It is the one asked for, its times hold together, its end is whole, and its parts go together as the contract
says.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from mjrelay.http import shown_url
from mjrelay.semantics import State
from mjrelay_conformance.checks.helpers import extension
from mjrelay_conformance.checks.links import absolute, known_expiry, unreachable
from mjrelay_conformance.checks.schema import PRESENCE, STATUS_WORD
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    failed,
    not_applicable,
    register_check,
)

if TYPE_CHECKING:
    from mjrelay.contract import Contract


ID = "fetch/200/id"
TIMES = "fetch/200/times"
ORDER = "fetch/200/times-order"
FINISHED = "fetch/200/succeeded/finished"
MEDIA = "fetch/200/succeeded/media"
PROGRESS = "fetch/200/progress"
EXPIRED = "fetch/200/media-expired"
EARLIEST = datetime(2021, 1, 1, tzinfo=UTC)
"""Midjourney did not draw for anybody before."""
GRACE = timedelta(minutes=5)
"""How far two clocks may be apart."""
_NO_CLOCK = datetime(9998, 1, 1, tzinfo=UTC)
"""What stands for the time where the relay does not tell it, or tells nonsense."""

_NO_TASK = "the document is no task"
_NOT_ASKED = "the contract asks it of succeeded tasks of certain kinds, and this is none"


@register_check(ID, Level.MUST, on=[Kind.KNOWN], needs=[PRESENCE], clause=extension("id"))
def id_(o: Observation) -> Judgement:
    """
    The task is the one that was asked for.

    Another task's picture under this id is a wrong result that nobody notices. Relays answer with the id of
    their upstream, or with a neighbour's task out of a cache.
    """
    if o.task is None:
        return not_applicable(_NO_TASK)
    found = o.reader.id(o.task)
    if str(found) == o.task_id:
        return PASSED
    return failed(f"the id {o.task_id}", f"the id {o.show(found)}")


@register_check(
    "fetch/200/state",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ID, STATUS_WORD],
    clause=extension("states"),
)
def state(o: Observation) -> Judgement:
    """
    The task is in the state that the caller said it is in.

    Where caller and relay disagree, one of them reads the state wrongly. Most often the task has moved on
    since it was named.
    """
    if o.task is None or o.expected is None:
        return not_applicable("the caller named no state")
    regressed = any(before.task and before.state is o.expected for before in o.earlier)
    if o.state is o.expected or regressed:
        return PASSED
    return failed(o.expected.value, f"{o.state.value} ({o.show(o.reader.status(o.task))})")


@register_check(TIMES, Level.MUST, on=[Kind.KNOWN], needs=[PRESENCE], clause=extension("times"))
def times(o: Observation) -> Judgement:
    """
    Every time that is set reads, in the contract's format, as a moment in Midjourney's life so far.

    Clients sort by these times and measure how long a task has run. Relays write seconds where they promise
    milliseconds, or local time as if it were UTC.
    """
    latest = _now(o) + GRACE
    for name, (raw, moment) in o.times.items():
        if moment is None or not EARLIEST <= moment <= latest:
            meaning = "no time at all" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
            return failed(
                f"a time between {EARLIEST:%Y-%m-%d} and the answer's own Date",
                f"{name} is {o.show(raw)}, which reads as {meaning}",
                clause=extension("times", name)(o),
            )
    return PASSED


@register_check(ORDER, Level.MUST, on=[Kind.KNOWN], needs=[TIMES, STATUS_WORD], clause=extension("times"))
def order(o: Observation) -> Judgement:
    """
    A task is submitted, then started, then finished; only of a succeeded one is this promised.

    Durations come out negative otherwise. Relays mix their own clock with that of their upstream.
    """
    moments = [(name, moment) for name, (_, moment) in o.times.items() if moment is not None]
    for (before, earlier), (after, later) in itertools.pairwise(moments):
        if later < earlier:
            return failed(
                f"{before} before {after}",
                f"{before} {earlier.isoformat()}, {after} {later.isoformat()}",
                level=Level.MUST if o.state is State.SUCCEEDED else Level.SHOULD,
            )
    return PASSED


@register_check(
    PROGRESS,
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[PRESENCE],
    clause=extension("progress"),
)
def progress(o: Observation) -> Judgement:
    """
    Progress, where it is a number, lies between 0 and 100, and has the percent sign that it is shown with.

    Progress bars overflow otherwise, and clients that wait for the text with the sign wait for ever. Relays
    add up the parts of a job, or count in thousandths.
    """
    if o.task is None or o.reader.progress_path is None:
        return not_applicable("the contract has no progress")
    value = o.reader.percent(o.task)
    sent = o.reader.progress_path.first(o.task)
    if value is None:
        return PASSED
    if not 0 <= value <= 100:
        return failed("0 to 100", o.show(sent))
    if isinstance(sent, str) and "%" not in sent and _signed(o.contract):
        return failed("a percent sign, as in the contract's examples", o.show(sent))
    return PASSED


@register_check(
    "fetch/200/succeeded/progress",
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[STATUS_WORD, PROGRESS],
    clause=extension("complete", "progress"),
)
def succeeded_progress(o: Observation) -> Judgement:
    """
    A succeeded task is at 100 percent.

    Some clients stop asking only at 100 percent. Relays set the status and forget the progress.
    """
    if not _completes(o, "progress") or o.reader.progress_path is None:
        return not_applicable(_NOT_ASKED)
    if o.reader.percent(o.task) == 100:
        return PASSED
    return failed("100", o.show(o.reader.progress_path.first(o.task)))


@register_check(
    FINISHED,
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[STATUS_WORD],
    clause=extension("complete", "finished"),
)
def succeeded_finished(o: Observation) -> Judgement:
    """
    A succeeded task says when it finished.

    Signed links expire so and so long after that, and lists are sorted by it. Relays forget it for tasks that
    their poller closed.
    """
    if not _completes(o, "finished") or o.reader.finished is None:
        return not_applicable(_NOT_ASKED)
    if o.reader.finished.raw(o.task) is not None:
        return PASSED
    return failed("a time of finishing", o.show(o.reader.finished.path.first(o.task)))


@register_check(
    MEDIA,
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[STATUS_WORD],
    clause=extension("complete", "media"),
)
def succeeded_media(o: Observation) -> Judgement:
    """
    A succeeded task has at least one absolute URL of an image or a video.

    It is what the caller has paid for. Relays mark a task as done before the upload is, or give a path that
    only their own pages can complete.
    """
    if not _completes(o, "media"):
        return not_applicable(_NOT_ASKED)
    if any(absolute(url) for url in o.media):
        return PASSED
    return failed("an absolute URL", o.show(", ".join(o.media)) if o.media else "none")


@register_check(
    "fetch/200/media-url",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[MEDIA],
    clause=extension("images"),
)
def media_url(o: Observation) -> Judgement:
    """
    The links of a succeeded task are https and lead to a host that others can reach.

    A link to the relay's own machine is dead for everybody else, and pages that came by https show nothing
    from http. Relays that were never told their own address send links to localhost.
    """
    if o.state is not State.SUCCEEDED or not o.media:
        return not_applicable("the task has not succeeded, or has no media")
    for url in o.media:
        wrong = unreachable(url, o.exchange.url)
        if wrong is not None:
            return failed("an https URL that others can reach", f"{o.show(shown_url(url))}: {wrong}")
    return PASSED


@register_check(
    EXPIRED,
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[ORDER],
    clause=extension("images"),
)
def media_expired(o: Observation) -> Judgement:
    """
    A signed link still holds when it is issued, which is when the task ends.

    What has expired from the start can never be fetched; that a link of an old task has expired since is no
    fault. Relays copy links that were signed for another task, or sign in local time.
    """
    moments = [moment for _, moment in o.times.values() if moment is not None]
    media = o.media if o.state is State.SUCCEEDED else ()
    signed = [(url, until) for url in media if (until := known_expiry(url)) is not None]
    if not moments or not signed:
        return not_applicable("the task has not succeeded, or its links do not say until when they hold")
    issued = moments[-1].timestamp()  # the end, or the latest moment that is known
    for url, until in signed:
        if until <= issued:
            return failed(
                f"a link that holds beyond {_utc(issued)}", f"{o.show(shown_url(url))} until {_utc(until)}"
            )
    return PASSED


@register_check(
    "fetch/200/succeeded/no-reason",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[STATUS_WORD],
    clause=extension("failure"),
)
def succeeded_no_reason(o: Observation) -> Judgement:
    """
    A succeeded task has no reason of a failure.

    Clients that look for the reason first take the task for a failed one. Relays leave the reason of an
    earlier attempt where it was.
    """
    if o.state is not State.SUCCEEDED or not o.reader.failure_paths:
        return not_applicable("the task has not succeeded, or the contract has no place for a reason")
    reason = o.reader.failure(o.task)
    return PASSED if reason is None else failed("no reason of a failure", o.show(reason))


@register_check(
    "fetch/200/failed/reason",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[STATUS_WORD],
    clause=extension("failure"),
)
def failed_reason(o: Observation) -> Judgement:
    """
    A failed task says why.

    Whether to change the prompt, to wait or to complain depends on it. Relays drop the reason on its way from
    their upstream.
    """
    if o.state is not State.FAILED:
        return not_applicable("the task has not failed")
    if not o.reader.failure_paths:
        return not_applicable("the contract has no place for a reason")
    if o.reader.failure(o.task) is not None:
        return PASSED
    return failed("a reason", f"nothing at {' or '.join(path.text for path in o.reader.failure_paths)}")


@register_check(
    "fetch/200/relations",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ID, ORDER, FINISHED, MEDIA, EXPIRED],
    clause=extension("relations"),
)
def relations(o: Observation) -> Judgement:
    """
    The parts of a succeeded task go together as the contract says.

    Parts that contradict each other come from different tasks or moments. Relays mix them when they rewrite
    links, or fill a task from two sources.
    """
    if o.state is not State.SUCCEEDED:
        return not_applicable("the task has not succeeded")
    for index, relation in enumerate(o.reader.relations):
        breach = relation.breach(o.task)
        if breach is not None:
            left, right = breach
            return failed(
                f"{relation.id}: {relation.description}",
                f"{o.show(left)} against {o.show(right)}",
                level=Level(relation.level),
                clause=o.contract.clause(*o.contract.location, "x-mj-task", "relations", index),
            )
    if any(relation.applies(o.task) for relation in o.reader.relations):
        return PASSED
    return not_applicable("no relation has both its sides here")


@lru_cache(64)
def _signed(contract: Contract) -> bool:
    """Whether the contract's own examples write progress with a percent sign."""
    path = contract.reader.progress_path
    values = [path.first(example) for example in contract.examples.values()] if path else []
    texts = [text for text in values if isinstance(text, str) and any(map(str.isdigit, text))]
    return bool(texts) and all("%" in text for text in texts)


def _now(o: Observation) -> datetime:
    """The relay's own clock where the answer tells it; a check looks at no other."""
    return _date(o.exchange.header("date") or "")


@lru_cache(64)
def _date(said: str) -> datetime:
    """The moment of an HTTP date; what stands for none where it is none."""
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, TypeError, OverflowError):
        return _NO_CLOCK
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment if EARLIEST <= moment <= _NO_CLOCK else _NO_CLOCK


def _completes(o: Observation, part: str) -> bool:
    """Whether it is a succeeded task of a kind that must have this part."""
    return o.state is State.SUCCEEDED and o.reader.completes(part, o.task)


def _utc(moment: float) -> str:
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{moment:.0f} in Unix time"
