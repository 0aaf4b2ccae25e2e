"""What a check is: one sentence about a relay, and how an exchange is judged by it."""

from __future__ import annotations

import inspect
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import PatternError, time_limit
from mjrelay.http import NotJSONError
from mjrelay_conformance.judging.observation import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mjrelay.contract import Clause
    from mjrelay_conformance.judging.observation import Observation


class Level(StrEnum):
    """How much a breach weighs: the relay's page or an RFC says so, servers do so, or it is worth knowing."""

    MUST = "must"
    SHOULD = "should"
    INFO = "info"


class Outcome(StrEnum):
    """What came of judging one exchange by one check."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    ERROR = "error"
    BLOCKED = "blocked"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not-applicable"
    NOT_EXERCISED = "not-exercised"


@frozen
class Judgement:
    """An outcome, with what was expected and what came instead where that says something."""

    outcome: Outcome
    expected: str | None = None
    actual: str | None = None
    level: Level | None = None
    clause: Clause | str | None = None


PASSED = Judgement(Outcome.PASS)


def failed(
    expected: str, actual: str, *, level: Level | None = None, clause: Clause | str | None = None
) -> Judgement:
    """The sentence is broken; ``level`` and ``clause`` stand for the check's own where given."""
    return Judgement(Outcome.FAIL, expected, actual, level, clause)


def not_applicable(why: str) -> Judgement:
    """The sentence says nothing about this exchange."""
    return Judgement(Outcome.NOT_APPLICABLE, actual=why)


@frozen
class Check:
    """
    One sentence that a relay keeps or breaks.

    ``judge`` is pure: it looks at an observation and at nothing else. ``needs`` are the checks that must not
    have failed on the same exchange; where one has, this one is blocked and proves nothing. ``why`` says what
    depends on it and how relays usually break it.
    """

    id: str
    level: Level
    sentence: str
    why: str
    kinds: frozenset[Kind]
    needs: tuple[str, ...]
    clause: Callable[[Observation], Clause | str]
    judge: Callable[[Observation], Judgement] = field(repr=False)


@frozen
class Row:
    """The judgement of one exchange by one check, ready to be written down."""

    relay: str
    check: str
    level: Level
    outcome: Outcome
    clause: str | None
    exchange: int | None
    expected: str | None
    actual: str | None

    @property
    def finding(self) -> bool:
        """Whether it says something against the relay."""
        return self.outcome is Outcome.FAIL

    def document(self, redact: Callable[[str], str]) -> dict[str, Any]:
        """The row as plain data, without secrets."""
        return {
            "relay": self.relay,
            "check": self.check,
            "level": self.level.value,
            "outcome": self.outcome.value,
            "clause": self.clause,
            "exchange": self.exchange,
            "expected": self.expected and redact(self.expected),
            "actual": self.actual and redact(self.actual),
        }


CHECKS: dict[str, Check] = {}
"""Every check by its id, in the order in which they are judged: a check stands behind what it needs."""


def register_check(
    id_: str,
    level: Level,
    *,
    on: Iterable[Kind],
    clause: Callable[[Observation], Clause | str],
    needs: Iterable[str] = (),
) -> Callable[[Callable[[Observation], Judgement]], Check]:
    """Register a function as a check; its docstring is the sentence, and in a paragraph of its own why."""

    def register(judge: Callable[[Observation], Judgement]) -> Check:
        needed = tuple(needs)
        unknown = [need for need in needed if need not in CHECKS]
        if unknown or id_ in CHECKS:
            raise ValueError(f"{id_}: registered twice, or needs what is not registered before it: {unknown}")
        sentence, _, why = inspect.cleandoc(judge.__doc__ or "").partition("\n\n")
        CHECKS[id_] = Check(id_, level, _line(sentence), _line(why), frozenset(on), needed, clause, judge)
        return CHECKS[id_]

    return register


def _line(text: str) -> str:
    return " ".join(text.split())


_BLOCKING = {Outcome.FAIL, Outcome.BLOCKED, Outcome.INCONCLUSIVE, Outcome.ERROR}


_EVERY = frozenset(Kind)

_SECONDS = 1.0
"""Processor time of the contract's patterns in one judgement."""


def judge_observation(observation: Observation, number: int, checks: Iterable[Check]) -> list[Row]:
    """The rows of all checks that speak of this kind of exchange, ``number`` being the exchange's."""
    return [
        Row(
            relay=observation.contract.name,
            check=one.id,
            level=judgement.level or one.level,
            outcome=judgement.outcome,
            clause=str(judgement.clause or one.clause(observation)),
            exchange=number,
            expected=judgement.expected,
            actual=judgement.actual,
        )
        for one, judgement in judgements(observation, checks)
    ]


def judgements(observation: Observation, checks: Iterable[Check]) -> Iterator[tuple[Check, Judgement]]:
    """What each check that speaks of this kind of exchange says of it, in their order."""
    blocking: set[str] = set()
    for one in checks:
        if observation.kind in one.kinds:
            judgement = _judge(one, observation, blocking)
            if judgement is not PASSED and judgement.outcome in _BLOCKING:
                blocking.add(one.id)
            yield one, judgement


def _judge(one: Check, observation: Observation, blocking: set[str]) -> Judgement:
    """What one check says, which may need one of those that are ``blocking``."""
    if observation.inconclusive and one.kinds != _EVERY:  # those of all kinds speak of any answer
        return Judgement(Outcome.INCONCLUSIVE, actual=observation.inconclusive)
    if not blocking.isdisjoint(one.needs):
        needed = ", ".join(need for need in one.needs if need in blocking)
        return Judgement(Outcome.BLOCKED, actual=f"nothing to judge: {needed} did not pass")
    try:
        with time_limit(_SECONDS):
            return one.judge(observation)
    except PatternError as error:
        return Judgement(Outcome.INCONCLUSIVE, actual=f"cannot be judged by this contract: {error}")
    except NotJSONError as error:
        return not_applicable(f"the answer is not JSON: {error}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours and not the relay's
        return Judgement(Outcome.ERROR, actual=f"the check itself failed: {type(error).__name__}: {error}")


def findings(observation: Observation, checks: Iterable[Check]) -> Iterator[tuple[Check, Judgement]]:
    """The checks that an exchange breaks, or that broke themselves, without rows of what is in order."""
    for one, judgement in judgements(observation, checks):
        if judgement is not PASSED and judgement.outcome in {Outcome.FAIL, Outcome.ERROR}:
            yield one, judgement
