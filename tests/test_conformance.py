"""The suite against the mock: each fault is named by the check that it breaks, and nothing else is said."""

from __future__ import annotations

import base64
import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance._check import CHECKS, Kind, Level, Observation, Outcome, judge
from mjrelay_conformance._conform import select
from mjrelay_conformance._plan import CAP, KnownTask, PlanError, another, read_plan
from mjrelay_conformance._record import Record
from mjrelay_conformance._runner import Runner
from mjrelay_conformance._schema import schema_of
from mjrelay_conformance._verdict import Verdict
from mjrelay_conformance.mock import FAULTS, MockRelay

from mjrelay import State
from mjrelay._contract import contract, relays
from mjrelay._exchange import Exchange
from mjrelay._redaction import Redactor

if TYPE_CHECKING:
    from mjrelay._request import Request

KEY = "the-key-of-the-mock"

# The check that each fault breaks; where relays document different things, by relay.
BREAKS: dict[str, str | dict[str, str]] = {
    "wrong-type": "fetch/200/schema",
    "missing-required": {"apiai": "fetch/200/presence", "": "fetch/200/schema"},
    "unknown-enum": {"apiai": "fetch/200/enum", "": "fetch/200/status-word"},
    "null-field": "fetch/200/schema",
    "id-as-number": "fetch/200/schema",
    "body-is-array": "fetch/200/schema",
    "wrong-content-type": "fetch/200/media-type",
    "no-content-type": "fetch/200/media-type",
    "html-200": "fetch/200/media-type",
    "html-labelled-json": "fetch/200/json",
    "error-envelope-200": "fetch/200/accept",
    "empty-200": "fetch/200/json",
    "truncated-json": "fetch/200/json",
    "invalid-utf8": "fetch/200/json",
    "nan": "fetch/200/json",
    "redirect-to-other-host": "fetch/redirect",
    "status-500": "fetch/known/status",
    "status-418": "fetch/known/status",
    "missing-task-500": "fetch/unknown/no-server-error",
    "missing-task-null": "fetch/missing/answer",
    "missing-task-wrong-status": "fetch/missing/answer",
    "missing-task-other": "fetch/unknown/no-task",
    "wrong-auth-accepted": "auth/wrong/refused",
    "auth-error-200": "auth/wrong/answer",
    "auth-error-500": "auth/wrong/no-server-error",
    "wrong-id": "fetch/200/id",
    "seconds-not-ms": "fetch/200/times",
    "finish-before-start": "fetch/200/times-order",
    "success-without-media": "fetch/200/succeeded/media",
    "success-without-finish": "fetch/200/succeeded/finished",
    "success-at-50-percent": "fetch/200/succeeded/progress",
    "failure-without-reason": "fetch/200/failed/reason",
    "progress-150": "fetch/200/progress",
    "terminal-regression": "sequence/terminal",
    "changes-when-read": "sequence/content",
    "secret-echoed": "fetch/secret",
    "connection-reset": "fetch/transfer",
}
# A second check that may speak up as well, because the fault really breaks two sentences.
ALSO = {"id-as-number": "fetch/200/id"}


@define
class Direct:
    """A probe without a network: what the mock answers, as an exchange."""

    app: MockRelay
    sent: int = 0
    requests: list[Request] = field(factory=list)

    def send(self, request: Request) -> Exchange:
        """The mock's own answer."""
        self.sent += 1
        self.requests.append(request)
        answer = self.app.answer(request.method, request.target, request.headers, request.body)
        cut = answer.cut is not None and answer.cut < len(answer.body)
        return Exchange(
            method=request.method,
            url=f"http://relay.test{request.target}",
            status=answer.status,
            headers=answer.headers,
            body=answer.body[: answer.cut],
            failure="the connection ended before the body did" if cut else None,
        )


def run(relay: str, *faults: str, cases: int = 0, strict: bool = False) -> tuple[Verdict, dict[str, Any]]:
    """The verdict and the record of judging a relay's mock."""
    mock = MockRelay(contract(relay), key=KEY, faults=faults)
    record = Record(None, Redactor(KEY))
    plan = read_plan(contract(relay), [KnownTask(id_, state) for state, id_ in mock.known.items()], KEY)
    probe: Any = Direct(mock)
    runner = Runner(contract(relay), probe, record, select(()), (KEY,), strict=strict)
    return runner.run(plan, cases=cases), record.document()


def findings(document: dict[str, Any]) -> dict[str, str]:
    """The checks that found something, and the heaviest level of each."""
    levels: dict[str, str] = {}
    for row in document["rows"]:
        if row["outcome"] in {"fail", "error"}:
            levels[row["check"]] = min(levels.get(row["check"], "x"), row["level"], key=_weight)
    return levels


