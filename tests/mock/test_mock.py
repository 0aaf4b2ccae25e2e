"""A mock relay follows its contract: tasks, credentials, batches, seeds, simulated tasks."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route
from mocks import BATCHES, CONTRACTS, KEY, MISSING, ODD, PACKAGED, FakeClock, batch, get, varied

from mjrelay.contract.document import Contract
from mjrelay.errors import ContractError
from mjrelay.http.exchange import Exchange
from mjrelay.http.strictjson import parse_json
from mjrelay.semantics.reader import State


def test_tasks_are_served_as_in_the_contract() -> None:
    """Each task example is served unchanged, with its status code and media type."""
    for contract in CONTRACTS.values():
        relay = MockRelay(contract)
        assert set(relay.known) == {state for state in State if state.value in contract.examples}
        assert State.SUCCEEDED in relay.known
        for state, task_id in relay.known.items():
            response = get(relay, task_id)
            assert (response.status, response.content_type) == (200, "application/json")
            document = parse_json(response.body)
            assert document == contract.examples[state.value]
            assert contract.reader.state(document) is state


def test_credentials() -> None:
    """Each documented credential works alone; a wrong, empty or missing one gets the documented error."""
    for contract in CONTRACTS.values():
        relay = MockRelay(contract)
        task_id = relay.known[State.SUCCEEDED]
        for credential in contract.credentials:
            assert parse_json(get(relay, task_id, KEY, credential).body) == contract.examples["succeeded"]
            for key in () if contract.open else ("wrong", "", KEY + "x", KEY.upper()):
                refusal = get(relay, task_id, key, credential)
                shown = Exchange("GET", "", status=refusal.status, headers=refusal.headers, body=refusal.body)
                assert any(matcher.matches(shown) for matcher in contract.reader.unauthorized), key
        assert get(relay, task_id, None) == get(relay, task_id, "wrong")
        assert contract.open or get(relay, MISSING, "wrong") == get(relay, task_id, "wrong")


def test_authentication_schemes_are_case_insensitive() -> None:
    """The scheme is compared case-insensitively (RFC 9110 section 11.1); other schemes are refused."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract)
    target = contract.request(relay.known[State.SUCCEEDED]).target
    for scheme in ("Bearer ", "bearer ", "BEARER ", "bearer  "):
        assert relay.answer("GET", target, {"authorization": scheme + KEY}).status == 200
    assert relay.answer("GET", target, {"authorization": "Basic " + KEY}).status == 401
    assert relay.answer("GET", target, {"authorization": KEY}).status == 401


def test_missing_tasks() -> None:
    """A request for a missing task gets the documented response, whatever the id that its schema allows."""
    for contract in CONTRACTS.values():
        relay = MockRelay(contract)
        for task_id in (MISSING, "a/b", "猫 &?#%", "x" * 5000):
            response = get(relay, task_id)
            shown = Exchange("GET", "", status=response.status, headers=response.headers, body=response.body)
            refused = task_id != MISSING and b"is string, expected integer" in response.body
            assert refused or any(matcher.matches(shown) for matcher in contract.reader.missing), task_id


def test_an_open_relay() -> None:
    """Without a security requirement no credential is needed; an optional one is needed but in a dialect."""
    alternatives: list[list[dict[str, list[str]]]] = [[{"token": []}, {}], []]
    for security in alternatives:
        document = copy.deepcopy(ODD.document) | {"security": security}
        contract = Contract("open", document, Path("open.yaml"))
        relay = MockRelay(contract, dialect="open" if security else None)
        target = "/v1/jobs.json?jobId=1002"
        bare = parse_json(MockRelay(contract).answer("GET", target).body)
        assert bare == ({"ok": False, "why": "no key"} if security else ODD.examples["succeeded"])
        assert parse_json(relay.answer("GET", target).body) == ODD.examples["succeeded"]
        assert parse_json(relay.answer("GET", target + "&key=wrong").body) == ODD.examples["succeeded"]
        assert FAULTS["wrong-auth-accepted"].applies(relay.contract) is bool(security)


def test_error_examples() -> None:
    """Errors have the body of the contract's example, as compact JSON in UTF-8."""
    relay = MockRelay(PACKAGED["zhongzhuan"])
    expected = b'{"code":4,"description":"task_no_found ","type":"upstream_error"}'
    assert get(relay, MISSING).body == expected
    assert "无效的令牌".encode() in get(relay, MISSING, "wrong").body


