"""The suite against the mock: what is judged, what is blocked, and what the verdict is."""

from __future__ import annotations

import base64
import copy
import json
import re
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.checks.registry import select_checks
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.judging.baseline import Accepted, Baseline
from mjrelay_conformance.judging.checking import CHECKS, Level, Outcome, judge_observation
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.judging.schema import schema_of
from mjrelay_conformance.judging.verdicts import Verdict
from mjrelay_conformance.mock.relay import MockRelay
from sampled import SEVERAL

from mjrelay import State
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import Redactor
from mjrelay.testing import NoWaitClock

KEY = "the-key-of-the-mock"


def known(mock: MockRelay) -> list[KnownTask]:
    """The tasks of a mock, with their states."""
    return [KnownTask(task_id, state) for state, task_id in mock.known.items()]


def runner(mock: MockRelay, *, pace: Pace | None = None, **more: Any) -> Runner:
    """What judges a mock without a network; its record and its probe can be looked at."""
    judge = Judge(mock.contract, Record(None, Redactor(KEY)), select_checks(()), (KEY,), **more)
    return Runner(Direct(mock), judge, pace or Pace())


def run(
    relay: str, *faults: str, cases: int = 0, profile: str = "read", **more: Any
) -> tuple[Verdict, dict[str, Any]]:
    """The verdict and the record of judging a relay's mock."""
    mock = MockRelay(load_contract(relay), key=KEY, faults=faults)
    running = runner(mock, **more)
    verdict = running.run(plan(load_contract(relay), known(mock), KEY, profile=profile), cases=cases)
    return verdict, running.judge.record.document()


def findings(document: dict[str, Any]) -> dict[str, str]:
    """The checks that found something, and the heaviest level of each."""
    levels: dict[str, str] = {}
    for row in document["rows"]:
        if row["outcome"] in {"fail", "error"}:
            levels[row["check"]] = min(levels.get(row["check"], "x"), row["level"], key=_weight)
    return levels


def _weight(level: str) -> int:
    return [*Level, "x"].index(level)


@pytest.mark.parametrize("relay", relay_names())
def test_a_correct_relay_has_no_finding(relay: str) -> None:
    """Nothing is said against a relay that keeps its contract, property-based phase included."""
    verdict, document = run(relay, cases=40)
    assert findings(document) == {}
    assert verdict is Verdict.CONFORMANT
    assert document["relays"][0]["fuzz"]["cases"] == 40
    assert document["relays"][0]["fuzz"]["reached_200"] >= 20


def test_what_cannot_be_judged_is_blocked() -> None:
    """Where a task cannot be read, the sentences about it are blocked and not broken."""
    _, document = run("zhongzhuan", "truncated-json")
    blocked = {row["check"] for row in document["rows"] if row["outcome"] == "blocked"}
    assert {"fetch/200/schema", "fetch/200/id", "sequence/terminal"} <= blocked
    outcomes = {row["outcome"] for row in document["rows"] if row["check"] == "fetch/200/id"}
    assert outcomes <= {"blocked", "not-exercised"}


def test_a_finding_below_must_counts_when_strict() -> None:
    """A failed task without a reason is a finding, and a verdict only with strict."""
    assert run("apiai", "failure-without-reason")[0] is Verdict.CONFORMANT
    assert run("apiai", "failure-without-reason", strict=True)[0] is Verdict.NON_CONFORMANT


@pytest.mark.parametrize(
    ("relay", "level"), [("apiai", "must"), ("zhongzhuan", "should"), ("mjdjourney", "info")]
)
def test_the_level_follows_the_evidence(relay: str, level: str) -> None:
    """How a missing task is answered weighs as much as the contract knows of it."""
    _, document = run(relay, "missing-task-wrong-status")
    assert findings(document) == {"fetch/missing/answer": level}


def test_a_clause_points_at_the_line_of_the_load_contract() -> None:
    """A finding about a field names file, line and pointer of what the contract says of that field."""
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
def test_every_clause_leads_somewhere(relay: str) -> None:
    """Each clause of a whole run resolves in the contract, and its line holds the key that it ends with."""
    _, document = run(relay, "wrong-id", profile="all")
    clauses = {row["clause"] for row in document["rows"] if row["clause"]}
    led = 0
    for clause in sorted(clauses):
        place, _, pointer = clause.partition("#")
        if not pointer:
            assert re.fullmatch(r"RFC \d+ section [\d.]+", clause)
            continue
        steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
        node: Any = load_contract(relay).document
        for step in steps:
            node = node[int(step)] if isinstance(node, list) else load_contract(relay).resolve(node)[step]
        file, _, line = place.partition(":")
        assert file == f"openapi/{relay}.yaml"
        text = load_contract(relay).source.read_text(encoding="utf-8").splitlines()[int(line) - 1]
        named = [step for step in steps if not step.isdecimal() or step in {"200", "400", "401"}]
        assert named[-1] in text or text.strip().startswith("- "), (clause, text)
        led += 1
    assert led >= 8


