"""The verdict on a relay, the features that a run exercised, and the exit code."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from mjrelay.semantics import State
from mjrelay_conformance.judging.checking import Level, Outcome, Row
from mjrelay_conformance.judging.observation import Kind, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay.contract import Contract


class Verdict(StrEnum):
    """The result of a run for one relay."""

    CONFORMANT = "conformant"
    NON_CONFORMANT = "non-conformant"
    PARTIAL = "partial"
    UNREACHABLE = "unreachable"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        """The exit code of a run whose worst verdict this is; 2 is reserved for usage errors."""
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


@define
class Coverage:
    """
    What the exchanges of a run exercised.

    ``readings`` counts the responses with each task in each state, ``answered`` holds the kinds of exchanges
    that got a conclusive response, and ``reached`` says whether any response arrived.
    """

    readings: dict[State, Counter[str]] = field(factory=dict, init=False)
    answered: set[Kind] = field(factory=set, init=False)
    reached: bool = field(default=False, init=False)

    def add(self, observation: Observation) -> None:
        """Count one exchange."""
        if observation.kind is Kind.KNOWN and observation.task is not None:
            state = observation.reader.state(observation.task)
            self.readings.setdefault(state, Counter())[observation.task_id] += 1
        if observation.exchange.status is not None:
            self.reached = True
            if observation.inconclusive is None:
                self.answered.add(observation.kind)


@frozen
class Feature:
    """A part of the contract that a run exercises or not; the verdict is partial without the core ones."""

    name: str
    core: bool
    exercised: bool
    hint: str


def features(contract: Contract, coverage: Coverage, *, recorded: bool = False) -> list[Feature]:
    """
    List the features of a contract, core first, and whether a run exercised them.

    The hints name the option that exercises a feature, or what ``recorded`` traffic must contain.
    """

    def hint(live: str, record: str) -> str:
        return record if recorded else live

    read, answered = coverage.readings, coverage.answered
    twice = any(times >= 2 for times in read.get(State.SUCCEEDED, Counter()).values())
    unsent = "the request was not sent, or got no response"
    once = State.SUCCEEDED in read
    named = hint(unsent if once else "name one with --task ID=succeeded", "record two fetches of one")
    missing = hint(unsent, "record a fetch of an id that does not exist")
    wrong = hint(unsent, f"record a fetch with one, marked as kind {Kind.BAD_CREDENTIAL.value}")
    core = [
        Feature("a succeeded task, read twice", True, twice, named),
        Feature("a missing task", True, Kind.MISSING in answered, missing),
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
            "run with --profile auth",
            f"record a fetch with another scheme, marked as kind {Kind.ALTERNATIVE.value}",
        )
        extended.append(Feature("every security scheme", False, tried, other))
    if contract.reader.batch is not None:
        tried = Kind.BATCH in answered
        batch = hint("run with --profile robust", "record such a request, with its body")
        extended.append(Feature("several tasks in one request", False, tried, batch))
    if contract.submits:
        tried = Kind.SUBMITTED in answered
        paid = hint("submit one with --pay 1, which costs money", "record a submit and a fetch of its task")
        extended.append(Feature("a submitted task", False, tried, paid))
    return core + extended


def reach_verdict(
    features: Iterable[Feature],
    coverage: Coverage,
    rows: Iterable[Row],
    *,
    strict: bool = False,
    whole: bool = True,
) -> Verdict:
    """
    Return the verdict on one relay.

    With ``strict`` every finding counts, else only those of level MUST. Unless the run used the ``whole`` set
    of checks, the best verdict is partial.
    """
    rows = list(rows)
    if any(row.outcome is Outcome.ERROR for row in rows):
        return Verdict.ERROR
    if not coverage.reached:
        return Verdict.UNREACHABLE
    if any(row.finding and (strict or row.level is Level.MUST) for row in rows):
        return Verdict.NON_CONFORMANT
    if not whole or not all(feature.exercised for feature in features if feature.core):
        return Verdict.PARTIAL
    return Verdict.CONFORMANT


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts, which decides the exit code of a run."""
    return min(verdicts, key=_WORST_FIRST.index)
