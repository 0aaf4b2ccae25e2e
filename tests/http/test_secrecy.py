"""Nothing that leaves holds the key, in whatever form and case the relay returned it."""

from __future__ import annotations

import base64
import io
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from attrs import evolve, field, frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mjrelay_conformance.checks import select_checks
from mjrelay_conformance.drivers.runner import Judge
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.judging.schema import schema_of
from mjrelay_conformance.report import html, junit, markdown, terminal
from rich.console import Console

from mjrelay.client.responses import ResponseReader
from mjrelay.client.task import RelayError
from mjrelay.contract.loading import load_contract
from mjrelay.doctor import examination
from mjrelay.download.job import Job
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import REDACTED, Redactor
from mjrelay.http.request import Request
from mjrelay.transport.response import ExchangeError, ResponseBuilder
from mjrelay.transport.transport import TransportConfig

if TYPE_CHECKING:
    from collections.abc import Callable


CONTRACT = load_contract("zhongzhuan")
TASK = str(CONTRACT.reader.id(CONTRACT.examples["succeeded"]))
URL = f"https://relay.test{CONTRACT.request(TASK).target}"

# A list, because for texts Hypothesis also tries those in our code, which a report may show.
KEYS = st.lists(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=50).map(
    lambda key: f"sk-{''.join(key)}"
)
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent-encoded": lambda key: quote(key, safe=""),
    "JSON": lambda key: json.dumps(key)[1:-1],
    "HTML": lambda key: "".join(f"&#x{ord(one):X};" for one in key),
    "Base32": lambda key: base64.b32encode(key.encode()).decode(),
    "Base64": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "Base64 twice": lambda key: base64.b64encode(base64.urlsafe_b64encode(key.encode())).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
}
CASES: dict[str, Callable[[str], str]] = {"as it is": str, "lower": str.lower, "upper": str.upper}
LEAKS = st.builds(
    lambda key, form, case: (key, CASES[case](FORMS[form](key))),
    KEYS,
    st.sampled_from(list(FORMS)),
    st.sampled_from(list(CASES)),
)


OPTIONS = {"mode": "live", "profile": "read", "fuzz": False, "strict": False, "checks": [], "seed": 0}


def responses(text: str) -> list[Exchange]:
    """Responses that hold a text where a relay can put it."""
    header = text if re.fullmatch(r"[\w.~-]+", text, re.ASCII) else "X-Echo"
    error = {"description": f"no such key: {text}", "error": {"message": text}, "code": 4}
    task = {**CONTRACT.examples["succeeded"], "status": text, "failReason": text, text: text}
    page = f"<html><body>{text}</body></html>".encode()
    fields = ((header, text), ("Content-Encoding", text), ("Location", f"https://relay.test/{text}"))
    json_type = ("Content-Type", "application/json")
    sent = Exchange("GET", URL)
    return [
        evolve(sent, status=200, headers=(json_type, *fields), body=json.dumps(task).encode()),
        evolve(sent, status=200, headers=(json_type,), body=f'{{"id": {text}'.encode()),
        evolve(sent, status=400, headers=(json_type, *fields), body=json.dumps(error).encode()),
        evolve(sent, status=503, headers=(json_type,), body=json.dumps(error).encode()),
        evolve(sent, status=302, headers=fields),
        evolve(sent, status=403, headers=(("Content-Type", f"text/html; {text}"),), body=page),
        evolve(sent, status=500, headers=(("Content-Type", text),), body=("x" * 190 + text).encode()),
    ]


@lru_cache(maxsize=1)
def redactor(key: str) -> Redactor:
    """A redactor of its own for the many texts of one key: making one takes ten milliseconds."""
    return Redactor(key)


def holds_nothing(key: str, text: str) -> None:
    """Fail where a text holds the key in any form."""
    assert redactor(key).text(text) == text
    assert key.lower() not in text.lower()


@settings(max_examples=25)
@given(LEAKS)
@example(("sk-0123456789abcdef", "SK-0123456789ABCDEF"))
def test_errors_hold_no_key(leak: tuple[str, str]) -> None:
    """What the client raises, and how it and its exchange are shown."""
    key, text = leak
    answers = ResponseReader(CONTRACT, Redactor(key), CONTRACT.credentials[0])
    for exchange in responses(text):
        try:
            shown = [repr(answers.task(exchange, TASK))]
        except RelayError as error:
            shown = [str(error), repr(error), repr(error.exchange)]
        for one in shown:
            holds_nothing(key, one)


@given(LEAKS)
@example(("sk-0123456789abcdefXYZ", "sk-0123456789abcdefxyz"))
def test_a_content_encoding_holds_no_key(leak: tuple[str, str]) -> None:
    """The failure of a transport, which is in lower case."""
    key, text = leak
    answer = ResponseBuilder(TransportConfig("https://relay.test", Redactor(key)), Request("GET", "/"), 1.0)
    with pytest.raises(ExchangeError) as caught:
        answer.begin(200, (("Content-Encoding", text),))
    holds_nothing(key, answer.fail(caught.value).failure or "")


@settings(max_examples=15)
@given(LEAKS)
@example(("sk-0123456789abcdef", "sk-0123456789ABCDEF"))
def test_records_and_reports_hold_no_key(leak: tuple[str, str]) -> None:
    """What is written of a run, in each format."""
    key, text = leak
    record = Record(None, Redactor(key), OPTIONS)
    judge = Judge(CONTRACT, record, select_checks(()), (key,))
    for exchange in responses(text):
        for kind in (Kind.KNOWN, Kind.ODD, Kind.BAD_CREDENTIAL):
            observation = Observation(CONTRACT, schema_of(CONTRACT), kind, TASK, exchange, secrets=(key,))
            holds_nothing(key, f"{observation.inconclusive}")
            judge.judge(observation, label=kind.value, driver="plan", base_url="https://relay.test")
    record.close([judge.conclude(requests=1)])
    document = record.document()
    assert "fetch/secret" in {row["check"] for row in document["rows"] if row["outcome"] == "fail"}
    out = io.StringIO()
    terminal.render(document, Console(file=out, width=200))
    for one in (html.render(document), junit.render(document), markdown.render(document), out.getvalue()):
        holds_nothing(key, one)
    holds_nothing(key, json.dumps(document, ensure_ascii=False))


@frozen
class Transport:
    """A connection on which one response comes to everything."""

    exchange: Exchange = field(repr=False)

    def send(self, *_: object) -> Exchange:
        """The response."""
        return self.exchange

    def close(self) -> None:
        """Do nothing."""


@settings(max_examples=25)
@given(LEAKS)
@example(("sk-0123456789abcdef", "sk-0123456789abcdef"))
def test_a_diagnosis_holds_no_key(leak: tuple[str, str]) -> None:
    """What the doctor finds, though it quotes only the beginning of a long text."""
    key, text = leak
    for exchange in responses(text):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(examination, "connect", lambda _, one=exchange: Transport(one))
            found = examination.examine(URL, [CONTRACT], redactor=Redactor(key), key=key)
        holds_nothing(key, json.dumps(found.data(), ensure_ascii=False))
        holds_nothing(key, repr(found.problems))


@given(LEAKS, st.integers(150, 200))
def test_a_download_error_holds_no_key(leak: tuple[str, str], length: int) -> None:
    """Why a file did not come, though its link is cut where it is long: no part of the key is left."""
    key, text = leak
    link = f"https://relay.test/{'a' * length}/{quote(text)}"
    job = Job(link, Path("none"), Redactor(key), redirected=f"it redirects to {text}: ")
    message = job.error("no").message
    holds_nothing(key, message)
    assert REDACTED[:4] in message