class Limited(MockRelay):
    """A mock that answers a number of requests and then no more."""

    allowed = 3
    refused = 1000

    def answer(self, *request: Any) -> Any:
        """The mock's answer, or 429."""
        self.allowed -= 1
        answer = super().answer(*request)
        if self.allowed >= 0 or not self.refused:
            return answer
        self.refused -= 1
        return type(answer)(429, (("retry-after", "60"), ("cache-control", "no-store")))


def test_the_property_based_phase_stops_when_limited() -> None:
    """A 429 in the property-based phase ends it, is a finding, and leaves the plan's verdict alone."""
    mock = Limited(load_contract("mjdjourney"), key=KEY)
    steps = plan(load_contract("mjdjourney"), known(mock), KEY)
    mock.allowed = len(steps) + 5
    running = runner(mock, pace=Pace(clock=NoWaitClock()))
    assert running.run(steps, cases=20) is Verdict.CONFORMANT
    assert running.probe.sent <= len(steps) + 7
    assert findings(running.judge.record.document()) == {"fetch/rate-limit": "info"}


def test_a_limited_relay_is_left_alone() -> None:
    """After a 429 the relay has the time that it asks for; after the next one nothing more is sent."""
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
    assert "so many requests" in document["relays"][0]["stopped"]


@pytest.mark.parametrize("fault", ["overloaded", "overloaded-always"])
@pytest.mark.parametrize("relay", relay_names())
def test_an_overloaded_relay_is_neither_broken_nor_proven(relay: str, fault: str) -> None:
    """A 503 before the credential is looked at proves nothing, and the relay's own words say why."""
    verdict, document = run(relay, fault, profile="all")
    assert verdict is Verdict.PARTIAL
    assert set(findings(document).values()) == {"info"}
    assert "system cpu overloaded (current: 100.0%" in document["relays"][0]["stopped"]
    assert document["relays"][0]["requests"] == 1


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_error_is_a_finding(status: int) -> None:
    """What a relay returns for an error behind it is judged: only overload is not."""
    assert findings(run("newapi", "status-502-html")[1])["fetch/known/status"] == "must"
    observation = observed_status(status)
    assert observation.inconclusive is None


def test_a_503_that_the_contract_describes_is_judged() -> None:
    """A response that means something by the contract is no overload."""
    plain = load_contract("newapi")
    _, path, method = plain.location
    document = copy.deepcopy(plain.document)
    document["paths"][path][method]["x-mj-task"]["missing"] = [{"status": 503, "body": "empty"}]
    one = evolve(plain, document=document)
    for body, inconclusive in ((b"", False), (b"busy", True)):
        observation = observed_status(503, body)
        assert (evolve(observation, contract=one).inconclusive is not None) is inconclusive


def observed_status(status: int, body: bytes = b"") -> Observation:
    """An observation of a task that is not there, with a status and a body."""
    one = load_contract("newapi")
    exchange = Exchange("GET", "http://relay.test/mj/task/1/fetch", status=status, body=body)
    return Observation(one, schema_of(one), Kind.MISSING, "1", exchange, accepted=True)


@pytest.mark.parametrize("relay", ["newapi", "onehub"])
def test_the_callers_own_refused_submission_is_no_strangers_task(relay: str) -> None:
    """A task whose id is the id asked for, an empty one, is the caller's own; with another id it is not."""
    one = load_contract(relay)
    mock = MockRelay(one, key=KEY, dialect="refused-submission")
    running = runner(mock)
    assert running.run(plan(one, known(mock), KEY, profile="all")) is Verdict.CONFORMANT
    document = running.judge.record.document()
    assert not {"must", "should"} & set(findings(document).values())
    served = [exchange for exchange in document["exchanges"] if "no id at all" in exchange["label"]]
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


def test_a_relay_that_pardons_is_judged_to_the_end() -> None:
    """A single 429 whose time is waited for costs nothing but an INFO finding."""
    mock = Limited(load_contract("apiai"), key=KEY)
    mock.refused = 1
    running = runner(mock, pace=Pace(clock=NoWaitClock()))
    assert running.run(plan(load_contract("apiai"), known(mock), KEY)) is Verdict.CONFORMANT
    assert findings(running.judge.record.document()) == {"fetch/rate-limit": "info"}


def test_a_check_that_breaks_is_our_own_error() -> None:
    """An exception inside a check is an error of ours and makes the run one, not the relay's failure."""

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


