"""Checks of the schema, the task and its media."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.judging.checking import Outcome, judge_observation
from observations import FAIL, INFO, NOT, PASS, example, observed, outcome, row

from mjrelay import State
from mjrelay.contract.document import Contract
from mjrelay.contract.loading import load_contract, relay_names


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
    assert (found.quote == "format: ms") is ("where the contract says" in explanation)


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


CDN = "https://cdn.example.com/"
JOB = "7f0c2a9e-54b1-4c83-9d6e-2b1f8a3c5d7"
"""The start of a job id."""


@pytest.mark.parametrize(
    ("files", "result"),
    [
        ([f"{JOB}0/0_{n}.png" for n in range(4)], PASS),
        ([f"{JOB}0/0_{n}.png?sig={9 - n}" for n in range(8, 12)], PASS),
        ([f"{JOB}{n}.png" for n in range(4)], PASS),
        ([f"2026030{n}/{JOB}{n}.png" for n in (3, 1)], PASS),
        (["a/tl.png", "a/tr.png", "a/bl.png", "a/br.png"], PASS),
        ([f"attachments/{number}/a.png" for number in (1302547211321741343, 1302547211321741340)], PASS),
        (["a/0.png"], NOT),
        (["a/0.png", "a/2.png", "a/1.png"], FAIL),
        (["a/0.png", "a/1.png", "a/3.png"], FAIL),
        (["a/x.png?sig=1", "a/x.png?sig=2"], FAIL),
        ([*(f"{JOB}0/{n}.png" for n in range(3)), f"{JOB}1/3.png"], FAIL),
        (["a/1.png", "grid.png"], FAIL),
    ],
)
def test_a_list_of_media(files: list[str], result: Outcome) -> None:
    """Each file comes once, in order and from one job; names that show neither prove nothing."""
    task = example(
        relay="apimart", grid_image_url=f"{CDN}grid.png", image_urls=[CDN + file for file in files]
    )
    found = row("fetch/200/media-list", observed(task, relay="apimart"))
    assert (found.outcome, found.level) == (result, INFO)


@given(st.lists(st.text(), min_size=2))
def test_any_list_of_media_is_judged(files: list[str]) -> None:
    """Any list of texts is judged."""
    found = outcome(
        "fetch/200/media-list", observed(example(relay="apimart", image_urls=files), relay="apimart")
    )
    assert found in {PASS, FAIL, NOT, Outcome.BLOCKED}


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, PASS),
        ({"buttons": []}, FAIL),
        ({"buttons": None}, FAIL),
        ({"buttons": [], "action": "UPLOAD"}, NOT),
        ({"buttons": [], "status": "IN_PROGRESS"}, NOT),
    ],
)
def test_buttons(changes: dict[str, Any], result: Outcome) -> None:
    """Only a succeeded task of the kind of the contract's example must have buttons."""
    assert outcome("fetch/200/succeeded/buttons", observed(example(**changes))) is result


@pytest.mark.parametrize(
    ("schema", "value", "actual"),
    [
        ({"type": "integer"}, 817, None),
        ({"type": ["integer", "null"]}, 817.0, "/x is 817.0"),
        ({"type": "number"}, 817.0, None),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, 817.0, None),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2.0], "/x/1 is 2.0"),
        ({}, 817.0, None),
        ({"type": "string"}, "817.0,", None),
    ],
)
def test_integers(schema: dict[str, Any], value: Any, actual: str | None) -> None:
    """A fraction of zero is a finding where the contract allows integers and no other numbers."""
    found = row(
        "fetch/200/integers", observed({"id": "1", "status": "SUCCESS", "x": value}, relay=made(x=schema))
    )
    assert (found.outcome, found.actual) == (PASS if actual is None else FAIL, actual)


def test_an_expected_state_changes_one_check() -> None:
    """The state given with --task affects only the check that compares it."""
    plain, expecting = observed(example()), observed(example(), expected=State.FAILED)
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


def test_an_invalid_date_is_ignored() -> None:
    """An implausible Date counts as missing: timestamps are not in its future."""
    for date in ("Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", ""):
        headers = [("Content-Type", "application/json"), ("Date", date)]
        assert outcome("fetch/200/times", observed(example(), headers=headers)) is PASS


def test_a_deeply_nested_value_violates_the_schema() -> None:
    """A value nested beyond the validator's limit is a violation, and hides no other."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    assert outcome("fetch/200/schema", observed({**example(buttons=5), "state": deep})) is FAIL
