"""One run of the suite, over embedded mocks or one relay at a URL."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay import _contract, _request, _settings
from mjrelay._redaction import Redactor
from mjrelay.errors import MjrelayError
from mjrelay_conformance import checks as _families  # noqa: F401 - registers every check
from mjrelay_conformance._check import CHECKS
from mjrelay_conformance._plan import CAP, KnownTask, read_plan
from mjrelay_conformance._probe import Probe
from mjrelay_conformance._record import Record
from mjrelay_conformance._runner import Runner
from mjrelay_conformance._verdict import worst
from mjrelay_conformance.mock import MockRelay, Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from mjrelay._contract import Contract
    from mjrelay_conformance._check import Check
    from mjrelay_conformance._plan import Step
    from mjrelay_conformance._verdict import Verdict

CASES = 50
"""Requests of the property-based phase on a mock or on loopback."""
_MOCK_KEY = "the-key-of-the-mock"
_PAUSE = 1.0
"""Seconds between two requests to a live relay."""


@frozen
class Options:
    """What one run is asked to do; see the options of ``mjrelay conform``."""

    relay: str | None = None
    base_url: str | None = None
    tasks: tuple[str, ...] = ()
    profile: str = "read"
    fuzz: bool | None = None
    strict: bool = False
    dry_run: bool = False
    globs: tuple[str, ...] = ()
    report_dir: Path | None = None
    key_file: Path | None = None
    seed: int = 0


class ConformError(MjrelayError):
    """The run that was asked for makes no sense."""


def select(globs: Sequence[str]) -> list[Check]:
    """
    The checks whose ids match one of the globs, and those that they need; all of them without globs.

    Raises `ConformError` for a glob that matches none.
    """
    if not globs:
        return list(CHECKS.values())
    wanted: set[str] = set()
    for glob in globs:
        matching = {id_ for id_ in CHECKS if fnmatchcase(id_, glob)}
        if not matching:
            raise ConformError(
                f"--check {glob}: no check has such an id; list them with: mjrelay conform --list"
            )
        wanted |= matching
    for one in reversed(CHECKS.values()):
        if one.id in wanted:
            wanted.update(one.needs)
    return [one for one in CHECKS.values() if one.id in wanted]


def conform(options: Options, talk: Console) -> tuple[Verdict | None, Record]:
    """
    The worst verdict and the record of a run; the verdict is None for a dry run.

    What is about to be sent to a live relay is told on ``talk`` before.
    """
    chosen = select(options.globs)
    return _embedded(options, chosen) if options.base_url is None else _remote(options, chosen, talk)


def _embedded(options: Options, chosen: list[Check]) -> tuple[Verdict | None, Record]:
    if options.tasks or options.key_file:
        raise ConformError("--task and --key-file belong to a relay; say where it is with --base-url")
    names = _contract.relays() if options.relay is None else [_contract.contract(options.relay).name]
    record, verdicts = _record(options, "mock", Redactor(_MOCK_KEY)), []
    for name in names:
        contract = _contract.contract(name)
        mock = MockRelay(contract, key=_MOCK_KEY, seed=options.seed)
        known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
        plan = read_plan(contract, known, _MOCK_KEY, seed=options.seed)
        if options.dry_run:
            _show(plan, "http://127.0.0.1", record.redactor)
            continue
        with Server(mock) as base_url:
            probe = Probe(base_url, record.redactor)
            runner = Runner(contract, probe, record, chosen, (_MOCK_KEY,), strict=options.strict)
            verdicts.append(runner.run(plan, cases=0 if options.fuzz is False else CASES, seed=options.seed))
    return _closed(record, verdicts), record


def _remote(options: Options, chosen: list[Check], talk: Console) -> tuple[Verdict | None, Record]:
    if options.relay is None:
        raise ConformError("--base-url needs the name of the relay whose contract is to be kept")
    contract = _contract.contract(options.relay)
    base_url = _settings.checked_url(options.base_url or "")
    key = _key(options, contract)
    live = not _settings.loopback(base_url)
    plan = read_plan(contract, [KnownTask.parse(text) for text in options.tasks], key, seed=options.seed)
    cases = _cases(options.fuzz, live=live, planned=len(plan))
    record = _record(options, "live" if live else "loopback", Redactor(key))
    if options.dry_run:
        _show(plan, base_url, record.redactor)
        if cases:
            talk.print(f"and {cases} cases of the property-based phase, made while it runs")
        return None, record
    if live:
        talk.print(f"sending {len(plan) + cases} requests to {base_url}, {_PAUSE:g} s apart")
    probe = Probe(base_url, record.redactor)
    pause = _PAUSE if live else 0.0
    secrets = (key,) if key else ()
    runner = Runner(contract, probe, record, chosen, secrets, pause=pause, strict=options.strict)
    return _closed(record, [runner.run(plan, cases=cases, seed=options.seed)]), record


def _cases(fuzz: bool | None, *, live: bool, planned: int) -> int:
    """On a live relay the property-based phase runs only when asked, in what the plan leaves of the cap."""
    if live:
        return max(0, CAP - planned) if fuzz else 0
    return 0 if fuzz is False else CASES


def _key(options: Options, contract: Contract) -> str:
    key = _settings.read_key(options.key_file) if options.key_file else _settings.api_key(contract.name)
    if key is None and contract.credentials and not contract.open:
        if options.dry_run:
            return "the-key"
        variable = _settings.key_variable(contract.name)
        raise ConformError(
            f"no key for {contract.name}: set {variable} or MJRELAY_API_KEY, or give --key-file"
        )
    return "" if key is None else _settings.checked_key(key)


def _record(options: Options, mode: str, redactor: Redactor) -> Record:
    if options.report_dir is not None:
        try:
            options.report_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConformError(
                f"--report-dir {options.report_dir}: {error.strerror}; name a directory"
            ) from error
    path = None if options.report_dir is None or options.dry_run else options.report_dir / "results.json"
    said = {
        "mode": mode,
        "profile": options.profile,
        "fuzz": bool(options.fuzz) if mode == "live" else options.fuzz is not False,
        "strict": options.strict,
        "checks": list(options.globs),
        "seed": options.seed,
    }
    return Record(path, redactor, said)


def _closed(record: Record, verdicts: list[Verdict]) -> Verdict | None:
    if not verdicts:
        return None
    record.close(verdicts)
    return worst(verdicts)


def _show(plan: Sequence[Step], base_url: str, redactor: Redactor) -> None:
    """Print the plan, secrets left out, on stdout: in a dry run it is the data."""
    for step in plan:
        request = step.request
        line = f"{request.method} {_request.join(base_url, request.target)}  # {step}"
        fields = [f"    {name}: {value}" for name, value in request.headers]
        sys.stdout.write(redactor.text("\n".join([line, *fields])) + "\n")
