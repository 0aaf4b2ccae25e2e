"""Faults and dialects of mock relays; the self-test proves that checks detect them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_conformance.mock.dialects import DIALECTS, InapplicableDialectError, UnknownDialectError
from mjrelay_conformance.mock.faults import FAULTS, InapplicableFaultError, UnknownFaultError, select_faults
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.responses import MockResponse, Route
from mjrelay_conformance.mock.server import Server
from mjrelay_conformance.mock.slots import ABSENT, schema_allows
from mocks import (
    BATCHES,
    CONTRACTS,
    KEY,
    MISSING,
    ODD,
    PACKAGED,
    FakeClock,
    batch,
    fetch,
    get,
    request_for,
    varied,
)

from mjrelay.contract import without_prompt
from mjrelay.contract.document import Contract
from mjrelay.contract.submits import submit_request
from mjrelay.errors import MjrelayError
from mjrelay.http.request import Credential, Request
from mjrelay.http.strictjson import NotJSONError, parse_json
from mjrelay.semantics.reader import State


def test_faults_in_batches() -> None:
    """Faults of a task apply to batches too, except if no task is found."""
    known = MockRelay(BATCHES).known

    def listed(fault: str, *ids: str) -> MockResponse:
        return batch(MockRelay(BATCHES, faults=[fault]), list(ids or known.values()))

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
        response = listed(fault, MISSING)
        assert (response.status, response.content_type, response.body) == (200, "application/json", b"[]")


def test_batches_count_as_reads() -> None:
    """A batch request counts as a request for each of its tasks."""
    relay = MockRelay(BATCHES, faults=["terminal-regression"])
    known = relay.known[State.SUCCEEDED]
    first, second = (parse_json(batch(relay, [known]).body)[0] for _ in range(2))
    assert [BATCHES.reader.state(one) for one in (first, second)] == [State.SUCCEEDED, State.RUNNING]
    assert BATCHES.reader.state(parse_json(get(relay, known).body)) is State.RUNNING


IN_URL = Credential("", "query", "token", "")


def sample_requests(contract: Contract) -> dict[str, Request]:
    """Return requests of every kind by a label."""
    relay = MockRelay(contract)
    known = relay.known[State.SUCCEEDED]
    first = contract.credentials[0]
    requests = {
        f"known {state.value}{again}": request_for(contract, task_id)
        for again in ("", " again")
        for state, task_id in relay.known.items()
    }
    requests |= {
        "missing": request_for(contract, MISSING),
        "missing, empty": request_for(contract, ""),
        "missing, long": request_for(contract, "7" * 300),
        "missing, not ASCII": request_for(contract, "猫"),
        "missing, quoted": request_for(contract, "' OR '1'='1"),
        "refused, wrong": request_for(contract, known, "wrong"),
        "refused, none": request_for(contract, known, None),
        "method": evolve(request_for(contract, known), method="DELETE"),
        "elsewhere": Request("GET", "/nowhere"),
        "known, for a browser": evolve(
            request_for(contract, known), headers=(*BROWSER, *request_for(contract, known).headers)
        ),
        "known, with a query": evolve(
            request_for(contract, known), target=with_query(request_for(contract, known).target)
        ),
        "refused, elsewhere": evolve(contract.request(known), headers=(("X-Api-Key", KEY),)),
        "refused, in the URL": contract.request(known).authenticated(
            Credential("", "query", "token", ""), KEY
        ),
    }
    requests |= {
        f"known, by {one.scheme}": request_for(contract, known, KEY, one) for one in contract.credentials[1:]
    }
    if first.prefix:
        lower = evolve(first, prefix=first.prefix.lower())
        requests["known, lower case"] = request_for(contract, known, KEY, lower)
    if contract.batch is not None:
        requests["batch"] = contract.batch_request([known, MISSING]).authenticated(first, KEY)
    if f"/{known}/" in (target := requests["known succeeded"].target) + "/":
        encoded = target.replace(known, f"%{ord(known[0]):02X}{known[1:]}")
        requests["known, percent-encoded"] = evolve(requests["known succeeded"], target=encoded)
    if contract.submits:
        operation, request = submit_request(contract, "imagine", {"prompt": "a pig"}, {})
        broken = without_prompt(contract, operation, request)
        requests["submit"] = request.authenticated(first, KEY)
        _, foreign = submit_request(contract, "imagine", {"prompt": "一只猪"}, {})
        requests["submit, not ASCII"] = foreign.authenticated(first, KEY)
        requests["refused, submit"] = request.authenticated(first, "wrong")
        if broken is not None:
            requests["submit, invalid"] = broken.authenticated(first, KEY)
    return requests


def with_query(target: str) -> str:
    """Add an undocumented query parameter."""
    return target + ("&" if "?" in target else "?") + "what=1"


BROWSER = (("Accept-Language", "zh"),)


def test_regressions_start_with_the_second_request() -> None:
    """The first response for a task is right, later ones are not; each task is counted on its own."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["terminal-regression"])
    for state in (State.SUCCEEDED, State.FAILED):
        found = [contract.reader.state(parse_json(get(relay, relay.known[state]).body)) for _ in range(3)]
        assert found == [state, State.RUNNING, State.RUNNING]


