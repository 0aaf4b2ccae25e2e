"""Each check alone: a response that passes, one that fails, and one that it does not apply to."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.checks import CHECKS, needed_checks
from mjrelay_conformance.judging.checking import Level, Outcome, Row, judge_observation
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.schema import schema_of

from mjrelay import State
from mjrelay.contract.document import Contract
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.http.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay_conformance.judging.checking import Check

KEY = "sk-0123456789abcdef"
PASS, FAIL, NOT = Outcome.PASS, Outcome.FAIL, Outcome.NOT_APPLICABLE
MUST, SHOULD, INFO = Level.MUST, Level.SHOULD, Level.INFO
DEFAULT = "zhongzhuan"


def example(state: str = "succeeded", relay: str = DEFAULT, **changes: Any) -> dict[str, Any]:
    """Return an example task of a contract, with some members changed."""
    return {**copy.deepcopy(load_contract(relay).examples[state]), **changes}


def observed(
    document: Any,
    kind: Kind = Kind.KNOWN,
    *,
    relay: str | Contract = DEFAULT,
    task_id: str | None = None,
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),),
    exchange: dict[str, Any] | None = None,
    **more: Any,
) -> Observation:
    """Return an observation of one response, given as a document or as bytes."""
    one = load_contract(relay) if isinstance(relay, str) else relay
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    if task_id is None:
        found = one.reader.id(document)
        task_id = "1" if found is None else str(found)
    received: dict[str, Any] = {"status": 200, "headers": tuple(headers), "body": body} | (exchange or {})
    response = Exchange("GET", "http://relay.test/mj/task/1/fetch", **received)
    more.setdefault("accepted", True)
    return Observation(one, schema_of(one), kind, task_id, response, **more)


def row(check: str, observation: Observation) -> Row:
    """Return the row of one check, after the checks that it needs."""
    return judge_observation(observation, 1, _needed(check))[-1]


@cache
def _needed(check: str) -> list[Check]:
    return needed_checks([check])


def outcome(check: str, observation: Observation) -> Outcome:
    """Return the outcome of one check."""
    return row(check, observation).outcome


@pytest.mark.parametrize("relay", relay_names())
def test_the_contracts_own_examples_have_no_finding(relay: str) -> None:
    """The examples of a contract pass every check, fetched twice."""
    contract = load_contract(relay)
    for name, document in contract.examples.items():
        # The page's placeholders, links that no one can open, and errors with status 200.
        if name in {"documented", "localhost"} or not contract.reader.accepts(document):
            continue
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        first = observed(document, relay=relay, headers=headers)
        rows = judge_observation(evolve(first, earlier=(first,)), 1, CHECKS.values())
        assert [one for one in rows if one.outcome in {Outcome.FAIL, Outcome.ERROR}] == []


# --- transport


@pytest.mark.parametrize(
    ("elapsed", "result", "level"), [(0.9, PASS, SHOULD), (1.5, FAIL, INFO), (11.0, FAIL, SHOULD)]
)
def test_latency(elapsed: float, result: Outcome, level: Level) -> None:
    """More than a second is INFO, more than ten are SHOULD, for any kind of request."""
    for kind in Kind:
        found = row("fetch/latency", observed({}, kind, exchange={"elapsed": elapsed}))
        assert (found.outcome, found.level) == (result, level)


@pytest.mark.parametrize(
    ("size", "value", "result", "level"),
    [
        (2000, "2000", PASS, SHOULD),
        (300_000, "", FAIL, INFO),
        (10, "300000", FAIL, INFO),
        (1_100_000, "", FAIL, SHOULD),
        (10, "99999999999", FAIL, SHOULD),
        (10, "many", PASS, SHOULD),
        (10, "\u0663" * 9, PASS, SHOULD),
    ],
)
def test_size(size: int, value: str, result: Outcome, level: Level) -> None:
    """The received and the announced size count; an invalid Content-Length is ignored."""
    found = row("fetch/size", observed(b" " * size, Kind.ODD, headers=[("content-length", value)]))
    assert (found.outcome, found.level) == (result, level)


@given(st.text() | st.integers().map(str))
def test_any_content_length_is_judged(value: str) -> None:
    """Any Content-Length is judged."""
    assert outcome("fetch/size", observed(b"", Kind.ODD, headers=[("Content-Length", value)])) in {PASS, FAIL}


@pytest.mark.parametrize(
    ("sent", "came", "result"),
    [
        (["identity"], "gzip", FAIL),
        (["identity"], "identity", PASS),
        (["identity"], None, PASS),
        (["gzip, identity"], "gzip", NOT),
        (["identity", "gzip"], "gzip", NOT),
        ([], "gzip", NOT),
    ],
)
def test_content_encoding(sent: list[str], came: str | None, result: Outcome) -> None:
    """Only a request that accepts nothing but identity forbids an encoding."""
    observation = observed(
        {},
        Kind.ODD,
        headers=[] if came is None else [("Content-Encoding", came)],
        exchange={"request_headers": tuple(("Accept-Encoding", value) for value in sent)},
    )
    assert outcome("fetch/content-encoding", observation) is result


@pytest.mark.parametrize(
    ("status", "value", "result"),
    [
        (200, None, NOT),
        (500, None, NOT),
        (429, None, FAIL),
        (503, "soon", FAIL),
        (429, "60", PASS),
        (503, "Fri, 20 Nov 2026 08:00:00 GMT", PASS),
    ],
)
def test_retry_after(status: int, value: str | None, result: Outcome) -> None:
    """A 429 or 503 needs Retry-After, in seconds or as a date."""
    headers = [] if value is None else [("Retry-After", value)]
    assert outcome("fetch/retry-after", observed({}, headers=headers, exchange={"status": status})) is result


@given(st.text())
def test_any_retry_after_is_judged(value: str) -> None:
    """Any Retry-After is judged."""
    observation = observed({}, headers=[("Retry-After", value)], exchange={"status": 429})
    assert outcome("fetch/retry-after", observation) in {PASS, FAIL}


@pytest.mark.parametrize(
    ("credential", "status", "header", "level"),
    [
        ("query", 301, "Location", INFO),
        ("query", 200, "Location", MUST),
        ("header", 301, "Location", MUST),
        ("cookie", 200, "Set-Cookie", INFO),
        ("cookie", 200, "X-Debug", MUST),
        ("header", 405, "Set-Cookie", MUST),
    ],
)
def test_what_http_repeats_is_informational(credential: str, status: int, header: str, level: Level) -> None:
    """A redirect repeats the URL and a session its cookie; any other repetition of the key is a leak."""
    plain = load_contract(DEFAULT)
    document = copy.deepcopy(plain.document)
    document["components"]["securitySchemes"] = {
        "only": {"type": "apiKey", "in": credential, "name": "Authorization"}
    }
    document["paths"][plain.location[1]][plain.location[2]]["security"] = [{"only": []}]
    one = evolve(plain, document=document)
    observation = observed(
        b"{}",
        relay=one,
        headers=[(header, f"https://relay.test/?key={KEY}")],
        exchange={"status": status},
        secrets=(KEY,),
        credential="only",
        task_id="1",
    )
    found = row("fetch/secret", observation)
    assert (found.outcome, found.level) == (FAIL, level)


@pytest.mark.parametrize("place", ["name", "value", "body"])
def test_a_secret_is_found_beside_others(place: str) -> None:
    """The key is found in any part of the response, and the finding names the part."""
    headers = [("X-A", "1"), (KEY if place == "name" else "X-B", KEY if place == "value" else "2")]
    body = f'{{"seen": "{KEY if place == "body" else ""}"}}'.encode()
    found = row("fetch/secret", observed(body, headers=headers, secrets=(KEY,)))
    assert found.outcome is FAIL
    assert {"name": "[redacted]", "value": "X-B", "body": "the body"}[place] in (found.actual or "")


def test_adjacent_fields_are_searched_separately() -> None:
    """The end of one header field and the start of the next are not searched as one text."""
    secret = "first-half\nsecond-half"
    headers = [("X-A", "first-half"), ("second-half", "1")]
    assert outcome("fetch/secret", observed(b"{}", headers=headers, secrets=(secret,))) is PASS


# --- representation


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(JSON)
def test_a_serialized_dictionary_has_no_duplicate_names(document: Any) -> None:
    """JSON from a dictionary always passes."""
    assert outcome("fetch/200/duplicate-names", observed(document)) is PASS


@given(JSON, st.text(st.characters(exclude_categories=["Cs"])))
def test_a_repeated_name_is_found(document: Any, name: str) -> None:
    """A duplicate name is found anywhere."""
    twice = f'{{{json.dumps(name)}: {json.dumps(document)}, {json.dumps(name)}: 1, "id": "1"}}'
    assert outcome("fetch/200/duplicate-names", observed(f"[{twice}]".encode())) is FAIL


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    ("prompt", "result"),
    [
        ("a cat", PASS),
        ("一只猫", PASS),
        ("café à la crème", PASS),
        ("naïve Ã©", PASS),
        ("Â© 2026", PASS),
        ("一只猫".encode().decode("latin-1"), FAIL),
        ("кот, кошка".encode().decode("cp1252"), FAIL),
        ("“猫咪”".encode().decode("latin-1"), FAIL),
        ("größte Äpfel".encode().decode("cp1252"), FAIL),
        ("é".encode().decode("latin-1"), PASS),
    ],
)
def test_encoded_twice(prompt: str, result: Outcome, ascii_only: bool) -> None:
    """Only text that decodes as UTF-8 once more, to letters, was encoded twice."""
    body = json.dumps(example(prompt=prompt), ensure_ascii=ascii_only).encode()
    assert outcome("fetch/200/encoded-twice", observed(body)) is result


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=2), st.booleans())
def test_chinese_that_was_encoded_twice_is_found(prompt: str, windows: bool) -> None:
    """Chinese text that was encoded twice is found, with either code page."""
    spoiled = "".join(
        bytes([byte]).decode(
            "cp1252" if windows and byte not in {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin-1"
        )
        for byte in prompt.encode()
    )
    observation = observed(example(prompt=spoiled))
    assert outcome("fetch/200/encoded-twice", observation) is FAIL
    assert outcome("fetch/200/encoded-twice", observed(example(prompt=prompt))) is PASS


@given(JSON, st.text(st.characters(max_codepoint=127)))
def test_ascii_was_never_encoded_twice(document: Any, prompt: str) -> None:
    """ASCII always passes, and any JSON is judged."""
    assert outcome("fetch/200/encoded-twice", observed({"prompt": prompt})) is PASS
    assert outcome("fetch/200/encoded-twice", observed(document)) in {PASS, FAIL}


# --- schema


def made(**properties: Any) -> Contract:
    """Return a contract whose tasks have an id, a status and the given properties."""
    one = load_contract("apiai")
    document = copy.deepcopy(one.document)
    task = document["components"]["schemas"]["Task"]
    task["properties"] = {key: task["properties"][key] for key in ("id", "status")} | properties
    document["components"]["schemas"]["Any"] = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/components/schemas/Any"}, {"type": "null"}]}},
    }
    return Contract("made", document, one.source)


@pytest.mark.parametrize(
    ("schema", "value", "unknown"),
    [
        ({}, {"a": 1}, None),
        ({"type": "object"}, {"a": 1}, None),
        ({"type": ["object", "null"]}, {"a": 1}, None),
        ({"properties": {"a": {}}}, {"a": 1}, None),
        ({"properties": {"a": {}}}, {"b": 1}, "/x/b"),
        ({"properties": {"a": {}}, "additionalProperties": True}, {"b": 1}, None),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"b": "c"}, None),
        ({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"a": 1, "b": 1}, None),
        ({"anyOf": [{"properties": {"a": {}}}, {"type": "object"}]}, {"c": 1}, None),
        ({"type": "array", "items": {"properties": {"a": {}}}}, [{"a": 1}, {"b": 1}, {"b": 2}], "/x/*/b"),
        ({"$ref": "#/components/schemas/Any"}, {"next": {"next": {"more": 1}}}, "/x/next/next/more"),
        ({"$ref": "#/components/schemas/Any"}, {"next": {"next": None}}, None),
        ({"type": "string"}, "text", None),
    ],
)
def test_undocumented_keys(schema: dict[str, Any], value: Any, unknown: str | None) -> None:
    """A key is undocumented if the schema lists others, but not in free-form objects."""
    one = made(x=schema)
    found = row("fetch/200/undocumented", observed({"id": "1", "status": "SUCCESS", "x": value}, relay=one))
    assert (found.outcome, found.level) == (PASS if unknown is None else FAIL, INFO)
    assert found.actual == unknown


def test_many_undocumented_keys_are_counted() -> None:
    """Some keys are named and the others counted; the check does not apply to a list."""
    extra = {f"key{n}": n for n in range(9)}
    found = row("fetch/200/undocumented", observed(example() | extra))
    assert found.actual == "/key0, /key1, /key2, /key3, /key4 and 4 more"
    assert outcome("fetch/200/undocumented", observed([1])) is NOT


# --- task


@pytest.mark.parametrize(
    ("value", "explanation"),
    [
        (1730621826, "seconds, where the contract says milliseconds (read so: 1970-01-21 00:43:41 UTC)"),
        ("1730621826", "seconds, where the contract says milliseconds (read so: 1970-01-21 00:43:41 UTC)"),
        (1730621826053000, "microseconds, where the contract says milliseconds"),
        (3, "1970-01-01 00:00:00 UTC"),
        ("soon", "not a timestamp"),
        (True, "not a timestamp"),
        (10**19, "not a timestamp"),
    ],
)
def test_an_implausible_timestamp_is_explained(value: Any, explanation: str) -> None:
    """The finding names the field, the value, and the unit that would make it plausible."""
    shown = value if isinstance(value, str) else json.dumps(value)
    found = row("fetch/200/times", observed(example(submitTime=value)))
    assert found.outcome is FAIL
    assert (found.actual or "").startswith(f"`submitTime` is {shown}: {explanation}")


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("https://cdn.example.com/a.png", PASS),
        ("https://8.8.8.8/a.png", PASS),
        ("http://relay.test/a.png", PASS),
        ("http://cdn.example.com/a.png", FAIL),
        ("https://localhost/a.png", FAIL),
        ("http://localhost:3000/mj/image/1", FAIL),
        ("https://minio/a.png", FAIL),
        ("https://nas.local./a.png", FAIL),
        ("https://127.0.0.1/a.png", FAIL),
        ("https://127.1/a.png", FAIL),
        ("https://2130706433/a.png", FAIL),
        ("https://0x7f.0.0.1/a.png", FAIL),
        ("https://192.168.1.4/a.png", FAIL),
        ("https://[::1]/a.png", FAIL),
        ("https://[::ffff:10.0.0.1]/a.png", FAIL),
        ("https://1.2.3.4.5/a.png", FAIL),
        ("https://key@cdn.example.com/a.png", FAIL),
        ("https://cdn.example.com:port/a.png", FAIL),
    ],
)
def test_media_url(url: str, result: Outcome) -> None:
    """Only https URLs on public hosts pass, and those on the server that was asked."""
    assert outcome("fetch/200/media-url", observed(example(imageUrl=url))) is result


def test_media_url_on_the_host_of_the_relay() -> None:
    """A URL on the private host of the relay itself passes; the check needs media."""
    url = "http://127.0.0.1:8080/mj/task/1/fetch"
    task = example(imageUrl="http://127.0.0.1:8080/mj/image/1")
    observation = observed(task)
    assert outcome("fetch/200/media-url", observation) is FAIL
    here = evolve(observation, exchange=evolve(observation.exchange, url=url))
    assert outcome("fetch/200/media-url", here) is PASS
    assert outcome("fetch/200/media-url", observed(example("running"))) is NOT


SIGNED = "https://cdn.example.com/a.png?ex={:x}&is=1&hm=1"


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"imageUrl": SIGNED.format(1730621855 + 86_400)}, PASS),
        ({"imageUrl": SIGNED.format(1730621855 - 60)}, FAIL),
        ({"imageUrl": "https://cdn.example.com/a.png?Expires=1700000000"}, FAIL),
        ({"imageUrl": "https://cdn.example.com/a.png"}, NOT),
        ({"imageUrl": "https://[cdn/a.png?Expires=1"}, NOT),
        ({"imageUrl": SIGNED.format(1), "submitTime": 0, "startTime": 0, "finishTime": 0}, NOT),
        ({"imageUrl": SIGNED.format(1), "status": "IN_PROGRESS"}, NOT),
    ],
)
def test_media_expired(changes: dict[str, Any], result: Outcome) -> None:
    """A URL must be valid after the end of its task; that it has expired since is no finding."""
    assert outcome("fetch/200/media-expired", observed(example(**changes))) is result


@given(st.text(), st.text())
def test_any_link_is_judged(url: str, query: str) -> None:
    """Any value of a URL is judged, and no check crashes."""
    for foreign in (url, f"https://{url}?{query}", f"https://cdn.example.com/?ex={query}&hm=1"):
        rows = judge_observation(observed(example(imageUrl=foreign)), 1, CHECKS.values())
        assert [one for one in rows if one.outcome is Outcome.ERROR] == []


# --- credentials

FAMILIES = {
    "wrong": (Kind.BAD_CREDENTIAL, MUST),
    "none": (Kind.NO_CREDENTIAL, MUST),
    "misplaced": (Kind.MISPLACED, SHOULD),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_rejections(name: str) -> None:
    """A leaked task, a server error and an undescribed response each break one check."""
    kind, highest = FAMILIES[name]
    ids = [f"auth/{name}/{part}" for part in ("refused", "no-server-error", "answer")]

    def outcomes(observation: Observation) -> list[Outcome]:
        return [outcome(id_, observation) for id_ in ids]

    right = observed({"error": {}}, kind, relay="apiai", exchange={"status": 401})
    assert outcomes(right) == [PASS, PASS, PASS]
    let_in = observed(example(relay="apiai"), kind, relay="apiai")
    assert outcomes(let_in) == [FAIL, PASS, Outcome.BLOCKED]
    assert row(ids[0], let_in).level is highest
    broken = observed(b"", kind, relay="apiai", exchange={"status": 502})
    assert outcomes(broken) == [PASS, FAIL, Outcome.BLOCKED]
    other = observed(b"", kind, relay="apiai", exchange={"status": 404})
    assert outcomes(other) == [PASS, PASS, FAIL]
    assert row(ids[2], other).level is highest


def test_a_misplaced_key_counts_only_if_no_key_is_rejected() -> None:
    """A relay that answers without a key has no further finding for a misplaced one."""
    without = observed(example(relay="apiai"), Kind.NO_CREDENTIAL, relay="apiai")
    misplaced = observed(example(relay="apiai"), Kind.MISPLACED, relay="apiai", earlier=(without,))
    assert outcome("auth/misplaced/refused", misplaced) is Outcome.BLOCKED
    assert outcome("auth/misplaced/answer", misplaced) is Outcome.BLOCKED
    refused = observed({"error": {}}, Kind.NO_CREDENTIAL, relay="apiai", exchange={"status": 401})
    assert outcome("auth/misplaced/refused", evolve(misplaced, earlier=(refused,))) is FAIL
    wrong = observed(example(relay="apiai"), Kind.BAD_CREDENTIAL, relay="apiai")
    assert outcome("auth/misplaced/refused", evolve(misplaced, earlier=(wrong,))) is FAIL


@pytest.mark.parametrize(
    ("part", "status", "document", "before", "result"),
    [
        ("answer", 200, {"code": 1, "said": ["no"]}, {"code": 2, "said": ["never"]}, NOT),
        ("answer", 200, {"code": 1}, {"code": "1"}, FAIL),
        ("answer", 200, {"code": 1}, {"reason": 1}, FAIL),
        ("answer", 200, {"code": 1}, b"no JSON", FAIL),
        ("answer", 200, b"<p>1", b"<p>2", NOT),
        ("no-server-error", 502, b"", b"", NOT),
        ("answer", 401, {"error": {}}, {"error": {}}, PASS),
    ],
)
def test_equal_rejections_are_reported_once(
    part: str, status: int, document: Any, before: Any, result: Outcome
) -> None:
    """An equal response to another rejected request is no further finding, except for a wrong key."""

    def refusal(kind: Kind, body: Any, *earlier: Observation, status: int = status) -> Observation:
        return observed(body, kind, relay="apiai", exchange={"status": status}, earlier=earlier)

    wrong = refusal(Kind.BAD_CREDENTIAL, before)
    assert outcome(f"auth/none/{part}", refusal(Kind.NO_CREDENTIAL, document, wrong)) is result
    assert outcome(f"auth/misplaced/{part}", refusal(Kind.MISPLACED, document, wrong)) is result
    otherwise = FAIL if result is NOT else result
    assert outcome(f"auth/none/{part}", refusal(Kind.NO_CREDENTIAL, document)) is otherwise
    other = refusal(Kind.BAD_CREDENTIAL, before, status=404)
    assert outcome(f"auth/none/{part}", refusal(Kind.NO_CREDENTIAL, document, other)) is otherwise
    none = refusal(Kind.NO_CREDENTIAL, before)
    assert outcome(f"auth/wrong/{part}", refusal(Kind.BAD_CREDENTIAL, document, none)) is otherwise


@pytest.mark.parametrize("name", FAMILIES)
def test_an_open_contract_requires_no_rejections(name: str) -> None:
    """If the contract requires no key, the checks of rejections do not apply."""
    document = copy.deepcopy(load_contract("apiai").document)
    document["paths"]["/mj/task/{id}/fetch"]["get"]["security"].append({})
    one = Contract("open", document, load_contract("apiai").source)
    observation = observed(example(relay="apiai"), FAMILIES[name][0], relay=one)
    for part in ("refused", "no-server-error", "answer"):
        assert outcome(f"auth/{name}/{part}", observation) is NOT


@pytest.mark.parametrize(
    ("credential", "header", "check", "level"),
    [
        ("secret", ("mj-api-secret", "[redacted]"), "auth/alternative/works", SHOULD),
        ("bearer", ("Authorization", "Bearer [redacted]"), "auth/alternative/works", MUST),
        ("bearer", ("authorization", "bearer [redacted]"), "auth/scheme/case", MUST),
    ],
)
def test_each_security_scheme(credential: str, header: tuple[str, str], check: str, level: Level) -> None:
    """A documented scheme must work; the level follows the evidence, or the RFC for the scheme name."""
    other = ({"auth/alternative/works", "auth/scheme/case"} - {check}).pop()
    task = example()
    more: dict[str, Any] = {
        "task_id": task["id"],
        "credential": credential,
        "earlier": (observed(task),),
    }
    sent = {"request_headers": (header,)}
    works = observed(task, Kind.ALTERNATIVE, exchange=sent, **more)
    assert (outcome(check, works), outcome(other, works)) == (PASS, NOT)
    refused = observed({"error": {}}, Kind.ALTERNATIVE, exchange={"status": 401} | sent, **more)
    found = row(check, refused)
    assert (found.outcome, found.level) == (FAIL, level)
    wrong = observed(example(id="7"), Kind.ALTERNATIVE, exchange=sent, **more)
    assert outcome(check, wrong) is FAIL
    lost = observed(b"", exchange={"status": 404})
    for earlier in ((), (observed(task), lost)):
        assert outcome(check, evolve(refused, earlier=earlier)) is Outcome.INCONCLUSIVE


# --- sequence


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        ({"progress": "31%"}, {"progress": "31%"}, PASS),
        ({"progress": "31%"}, {"progress": "30%"}, FAIL),
        ({"progress": "31%"}, {"progress": "waiting"}, PASS),
        ({"progress": "31%"}, {"progress": "", "status": "FAILURE", "failReason": "banned"}, PASS),
        ({"progress": "31%"}, {"progress": "0%", "status": "SUBMITTED"}, FAIL),
        ({"progress": "0%", "status": ""}, {"progress": "0%"}, NOT),
    ],
)
def test_a_running_task_never_goes_back(
    before: dict[str, Any], after: dict[str, Any], result: Outcome
) -> None:
    """Decreasing progress and a return to the queue are findings; a failure without progress is not."""
    first = observed(example("running", **before))
    second = observed(example("running", **after), earlier=(first,))
    found = row("sequence/progress", second)
    assert (found.outcome, found.level) == (result, INFO)
    assert outcome("sequence/progress", first) is NOT


# --- caching


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, PASS),
        ("no-store", PASS),
        ("private", PASS),
        ("public", FAIL),
        ("Public, Max-Age=60", FAIL),
        ("private, max-age=60", FAIL),
        ('s-maxage="5"', FAIL),
        ("max-age=0", PASS),
        ("public, max-age=0, must-revalidate", PASS),
        ("no-cache, max-age=60", PASS),
    ],
)
def test_caching_of_a_running_task(value: str | None, result: Outcome) -> None:
    """Only a cacheable response of a running task is a finding."""
    headers = [("Content-Type", "application/json")]
    headers += [] if value is None else [("Cache-Control", value)]
    assert outcome("caching/running", observed(example("running"), headers=headers)) is result
    assert outcome("caching/running", observed(example(), headers=headers)) is NOT


@given(st.lists(st.text()))
def test_any_cache_control_is_judged(value: list[str]) -> None:
    """Any Cache-Control is judged."""
    headers = [("Content-Type", "application/json"), *(("Cache-Control", value) for value in value)]
    assert outcome("caching/running", observed(example("running"), headers=headers)) in {PASS, FAIL}


# --- methods


@pytest.mark.parametrize(("status", "result"), [(404, PASS), (405, PASS), (501, PASS), (500, FAIL)])
def test_no_server_error_for_other_methods(status: int, result: Outcome) -> None:
    """501 passes, and a relay that always fails has no further finding."""
    observation = observed(b"", Kind.METHOD, exchange={"status": status})
    assert outcome("method/no-server-error", observation) is result
    down = observed(b"", exchange={"status": 502})
    assert outcome("method/no-server-error", evolve(observation, earlier=(down,))) is Outcome.BLOCKED


# --- batch

SUCCEEDED, FAILED = example(), example("failed")
IDS = (SUCCEEDED["id"], FAILED["id"], "9999999999999999")
CHANGED = example(prompt="a dog")
BATCH = ["status", "json", "only-asked", "missing-omitted", "schema", "like-single"]


def batched(document: Any, *earlier: Observation, ids: tuple[str, ...] = IDS, **more: Any) -> Observation:
    """Return an observation of a batch request whose tasks were fetched before."""
    readings = earlier or (observed(SUCCEEDED), observed(FAILED))
    return observed(document, Kind.BATCH, ids=ids, earlier=readings, **more)


@pytest.mark.parametrize(
    ("document", "broken"),
    [
        (b"[", "json"),
        ([SUCCEEDED, {}], "missing-omitted"),
        ({"tasks": [SUCCEEDED]}, "schema"),
        ([{**FAILED, "status": "SUCCESS"}], "like-single"),
        ([SUCCEEDED, {**FAILED, "failReason": "another"}], None),
        ([FAILED, {**SUCCEEDED, "imageUrl": SUCCEEDED["imageUrl"] + "x=1"}], None),
    ],
)
def test_batch(document: Any, broken: str | None) -> None:
    """Each fault of a batch breaks one check, at the level of the contract's evidence."""
    rows = judge_observation(batched(document), 1, CHECKS.values())
    found = {one.check: one.level for one in rows if one.outcome in {FAIL, Outcome.ERROR}}
    level = {"only-asked": MUST, "complete": INFO}.get(str(broken), SHOULD)
    assert found == ({} if broken is None else {f"batch/{broken}": level})


