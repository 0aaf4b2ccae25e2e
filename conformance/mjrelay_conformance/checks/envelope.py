"""Whether a 200 holds a task, and not an error in disguise."""

from __future__ import annotations

from mjrelay_conformance.checks import helpers as _clauses
from mjrelay_conformance.checks.representation import JSON
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

ACCEPT = "fetch/200/accept"


@check(ACCEPT, Level.MUST, on=[Kind.KNOWN], needs=[JSON], clause=_clauses.operation)
def accept(o: Observation) -> Judgement:
    """
    A 200 for a task that is there is not an error in disguise.

    Clients that trust the status take an error's document for a task that never ends. Relays that wrap
    everything in a code and a message answer 200 whatever happened.
    """
    if o.task is None:
        return not_applicable("the document is no object")
    accepted = o.reader.accepts(o.task)
    if accepted and (o.reader.id(o.task) is not None or o.reader.status(o.task) is not None):
        return PASSED
    if accepted:
        return failed("a task", f"a document without any task: {o.show(o.task)}")
    code, message = o.reader.error(o.task)
    said = f"error {o.show(code)}" + (f": {o.show(message)}" if message else "")
    return failed("a task", said, clause=_clauses.extension("accept")(o))
