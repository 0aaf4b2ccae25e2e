"""The suite compared with plain Schemathesis: faults found, requests, and time."""

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
"""The relay for whose correct mock Schemathesis reports the fewest findings."""
KEY = "the-key-of-the-mock"
SAMPLE = 6
"""Faults that a quick run tries."""
LONGEST = 120.0
"""Timeout of a tool for one fault in seconds; a tool that times out has found nothing."""
SUITE, THEIRS = "mjrelay conform", "schemathesis run"
_FINDING = re.compile(r"❌ (ST\d+ .+): \d+$", re.MULTILINE)


@define
class Counted:
    """A mock relay that counts requests and wrong credentials."""

    mock: MockRelay
    requests: int = 0
    bad: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Count a request and pass it to the mock."""
        if scope["type"] == "http":
            self.requests += 1
            fields = {one.field.lower().encode(): one.value(KEY) for one in self.mock.contract.credentials}
            shown = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in fields]
            self.bad += any(value.lower() != fields[name].lower() for name, value in shown)
        await self.mock(scope, receive, send)


@frozen
class ToolResult:
    """The findings of one tool for one relay, with requests and time."""

    findings: frozenset[str]
    requests: int
    bad: int
    seconds: float


def measure(effort: Effort) -> list[Row]:
    """Return the rows of faults found, of judging an exchange, and of a whole run."""
    return [*_found(effort), *judged(effort), *_whole(effort)]


def _found(effort: Effort) -> Iterator[Row]:
    names = [fault.name for fault in FAULTS.values() if fault.applies(load_contract(RELAY))]
    if effort.share < 1:
        wanted = effort.times(SAMPLE * 5)
        names = names[:: max(1, len(names) // wanted)][:wanted]
    results: dict[str, list[ToolResult]] = {SUITE: [], THEIRS: []}
    missed: dict[str, list[str]] = {SUITE: [], THEIRS: []}
    clean = {name: _measured(run) for name, run in _TOOLS.items()}
    for fault in names:
        for tool, run in _TOOLS.items():
            one = _measured(run, fault)
            results[tool].append(one)
            if one.findings <= clean[tool].findings:
                missed[tool].append(fault)
    ours, theirs = results[SUITE], results[THEIRS]
    caught = {tool: len(names) - len(missed[tool]) for tool in results}
    yield Row(
        what=f"faults found, of {len(names)}: plan and checks, against {THEIRS} with the same ids",
        ours=float(caught[SUITE]),
        theirs=float(caught[THEIRS]),
        unit="faults",
        note=f"missed by the plan: {', '.join(missed[SUITE]) or 'none'}; findings for a correct relay: "
        f"{', '.join(sorted(clean[SUITE].findings)) or 'nothing'}, and by {THEIRS} "
        f"{', '.join(sorted(clean[THEIRS].findings)) or 'nothing'}",
    )
    figures: tuple[tuple[str, str, Callable[[ToolResult], float]], ...] = (
        ("requests to the relay", "requests", lambda one: one.requests),
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
    """Yield the row of one exchange of the plan, without a network."""
    mock = MockRelay(load_contract(RELAY), key=KEY)
    steps = plan(load_contract(RELAY), _known(mock), KEY, profile="all")

    def run() -> None:
        judge = Judge(load_contract(RELAY), Record(None, Redactor(KEY)), select_checks(()), (KEY,))
        Runner(Direct(mock), judge, Pace()).run(steps)

    timing = interleave([Contender("judge", run, len(steps))], effort.rounds)["judge"]
    yield Row(
        what="one exchange of the plan: sent to the mock, judged by all checks, and recorded",
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


def _measured(run: Callable[[MockRelay, str], frozenset[str]], *faults: str) -> ToolResult:
    counted = Counted(MockRelay(load_contract(RELAY), key=KEY, faults=faults))
    with Server(counted) as url:
        started = time.perf_counter()
        findings = run(counted.mock, url)
        seconds = time.perf_counter() - started
    return ToolResult(findings, counted.requests, counted.bad, seconds)


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
    """Return the contract with only its fetch operation, and existing tasks as examples of the id."""
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
    """Return the output of a process; an exit code other than 0 is expected."""
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
    except subprocess.TimeoutExpired:  # a fault that delays responses
        return ""
    return done.stdout


_TOOLS: dict[str, Callable[[MockRelay, str], frozenset[str]]] = {SUITE: _suite, THEIRS: _plain}
