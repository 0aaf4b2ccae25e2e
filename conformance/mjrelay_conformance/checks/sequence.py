"""Whether reading a task twice changes it, and what may be kept between two readings."""

from __future__ import annotations

import re

from mjrelay.semantics import State
from mjrelay_conformance.checks.helpers import change, extension, operation, standard
from mjrelay_conformance.checks.representation import ACCEPT
from mjrelay_conformance.checks.schema import STATUS_WORD
from mjrelay_conformance.checks.task import ID, PROGRESS, TIMES
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

_TERMINAL = "sequence/terminal"
_FIRST = "the task was not read before"
_DIRECTIVE = re.compile(r"""([\w-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,"]*)))?""", re.ASCII)
_FIELDS = frozenset({"cache-control", "expires", "pragma", "etag"})


@register_check(_TERMINAL, Level.MUST, on=[Kind.KNOWN], needs=[ID, STATUS_WORD], clause=extension("states"))
def terminal(o: Observation) -> Judgement:
    """
    A task that has ended stays ended, in the same state.

    A client that has seen the end does not ask again, so that callers disagree about the task. Relays that
    read from several servers, or poll a task once more, take it back.
    """
    before = _before(o)
    if before is None or o.task is None:
        return not_applicable(_FIRST)
    state = before.state
    if not state.terminal:
        return not_applicable("the task had not ended")
    if o.state is state:
        return PASSED
    return failed(state.value, f"{o.state.value} ({o.show(o.reader.status(o.task))})")


@register_check("sequence/content", Level.MUST, on=[Kind.KNOWN], needs=[_TERMINAL, TIMES], clause=operation)
def content(o: Observation) -> Judgement:
    """
    Reading an ended task changes nothing: nothing of a succeeded one, not the submission of others.

    What was stored after the first reading has to be true later. Relays put a new moment, address or number
    into each answer; query strings of links, which are signed anew, do not count.
    """
    before = _before(o)
    if before is None or o.task is None:
        return not_applicable(_FIRST)
    state = before.state
    if not state.terminal:
        return not_applicable("the task had not ended")
    if o.exchange.body == before.exchange.body:
        return PASSED
    if state is State.SUCCEEDED:
        place, was, now = change(o, before.task, o.task) or ((), None, None)
        return failed(f"{'/'.join(map(str, place))}: {o.show(was)}", o.show(now)) if place else PASSED
    submitted = o.reader.submitted
    if submitted is not None and submitted.raw(before.task) != submitted.raw(o.task):
        return failed(f"submitted {o.show(submitted.raw(before.task))}", o.show(submitted.raw(o.task)))
    return PASSED


@register_check(
    "sequence/progress",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ID, STATUS_WORD, PROGRESS],
    clause=extension("progress"),
)
def progress(o: Observation) -> Judgement:
    """
    A task that runs does not go back: its progress does not fall, and it does not return to the queue.

    Progress bars that jump back make people submit the task again. Relays have several readers of one task
    that overtake each other, and some count a second pass from the start.
    """
    before = next((earlier for earlier in reversed(o.earlier) if earlier.task), None)
    if before is None or o.task is None:
        return not_applicable(_FIRST)
    if before.state is not State.RUNNING:
        return not_applicable("the task did not run")
    if o.state is State.QUEUED:
        return failed(State.RUNNING.value, f"{o.state.value} ({o.show(o.reader.status(o.task))})")
    was, now = o.reader.percent(before.task), o.reader.percent(o.task)
    if o.state is State.RUNNING and was is not None and now is not None and now < was:
        return failed(f"{was:g} percent or more", f"{now:g} percent")
    return PASSED


@register_check(
    "caching/running",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[ACCEPT, STATUS_WORD],
    clause=standard("RFC 9111 section 5.2.2"),
)
def running(o: Observation) -> Judgement:
    """
    A task that has not ended is not to be kept.

    A cache between relay and client then answers in the relay's place, and the task seems to stand still.
    Networks in front of relays mark everything as public, or as good for hours.
    """
    if o.state.terminal or o.state is State.UNKNOWN:
        return not_applicable("the task has ended")
    said = ", ".join(value for name, value in o.exchange.headers if name.lower() == "cache-control")
    directives = {name.lower(): quoted or plain for name, quoted, plain in _DIRECTIVE.findall(said)}
    if directives.keys() & {"no-store", "no-cache"}:
        return PASSED
    ages = [directives[name] for name in ("max-age", "s-maxage") if name in directives]
    kept = any(age.strip("0") for age in ages) if ages else "public" in directives
    return failed("no permission to keep it", f"Cache-Control: {o.show(said)}") if kept else PASSED


@register_check(
    "caching/none",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ACCEPT],
    clause=standard("RFC 9111 section 4.2.2"),
)
def said(o: Observation) -> Judgement:
    """
    The answer says whether it may be kept.

    Where nothing is said, a cache on the way may keep it as it sees fit. Most relays say nothing, and rely on
    there being no cache.
    """
    if any(name.lower() in _FIELDS for name, _ in o.exchange.headers):
        return PASSED
    return failed("Cache-Control, Expires, Pragma or ETag", "none of them")


def _before(o: Observation) -> Observation | None:
    """The first reading of the task that was one, and of no other."""
    return next((one for one in o.earlier if one.task and str(o.reader.id(one.task)) == o.task_id), None)
