"""The mock relay: it keeps any contract it is made from, and breaks it only where it is told to."""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_conformance.mock.dialects import DIALECTS, InapplicableDialectError, UnknownDialectError
from mjrelay_conformance.mock.faults import FAULTS, InapplicableFaultError, UnknownFaultError, select_faults
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route
from mjrelay_conformance.mock.server import Server, ServerError, serve_mock
from mjrelay_conformance.mock.slots import ABSENT, schema_allows
from sampled import sampled

from mjrelay.contract.document import Contract
from mjrelay.errors import ContractError, MjrelayError
from mjrelay.http.exchange import Exchange
from mjrelay.http.request import Request
from mjrelay.http.strictjson import NotJSONError, parse_json
from mjrelay.http.urls import url_expiry
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from mjrelay.http.request import Credential

OPENAPI = Path(__file__).parents[2] / "openapi"
PACKAGED = {path.stem: Contract.load(path) for path in sorted(OPENAPI.glob("*.yaml"))}
KEY = "mock-key"
NOBODY = "7777777777777777"

ODD = Contract(
    "odd",
    {
        "openapi": "3.1.0",
        "info": {"title": "odd", "version": "1"},
        "security": [{"token": []}, {"session": []}],
        "paths": {
            "/v1/jobs.json": {
                "get": {
                    "parameters": [{"name": "jobId", "in": "query", "schema": {"type": "string"}}],
                    "x-mj-task": {
                        "version": 1,
                        "ask": "$request.query.jobId",
                        "accept": {"$.ok": True},
                        "id": "$.job",
                        "states": {
                            "running": [{"where": {"$.phase": ["drawing"]}}],
                            "succeeded": [{"where": {"$.phase": ["done"]}}],
                            "failed": [{"where": {"$.phase": ["broken"]}}],
                        },
                        "progress": {"path": "$.part", "format": "fraction"},
                        "times": {
                            "submitted": "$.at",
                            "finished": "$.until",
                            "format": "iso8601",
                            "zone": "+08:00",
                        },
                        "images": ["$.pictures[*].url"],
                        "failure": ["$.why"],
                        "complete": {"media": True, "finished": True, "progress": True},
                        "missing": [{"status": 200, "body": "empty"}],
                        "unauthorized": [{"status": 200, "where": {"$.ok": False}}],
                    },
                    "responses": {
                        "200": {
                            "description": "A job, or a refusal.",
                            "content": {
                                "application/json": {
                                    "schema": {
                                        "type": "object",
                                        "required": ["ok"],
                                        "properties": {"part": {"type": ["number", "null"]}},
                                    },
                                    "examples": {
                                        "running": {
                                            "value": {
                                                "ok": True,
                                                "job": 1001,
                                                "phase": "drawing",
                                                "part": 0.5,
                                                "at": "2026-01-02 03:04:05",
                                                "until": None,
                                                "pictures": [],
                                            }
                                        },
                                        "succeeded": {
                                            "value": {
                                                "ok": True,
                                                "job": 1002,
                                                "phase": "done",
                                                "part": 1.0,
                                                "at": "2026-01-02 03:04:05",
                                                "until": "2026-01-02 03:05:05",
                                                "pictures": [{"url": "https://example.com/1.png"}],
                                            }
                                        },
                                        "refusal": {"value": {"ok": False, "why": "no key"}},
                                    },
                                }
                            },
                        }
                    },
                }
            }
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "query", "name": "key"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sid"},
            }
        },
    },
    Path("odd.yaml"),
)
CONTRACTS = {**PACKAGED, "odd": ODD}
PAIRS = [
    pytest.param(contract, fault, id=f"{relay}-{fault}")
    for relay, contract in CONTRACTS.items()
    for fault in (sampled(relay, FAULTS) if relay in PACKAGED else FAULTS)
    if FAULTS[fault].applies(contract)
]
each_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS.keys())


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


def varied(name: str, **changes: Any) -> Contract:
    """The odd contract with parts of its `x-mj-task` replaced; None takes a part out."""
    document = copy.deepcopy(ODD.document)
    form = document["paths"]["/v1/jobs.json"]["get"]["x-mj-task"]
    form.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del form[key]
    return Contract(name, document, Path(f"{name}.yaml"))


def asking(
    contract: Contract, task_id: str, key: str | None = KEY, credential: Credential | None = None
) -> Request:
    """The request for a task, with a key where there is one."""
    request = contract.request(task_id)
    return request if key is None else request.authenticated(credential or contract.credentials[0], key)


def ask(
    relay: MockRelay, task_id: str, key: str | None = KEY, credential: Credential | None = None
) -> MockResponse:
    """The answer to that request, without a socket."""
    request = asking(relay.contract, task_id, key, credential)
    return relay.answer(request.method, request.target, request.headers, request.body)


def fetch(base_url: str, request: Request) -> Exchange:
    """The exchange over a real socket; an answer that broke off says so in `failure`."""
    url = urlsplit(base_url)
    with closing(http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)) as connection:
        connection.request(request.method, request.target, request.body or None, dict(request.headers))
        response = connection.getresponse()
        try:
            body, failure = response.read(), None
        except http.client.IncompleteRead as error:
            body, failure = error.partial, str(error)
        return Exchange(
            request.method,
            base_url,
            status=response.status,
            headers=tuple(response.getheaders()),
            body=body,
            failure=failure,
        )


def differences(before: Any, after: Any, place: str = "$") -> set[str]:
    """Where two documents differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return {
            found
            for name in {**before, **after}
            for found in differences(before.get(name, ...), after.get(name, ...), f"{place}.{name}")
        }
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return {found for index, pair in pairs for found in differences(*pair, f"{place}[{index}]")}
    return set() if before == after and type(before) is type(after) else {place}


@each_contract
def test_every_state_is_served_as_the_contract_shows_it(contract: Contract) -> None:
    """Over a socket, each example of a state comes back whole, with status, type, length and date."""
    relay = MockRelay(contract)
    named = {state for state in State if state.value in contract.examples and state is not State.UNKNOWN}
    assert set(relay.known) == named
    assert State.SUCCEEDED in named
    with Server(relay) as base_url:
        for state, task_id in relay.known.items():
            exchange = fetch(base_url, asking(contract, task_id))
            assert exchange.status == 200
            assert exchange.media_type == "application/json"
            assert exchange.header("content-length") == str(len(exchange.body))
            assert exchange.header("date")
            assert exchange.document == contract.examples[state.value]
            assert contract.reader.state(exchange.document) is state


@each_contract
def test_each_credential_opens_and_nothing_else_does(contract: Contract) -> None:
    """Every alternative of the contract works alone; a wrong, empty or absent one is refused as described."""
    relay = MockRelay(contract)
    task_id = relay.known[State.SUCCEEDED]
    for credential in contract.credentials:
        assert parse_json(ask(relay, task_id, KEY, credential).body) == contract.examples["succeeded"]
        for key in () if contract.open else ("wrong", "", KEY + "x", KEY.upper()):
            refusal = ask(relay, task_id, key, credential)
            shown = Exchange("GET", "", status=refusal.status, headers=refusal.headers, body=refusal.body)
            assert any(matcher.matches(shown) for matcher in contract.reader.unauthorized), key
    assert ask(relay, task_id, None) == ask(relay, task_id, "wrong")
    assert contract.open or ask(relay, NOBODY, "wrong") == ask(relay, task_id, "wrong")


@pytest.mark.parametrize("word", ["Bearer ", "bearer ", "BEARER ", "bearer  "])
def test_the_case_of_the_scheme_does_not_matter(word: str) -> None:
    """The scheme's word is read without regard to case (RFC 9110 section 11.1); another word is none."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract)
    target = contract.request(relay.known[State.SUCCEEDED]).target
    assert relay.answer("GET", target, {"authorization": word + KEY}).status == 200
    assert relay.answer("GET", target, {"authorization": "Basic " + KEY}).status == 401
    assert relay.answer("GET", target, {"authorization": KEY}).status == 401


