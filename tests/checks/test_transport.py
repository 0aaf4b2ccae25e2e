"""Checks of the transfer and of the representation."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.judging.checking import judge_observation
from mjrelay_conformance.judging.observation import SUBMITS, Kind
from observations import (
    DEFAULT,
    FAIL,
    INFO,
    JSON,
    KEY,
    MUST,
    NOT,
    PASS,
    SHOULD,
    example,
    observed,
    outcome,
    row,
)

from mjrelay.contract.loading import load_contract

if TYPE_CHECKING:
    from mjrelay_conformance.judging.checking import Level, Outcome


@pytest.mark.parametrize(
    ("elapsed", "result", "level"), [(0.9, PASS, SHOULD), (1.5, FAIL, INFO), (11.0, FAIL, SHOULD)]
)
def test_latency(elapsed: float, result: Outcome, level: Level) -> None:
    """More than a second is INFO, more than ten are SHOULD, for any kind of request but submits."""
    for kind in set(Kind) - SUBMITS:
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


def test_the_secret_is_found_in_every_form() -> None:
    """A leaked key is found in any encoding, and no row repeats it."""
    for headers, document in (
        ([("X-Debug", f"Bearer {KEY}")], {}),
        ([(f"X-{KEY}", "1")], {}),
        ([], {"seen": base64.b64encode(KEY.encode()).decode()}),
        ([], {"seen": "".join(f"%{byte:02X}" for byte in KEY.encode())}),
        ([], f"<p>{KEY}</p>".encode()),
    ):
        found = observed(document, Kind.MISSING, headers=headers, task_id="1", secrets=(KEY,))
        rows = judge_observation(found, 1, CHECKS.values())
        assert [one.outcome for one in rows if one.check == "fetch/secret"] == [FAIL]
        assert KEY not in str(rows)


def test_no_row_cuts_through_a_secret() -> None:
    """A shortened value contains no part of the secret."""
    for length in range(60, 140, 7):
        body = b"y" * length + KEY.encode()
        found = row(
            "fetch/known/status", observed(body, task_id="1", exchange={"status": 500}, secrets=(KEY,))
        )
        assert found.outcome is FAIL
        assert KEY[:5] not in (found.actual or "")


@pytest.mark.parametrize(
    ("location", "result"),
    [
        ("http://[evil", FAIL),
        ("//elsewhere.test/", FAIL),
        ("https://relay.test/", FAIL),
        ("http://RELAY.TEST:80/x", PASS),
        ("/mj/task/1/fetch/", PASS),
    ],
)
def test_redirects_are_compared_by_origin(location: str, result: Outcome) -> None:
    """Another host, port or scheme is another origin; case and the default port make no difference."""
    found = observed(b"", task_id="1", headers=[("Location", location)], exchange={"status": 302})
    assert outcome("fetch/redirect", found) is result