def test_echoed_secrets() -> None:
    """The credential is echoed in a header and in the body; headers stay valid."""
    contract = PACKAGED["mjdjourney"]
    relay = MockRelay(contract, key="sk-猫 and more", faults=["secret-echoed"])
    response = get(relay, relay.known[State.SUCCEEDED], "sk-猫 and more", contract.credentials[1])
    assert "sk-猫 and more" in parse_json(response.body).values()
    with Server(relay) as base_url:
        assert (
            fetch(base_url, contract.request("1").authenticated(contract.credentials[0], "no")).status == 401
        )
    plain = MockRelay(contract, key="sk-abc", faults=["secret-echoed"])
    response = get(plain, plain.known[State.RUNNING], "sk-abc")
    assert "sk-abc" in dict(response.headers).values()


def test_several_faults() -> None:
    """Several faults apply together, in the given order."""
    contract = PACKAGED["zhongzhuan"]
    names = ["missing-task-other", "wrong-id", "progress-150", "status-418", "no-content-type"]
    relay = MockRelay(contract, faults=names)
    response = get(relay, MISSING)
    assert (response.status, response.content_type) == (418, None)
    assert parse_json(response.body)["progress"] == "150%"
    assert parse_json(response.body)["id"] == relay.known[State.QUEUED]
    last = MockRelay(contract, faults=["status-500", "status-418"])
    assert get(last, last.known[State.RUNNING]).status == 418
    both = MockRelay(contract, faults=["wrong-auth-accepted", "missing-task-null"])
    assert get(both, MISSING, "wrong").body == b"null"
    assert get(both, MISSING, None).status == 401


def test_unknown_faults() -> None:
    """The error suggests a similar name and the command that lists all faults."""
    with pytest.raises(UnknownFaultError, match="did you mean status-500") as caught:
        MockRelay(PACKAGED["apiai"], faults=["status-50"])
    assert isinstance(caught.value, MjrelayError)
    with pytest.raises(UnknownFaultError, match="§'; list the faults with"):
        select_faults(["§"], PACKAGED["apiai"])


def test_unsupported_faults() -> None:
    """A fault that a contract does not support raises an error with both names."""
    for name in ("progress-150", "success-without-finish", "seconds-not-ms", "failure-without-reason"):
        with pytest.raises(InapplicableFaultError, match=f"{name}.*mjdjourney"):
            MockRelay(PACKAGED["mjdjourney"], faults=[name])
    assert not FAULTS["missing-task-wrong-status"].applies(varied("silent", missing=None))
    assert not FAULTS["auth-error-200"].applies(ODD), "its refusals come with 200 as it is"
    assert not FAULTS["id-as-number"].applies(ODD), "its ids are numbers as they are"


