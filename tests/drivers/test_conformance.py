"""The suite against the mock: judgements, blocked checks and verdicts."""

from __future__ import annotations

import copy
import itertools
import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.checks.registry import select_checks
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.judging.baseline import Accepted, Baseline
from mjrelay_conformance.judging.checking import Level, Outcome, judge_observation
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.judging.schema import schema_of
from mjrelay_conformance.judging.verdicts import Verdict
from mjrelay_conformance.mock.relay import MockRelay
from sampled import SEVERAL

from mjrelay import State
from mjrelay.base import pointer_steps
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import Redactor
from mjrelay.testing import NoWaitClock

KEY = "the-key-of-the-mock"


def known(mock: MockRelay) -> list[KnownTask]:
    """Return the tasks of a mock with their states."""
    return [KnownTask(task_id, state) for state, task_id in mock.known.items()]


def runner(mock: MockRelay, *, pace: Pace | None = None, **more: Any) -> Runner:
    """Return a runner for a mock without a network."""
    judge = Judge(mock.contract, Record(None, Redactor(KEY)), select_checks(()), (KEY,), **more)
    return Runner(Direct(mock), judge, pace or Pace())


def run(
    relay: str, *faults: str, cases: int = 0, profile: str = "read", **more: Any
) -> tuple[Verdict, dict[str, Any]]:
    """Return the verdict on a relay's mock, and the record."""
    mock = MockRelay(load_contract(relay), key=KEY, faults=faults)
    running = runner(mock, **more)
    verdict = running.run(plan(load_contract(relay), known(mock), KEY, profile=profile), cases=cases)
    return verdict, running.judge.record.document()


def findings(document: dict[str, Any]) -> dict[str, str]:
    """Return the checks with findings, and the highest level of each."""
    levels: dict[str, str] = {}
    for row in document["rows"]:
        if row["outcome"] in {"fail", "error"}:
            levels[row["check"]] = min(levels.get(row["check"], "x"), row["level"], key=_weight)
    return levels


def _weight(level: str) -> int:
    return [*Level, "x"].index(level)


def test_a_correct_relay_is_conformant() -> None:
    """A relay that keeps its contract has no finding, and the property-based phase reaches its tasks."""
    verdict, document = run("zhongzhuan", cases=40)
    assert findings(document) == {}
    assert verdict is Verdict.CONFORMANT
    assert document["relays"][0]["fuzz"]["cases"] == 40
    assert document["relays"][0]["fuzz"]["reached_200"] >= 20


def test_what_cannot_be_judged_is_blocked() -> None:
    """If a task cannot be parsed, the checks of the task are blocked and not failed."""
    _, document = run("zhongzhuan", "truncated-json")
    blocked = {row["check"] for row in document["rows"] if row["outcome"] == "blocked"}
    assert {"fetch/200/schema", "fetch/200/id", "sequence/terminal"} <= blocked
    outcomes = {row["outcome"] for row in document["rows"] if row["check"] == "fetch/200/id"}
    assert outcomes <= {"blocked", "not-exercised"}


def test_a_finding_below_must_counts_when_strict() -> None:
    """A SHOULD finding changes the verdict only with strict."""
    assert run("apiai", "failure-without-reason")[0] is Verdict.CONFORMANT
    assert run("apiai", "failure-without-reason", strict=True)[0] is Verdict.NON_CONFORMANT


@pytest.mark.parametrize(
    ("relay", "level"), [("apiai", "must"), ("zhongzhuan", "should"), ("mjdjourney", "info")]
)
def test_the_level_follows_the_evidence(relay: str, level: str) -> None:
    """The level of an undescribed response follows the evidence in the contract."""
    _, document = run(relay, "missing-task-wrong-status")
    assert findings(document) == {"fetch/missing/answer": level}


def test_a_clause_names_the_line_of_the_contract() -> None:
    """A finding about a field names file, line and pointer of the field in the contract."""
    _, document = run("zhongzhuan", "null-field")
    clauses = {row["clause"] for row in document["rows"] if row["outcome"] == "fail"}
    for clause in clauses:
        place, _, pointer = clause.partition("#")
        file, _, line = place.partition(":")
        assert file == "openapi/zhongzhuan.yaml"
        assert pointer.startswith("/components/schemas/Task/properties/")
        source = load_contract("zhongzhuan").source.read_text(encoding="utf-8").splitlines()
        assert source[int(line) - 1].strip() == pointer.rpartition("/")[2] + ":"