def test_errors_with_status_200() -> None:
    """Of several 200 examples the one that the matcher accepts is the error response."""
    assert parse_json(get(MockRelay(ODD), "1001", "wrong").body) == {"ok": False, "why": "no key"}


def get_seed(relay: MockRelay, task_id: str, key: str = KEY) -> MockResponse:
    """Return the response to a request for a seed."""
    request = relay.contract.seed_request(task_id).authenticated(relay.contract.credentials[0], key)
    return relay.answer(request.method, request.target, request.headers, request.body)


def test_batches() -> None:
    """A batch response has each existing task once, as in a single response; missing tasks are omitted."""
    relay = MockRelay(BATCHES)
    ids = list(relay.known.values())
    response = batch(relay, [*ids, MISSING, ids[0]])
    assert (response.status, response.content_type) == (200, "application/json")
    documents = parse_json(response.body)
    assert [BATCHES.reader.id(document) for document in documents] == ids[::-1]
    assert documents == [parse_json(get(relay, task_id).body) for task_id in ids[::-1]]
    for none in ([], [MISSING]):
        assert parse_json(batch(relay, none).body) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"ids": [7]}', b'{"ids": "7"}', b'{"ids": {}}'])
def test_invalid_batches(body: bytes) -> None:
    """A batch request without a list of strings gets the documented error."""
    request = BATCHES.batch_request([]).authenticated(BATCHES.credentials[0], KEY)
    response = MockRelay(BATCHES).answer(request.method, request.target, request.headers, body)
    assert (response.status, response.content_type) == (400, "text/plain")
    assert parse_json(response.body)["description"] == "do_request_failed "


def test_seeds() -> None:
    """Each task has a constant seed of digits; a missing task gets the documented error."""
    relay = MockRelay(BATCHES)
    seeds = [parse_json(get_seed(relay, task_id).body)["result"] for task_id in relay.known.values()]
    assert all(seed.isdecimal() for seed in seeds)
    assert len(set(seeds)) == len(seeds)
    assert parse_json(get_seed(relay, relay.known[State.SUCCEEDED]).body) == {
        "code": 1,
        "description": "成功",
        "properties": {},
        "result": seeds[list(relay.known).index(State.SUCCEEDED)],
    }
    response = get_seed(relay, MISSING)
    assert (response.status, parse_json(response.body)["description"]) == (400, "task_no_found ")


def test_credentials_of_batches_and_seeds() -> None:
    """Batches and seeds need the same credential as a single task."""
    relay = MockRelay(BATCHES)
    known = relay.known[State.SUCCEEDED]
    assert batch(relay, [known], "wrong") == get(relay, known, "wrong") == get_seed(relay, known, "wrong")
    lenient = MockRelay(BATCHES, faults=["wrong-auth-accepted"])
    assert len(parse_json(batch(lenient, [known], "wrong").body)) == 1
    assert parse_json(get_seed(lenient, known, "wrong").body)["result"]


def test_methods_of_batches_and_seeds() -> None:
    """Other methods get the response for unknown paths; HEAD is supported wherever GET is."""
    relay = MockRelay(BATCHES)
    listing = BATCHES.batch_request(["1"]).authenticated(BATCHES.credentials[0], KEY)
    for method in ("GET", "HEAD", "PUT"):
        response = relay.answer(method, listing.target, listing.headers, listing.body)
        assert response.content_type == "text/html"
    seed = BATCHES.seed_request(relay.known[State.SUCCEEDED]).authenticated(BATCHES.credentials[0], KEY)
    head = relay.answer("HEAD", seed.target, seed.headers)
    assert (head.status, head.content_type, head.body) == (200, "application/json", b"")
    assert relay.answer("POST", seed.target, seed.headers).content_type == "text/html"


