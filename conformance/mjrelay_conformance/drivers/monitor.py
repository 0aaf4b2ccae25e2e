"""Judge the exchanges of a running program; no request is sent."""

from __future__ import annotations

import logging
import re
import traceback
from collections import Counter, OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Protocol

import ruamel.yaml  # noqa: F401 - findings name lines; importing it here keeps the first one fast
from attrs import define, evolve, field, frozen

from mjrelay.base import Pattern
from mjrelay.http import Redactor
from mjrelay.semantics import scalar_text
from mjrelay_conformance.checks import CHECKS, matching_ids, needed_checks
from mjrelay_conformance.judging import Kind, Level, Observation, Outcome, findings, schema_of, submit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange
    from mjrelay_conformance.judging import Check, Judgement, Schema


_MAX_TASKS = 2000
"""Maximum number of tasks whose earlier exchanges are kept."""
_MAX_KEPT_BYTES = 8 * 1024 * 1024
"""Maximum total size of the bodies of kept exchanges, in bytes."""
_MAX_SHAPES = 20
"""Maximum number of different findings of one check that are reported."""
_NOT_FOUND = frozenset({404, 410})
"""Status codes of a missing task, besides the contract's matchers."""
_VARYING = re.compile(r"\S*(?:\d|://)\S*")
"""Parts of a finding that differ between responses: numbers, times, ids and URLs."""

_log = logging.getLogger("mjrelay.monitor")


class Report(Protocol):
    """Receives the fields of a new finding, redacted."""

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
    """An exchange to judge; ``ended`` is the monotonic time at which it ended."""

    exchange: Exchange
    ids: tuple[str, ...]
    ended: float

    @property
    def started(self) -> float:
        return self.ended - self.exchange.elapsed