def test_an_open_relay_answers_anybody() -> None:
    """Where `security` holds {}, or asks nothing, no credential is needed and a wrong one does no harm."""
    alternatives: list[list[dict[str, list[str]]]] = [[{"token": []}, {}], []]
    for security in alternatives:
        document = copy.deepcopy(ODD.document) | {"security": security}
        relay = MockRelay(Contract("open", document, Path("open.yaml")))
        target = "/v1/jobs.json?jobId=1002"
        assert parse_json(relay.answer("GET", target).body) == ODD.examples["succeeded"]
        assert parse_json(relay.answer("GET", target + "&key=wrong").body) == ODD.examples["succeeded"]
        assert not FAULTS["wrong-auth-accepted"].applies(relay.contract)


@each_contract
def test_a_missing_task_is_answered_as_described(contract: Contract) -> None:
    """An id that nobody has gets the contract's own answer, its example included, over a socket too."""
    with Server(MockRelay(contract)) as base_url:
        for task_id in (NOBODY, "a/b", "猫 &?#%", "x" * 5000):
            exchange = fetch(base_url, asking(contract, task_id))
            assert any(matcher.matches(exchange) for matcher in contract.reader.missing), task_id
            if not exchange.body:
                assert exchange.header("content-type") is None


def test_the_examples_of_errors_are_served_whole() -> None:
    """The bodies of the missing-task answer and of the refusal are the contract's, compact and in UTF-8."""
    relay = MockRelay(PACKAGED["zhongzhuan"])
    expected = b'{"code":4,"description":"task_no_found ","type":"upstream_error"}'
    assert ask(relay, NOBODY).body == expected
    assert "无效的令牌".encode() in ask(relay, NOBODY, "wrong").body


def test_an_answer_may_be_told_apart_by_its_document_alone() -> None:
    """Of several examples under one status the first that the matcher fits is the answer."""
    assert parse_json(ask(MockRelay(ODD), "1001", "wrong").body) == {"ok": False, "why": "no key"}


MANY = PACKAGED["zhongzhuan"]


def ask_many(relay: MockRelay, ids: Any, key: str = KEY) -> MockResponse:
    """The answer to a request for several tasks; the ids may be anything that JSON can say."""
    request = relay.contract.batch_request(["1"]).authenticated(relay.contract.credentials[0], key)
    return relay.answer(request.method, request.target, request.headers, json.dumps({"ids": ids}).encode())


def ask_seed(relay: MockRelay, task_id: str, key: str = KEY) -> MockResponse:
    """The answer to a request for the seed of a task's image."""
    request = relay.contract.seed_request(task_id).authenticated(relay.contract.credentials[0], key)
    return relay.answer(request.method, request.target, request.headers, request.body)


def test_several_tasks_are_listed() -> None:
    """Each known task comes once, as when it is fetched, in another order; unknown ones are left out."""
    relay = MockRelay(MANY)
    ids = list(relay.known.values())
    answer = ask_many(relay, [*ids, NOBODY, ids[0]])
    assert (answer.status, answer.content_type) == (200, "application/json")
    documents = parse_json(answer.body)
    assert [MANY.reader.id(document) for document in documents] == ids[::-1]
    assert documents == [parse_json(ask(relay, task_id).body) for task_id in ids[::-1]]
    for none in ([], None, [NOBODY]):
        assert parse_json(ask_many(relay, none).body) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"ids": [7]}', b'{"ids": "7"}', b'{"ids": {}}'])
def test_ids_that_are_none_get_the_described_answer(body: bytes) -> None:
    """A body without a list of texts is refused as the contract shows it, under its content type."""
    request = MANY.batch_request([]).authenticated(MANY.credentials[0], KEY)
    answer = MockRelay(MANY).answer(request.method, request.target, request.headers, body)
    assert (answer.status, answer.content_type) == (400, "text/plain")
    assert parse_json(answer.body)["description"] == "do_request_failed "


def test_seeds_are_told() -> None:
    """Each task has digits of its own that stay; a missing one gets the operation's own answer."""
    relay = MockRelay(MANY)
    seeds = [parse_json(ask_seed(relay, task_id).body)["result"] for task_id in relay.known.values()]
    assert all(seed.isdecimal() for seed in seeds)
    assert len(set(seeds)) == len(seeds)
    assert parse_json(ask_seed(relay, relay.known[State.SUCCEEDED]).body) == {
        "code": 1,
        "description": "成功",
        "properties": {},
        "result": seeds[list(relay.known).index(State.SUCCEEDED)],
    }
    answer = ask_seed(relay, NOBODY)
    assert (answer.status, parse_json(answer.body)["description"]) == (400, "task_no_found ")


def test_lists_and_seeds_are_for_those_who_may() -> None:
    """Without the right credential both answer as the fetch operation does."""
    relay = MockRelay(MANY)
    known = relay.known[State.SUCCEEDED]
    assert ask_many(relay, [known], "wrong") == ask(relay, known, "wrong") == ask_seed(relay, known, "wrong")
    lenient = MockRelay(MANY, faults=["wrong-auth-accepted"])
    assert len(parse_json(ask_many(lenient, [known], "wrong").body)) == 1
    assert parse_json(ask_seed(lenient, known, "wrong").body)["result"]


def test_lists_and_seeds_take_their_own_method() -> None:
    """Another method is as far off as an unknown path; HEAD goes wherever GET does."""
    relay = MockRelay(MANY)
    listing = MANY.batch_request(["1"]).authenticated(MANY.credentials[0], KEY)
    for method in ("GET", "HEAD", "PUT"):
        answer = relay.answer(method, listing.target, listing.headers, listing.body)
        assert answer.content_type == "text/html"
    seed = MANY.seed_request(relay.known[State.SUCCEEDED]).authenticated(MANY.credentials[0], KEY)
    head = relay.answer("HEAD", seed.target, seed.headers)
    assert (head.status, head.content_type, head.body) == (200, "application/json", b"")
    assert relay.answer("POST", seed.target, seed.headers).content_type == "text/html"


