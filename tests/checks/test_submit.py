"""Checks of submits, the submits of a run, and recorded ones."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.drivers import ConformOptions, judge_relays
from mjrelay_conformance.drivers.monitor import LiveJudge
from mjrelay_conformance.drivers.options import ConformError
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.drivers.submits import MOST_SUBMITS
from mjrelay_conformance.judging.checking import Outcome, judge_observation
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.judging.schema import schema_of
from mjrelay_conformance.judging.submits import submit_of
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from mjrelay_conformance.replay import ReplayOptions, replay_traffic
from observations import FAIL, INFO, MUST, SHOULD, row
from rich.console import Console

from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import Redactor
from mjrelay.semantics import State
from mjrelay.testing import NoWaitClock

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay.http.request import Request

KEY = "the-key-of-the-mock"
CONTRACT = load_contract("newapi")
ACCEPTED = {"code": 1, "description": "ok", "result": "1795649371135651", "properties": {}}
TOKEN = "a token"
URL = "http://relay.test/mj/submit/imagine"


def submitted(
    document: Any, kind: Kind = Kind.SUBMIT, status: int = 200, media_type: str = "text/plain", **more: Any
) -> Observation:
    """Return an observation of the response to an imagine."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    exchange = Exchange("POST", URL, status=status, headers=(("Content-Type", media_type),), body=body)
    given = {"accepted": True, "submit": submit_of(CONTRACT, exchange), **more}
    return Observation(CONTRACT, schema_of(CONTRACT), kind, "", exchange, **given)


def found(observation: Observation) -> dict[str, str]:
    """Return the submit checks that an observation breaks, each with its level."""
    rows = judge_observation(observation, 1, CHECKS.values())
    assert [one for one in rows if one.outcome is Outcome.ERROR] == []
    return {
        one.check.removeprefix("submit/"): one.level
        for one in rows
        if one.outcome is FAIL and one.check.startswith("submit/")
    }


def test_a_response_is_judged_by_what_a_caller_can_do_with_it() -> None:
    """Documented outcomes pass; a response without an outcome, id, or known form has one finding."""
    html = b"<html></html>"
    cases: list[tuple[Observation, dict[str, str]]] = [
        (submitted(ACCEPTED), {}),
        (submitted({**ACCEPTED, "code": 22}), {}),
        (submitted({**ACCEPTED, "result": "1795649371135651,1795649371135652"}), {}),
        (submitted({**ACCEPTED, "code": 9, "result": None}), {}),
        (
            submitted({"code": 4, "description": "quota_not_enough ", "type": "upstream_error"}, status=400),
            {},
        ),
        (
            submitted({"code": 5, "description": "do_request_failed ", "type": "upstream_error"}, status=400),
            {},
        ),
        (submitted(ACCEPTED, media_type="application/json"), {"media-type": SHOULD}),
        (submitted({**ACCEPTED, "result": None}), {"outcome": MUST}),
        (submitted({**ACCEPTED, "code": "1"}), {"schema": MUST}),
        (submitted({**ACCEPTED, "result": 1795649371135651}), {"schema": MUST}),
        (submitted(b""), {"schema": MUST}),
        (submitted(html, media_type="text/html"), {"schema": MUST}),
        (submitted(html, status=504, media_type="text/html"), {"outcome": SHOULD}),
        (submitted(b"", status=404), {}),
        (submitted(b"", status=503), {}),
        (submitted(ACCEPTED, Kind.BAD_SUBMIT), {"refused": MUST}),
        (submitted(ACCEPTED, Kind.INVALID_SUBMIT), {"refused": SHOULD}),
        (submitted(b"", Kind.INVALID_SUBMIT, 422), {"refusal": INFO}),
        (submitted(b"", Kind.INVALID_SUBMIT, 502), {"refusal": SHOULD}),
        (evolve(submitted(ACCEPTED), submit=None), {}),
    ]
    for observation, expected in cases:
        assert found(observation) == expected, observation.exchange


def test_a_web_page_proves_nothing_if_no_task_was_fetched() -> None:
    """The base URL may be wrong; where a task was fetched, the page is a finding."""
    page = submitted(b"<html></html>", media_type="text/html")
    assert found(evolve(page, proven=False)) == {}
    assert found(page) == {"schema": MUST}


