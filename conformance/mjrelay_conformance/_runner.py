"""Drives a plan, and the property-based phase behind it, against one relay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay_conformance import _fuzz
from mjrelay_conformance._check import CHECKS, Kind, Level, Observation, Outcome, Row, judge
from mjrelay_conformance._schema import schema_of
from mjrelay_conformance._verdict import features, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mjrelay._contract import Contract
    from mjrelay._exchange import Exchange
    from mjrelay._request import Request
    from mjrelay_conformance._check import Check
    from mjrelay_conformance._plan import Step
    from mjrelay_conformance._probe import Probe
    from mjrelay_conformance._record import Record
    from mjrelay_conformance._schema import Schema
    from mjrelay_conformance._verdict import Verdict


@define
class Runner:
    """
    Judges one relay: sends, judges, records, and says the verdict.

    ``pause`` is the time between two requests in seconds. A relay that answers 429, twice nothing at all, or
    refuses the caller's key is left alone from then on: what is not sent stays unproven.
    """

    contract: Contract
    probe: Probe
    record: Record
    checks: Sequence[Check]
    secrets: tuple[str, ...] = field(repr=False)
    pause: float = 0.0
    strict: bool = False
    sleep: Callable[[float], None] = time.sleep
    _schema: Schema = field(init=False, repr=False)
    _observations: list[Observation] = field(factory=list, init=False, repr=False)
    _rows: list[Row] = field(factory=list, init=False, repr=False)
    _statuses: list[int | None] = field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._schema = schema_of(self.contract)

    def run(self, plan: Sequence[Step], *, cases: int = 0, seed: int = 0) -> Verdict:
        """The verdict on the relay, after the plan and up to ``cases`` cases of the property-based phase."""
        for step in plan:
            if self._spent():
                break
            self._wait()
            self._observe(step, self.probe.send(step.request))
        fuzzed = self._fuzz(plan, cases, seed) if cases and not self._spent() else None
        self._close()
        found = features(self.contract, self._observations)
        whole = len(self.checks) == len(CHECKS)
        said = verdict(found, self._observations, self._rows, strict=self.strict, whole=whole)
        contract = {
            "relay": self.contract.name,
            "contract": self.contract.clause().file,
            "version": self.contract.document["info"]["version"],
        }
        self.record.add_relay(contract, said, found, self.probe.sent, fuzzed)
        return said

    def _observe(self, step: Step, exchange: Exchange) -> None:
        observation = self._observation(step.kind, step.task_id, exchange, step)
        rows = judge(observation, self.record.next_number(), self.checks)
        self._observations.append(observation)
        self._statuses.append(exchange.status)
        self._rows += rows
        self.record.add(observation, rows, driver="plan")

    def _observation(
        self, kind: Kind, task_id: str, exchange: Exchange, step: Step | None = None
    ) -> Observation:
        return Observation(
            contract=self.contract,
            schema=self._schema,
            kind=kind,
            task_id=task_id,
            exchange=exchange,
            expected=None if step is None else step.expected,
            earlier=tuple(o for o in self._observations if o.kind is Kind.KNOWN and o.task_id == task_id),
            accepted=200 in self._statuses,
            secrets=self.secrets,
        )

    def _fuzz(self, plan: Sequence[Step], cases: int, seed: int) -> dict[str, Any]:
        """What only odd requests show: findings of checks that the plan found nothing against."""
        known = {step.task_id: step for step in plan if step.kind is Kind.KNOWN}
        found = {row.check for row in self._rows if row.finding}
        reached = 0

        def judged(task_id: str, exchange: Exchange) -> list[str]:
            nonlocal reached
            reached += exchange.status == 200
            self._statuses.append(exchange.status)
            kind = Kind.KNOWN if task_id in known else Kind.ODD
            observation = self._observation(kind, task_id, exchange, known.get(task_id))
            rows = judge(observation, self.record.next_number(), self.checks)
            new = [
                row for row in rows if row.outcome in {Outcome.FAIL, Outcome.ERROR} and row.check not in found
            ]
            if new:
                found.update(row.check for row in new)
                self._rows += new
                self.record.add(observation, new, driver="fuzz")
            return [row.check for row in new if row.level is Level.MUST]

        sent = _fuzz.run(
            self._schema,
            self.probe,
            judged,
            ids=sorted(known),
            credential=self._authenticated,
            cases=cases,
            seed=seed,
            pace=self._wait,
            spent=self._spent,
        )
        return {"cases": sent, "reached_200": reached, "seed": seed}

    def _authenticated(self, request: Request) -> Request:
        if not self.contract.credentials or not self.secrets:
            return request
        return request.authenticated(self.contract.credentials[0], self.secrets[0])

    def _close(self) -> None:
        """Say which checks proved nothing."""
        proven = {row.check for row in self._rows if row.outcome in {Outcome.PASS, Outcome.FAIL}}
        rows = [
            Row(self.contract.name, one.id, one.level, Outcome.NOT_EXERCISED, None, None, None, None)
            for one in self.checks
            if one.id not in proven
        ]
        self._rows += rows
        self.record.add_rows(rows)

    def _spent(self) -> bool:
        # A key that is refused before anything came is not tried again: each try is one more bad one.
        refused = any(o.refused for o in self._observations)
        return (
            refused
            or self._statuses[-2:] == [401, 401]
            or 429 in self._statuses
            or self._statuses[-2:] == [None, None]
        )

    def _wait(self) -> None:
        if self.pause and self.probe.sent:
            self.sleep(self.pause)
