"""What a check is: one sentence about a relay, and how an exchange is judged by it."""

from __future__ import annotations

from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from mjrelay._exchange import NotJSONError
from mjrelay._redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mjrelay._contract import Clause, Contract
    from mjrelay._exchange import Exchange
    from mjrelay._reader import Reader, State
    from mjrelay_conformance._schema import Schema, Violation


_MARGIN = 4096
"""Characters that are longer than any form of a secret."""


@cache
def _redactor(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(*secrets)


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


class Kind(StrEnum):
    """What an exchange was sent for."""

    KNOWN = "known"
    MISSING = "missing"
    BAD_CREDENTIAL = "bad-credential"
    ODD = "odd"


@define(frozen=True, slots=False)
class Observation:
    """
    One exchange, and all that a check may know of it.

    ``earlier`` holds the observations of the same task that came before, oldest first, ``accepted`` says
    whether the caller's key got an answer before. ``secrets`` are the caller's own, which no answer may hold.
    """

    contract: Contract
    schema: Schema
    kind: Kind
    task_id: str
    exchange: Exchange
    expected: State | None = None
    earlier: tuple[Observation, ...] = ()
    accepted: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def reader(self) -> Reader:
        """What the relay's documents mean."""
        return self.contract.reader

    @property
    def task(self) -> dict[str, Any] | None:
        """The document where a 200 holds a JSON object, else None."""
        return self.exchange.object if self.exchange.status == 200 else None

    @property
    def redactor(self) -> Redactor:
        """Takes the caller's secrets out of what is shown."""
        return _redactor(self.secrets)

    def show(self, value: Any, limit: int = 200) -> str:
        """A value of the answer for people: without secrets, and then cut where it is long."""
        text = value if isinstance(value, str) else repr(value)
        shown = self.redactor.text(text[: limit + _MARGIN])
        return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(text)} characters)"

    @cached_property
    def inconclusive(self) -> str | None:
        """Why this exchange proves nothing for or against the relay, if so."""
        if self.exchange.status == 429:
            return "429: the relay would not answer so many requests"
        if self.refused:
            return "the relay refused the caller's own key: is it right, and may it do this?"
        missing = any(matcher.matches(self.exchange) for matcher in self.reader.missing)
        if self.kind is Kind.KNOWN and missing and not any(before.task for before in self.earlier):
            return "the relay has no such task: is the id right?"
        return None

    @property
    def refused(self) -> bool:
        """Whether the caller's own key was refused, before it was ever accepted."""
        if self.kind is Kind.BAD_CREDENTIAL or self.accepted:
            return False
        matchers = (*self.reader.unauthorized, *self.reader.forbidden)
        return self.exchange.status == 401 or any(matcher.matches(self.exchange) for matcher in matchers)

    @cached_property
    def violations(self) -> list[Violation]:
        """Where the document does not fit the contract's schema."""
        return self.schema.violations(self.exchange)


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
    have failed on the same exchange; where one has, this one is blocked and proves nothing.
    """

    id: str
    level: Level
    sentence: str
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


CHECKS: dict[str, Check] = {}
"""Every check by its id, in the order in which they are judged: a check stands behind what it needs."""


def check(
    id_: str,
    level: Level,
    *,
    on: Iterable[Kind],
    clause: Callable[[Observation], Clause | str],
    needs: Iterable[str] = (),
) -> Callable[[Callable[[Observation], Judgement]], Check]:
    """Register a function as a check; its docstring is the sentence."""

    def register(judge: Callable[[Observation], Judgement]) -> Check:
        needed = tuple(needs)
        unknown = [need for need in needed if need not in CHECKS]
        if unknown or id_ in CHECKS:
            raise ValueError(f"{id_}: registered twice, or needs what is not registered before it: {unknown}")
        sentence = " ".join((judge.__doc__ or "").split())
        CHECKS[id_] = Check(id_, level, sentence, frozenset(on), needed, clause, judge)
        return CHECKS[id_]

    return register


_BLOCKING = {Outcome.FAIL, Outcome.BLOCKED, Outcome.INCONCLUSIVE, Outcome.ERROR}


def judge(observation: Observation, number: int, checks: Iterable[Check]) -> list[Row]:
    """The rows of all checks that speak of this kind of exchange, ``number`` being the exchange's."""
    rows: dict[str, Row] = {}
    for one in checks:
        if observation.kind not in one.kinds:
            continue
        judgement = _judge(one, observation, {id_: row.outcome for id_, row in rows.items()})
        clause = judgement.clause or one.clause(observation)
        rows[one.id] = Row(
            relay=observation.contract.name,
            check=one.id,
            level=judgement.level or one.level,
            outcome=judgement.outcome,
            clause=str(clause),
            exchange=number,
            expected=judgement.expected,
            actual=judgement.actual,
        )
    return list(rows.values())


def _judge(one: Check, observation: Observation, outcomes: dict[str, Outcome]) -> Judgement:
    if observation.inconclusive and one.kinds != frozenset(Kind):  # those of all kinds speak of any answer
        return Judgement(Outcome.INCONCLUSIVE, actual=observation.inconclusive)
    blocking = [need for need in one.needs if outcomes.get(need) in _BLOCKING]
    if blocking:
        return Judgement(Outcome.BLOCKED, actual=f"nothing to judge: {', '.join(blocking)} did not pass")
    try:
        return one.judge(observation)
    except NotJSONError as error:
        return not_applicable(f"the answer is not JSON: {error}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours and not the relay's
        return Judgement(Outcome.ERROR, actual=f"the check itself failed: {type(error).__name__}: {error}")


def redacted(row: Row, redact: Callable[[str], str]) -> Row:
    """The row without secrets."""
    return evolve(
        row,
        expected=None if row.expected is None else redact(row.expected),
        actual=None if row.actual is None else redact(row.actual),
    )