def test_locations_of_batches_and_seeds() -> None:
    """Ids in a query, tasks in an envelope and numeric seeds are supported."""
    contract = varied(
        "enveloped",
        batch={"operation": "list", "ids": "$request.query.job", "items": "$.data.jobs[*]"},
        seed={"operation": "seed", "value": "$.data.seed"},
    )
    running = ODD.examples["running"]
    for path, name, example in (
        ("/v1/list", "list", {"ok": True, "data": {"jobs": [running], "more": False}}),
        ("/v1/seed", "seed", {"ok": True, "data": {"seed": 7}}),
    ):
        media = {"examples": {"empty": {"value": {"data": {"jobs": []}}}, "one": {"value": example}}}
        response = {"description": "", "content": {"application/json": media}}
        if name == "seed":
            del media["examples"]["empty"]
        contract.document["paths"][path] = {"get": {"operationId": name, "responses": {"200": response}}}
    relay = MockRelay(contract)
    listing = contract.batch_request(["1002", "1001", "9"]).authenticated(contract.credentials[0], KEY)
    assert listing.target == f"/v1/list?job=1002&job=1001&job=9&key={KEY}"
    assert parse_json(relay.answer(listing.method, listing.target).body) == {
        "ok": True,
        "data": {"jobs": [running, ODD.examples["succeeded"]], "more": False},
    }
    seed = contract.seed_request("1002").authenticated(contract.credentials[0], KEY)
    assert seed.target == f"/v1/seed?jobId=1002&key={KEY}"
    document = parse_json(relay.answer(seed.method, seed.target).body)
    assert document["ok"] is True
    assert isinstance(document["data"]["seed"], int)


def test_unknown_paths_and_methods() -> None:
    """They get the documented response, by default 404, or 405 with Allow."""
    described = MockRelay(PACKAGED["zhongzhuan"])
    task = PACKAGED["zhongzhuan"].request("1").target
    for method, target in (
        ("GET", "/"),
        ("GET", "*"),
        ("POST", task),
        ("GET", task + "/"),
        ("OPTIONS", task),
    ):
        response = described.answer(method, target)
        assert (response.status, response.content_type) == (200, "text/html"), (method, target)
        assert b"<html" in response.body
    plain = MockRelay(PACKAGED["apiai"])
    assert plain.answer("GET", "/") == MockResponse(404)
    assert plain.answer("POST", task) == MockResponse(405, (("allow", "GET, HEAD"),))


@pytest.mark.parametrize("expression", ["$request.header.X-Job", "$request.body#/a~1b/jobId"])
def test_ids_in_headers_and_bodies(expression: str) -> None:
    """The id is read from a header or the body; an invalid body has no id."""
    relay = MockRelay(varied("elsewhere", ask=expression))
    assert parse_json(get(relay, "1002").body) == ODD.examples["succeeded"]
    assert get(relay, "1003") == MockResponse(200)
    for body in (b"", b"{", b"[]", b'{"a/b": 1}', b'{"a/b": {"jobId": {}}}', b"\xff"):
        assert relay.answer("GET", f"/v1/jobs.json?key={KEY}", (), body) == MockResponse(200)


def test_examples_with_equal_ids() -> None:
    """If two examples have the same id, the second one is served with a new id of the same format."""
    document = copy.deepcopy(ODD.document)
    content = document["paths"]["/v1/jobs.json"]["get"]["responses"]["200"]["content"]
    content["application/json"]["examples"]["running"]["value"]["job"] = 1002
    relay = MockRelay(Contract("twins", document, Path("twins.yaml")))
    assert relay.known[State.SUCCEEDED] == "1002"
    assert re.fullmatch(r"[1-9]\d{3}", relay.known[State.RUNNING])
    response = parse_json(get(relay, relay.known[State.RUNNING]).body)
    assert response["job"] == int(relay.known[State.RUNNING])
    assert response["phase"] == "drawing"


def test_a_simulated_task() -> None:
    """A submitted task is queued, runs with growing progress and ends; its times follow the clock."""
    for contract in CONTRACTS.values():
        for outcome in (State.SUCCEEDED, State.FAILED):
            relay = MockRelay(contract, clock=(clock := FakeClock()))
            if outcome.value in contract.examples:
                follow(relay, clock, outcome)
            else:
                with pytest.raises(ContractError, match="no 200 example"):
                    relay.submit(outcome=outcome)


def follow(relay: MockRelay, clock: FakeClock, outcome: State) -> None:
    """Read a task from its submission to its end."""
    contract, reader, submitted = relay.contract, relay.contract.reader, clock.now
    task_id = relay.submit(100, outcome=outcome)
    states, progress = [], []
    for passed in range(0, 121, 10):
        clock.now = submitted + passed
        document = parse_json(get(relay, task_id).body)
        states.append(reader.state(document))
        progress.append(reader.percent(document))
        assert str(reader.id(document)) == task_id
        for stamp, at in ((reader.submitted, 0), (reader.started, 10), (reader.finished, 100)):
            moment = None if stamp is None else stamp.read(document)
            if moment is not None:
                assert 0 <= submitted + at - moment.timestamp() <= 1
                assert moment.timestamp() <= clock.now
    before = [state for state in (State.QUEUED, State.RUNNING) if state.value in contract.examples]
    assert list(dict.fromkeys(states)) == [*before, outcome]
    if reader.progress_path is not None:
        drawn = [value or 0 for value, state in zip(progress, states, strict=True) if state is State.RUNNING]
        assert drawn == sorted(drawn)
        assert drawn[0] != drawn[-1]
    assert get(relay, task_id) == get(relay, task_id)


