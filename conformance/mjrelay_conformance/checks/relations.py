"""Whether the regularities that the contract states hold."""

from __future__ import annotations

from mjrelay.semantics import State
from mjrelay_conformance.checks import helpers as _clauses
from mjrelay_conformance.checks.task import EXPIRED, FINISHED, ID, MEDIA, ORDER
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


@check(
    "fetch/200/relations",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ID, ORDER, FINISHED, MEDIA, EXPIRED],
    clause=_clauses.extension("relations"),
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