def test_a_rejected_batch() -> None:
    """A batch with known ids must return 200; one without may return anything but other tasks."""
    refused = batched({"code": 4}, exchange={"status": 400})
    found = row("batch/status", refused)
    assert (found.outcome, found.level) == (FAIL, SHOULD)
    unknown = evolve(refused, ids=IDS[2:])
    assert [outcome(f"batch/{name}", unknown) for name in BATCH] == [NOT, NOT, PASS, NOT, NOT, NOT]
    leak = batched({"code": 4, "data": SUCCEEDED}, ids=IDS[2:], exchange={"status": 400})
    assert outcome("batch/only-asked", leak) is FAIL


@pytest.mark.parametrize(
    ("document", "reading", "check"),
    [
        ({"code": 4}, observed(b"", task_id=IDS[0], exchange={"status": 500}), "status"),
        (b"<html>", observed(b"<html>", task_id=IDS[0]), "json"),
        ([example(submitTime="now")], observed(example(submitTime="now")), "schema"),
        ([None], observed(None, task_id=IDS[0]), "missing-omitted"),
    ],
)
def test_faults_of_single_fetches_block_the_batch_checks(
    document: Any, reading: Observation, check: str
) -> None:
    """A fault that the single fetch has too is no finding of the batch."""
    status = {"status": 500} if check == "status" else {}
    observation = batched(document, reading, exchange=status)
    assert outcome(f"batch/{check}", observation) is Outcome.BLOCKED


