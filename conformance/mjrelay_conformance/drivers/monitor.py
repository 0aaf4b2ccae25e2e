"""Judges the exchanges of a running program, one after the other; it sends nothing."""

from __future__ import annotations

import logging
import re
import traceback
from collections import Counter, OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Protocol

import ruamel.yaml  # noqa: F401 - a finding names a line; the first one does not wait for this import
from attrs import define, evolve, field, frozen

from mjrelay.base import Pattern
from mjrelay.http import Redactor
from mjrelay.semantics import scalar_text
from mjrelay_conformance.checks import CHECKS, matching_ids, needed_checks
from mjrelay_conformance.judging import Kind, Level, Observation, Outcome, findings, schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange
    from mjrelay_conformance.judging import Check, Judgement, Schema


_TASKS = 2000
"""Tasks whose earlier readings are kept."""
_KEPT_BYTES = 8 * 1024 * 1024
"""Bytes of bodies of earlier readings that are kept."""
_SHAPES = 20
"""Findings of one check that are reported; one that has more shapes would be reported again and again."""
_GONE = frozenset({404, 410})
"""What HTTP says of a thing that is not there, whatever the contract says of it."""
_VARYING = re.compile(r"\S*(?:\d|://)\S*")
"""What differs from answer to answer: numbers, times, ids and URLs."""

_log = logging.getLogger("mjrelay.monitor")


class Report(Protocol):
    """Takes what is new in an exchange: the fields of a finding, without secrets."""

    def __call__(
        self,
        *,
        check: str,
        level: str,
        expected: str | None,
        actual: str | None,
        clause: str,
        sentence: str,
        exchange: Exchange,
        task_id: str | None,
    ) -> object: ...


@frozen
class QueuedExchange:
    """An exchange that is judged; ``ended`` is when it was had, by the monotonic clock."""

    exchange: Exchange
    ids: tuple[str, ...]
    ended: float

    @property
    def begun(self) -> float:
        return self.ended - self.exchange.elapsed


@define
class _Readings:
    """
    The readings of one task that were tasks: the first, or the first that had ended, and the last.

    What came before the end says nothing once it has come.
    """

    first: QueuedExchange
    last: QueuedExchange
    ended: bool

    @property
    def size(self) -> int:
        return len(self.first.exchange.body) + len(self.last.exchange.body)


