"""Drives a plan, and the property-based phase behind it, against one relay."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay.http import Request
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import Step
from mjrelay_conformance.judging import (
    CHECKS,
    REFUSED,
    Baseline,
    Kind,
    Observation,
    Outcome,
    Row,
    features,
    judge_observation,
    reach_verdict,
    schema_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange
    from mjrelay_conformance.judging import Check, Record, Schema, Verdict

    class Sender(Protocol):
        """Sends requests, each once, to one relay."""

        base_url: str
        sent: int

        def send(self, request: Request) -> Exchange:
            """What a request leads to."""


@define
class Judge:
    """
    Judges the exchanges of one relay, one after the other, and at last the relay, whoever sent them.

    With ``strict`` every finding counts, not only a broken MUST; what the ``baseline`` accepts does not.
    """

    contract: Contract
    record: Record
    checks: Sequence[Check]
    secrets: tuple[str, ...] = field(repr=False)
    strict: bool = False
    baseline: Baseline = field(factory=Baseline)
    observations: list[Observation] = field(factory=list, init=False, repr=False)
    rows: list[Row] = field(factory=list, init=False, repr=False)
    _schema: Schema = field(init=False, repr=False)
    _accepted: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._schema = schema_of(self.contract)

    def observe(self, step: Step, exchange: Exchange) -> Observation:
        """An exchange as the checks see it, with what came before."""
        if step.kind in REFUSED:
            before = [o for o in self.observations if o.kind in REFUSED]
        else:
            tasks = [o for o in self.observations if o.kind is Kind.KNOWN]
            before = [o for o in tasks if step.kind is Kind.BATCH or o.task_id == step.task_id]
        return Observation(
            contract=self.contract,
            schema=self._schema,
            kind=step.kind,
            task_id=step.task_id,
            exchange=exchange,
            expected=step.expected,
            earlier=tuple(before),
            accepted=self._accepted,
            proven=self._proven,
            secrets=self.secrets,
            ids=step.ids,
            credential=step.credential,
        )

    @property
    def _proven(self) -> bool:
        tasks = [o for o in self.observations if o.kind is Kind.KNOWN]
        return not tasks or any(o.task is not None and o.reader.id(o.task) is not None for o in tasks)

    def judge(self, observation: Observation, *, label: str, driver: str, base_url: str) -> list[Row]:
        """The rows of one exchange, which count and are recorded."""
        rows = judge_observation(observation, self.record.next_number(), self.checks)
        self.observations.append(observation)
        self._accepted = self._accepted or observation.exchange.status == 200
        self.rows += rows
        self.record.add(observation, rows, driver=driver, label=label, base_url=base_url)
        return rows

    def judge_new(self, observation: Observation, *, label: str, driver: str, base_url: str) -> list[Row]:
        """What an exchange shows that none before it did; it is recorded only where it shows something."""
        found = {row.check for row in self.rows if row.finding}
        rows = [
            row
            for row in judge_observation(observation, self.record.next_number(), self.checks)
            if row.outcome in {Outcome.FAIL, Outcome.ERROR} and row.check not in found
        ]
        if rows:
            self.rows += rows
            self.record.add(observation, rows, driver=driver, label=label, base_url=base_url)
        return rows

    def conclude(
        self,
        *,
        requests: int,
        fuzz: dict[str, Any] | None = None,
        stopped: str | None = None,
        recorded: bool = False,
    ) -> Verdict:
        """Say which checks proved nothing, and what all of it says of the relay, asked or ``recorded``."""
        self._unproven()
        found = features(self.contract, self.observations, recorded=recorded)
        accepted = self.baseline.checks(self.contract.name)
        said = reach_verdict(
            found,
            self.observations,
            [row for row in self.rows if row.check not in accepted or not row.finding],
            strict=self.strict,
            whole=len(self.checks) == len(CHECKS),
        )
        self.record.add_relay(
            self.contract,
            said,
            found,
            requests=requests,
            fuzz=fuzz,
            stopped=stopped,
            baseline=self.baseline.applied(self.contract.name, self.rows) if accepted else None,
        )
        return said

    def _unproven(self) -> None:
        proven = {row.check for row in self.rows if row.outcome in {Outcome.PASS, Outcome.FAIL}}
        rows = [
            Row(self.contract.name, one.id, one.level, Outcome.NOT_EXERCISED, None, None, None, None)
            for one in self.checks
            if one.id not in proven
        ]
        self.rows += rows
        self.record.add_rows(rows)


@define
class Runner:
    """Sends what a plan says to one relay, at a pace, and lets a judge see what comes back."""

    probe: Sender
    judge: Judge
    pace: Pace = field(factory=Pace)

    def run(self, plan: Iterable[Step], *, cases: int = 0, seed: int = 0, mode: str = "full") -> Verdict:
        """
        The verdict on the relay, after the plan and up to ``cases`` cases of the property-based phase.

        ``mode`` is that phase's, ``full`` or ``gentle``.
        """
        steps = deque(plan)
        known = {step.task_id: step for step in steps if step.kind is Kind.KNOWN}
        while steps and self.pace.wait(steps[0].task_id if steps[0].again else None):
            step = steps.popleft()
            observation = self.judge.observe(step, self.probe.send(step.request))
            self.judge.judge(observation, label=str(step), driver="plan", base_url=self.probe.base_url)
            if self.pace.learn(observation):
                steps.appendleft(step)
        fuzzed = self._fuzz(known, cases, seed, mode) if cases and self.pace.stopped is None else None
        return self.judge.conclude(requests=self.probe.sent, fuzz=fuzzed, stopped=self.pace.stopped)

    def _fuzz(self, known: dict[str, Step], cases: int, seed: int, mode: str) -> dict[str, Any]:
        """What only odd requests show: findings of checks that the plan found nothing against."""
        from mjrelay_conformance.drivers import fuzz  # noqa: PLC0415 - schemathesis takes long to import

        reached = 0

        def judged(kind: Kind, task_id: str, exchange: Exchange) -> list[str]:
            nonlocal reached
            reached += exchange.status == 200
            expected = known[task_id].expected if kind is Kind.KNOWN and task_id in known else None
            step = Step(kind, task_id, expected, Request(exchange.method, exchange.url), "generated")
            observation = self.judge.observe(step, exchange)
            rows = self.judge.judge_new(
                observation, label=str(step), driver="fuzz", base_url=self.probe.base_url
            )
            self.pace.learn(observation)
            return [row.check for row in rows]

        sent = fuzz.run(
            self.judge.contract,
            self.probe,
            judged,
            ids=sorted(known),
            credential=self._authenticated,
            secret=next(iter(self.judge.secrets), ""),
            cases=cases,
            seed=seed,
            mode=mode,
            pace=lambda: self.pace.wait(),  # noqa: PLW0108 - no second reading is meant
            spent=lambda: self.pace.stopped is not None,
        )
        return {"cases": sent, "reached_200": reached, "seed": seed, "mode": mode}

    def _authenticated(self, request: Request) -> Request:
        contract, secrets = self.judge.contract, self.judge.secrets
        if not contract.credentials or not secrets:
            return request
        return request.authenticated(contract.credentials[0], secrets[0])