def test_faults_reach_into_lists() -> None:
    """What is wrong with a task is wrong in a list, and what befalls an answer befalls a list with tasks."""
    known = MockRelay(MANY).known

    def listed(fault: str, *ids: str) -> MockResponse:
        return ask_many(MockRelay(MANY, faults=[fault]), list(ids or known.values()))

    assert all(isinstance(document["id"], int) for document in parse_json(listed("id-as-number").body))
    assert {document["status"] for document in parse_json(listed("unknown-enum").body)} == {
        "WORD_OF_NO_RELAY"
    }
    assert listed("status-500").status == 500
    assert listed("html-200").body.startswith(b"<!DOCTYPE")
    assert listed("connection-reset").cut
    with pytest.raises(NotJSONError):
        parse_json(listed("truncated-json").body)
    for fault in ("status-500", "missing-task-500", "missing-task-other"):
        answer = listed(fault, NOBODY)
        assert (answer.status, answer.content_type, answer.body) == (200, "application/json", b"[]")


def test_reading_a_list_is_reading_its_tasks() -> None:
    """A task that runs again when it is read again does so whichever way it was read first."""
    relay = MockRelay(MANY, faults=["terminal-regression"])
    known = relay.known[State.SUCCEEDED]
    first, second = (parse_json(ask_many(relay, [known]).body)[0] for _ in range(2))
    assert [MANY.reader.state(one) for one in (first, second)] == [State.SUCCEEDED, State.RUNNING]
    assert MANY.reader.state(parse_json(ask(relay, known).body)) is State.RUNNING


def test_lists_and_seeds_stand_where_the_contract_puts_them() -> None:
    """Ids in a query, tasks within an envelope and a seed that is a number are served as they are shown."""
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
    told = parse_json(relay.answer(seed.method, seed.target).body)
    assert told["ok"] is True
    assert isinstance(told["data"]["seed"], int)


def test_elsewhere_is_what_the_contract_says() -> None:
    """An unknown path or method gets the described page; where none is described, 404, or 405 with Allow."""
    described = MockRelay(PACKAGED["zhongzhuan"])
    task = PACKAGED["zhongzhuan"].request("1").target
    for method, target in (
        ("GET", "/"),
        ("GET", "*"),
        ("POST", task),
        ("GET", task + "/"),
        ("OPTIONS", task),
    ):
        answer = described.answer(method, target)
        assert (answer.status, answer.content_type) == (200, "text/html"), (method, target)
        assert b"<html" in answer.body
    plain = MockRelay(PACKAGED["apiai"])
    assert plain.answer("GET", "/") == MockResponse(404)
    assert plain.answer("POST", task) == MockResponse(405, (("allow", "GET, HEAD"),))


