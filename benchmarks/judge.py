"""The suite beside a plain run of schemathesis: what each finds, what it costs the relay, and time."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, frozen
from mjrelay_conformance.checks.registry import select_checks
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

from benchmarks.rounds import Contender, Effort, interleave
from benchmarks.table import Row, at_most
from mjrelay.contract.loading import load_contract
from mjrelay.http.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RELAY = "apiai"
"""The one whose contract schemathesis says least against where it is kept."""
KEY = "the-key-of-the-mock"
SAMPLE = 6
"""Faults that are tried when it is to be quick."""
LONGEST = 120.0
"""Seconds that either tool may take for one fault; one that is cut short has found nothing."""
SUITE, THEIRS = "mjrelay conform", "schemathesis run"
_FINDING = re.compile(r"❌ (ST\d+ .+): \d+$", re.MULTILINE)


@define
class Counted:
    """A mock relay as an application that counts what it is asked."""

    mock: MockRelay
    requests: int = 0
    bad: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Count, and let the mock answer."""
        if scope["type"] == "http":
            self.requests += 1
            fields = {one.field.lower().encode(): one.value(KEY) for one in self.mock.contract.credentials}
            shown = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in fields]
            self.bad += any(value.lower() != fields[name].lower() for name, value in shown)
        await self.mock(scope, receive, send)


@frozen
class Told:
    """What one tool found in one relay, and what that took."""

    findings: frozenset[str]
    requests: int
    bad: int
    seconds: float


def measure(effort: Effort) -> list[Row]:
    """The rows of what is found, of judging an exchange, and of a whole run."""
    return [*_found(effort), *judged(effort), *_whole(effort)]


def _found(effort: Effort) -> Iterator[Row]:
    names = [fault.name for fault in FAULTS.values() if fault.applies(load_contract(RELAY))]
    if effort.share < 1:
        wanted = effort.times(SAMPLE * 5)
        names = names[:: max(1, len(names) // wanted)][:wanted]
    told: dict[str, list[Told]] = {SUITE: [], THEIRS: []}
    missed: dict[str, list[str]] = {SUITE: [], THEIRS: []}
    clean = {name: _told(run) for name, run in _TOOLS.items()}
    for fault in names:
        for tool, run in _TOOLS.items():
            one = _told(run, fault)
            told[tool].append(one)
            if one.findings <= clean[tool].findings:
                missed[tool].append(fault)
    ours, theirs = told[SUITE], told[THEIRS]
    caught = {tool: len(names) - len(missed[tool]) for tool in told}
    yield Row(
        what=f"faults found, of {len(names)}: plan and checks, against {THEIRS} with the same ids",
        ours=float(caught[SUITE]),
        theirs=float(caught[THEIRS]),
        unit="faults",
        note=f"missed by the plan: {', '.join(missed[SUITE]) or 'none'}; said of a correct relay: "
        f"{', '.join(sorted(clean[SUITE].findings)) or 'nothing'}, and by {THEIRS} "
        f"{', '.join(sorted(clean[THEIRS].findings)) or 'nothing'}",
    )
    figures: tuple[tuple[str, str, Callable[[Told], float]], ...] = (
        ("requests that the relay had", "requests", lambda one: one.requests),
        ("bad credentials among them", "requests", lambda one: one.bad),
        ("process start to exit", "s", lambda one: one.seconds),
    )
    for what, unit, figure in figures:
        yield Row(
            what=f"for one fault, {what}",
            ours=float(statistics.median(map(figure, ours))),
            theirs=float(statistics.median(map(figure, theirs))),
            unit=unit,
        )


def judged(effort: Effort) -> Iterator[Row]:
    """The row of one exchange of the plan, without a network."""
    mock = MockRelay(load_contract(RELAY), key=KEY)
    steps = plan(load_contract(RELAY), _known(mock), KEY, profile="all")

    def run() -> None:
        judge = Judge(load_contract(RELAY), Record(None, Redactor(KEY)), select_checks(()), (KEY,))
        Runner(Direct(mock), judge, Pace()).run(steps)

    timing = interleave([Contender("judge", run, len(steps))], effort.rounds)["judge"]
    yield Row(
        what="one exchange of the plan: answered by the mock, judged by all checks, and recorded",
        ours=timing.median,
        target=at_most(0.002),
    )


def _whole(effort: Effort) -> Iterator[Row]:
    rounds = min(effort.rounds, 5)
    runs = {"": 8.0, " --no-fuzz": 3.0}
    timings = interleave([Contender(more, _conform(*more.split())) for more in runs], rounds)
    for more, seconds in runs.items():
        yield Row(
            what=f"mjrelay conform{more}: the mocks of all relays, process start to exit",
            ours=timings[more].median,
            target=at_most(seconds),
        )


def _conform(*arguments: str) -> Callable[[], None]:
    def run() -> None:
        _run("-m", "mjrelay", "conform", *arguments)

    return run


def _told(run: Callable[[MockRelay, str], frozenset[str]], *faults: str) -> Told:
    counted = Counted(MockRelay(load_contract(RELAY), key=KEY, faults=faults))
    with Server(counted) as url:
        started = time.perf_counter()
        findings = run(counted.mock, url)
        seconds = time.perf_counter() - started
    return Told(findings, counted.requests, counted.bad, seconds)


def _suite(mock: MockRelay, url: str) -> frozenset[str]:
    tasks = [part for state, task_id in mock.known.items() for part in ("--task", f"{task_id}={state.value}")]
    arguments = ("conform", RELAY, "--base-url", url, *tasks, "--profile", "all", "--no-fuzz")
    record = json.loads(_run("-m", "mjrelay", *arguments) or '{"rows": []}')
    return frozenset(row["check"] for row in record["rows"] if row["outcome"] == "fail")


def _plain(mock: MockRelay, url: str) -> frozenset[str]:
    credential = mock.contract.credentials[0]
    header = f"{credential.field}: {credential.value(KEY)}"
    with tempfile.TemporaryDirectory(prefix="mjrelay-bench-") as folder:
        path = Path(folder) / "openapi.json"
        path.write_text(json.dumps(_with_known_ids(mock)), encoding="utf-8")
        options = ("--header", header, "--no-color", "--seed", "0", "--continue-on-failure")
        return frozenset(
            _FINDING.findall(
                _run("-m", "schemathesis.cli", "run", str(path), "--url", url, *options, folder=folder)
            )
        )


def _with_known_ids(mock: MockRelay) -> dict[str, Any]:
    """The contract with its fetch operation alone, the examples of whose ids are tasks that are there."""
    _, path, method = mock.contract.location
    parameters = []
    for one in mock.contract.operation.get("parameters", ()):
        parameter = {key: value for key, value in mock.contract.resolve(one).items() if key != "example"}
        if parameter["in"] == "path":
            parameter["examples"] = {state.value: {"value": id_} for state, id_ in mock.known.items()}
        parameters.append(parameter)
    operation = {**mock.contract.operation, "parameters": parameters}
    return {**mock.contract.document, "paths": {path: {method: operation}}}


def _known(mock: MockRelay) -> list[KnownTask]:
    return [KnownTask(task_id, state) for state, task_id in mock.known.items()]


def _run(*arguments: str, folder: str | None = None) -> str:
    """What a process says; that it ends with something else than 0 is what is looked for."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MJRELAY_")}
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**environment, "MJRELAY_API_KEY": KEY, "PYTHONIOENCODING": "utf-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:  # against a relay that is slow, and nobody waits so long
        return ""
    return done.stdout


_TOOLS: dict[str, Callable[[MockRelay, str], frozenset[str]]] = {SUITE: _suite, THEIRS: _plain}
