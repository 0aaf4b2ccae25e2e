"""Judge the exchanges of one relay, and run a plan and the property-based phase against it."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, evolve, field

from mjrelay.contract import Parent
from mjrelay.http import Request
from mjrelay.semantics import State
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import Step
from mjrelay_conformance.drivers.submits import Submits
from mjrelay_conformance.judging import (
    REFUSED,
    SUBMITS,
    Baseline,
    Coverage,
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
    from collections.abc import Iterable, Mapping, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange, Redactor
    from mjrelay_conformance.judging import Check, Record, Verdict


class Sender(Protocol):
    """Send requests to one relay, each of them once."""

    base_url: str
    sent: int

    def send(self, request: Request) -> Exchange:
        """Send a request and return the exchange."""


@define
class Judge:
    """
    Judge the observations of one relay in order, then conclude with a verdict.

    A driver calls `judge` for each observation, whatever its source: a plan, recorded traffic or a proxy. Its
    memory does not grow with the number of exchanges: ``rows`` keeps one row for each combination of check,
    level and outcome, and `Coverage` keeps counts. The record keeps everything.

    With ``strict`` every finding counts, else only those of level MUST. Findings that the ``baseline``
    accepts do not count.
    """

    contract: Contract
    record: Record
    checks: Sequence[Check]
    secrets: tuple[str, ...] = field(repr=False)
    strict: bool = False
    baseline: Baseline = field(factory=Baseline)
    coverage: Coverage = field(factory=Coverage, init=False, repr=False)
    _rows: dict[tuple[object, ...], Row] = field(factory=dict, init=False, repr=False)

    @property
    def rows(self) -> list[Row]:
        """The first row of each combination of check, level and outcome."""
        return list(self._rows.values())

    def judge(
        self,
        observation: Observation,
        *,
        label: str,
        driver: str,
        base_url: str,
        redactor: Redactor | None = None,
    ) -> list[Row]:
        """
        Judge and record one observation.

        Args:
            observation: The exchange, with the earlier ones that checks compare it with.
            label: What is special about the exchange, for reports.
            driver: The source of the exchange: ``plan``, ``fuzz`` or ``replay``.
            base_url: The part of the exchange's URL that precedes the contract's path.
            redactor: Replaces the record's own redactor for this exchange.

        Returns:
            The rows of all checks that apply to the exchange.
        """
        rows = judge_observation(observation, self.record.next_number(), self.checks)
        self.coverage.add(observation)
        self._keep(rows)
        self.record.add(observation, rows, driver=driver, label=label, base_url=base_url, redactor=redactor)
        return rows

    def judge_generated(self, observation: Observation, *, label: str, base_url: str) -> list[Row]:
        """
        Judge the response to a generated request, and record it only if it shows a new finding.

        Returns:
            The findings and errors of checks that found nothing before.
        """
        found = {row.check for row in self._rows.values() if row.finding}
        rows = [
            row
            for row in judge_observation(observation, self.record.next_number(), self.checks)
            if row.outcome in {Outcome.FAIL, Outcome.ERROR} and row.check not in found
        ]
        if rows:
            self._keep(rows)
            self.record.add(observation, rows, driver="fuzz", label=label, base_url=base_url)
        return rows

    def conclude(
        self,
        *,
        requests: int,
        fuzz: dict[str, Any] | None = None,
        stopped: str | None = None,
        recorded: bool = False,
    ) -> Verdict:
        """
        Record the verdict on the relay, and the checks that were not exercised.

        Args:
            requests: How many requests were sent.
            fuzz: What the property-based phase did.
            stopped: Why the run stopped early.
            recorded: Whether the exchanges come from recorded traffic.

        Returns:
            The verdict.
        """
        self._add_unexercised()
        found = features(self.contract, self.coverage, recorded=recorded)
        accepted = self.baseline.checks(self.contract.name)
        verdict = reach_verdict(
            found,
            self.coverage,
            [row for row in self._rows.values() if row.check not in accepted or not row.finding],
            strict=self.strict,
            whole=len(self.checks) == len(CHECKS),
        )
        self.record.add_relay(
            self.contract,
            verdict,
            found,
            requests=requests,
            fuzz=fuzz,
            stopped=stopped,
            baseline=self.baseline.applied(self.contract.name, self.rows) if accepted else None,
        )
        return verdict

    def _keep(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows.setdefault((row.check, row.level, row.outcome), row)

    def _add_unexercised(self) -> None:
        proven = {row.check for row in self._rows.values() if row.outcome in {Outcome.PASS, Outcome.FAIL}}
        rows = [
            Row(self.contract.name, one.id, one.level, Outcome.NOT_EXERCISED, None, None, None, None)
            for one in self.checks
            if one.id not in proven
        ]
        self._keep(rows)
        self.record.add_rows(rows)


@define
class Runner:
    """Send the requests of a plan to one relay at a given pace, and pass the responses to a judge."""

    probe: Sender
    judge: Judge
    pace: Pace = field(factory=Pace)
    submitter: Sender | None = None
    """Sends submits, which take longer; by default ``probe``."""
    _observations: list[Observation] = field(factory=list, init=False, repr=False)

    def run(
        self,
        plan: Iterable[Step],
        *,
        cases: int = 0,
        seed: int = 0,
        mode: str = "full",
        submits: int = 0,
        stateful: int = 0,
    ) -> Verdict:
        """
        Run a plan, then up to ``submits`` submits, then what Schemathesis generates.

        Args:
            plan: The requests to send, in order.
            cases: The number of requests of the property-based phase; 0 skips it.
            seed: The random seed of that phase.
            mode: The mode of that phase, ``full`` or ``gentle``.
            submits: Maximum number of submits, most of which cost money.
            stateful: Maximum number of submits of the stateful phase, all of which cost money.

        Returns:
            The verdict on the relay.
        """
        steps = deque(plan)
        known = {step.task_id: step for step in steps if step.kind is Kind.KNOWN}
        while steps:
            step = self._succeeded_again(steps.popleft(), steps, known)
            if step.kind in self.pace.ended:
                continue
            if not self.pace.wait(step.task_id if step.again else None):
                break
            if self.pace.learn(self._judged(step, self.probe)):
                steps.appendleft(step)
        if submits:
            self._submit(submits, seed)
        fuzzed = self._fuzz(known, cases, seed, mode) if cases and self.pace.stopped is None else None
        if stateful and self.pace.stopped is None:
            self._follow_links(stateful, seed)
        return self.judge.conclude(requests=self._sent, fuzz=fuzzed, stopped=self.pace.stopped)

    @property
    def _sent(self) -> int:
        return self.probe.sent + (0 if self.submitter is None else self.submitter.sent)

    def _judged(self, step: Step, sender: Sender) -> Observation:
        observation = self._observe(step, sender.send(step.request))
        self._observations.append(observation)
        self.judge.judge(observation, label=str(step), driver="plan", base_url=self.probe.base_url)
        return observation

    def _submit(self, count: int, seed: int) -> None:
        """Run the submits. None is sent a second time, whatever the response."""
        drawn = (o for o in self._observations if o.kind is Kind.KNOWN and o.state is State.SUCCEEDED)
        parent = next((Parent(o.task_id, o.task) for o in drawn), None)
        secret = next(iter(self.judge.secrets), "")
        live = self.pace.spacing > 0
        steps = Submits(self.judge.contract, secret, count, waits=live, seed=seed, parent=parent).steps()
        step = next(steps, None)
        while step is not None and self.pace.wait(step.task_id if step.again else None):
            if step.kind is Kind.SUBMITTED and live:  # a relay may store the task after its response
                self.pace.clock.sleep(self.pace.spacing)
            observation = self._judged(step, self._sender(step))
            self.pace.learn(observation)
            try:
                step = steps.send(observation)
            except StopIteration:
                step = None

    def _follow_links(self, submits: int, seed: int) -> None:
        """Run the stateful phase; it reports findings of checks that found nothing before."""
        from mjrelay_conformance.drivers import stateful  # noqa: PLC0415 - schemathesis takes long to import

        def observe(step: Step) -> Observation | None:
            if not self.pace.wait():
                return None
            observation = self._observe(step, self._sender(step).send(step.request))
            self.judge.judge_generated(observation, label=str(step), base_url=self.probe.base_url)
            self.pace.learn(observation)
            return observation

        contract = self.judge.contract
        stateful.run(contract, observe, authenticated=self._authenticated, submits=submits, seed=seed)

    def _sender(self, step: Step) -> Sender:
        return (self.submitter if step.kind in SUBMITS else None) or self.probe

    def _succeeded_again(self, step: Step, left: Iterable[Step], known: Mapping[str, Step]) -> Step:
        """Return the step, or that of a succeeded task if the plan fetches none of those twice."""
        if not step.again:
            return step
        tasks = (o for o in self._observations if o.kind is Kind.KNOWN and o.state is State.SUCCEEDED)
        fetches = Counter(o.task_id for o in tasks)
        planned = {one.task_id for one in (step, *left) if one.again}
        if not fetches or max(fetches.values()) > 1 or not planned.isdisjoint(fetches):
            return step
        return evolve(known[next(iter(fetches))], again=True)

    def _observe(self, step: Step, exchange: Exchange) -> Observation:
        """Combine an exchange with the earlier observations that checks compare it with."""
        tasks = [o for o in self._observations if o.kind is Kind.KNOWN]
        if step.kind in REFUSED:
            kinds = {*REFUSED, Kind.BATCH} if step.ids else REFUSED
            earlier = [o for o in self._observations if o.kind in kinds]
        else:
            earlier = [o for o in tasks if step.kind is Kind.BATCH or o.task_id == step.task_id]
        return Observation(
            contract=self.judge.contract,
            schema=schema_of(self.judge.contract),
            kind=step.kind,
            task_id=step.task_id,
            exchange=exchange,
            expected=step.expected,
            earlier=tuple(earlier),
            accepted=any(o.exchange.status == 200 for o in self._observations),
            proven=not tasks or any(o.task is not None and o.reader.id(o.task) is not None for o in tasks),
            secrets=self.judge.secrets,
            ids=step.ids,
            credential=step.credential,
            submit=step.submit,
            token=step.token,
        )

    def _fuzz(self, known: dict[str, Step], cases: int, seed: int, mode: str) -> dict[str, Any]:
        """Run the property-based phase; it reports findings of checks that found nothing before."""
        from mjrelay_conformance.drivers import fuzz  # noqa: PLC0415 - schemathesis takes long to import

        reached = 0

        def judge(kind: Kind, task_id: str, exchange: Exchange) -> list[str]:
            nonlocal reached
            reached += exchange.status == 200
            expected = known[task_id].expected if kind is Kind.KNOWN and task_id in known else None
            step = Step(kind, task_id, expected, Request(exchange.method, exchange.url), "generated")
            observation = self._observe(step, exchange)
            rows = self.judge.judge_generated(observation, label=str(step), base_url=self.probe.base_url)
            self.pace.learn(observation)
            return [row.check for row in rows]

        sent = fuzz.run(
            self.judge.contract,
            self.probe.send,
            judge,
            ids=sorted(known),
            credential=self._authenticated,
            secret=next(iter(self.judge.secrets), ""),
            cases=cases,
            seed=seed,
            mode=mode,
            may_send=lambda kind: kind not in self.pace.ended and self.pace.wait(),
            stopped=lambda: self.pace.stopped is not None,
        )
        return {"cases": sent, "reached_200": reached, "seed": seed, "mode": mode}

    def _authenticated(self, request: Request) -> Request:
        contract, secrets = self.judge.contract, self.judge.secrets
        if not contract.credentials or not secrets:
            return request
        return request.authenticated(contract.credentials[0], secrets[0])