def test_head_is_get_without_a_body() -> None:
    """HEAD says status, type and length of the GET, sends no byte of it, and does not count as a reading."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["terminal-regression"])
    request = asking(contract, relay.known[State.SUCCEEDED])
    with Server(relay) as base_url:
        head = fetch(base_url, Request("HEAD", request.target, request.headers))
        got = fetch(base_url, request)
    assert head.body == b""
    assert (head.status, head.media_type) == (200, "application/json")
    assert head.header("content-length") == str(len(got.body))
    assert got.document == contract.examples["succeeded"]


@pytest.mark.parametrize("expression", ["$request.header.X-Job", "$request.body#/a~1b/jobId"])
def test_the_id_is_read_where_the_contract_puts_it(expression: str) -> None:
    """Header and body are asked as well as path and query; a malformed body asks for nothing."""
    relay = MockRelay(varied("elsewhere", ask=expression))
    assert parse_json(ask(relay, "1002").body) == ODD.examples["succeeded"]
    assert ask(relay, "1003") == MockResponse(200)
    for body in (b"", b"{", b"[]", b'{"a/b": 1}', b'{"a/b": {"jobId": {}}}', b"\xff"):
        assert relay.answer("GET", f"/v1/jobs.json?key={KEY}", (), body) == MockResponse(200)


def test_examples_with_one_id_become_tasks_of_their_own() -> None:
    """Where two examples bear the same id, the second is served under another of the same make."""
    document = copy.deepcopy(ODD.document)
    content = document["paths"]["/v1/jobs.json"]["get"]["responses"]["200"]["content"]
    content["application/json"]["examples"]["running"]["value"]["job"] = 1002
    relay = MockRelay(Contract("twins", document, Path("twins.yaml")))
    assert relay.known[State.SUCCEEDED] == "1002"
    assert re.fullmatch(r"[1-9]\d{3}", relay.known[State.RUNNING])
    answer = parse_json(ask(relay, relay.known[State.RUNNING]).body)
    assert answer["job"] == int(relay.known[State.RUNNING])
    assert answer["phase"] == "drawing"


@each_contract
@pytest.mark.parametrize("outcome", [State.SUCCEEDED, State.FAILED])
def test_a_task_lives(contract: Contract, outcome: State) -> None:
    """A submitted task waits, runs with growing progress, ends, and its times follow the clock throughout."""
    clock = Clock()
    relay = MockRelay(contract, clock=clock)
    if outcome.value not in contract.examples:
        with pytest.raises(ContractError, match="no 200 example"):
            relay.submit(outcome=outcome)
        return
    reader = contract.reader
    task_id = relay.submit(100, outcome=outcome)
    states, progress = [], []
    for passed in range(0, 121, 5):
        clock.now = 1_800_000_000.25 + passed
        document = parse_json(ask(relay, task_id).body)
        states.append(reader.state(document))
        progress.append(reader.percent(document))
        assert str(reader.id(document)) == task_id
        for stamp, at in ((reader.submitted, 0), (reader.started, 10), (reader.finished, 100)):
            moment = None if stamp is None else stamp.read(document)
            if moment is not None:
                assert 0 <= 1_800_000_000.25 + at - moment.timestamp() <= 1
                assert moment.timestamp() <= clock.now
        shape = differences(contract.examples[states[-1].value], document)
        assert not any(place.endswith((".status", ".phase")) for place in shape)
    assert list(dict.fromkeys(states)) == [
        *([State.QUEUED] if "queued" in contract.examples else []),
        State.RUNNING,
        outcome,
    ]
    if reader.progress_path is not None:
        drawn = [value or 0 for value, state in zip(progress, states, strict=True) if state is State.RUNNING]
        assert drawn == sorted(drawn)
        assert drawn[0] != drawn[-1]
    assert ask(relay, task_id) == ask(relay, task_id)


def test_a_task_is_written_as_its_example_is() -> None:
    """Ids, times and progress keep the manner of the example: digits, fraction, zone, number or text."""
    clock = Clock()
    made = {}
    for name, contract in CONTRACTS.items():
        relay = MockRelay(contract, clock=clock)
        task_id = relay.submit(0)
        made[name] = task_id, parse_json(ask(relay, task_id).body)
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
    assert parse_json(ask(running, running_id).body)["part"] == 0.31


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
def test_times_are_written_in_the_contracts_manner(form: str, shown: Any, written: Any) -> None:
    """Each unit and each way of writing ISO 8601 is kept; what is unset or unreadable is left alone."""
    document = copy.deepcopy(ODD.document)
    operation = document["paths"]["/v1/jobs.json"]["get"]
    operation["x-mj-task"]["times"] = {"submitted": "$.at", "format": form}
    examples = operation["responses"]["200"]["content"]["application/json"]["examples"]
    examples["succeeded"]["value"]["at"] = shown
    relay = MockRelay(Contract("times", document, Path("times.yaml")), clock=Clock())
    found = parse_json(ask(relay, relay.submit(0)).body)["at"]
    assert (found, type(found)) == (written, type(written))


def test_ids_are_repeatable() -> None:
    """One seed gives one series of ids, another seed another; a given id is taken as it is."""
    contract = PACKAGED["zhongzhuan"]

    def series(seed: int) -> list[str]:
        relay = MockRelay(contract, seed=seed)
        return [relay.submit() for _ in range(3)]

    assert series(1) == series(1)
    assert series(1) != series(2)
    assert len(set(series(1))) == 3
    relay = MockRelay(contract)
    assert relay.submit(task_id="mine") == "mine"
    assert parse_json(ask(relay, "mine").body)["id"] == "mine"


def questions(contract: Contract) -> dict[str, Request]:
    """Requests of every kind, by what is particular about them."""
    relay = MockRelay(contract)
    known = relay.known[State.SUCCEEDED]
    first = contract.credentials[0]
    asked = {
        f"known {state.value}{again}": asking(contract, task_id)
        for again in ("", " again")
        for state, task_id in relay.known.items()
    }
    asked |= {
        "missing": asking(contract, NOBODY),
        "missing, empty": asking(contract, ""),
        "missing, long": asking(contract, "7" * 300),
        "missing, not ASCII": asking(contract, "猫"),
        "missing, quoted": asking(contract, "' OR '1'='1"),
        "refused, wrong": asking(contract, known, "wrong"),
        "refused, none": asking(contract, known, None),
        "method": evolve(asking(contract, known), method="DELETE"),
        "elsewhere": Request("GET", "/nowhere"),
        "known, for a browser": evolve(
            asking(contract, known), headers=(*BROWSER, *asking(contract, known).headers)
        ),
        "known, with a query": evolve(
            asking(contract, known), target=with_query(asking(contract, known).target)
        ),
        "refused, elsewhere": evolve(contract.request(known), headers=(("X-Api-Key", KEY),)),
    }
    asked |= {
        f"known, by {one.scheme}": asking(contract, known, KEY, one) for one in contract.credentials[1:]
    }
    if first.prefix:
        lower = evolve(first, prefix=first.prefix.lower())
        asked["known, lower case"] = asking(contract, known, KEY, lower)
    if contract.batch is not None:
        asked["batch"] = contract.batch_request([known, NOBODY]).authenticated(first, KEY)
    if f"/{known}/" in (target := asked["known succeeded"].target) + "/":
        spelt = target.replace(known, f"%{ord(known[0]):02X}{known[1:]}")
        asked["known, spelt otherwise"] = evolve(asked["known succeeded"], target=spelt)
    return asked


def with_query(target: str) -> str:
    """The target with a query parameter that no contract has."""
    return target + ("&" if "?" in target else "?") + "what=1"


BROWSER = (("Accept-Language", "zh"),)
TOUCHES = {
    "rate-limited": ("",),
    "overloaded": ("",),
    "overloaded-always": ("",),
    "retry-after-nonsense": ("",),
    "non-ascii-id-500": ("missing, not ASCII",),
    "odd-id-500": ("missing, long",),
    "odd-id-task": ("missing, quoted",),
    "any-method-acts": ("method",),
    "method-500": ("method",),
    "method-405-without-allow": ("method",),
    "query-500": ("known, with a query",),
    "language-html": ("known, for a browser",),
    "encoded-id-missing": ("known, spelt otherwise",),
    "wrong-auth-accepted": ("refused, wrong",),
    "no-auth-accepted": ("refused, none", "refused, elsewhere"),
    "refused-with-task": ("refused",),
    "alternative-refused": ("known, by",),
    "scheme-case-sensitive": ("known, lower case",),
}
"""What the requests that a fault touches begin with, where neither its name nor its route says it."""


def touched(name: str) -> tuple[str, ...]:
    """What the requests that a fault may touch begin with."""
    by_name = {
        "missing-task": ("missing",),
        "auth-error": ("refused",),
        "other-header": ("refused, elsewhere",),
        "batch-": ("batch",),
    }
    said = next((words for start, words in by_name.items() if name.startswith(start)), ("known", "batch"))
    return TOUCHES.get(name, said)


@pytest.mark.parametrize(("contract", "name"), PAIRS)
def test_a_fault_touches_what_it_names(contract: Contract, name: str) -> None:
    """A fault changes answers to the requests and in the states that it names, and no other answer."""
    clock = Clock()
    right, wrong, twin = (MockRelay(contract, clock=clock, faults=faults) for faults in ((), [name], [name]))
    asked = questions(contract)
    changed = set()
    for label, request in asked.items():
        sent = (request.method, request.target, request.headers, request.body)
        answer = wrong.answer(*sent)
        assert answer == twin.answer(*sent), "the same fault gives the same bytes"
        if answer != right.answer(*sent):
            changed.add(label)
    assert changed
    # Whoever is open knows no wrong credential: what is asked with one is a task like any other.
    open_ = ("refused",) if contract.open and "known" in touched(name) else ()
    assert {label for label in changed if not label.startswith((*touched(name), *open_))} == set()
    states = {
        state for state in right.known if changed & {f"known {state.value}", f"known {state.value} again"}
    }
    assert states <= FAULTS[name].states
    assert "elsewhere" not in changed


@pytest.mark.parametrize("contract", PACKAGED.values(), ids=PACKAGED.keys())
def test_a_faulty_document_is_wrong_in_one_place(contract: Contract) -> None:
    """Faults of one value change one place of the document, and neither id nor state unless named so."""
    reader = contract.reader
    relay = MockRelay(contract)
    for name in ("wrong-type", "missing-required", "null-field", "unknown-enum", "id-as-number", "wrong-id"):
        faulty = MockRelay(contract, faults=[name])
        for state, task_id in relay.known.items():
            before, after = parse_json(ask(relay, task_id).body), parse_json(ask(faulty, task_id).body)
            if name == "null-field" and before == after:
                continue  # all that the task has in this state may be null
            (place,) = differences(before, after)
            assert (reader.id(before) != reader.id(after)) is ("id" in name.split("-"))
            says_state = place == (reader.status_path.text if reader.status_path else None)
            assert says_state or reader.state(after) is state
            if name == "unknown-enum":
                assert reader.state(after) is State.UNKNOWN
            elif name == "missing-required":
                assert says_state or not schema_allows(contract, located(place), ABSENT)
            elif name == "id-as-number":
                assert isinstance(reader.id(after), int)
            elif name == "wrong-id":
                assert reader.id(after) in relay.known.values()


def located(place: str) -> tuple[str | int, ...]:
    """The location that a path of names and indices leads to."""
    return tuple(
        int(step[1:-1]) if step.startswith("[") else step for step in re.findall(r"\[\d+\]|[^.$\[\]]+", place)
    )


def test_semantic_faults_say_what_their_names_say() -> None:
    """Each fault of meaning is that meaning as the reader reads it, and keeps the document's types."""
    contract = PACKAGED["zhongzhuan"]
    reader = contract.reader

    def read(name: str, state: State = State.SUCCEEDED) -> Any:
        relay = MockRelay(contract, faults=[name])
        ask(relay, relay.known[state])
        return parse_json(ask(relay, relay.known[state]).body)

    assert reader.images(read("success-without-media")) == ()
    assert read("success-without-finish")["finishTime"] == 0
    assert read("success-at-50-percent")["progress"] == "50%"
    assert read("progress-150", State.RUNNING)["progress"] == "150%"
    assert read("failure-without-reason", State.FAILED)["failReason"] == ""
    early = read("finish-before-start")
    assert early["finishTime"] < early["submitTime"] < early["startTime"]
    assert read("seconds-not-ms")["submitTime"] == 1730621826
    assert reader.state(read("terminal-regression")) is State.RUNNING
    assert reader.state(read("terminal-regression", State.FAILED)) is State.RUNNING
    assert read("changes-when-read")["prompt"] == "pig --v 6.1 (2)"


