"""The self-test on a sample of trials, and its sender without sockets."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.drivers import selftest as _selftest
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.probe import LATE, Probe
from mjrelay_conformance.drivers.selftest import (
    MOST,
    Direct,
    Trial,
    lines,
    main,
    page,
    run_trial,
    trials,
    unproven,
)
from mjrelay_conformance.mock.dialects import DIALECTS
from mjrelay_conformance.mock.faults import FAULTS, Phase
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from sampled import SEVERAL

from mjrelay import State
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.http.redaction import Redactor

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay.http.exchange import Exchange
    from mjrelay.http.request import Request

KEY = "the-key-of-the-mock"
TRIALS = [trial for relay in relay_names() for trial in trials(relay)]
SAMPLED = [
    trial for relay in relay_names() for trial in list(trials(relay))[relay_names().index(relay) % 37 :: 37]
]
"""A sample; ``nox -s selftest`` runs all trials."""


@pytest.mark.parametrize("trial", SAMPLED, ids=[f"{trial.relay}-{trial.name}" for trial in SAMPLED])
def test_a_trial_has_the_right_result(trial: Trial) -> None:
    """A fault breaks its check and few others; a correct relay in any dialect has no finding."""
    assert run_trial(trial).problem is None


def test_the_trials_are_complete() -> None:
    """Each fault and dialect has a trial, each relay has a plain one, and faults name existing checks."""
    assert {trial.fault for trial in TRIALS if trial.fault} == set(FAULTS)
    assert {trial.dialect for trial in TRIALS if trial.dialect} >= set(DIALECTS) - {
        "other-missing",
        "other-refusal",
    }
    assert [trial.relay for trial in TRIALS if trial.name == "correct"] == relay_names()
    for fault in FAULTS.values():
        assert fault.breaks
        assert {*fault.breaks} <= CHECKS.keys(), fault.name


def test_some_faults_need_generated_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults marked for the property-based phase are not found without it."""
    monkeypatch.setattr(_selftest, "CASES", 0)
    monkeypatch.setattr(_selftest, "STATEFUL", 0)
    for fault in FAULTS.values():
        if fault.phase is Phase.FUZZ:
            relay = next(name for name in relay_names() if fault.applies(load_contract(name)))
            assert run_trial(Trial(relay, fault.name)).found == ()


def test_a_wrong_result_is_a_problem() -> None:
    """A missed fault, too many findings, a finding for a correct relay and a crashed check are problems."""
    assert "missed: fetch/200/id; found: nothing" in str(Trial("x", "wrong-id").problem)
    assert "missed" in str(Trial("x", "wrong-id", found=("fetch/200/json",)).problem)
    assert Trial("x", "wrong-id", found=("fetch/200/id",)).problem is None
    many = ("fetch/200/id", *(str(number) for number in range(MOST)))
    assert "5 findings" in str(Trial("x", "wrong-id", found=many).problem)
    assert Trial("x", dialect="nulls").problem is None
    assert "findings for a correct relay: fetch/200/id" in str(
        Trial("x", dialect="nulls", found=("fetch/200/id",)).problem
    )
    assert "crashed: a: b" in str(Trial("x", "wrong-id", found=("fetch/200/id",), errors=("a: b",)).problem)


def test_the_output_and_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each trial has a line; a wrong result and an outdated page exit with 1."""
    done = [Trial("x"), Trial("x", "wrong-id", found=("fetch/200/id",)), Trial("x", "nan")]
    shown = list(lines(done))
    assert [line.split()[0] for line in shown[:3]] == ["ok", "ok", "MISS"]
    assert "3 trials, 1 with a wrong result; findings per fault: median 0.5, maximum 1" in shown[3]
    assert "fetch/200/id" not in unproven(done)
    assert "fetch/200/json" in unproven(done)
    assert re.search(r"\| `fetch/200/id` \| must \| .+ \| `wrong-id` \|", page(done))
    assert page(done).count("\n| `") == len(CHECKS)
    monkeypatch.setattr(_selftest, "run", lambda _: done)
    assert main([]) == 1
    assert "MISS" in capsys.readouterr().out
    monkeypatch.setattr(_selftest, "run", lambda _: done[:2])
    path = tmp_path / "checks.md"
    assert main(["--page", str(path), "--write"]) == 0
    assert main(["--page", str(path)]) == 0
    path.write_text("# Checks\n", encoding="utf-8")
    assert main(["--page", str(path)]) == 1
    assert "out of date" in capsys.readouterr().out


def requests(relay: str, app: MockRelay) -> list[Request]:
    """Return the requests of the largest plan."""
    known = [KnownTask(task_id, state) for state, task_id in app.known.items()]
    return [step.request for step in plan(load_contract(relay), known, KEY, profile="all")]


@pytest.mark.parametrize(
    ("relay", "faults"),
    [
        *((relay, ()) for relay in SEVERAL),
        ("zhongzhuan", ("connection-reset",)),
        ("apiai", ("gzip-bomb",)),
        ("mjdjourney", ("wrong-length", "wrong-charset")),
        ("ttapi", ("rate-limited",)),
    ],
)
def test_exchanges_equal_those_of_a_socket(relay: str, faults: tuple[str, ...]) -> None:
    """Exchanges with and without sockets have the same status, headers, body and failure."""
    first, second = (MockRelay(load_contract(relay), key=KEY, faults=faults) for _ in range(2))
    with Server(second) as base_url:
        direct = Direct(first, base_url)
        probe = Probe(base_url, Redactor(KEY))
        for request in requests(relay, first):
            assert seen(direct.send(request)) == seen(probe.send(request))
    assert direct.sent == probe.sent


def seen(exchange: Exchange) -> tuple[object, ...]:
    """Return the parts of an exchange that do not depend on time and place."""
    headers = {name.lower(): value for name, value in exchange.headers}
    date = headers.pop("date", None)
    assert date is None or parsedate_to_datetime(date).tzinfo is not None
    headers.pop("connection", None)
    shown = [field for field in exchange.request_headers if field[0] != "Host"]
    target = exchange.url.partition("://")[2].partition("/")[2]
    whole = exchange.failure is None
    return exchange.method, target, shown, exchange.status, headers, exchange.body, whole


def test_delays_are_simulated() -> None:
    """Delays are reported without waiting; an exchange that is too slow times out, before or in its body."""
    one = load_contract("apiai")

    def sent(fault: str, deadline: float = 30.0) -> Exchange:
        app = MockRelay(one, key=KEY, faults=[fault])
        request = one.request(app.known[State.SUCCEEDED]).authenticated(one.credentials[0], KEY)
        return Direct(app, deadline=deadline).send(request)

    assert sent("slow").elapsed == 2.0
    assert sent("slow").failure is None
    late = sent("very-slow", 5.0)
    assert (late.status, late.failure, late.elapsed, late.body) == (None, LATE, 5.0, b"")
    stalled = sent("stalls-mid-body")
    assert (stalled.status, stalled.failure, stalled.elapsed) == (200, LATE, 30.0)
    assert stalled.body
    patient = sent("stalls-mid-body", 90.0)
    assert "before the body did" in str(patient.failure)


def test_requests_are_redacted() -> None:
    """The exchange never contains the key, anywhere in the request."""
    one = load_contract("apiai")
    app = MockRelay(one, key=KEY)
    request = one.request(KEY).authenticated(one.credentials[0], KEY)
    exchange = Direct(app).send(evolve(request, body=KEY.encode()))
    assert KEY not in exchange.url
    assert KEY not in str(exchange.request_headers)
    assert KEY.encode() not in exchange.request_body
