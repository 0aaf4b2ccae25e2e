"""One run of the suite, over embedded mocks or one relay at a URL."""

from __future__ import annotations

import errno
import shlex
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from attrs import evolve, field, frozen

from mjrelay import contract as _contract
from mjrelay import contract as _settings
from mjrelay import http as _request
from mjrelay import http as _settings_http
from mjrelay.base import MissingExtraError, MjrelayError
from mjrelay.http import Redactor
from mjrelay_conformance.checks import select
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import PROFILES, KnownTask, plan
from mjrelay_conformance.drivers.probe import Probe
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.judging import Baseline, Record, draft

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from mjrelay.contract import Contract
    from mjrelay_conformance.drivers.plan import Step
    from mjrelay_conformance.judging import Check, Verdict


CASES = 50
"""Requests of the property-based phase, unless the caller says how many."""
MAX_TIME = 600.0
"""Seconds that a run has for a relay, unless the caller says how many."""
_MOCK_KEY = "the-key-of-the-mock"
_ORIGIN = "http://127.0.0.1"


class Asked(Protocol):
    """What every run that judges a relay may be asked, whoever sends the requests."""

    @property
    def base_url(self) -> str | None:
        """Where the relay is."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Known tasks, as ID or ID=STATE."""

    @property
    def strict(self) -> bool:
        """Whether every finding counts."""

    @property
    def globs(self) -> tuple[str, ...]:
        """Of the ids of the checks that are used."""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Of the ids of those that are not."""

    @property
    def baseline(self) -> Path | None:
        """The file of accepted findings."""

    @property
    def overlays(self) -> tuple[Path, ...]:
        """Changes to the contract."""


@frozen
class Options:
    """What one run is asked to do; see the options of ``mjrelay conform``."""

    relay: str | None = None
    base_url: str | None = None
    tasks: tuple[str, ...] = ()
    profile: str | None = None
    fuzz: bool | None = None
    cases: int | None = None
    strict: bool = False
    dry_run: bool = False
    globs: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    baseline: Path | None = None
    overlays: tuple[Path, ...] = ()
    report_dir: Path | None = None
    key_file: Path | None = None
    rate: float | None = None
    max_requests: int | None = None
    max_time: float = MAX_TIME
    spacing: float | None = None
    yes: bool = False
    operator: bool = False
    seed: int = 0


class ConformError(MjrelayError):
    """The run that was asked for makes no sense."""


def conform(options: Options, talk: Console) -> tuple[int | None, Record]:
    """
    The exit code and the record of a run; the code is None for a dry run.

    What is about to be sent to a live relay is told on ``talk`` before.
    """
    run = _Run(
        options,
        select(options.globs, options.excluded),
        Baseline() if options.baseline is None else Baseline.load(options.baseline),
    )
    return run.embedded() if options.base_url is None else run.remote(talk)


@frozen
class _Terms:
    """What a run may do to a relay: ``live`` says that it costs money, the times are in seconds."""

    live: bool
    profile: str
    cases: int
    mode: str
    pause: float
    spacing: float
    deadline: float

    @classmethod
    def of(cls, options: Options, *, live: bool) -> _Terms:
        """The terms for a relay; raises `ConformError` for what a live one is to be spared."""
        profile = options.profile or ("read" if live else "all")
        full = not live or options.operator
        cases = CASES if options.cases is None else options.cases
        wanted = options.fuzz if live else options.fuzz is not False
        if wanted:
            _generator()
        gentle = 1.0 if live and not options.operator else 0.0
        rate = options.rate
        if rate is not None and gentle and rate > 1:
            raise ConformError(
                f"--rate {rate:g}: a live relay gets one request a second at most, unless you operate it "
                "and say so with --i-operate-this-relay"
            )
        return cls(
            live=live,
            profile=profile,
            cases=cases if wanted else 0,
            mode="full" if full else "gentle",
            pause=gentle if rate is None else 1 / rate,
            spacing=(5.0 if live else 0.0) if options.spacing is None else options.spacing,
            deadline=30.0 if live else 10.0,
        )


@frozen
class _Run:
    """A run on its way: what was asked for, checked."""

    options: Options
    checks: list[Check] = field(repr=False)
    baseline: Baseline = field(repr=False)

    def embedded(self) -> tuple[int | None, Record]:
        """Judge the mocks of one relay or of all."""
        from mjrelay_conformance.mock import MockRelay, Server  # noqa: PLC0415 - a live run serves nothing

        options = self.options
        if options.tasks or options.key_file:
            raise ConformError("--task and --key-file belong to a relay; say where it is with --base-url")
        terms = _Terms.of(options, live=False)
        record, verdicts = self._record("mock", terms, Redactor(_MOCK_KEY)), []
        for name in _contract.relay_names() if options.relay is None else [options.relay]:
            contract = _contract.load_contract(name, options.overlays)
            mock = MockRelay(contract, key=_MOCK_KEY, seed=options.seed)
            known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
            steps = self._plan(contract, known, _MOCK_KEY, terms)
            if options.dry_run:
                _show(steps, _ORIGIN, record.redactor, terms.cases)
                continue
            judge = self._judge(contract, record, _MOCK_KEY)
            with Server(mock) as base_url:
                verdicts.append(self._judged(judge, base_url, steps, terms))
        return (record.close(verdicts) if verdicts else None), record

    def remote(self, talk: Console) -> tuple[int | None, Record]:
        """Judge the relay at a URL."""
        options = self.options
        if options.relay is None:
            raise ConformError("--base-url needs the name of the relay whose contract is to be kept")
        contract = _contract.load_contract(options.relay, options.overlays)
        base_url = _settings_http.checked_url(options.base_url or "")
        key = self._key(contract)
        terms = _Terms.of(options, live=not _settings_http.is_loopback_url(base_url))
        steps = self._plan(contract, [KnownTask.parse(text) for text in options.tasks], key, terms)
        if options.fuzz and terms.cases and not self._cases(terms, len(steps)):
            raise ConformError(
                f"--fuzz: the plan takes all {len(steps)} requests that a run may send; name fewer tasks, or "
                "allow more with --max-requests"
            )
        terms = evolve(terms, cases=self._cases(terms, len(steps)))
        record = self._record("live" if terms.live else "loopback", terms, Redactor(key))
        if options.dry_run:
            _show(steps, base_url, record.redactor, terms.cases)
            return None, record
        if terms.live:
            count = len(steps) + terms.cases
            talk.print(
                f"sending {count} requests to {base_url}, {terms.pause:g} s apart",
                highlight=False,
                markup=False,
            )
            if terms.profile != "read" and not (options.yes or options.operator):
                raise ConformError(
                    f"profile {terms.profile} sends {count} requests to a live relay, with wrong credentials "
                    "or odd ones among them; look at them with --dry-run, and say --yes"
                )
        return record.close(
            [self._judged(self._judge(contract, record, key), base_url, steps, terms)]
        ), record

    def _judge(self, contract: Contract, record: Record, key: str) -> Judge:
        secrets = (key,) if key else ()
        return Judge(contract, record, self.checks, secrets, self.options.strict, self.baseline)

    def _judged(self, judge: Judge, base_url: str, steps: list[Step], terms: _Terms) -> Verdict:
        probe = Probe(base_url, judge.record.redactor, deadline=terms.deadline)
        pace = Pace(terms.pause, terms.spacing, self.options.max_time)
        runner = Runner(probe, judge, pace)
        return runner.run(steps, cases=terms.cases, seed=self.options.seed, mode=terms.mode)

    def _plan(self, contract: Contract, known: Sequence[KnownTask], key: str, terms: _Terms) -> list[Step]:
        options = self.options
        steps = plan(
            contract,
            known,
            key,
            profile=terms.profile,
            seed=options.seed,
            careful=terms.live and not options.operator,
        )
        if options.max_requests is not None and len(steps) > options.max_requests:
            raise ConformError(
                f"profile {terms.profile} needs {len(steps)} requests and --max-requests allows "
                f"{options.max_requests}; allow more, name fewer tasks, or choose a smaller profile"
            )
        return steps

    def _cases(self, terms: _Terms, planned: int) -> int:
        """On a live relay that is not one's own, the property-based phase gets what the plan leaves."""
        room = self.options.max_requests
        if room is None and terms.live and not self.options.operator:
            room = PROFILES[terms.profile]
        return terms.cases if room is None else min(terms.cases, max(0, room - planned))

    def _key(self, contract: Contract) -> str:
        options = self.options
        key = (
            _settings.read_key(options.key_file)
            if options.key_file
            else _settings.environment_key(contract, options.base_url)
        )
        if key is None and contract.credentials and not contract.open:
            if options.dry_run:
                return "the-key"
            raise ConformError(_settings.missing_key(contract, "give --key-file"))
        return "" if key is None else _settings.checked_key(key)

    def _record(self, mode: str, terms: _Terms, redactor: Redactor) -> Record:
        options = self.options
        said = {
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
        return Record(results_file(report_dir), redactor, said, _command(options, terms))


def _generator() -> None:
    """Raise `MissingExtraError` where what makes cases is not installed; before anything is sent."""
    try:
        import_module("mjrelay_conformance.drivers.cases")
    except ModuleNotFoundError as error:
        raise MissingExtraError("conformance", error.name or "schemathesis") from error


def results_file(report_dir: Path | None) -> Path | None:
    """
    Where in a directory for reports the record goes.

    Raises `ConformError` where it cannot be made or written, which is to be known before anything is sent.
    """
    if report_dir is None:
        return None
    path = report_dir / "results.json"
    try:
        report_dir.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, f"{path.name} is a directory")
        new = draft(path)
        new.touch(exist_ok=False)
        new.unlink()
    except OSError as error:
        raise ConformError(
            f"--report-dir {report_dir}: {error.strerror}; name a directory that can be written to"
        ) from error
    return path


