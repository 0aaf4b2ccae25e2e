"""
The suite judged by itself: whether it names each fault of the mock, and says nothing against correct relays.

``python -m mjrelay_conformance.drivers.selftest`` prints what it says of each fault of each packaged relay,
and ends with 1 where a fault is missed or a correct relay is blamed. ``--page FILE`` compares a page that
shows all checks and the faults that they find, and with ``--write`` writes it.
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
from mjrelay_conformance.checks import select_checks
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.probe import LARGEST_BODY, LATE, fields_of, inflated
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.judging import CHECKS, OVERLONG, Record
from mjrelay_conformance.mock import DIALECTS, FAULTS, MockRelay, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay.http import Headers, Request
    from mjrelay_conformance.judging import Row
    from mjrelay_conformance.mock import MockResponse


KEY = "the-key-of-the-mock"
CASES = 25
"""Requests of the property-based phase, where a fault is seen by it alone; a run on a mock has twice that."""
MOST = 4
"""Findings that one fault may lead to."""
_DEADLINE = 30.0
"""Seconds after which an answer is too late."""


@frozen
class Trial:
    """
    What the suite says of one relay's mock.

    ``fault`` and ``dialect`` say what is special about it; it is correct where there is no fault.
    """

    relay: str
    fault: str | None = None
    dialect: str | None = None
    found: tuple[str, ...] = field(default=(), kw_only=True)
    errors: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def name(self) -> str:
        """What is special about the mock, in a word."""
        return self.fault or self.dialect or "correct"

    @property
    def complaint(self) -> str | None:
        """What is wrong with the suite, None where nothing is."""
        if self.errors:
            return f"checks broke: {'; '.join(self.errors)}"
        if self.fault is None:
            return f"a correct relay is blamed: {', '.join(self.found)}" if self.found else None
        breaks = FAULTS[self.fault].breaks
        if not {*breaks} & {*self.found}:
            return f"missed: {' or '.join(breaks)}; found: {', '.join(self.found) or 'nothing'}"
        if len(self.found) > MOST:
            return f"{len(self.found)} findings: {', '.join(self.found)}"
        return None


@define
class Direct:
    """
    Sends requests to a mock relay as the probe does, without a network and without waiting.

    What would take time is added to ``elapsed`` instead; more than ``deadline`` seconds are too late.
    """

    app: MockRelay = field(repr=False)
    base_url: str = "http://relay.test"
    deadline: float = _DEADLINE
    sent: int = 0
    _redactor: Redactor = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._redactor = Redactor(self.app.key)

    def send(self, request: Request) -> Exchange:
        """The exchange that a request leads to."""
        self.sent += 1
        fields = fields_of(request, self.base_url.partition("://")[2])
        answer = self.app.answer(request.method, request.target, fields, request.body)
        status, headers, body, failure = self._received(request, answer)
        passed = answer.delay + (answer.stall if answer.broken else 0.0)
        return Exchange(
            method=request.method,
            url=self._redactor.text(join_url(self.base_url, request.target)),
            request_headers=tuple((name, self._redactor.text(value)) for name, value in fields),
            request_body=self._redactor.bytes(request.body),
            status=status,
            headers=headers,
            body=body,
            elapsed=min(passed, self.deadline),
            failure=failure,
        )

    def _received(
        self, request: Request, answer: MockResponse
    ) -> tuple[int | None, Headers, bytes, str | None]:
        """What of an answer comes in time: status, header fields, body, and what went wrong."""
        if answer.delay >= self.deadline:
            return None, (), b"", LATE
        own: Headers = (("date", formatdate(self.app.clock(), usegmt=True)), *answer.framed)
        # A header field is sent in UTF-8 and read as what HTTP takes it for.
        headers = tuple((name, value.encode().decode("latin-1")) for name, value in own)
        body = answer.body[: answer.cut]
        if request.method == "HEAD":
            return answer.status, headers, b"", None
        failure = None
        if answer.broken:
            late = answer.delay + answer.stall >= self.deadline
            left = len(answer.body) - len(body)
            failure = LATE if late else f"the connection ended {left} bytes before the body did"
        elif len(body) > LARGEST_BODY:
            failure = OVERLONG
        if failure is None:
            body, failure = inflated(headers, body)
        return answer.status, headers, body, failure


class _NoWaiting(Clock):
    """A clock by which nobody has to wait."""

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once."""