def test_a_submitted_task_has_its_id_and_its_token() -> None:
    """It can be fetched, and has the token once it has ended."""
    task = {**CONTRACT.examples["succeeded"], "state": TOKEN}

    def fetched(document: Any, token: str | None = TOKEN) -> dict[str, str]:
        one = submitted(document, Kind.SUBMITTED, token=token)
        return found(evolve(one, task_id=str(CONTRACT.reader.id(task))))

    assert fetched(task) == {}
    assert fetched(task, None) == {}
    assert fetched({**task, "state": "another"}) == {"token": SHOULD}
    assert fetched({**task, "state": ""}) == {"token": SHOULD}
    assert fetched({**CONTRACT.examples["running"], "state": ""}) == {}
    assert fetched(b"") == {"fetchable": MUST}
    unproven = evolve(submitted(b"", Kind.SUBMITTED), proven=False)
    assert row("submit/fetchable", unproven).outcome is Outcome.BLOCKED


def run(relay: str, count: int, **options: Any) -> tuple[MockRelay, list[dict[str, Any]]]:
    """Run only the submits against a mock; return the mock and the exchanges."""
    contract = load_contract(relay)
    mock = MockRelay(contract, key=KEY, **{"duration": 0.0, **options})
    record = Record(None, Redactor(KEY))
    judge = Judge(contract, record, list(CHECKS.values()), (KEY,))
    Runner(Direct(mock), judge, Pace(clock=NoWaitClock())).run([], submits=count)
    assert [one for one in judge.rows if one.finding] == []
    return mock, list(record.document()["exchanges"])


def test_no_more_is_submitted_than_paid_for() -> None:
    """Of every relay, each submit counts, refused ones too; imagine comes first."""
    for relay in relay_names():
        for count in (0, 1, 2, MOST_SUBMITS) if relay in {"newapi", "mjproxy"} else (MOST_SUBMITS,):
            mock, exchanges = run(relay, count)
            sent = [one for one in exchanges if one["method"] == "POST" and "submit" in one["kind"]]
            sent = [one for one in sent if one["kind"] != "submitted"]
            assert len(sent) <= count
            if count and load_contract(relay).submits:
                assert sent[0]["label"] == "submit: imagine"
                labels = [one["label"] for one in sent if one["kind"] == "submit"]
                assert len(mock.accepted) == len(labels)
                assert labels[1:2] == ["submit: press"] * (count > 1)


def test_a_window_is_opened_and_confirmed_where_both_are_paid_for() -> None:
    """With six submits a task that waits for its window is confirmed and fetched until it ends."""
    confirmed = set()
    for relay in relay_names():
        for count in (MOST_SUBMITS - 1, MOST_SUBMITS):
            mock, exchanges = run(relay, count)
            labels = [one["label"] for one in exchanges if one["kind"] in {"submit", "submitted"}]
            if labels[-2:] != ["submit: modal", "submitted: modal"]:
                continue
            assert count == MOST_SUBMITS
            assert labels[4:6] == [f"{kind}: press, which opens a window" for kind in ("submit", "submitted")]
            (last,) = [state for task_id, state, _ in mock.changing() if task_id == mock.accepted[-1]]
            assert last is State.SUCCEEDED
            confirmed.add(relay)
    able = {
        name
        for name in relay_names()
        if State.NEEDS_INPUT.value in load_contract(name).examples
        and any(one.form.action == "modal" for one in load_contract(name).submits)
    }
    assert confirmed == able != set()


def test_a_live_relay_gets_no_guessed_button() -> None:
    """Where no task offers a button that opens a window, a relay that draws is not asked for one."""
    contract = load_contract("newapi")
    mock = MockRelay(contract, key=KEY, duration=0.0)
    judge = Judge(contract, Record(None, Redactor(KEY)), list(CHECKS.values()), (KEY,))
    Runner(Direct(mock), judge, Pace(spacing=0.1, clock=NoWaitClock())).run([], submits=MOST_SUBMITS)
    assert len(mock.accepted) == 2


def test_a_task_is_listed_twice_after_its_modal() -> None:
    """Gateways list a confirmed task twice, as waiting and as it is; that is no second task."""
    contract = load_contract("trueai")
    modal = next(one for one in contract.submits if one.form.action == "modal")
    task = {**contract.examples["succeeded"], "state": TOKEN}
    task_id = str(contract.reader.id(task))
    waiting = {**contract.examples["needs-input"], "id": task_id, "state": TOKEN}
    for listed, expected in (([waiting, task], {}), ([{**task, "id": "17"}, task], {"one-task": MUST})):
        body = json.dumps(listed).encode()
        headers = (("Content-Type", "application/json"),)
        exchange = Exchange("GET", URL, status=200, headers=headers, body=body)
        given: dict[str, Any] = {"accepted": True, "submit": modal, "token": TOKEN, "ids": (task_id,)}
        assert (
            found(Observation(contract, schema_of(contract), Kind.LISTED, "", exchange, **given)) == expected
        )