def _weight(level: str) -> int:
    return [*Level, "x"].index(level)


@pytest.mark.parametrize("relay", relays())
def test_a_correct_relay_has_no_finding(relay: str) -> None:
    """Nothing is said against a relay that keeps its contract, property-based phase included."""
    verdict, document = run(relay, cases=40)
    assert findings(document) == {}
    assert verdict is Verdict.CONFORMANT
    assert document["relays"][0]["fuzz"]["cases"] == 40
    assert document["relays"][0]["fuzz"]["reached_200"] >= 20


@pytest.mark.parametrize(
    ("relay", "fault"),
    [(name, fault.name) for name in relays() for fault in FAULTS.values() if fault.applies(contract(name))],
)
def test_each_fault_is_named_by_its_check(relay: str, fault: str) -> None:
    """A single fault leads to the one finding that names it, whose level decides the verdict."""
    entry = BREAKS[fault]
    check = entry if isinstance(entry, str) else entry.get(relay, entry[""])
    verdict, document = run(relay, fault)
    found = findings(document)
    assert check in found
    assert found.keys() <= {check, ALSO.get(fault, check)}
    assert (verdict is Verdict.NON_CONFORMANT) == ("must" in found.values())
    for row in document["rows"]:
        if row["outcome"] == "fail":
            assert row["expected"]
            assert row["actual"]
            assert row["clause"]


def test_every_fault_has_a_check() -> None:
    """No fault of the mock is left without a check that bites, and no check of the table is made up."""
    assert BREAKS.keys() == FAULTS.keys()
    assert all(any(fault.applies(contract(name)) for name in relays()) for fault in FAULTS.values())
    named = {
        one for entry in BREAKS.values() for one in ([entry] if isinstance(entry, str) else entry.values())
    }
    assert named <= CHECKS.keys()


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


def test_a_clause_points_at_the_line_of_the_contract() -> None:
    """A finding about a field names file, line and pointer of what the contract says of that field."""
    _, document = run("zhongzhuan", "null-field")
    clauses = {row["clause"] for row in document["rows"] if row["outcome"] == "fail"}
    for clause in clauses:
        place, _, pointer = clause.partition("#")
        file, _, line = place.partition(":")
        assert file == "openapi/zhongzhuan.yaml"
        assert pointer.startswith("/components/schemas/Task/properties/")
        source = contract("zhongzhuan").source.read_text(encoding="utf-8").splitlines()
        assert source[int(line) - 1].strip() == pointer.rpartition("/")[2] + ":"


class Limited(MockRelay):
    """A mock that answers a number of requests and then no more."""

    allowed = 3

    def answer(self, *request: Any) -> Any:
        """The mock's answer, or 429."""
        self.allowed -= 1
        answer = super().answer(*request)
        return answer if self.allowed >= 0 else type(answer)(429, (("retry-after", "60"),))


def test_the_property_based_phase_stops_when_limited() -> None:
    """A 429 in the property-based phase ends it, is a finding, and leaves the plan's verdict alone."""
    mock = Limited(contract("mjdjourney"), key=KEY)
    record, probe = Record(None, Redactor(KEY)), Direct(mock)
    plan = read_plan(contract("mjdjourney"), [KnownTask(id_, one) for one, id_ in mock.known.items()], KEY)
    mock.allowed = len(plan) + 5
    judging: Any = probe
    verdict = Runner(contract("mjdjourney"), judging, record, select(()), (KEY,)).run(plan, cases=20)
    assert verdict is Verdict.CONFORMANT
    assert probe.sent == len(plan) + 6
    assert findings(record.document()) == {"fetch/rate-limit": "info"}


def test_a_limited_relay_is_left_alone() -> None:
    """After a 429 nothing more is sent, what came is inconclusive, and the verdict is partial."""
    mock = Limited(contract("apiai"), key=KEY)
    record, probe = Record(None, Redactor(KEY)), Direct(mock)
    plan = read_plan(contract("apiai"), [KnownTask(id_, state) for state, id_ in mock.known.items()], KEY)
    judging: Any = probe
    verdict = Runner(contract("apiai"), judging, record, select(()), (KEY,)).run(plan, cases=20)
    assert verdict is Verdict.PARTIAL
    assert probe.sent == 4
    outcomes = {row["outcome"] for row in record.document()["rows"] if row["exchange"] == 4}
    assert outcomes == {"inconclusive", "fail", "pass"}
    assert findings(record.document()) == {"fetch/rate-limit": "info"}