def test_a_fault_that_regresses_does_so_from_the_second_reading() -> None:
    """The first reading of an ended task is right, the later ones are not, each task counted for itself."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["terminal-regression"])
    for state in (State.SUCCEEDED, State.FAILED):
        found = [contract.reader.state(parse_json(ask(relay, relay.known[state]).body)) for _ in range(3)]
        assert found == [state, State.RUNNING, State.RUNNING]


@pytest.mark.parametrize("contract", PACKAGED.values(), ids=PACKAGED.keys())
def test_broken_json_is_broken_in_the_way_that_is_named(contract: Contract) -> None:
    """Each fault of the bytes is refused for its own reason, or is JSON of another shape."""
    reasons = {}
    for name in ("truncated-json", "invalid-utf8", "nan", "empty-200", "html-labelled-json"):
        if not FAULTS[name].applies(contract):
            continue
        relay = MockRelay(contract, faults=[name])
        with pytest.raises(NotJSONError) as caught:
            parse_json(ask(relay, relay.known[State.SUCCEEDED]).body)
        reasons[name] = str(caught.value)
    assert "UTF-8" in reasons["invalid-utf8"]
    assert "NaN" in reasons.get("nan", "NaN")
    assert "empty" in reasons.get("empty-200", "empty")
    assert "UTF-8" not in reasons["truncated-json"]
    array = MockRelay(contract, faults=["body-is-array"])
    assert parse_json(ask(array, array.known[State.RUNNING]).body) == [contract.examples["running"]]
    envelope = MockRelay(contract, faults=["error-envelope-200"])
    error = parse_json(ask(envelope, envelope.known[State.RUNNING]).body)
    assert contract.reader.id(error) is None
    assert contract.reader.error(error)[1] or not contract.operation["x-mj-task"].get("error")


def test_the_secret_comes_back_as_it_was_given() -> None:
    """The echo holds the caller's own credential, in a header and in the body; headers stay sound."""
    contract = PACKAGED["mjdjourney"]
    relay = MockRelay(contract, key="sk-猫 and more", faults=["secret-echoed"])
    answer = ask(relay, relay.known[State.SUCCEEDED], "sk-猫 and more", contract.credentials[1])
    assert "sk-猫 and more" in parse_json(answer.body).values()
    with Server(relay) as base_url:
        assert (
            fetch(base_url, contract.request("1").authenticated(contract.credentials[0], "no")).status == 401
        )
    plain = MockRelay(contract, key="sk-abc", faults=["secret-echoed"])
    answer = ask(plain, plain.known[State.RUNNING], "sk-abc")
    assert "sk-abc" in dict(answer.headers).values()


def test_a_connection_ends_in_the_middle(capfd: pytest.CaptureFixture[str]) -> None:
    """The length is announced, half of the body comes, then the connection ends; nothing is logged."""
    contract = PACKAGED["zhongzhuan"]
    relay = MockRelay(contract, faults=["connection-reset"])
    with Server(relay) as base_url:
        exchange = fetch(base_url, asking(contract, relay.known[State.SUCCEEDED]))
        assert exchange.failure is not None
        assert 0 < len(exchange.body) < int(exchange.header("content-length") or 0)
        assert fetch(base_url, asking(contract, NOBODY)).status == 400
    assert capfd.readouterr() == ("", "")


def test_faults_combine() -> None:
    """Several faults act together, in the order given within each stage."""
    contract = PACKAGED["zhongzhuan"]
    names = ["missing-task-other", "wrong-id", "progress-150", "status-418", "no-content-type"]
    relay = MockRelay(contract, faults=names)
    answer = ask(relay, NOBODY)
    assert (answer.status, answer.content_type) == (418, None)
    assert parse_json(answer.body)["progress"] == "150%"
    assert parse_json(answer.body)["id"] == relay.known[State.QUEUED]
    last = MockRelay(contract, faults=["status-500", "status-418"])
    assert ask(last, last.known[State.RUNNING]).status == 418
    both = MockRelay(contract, faults=["wrong-auth-accepted", "missing-task-null"])
    assert ask(both, NOBODY, "wrong").body == b"null"
    assert ask(both, NOBODY, None).status == 401


@each_contract
@given(data=st.data())
@settings(max_examples=15)
def test_any_faults_live_together(contract: Contract, data: st.DataObject) -> None:
    """No faults, in whatever order and dialect, stop the mock from answering what HTTP can carry."""
    applying = [name for name, fault in FAULTS.items() if fault.applies(contract)]
    faults = data.draw(st.lists(st.sampled_from(applying), max_size=5))
    speaks = [None, *(one for one in DIALECTS if DIALECTS[one].applies(contract))]
    relay = MockRelay(contract, faults=faults, dialect=data.draw(st.sampled_from(speaks)))
    for request in questions(contract).values():
        answer = relay.answer(request.method, request.target, request.headers, request.body)
        assert 200 <= answer.status < 600
        for name, value in answer.framed:
            assert re.fullmatch(r"[\x21-\x7e]+", name)
            assert re.fullmatch(r"[\x20-\x7e]*", value)


def test_an_unknown_fault_is_refused_with_a_hint() -> None:
    """A name that is none says so, offers the nearest, and says where all are listed."""
    with pytest.raises(UnknownFaultError, match="did you mean status-500") as caught:
        MockRelay(PACKAGED["apiai"], faults=["status-50"])
    assert isinstance(caught.value, MjrelayError)
    with pytest.raises(UnknownFaultError, match="§'; list the faults with"):
        select_faults(["§"], PACKAGED["apiai"])


def test_a_fault_without_a_place_is_refused() -> None:
    """A contract that has no progress cannot have a wrong one, and the error says whose and which."""
    for name in ("progress-150", "success-without-finish", "seconds-not-ms", "failure-without-reason"):
        with pytest.raises(InapplicableFaultError, match=f"{name}.*mjdjourney"):
            MockRelay(PACKAGED["mjdjourney"], faults=[name])
    assert not FAULTS["missing-task-wrong-status"].applies(varied("silent", missing=None))
    assert not FAULTS["auth-error-200"].applies(ODD), "its refusals come with 200 as it is"
    assert not FAULTS["id-as-number"].applies(ODD), "its ids are numbers as they are"


def test_faults_are_told_in_one_sentence_each() -> None:
    """Every fault is named as its key and says in a sentence what the relay does."""
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert re.fullmatch(r"[A-Z][^.]*\.", fault.summary), name