@define(eq=False)
class LiveJudge:
    """
    Judges the exchanges of one relay by the checks whose ids match ``globs``, all of them for None.

    What is below ``levels`` is counted nowhere. Raises `SelectionError` for a glob that is no check's.
    ``findings`` counts how often each check was found broken, and ``judged`` the exchanges; all else belongs
    to the thread that calls `hear`.
    """

    contract: Contract
    globs: Sequence[str] | None
    secrets: tuple[str, ...] = field(repr=False, kw_only=True)
    levels: frozenset[str] = field(kw_only=True)
    report: Report = field(repr=False, kw_only=True)
    findings: Counter[str] = field(factory=Counter, init=False)
    judged: int = field(default=0, init=False)
    checks: dict[Kind, tuple[Check, ...]] = field(init=False, repr=False)
    _wanted: frozenset[str] = field(init=False, repr=False)
    _schema: Schema = field(init=False, repr=False)
    _redactor: Redactor = field(init=False)
    _seed: Pattern | None = field(init=False)
    _reported: dict[str, set[tuple[str, ...]]] = field(factory=dict, init=False, repr=False)
    _tasks: OrderedDict[str, _Readings] = field(factory=OrderedDict, init=False, repr=False)
    _kept: int = field(default=0, init=False)
    _failures: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._schema = schema_of(self.contract)
        self._redactor = Redactor(*self.secrets)
        self._seed = _seed(self.contract)
        # Of the checks that are only worth knowing one may weigh more: that of the contract's own relations.
        quiet = Level.INFO not in self.levels and all(
            one.level == Level.INFO for one in self.contract.reader.relations
        )
        ids = set(CHECKS) if self.globs is None else matching_ids("checks", self.globs)
        self._wanted = frozenset(id_ for id_ in ids if not quiet or CHECKS[id_].level != Level.INFO)
        used = needed_checks(self._wanted)
        self.checks = {kind: tuple(one for one in used if kind in one.kinds) for kind in Kind}

    def forget(self) -> None:
        """Drop the earlier readings; a fork may have come while the monitor's thread was changing them."""
        self._tasks, self._kept = OrderedDict(), 0

    def hear(self, exchange: Exchange, ids: tuple[str, ...], ended: float) -> None:
        """Judge an exchange for these task ids, which ended at that monotonic time; never raises."""
        try:
            self._hear(QueuedExchange(exchange, ids, ended))
        except Exception:  # noqa: BLE001 - a thread that ended would judge nothing any more
            # Its text may hold what the relay echoed.
            trace = self._redactor.text(traceback.format_exc())
            self._fail("judging", f"an answer could not be judged; this is told once\n{trace}")

    def _hear(self, answer: QueuedExchange) -> None:
        if self._seed is not None and self._seed.search(f"{answer.exchange.method} {answer.exchange.url}"):
            return
        # A document of its own: the caller's may be changed while it is judged.
        observation = self._observation(evolve(answer, exchange=_fresh(answer.exchange)))
        for check, judgement in findings(observation, self.checks[observation.kind]):
            if judgement.outcome is Outcome.ERROR:
                self._fail(check.id, f"{check.id}: {self._redactor.text(str(judgement.actual))}")
            elif check.id in self._wanted and (judgement.level or check.level) in self.levels:
                self._found(observation, check, judgement)
        if observation.kind is Kind.KNOWN:
            self._keep(answer, observation)
        self.judged += 1

    def _observation(self, answer: QueuedExchange) -> Observation:
        """An answer as the suite sees it, with the earlier readings that ended before it was asked for."""
        ids = answer.ids
        read = [readings for task_id in ids if (readings := self._tasks.get(task_id)) is not None]
        kind = Kind.KNOWN
        if len(ids) > 1:
            kind = Kind.BATCH
        elif not read and self._gone(answer.exchange):
            kind = Kind.MISSING
        before = (one for readings in read for one in dict.fromkeys((readings.first, readings.last)))
        earlier = [
            self._observed(Kind.KNOWN, one.ids, _earlier(one.exchange, answer.exchange))
            for one in before
            if one.ended <= answer.begun
        ]
        return self._observed(kind, ids, answer.exchange, tuple(earlier))

    def _observed(
        self, kind: Kind, ids: tuple[str, ...], exchange: Exchange, earlier: tuple[Observation, ...] = ()
    ) -> Observation:
        return Observation(
            contract=self.contract,
            schema=self._schema,
            kind=kind,
            task_id=ids[0] if len(ids) == 1 else "",
            exchange=exchange,
            earlier=earlier,
            secrets=self.secrets,
            ids=ids if len(ids) > 1 else (),
        )

    def _gone(self, exchange: Exchange) -> bool:
        """Whether an answer says that there is no such task; of one never read that may well be true."""
        missing = self.contract.reader.missing
        return exchange.status in _GONE or any(matcher.matches(exchange) for matcher in missing)

    def _found(self, observation: Observation, check: Check, judgement: Judgement) -> None:
        self.findings[check.id] += 1
        shape = tuple(_VARYING.sub("#", said or "") for said in (judgement.expected, judgement.actual))
        reported = self._reported.setdefault(check.id, set())
        if shape in reported or len(reported) >= _SHAPES:
            return
        reported.add(shape)
        clean = self._redactor.text
        report = partial(
            self.report,
            check=check.id,
            level=(judgement.level or check.level).value,
            expected=None if judgement.expected is None else clean(judgement.expected),
            actual=None if judgement.actual is None else clean(judgement.actual),
            clause=str(judgement.clause or check.clause(observation)),
            sentence=check.sentence,
            exchange=self._redactor.exchange(observation.exchange),
            task_id=clean(observation.task_id) if observation.task_id else None,
        )
        try:
            report()
        except Exception:  # noqa: BLE001 - it is the callback's own
            self._fail("on_finding", "on_finding failed; this is told once", exc_info=True)

    def _keep(self, answer: QueuedExchange, observation: Observation) -> None:
        """Keep what later answers are compared with; the tasks not asked for the longest give way."""
        task_id, document, reader = observation.task_id, observation.task, self.contract.reader
        if document is None or not reader.accepts(document) or scalar_text(reader.id(document)) != task_id:
            return
        ended = reader.state(document).terminal
        before = self._tasks.pop(task_id, None)
        if before is None or (ended and not before.ended):
            readings = _Readings(answer, answer, ended)
        else:
            same = answer.exchange.body == before.first.exchange.body
            readings = _Readings(before.first, before.first if same else answer, before.ended)
        self._tasks[task_id] = readings
        self._kept += readings.size - (before.size if before else 0)
        while len(self._tasks) > _TASKS or self._kept > _KEPT_BYTES:
            self._kept -= self._tasks.popitem(last=False)[1].size

    def _fail(self, what: str, message: str, *, exc_info: bool = False) -> None:
        """Say once that something of our own, or of a callback's, failed."""
        if what not in self._failures:
            self._failures.add(what)
            _log.error("%s", message, exc_info=exc_info)


def _seed(contract: Contract) -> Pattern | None:
    """What asks for a seed by an operation of its own, of which no check speaks: its method and URL."""
    if contract.seed is None or contract.seed == contract.location:
        return None
    _, path, method = contract.seed
    steps = re.sub(r"\\{.*?\\}", "[^/?]+", re.escape(str(path)))
    return Pattern.compile(rf"^{str(method).upper()} .*{steps}(?:\?|$)")


def _fresh(exchange: Exchange) -> Exchange:
    """The same exchange, whose document nobody else has."""
    return evolve(exchange)


def _earlier(exchange: Exchange, later: Exchange) -> Exchange:
    """An earlier exchange, ready to be compared with a later one: what is alike is read once."""
    alike = exchange.body == later.body and later.status == exchange.status
    return later if alike else _fresh(exchange)
