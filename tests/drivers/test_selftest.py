"""The suite judged by itself, fault for fault, and the probe without sockets that it is judged with."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
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
    trials,
    tried,
    unproven,
)
from mjrelay_conformance.judging.checking import CHECKS
from mjrelay_conformance.mock.dialects import DIALECTS
from mjrelay_conformance.mock.faults import FAULTS, Phase
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

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
    trial for relay in relay_names() for trial in list(trials(relay))[relay_names().index(relay) % 19 :: 19]
]
"""What is tried here; ``nox -s selftest`` tries them all."""


@pytest.mark.parametrize("trial", SAMPLED, ids=[f"{trial.relay}-{trial.name}" for trial in SAMPLED])
def test_a_mock_is_judged_as_it_should_be(trial: Trial) -> None:
    """A fault is named by a check that it breaks, in few findings; a correct relay in any dialect by none."""
    assert tried(trial).complaint is None


def test_the_trials_are_all_that_there_are() -> None:
    """Each fault has a relay that can show it, each relay is tried as it should be, and breaks are checks."""
    assert {trial.fault for trial in TRIALS if trial.fault} == set(FAULTS)
    assert {trial.dialect for trial in TRIALS if trial.dialect} >= set(DIALECTS) - {
        "other-missing",
        "other-refusal",
    }
    assert [trial.relay for trial in TRIALS if trial.name == "correct"] == relay_names()
    for fault in FAULTS.values():
        assert fault.breaks
        assert {*fault.breaks} <= CHECKS.keys(), fault.name


@pytest.mark.parametrize("fault", [fault.name for fault in FAULTS.values() if fault.phase is Phase.FUZZ])
def test_some_faults_are_seen_by_generated_requests_alone(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said to need the property-based phase is not seen without it."""
    monkeypatch.setattr(_selftest, "CASES", 0)
    assert tried(Trial(relay_names()[0], fault)).found == ()


def test_what_is_not_as_it_should_be_is_told() -> None:
    """A missed fault, too many findings, a blamed correct relay and a check that broke are complaints."""
    assert "missed: fetch/200/id; found: nothing" in str(Trial("x", "wrong-id").complaint)
    assert "missed" in str(Trial("x", "wrong-id", found=("fetch/200/json",)).complaint)
    assert Trial("x", "wrong-id", found=("fetch/200/id",)).complaint is None
    many = ("fetch/200/id", *(str(number) for number in range(MOST)))
    assert "5 findings" in str(Trial("x", "wrong-id", found=many).complaint)
    assert Trial("x", dialect="nulls").complaint is None
    assert "blamed: fetch/200/id" in str(Trial("x", dialect="nulls", found=("fetch/200/id",)).complaint)
    assert "broke: a: b" in str(Trial("x", "wrong-id", found=("fetch/200/id",), errors=("a: b",)).complaint)


def test_the_table_says_what_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each trial has a line, a miss is marked and ends with 1; so does a page that is out of date."""
    done = [Trial("x"), Trial("x", "wrong-id", found=("fetch/200/id",)), Trial("x", "nan")]
    told = list(lines(done))
    assert [line.split()[0] for line in told[:3]] == ["ok", "ok", "MISS"]
    assert "3 trials, 1 not as they should be; findings for each fault: median 0.5, at most 1" in told[3]
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
    """All that the largest plan sends."""
    known = [KnownTask(task_id, state) for state, task_id in app.known.items()]
    return [step.request for step in plan(load_contract(relay), known, KEY, profile="all")]


@pytest.mark.parametrize("relay", relay_names())
@pytest.mark.parametrize(
    "faults",
    [(), ("connection-reset",), ("gzip-bomb",), ("wrong-length", "wrong-charset"), ("rate-limited",)],
)
def test_exchanges_are_those_of_a_socket(relay: str, faults: tuple[str, ...]) -> None:
    """Without sockets the same comes as over them: status, header fields, body, failure, what is shown."""
    first, second = (MockRelay(load_contract(relay), key=KEY, faults=faults) for _ in range(2))
    direct = Direct(first)
    with Server(second) as base_url:
        probe = Probe(base_url, Redactor(KEY))
        for request in requests(relay, first):
            assert seen(direct.send(request)) == seen(probe.send(request))
    assert direct.sent == probe.sent


def seen(exchange: Exchange) -> tuple[object, ...]:
    """What of an exchange does not depend on where and when it took place."""
    headers = {name.lower(): value for name, value in exchange.headers}
    date = headers.pop("date", None)
    assert date is None or parsedate_to_datetime(date).tzinfo is not None
    headers.pop("connection", None)
    shown = [field for field in exchange.request_headers if field[0] != "Host"]
    target = exchange.url.partition("://")[2].partition("/")[2]
    whole = exchange.failure is None
    return exchange.method, target, shown, exchange.status, headers, exchange.body, whole


def test_time_passes_in_numbers_alone() -> None:
    """What would take time is told and not waited for; what takes too long does not come, or not whole."""
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


def test_the_secret_is_taken_out_of_what_was_sent() -> None:
    """The record never sees the key, wherever a request has it."""
    one = load_contract("apiai")
    app = MockRelay(one, key=KEY)
    request = one.request(KEY).authenticated(one.credentials[0], KEY)
    exchange = Direct(app).send(evolve(request, body=KEY.encode()))
    assert KEY not in exchange.url
    assert KEY not in str(exchange.request_headers)
    assert KEY.encode() not in exchange.request_body