@pytest.mark.parametrize(
    ("schema", "location", "kind", "allowed"),
    [
        ({"type": "string"}, (), "null", False),
        ({"type": ["string", "null"]}, (), "null", True),
        ({"type": "number"}, (), "integer", True),
        ({"type": "integer"}, (), "number", False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, (), "integer", False),
        ({"oneOf": [{"enum": ["a", None]}, {"const": 1}]}, (), "null", True),
        ({"oneOf": [{"enum": ["a", None]}, {"const": 1}]}, (), "boolean", False),
        ({"allOf": [{"type": ["string", "null"]}, {"type": "string"}]}, (), "null", False),
        ({"properties": {"a": {"type": "string"}}}, ("a",), "null", False),
        ({"properties": {"a": {"type": "string"}}}, ("b",), "null", True),
        ({"properties": {"a": {}}, "additionalProperties": False}, ("b",), "null", False),
        ({"anyOf": [{"properties": {"a": False}}, {"type": "null"}]}, ("a",), "null", False),
        ({"anyOf": [{"properties": {"a": {"type": "string"}}}, {"type": "object"}]}, ("a",), "null", True),
        ({"required": ["a"]}, ("a",), ABSENT, False),
        ({"required": ["a"]}, ("b",), ABSENT, True),
        ({"allOf": [{"properties": {"a": {"required": ["b"]}}}]}, ("a", "b"), ABSENT, False),
        ({"items": {"type": "string"}}, (3,), "null", False),
        ({"prefixItems": [{"type": "null"}], "items": {"type": "string"}}, (0,), "null", True),
        ({"$ref": "#/components/schemas/Text"}, (), "null", False),
        (True, ("a", 0), "null", True),
    ],
)
def test_what_a_schema_refuses_is_known(schema: Any, location: Any, kind: str, allowed: bool) -> None:
    """The keywords that say type, presence and shape are read as JSON Schema means them."""
    document = {
        "paths": {
            "/": {
                "get": {
                    "x-mj-task": {},
                    "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
                }
            }
        },
        "components": {"schemas": {"Text": {"type": "string"}}},
    }
    assert schema_allows(Contract("one", document, Path("one.yaml")), location, kind) is allowed


_TEXT = st.text(max_size=40)
_TARGETS = st.one_of(
    _TEXT,
    st.from_regex(r"/(mj|api/mj)/task/[^/]{0,20}/fetch(\?.{0,20})?", fullmatch=True),
    st.builds("/v1/jobs.json?jobId={}&key=mock-key".format, _TEXT),
    st.sampled_from(["/mj/task/list-by-condition", "/mj/task/1730621826053455/image-seed"]),
    st.sampled_from(["http://x/mj/task/1/fetch", "*", "//", "/mj/task/%ff%zz/fetch", "/%", "\ud800"]),
)
_NAMES = st.sampled_from(["Authorization", "mj-api-secret", "cookie", "X-Job"]) | _TEXT
_VALUES = st.sampled_from(["Bearer mock-key", "Bearer", "sid=%ff; sid", "\ud800", "sid=mock-key"]) | _TEXT


@given(
    contract=st.sampled_from([*CONTRACTS.values(), varied("body", ask="$request.body#/id")]),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", ""]) | _TEXT,
    target=_TARGETS,
    headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=3),
    body=st.binary(max_size=40),
    faults=st.sampled_from([(), ("secret-echoed", "missing-task-other", "wrong-auth-accepted")]),
)
def test_no_request_breaks_the_mock(
    *,
    contract: Contract,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
    faults: tuple[str, ...],
) -> None:
    """Whatever the request, there is an answer, with a status and header fields that HTTP can carry."""
    faults = tuple(name for name in faults if FAULTS[name].applies(contract))
    answer = MockRelay(contract, faults=faults).answer(method, target, headers, body)
    assert 200 <= answer.status < 600
    for name, value in answer.headers:
        assert re.fullmatch(r"[\x21-\x7e]+", name)
        assert re.fullmatch(r"[\x20-\x7e]*", value)


def test_a_server_comes_and_goes() -> None:
    """Servers follow one another in one process, end within a second, and leave their port closed."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract)
    server = Server(relay)
    for _ in range(3):
        with server as base_url:
            url = urlsplit(base_url)
            idle = socket.create_connection((url.hostname or "", url.port or 0))
            assert fetch(base_url, asking(contract, relay.known[State.FAILED])).status == 200
            started = time.monotonic()
        assert time.monotonic() - started < 1
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((url.hostname or "", url.port or 0))
    assert not [thread for thread in threading.enumerate() if thread.name == "mjrelay-server"]


def test_a_slow_answer_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server ends within a second though an answer is still waited for."""
    relay = MockRelay(PACKAGED["apiai"])
    monkeypatch.setattr(relay, "answer", lambda *_: MockResponse(200, body=b"late", delay=60))
    with Server(relay) as base_url:
        url = urlsplit(base_url)
        waiting = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        waiting.request("GET", "/")
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 1
    waiting.close()


def test_a_server_that_cannot_start_says_so() -> None:
    """A port that is taken is a clear error, with what to do next."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ServerError, match="choose another port"),
    ):
        serve_mock(MockRelay(PACKAGED["apiai"]), "127.0.0.1", taken.getsockname()[1])


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_serving_ends_when_it_is_interrupted() -> None:
    """In the foreground the base URL is announced, requests are answered, and Ctrl-C ends it in silence."""
    program = (
        "from pathlib import Path\n"
        "from mjrelay.contract.document import Contract\n"
        "from mjrelay_conformance.mock import MockRelay, serve_mock\n"
        f"relay = MockRelay(Contract.load(Path({str(OPENAPI / 'apiai.yaml')!r})))\n"
        "serve_mock(relay, '127.0.0.1', 0, announce=lambda url: print(url, flush=True))\n"
        "print('ended')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        assert fetch(base_url, Request("GET", "/")).status == 404
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (out, err, process.returncode) == ("ended\n", "", 0)


def test_the_application_speaks_asgi() -> None:
    """Lifespan is answered, a client that leaves is let go, and other protocols are refused."""
    relay = MockRelay(PACKAGED["apiai"])

    def run(scope: dict[str, Any], *messages: dict[str, Any]) -> list[Any]:
        pending, sent = list(messages), []

        async def receive() -> Any:
            return pending.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(relay(scope, receive, send))
        return sent

    ends = run({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in ends] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    scope = {"type": "http", "method": "GET", "path": "/é", "query_string": b"a=b", "headers": []}
    start, body = run(
        scope, {"type": "http.request", "body": b"1", "more_body": True}, {"type": "http.request"}
    )
    assert (start["status"], body["body"], body["more_body"]) == (404, b"", False)
    assert run(scope, {"type": "http.disconnect"}) == []
    with pytest.raises(ValueError, match="websocket"):
        run({"type": "websocket"})


def test_secrets_are_not_shown() -> None:
    """A call can be printed without the credential that it holds."""
    assert "hush" not in repr(MockRequest(ODD, Route.REFUSED, secrets=("hush",)))


@each_contract
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_means_the_same(contract: Contract, dialect: str) -> None:
    """In each dialect tasks read as the contract's examples do, and other answers are still described."""
    if not DIALECTS[dialect].applies(contract):
        with pytest.raises(InapplicableDialectError, match=f"{dialect}.*{contract.name}"):
            MockRelay(contract, dialect=dialect)
        return
    relay, plain, reader = MockRelay(contract, dialect=dialect), MockRelay(contract), contract.reader
    differs = False
    for label, request in questions(contract).items():
        answer, usual = (
            one.answer(request.method, request.target, request.headers, request.body)
            for one in (relay, plain)
        )
        differs = differs or answer != usual
        if label.startswith("known") and usual.status == 200:
            document, example = parse_json(answer.body), parse_json(usual.body)
            assert reader.accepts(document)
            assert reader.state(document) is reader.state(example)
            assert (reader.id(document), reader.failure(document)) == (
                reader.id(example),
                reader.failure(example),
            )
            assert len(reader.images(document)) == len(reader.images(example))
        elif label == "missing, empty" and dialect == "refused-submission":
            document = parse_json(answer.body)
            assert (reader.id(document), reader.state(document)) == ("", State.FAILED)
        elif label.startswith("missing"):
            assert any(matcher.matches(exchanged(answer)) for matcher in reader.missing)
        elif label.startswith("refused") and not contract.open:
            assert any(matcher.matches(exchanged(answer)) for matcher in reader.unauthorized)
    assert differs


