"""A check: one sentence about a relay, and the function that judges an exchange by it."""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import PatternError, time_limit
from mjrelay.http import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mjrelay.contract import Clause
    from mjrelay_conformance.judging.observation import Kind, Observation


class Level(StrEnum):
    """The severity of a finding: required by the page or an RFC, expected of servers, or informational."""

    MUST = "must"
    SHOULD = "should"
    INFO = "info"


class Outcome(StrEnum):
    """The result of judging one exchange by one check."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    ERROR = "error"
    BLOCKED = "blocked"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not-applicable"
    NOT_EXERCISED = "not-exercised"


@frozen
class Judgement:
    """An outcome, and what was expected and received if the outcome needs an explanation."""

    outcome: Outcome
    expected: str | None = None
    actual: str | None = None
    level: Level | None = None
    clause: Clause | str | None = None


PASSED = Judgement(Outcome.PASS)


def failed(
    expected: str, actual: str, *, level: Level | None = None, clause: Clause | str | None = None
) -> Judgement:
    """Return a finding; ``level`` and ``clause`` override those of the check."""
    return Judgement(Outcome.FAIL, expected, actual, level, clause)


def blocked(reason: str) -> Judgement:
    """Return a judgement for a check that another fault keeps from proving anything."""
    return Judgement(Outcome.BLOCKED, actual=f"not judged: {reason}")


def inconclusive(reason: str) -> Judgement:
    """Return a judgement for an exchange that proves nothing for or against the relay."""
    return Judgement(Outcome.INCONCLUSIVE, actual=reason)


def not_applicable(reason: str) -> Judgement:
    """Return a judgement for an exchange that the check does not apply to."""
    return Judgement(Outcome.NOT_APPLICABLE, actual=reason)


@frozen
class Check:
    """
    One sentence that a relay keeps or breaks.

    Attributes:
        id: The id that users select the check by.
        level: The highest level of its findings.
        sentence: What a conformant relay does.
        why: What depends on it, and how relays usually break it.
        kinds: The kinds of exchanges that the check applies to.
        needs: The ids of the checks that block this one if they did not pass on the same exchange.
        clause: Returns the clause of the contract, or the section of a standard, that the check rests on.
        judges_inconclusive: Whether the check also judges exchanges that are inconclusive for other checks.
        judges_headers: Whether the check needs the header fields, which a recording may lack.
        judge: Judges an observation. It is pure: the result depends on nothing else.
    """

    id: str
    level: Level
    sentence: str
    why: str
    kinds: frozenset[Kind]
    needs: tuple[str, ...]
    clause: Callable[[Observation], Clause | str]
    judges_inconclusive: bool
    judges_headers: bool
    judge: Callable[[Observation], Judgement] = field(repr=False)


@frozen
class Row:
    """The judgement of one exchange by one check, as it is recorded."""

    relay: str
    check: str
    level: Level
    outcome: Outcome
    clause: str | None
    exchange: int | None
    expected: str | None
    actual: str | None
    quote: str | None = None
    """The text of the clause, for a finding."""

    @property
    def finding(self) -> bool:
        """Whether the relay breaks the check."""
        return self.outcome is Outcome.FAIL

    def document(self, redact: Callable[[str], str]) -> dict[str, Any]:
        """Return the row as plain data, without secrets."""
        return {
            "relay": self.relay,
            "check": self.check,
            "level": self.level.value,
            "outcome": self.outcome.value,
            "clause": self.clause,
            "exchange": self.exchange,
            "expected": self.expected and redact(self.expected),
            "actual": self.actual and redact(self.actual),
            "quote": self.quote and redact(self.quote),
        }


def define_check(
    id_: str,
    level: Level,
    *,
    on: Iterable[Kind],
    clause: Callable[[Observation], Clause | str],
    needs: Iterable[Check] = (),
    judges_inconclusive: bool = False,
    judges_headers: bool = False,
) -> Callable[[Callable[[Observation], Judgement]], Check]:
    """
    Turn a function into a check; the family that it belongs to lists it in ``CHECKS``.

    The first paragraph of the function's docstring is the sentence, the second one says why. For the
    arguments see `Check`.
    """

    def define(judge: Callable[[Observation], Judgement]) -> Check:
        sentence, _, why = inspect.cleandoc(judge.__doc__ or "").partition("\n\n")
        needed = tuple(need.id for need in needs)
        kinds = frozenset(on)
        return Check(
            id_,
            level,
            _line(sentence),
            _line(why),
            kinds,
            needed,
            clause,
            judges_inconclusive,
            judges_headers,
            judge,
        )

    return define


def _line(text: str) -> str:
    return " ".join(text.split())


_BLOCKING = {Outcome.FAIL, Outcome.BLOCKED, Outcome.INCONCLUSIVE, Outcome.ERROR}
_SECONDS = 1.0
"""Processor time that the contract's patterns may take on one exchange."""


def judge_observation(observation: Observation, number: int, checks: Iterable[Check]) -> list[Row]:
    """Return the rows of all checks that apply to an exchange; ``number`` is its number in the record."""
    rows = []
    for one, judgement in judgements(observation, checks):
        clause = judgement.clause or one.clause(observation)
        failing = judgement.outcome is Outcome.FAIL
        rows.append(
            Row(
                relay=observation.contract.name,
                check=one.id,
                level=judgement.level or one.level,
                outcome=judgement.outcome,
                clause=str(clause),
                exchange=number,
                expected=judgement.expected,
                actual=judgement.actual,
                quote=None if isinstance(clause, str) or not failing else clause.quote or None,
            )
        )
    return rows


def judgements(observation: Observation, checks: Iterable[Check]) -> list[tuple[Check, Judgement]]:
    """Return the judgement of each check that applies to an exchange, in order."""
    blocking: set[str] = set()
    found = []
    whole = observation.inconclusive is None and observation.headers_recorded
    with time_limit(_SECONDS):  # for all checks, because entering it takes as long as most checks
        for one in checks:
            if observation.kind in one.kinds:
                judged = whole and (not blocking or blocking.isdisjoint(one.needs))
                reason = None if judged else _unjudged(one, observation, blocking)
                judgement = reason or _judge(one, observation)
                if judgement is not PASSED and judgement.outcome in _BLOCKING:
                    blocking.add(one.id)
                found.append((one, judgement))
    return found


def _unjudged(one: Check, observation: Observation, blocking: set[str]) -> Judgement | None:
    """Return why a check does not judge an observation, or None if it does."""
    if observation.inconclusive and not one.judges_inconclusive:
        return inconclusive(observation.inconclusive)
    if not blocking.isdisjoint(one.needs):
        return blocked(f"{', '.join(need for need in one.needs if need in blocking)} did not pass")
    if one.judges_headers and not observation.headers_recorded:
        return not_applicable("the headers were not recorded")
    return None


def _judge(one: Check, observation: Observation) -> Judgement:
    try:
        return one.judge(observation)
    except PatternError as error:
        return inconclusive(f"this contract cannot judge the response: {error}")
    except NotJSONError as error:
        return not_applicable(f"the response is not JSON: {error}")
    except Exception as error:  # noqa: BLE001 - an error of the check is no finding against the relay
        return Judgement(Outcome.ERROR, actual=f"the check itself failed: {type(error).__name__}: {error}")


def findings(observation: Observation, checks: Iterable[Check]) -> Iterator[tuple[Check, Judgement]]:
    """Yield only failed or crashed checks."""
    for one, judgement in judgements(observation, checks):
        if judgement is not PASSED and judgement.outcome in {Outcome.FAIL, Outcome.ERROR}:
            yield one, judgement