def test_summaries() -> None:
    """Each fault and dialect has a kebab-case name and a summary of one sentence."""
    for name, fault in (*FAULTS.items(), *DIALECTS.items()):
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
def test_schema_allows(schema: Any, location: Any, kind: str, allowed: bool) -> None:
    """Types, presence, enumerations and combinations are evaluated as in JSON Schema."""
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


def dialected(contract: Contract, dialect: str, state: State) -> Any:
    """Return the document of a task in a dialect."""
    relay = MockRelay(contract, dialect=dialect)
    return parse_json(get(relay, relay.known[state]).body)


def test_dialects_of_unset_values() -> None:
    """Unset values become null, zero or missing only where the schema allows it."""
    apiai, zhongzhuan = PACKAGED["apiai"], PACKAGED["zhongzhuan"]
    queued = dialected(apiai, "zeros", State.QUEUED)
    assert (queued["startTime"], queued["imageUrl"], queued["progress"]) == (0, "", "")
    assert "startTime" not in dialected(apiai, "absent", State.QUEUED)
    assert dialected(apiai, "nulls", State.QUEUED)["buttons"] is None
    assert dialected(zhongzhuan, "zeros", State.QUEUED)["buttons"] == []
    assert dialected(zhongzhuan, "zeros", State.QUEUED)["properties"] is None, "it has required members"


def test_dialects_of_alternatives() -> None:
    """A dialect serves the second of two documented responses."""
    several = varied(
        "several",
        missing=[{"status": 404}, {"status": 410}],
        unauthorized=[{"status": 401}, {"status": 403}],
    )
    assert get(MockRelay(several), MISSING).status == 404
    assert get(MockRelay(several, dialect="other-missing"), MISSING).status == 410
    assert get(MockRelay(several), MISSING, "wrong").status == 401
    assert get(MockRelay(several, dialect="other-refusal"), MISSING, "wrong").status == 403