def exchanged(answer: MockResponse) -> Exchange:
    """An answer as it is judged."""
    return Exchange("GET", "", status=answer.status, headers=answer.headers, body=answer.body)


def dialected(contract: Contract, dialect: str, state: State) -> Any:
    """The document of a task in a dialect."""
    relay = MockRelay(contract, dialect=dialect)
    return parse_json(ask(relay, relay.known[state]).body)


def test_what_is_unset_is_said_in_several_ways() -> None:
    """Unset values become null, zero or nothing where the schema allows it, and only there."""
    apiai, zhongzhuan = PACKAGED["apiai"], PACKAGED["zhongzhuan"]
    queued = dialected(apiai, "zeros", State.QUEUED)
    assert (queued["startTime"], queued["imageUrl"], queued["progress"]) == (0, "", "")
    assert "startTime" not in dialected(apiai, "absent", State.QUEUED)
    assert dialected(apiai, "nulls", State.QUEUED)["buttons"] is None
    assert dialected(zhongzhuan, "zeros", State.QUEUED)["buttons"] == []
    assert dialected(zhongzhuan, "zeros", State.QUEUED)["properties"] is None, "it has required members"


def test_a_second_alternative_is_served() -> None:
    """Where the contract describes several answers, the dialect gives the second."""
    several = varied(
        "several",
        missing=[{"status": 404}, {"status": 410}],
        unauthorized=[{"status": 401}, {"status": 403}],
    )
    assert ask(MockRelay(several), NOBODY).status == 404
    assert ask(MockRelay(several, dialect="other-missing"), NOBODY).status == 410
    assert ask(MockRelay(several), NOBODY, "wrong").status == 401
    assert ask(MockRelay(several, dialect="other-refusal"), NOBODY, "wrong").status == 403


def test_an_unknown_dialect_is_refused_with_a_hint() -> None:
    """A name that is none says so, offers the nearest, and says where all are listed."""
    with pytest.raises(UnknownDialectError, match=r"did you mean nulls.*--list-dialects") as caught:
        MockRelay(PACKAGED["apiai"], dialect="null")
    assert isinstance(caught.value, MjrelayError)


def test_answers_take_their_time() -> None:
    """Latency is added to each answer, jitter within its bounds, the same for a seed and never negative."""
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