@pytest.mark.parametrize("relay", SEVERAL)
@given(
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
def test_no_answer_breaks_a_check(
    relay: str, status: int | None, headers: list[tuple[str, str]], body: bytes, kind: Kind
) -> None:
    """Whatever a relay answers, every check says something of the relay and none breaks."""
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
    now = Observation(load_contract(relay), schema, kind, "1", exchange, State.RUNNING, (before,), (KEY,))
    rows = judge_observation(now, 1, CHECKS.values())
    assert {row.outcome for row in rows} & {Outcome.ERROR} == set(), [
        row for row in rows if row.outcome == "error"
    ]
    assert len(rows) == sum(kind in one.kinds for one in CHECKS.values())


class Asked(MockRelay):
    """A mock that remembers what it was asked."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: list[tuple[str, str]] = []

    def answer(self, method: str, target: str, *rest: Any) -> Any:
        """The mock's answer."""
        self.asked.append((method, target))
        return super().answer(method, target, *rest)


@pytest.mark.parametrize("mode", ["gentle", "full"])
def test_no_other_operation_is_asked(mode: str) -> None:
    """Generated requests too are for the fetch operation alone, though the contract has others."""
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
    """An accepted finding is shown and does not make a relay non-conformant; one that is gone turns red."""
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
    """Where a check was not exercised, its line is neither accepted nor gone."""
    accepted = Baseline((Accepted("apiai", "fetch/200/failed/reason", "they know", "2026-11-01"),))
    mock = MockRelay(load_contract("apiai"), key=KEY)
    running = runner(mock, baseline=accepted)
    running.run(plan(load_contract("apiai"), known(mock)[:1], KEY))
    assert running.judge.record.document()["relays"][0]["baseline"] == {"accepted": [], "gone": []}


@pytest.mark.parametrize("before", range(65_536 - 40, 65_536 + 4200, 37))
def test_a_long_body_is_cut_without_showing_a_part_of_the_secret(before: int) -> None:
    """Wherever a secret stands in a body too long to keep, no part of it is kept."""
    secret = "sk-0123456789abcdef0123456789abcdef"
    record = Record(None, Redactor(secret))
    body = b"." * before + secret.encode() + b"." * 9000
    exchange = Exchange("GET", "http://relay.test/", status=200, body=body)
    observation = Observation(
        load_contract("apiai"),
        schema_of(load_contract("apiai")),
        Kind.ODD,
        "1",
        exchange,
        secrets=(secret,),
    )
    record.add(observation, [], driver="plan")
    kept = record.document()["exchanges"][0]["body"]
    assert kept["size"] == len(body)
    assert len(kept["text"]) <= 65_536
    assert "sk-" not in kept["text"]
    assert "0123" not in kept["text"]


def observed(
    relay: str, kind: Kind, task_id: str, document: Any, status: int = 200, **more: Any
) -> Observation:
    """An observation of one answer to a request for a task."""
    headers = (("Content-Type", "application/json"), *more.pop("headers", ()))
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    exchange = Exchange("GET", "http://relay.test/mj/task/1/fetch", status=status, headers=headers, body=body)
    return Observation(load_contract(relay), schema_of(load_contract(relay)), kind, task_id, exchange, **more)


def judged(observation: Observation) -> dict[str, Outcome]:
    """The outcome of every check that speaks of an observation."""
    return {row.check: row.outcome for row in judge_observation(observation, 1, CHECKS.values())}


@pytest.mark.parametrize("status", [200, 203, 401, 404])
@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: [t], lambda t: {"code": 1, "data": t}], ids=["", "[]", "{}"]
)
@pytest.mark.parametrize("relay", SEVERAL)
def test_a_task_is_found_wherever_it_stands(relay: str, wrap: Any, status: int) -> None:
    """Somebody's task in an answer that should hold none is found, whatever status or wrapper it comes in."""
    document = wrap(load_contract(relay).examples["succeeded"])
    missing = judged(observed(relay, Kind.MISSING, "1", document, status, accepted=True))
    assert missing["fetch/unknown/no-task"] is Outcome.FAIL
    wrong = judged(observed(relay, Kind.BAD_CREDENTIAL, "1", document, status))
    refused = Outcome.NOT_APPLICABLE if load_contract(relay).open else Outcome.FAIL
    assert wrong["auth/wrong/refused"] is refused


@pytest.mark.parametrize(
    "document",
    [{"id": "1", "error": "no such task"}, {"error": {"id": "r-7", "code": 4}}, [], None, {"code": 4}],
)
def test_an_error_that_repeats_an_id_is_no_task(document: Any) -> None:
    """An error document may name ids without being a task."""
    outcomes = judged(observed("zhongzhuan", Kind.MISSING, "1", document, 404, accepted=True))
    assert outcomes["fetch/unknown/no-task"] is Outcome.PASS