@define
class _Earlier:
    """
    The earlier exchanges of one task to compare later ones with: the first and the last.

    Once the task has ended, the first is the first one that showed the end.
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
    Judges the exchanges of one relay: those with task ids, and submits. Only one thread may call `judge`.

    Args:
        contract: The relay's contract.
        globs: Globs of check ids, or None for all checks.
        secrets: Secrets to redact. A response that holds one is a finding.
        levels: The levels that count.
        report: Receives each new finding.

    Raises:
        SelectionError: A glob matches no check.
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
    _tasks: OrderedDict[str, _Earlier] = field(factory=OrderedDict, init=False, repr=False)
    _kept: int = field(default=0, init=False)
    _failures: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._schema = schema_of(self.contract)
        self._redactor = Redactor(*self.secrets)
        self._seed = _seed(self.contract)
        # One check of level INFO may have a higher level: that of the contract's own relations.
        quiet = Level.INFO not in self.levels and all(
            one.level == Level.INFO for one in self.contract.reader.relations
        )
        ids = set(CHECKS) if self.globs is None else matching_ids("checks", self.globs)
        self._wanted = frozenset(id_ for id_ in ids if not quiet or CHECKS[id_].level != Level.INFO)
        used = needed_checks(self._wanted)
        self.checks = {kind: tuple(one for one in used if kind in one.kinds) for kind in Kind}

    def forget(self) -> None:
        """Drop earlier exchanges; a fork may have happened while the monitor's thread was changing them."""
        self._tasks, self._kept = OrderedDict(), 0

    def judge(self, exchange: Exchange, ids: tuple[str, ...], ended: float) -> None:
        """Judge an exchange for these task ids that ended at this monotonic time; never raise."""
        try:
            self._judge(QueuedExchange(exchange, ids, ended))
        except Exception:  # noqa: BLE001 - the monitor's thread must not end
            # The traceback may hold text of the response.
            trace = self._redactor.text(traceback.format_exc())
            self._fail("judging", f"an exchange could not be judged; this is logged once\n{trace}")

    def _judge(self, queued: QueuedExchange) -> None:
        if self._seed is not None and self._seed.search(f"{queued.exchange.method} {queued.exchange.url}"):
            return
        if not queued.ids and submit_of(self.contract, queued.exchange) is None:
            return
        # Parse the document again: the caller may change its own.
        observation = self._observation(evolve(queued, exchange=_fresh(queued.exchange)))
        for check, judgement in findings(observation, self.checks[observation.kind]):
            if judgement.outcome is Outcome.ERROR:
                self._fail(check.id, f"{check.id}: {self._redactor.text(str(judgement.actual))}")
            elif check.id in self._wanted and (judgement.level or check.level) in self.levels:
                self._found(observation, check, judgement)
        if observation.kind is Kind.KNOWN:
            self._keep(queued, observation)
        self.judged += 1

    def _observation(self, queued: QueuedExchange) -> Observation:
        """Return the suite's observation, with the earlier exchanges that ended before this one started."""
        ids = queued.ids
        if not ids:
            return self._observed(Kind.SUBMIT, ids, queued.exchange, ())
        read = [kept for task_id in ids if (kept := self._tasks.get(task_id)) is not None]
        kind = Kind.KNOWN
        if len(ids) > 1:
            kind = Kind.BATCH
        elif not read and self._reports_missing(queued.exchange):
            kind = Kind.MISSING
        before = (one for kept in read for one in dict.fromkeys((kept.first, kept.last)))
        earlier = [
            self._observed(Kind.KNOWN, one.ids, _to_compare(one.exchange, queued.exchange))
            for one in before
            if one.ended <= queued.started
        ]
        return self._observed(kind, ids, queued.exchange, tuple(earlier))

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
            submit=submit_of(self.contract, exchange) if kind is Kind.SUBMIT else None,
        )

    def _reports_missing(self, exchange: Exchange) -> bool:
        """Return whether the response reports a missing task."""
        missing = self.contract.reader.missing
        return exchange.status in _NOT_FOUND or any(matcher.matches(exchange) for matcher in missing)

    def _found(self, observation: Observation, check: Check, judgement: Judgement) -> None:
        self.findings[check.id] += 1
        shape = tuple(_VARYING.sub("#", text or "") for text in (judgement.expected, judgement.actual))
        reported = self._reported.setdefault(check.id, set())
        if shape in reported or len(reported) >= _MAX_SHAPES:
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
        except Exception:  # noqa: BLE001 - a faulty callback must not stop the monitor
            self._fail("on_finding", "on_finding failed; this is logged once", exc_info=True)

    def _keep(self, queued: QueuedExchange, observation: Observation) -> None:
        """Keep an exchange to compare later ones with; drop those of the tasks not polled for longest."""
        task_id, document, reader = observation.task_id, observation.task, self.contract.reader
        if document is None or not reader.accepts(document) or scalar_text(reader.id(document)) != task_id:
            return
        ended = reader.state(document).terminal
        before = self._tasks.pop(task_id, None)
        if before is None or (ended and not before.ended):
            kept = _Earlier(queued, queued, ended)
        else:
            same = queued.exchange.body == before.first.exchange.body
            kept = _Earlier(before.first, before.first if same else queued, before.ended)
        self._tasks[task_id] = kept
        self._kept += kept.size - (before.size if before else 0)
        while len(self._tasks) > _MAX_TASKS or self._kept > _MAX_KEPT_BYTES:
            self._kept -= self._tasks.popitem(last=False)[1].size

    def _fail(self, what: str, message: str, *, exc_info: bool = False) -> None:
        """Log a failure of the monitor or of a callback, once."""
        if what not in self._failures:
            self._failures.add(what)
            _log.error("%s", message, exc_info=exc_info)


def _seed(contract: Contract) -> Pattern | None:
    """Return the pattern of method and URL of seed requests, to which no check applies."""
    if contract.seed is None or contract.seed == contract.location:
        return None
    _, path, method = contract.seed
    steps = re.sub(r"\\{.*?\\}", "[^/?]+", re.escape(str(path)))
    return Pattern.compile(rf"^{str(method).upper()} .*{steps}(?:\?|$)")


def _fresh(exchange: Exchange) -> Exchange:
    """Return a copy, whose document is parsed again."""
    return evolve(exchange)


def _to_compare(exchange: Exchange, later: Exchange) -> Exchange:
    """Return an earlier exchange to compare with a later one; the same one if they are equal."""
    alike = exchange.body == later.body and later.status == exchange.status
    return later if alike else _fresh(exchange)
