"""Whether reading a task twice changes it."""

from __future__ import annotations

from mjrelay.semantics import State
from mjrelay_conformance.checks import helpers as _clauses
from mjrelay_conformance.checks import helpers as _documents
from mjrelay_conformance.checks.schema import STATUS_WORD
from mjrelay_conformance.checks.task import ID, PROGRESS, TIMES
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    check,
    failed,
    not_applicable,
)

_TERMINAL = "sequence/terminal"
_FIRST = "the task was not read before"


@check(_TERMINAL, Level.MUST, on=[Kind.KNOWN], needs=[ID, STATUS_WORD], clause=_clauses.extension("states"))
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


@check("sequence/content", Level.MUST, on=[Kind.KNOWN], needs=[_TERMINAL, TIMES], clause=_clauses.operation)
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
        place, was, now = _documents.change(o, before.task, o.task) or ((), None, None)
        return failed(f"{'/'.join(map(str, place))}: {o.show(was)}", o.show(now)) if place else PASSED
    submitted = o.reader.submitted
    if submitted is not None and submitted.raw(before.task) != submitted.raw(o.task):
        return failed(f"submitted {o.show(submitted.raw(before.task))}", o.show(submitted.raw(o.task)))
    return PASSED


@check(
    "sequence/progress",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ID, STATUS_WORD, PROGRESS],
    clause=_clauses.extension("progress"),
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


def _before(o: Observation) -> Observation | None:
    """The first reading of the task that was one, and of no other."""
    return next((one for one in o.earlier if one.task and str(o.reader.id(one.task)) == o.task_id), None)