@pytest.mark.parametrize("states", [[], [State.QUEUED]])
@pytest.mark.parametrize("seed", range(3))
def test_the_contracts_own_ids_are_not_taken_for_unknown_ones(states: list[State], seed: int) -> None:
    """A correct relay that has the contract's example tasks is not blamed for showing them."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    tasks = [KnownTask(mock.known[state], state) for state in states]
    running = runner(mock)
    assert running.run(plan(load_contract("zhongzhuan"), tasks, KEY), cases=40, seed=seed) is Verdict.PARTIAL
    assert findings(running.judge.record.document()) == {}


@pytest.mark.parametrize(
    "echo",
    [
        {"headers": (("X-Debug", f"Bearer {KEY}"),)},
        {"headers": ((f"X-{KEY}", "1"),)},
        {"document": {"seen": base64.b64encode(KEY.encode()).decode()}},
        {"document": {"seen": "".join(f"%{byte:02X}" for byte in KEY.encode())}},
        {"document": f"<p>{KEY}</p>".encode()},
    ],
)
def test_the_secret_is_found_in_every_form(echo: dict[str, Any]) -> None:
    """A relay that shows the caller's key is found out, however it is written, and no row repeats it."""
    observation = observed(
        "apiai", Kind.MISSING, "1", **{"document": {}, "status": 404, "secrets": (KEY,)} | echo
    )
    assert judged(observation)["fetch/secret"] is Outcome.FAIL
    for row in judge_observation(observation, 1, CHECKS.values()):
        assert KEY not in str(row)


@pytest.mark.parametrize("length", range(120, 200, 7))
def test_no_row_cuts_through_a_secret(length: int) -> None:
    """What came is shown without the secret and then cut, so that no part of the secret is left."""
    observation = observed("apiai", Kind.KNOWN, "1", b"y" * (length - 60) + KEY.encode(), 500, secrets=(KEY,))
    (row,) = [
        row for row in judge_observation(observation, 1, CHECKS.values()) if row.check == "fetch/known/status"
    ]
    assert row.outcome is Outcome.FAIL
    assert "the-k" not in (row.actual or "")


@pytest.mark.parametrize(
    ("location", "outcome"),
    [
        ("http://[evil", Outcome.FAIL),
        ("//elsewhere.test/", Outcome.FAIL),
        ("https://relay.test/", Outcome.FAIL),
        ("http://RELAY.TEST:80/x", Outcome.PASS),
        ("/mj/task/1/fetch/", Outcome.PASS),
    ],
)
def test_redirects_are_compared_by_origin(location: str, outcome: Outcome) -> None:
    """Another host, port or scheme is elsewhere; case and the usual port make no difference."""
    observation = observed("apiai", Kind.KNOWN, "1", b"", 302, headers=(("Location", location),))
    assert judged(observation)["fetch/redirect"] is outcome


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", ""]
)
def test_a_clock_that_is_wrong_is_no_clock(date: str) -> None:
    """A Date that cannot be is as if there were none: the task's times are not in its future."""
    task = load_contract("zhongzhuan").examples["succeeded"]
    observation = observed("zhongzhuan", Kind.KNOWN, task["id"], task, headers=(("Date", date),))
    assert judged(observation)["fetch/200/times"] is Outcome.PASS


def test_what_is_too_deep_to_read_does_not_fit_the_schema() -> None:
    """A value nested beyond what the validator reads is a violation, and hides no other."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    task = {**load_contract("zhongzhuan").examples["succeeded"], "buttons": 5, "state": deep}
    outcomes = judged(observed("zhongzhuan", Kind.KNOWN, task["id"], task))
    assert outcomes["fetch/200/schema"] is Outcome.FAIL


def test_a_request_number_in_the_envelope_may_change() -> None:
    """What the contract does not know may be new at each reading; what it knows may not."""
    task = load_contract("mjdjourney").examples["succeeded"]
    task_id = task["data"]["taskId"]
    first = observed("mjdjourney", Kind.KNOWN, task_id, {**task, "request_id": "a"})
    same = observed("mjdjourney", Kind.KNOWN, task_id, {**task, "request_id": "b"}, earlier=(first,))
    assert judged(same)["sequence/content"] is Outcome.PASS
    changed = {**task, "data": {**task["data"], "width": 1}}
    other = observed("mjdjourney", Kind.KNOWN, task_id, changed, earlier=(first,))
    assert judged(other)["sequence/content"] is Outcome.FAIL


def test_a_key_that_was_accepted_cannot_be_refused_later() -> None:
    """A 401 proves nothing as long as the key may be wrong, and is the relay's own once it was accepted."""
    first = judged(observed("apiai", Kind.MISSING, "1", b"", 401))
    assert first["fetch/missing/answer"] is Outcome.INCONCLUSIVE
    later = judged(observed("apiai", Kind.MISSING, "1", b"", 401, accepted=True))
    assert later["fetch/missing/answer"] is Outcome.FAIL
