"""Checks of repeated fetches: an ended task does not change, and caching headers allow polling."""

from __future__ import annotations

import re

from mjrelay.base import json_pointer
from mjrelay.semantics import State
from mjrelay_conformance.checks.helpers import change, extension, operation, standard
from mjrelay_conformance.checks.representation import accept
from mjrelay_conformance.checks.schema import status_word
from mjrelay_conformance.checks.task import id_, times
from mjrelay_conformance.checks.task import progress as task_progress
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

_FIRST = "the task was not fetched before"
_DIRECTIVE = re.compile(r"""([\w-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,"]*)))?""", re.ASCII)
_UNFINISHED = frozenset({State.QUEUED, State.RUNNING})
_FIELDS = frozenset({"cache-control", "expires", "pragma", "etag"})


@define_check(
    "sequence/terminal", Level.MUST, on=[Kind.KNOWN], needs=[id_, status_word], clause=extension("states")
)
def terminal(o: Observation) -> Judgement:
    """
    An ended task keeps its state.

    Clients stop polling an ended task, so a later change makes them disagree. Relays that read from several
    servers, or poll their upstream once more, revert the state.
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


@define_check("sequence/content", Level.MUST, on=[Kind.KNOWN], needs=[terminal, times], clause=operation)
def content(o: Observation) -> Judgement:
    """
    Repeated fetches of a succeeded task return the same document; other ended tasks keep their submit time.

    Clients store the first result and rely on it. Relays put a new timestamp, address or number into each
    response. Query strings of URLs may change, because they are signed anew.
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
        return failed(f"{json_pointer(place)}: {o.show(was)}", o.show(now)) if place else PASSED
    submitted = o.reader.submitted
    if submitted is not None and submitted.raw(before.task) != submitted.raw(o.task):
        return failed(f"the submit time {o.show(submitted.raw(before.task))}", o.show(submitted.raw(o.task)))
    return PASSED


@define_check(
    "sequence/progress",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[id_, status_word, task_progress],
    clause=extension("progress"),
)
def progress(o: Observation) -> Judgement:
    """
    The progress of a running task never decreases, and the task never returns to the queue.

    Users who see progress go back submit the task again. Relays poll one task from several workers, and some
    restart the count for a second pass.
    """
    before = next((earlier for earlier in reversed(o.earlier) if earlier.task), None)
    if before is None or o.task is None:
        return not_applicable(_FIRST)
    if before.state is not State.RUNNING:
        return not_applicable("the task was not running")
    if o.state is State.QUEUED:
        return failed(State.RUNNING.value, f"{o.state.value} ({o.show(o.reader.status(o.task))})")
    was, now = o.reader.percent(before.task), o.reader.percent(o.task)
    if o.state is State.RUNNING and was is not None and now is not None and now < was:
        return failed(f"{was:g} percent or more", f"{now:g} percent")
    return PASSED


@define_check(
    "sequence/unfinished",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[id_, status_word, times],
    clause=extension("times", "finished"),
)
def unfinished(o: Observation) -> Judgement:
    """
    A queued or running task has no finish time, or only for a moment.

    A client that takes the finish time for the end stops too early. Servers that write the end of an attempt
    before they start the next one leave such tasks behind.
    """
    before = _before(o)
    if before is None or o.reader.finished is None or not {o.state, before.state} <= _UNFINISHED:
        return not_applicable("the task was not fetched twice before its end, or has no finish times")
    found = o.reader.finished.raw(o.task)
    if found is None or o.reader.finished.raw(before.task) is None:
        return PASSED
    return failed("no finish time", f"{o.show(found)} in two fetches, and the task is {o.state.value}")


@define_check(
    "caching/running",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[accept, status_word],
    clause=standard("RFC 9111 section 5.2.2"),
    judges_headers=True,
)
def running(o: Observation) -> Judgement:
    """
    The response for a task that has not ended is not cacheable.

    A cache between relay and client would return an old state, and the task would seem to hang. CDNs in front
    of relays mark every response as public or as fresh for hours.
    """
    if o.state.terminal or o.state is State.UNKNOWN:
        return not_applicable("the task has ended")
    control = ", ".join(value for name, value in o.exchange.headers if name.lower() == "cache-control")
    directives = {name.lower(): quoted or plain for name, quoted, plain in _DIRECTIVE.findall(control)}
    if directives.keys() & {"no-store", "no-cache"}:
        return PASSED
    ages = [directives[name] for name in ("max-age", "s-maxage") if name in directives]
    kept = any(age.strip("0") for age in ages) if ages else "public" in directives
    return failed("no permission to cache", f"Cache-Control: {o.show(control)}") if kept else PASSED


@define_check(
    "caching/none",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[accept],
    clause=standard("RFC 9111 section 4.2.2"),
    judges_headers=True,
)
def cache_headers(o: Observation) -> Judgement:
    """
    The response has a caching header.

    Without one, a cache may apply its own heuristics. Most relays send none and rely on there being no cache.
    """
    if any(name.lower() in _FIELDS for name, _ in o.exchange.headers):
        return PASSED
    return failed("Cache-Control, Expires, Pragma or ETag", "none of them")


CHECKS = (terminal, content, progress, unfinished, running, cache_headers)


def _before(o: Observation) -> Observation | None:
    """Return the first earlier observation that has the requested task."""
    return next((one for one in o.earlier if one.task and str(o.reader.id(one.task)) == o.task_id), None)
