"""Whether a task's document fits the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from mjrelay_conformance.checks.envelope import ACCEPT
from mjrelay_conformance.checks.representation import JSON

if TYPE_CHECKING:
    from mjrelay._yaml import Location

PRESENCE = "fetch/200/presence"
STATUS_WORD = "fetch/200/status-word"
_ENUM = "fetch/200/enum"


@check("fetch/200/schema", Level.MUST, on=[Kind.KNOWN], needs=[JSON, ACCEPT], clause=_clauses.response(200))
def schema(o: Observation) -> Judgement:
    """The document fits the contract's schema."""
    violations = [violation for violation in o.violations if not violation.words]
    if not violations:
        return PASSED
    first = violations[0]
    more = f" (and {len(violations) - 1} more places)" if len(violations) > 1 else ""
    return failed(
        "a document that fits the schema",
        f"{_pointer(first.location)}: {o.show(first.message)}{more}",
        clause=o.contract.clause(*first.schema),
    )


@check(_ENUM, Level.MUST, on=[Kind.KNOWN], needs=[JSON, ACCEPT], clause=_clauses.response(200))
def enum(o: Observation) -> Judgement:
    """A list of words that the page closes stays closed."""
    for violation in o.violations:
        if violation.words:
            return failed(
                f"one of {', '.join(map(str, violation.words))}",
                f"{_pointer(violation.location)}: {o.show(violation.message)}",
                clause=o.contract.clause(*violation.schema),
            )
    return PASSED


@check(PRESENCE, Level.MUST, on=[Kind.KNOWN], needs=[JSON, ACCEPT], clause=_clauses.extension("id"))
def presence(o: Observation) -> Judgement:
    """A task has an id and a status, whatever else may be left out."""
    if o.task is None:
        return not_applicable("the document is no object")
    if not o.reader.id_path.find(o.task):
        return failed(f"an id at {o.reader.id_path.text}", "nothing there")
    if o.reader.status_path is not None and not o.reader.status_path.find(o.task):
        return failed(
            f"a status at {o.reader.status_path.text}",
            "nothing there",
            clause=_clauses.extension("status")(o),
        )
    return PASSED


@check(STATUS_WORD, Level.INFO, on=[Kind.KNOWN], needs=[PRESENCE, _ENUM], clause=_clauses.extension("states"))
def status_word(o: Observation) -> Judgement:
    """The status is a word whose meaning is known."""
    if o.task is None:
        return not_applicable("the document is no object")
    if o.reader.state(o.task) is not State.UNKNOWN:
        return PASSED
    return failed("a word that the contract's states hold", o.show(o.reader.status(o.task)))


def _pointer(location: Location) -> str:
    return "".join(f"/{step}" for step in location) or "the document"