def test_gzip() -> None:
    """A gzip bomb is small and decompresses to a valid task; plain gzip does too."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["gzip-bomb"])
    response = get(relay, relay.known[State.SUCCEEDED])
    assert dict(response.headers)["content-encoding"] == "gzip"
    unpacked = gzip.decompress(response.body)
    assert len(unpacked) > 16 << 20 > 500 * len(response.body)
    assert parse_json(unpacked) == contract.examples["succeeded"]
    plain = MockRelay(contract, faults=["gzip-unasked"])
    packed = get(plain, plain.known[State.SUCCEEDED]).body
    assert parse_json(gzip.decompress(packed)) == contract.examples["succeeded"]


def test_rate_limits() -> None:
    """Five requests are served, further ones get 429 with Retry-After."""
    contract = PACKAGED["apiai"]
    for fault, after in (("rate-limited", "30"), ("retry-after-nonsense", "in a while")):
        relay = MockRelay(contract, faults=[fault])
        responses = [get(relay, MISSING) for _ in range(7)]
        assert [response.status for response in responses] == [404] * 5 + [429] * 2
        assert responses[-1].headers == (("retry-after", after),)


def test_faults_of_credentials() -> None:
    """Each fault accepts or refuses exactly the requests that its summary describes."""
    contract = PACKAGED["zhongzhuan"]
    bearer, secret = contract.credentials
    known = MockRelay(contract).known[State.SUCCEEDED]
    requests = {
        "right": request_for(contract, known),
        "wrong": request_for(contract, known, "wrong"),
        "none": request_for(contract, known, None),
        "other header": evolve(contract.request(known), headers=(("X-Token", KEY),)),
        "other scheme": evolve(contract.request(known), headers=(("Authorization", f"Token {KEY}"),)),
        "lower case": evolve(contract.request(known), headers=(("Authorization", f"bearer {KEY}"),)),
        "second credential": request_for(contract, known, KEY, secret),
    }
    usual = {"right", "lower case", "second credential"}
    for fault, expected in {
        "wrong-auth-accepted": usual | {"wrong"},
        "no-auth-accepted": usual | {"none", "other header"},
        "other-header-accepted": usual | {"other header", "other scheme"},
        "alternative-refused": {"right", "lower case"},
        "scheme-case-sensitive": {"right", "second credential"},
        "refused-with-task": usual,
    }.items():
        relay = MockRelay(contract, faults=[fault])
        responses = {
            name: relay.answer(request.method, request.target, request.headers)
            for name, request in requests.items()
        }
        assert {name for name, response in responses.items() if response.status == 200} == expected, fault
        tasks = {name for name, response in responses.items() if known.encode() in response.body}
        assert tasks == (set(requests) if fault == "refused-with-task" else expected), fault
    assert bearer.prefix


def test_a_fault_changes_its_own_responses_only() -> None:
    """A fault changes responses on its routes and for its states; equal mocks return equal responses."""
    for contract in (ODD, BATCHES):
        requests = sample_requests(contract)
        for fault in FAULTS.values():
            if not fault.applies(contract):
                continue
            clock = FakeClock()
            right, wrong, twin = (
                MockRelay(contract, clock=clock, faults=faults) for faults in ((), [fault.name], [fault.name])
            )
            changed = set()
            for label, request in requests.items():
                sent = (request.method, request.target, request.headers, request.body)
                response = wrong.answer(*sent)
                assert response == twin.answer(*sent), fault.name
                if response != right.answer(*sent):
                    changed.add(label)
            assert changed, fault.name
            assert "elsewhere" not in changed, fault.name
            states = {state for state in right.known if changed & {f"known {state}", f"known {state} again"}}
            assert states <= fault.states, fault.name
            if fault.on_request is None:
                routes = {label.partition(",")[0].partition(" ")[0] for label in changed}
                assert routes <= {ROUTES[route] for route in fault.routes} | {"batch"}, fault.name


ROUTES = {
    Route.TASK: "known",
    Route.BATCH: "batch",
    Route.MISSING: "missing",
    Route.REFUSED: "refused",
    Route.INVALID: "invalid",
    Route.ELSEWHERE: "method",
    Route.SUBMIT: "submit",
}


@given(contract=st.sampled_from([*CONTRACTS.values()]), data=st.data())
@settings(max_examples=40)
def test_faults_and_dialects_combine(contract: Contract, data: st.DataObject) -> None:
    """Any combination of faults and a dialect gives responses that HTTP can carry."""
    applying = [name for name, fault in FAULTS.items() if fault.applies(contract)]
    dialects = [None, *(name for name, dialect in DIALECTS.items() if dialect.applies(contract))]
    faults = data.draw(st.lists(st.sampled_from(applying), max_size=5))
    relay = MockRelay(contract, faults=faults, dialect=data.draw(st.sampled_from(dialects)))
    for request in sample_requests(contract).values():
        response = relay.answer(request.method, request.target, request.headers, request.body)
        assert 200 <= response.status < 600
        for name, value in response.framed:
            assert re.fullmatch(r"[\x21-\x7e]+", name)
            assert re.fullmatch(r"[\x20-\x7e]*", value)


def test_unknown_and_unsupported_dialects() -> None:
    """The error suggests a similar name, or names the dialect and the relay."""
    with pytest.raises(UnknownDialectError, match=r"did you mean nulls.*--list-dialects") as caught:
        MockRelay(PACKAGED["apiai"], dialect="null")
    assert isinstance(caught.value, MjrelayError)
    with pytest.raises(InapplicableDialectError, match=r"other-missing.*apiai"):
        MockRelay(PACKAGED["apiai"], dialect="other-missing")