def test_latency_is_waited_for_over_a_socket() -> None:
    """Who asks over a socket waits for as long as the answer takes."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, latency=0.15)
    with Server(relay) as base_url:
        started = time.monotonic()
        assert fetch(base_url, asking(contract, relay.known[State.FAILED])).status == 200
    assert time.monotonic() - started >= 0.15


def test_a_body_stalls_until_the_caller_leaves() -> None:
    """Half of the body comes and then nothing; when the caller has gone, the application ends at once."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["stalls-mid-body"])
    ended = threading.Event()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await relay(scope, receive, send)
        ended.set()

    with Server(watched) as base_url:
        url, request = urlsplit(base_url), asking(contract, relay.known[State.SUCCEEDED])
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        connection.request(request.method, request.target, headers=dict(request.headers))
        response = connection.getresponse()
        length = int(response.headers["content-length"])
        half = response.read(length // 2)
        assert len(half) == length // 2
        assert not ended.wait(0.1)
        assert connection.sock is not None
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        response.close()
        assert ended.wait(5)


def test_a_stall_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that stays is left in the end, without the rest of the body."""
    relay = MockRelay(PACKAGED["apiai"])
    monkeypatch.setattr(relay, "answer", lambda *_: MockResponse(200, body=b"12", cut=1, stall=0.01))
    sent: list[Any] = []

    async def receive() -> Any:
        if sent:
            await asyncio.sleep(60)
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(relay({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send))
    assert [message.get("more_body") for message in sent] == [None, True]


@pytest.mark.parametrize("fault", ["wrong-length", "connection-reset"])
def test_too_little_comes_over_a_socket(fault: str) -> None:
    """What is announced and never comes is seen as a connection that broke off."""
    contract = PACKAGED["zhongzhuan"]
    relay = MockRelay(contract, faults=[fault])
    with Server(relay) as base_url:
        exchange = fetch(base_url, asking(contract, relay.known[State.SUCCEEDED]))
    assert exchange.failure
    assert len(exchange.body) < int(exchange.header("content-length") or 0)
    whole = exchange.body == _encode(contract.examples["succeeded"])
    assert whole is (fault == "wrong-length")


def _encode(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def test_a_bomb_is_small_until_it_is_unpacked() -> None:
    """The packed body is far smaller than what it unpacks to, whole by its checksum, and still the task."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["gzip-bomb"])
    answer = ask(relay, relay.known[State.SUCCEEDED])
    assert dict(answer.headers)["content-encoding"] == "gzip"
    unpacked = gzip.decompress(answer.body)
    assert len(unpacked) > 16 << 20 > 500 * len(answer.body)
    assert parse_json(unpacked) == contract.examples["succeeded"]
    plain = MockRelay(contract, faults=["gzip-unasked"])
    packed = ask(plain, plain.known[State.SUCCEEDED]).body
    assert parse_json(gzip.decompress(packed)) == contract.examples["succeeded"]


def test_bodies_are_wrong_in_the_way_that_is_named() -> None:
    """Each fault of the text is what its summary says, and reads as it would for a lenient reader."""
    contract = PACKAGED["zhongzhuan"]
    succeeded = contract.examples["succeeded"]

    def served(fault: str) -> MockResponse:
        relay = MockRelay(contract, faults=[fault])
        return ask(relay, relay.known[State.SUCCEEDED])

    assert json.loads(served("byte-order-mark").body.decode("utf-8-sig")) == succeeded
    assert json.JSONDecoder().raw_decode(served("trailing-garbage").body.decode())[0] == succeeded
    assert "\ud83d" in json.loads(served("half-surrogate").body)["properties"].values()
    assert parse_json(served("duplicate-names").body) == succeeded
    assert served("duplicate-names").body.count(b'"id":') == 2
    assert served("wrong-charset").content_type == "application/json; charset=gbk"
    prompt = parse_json(served("encoded-twice").body)["prompt"]
    assert prompt.encode("latin-1").decode() == "pig --v 6.1 画一只猫"
    assert len(served("huge-body").body) > 1 << 20
    assert parse_json(served("huge-body").body) == succeeded
    for fault in ("byte-order-mark", "trailing-garbage", "half-surrogate"):
        with pytest.raises(NotJSONError):
            parse_json(served(fault).body)


def test_a_limit_is_reached_and_says_when_to_come_back() -> None:
    """Five requests are answered, whatever they are for, then none; each mock counts for itself."""
    contract = PACKAGED["apiai"]
    for fault, after in (("rate-limited", "30"), ("retry-after-nonsense", "in a while")):
        relay = MockRelay(contract, faults=[fault])
        answers = [ask(relay, NOBODY) for _ in range(7)]
        assert [answer.status for answer in answers] == [404] * 5 + [429] * 2
        assert answers[-1].headers == (("retry-after", after),)


def test_a_task_fails_or_is_lost_when_it_is_read_again() -> None:
    """Every second reading fails, each task counted for itself; or a task is there but once."""
    contract = PACKAGED["apiai"]
    flaky, forgetful = (MockRelay(contract, faults=[fault]) for fault in ("flaky-500", "forgets"))
    for state in (State.SUCCEEDED, State.RUNNING):
        assert [ask(flaky, flaky.known[state]).status for _ in range(4)] == [200, 500, 200, 500]
        assert [ask(forgetful, forgetful.known[state]).status for _ in range(3)] == [200, 404, 404]


def test_links_are_wrong_in_the_way_that_is_named() -> None:
    """Links lead to the relay's own machine, are plain, have no host, or ended before they were issued."""
    for contract in PACKAGED.values():
        reader = contract.reader
        for fault, begins in (
            ("media-on-localhost", "http://localhost:3000/"),
            ("media-over-http", "http://"),
            ("media-relative", "/"),
            ("media-expired", "https://"),
        ):
            if not FAULTS[fault].applies(contract):
                continue
            relay = MockRelay(contract, faults=[fault])
            document = parse_json(ask(relay, relay.known[State.SUCCEEDED]).body)
            urls = (*reader.images(document), *reader.videos(document))
            assert urls
            for url in urls:
                assert url.startswith(begins), url
                if fault == "media-expired" and reader.submitted is not None:
                    submitted = reader.submitted.read(document)
                    assert submitted is not None
                    assert (url_expiry(url) or 0) < submitted.timestamp()


def test_who_may_ask_is_decided_wrongly_in_the_way_that_is_named() -> None:
    """Each fault of the credentials lets in, or keeps out, those that its summary says and nobody else."""
    contract = PACKAGED["zhongzhuan"]
    bearer, secret = contract.credentials
    known = MockRelay(contract).known[State.SUCCEEDED]
    ways = {
        "right": asking(contract, known),
        "wrong": asking(contract, known, "wrong"),
        "none": asking(contract, known, None),
        "other header": evolve(contract.request(known), headers=(("X-Token", KEY),)),
        "other word": evolve(contract.request(known), headers=(("Authorization", f"Token {KEY}"),)),
        "lower case": evolve(contract.request(known), headers=(("Authorization", f"bearer {KEY}"),)),
        "second way": asking(contract, known, KEY, secret),
    }
    usual = {"right", "lower case", "second way"}
    for fault, expected in {
        "wrong-auth-accepted": usual | {"wrong"},
        "no-auth-accepted": usual | {"none", "other header"},
        "other-header-accepted": usual | {"other header", "other word"},
        "alternative-refused": {"right", "lower case"},
        "scheme-case-sensitive": {"right", "second way"},
        "refused-with-task": usual,
    }.items():
        relay = MockRelay(contract, faults=[fault])
        answers = {
            way: relay.answer(request.method, request.target, request.headers)
            for way, request in ways.items()
        }
        assert {way for way, answer in answers.items() if answer.status == 200} == expected, fault
        tasks = {way for way, answer in answers.items() if known.encode() in answer.body}
        assert tasks == (set(ways) if fault == "refused-with-task" else expected), fault
    assert bearer.prefix


def test_lists_are_wrong_in_the_way_that_is_named() -> None:
    """A list holds more, other or no tasks, or is no list, and a fetch is what it was."""
    known = MockRelay(MANY).known[State.SUCCEEDED]

    def listed(fault: str) -> MockResponse:
        return ask_many(MockRelay(MANY, faults=[fault]), [known, NOBODY])

    usual = parse_json(ask(MockRelay(MANY), known).body)
    others = [MANY.reader.id(task) for task in parse_json(listed("batch-other-task").body)]
    assert known in others
    assert len(others) == 2
    assert differences(usual, parse_json(listed("batch-differs").body)[0]) == {"$.prompt"}
    assert parse_json(listed("batch-null-for-missing").body) == [usual, None]
    assert listed("batch-500").status == 500
    assert listed("batch-html").content_type == "text/html; charset=utf-8"
    (place,) = differences(usual, parse_json(listed("batch-wrong-type").body)[0])
    assert place != "$.id"
    for fault in FAULTS:
        if fault.startswith("batch-"):
            assert parse_json(ask(MockRelay(MANY, faults=[fault]), known).body) == usual


def test_secrets_are_given_away_in_disguise() -> None:
    """The caller's credential stands in a header in Base64, and in the body with every byte escaped."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["secret-echoed-encoded"])
    answer = ask(relay, relay.known[State.SUCCEEDED])
    assert base64.b64encode(KEY.encode()).decode() in dict(answer.headers).values()
    assert KEY not in answer.body.decode()
    assert KEY in unquote(answer.body.decode())


def test_tasks_say_whether_they_may_be_kept() -> None:
    """A task is not to be kept, unless a fault says so or says nothing."""
    contract = PACKAGED["apiai"]
    said = {}
    for faults in ((), ("caching-public",), ("no-cache-headers",)):
        relay = MockRelay(contract, faults=faults)
        for state in (State.RUNNING, State.SUCCEEDED):
            said[faults, state] = dict(ask(relay, relay.known[state]).headers).get("cache-control")
    assert list(said.values()) == ["no-store", "no-store", "public, max-age=3600", "no-store", None, None]


def test_a_chunked_body_arrives() -> None:
    """Without a length the body is sent in chunks, and HEAD goes without both."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, dialect="chunked")
    request = asking(contract, relay.known[State.SUCCEEDED])
    with Server(relay) as base_url:
        exchange = fetch(base_url, request)
        head = fetch(base_url, evolve(request, method="HEAD"))
    assert exchange.header("content-length") is None
    assert exchange.header("transfer-encoding") == "chunked"
    assert exchange.document == contract.examples["succeeded"]
    assert (head.status, head.body, head.failure) == (200, b"", None)
