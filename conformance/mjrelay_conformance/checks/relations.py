"""Whether the regularities that the contract states hold."""

from __future__ import annotations

from mjrelay._reader import State
from mjrelay_conformance._check import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    check,
    failed,
    not_applicable,
)
from mjrelay_conformance.checks import _clauses
from mjrelay_conformance.checks.task import FINISHED, ID, MEDIA, ORDER


@check(
    "fetch/200/relations",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ID, ORDER, FINISHED, MEDIA],
    clause=_clauses.extension("relations"),
)
def relations(o: Observation) -> Judgement:
    """
    The parts of a succeeded task go together as the contract says.

    Parts that contradict each other come from different tasks or moments. Relays mix them when they rewrite
    links, or fill a task from two sources.
    """
    if o.task is None or o.reader.state(o.task) is not State.SUCCEEDED:
        return not_applicable("the task has not succeeded")
    applying = [
        (index, relation) for index, relation in enumerate(o.reader.relations) if relation.applies(o.task)
    ]
    if not applying:
        return not_applicable("no relation has both its sides here")
    for index, relation in applying:
        breach = relation.breach(o.task)
        if breach is not None:
            left, right = breach
            return failed(
                f"{relation.id}: {relation.description}",
                f"{o.show(left)} against {o.show(right)}",
                level=Level(relation.level),
                clause=o.contract.clause(*o.contract.location, "x-mj-task", "relations", index),
            )
    return PASSED