def command_line(command: str, options: Asked, arguments: Sequence[str], **more: object) -> str:
    """
    The command line that does the same again.

    ``more`` are options besides those that every command has: one that is True is given without a value, one
    that is None or False is not given. The relay's address and directories are not told.
    """
    said = {
        "task": options.tasks,
        "strict": options.strict,
        "check": options.globs,
        "exclude": options.excluded,
        "baseline": options.baseline and options.baseline.name,
        "overlay": tuple(path.name for path in options.overlays),
        **more,
    }
    words = ["mjrelay", command, *map(shlex.quote, arguments)]
    words += [] if options.base_url is None else ["--base-url", '"$MJRELAY_BASE_URL"']
    for name, value in said.items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            if one is True:
                words.append(option)
            elif one is not None and one is not False:
                words += [option, shlex.quote(f"{one:g}" if isinstance(one, float) else str(one))]
    return " ".join(words)


def _command(options: Options, terms: _Terms) -> str:
    return command_line(
        "conform",
        options,
        [] if options.relay is None else [options.relay],
        profile=terms.profile,
        fuzz=terms.cases > 0,
        no_fuzz=terms.cases == 0,
        cases=terms.cases or None,
        rate=options.rate,
        spacing=options.spacing,
        max_requests=options.max_requests,
        max_time=None if options.max_time == MAX_TIME else options.max_time,
        yes=options.yes,
        i_operate_this_relay=options.operator,
        seed=options.seed,
    )


def _show(steps: Sequence[Step], base_url: str, redactor: Redactor, cases: int) -> None:
    """Print the plan, secrets left out, on stdout: in a dry run it is the data."""
    for step in steps:
        request = step.request
        line = f"{request.method} {_request.join_url(base_url, request.target)}  # {step}"
        fields = [f"    {name}: {value}" for name, value in request.headers]
        body = [f"    {request.body.decode('utf-8', 'replace')}"] if request.body else []
        sys.stdout.write(redactor.text("\n".join([line, *fields, *body])) + "\n")
    sys.stdout.write(f"# {len(steps)} requests\n")
    if cases:
        sys.stdout.write(f"# and up to {cases} of the property-based phase, made while it runs\n")