@define
class _Blank(Record):
    """A record in which nothing is written down; writing would take half of the time."""

    def add(self, *_: Any, **__: Any) -> None:
        """Leave an exchange out."""

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Leave rows out."""


def trials(relay: str) -> Iterator[Trial]:
    """Every way in which a relay's mock can be, not yet tried: correct, in each dialect, with each fault."""
    contract = load_contract(relay, ())
    yield Trial(relay)
    for dialect in DIALECTS.values():
        if dialect.applies(contract):
            yield Trial(relay, dialect=dialect.name)
    for fault in FAULTS.values():
        if fault.applies(contract):
            yield Trial(relay, fault.name)


def tried(trial: Trial) -> Trial:
    """The trial with the checks that found something, the plan being the largest that there is."""
    contract = load_contract(trial.relay, ())
    faults = () if trial.fault is None else (trial.fault,)
    mock = MockRelay(contract, key=KEY, faults=faults, dialect=trial.dialect)
    known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
    judge = Judge(contract, _Blank(None, Redactor(KEY)), select_checks(()), (KEY,))
    generated = trial.fault is not None and FAULTS[trial.fault].phase is Phase.FUZZ
    Runner(Direct(mock), judge, Pace(clock=_NoWaiting())).run(
        plan(contract, known, KEY, profile="all"), cases=CASES if generated else 0
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
    """Every trial of some relays, on as many processors as there are."""
    pending = [trial for relay in names for trial in trials(relay)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(tried, pending, chunksize=8))


def unproven(done: Iterable[Trial]) -> list[str]:
    """The checks that no fault of any relay makes speak."""
    spoken = {id_ for trial in done for id_ in trial.found}
    return [id_ for id_ in CHECKS if id_ not in spoken]


def lines(done: Sequence[Trial]) -> Iterator[str]:
    """The trials, one line for each, and a summary."""
    for trial in done:
        said = trial.complaint or ", ".join(trial.found) or "nothing to say"
        yield f"{'MISS' if trial.complaint else 'ok':5}{trial.relay:12}{trial.name:28}{said}"
    counts = [len(trial.found) for trial in done if trial.fault]
    missed = sum(trial.complaint is not None for trial in done)
    yield (
        f"{len(done)} trials, {missed} not as they should be; findings for each fault: "
        f"median {statistics.median(counts):g}, at most {max(counts)}"
    )
    if silent := unproven(done):
        yield f"checks that no fault makes speak: {', '.join(silent)}"


def page(done: Sequence[Trial]) -> str:
    """The checks, what each says and the faults that it finds, as a page in Markdown."""
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

What the suite says of a relay, and the faults of the mock by which that is proven.
`nox -s selftest` shows each fault of each relay to the suite, and fails where this page says otherwise.
A fault in brackets breaks this sentence too, but is named by another check.
How much a breach weighs is the most that it can: where a contract knows less, it weighs less.

| check | level | says | faults |
|---|---|---|---|
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the self-test; 1 where the suite, or the page about it, is not as it should be."""
    parser = argparse.ArgumentParser(prog="mjrelay_conformance.drivers.selftest", description=__doc__)
    parser.add_argument("relays", nargs="*", help="relays to try; all that are packaged where none is named")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page about the checks")
    parser.add_argument("--write", action="store_true", help="write the page, instead of comparing it")
    options = parser.parse_args(arguments)
    done = run(options.relays or relay_names())
    sys.stdout.write("".join(f"{line}\n" for line in lines(done)))
    wrong = any(trial.complaint for trial in done)
    if options.page is not None and not options.relays:
        if options.write:
            options.page.write_text(page(done), encoding="utf-8")
        elif options.page.read_text(encoding="utf-8") != page(done):
            sys.stdout.write(f"{options.page} is out of date; write it with: nox -s selftest -- --write\n")
            wrong = True
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