def test_formats_of_simulated_tasks() -> None:
    """Ids, times and progress keep the format of the example."""
    clock = FakeClock()
    made = {}
    for name, contract in CONTRACTS.items():
        relay = MockRelay(contract, clock=clock)
        task_id = relay.submit(0)
        made[name] = task_id, parse_json(get(relay, task_id).body)
    task_id, document = made["mjdjourney"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", task_id)
    assert document["data"]["enqueue_time"] == "2027-01-15 08:00:00.250000+00:00"
    assert document["data"]["video_url"] == f"https://cdn.midjourney.com/video/{task_id}/0.mp4"
    task_id, document = made["zhongzhuan"]
    assert re.fullmatch(r"[1-9]\d{15}", task_id)
    assert document["submitTime"] == document["finishTime"] == 1_800_000_000_250
    _, document = made["odd"]
    assert (document["at"], document["part"]) == ("2027-01-15 16:00:00", 1.0)
    running = MockRelay(ODD, clock=clock)
    running_id = running.submit(100)
    clock.now += 31
    assert parse_json(get(running, running_id).body)["part"] == 0.31


@pytest.mark.parametrize(
    ("form", "shown", "written"),
    [
        ("s", 1_700_000_000, 1_800_000_000),
        ("s", "1700000000", "1800000000"),
        ("s", 1_700_000_000.5, 1_800_000_000.25),
        ("us", 1_700_000_000_000_000, 1_800_000_000_250_000),
        ("iso8601", "2023-11-14T22:13:20Z", "2027-01-15T08:00:00Z"),
        ("iso8601", "2023-11-14T22:13:20.123+08:00", "2027-01-15T16:00:00.250+08:00"),
        ("iso8601", "2023-11-14T22:13:20+0800", "2027-01-15T16:00:00+0800"),
        ("iso8601", "soon", "soon"),
        ("s", None, None),
    ],
)
def test_time_formats(form: str, shown: Any, written: Any) -> None:
    """Each unit and ISO 8601 variant is kept; unset and invalid times stay."""
    document = copy.deepcopy(ODD.document)
    operation = document["paths"]["/v1/jobs.json"]["get"]
    operation["x-mj-task"]["times"] = {"submitted": "$.at", "format": form}
    examples = operation["responses"]["200"]["content"]["application/json"]["examples"]
    examples["succeeded"]["value"]["at"] = shown
    relay = MockRelay(Contract("times", document, Path("times.yaml")), clock=FakeClock())
    found = parse_json(get(relay, relay.submit(0)).body)["at"]
    assert (found, type(found)) == (written, type(written))


def test_task_ids_are_reproducible() -> None:
    """Task ids depend on the seed; a given id is used unchanged."""
    contract = PACKAGED["zhongzhuan"]

    def series(seed: int) -> list[str]:
        relay = MockRelay(contract, seed=seed)
        return [relay.submit() for _ in range(3)]

    assert series(1) == series(1)
    assert series(1) != series(2)
    assert len(set(series(1))) == 3
    relay = MockRelay(contract)
    assert relay.submit(task_id="mine") == "mine"
    assert parse_json(get(relay, "mine").body)["id"] == "mine"


def test_secrets_are_not_in_repr() -> None:
    """The repr of a request does not contain its credentials."""
    assert "hush" not in repr(MockRequest(ODD, Route.REFUSED, secrets=("hush",)))


def test_latency_and_jitter() -> None:
    """Delays are within latency ± jitter, reproducible for a seed and never negative."""
    contract = PACKAGED["apiai"]

    def delays(seed: int, **options: Any) -> list[float]:
        relay = MockRelay(contract, seed=seed, **options)
        return [relay.answer("GET", "/").delay for _ in range(20)]

    assert delays(0) == [0.0] * 20
    assert delays(0, latency=0.2) == [0.2] * 20
    drawn = delays(0, latency=0.2, jitter=0.1)
    assert all(0.1 <= delay <= 0.3 for delay in drawn)
    assert len(set(drawn)) == 20
    assert drawn == delays(0, latency=0.2, jitter=0.1) != delays(1, latency=0.2, jitter=0.1)
    assert min(delays(0, latency=0.1, jitter=9)) == 0