@pytest.mark.parametrize("relay", SEVERAL)
def test_every_clause_resolves(relay: str) -> None:
    """Each clause of a whole run resolves in the contract, and its line contains its last key."""
    _, document = run(relay, "wrong-id", profile="all")
    clauses = {row["clause"] for row in document["rows"] if row["clause"]}
    resolved = 0
    for clause in sorted(clauses):
        place, _, pointer = clause.partition("#")
        if not pointer:
            assert re.fullmatch(r"RFC \d+ section [\d.]+", clause)
            continue
        steps = pointer_steps(pointer)
        node: Any = load_contract(relay).document
        for step in steps:
            node = node[int(step)] if isinstance(node, list) else load_contract(relay).resolve(node)[step]
        file, _, line = place.partition(":")
        assert file == f"openapi/{relay}.yaml"
        text = load_contract(relay).source.read_text(encoding="utf-8").splitlines()[int(line) - 1]
        named = [step for step in steps if not step.isdecimal() or step in {"200", "400", "401"}]
        assert named[-1] in text or text.strip().startswith("- "), (clause, text)
        resolved += 1
    assert resolved >= 8


class Limited(MockRelay):
    """A mock that limits the number of requests."""

    allowed = 3
    refused = 1000

    def answer(self, *request: Any) -> Any:
        """Return the mock's response, or 429."""
        self.allowed -= 1
        answer = super().answer(*request)
        if self.allowed >= 0 or not self.refused:
            return answer
        self.refused -= 1
        return type(answer)(429, (("retry-after", "60"), ("cache-control", "no-store")))


def test_the_property_based_phase_stops_when_limited() -> None:
    """A 429 ends the property-based phase, is a finding, and does not change the verdict."""
    mock = Limited(load_contract("mjdjourney"), key=KEY)
    steps = plan(load_contract("mjdjourney"), known(mock), KEY)
    mock.allowed = len(steps) + 5
    running = runner(mock, pace=Pace(clock=NoWaitClock()))
    assert running.run(steps, cases=20) is Verdict.CONFORMANT
    assert running.probe.sent <= len(steps) + 7
    assert findings(running.judge.record.document()) == {"fetch/rate-limit": "info"}


def test_a_rate_limit_stops_the_run() -> None:
    """The run waits as long as the first 429 requests, and ends after the second."""
    mock = Limited(load_contract("apiai"), key=KEY)
    clock = NoWaitClock()
    started = clock.now()
    running = runner(mock, pace=Pace(clock=clock))
    assert running.run(plan(load_contract("apiai"), known(mock), KEY), cases=20) is Verdict.PARTIAL
    assert running.probe.sent == 5
    assert clock.now() - started == pytest.approx(60, abs=5)
    document = running.judge.record.document()
    outcomes = {row["outcome"] for row in document["rows"] if row["exchange"] == 4}
    assert {"inconclusive", "fail"} <= outcomes
    assert findings(document) == {"fetch/rate-limit": "info"}
    assert "limits the rate" in document["relays"][0]["stopped"]


def test_an_overloaded_relay_is_partial() -> None:
    """A 503 before authentication proves nothing, and the relay's message is the reason."""
    for relay, fault in zip(relay_names(), itertools.cycle(("overloaded", "overloaded-always"))):
        verdict, document = run(relay, fault, profile="all")
        assert verdict is Verdict.PARTIAL
        assert set(findings(document).values()) == {"info"}
        assert "system cpu overloaded (current: 100.0%" in document["relays"][0]["stopped"]
        assert document["relays"][0]["requests"] == 1


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_error_is_a_finding(status: int) -> None:
    """An error of the upstream is judged; only overload is inconclusive."""
    assert findings(run("newapi", "status-502-html")[1])["fetch/known/status"] == "must"
    observation = observed_status(status)
    assert observation.inconclusive is None


def test_a_503_that_the_contract_describes_is_judged() -> None:
    """A 503 that the contract describes is no overload."""
    plain = load_contract("newapi")
    _, path, method = plain.location
    document = copy.deepcopy(plain.document)
    document["paths"][path][method]["x-mj-task"]["missing"] = [{"status": 503, "body": "empty"}]
    one = evolve(plain, document=document)
    for body, inconclusive in ((b"", False), (b"busy", True)):
        observation = observed_status(503, body)
        assert (evolve(observation, contract=one).inconclusive is not None) is inconclusive


def observed_status(status: int, body: bytes = b"") -> Observation:
    """Return an observation of a missing task with a status and a body."""
    one = load_contract("newapi")
    exchange = Exchange("GET", "http://relay.test/mj/task/1/fetch", status=status, body=body)
    return Observation(one, schema_of(one), Kind.MISSING, "1", exchange, accepted=True)