def test_pauses_lie_between_requests() -> None:
    """On a live relay the pause stands between any two requests, and nowhere else."""
    mock = MockRelay(contract("apiai"), key=KEY)
    pauses: list[float] = []
    probe: Any = Direct(mock)
    runner = Runner(
        contract("apiai"),
        probe,
        Record(None, Redactor(KEY)),
        select(()),
        (KEY,),
        pause=1.5,
        sleep=pauses.append,
    )
    runner.run(read_plan(contract("apiai"), [], KEY), cases=3)
    assert pauses == [1.5] * (probe.sent - 1)


def test_a_check_that_breaks_is_our_own_error() -> None:
    """An exception inside a check is an error of ours and makes the run one, not the relay's failure."""

    def broken(_: Observation) -> Any:
        raise ZeroDivisionError("by the checker")

    one = evolve(CHECKS["fetch/transfer"], judge=broken)
    observation = Observation(
        contract=contract("apiai"),
        schema=schema_of(contract("apiai")),
        kind=Kind.MISSING,
        task_id="1",
        exchange=Exchange("GET", "http://relay.test/", status=404),
    )
    (row,) = judge(observation, 1, [one])
    assert row.outcome is Outcome.ERROR
    assert "by the checker" in (row.actual or "")


@pytest.mark.parametrize("relay", relays())
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
    schema = schema_of(contract(relay))
    before = Observation(contract(relay), schema, Kind.KNOWN, "1", exchange, State.SUCCEEDED)
    now = Observation(contract(relay), schema, kind, "1", exchange, State.RUNNING, (before,), (KEY,))
    rows = judge(now, 1, CHECKS.values())
    assert {row.outcome for row in rows} & {Outcome.ERROR} == set(), [
        row for row in rows if row.outcome == "error"
    ]
    assert len(rows) == sum(kind in one.kinds for one in CHECKS.values())


def test_a_plan_is_small_and_reads_only() -> None:
    """The default plan is GET of the fetch operation, at most the cap, with one bad credential, the last."""
    one = contract("zhongzhuan")
    for count in range(CAP - 1):
        plan = read_plan(one, [KnownTask(f"17306218260534{n:02}") for n in range(count)], KEY)
        assert len(plan) <= CAP
        assert {step.request.method for step in plan} == {"GET"}
        assert [step.kind for step in plan].count(Kind.BAD_CREDENTIAL) == 1
        assert plan[-1].kind is Kind.BAD_CREDENTIAL
        right = [f"Bearer {KEY}" in dict(step.request.headers).values() for step in plan]
        assert right == [True] * (len(plan) - 1) + [False]
    with pytest.raises(PlanError, match="name 10 tasks or fewer"):
        read_plan(one, [KnownTask(str(n)) for n in range(CAP - 1)], KEY)


def test_no_other_operation_is_asked() -> None:
    """Generated requests too are for the fetch operation alone, though the contract has others."""
    one = contract("zhongzhuan")
    assert one.batch_path
    assert one.seed_path
    mock = MockRelay(one, key=KEY)
    probe = Direct(mock)
    plan = read_plan(one, [KnownTask(id_, state) for state, id_ in mock.known.items()], KEY)
    judging: Any = probe
    Runner(one, judging, Record(None, Redactor(KEY)), select(()), (KEY,)).run(plan, cases=40)
    assert len(probe.requests) >= len(plan) + 40
    asked = {f"{request.method} {request.target}" for request in probe.requests}
    assert [one for one in asked if not re.fullmatch("GET /mj/task/[^/]+/fetch", one)] == []


def test_a_known_task_is_named_with_its_state() -> None:
    """ID=STATE is split at the last equals sign, and a state that is none is an error that lists them."""
    assert KnownTask.parse("abc") == KnownTask("abc")
    assert KnownTask.parse("a=b=needs-input") == KnownTask("a=b", State.NEEDS_INPUT)
    for wrong in ("1=done", "1=unknown", "=failed", "1="):
        with pytest.raises(PlanError, match="queued, running"):
            KnownTask.parse(wrong)


@given(text=st.text(), seed=st.integers(), taken=st.sets(st.text(), max_size=5))
def test_another_text_is_never_a_taken_one(text: str, seed: int, taken: set[str]) -> None:
    """A made-up id or key is not empty and none of those that are there."""
    drawn = another(text, random.Random(seed), taken | {text})
    assert drawn
    assert drawn not in taken | {text}


def test_selecting_checks_takes_what_they_need() -> None:
    """A glob brings the checks that it matches and their prerequisites, in the order of judging."""
    ids = [one.id for one in select(["sequence/content"])]
    assert ids[-1] == "sequence/content"
    assert "fetch/transfer" in ids
    assert "auth/wrong/refused" not in ids
    assert select(()) == list(CHECKS.values())


