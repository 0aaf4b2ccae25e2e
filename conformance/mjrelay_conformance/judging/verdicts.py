"""What a run says of a relay in one word, and how a process ends because of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay.semantics import State
from mjrelay_conformance.judging.checking import Level, Outcome, Row
from mjrelay_conformance.judging.observation import Kind, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mjrelay.contract import Contract


class Verdict(StrEnum):
    """The word."""

    CONFORMANT = "conformant"
    NON_CONFORMANT = "non-conformant"
    PARTIAL = "partial"
    UNREACHABLE = "unreachable"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        """The exit code of a process whose worst verdict this is; 2 is for wrong usage."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.CONFORMANT: 0,
    Verdict.NON_CONFORMANT: 1,
    Verdict.PARTIAL: 3,
    Verdict.UNREACHABLE: 4,
    Verdict.ERROR: 5,
}
_WORST_FIRST = (
    Verdict.ERROR,
    Verdict.NON_CONFORMANT,
    Verdict.UNREACHABLE,
    Verdict.PARTIAL,
    Verdict.CONFORMANT,
)


@frozen
class Feature:
    """A thing that a run exercises or not; without the core ones a verdict is partial at best."""

    name: str
    core: bool
    exercised: bool
    hint: str


def features(
    contract: Contract, observations: Sequence[Observation], *, recorded: bool = False
) -> list[Feature]:
    """
    What the run exercised of what this contract has, core first.

    The hints say what to ask for, or of ``recorded`` traffic what it has to hold.
    """

    def hint(ask: str, record: str) -> str:
        return record if recorded else ask

    read: dict[State, dict[str, int]] = {}
    for o in observations:
        if o.kind is Kind.KNOWN and o.task is not None:
            tasks = read.setdefault(o.reader.state(o.task), {})
            tasks[o.task_id] = tasks.get(o.task_id, 0) + 1
    answered = {o.kind for o in observations if o.exchange.status is not None and o.inconclusive is None}
    twice = any(times >= 2 for times in read.get(State.SUCCEEDED, {}).values())
    unsent = "it was not sent, or not answered"
    named = hint("name one with --task ID=succeeded", "record two fetches of one")
    missing = hint(unsent, "record a fetch of an id that the relay never gave")
    wrong = hint(unsent, f"record a fetch with one, and say so: kind {Kind.BAD_CREDENTIAL.value}")
    core = [
        Feature("a succeeded task, read twice", True, twice, named),
        Feature("a task that is not there", True, Kind.MISSING in answered, missing),
    ]
    if not contract.open:
        core.append(Feature("a wrong credential", True, Kind.BAD_CREDENTIAL in answered, wrong))
    extended = [
        Feature(
            f"a task that is {state.value}",
            False,
            state in read,
            hint(f"name one with --task ID={state.value}", "record a fetch of one"),
        )
        for state in (State.QUEUED, State.RUNNING, State.NEEDS_INPUT, State.FAILED)
        if state.value in contract.operation["x-mj-task"]["states"]
    ]
    if len(contract.credentials) > 1:
        tried = Kind.ALTERNATIVE in answered
        other = hint(
            "ask with --profile auth",
            f"record a fetch in another way, and say so: kind {Kind.ALTERNATIVE.value}",
        )
        extended.append(Feature("every way of authenticating", False, tried, other))
    if contract.reader.batch is not None:
        tried = Kind.BATCH in answered
        batch = hint("ask with --profile robust", "record such a request, with its body")
        extended.append(Feature("several tasks in one request", False, tried, batch))
    return core + extended


def reach_verdict(
    features: Iterable[Feature],
    observations: Sequence[Observation],
    rows: Iterable[Row],
    *,
    strict: bool = False,
    whole: bool = True,
) -> Verdict:
    """
    The word for one relay.

    With ``strict`` every finding counts, not only a broken MUST; without the ``whole`` of the checks a relay
    is conformant at best in part.
    """
    rows = list(rows)
    if any(row.outcome is Outcome.ERROR for row in rows):
        return Verdict.ERROR
    if not any(o.exchange.status is not None for o in observations):
        return Verdict.UNREACHABLE
    if any(row.finding and (strict or row.level is Level.MUST) for row in rows):
        return Verdict.NON_CONFORMANT
    if not whole or not all(feature.exercised for feature in features if feature.core):
        return Verdict.PARTIAL
    return Verdict.CONFORMANT


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides how a run over several relays ends."""
    return min(verdicts, key=_WORST_FIRST.index)