def test_a_refused_submission_of_the_caller_is_no_leak() -> None:
    """A task under the requested empty id is the caller's own; one with another id is a leak."""
    one = load_contract("newapi")
    mock = MockRelay(one, key=KEY, dialect="refused-submission")
    running = runner(mock)
    assert running.run(plan(one, known(mock), KEY, profile="all")) is Verdict.CONFORMANT
    document = running.judge.record.document()
    assert not {"must", "should"} & set(findings(document).values())
    served = [exchange for exchange in document["exchanges"] if "an empty id" in exchange["label"]]
    assert [exchange["status"] for exchange in served] == [200]
    row_of = {
        "id": "",
        "status": "FAILURE",
        "progress": "100%",
        "failReason": "banned",
        "submitTime": 1730621826053,
    }
    for row, outcome in ((row_of, Outcome.PASS), ({**row_of, "id": "1730621826053455"}, Outcome.FAIL)):
        exchange = Exchange(
            "GET", "http://relay.test/mj/task//fetch", status=200, body=json.dumps(row).encode()
        )
        observation = Observation(one, schema_of(one), Kind.ODD, "", exchange, accepted=True)
        (judged,) = [
            found for found in judge_observation(observation, 1, CHECKS.values()) if found.check == NO_TASK
        ]
        assert judged.outcome is outcome


NO_TASK = "fetch/unknown/no-task"


def test_a_single_rate_limit_is_informational() -> None:
    """After a single 429 the run continues, with an INFO finding."""
    mock = Limited(load_contract("apiai"), key=KEY)
    mock.refused = 1
    running = runner(mock, pace=Pace(clock=NoWaitClock()))
    assert running.run(plan(load_contract("apiai"), known(mock), KEY)) is Verdict.CONFORMANT
    assert findings(running.judge.record.document()) == {"fetch/rate-limit": "info"}


def test_the_core_is_exercised_whatever_the_states_are() -> None:
    """With as many tasks as the plan allows and one succeeded one among them, it is read twice."""
    one = load_contract("newapi")
    for place in range(9):
        mock = MockRelay(one, key=KEY)
        tasks = [KnownTask(mock.submit(1e9)) for _ in range(8)]
        tasks.insert(place, KnownTask(mock.known[State.SUCCEEDED]))
        running = runner(mock)
        assert running.run(plan(one, tasks, KEY)) is Verdict.CONFORMANT
        assert running.probe.sent == 12


class PagesLimited(MockRelay):
    """A mock whose site limits requests to unknown paths, and no others."""

    def answer(self, method: str, target: str, *rest: Any) -> Any:
        """Return 429 for a path without a plain id."""
        answer = super().answer(method, target, *rest)
        path = unquote(target.partition("?")[0])
        usual = re.fullmatch(r"/mj/task/(\d{10,20}/fetch|list-by-condition)", path)
        return answer if usual else type(answer)(429)


def test_a_limit_on_unknown_paths_ends_only_those_requests() -> None:
    """A 429 for unusual ids is neither the end of the run nor a limit of the API."""
    one = load_contract("newapi")
    mock = PagesLimited(one, key=KEY)
    running = runner(mock)
    steps = plan(one, known(mock), KEY, profile="all")
    odd = sum(step.kind is Kind.ODD for step in steps)
    assert running.run(steps, cases=20) is Verdict.CONFORMANT
    assert len(steps) - odd + 1 <= running.probe.sent <= len(steps) - odd + 21
    document = running.judge.record.document()
    assert (findings(document), document["relays"][0]["stopped"]) == ({}, None)


def test_an_absent_batch_endpoint_is_one_finding() -> None:
    """Neither its status nor its rejection of a missing key is another finding."""
    for relay in relay_names():
        if load_contract(relay).batch is not None:
            found = findings(run(relay, "batch-absent", profile="all")[1])
            assert len(found) == 1, (relay, found)
            assert next(iter(found)) in {"batch/status", "batch/json"}


def test_the_hint_names_what_is_lacking() -> None:
    """A task that was read only once is not asked for once more."""
    one = load_contract("apiai")
    mock = MockRelay(one, key=KEY)
    steps = [step for step in plan(one, known(mock), KEY) if not step.again]
    running = runner(mock)
    assert running.run(steps) is Verdict.PARTIAL
    (twice,) = [
        feature
        for feature in running.judge.record.document()["relays"][0]["features"]
        if "read twice" in feature["name"]
    ]
    assert twice["hint"] == "the request was not sent, or got no response"


def test_a_check_that_crashes_is_an_error() -> None:
    """An exception inside a check is an error of the suite, not a finding."""

    def broken(_: Observation) -> Any:
        raise ZeroDivisionError("by the checker")

    one = evolve(CHECKS["fetch/transfer"], judge=broken)
    observation = Observation(
        contract=load_contract("apiai"),
        schema=schema_of(load_contract("apiai")),
        kind=Kind.MISSING,
        task_id="1",
        exchange=Exchange("GET", "http://relay.test/", status=404),
    )
    (row,) = judge_observation(observation, 1, [one])
    assert row.outcome is Outcome.ERROR
    assert "by the checker" in (row.actual or "")