@pytest.mark.parametrize("before", range(65_536 - 40, 65_536 + 4200, 37))
def test_a_long_body_is_cut_without_showing_a_part_of_the_secret(before: int) -> None:
    """Wherever a secret stands in a body too long to keep, no part of it is kept."""
    secret = "sk-0123456789abcdef0123456789abcdef"
    record = Record(None, Redactor(secret))
    body = b"." * before + secret.encode() + b"." * 9000
    exchange = Exchange("GET", "http://relay.test/", status=200, body=body)
    observation = Observation(
        contract("apiai"), schema_of(contract("apiai")), Kind.ODD, "1", exchange, secrets=(secret,)
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
    return Observation(contract(relay), schema_of(contract(relay)), kind, task_id, exchange, **more)


def judged(observation: Observation) -> dict[str, Outcome]:
    """The outcome of every check that speaks of an observation."""
    return {row.check: row.outcome for row in judge(observation, 1, CHECKS.values())}


@pytest.mark.parametrize("status", [200, 203, 401, 404])
@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: [t], lambda t: {"code": 1, "data": t}], ids=["", "[]", "{}"]
)
@pytest.mark.parametrize("relay", relays())
def test_a_task_is_found_wherever_it_stands(relay: str, wrap: Any, status: int) -> None:
    """Somebody's task in an answer that should hold none is found, whatever status or wrapper it comes in."""
    document = wrap(contract(relay).examples["succeeded"])
    missing = judged(observed(relay, Kind.MISSING, "1", document, status, accepted=True))
    assert missing["fetch/unknown/no-task"] is Outcome.FAIL
    wrong = judged(observed(relay, Kind.BAD_CREDENTIAL, "1", document, status))
    assert wrong["auth/wrong/refused"] is Outcome.FAIL


@pytest.mark.parametrize(
    "document",
    [{"id": "1", "error": "no such task"}, {"error": {"id": "r-7", "code": 4}}, [], None, {"code": 4}],
)
def test_an_error_that_repeats_an_id_is_no_task(document: Any) -> None:
    """An error document may name ids without being a task."""
    outcomes = judged(observed("zhongzhuan", Kind.MISSING, "1", document, 404, accepted=True))
    assert outcomes["fetch/unknown/no-task"] is Outcome.PASS


@pytest.mark.parametrize("known", [[], [State.QUEUED]])
@pytest.mark.parametrize("seed", range(3))
def test_the_contracts_own_ids_are_not_taken_for_unknown_ones(known: list[State], seed: int) -> None:
    """A correct relay that has the contract's example tasks is not blamed for showing them."""
    mock = MockRelay(contract("zhongzhuan"), key=KEY)
    record = Record(None, Redactor(KEY))
    plan = read_plan(contract("zhongzhuan"), [KnownTask(mock.known[state], state) for state in known], KEY)
    probe: Any = Direct(mock)
    runner = Runner(contract("zhongzhuan"), probe, record, select(()), (KEY,))
    assert runner.run(plan, cases=40, seed=seed) is Verdict.PARTIAL
    assert findings(record.document()) == {}


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
    for row in judge(observation, 1, CHECKS.values()):
        assert KEY not in str(row)


@pytest.mark.parametrize("length", range(120, 200, 7))
def test_no_row_cuts_through_a_secret(length: int) -> None:
    """What came is shown without the secret and then cut, so that no part of the secret is left."""
    observation = observed("apiai", Kind.KNOWN, "1", b"y" * (length - 60) + KEY.encode(), 500, secrets=(KEY,))
    (row,) = [row for row in judge(observation, 1, CHECKS.values()) if row.check == "fetch/known/status"]
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
    task = contract("zhongzhuan").examples["succeeded"]
    observation = observed("zhongzhuan", Kind.KNOWN, task["id"], task, headers=(("Date", date),))
    assert judged(observation)["fetch/200/times"] is Outcome.PASS


def test_what_is_too_deep_to_read_does_not_fit_the_schema() -> None:
    """A value nested beyond what the validator reads is a violation, and hides no other."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    task = {**contract("zhongzhuan").examples["succeeded"], "buttons": 5, "state": deep}
    outcomes = judged(observed("zhongzhuan", Kind.KNOWN, task["id"], task))
    assert outcomes["fetch/200/schema"] is Outcome.FAIL


def test_a_request_number_in_the_envelope_may_change() -> None:
    """What the contract does not know may be new at each reading; what it knows may not."""
    task = contract("mjdjourney").examples["succeeded"]
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
