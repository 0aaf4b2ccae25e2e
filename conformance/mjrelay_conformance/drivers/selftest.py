"""
The self-test: the suite must detect each fault of the mock, and report nothing for correct relays.

``python -m mjrelay_conformance.drivers.selftest`` runs the suite against each fault of each relay's mock, and
exits with 1 if a fault is missed or a correct relay has a finding. ``--page FILE`` compares the page that
lists all checks and the faults that they detect; with ``--write`` it writes the page.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from email.utils import formatdate
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay.base import Clock
from mjrelay.contract import load_contract, relay_names
from mjrelay.http import Exchange, Redactor, join_url
from mjrelay_conformance.checks import CHECKS, select_checks
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.probe import LARGEST_BODY, LATE, fields_of, inflated
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.submits import MOST_SUBMITS
from mjrelay_conformance.drivers.terms import STATEFUL
from mjrelay_conformance.judging import OVERLONG, Record
from mjrelay_conformance.mock import DIALECTS, FAULTS, MockRelay, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay.http import Headers, Request
    from mjrelay_conformance.judging import Row
    from mjrelay_conformance.mock import MockResponse


KEY = "the-key-of-the-mock"
CASES = 25
"""Generated requests for faults that need the property-based phase; an ordinary run sends twice as many."""
MOST = 4
"""Maximum number of checks that one fault may break."""
_DEADLINE = 30.0
"""The default timeout of an exchange, in seconds."""


@frozen
class Trial:
    """
    The result of the suite for one relay's mock.

    The mock has a ``fault`` or a ``dialect``, or is plain. Without a fault it is correct.
    """

    relay: str
    fault: str | None = None
    dialect: str | None = None
    found: tuple[str, ...] = field(default=(), kw_only=True)
    errors: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def name(self) -> str:
        """The name of the fault or the dialect."""
        return self.fault or self.dialect or "correct"

    @property
    def problem(self) -> str | None:
        """What the suite got wrong; None if nothing."""
        if self.errors:
            return f"checks crashed: {'; '.join(self.errors)}"
        if self.fault is None:
            return f"findings for a correct relay: {', '.join(self.found)}" if self.found else None
        breaks = FAULTS[self.fault].breaks
        if not {*breaks} & {*self.found}:
            return f"missed: {' or '.join(breaks)}; found: {', '.join(self.found) or 'nothing'}"
        if len(self.found) > MOST:
            return f"{len(self.found)} findings: {', '.join(self.found)}"
        return None


@define
class Direct:
    """
    Send requests to a mock as `Probe` does, without a network and without waiting.

    Delays are added to ``elapsed``; an exchange that takes more than ``deadline`` seconds times out.
    """

    app: MockRelay = field(repr=False)
    base_url: str = "http://relay.test"
    deadline: float = _DEADLINE
    sent: int = 0
    _redactor: Redactor = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._redactor = Redactor(self.app.key)

    def send(self, request: Request) -> Exchange:
        """Send a request and return the exchange."""
        self.sent += 1
        fields = fields_of(request, self.base_url.partition("://")[2])
        response = self.app.answer(request.method, request.target, fields, request.body)
        status, headers, body, failure = self._received(request, response)
        elapsed = response.delay + (response.stall if response.broken else 0.0)
        return Exchange(
            method=request.method,
            url=self._redactor.text(join_url(self.base_url, request.target)),
            request_headers=tuple((name, self._redactor.text(value)) for name, value in fields),
            request_body=self._redactor.bytes(request.body),
            status=status,
            headers=headers,
            body=body,
            elapsed=min(elapsed, self.deadline),
            failure=failure,
        )

    def _received(
        self, request: Request, response: MockResponse
    ) -> tuple[int | None, Headers, bytes, str | None]:
        """Return what arrives in time: status, header fields, body and failure."""
        if response.delay >= self.deadline:
            return None, (), b"", LATE
        sent: Headers = (("date", formatdate(self.app.clock(), usegmt=True)), *response.framed)
        # The server encodes header fields as UTF-8, and HTTP clients decode them as Latin-1.
        headers = tuple((name, value.encode().decode("latin-1")) for name, value in sent)
        body = response.body[: response.cut]
        if request.method == "HEAD":
            return response.status, headers, b"", None
        failure = None
        if response.broken:
            late = response.delay + response.stall >= self.deadline
            left = len(response.body) - len(body)
            failure = LATE if late else f"the connection ended {left} bytes before the body did"
        elif len(body) > LARGEST_BODY:
            failure = OVERLONG
        if failure is None:
            body, failure = inflated(headers, body)
        return response.status, headers, body, failure


class _NoWaiting(Clock):
    """A clock that does not wait."""

    def sleep(self, seconds: float) -> None:
        """Return immediately."""


@define
class _Blank(Record):
    """A record that stores nothing, because that would take half of the time."""

    def add(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Do nothing."""