@given(
    relay=st.sampled_from(SEVERAL),
    status=st.sampled_from([None, 200, 204, 301, 400, 401, 404, 418, 429, 500, 520]),
    headers=st.lists(
        st.tuples(st.sampled_from(["Content-Type", "Location", "Date", "Retry-After", "X"]), st.text())
    ),
    body=st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda document: json.dumps(document).encode()),
    kind=st.sampled_from(list(Kind)),
)
def test_no_response_crashes_a_check(
    relay: str, status: int | None, headers: list[tuple[str, str]], body: bytes, kind: Kind
) -> None:
    """Every check judges any response, and none crashes."""
    exchange = Exchange(
        "GET",
        "http://relay.test/",
        status=status,
        headers=tuple(headers),
        body=body,
        failure=None if status else "nothing came",
    )
    schema = schema_of(load_contract(relay))
    before = Observation(load_contract(relay), schema, Kind.KNOWN, "1", exchange, State.SUCCEEDED)
    now = Observation(
        load_contract(relay), schema, kind, "1", exchange, State.RUNNING, (before,), secrets=(KEY,)
    )
    rows = judge_observation(now, 1, CHECKS.values())
    assert {row.outcome for row in rows} & {Outcome.ERROR} == set(), [
        row for row in rows if row.outcome == "error"
    ]
    assert len(rows) == sum(kind in one.kinds for one in CHECKS.values())


class Asked(MockRelay):
    """A mock that records its requests."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: list[tuple[str, str]] = []

    def answer(self, method: str, target: str, *rest: Any) -> Any:
        """The mock's answer."""
        self.asked.append((method, target))
        return super().answer(method, target, *rest)


@pytest.mark.parametrize("mode", ["gentle", "full"])
def test_no_other_operation_is_requested(mode: str) -> None:
    """Generated requests use only the fetch operation."""
    one = load_contract("zhongzhuan")
    assert one.batch_path
    assert one.seed_path
    mock = Asked(one, key=KEY)
    runner(mock).run(plan(one, known(mock), KEY), cases=40, mode=mode)
    assert len(mock.asked) >= 40
    paths = {target.partition("?")[0] for _, target in mock.asked}
    assert [path for path in paths if not re.fullmatch("/mj/task/[^/]*/fetch", path)] == []
    if mode == "gentle":
        assert {method for method, _ in mock.asked} == {"GET"}


def test_what_the_baseline_accepts_does_not_count() -> None:
    """An accepted finding does not change the verdict; one that is gone changes the exit code."""
    accepted = Baseline((Accepted("apiai", "fetch/200/times", "they know", "2026-11-01"),))
    mock = MockRelay(load_contract("apiai"), key=KEY, faults=["seconds-not-ms"])
    running = runner(mock, baseline=accepted)
    verdict = running.run(plan(load_contract("apiai"), known(mock), KEY))
    assert verdict is Verdict.CONFORMANT
    assert running.judge.record.close([verdict]) == 0
    document = running.judge.record.document()
    line = {"check": "fetch/200/times", "reason": "they know", "date": "2026-11-01"}
    assert document["relays"][0]["baseline"] == {"accepted": [line], "gone": []}
    assert findings(document) == {"fetch/200/times": "must"}

    mended = MockRelay(load_contract("apiai"), key=KEY)
    running = runner(mended, baseline=accepted)
    verdict = running.run(plan(load_contract("apiai"), known(mended), KEY))
    assert verdict is Verdict.CONFORMANT
    assert running.judge.record.close([verdict]) == 1
    assert running.judge.record.document()["relays"][0]["baseline"] == {"accepted": [], "gone": [line]}


def test_a_line_of_the_baseline_that_nothing_judged_stays() -> None:
    """The entry of a check that was not exercised is neither accepted nor gone."""
    accepted = Baseline((Accepted("apiai", "fetch/200/failed/reason", "they know", "2026-11-01"),))
    mock = MockRelay(load_contract("apiai"), key=KEY)
    running = runner(mock, baseline=accepted)
    running.run(plan(load_contract("apiai"), known(mock)[:1], KEY))
    assert running.judge.record.document()["relays"][0]["baseline"] == {"accepted": [], "gone": []}


@pytest.mark.parametrize("states", [[], [State.QUEUED]])
def test_ids_of_examples_are_not_requested_as_unknown_ids(states: list[State]) -> None:
    """A correct relay that has the contract's example tasks has no finding."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    tasks = [KnownTask(mock.known[state], state) for state in states]
    running = runner(mock)
    assert running.run(plan(load_contract("zhongzhuan"), tasks, KEY), cases=40) is Verdict.PARTIAL
    assert findings(running.judge.record.document()) == {}
