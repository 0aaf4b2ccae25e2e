"""One run of the suite, against the built-in mocks or one relay at a URL."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen
from rich.markup import escape

from mjrelay.contract import (
    checked_key,
    environment_key,
    load_contract,
    missing_key,
    read_key,
    relay_names,
    resolve_base_url,
)
from mjrelay.http import Redactor, is_loopback_url
from mjrelay_conformance.checks import CHECKS, select_checks
from mjrelay_conformance.drivers.options import ConformError, InterruptedRunError
from mjrelay_conformance.drivers.output import conform_command, results_file, show_plan
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import PROFILES, KnownTask, plan
from mjrelay_conformance.drivers.probe import Probe
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.submits import submit_labels
from mjrelay_conformance.drivers.terms import Terms
from mjrelay_conformance.judging import Baseline, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.status import Status

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange, Request
    from mjrelay_conformance.drivers.options import ConformOptions
    from mjrelay_conformance.drivers.plan import Step
    from mjrelay_conformance.judging import Check, Verdict


_MOCK_KEY = "the-key-of-the-mock"
_ORIGIN = "http://127.0.0.1"
_LONGEST, _MARGIN = 60.0, 5.0
"""Seconds that a relay may take for a submit if its contract does not say, and to add to it."""


def judge_relays(options: ConformOptions, console: Console) -> tuple[int | None, Record]:
    """
    Run the suite.

    Args:
        options: The options of the run.
        console: Announces the number of requests before a live relay gets the first one, and shows the
            progress if it is a terminal.

    Returns:
        The exit code, which is None for a dry run, and the record.

    Raises:
        ConformError: The options are invalid.
        InterruptedRunError: Ctrl-C was pressed.
    """
    run = _Run(
        options,
        console,
        select_checks(options.globs, options.excluded),
        Baseline() if options.baseline is None else Baseline.load(options.baseline, CHECKS),
    )
    return run.embedded() if options.base_url is None else run.remote()


@define
class _ShownProbe(Probe):
    """A probe that shows the number of sent requests."""

    status: Status = field(kw_only=True)
    text: str = field(kw_only=True)

    def send(self, request: Request) -> Exchange:
        """Send a request and return the exchange."""
        self.status.update(escape(f"{self.text}, request {self.sent + 1}"))
        return Probe.send(self, request)


@frozen
class _Run:
    """A run with validated options."""

    options: ConformOptions
    console: Console
    checks: list[Check] = field(repr=False)
    baseline: Baseline = field(repr=False)

    def embedded(self) -> tuple[int | None, Record]:
        """Judge the mock of one relay, or the mocks of all relays."""
        from mjrelay_conformance.mock import MockRelay, Server  # noqa: PLC0415 - a live run needs no mock

        options = self.options
        if options.tasks or options.key_file:
            raise ConformError("--task and --key-file need a relay; give its URL with --base-url")
        if options.label is not None and options.relay is None:
            raise ConformError("--label names one relay; add its contract")
        terms = Terms.of(options, live=False)
        verdicts: list[Verdict] = []
        with _interruptible(self._record("mock", terms, Redactor(_MOCK_KEY))) as record:
            for name in relay_names() if options.relay is None else [options.relay]:
                contract = load_contract(name, options.overlays)
                mock = MockRelay(contract, key=_MOCK_KEY, seed=options.seed, duration=0.0)
                known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
                steps = self._plan(contract, known, _MOCK_KEY, terms)
                if options.dry_run:
                    _show_plan(contract, steps, _ORIGIN, record, terms)
                    continue
                judge = self._judge(contract, record, _MOCK_KEY)
                with Server(mock) as base_url:
                    verdicts.append(self._judged(judge, base_url, steps, terms))
            return (record.close(verdicts) if verdicts else None), record

    def remote(self) -> tuple[int | None, Record]:
        """Judge the relay at a URL."""
        options = self.options
        if options.relay is None:
            raise ConformError("--base-url needs the name of a relay, whose contract is used")
        contract = load_contract(options.relay, options.overlays)
        base_url = resolve_base_url(options.base_url or "", contract)
        key = self._key(contract)
        terms = Terms.of(options, live=not is_loopback_url(base_url))
        steps = self._plan(contract, [KnownTask.parse(text) for text in options.tasks], key, terms)
        if options.fuzz and terms.cases and not self._cases(terms, len(steps)):
            raise ConformError(
                f"--fuzz: the plan uses all {len(steps)} requests that the run may send; name fewer tasks, "
                "or allow more requests with --max-requests"
            )
        terms = evolve(terms, cases=self._cases(terms, len(steps)))
        record = self._record("live" if terms.live else "loopback", terms, Redactor(key))
        if options.dry_run:
            _show_plan(contract, steps, base_url, record, terms)
            return None, record
        if terms.live:
            count = len(steps) + terms.cases
            self.console.print(
                f"sending {count} requests to {base_url}, {terms.pause:g} s apart",
                highlight=False,
                markup=False,
            )
            more = "--fuzz" if terms.profile == "read" else f"profile {terms.profile}"
            if (terms.profile != "read" or terms.cases) and not (options.yes or options.operator):
                raise ConformError(
                    f"{more} sends {count} requests to a live relay, some of them with wrong API keys or "
                    "unusual ids; review them with --dry-run, then add --yes"
                )
            self._confirm_submits(submit_labels(contract, _submits(contract, terms)[0]), base_url)
        with _interruptible(record):
            verdict = self._judged(self._judge(contract, record, key), base_url, steps, terms)
            return record.close([verdict]), record

    def _confirm_submits(self, labels: Sequence[str], base_url: str) -> None:
        """Name the submits, and ask; raise `ConformError` unless the user agrees."""
        if not labels:
            return
        self.console.print(
            f"submitting up to {len(labels)} times to {base_url} ({'; '.join(labels)}); each submit may cost "
            "money",
            highlight=False,
            markup=False,
        )
        if self.options.yes:
            return
        if not sys.stdin.isatty():
            raise ConformError(
                "--pay needs a terminal to confirm the submits; add --yes to send them without"
            )
        if self.console.input("Send them? [y/N] ").strip().lower() not in {"y", "yes"}:
            raise ConformError("the submits were not confirmed; nothing was sent")

    def _judge(self, contract: Contract, record: Record, key: str) -> Judge:
        secrets = (key,) if key else ()
        return Judge(contract, record, self.checks, secrets, self.options.strict, self.baseline)

    def _judged(self, judge: Judge, base_url: str, steps: list[Step], terms: Terms) -> Verdict:
        judge.record.add_target(judge.contract, base_url)
        pace = Pace(terms.pause, terms.spacing, self.options.max_time)
        planned = f"{len(steps)} planned" + (f" and up to {terms.cases} generated" if terms.cases else "")
        text = f"{self.options.label or judge.contract.name}: {planned}"
        submits, stateful = _submits(judge.contract, terms)
        longest = max((one.form.timeout or _LONGEST for one in judge.contract.submits), default=_LONGEST)
        with self.console.status(escape(text)) as status:
            probe = _ShownProbe(
                base_url, judge.record.redactor, deadline=terms.deadline, status=status, text=text
            )
            submitter = evolve(probe, deadline=longest + _MARGIN) if submits else None
            runner = Runner(probe, judge, pace, submitter)
            return runner.run(
                steps,
                cases=terms.cases,
                seed=self.options.seed,
                mode=terms.mode,
                submits=submits,
                stateful=stateful,
            )

    def _plan(self, contract: Contract, known: Sequence[KnownTask], key: str, terms: Terms) -> list[Step]:
        options = self.options
        steps = plan(
            contract,
            known,
            key,
            profile=terms.profile,
            seed=options.seed,
            careful=terms.live and not options.operator,
            key_in_url=options.key_in_url or not terms.live,
        )
        if options.max_requests is not None and len(steps) > options.max_requests:
            raise ConformError(
                f"profile {terms.profile} needs {len(steps)} requests and --max-requests allows "
                f"{options.max_requests}; allow more, name fewer tasks, or choose a smaller profile"
            )
        return steps

    def _cases(self, terms: Terms, planned: int) -> int:
        """Limit the generated requests to what the plan leaves, unless the caller operates the relay."""
        room = self.options.max_requests
        if room is None and terms.live and not self.options.operator:
            room = PROFILES[terms.profile]
        return terms.cases if room is None else min(terms.cases, max(0, room - planned))

    def _key(self, contract: Contract) -> str:
        options = self.options
        key = read_key(options.key_file) if options.key_file else environment_key(contract, options.base_url)
        if key is None and contract.credentials and not contract.open:
            if options.dry_run:
                return "the-key"
            raise ConformError(missing_key(contract))
        return "" if key is None else checked_key(key)

    def _record(self, mode: str, terms: Terms, redactor: Redactor) -> Record:
        options = self.options
        described = {
            "mode": mode,
            "profile": terms.profile,
            "fuzz": terms.cases > 0,
            "strict": options.strict,
            "checks": list(options.globs),
            "excluded": list(options.excluded),
            "seed": options.seed,
            "overlays": [path.name for path in options.overlays],
        }
        report_dir = None if options.dry_run else options.report_dir
        reproduce = conform_command(options, terms)
        return Record(results_file(report_dir), redactor, described, reproduce, options.label)


@contextmanager
def _interruptible(record: Record) -> Iterator[Record]:
    """Raise Ctrl-C as `InterruptedRunError` with the record."""
    try:
        with record:
            yield record
    except KeyboardInterrupt as error:
        raise InterruptedRunError(record) from error


def _show_plan(contract: Contract, steps: list[Step], base_url: str, record: Record, terms: Terms) -> None:
    submits, stateful = _submits(contract, terms)
    labels = submit_labels(contract, submits)
    show_plan(steps, base_url, record.redactor, cases=terms.cases, submits=labels, stateful=stateful)


def _submits(contract: Contract, terms: Terms) -> tuple[int, int]:
    """Return the maximum number of planned and of generated submits; 0 if the contract has none."""
    return (terms.submits, terms.stateful) if contract.submits else (0, 0)