def test_a_changing_task_blocks_the_batch_checks() -> None:
    """If two fetches of an ended task differ, a third proves nothing about the batch."""
    readings = (observed(SUCCEEDED), observed(CHANGED))
    assert outcome("batch/like-single", batched([example(prompt="a third")], *readings)) is Outcome.BLOCKED
    wrong = observed(example(id="1730621826053000"), task_id=IDS[0])
    assert outcome("batch/only-asked", batched([example(id="1730621826053000")], wrong)) is PASS
    running = observed(example("running"), task_id=IDS[0])
    assert outcome("batch/like-single", batched([SUCCEEDED], running)) is NOT


@given(st.binary() | JSON.map(lambda document: json.dumps(document).encode()), st.sampled_from([200, 404]))
def test_any_batch_is_judged(body: bytes, status: int) -> None:
    """Any batch response is judged, and no check crashes."""
    rows = judge_observation(batched(body, exchange={"status": status}), 1, CHECKS.values())
    assert Outcome.ERROR not in {one.outcome for one in rows}


def test_an_expected_state_changes_one_check() -> None:
    """The state given with --task affects only the check that compares it."""
    plain, expecting = observed(SUCCEEDED), observed(SUCCEEDED, expected=State.FAILED)
    differing = {
        one.check
        for one, other in zip(
            judge_observation(plain, 1, CHECKS.values()),
            judge_observation(expecting, 1, CHECKS.values()),
            strict=True,
        )
        if one != other
    }
    assert differing == {"fetch/200/state"}