def test_a_modal_is_judged_only_if_the_task_waits_for_it() -> None:
    """A refused modal is a finding only where the task was seen to wait for its window."""
    modal = next(one for one in CONTRACT.submits if one.form.action == "modal")
    missing = submitted({"code": 4, "description": "task_not_found "}, status=400, submit=modal)
    invalid = submitted({"code": 4, "description": "other "}, status=400, submit=modal)
    full = submitted({"code": 23, "description": "full", "result": None}, submit=modal)
    for observation, expected in ((missing, SHOULD), (invalid, INFO), (full, None)):
        assert "window" not in found(observation)
        assert found(evolve(observation, task_id="17")).get("window") == expected


def test_a_refused_submit_is_not_sent_again() -> None:
    """A full queue and a rate limit end the submits without a repeat."""
    mock, exchanges = run("newapi", MOST_SUBMITS, queue=0)
    assert mock.accepted == []
    assert [one["kind"] for one in exchanges].count("submit") == 1


def test_a_relay_on_this_machine_is_submitted_to_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback needs neither --pay nor a terminal, and the largest profile submits there."""
    monkeypatch.setenv("MJRELAY_API_KEY", KEY)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    mock = MockRelay(CONTRACT, key=KEY, duration=0.0)
    with Server(mock) as url:
        tasks = tuple(f"{task_id}={state.value}" for state, task_id in mock.known.items())
        options = ConformOptions(relay="newapi", base_url=url, tasks=tasks, fuzz=False)
        shown = io.StringIO()
        code, _ = judge_relays(options, Console(file=shown))
    assert (code, len(mock.accepted)) == (0, 4)
    assert "cost money" not in shown.getvalue()


class Terminal(io.StringIO):
    """A terminal on stdin."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_a_live_relay_is_paid_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is printed, then confirmed; without a terminal it needs --yes; a dry run names it."""
    monkeypatch.setenv("MJRELAY_API_KEY", KEY)
    sent: list[Request] = []

    def send(_: Any, request: Request) -> Exchange:
        sent.append(request)
        return Exchange(request.method, "http://relay.invalid/", failure="no connection")

    monkeypatch.setattr("mjrelay_conformance.drivers.probe.Probe.send", send)
    monkeypatch.setattr("mjrelay_conformance.drivers.pace.Clock.sleep", lambda *_: None)

    def conform(**options: Any) -> str:
        sent.clear()
        shown = io.StringIO()
        base = ConformOptions(relay="newapi", base_url="https://relay.invalid", tasks=("1",), **options)
        judge_relays(base, Console(file=shown, width=200))
        return shown.getvalue()

    assert "submitting" not in conform()
    assert {one.method for one in sent} == {"GET"}
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConformError, match="add --yes"):
        conform(pay=1)
    assert sent == []
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with pytest.raises(ConformError, match="nothing was sent"):
        conform(pay=1)
    assert sent == []
    assert "submitting up to 1 times to https://relay.invalid" in conform(pay=1, yes=True)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    every = conform(pay=99)
    assert "submitting up to 6 times" in every
    assert (
        "(imagine; press; a wrong key; a body without its prompt; press, which opens a window; modal)"
        in every
    )
    assert "each submit may cost money" in every


def test_recorded_submits_are_judged(tmp_path: Path) -> None:
    """A replay and the monitor judge the response to a submit, of the relay's own base URL only."""
    lost = {
        "method": "POST",
        "url": URL,
        "status": 200,
        "headers": {"Content-Type": "text/plain"},
        "body": json.dumps({**ACCEPTED, "result": None}),
    }
    file = tmp_path / "traffic.jsonl"
    file.write_text(json.dumps(lost), encoding="utf-8")
    options = ReplayOptions(relay="newapi", file=str(file))
    code, record = replay_traffic(options, lambda _: None)
    assert code == 1
    assert [one["check"] for one in record.document()["rows"] if one["outcome"] == "fail"] == [
        "submit/outcome"
    ]

    reported: list[str] = []
    judge = LiveJudge(
        CONTRACT,
        None,
        secrets=(KEY,),
        levels=frozenset({"must"}),
        report=lambda **fields: reported.append(fields["check"]),
    )
    judge.judge(submitted({**ACCEPTED, "result": None}).exchange, (), 0.0)
    judge.judge(submitted(ACCEPTED).exchange, (), 1.0)
    judge.judge(Exchange("GET", "http://relay.test/mj/task/list", status=200, body=b"[]"), (), 2.0)
    assert (reported, judge.judged) == (["submit/outcome"], 2)
