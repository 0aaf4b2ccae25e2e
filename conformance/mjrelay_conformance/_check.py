"""What a check is: one sentence about a relay, and how an exchange is judged by it."""

from __future__ import annotations

import inspect
from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay._exchange import NotJSONError
from mjrelay._reader import State
from mjrelay._redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from mjrelay._contract import Clause, Contract
    from mjrelay._exchange import Exchange
    from mjrelay._matcher import Matcher
    from mjrelay._reader import Reader
    from mjrelay_conformance._schema import Schema, Violation


_MARGIN = 4096
"""Characters that are longer than any form of a secret."""


@cache
def _redactor(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(*secrets)


def _one_of(matchers: Iterable[Matcher], exchange: Exchange) -> bool:
    return any(matcher.matches(exchange) for matcher in matchers)


OVERLONG = "the body is larger than is read"
"""Why an answer was not read to its end; it is the suite's own bound, and not the relay's fault."""


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
    ODD = "odd"
    METHOD = "other-method"
    BATCH = "batch"
    BAD_CREDENTIAL = "bad-credential"
    NO_CREDENTIAL = "no-credential"
    MISPLACED = "misplaced-credential"
    ALTERNATIVE = "alternative-credential"


REFUSED = frozenset({Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL, Kind.MISPLACED})
"""What a relay that wants a credential is to refuse."""


@define(frozen=True, slots=False)
class Observation:
    """
    One exchange, and all that a check may know of it.

    ``earlier`` holds the observations of the same task that came before, oldest first; for a batch those of
    every known task, and for what is to be refused those of all that was. ``ids`` are the ones that a batch
    asked for, ``credential`` names the security scheme that was used, and ``accepted`` says whether the
    caller's key got an answer before, and ``proven`` that a task was, if any was asked for: where none is,
    the relay may not be at this address at all. ``secrets`` are the caller's own, which no answer may hold.
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
    proven: bool = True
    ids: tuple[str, ...] = ()
    credential: str | None = None

    @property
    def reader(self) -> Reader:
        """What the relay's documents mean."""
        return self.contract.reader

    @cached_property
    def task(self) -> dict[str, Any] | None:
        """The document where a 200 holds a JSON object, else None."""
        return self.exchange.object if self.exchange.status == 200 else None

    @cached_property
    def state(self) -> State:
        """Where the task stands; unknown where there is none."""
        return State.UNKNOWN if self.task is None else self.reader.state(self.task)

    @cached_property
    def media(self) -> tuple[str, ...]:
        """The URLs of the task's images and videos, whatever its state."""
        return () if self.task is None else (*self.reader.images(self.task), *self.reader.videos(self.task))

    @cached_property
    def times(self) -> dict[str, tuple[Any, datetime | None]]:
        """The times of the task that are set, in the order in which they should be: as sent, and as read."""
        reader = self.reader
        named = {"submitted": reader.submitted, "started": reader.started, "finished": reader.finished}
        return {
            name: (raw, stamp.read(self.task))
            for name, stamp in named.items()
            if self.task is not None and stamp is not None and (raw := stamp.raw(self.task)) is not None
        }

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
        read = self.kind is not Kind.KNOWN or any(before.task for before in self.earlier)
        if not read and self.missed:
            return "the relay has no such task: is the id right?"
        return None

    @property
    def missed(self) -> bool:
        """Whether the answer is what the contract says of a task that is not there."""
        return _one_of(self.reader.missing, self.exchange)

    @property
    def refused(self) -> bool:
        """Whether the caller's own key was refused, before it was ever accepted."""
        if self.kind in REFUSED or self.accepted:
            return False
        exchange, reader = self.exchange, self.reader
        bare = exchange.status in {401, 402, 403}
        return bare or _one_of(reader.unauthorized, exchange) or _one_of(reader.forbidden, exchange)

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


def check(
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


def judge(observation: Observation, number: int, checks: Iterable[Check]) -> list[Row]:
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
        return one.judge(observation)
    except NotJSONError as error:
        return not_applicable(f"the answer is not JSON: {error}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours and not the relay's
        return Judgement(Outcome.ERROR, actual=f"the check itself failed: {type(error).__name__}: {error}")


def findings(observation: Observation, checks: Iterable[Check]) -> Iterator[tuple[Check, Judgement]]:
    """The checks that an exchange breaks, or that broke themselves, without rows of what is in order."""
    for one, judgement in judgements(observation, checks):
        if judgement is not PASSED and judgement.outcome in {Outcome.FAIL, Outcome.ERROR}:
            yield one, judgement