def trials(relay: str) -> Iterator[Trial]:
    """Yield the trials of a relay, not yet run: the plain mock, each dialect, and each fault."""
    contract = load_contract(relay, ())
    yield Trial(relay)
    for dialect in DIALECTS.values():
        if dialect.applies(contract):
            yield Trial(relay, dialect=dialect.name)
    for fault in FAULTS.values():
        if fault.applies(contract):
            yield Trial(relay, fault.name)


def run_trial(trial: Trial) -> Trial:
    """Run the largest plan against the mock of a trial, and return the trial with its result."""
    contract = load_contract(trial.relay, ())
    faults = () if trial.fault is None else (trial.fault,)
    mock = MockRelay(contract, key=KEY, faults=faults, dialect=trial.dialect, duration=0.0)
    known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
    judge = Judge(contract, _Blank(None, Redactor(KEY)), select_checks(()), (KEY,))
    generated = trial.fault is not None and FAULTS[trial.fault].phase is Phase.FUZZ
    Runner(Direct(mock), judge, Pace(clock=_NoWaiting())).run(
        plan(contract, known, KEY, profile="all", key_in_url=True),
        cases=CASES if generated else 0,
        submits=MOST_SUBMITS,
        stateful=STATEFUL if generated and contract.submits else 0,
    )
    found = {row.check for row in judge.rows if row.finding}
    errors = {f"{row.check}: {row.actual}" for row in judge.rows if row.outcome == "error"}
    return Trial(
        trial.relay,
        trial.fault,
        trial.dialect,
        found=tuple(id_ for id_ in CHECKS if id_ in found),
        errors=tuple(sorted(errors)),
    )


def run(names: Iterable[str]) -> list[Trial]:
    """Run all trials of some relays on all processors."""
    pending = [trial for relay in names for trial in trials(relay)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(run_trial, pending, chunksize=8))


def unproven(done: Iterable[Trial]) -> list[str]:
    """Return the checks that no fault of any relay breaks."""
    broken = {id_ for trial in done for id_ in trial.found}
    return [id_ for id_ in CHECKS if id_ not in broken]


def lines(done: Sequence[Trial]) -> Iterator[str]:
    """Yield one line for each trial, and a summary."""
    for trial in done:
        result = trial.problem or ", ".join(trial.found) or "no finding"
        yield f"{'MISS' if trial.problem else 'ok':5}{trial.relay:12}{trial.name:28}{result}"
    counts = [len(trial.found) for trial in done if trial.fault]
    missed = sum(trial.problem is not None for trial in done)
    yield (
        f"{len(done)} trials, {missed} with a wrong result; findings per fault: "
        f"median {statistics.median(counts):g}, maximum {max(counts)}"
    )
    if checks := unproven(done):
        yield f"checks that no fault breaks: {', '.join(checks)}"


def page(done: Sequence[Trial]) -> str:
    """Render the Markdown page that lists each check and the faults that it detects."""
    rows = []
    for one in CHECKS.values():
        faults = {trial.fault for trial in done if trial.fault and one.id in trial.found}
        named = [name for name in FAULTS if name in faults and one.id in FAULTS[name].breaks]
        also = [name for name in FAULTS if name in faults and name not in named]
        shown = ", ".join([*(f"`{name}`" for name in named), *(f"({name})" for name in also)])
        rows.append(f"| `{one.id}` | {one.level.value} | {one.sentence} | {shown} |\n")
    return _PAGE + "".join(rows)


_PAGE = """\
# Checks

Each check is one sentence about a relay, proven by faults of the mock.
`nox -s selftest` runs the suite against each fault of each relay, and fails if this page is out of date.
A fault in brackets breaks the check too, but belongs to another one.
The level is the highest one: it is lower if the contract has only weaker evidence.

`mjrelay conform RELAY --explain CHECK` explains a check.

| check | level | sentence | faults |
|---|---|---|---|
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the self-test; return 1 if a result is wrong or the page is out of date."""
    parser = argparse.ArgumentParser(prog="mjrelay_conformance.drivers.selftest", description=__doc__)
    parser.add_argument("relays", nargs="*", help="relays to test (default: all)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page that lists the checks")
    parser.add_argument("--write", action="store_true", help="write the page instead of comparing it")
    options = parser.parse_args(arguments)
    done = run(options.relays or relay_names())
    sys.stdout.write("".join(f"{line}\n" for line in lines(done)))
    wrong = any(trial.problem for trial in done)
    if options.page is not None and not options.relays:
        if options.write:
            options.page.write_text(page(done), encoding="utf-8")
        elif options.page.read_text(encoding="utf-8") != page(done):
            sys.stdout.write(f"{options.page} is out of date; write it with: nox -s selftest -- --write\n")
            wrong = True
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
