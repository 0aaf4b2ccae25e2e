"""Bodies that are expensive to decode are refused before they are decoded, wherever they are read."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_clients.runtime.decoding import json_body
from mjrelay_clients.runtime.errors import DecodeError
from mjrelay_clients.zhongzhuan.models import Task as Model
from mjrelay_conformance.checks import select_checks
from mjrelay_conformance.judging import Kind, Observation, Outcome, findings, schema_of
from mjrelay_conformance.judging.checking import judgements
from mjrelay_conformance.mock.server import Server
from mjrelay_conformance.replay.files import TrafficError, read_traffic
from twins import Async, Sync

from benchmarks.bodies import readers, shapes
from benchmarks.example import ID, KEY, RELAY
from mjrelay import RelayError, SettingError, State, Task, UnavailableError, UndecodableError, WebPageError
from mjrelay.client.responses import ResponseReader
from mjrelay.contract import load_contract
from mjrelay.http import (
    OVERSIZE,
    Exchange,
    NotJSONError,
    OversizeError,
    Redactor,
    check_json_bounds,
    parse_json,
)
from mjrelay.http.request import Request
from mjrelay.http.strictjson import DEEPEST, LONGEST_NUMBER, MOST_VALUES
from mjrelay.monitor import Monitor
from mjrelay.semantics.paths import JSONPath
from mjrelay.semantics.reader import Batch
from mjrelay.transport import LARGEST_BATCH, LARGEST_BODY, TransportConfig, connect

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRACT = load_contract(RELAY)
DONE = CONTRACT.examples["succeeded"]
BODIES = shapes(LARGEST_BODY - 64)
READERS = readers()
REFUSED = {
    "empty objects": "1,398,081 values and names",
    "numbers": "2,097,121 values and names",
    "short strings": "more than 200,000 strings",
    "distinct names": "more than 200,000 strings",
    "objects of one member": "more than 200,000 strings",
    "deep lists": "nested too deeply",
    "deep objects": "more than 200,000 strings",
    "closing brackets": "nested too deeply",
    "one long number": "too many digits",
    "long numbers": "too many digits",
}
HOSTILE = "empty objects"
JSON = ((b"content-type", b"application/json"),)
FIELDS = (("Content-Type", "application/json"),)


def exchange_with(body: bytes, **changes: Any) -> Exchange:
    """Return an exchange with this body."""
    facts: dict[str, Any] = {"status": 200, "headers": FIELDS, "body": body} | changes
    return Exchange("GET", f"https://relay.example/mj/task/{ID}/fetch", **facts)


def application(*bodies: bytes, packed: bool = True) -> Callable[..., Any]:
    """Return an application that sends these bodies in turn, and then repeats the last one."""
    rest = list(bodies)

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        body = rest.pop(0) if len(rest) > 1 else rest[0]
        headers = [*JSON, (b"content-encoding", b"gzip")] if packed else [*JSON]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": gzip.compress(body, 1) if packed else body})

    return app


def values(document: Any) -> int:
    """Count the values and names of a document."""
    if isinstance(document, dict):
        return 1 + len(document) + sum(map(values, document.values()))
    return 1 + (sum(map(values, document)) if isinstance(document, list) else 0)


# --- the pass ---


@pytest.mark.parametrize("shape", BODIES)
def test_each_shape(shape: str) -> None:
    """Each expensive shape is refused with its size; a large and cheap one is read, or is not JSON."""
    if shape in REFUSED:
        with pytest.raises(OversizeError, match=REFUSED[shape]):
            parse_json(BODIES[shape])
    elif "breaks off" in shape:
        with pytest.raises(NotJSONError, match=r"Unterminated|Expecting"):
            parse_json(BODIES[shape])
    else:
        assert parse_json(BODIES[shape]) is not None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_the_count_is_exact(document: Any, ascii_only: bool, indent: int | None) -> None:
    """The counted values and names are those of the document, in any notation."""
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    count = values(document)
    check_json_bounds(body, count)
    if len(body) > count - 1 > 0:
        with pytest.raises(OversizeError, match=r"values and names|strings"):
            check_json_bounds(body, count - 1)


@given(st.binary(max_size=300) | st.text('[]{}",:\\ 1a').map(str.encode), st.integers(0, 20))
def test_any_bytes_are_judged(body: bytes, most: int) -> None:
    """Any bytes pass, or raise one error."""
    with suppress(OversizeError):
        check_json_bounds(body, most)


def test_the_limits() -> None:
    """The maximum of values, levels and digits is read, and one more of each is refused."""
    for fits, more in (
        (b"[" + b"0," * (MOST_VALUES - 2) + b"0]", b"[" + b"0," * (MOST_VALUES - 1) + b"0]"),
        (b"[" * DEEPEST + b"]" * DEEPEST, b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)),
        tuple(b'["' + b"a" * MOST_VALUES + b'",' + b"1" * (LONGEST_NUMBER + n) + b"]" for n in (0, 1)),
    ):
        parse_json(fits)
        with pytest.raises(OversizeError):
            parse_json(more)


def test_a_refusal_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated access to the document of an exchange decodes its body once."""
    calls: list[bytes] = []

    def parse(body: bytes) -> Any:
        calls.append(body)
        return parse_json(body)

    monkeypatch.setattr("mjrelay.http.exchange.parse_json", parse)
    exchange = exchange_with(BODIES[HOSTILE])
    for _ in range(3):
        with pytest.raises(OversizeError, match=REFUSED[HOSTILE]):
            _ = exchange.document
        assert (exchange.object, exchange.oversize) == (None, True)
    assert len(calls) == 1


# --- the client ---


@pytest.mark.parametrize("shape", BODIES)
def test_the_client(shape: str) -> None:
    """Each expensive shape is a `RelayError` of a fetch, a batch and a callback."""
    for name in ("fetch", "a callback", *(["a batch"] if shape != "whitespace" else [])):
        with pytest.raises(RelayError) as caught:
            READERS[name](BODIES[shape])
        if shape in REFUSED:
            assert type(caught.value) is UndecodableError
            assert REFUSED[shape] in str(caught.value)
            assert "max_body=" in str(caught.value)


@pytest.mark.parametrize("twin", [Sync, Async])
def test_a_body_larger_than_allowed_names_the_option(twin: type[Sync | Async]) -> None:
    """By default 4 MiB are read for one task, compressed or not; the error names the limit and the option."""
    for packed in (False, True):
        body = json.dumps({**DONE, "id": "1", "x": "a" * LARGEST_BODY}).encode()
        with Server(application(body, packed=packed)) as base_url:
            with twin(RELAY, KEY, base_url=base_url) as relay, pytest.raises(UndecodableError) as caught:
                relay.fetch("1")
            assert f"larger than {LARGEST_BODY} bytes" in str(caught.value)
            assert "max_body=" in str(caught.value)
            with twin(RELAY, KEY, base_url=base_url, max_body=2 * LARGEST_BODY) as relay:
                assert relay.fetch("1").state is State.SUCCEEDED
                small = relay.client.with_options(max_body=1000)
                with pytest.raises(UndecodableError, match="has 5000 bytes, the limit is 1000"):
                    small.read(b" " * 5000)


def test_a_body_that_is_too_large_is_not_kept() -> None:
    """Of a small response that becomes a huge body, the exchange keeps 64 KiB, however many are in flight."""
    with Server(application(b" " * (LARGEST_BATCH + 1), packed=True)) as base_url:
        transport = connect(TransportConfig(base_url, Redactor(KEY)))
        exchange = transport.send(Request("GET", "/"), 30.0, LARGEST_BATCH)
        transport.close()
    assert (exchange.failure, len(exchange.body)) == (f"{OVERSIZE} {LARGEST_BATCH} bytes", 64 * 1024)


def test_a_batch_may_be_larger_than_a_task() -> None:
    """A response with several tasks is read up to 16 MiB; a larger one is split."""
    wide = "a" * (LARGEST_BATCH * 2 // 5)
    sizes: list[int] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        ids = json.loads((await receive())["body"])["ids"]
        sizes.append(len(ids))
        body = json.dumps([{**DONE, "id": one, "x": wide} for one in ids]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [*JSON]})
        await send({"type": "http.response.body", "body": body})

    with Server(app) as base_url, Sync(RELAY, KEY, base_url=base_url) as relay:
        tasks = relay.fetch_all(["1", "2", "3", "4"])
    assert {task.id for task in tasks} == {"1", "2", "3", "4"}
    assert sizes == [4, 2, 2]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "4MiB", 2**40])
def test_an_invalid_limit(wrong: Any) -> None:
    """An invalid number of bytes is a `SettingError`, in the constructor and in `with_options`."""
    with pytest.raises(SettingError, match="max_body"):
        Sync(RELAY, KEY, max_body=wrong)
    with Sync(RELAY, KEY) as relay, pytest.raises(SettingError, match="max_body"):
        relay.client.with_options(max_body=wrong)


def test_a_large_error_page() -> None:
    """A body that is too large does not hide a 503 or a web page."""
    answers = ResponseReader(CONTRACT, Redactor(KEY), None)
    cut = {"failure": f"{OVERSIZE} {LARGEST_BODY} bytes"}
    with pytest.raises(UnavailableError):
        answers.task(exchange_with(b"x", status=503, **cut), ID)
    with pytest.raises(WebPageError):
        answers.task(exchange_with(b"<html>", **cut), ID)


def test_a_kept_document_is_restored() -> None:
    """A large task is still available after a timeout."""
    document = {**DONE, "id": "1", "x": [0] * (MOST_VALUES - 1000)}
    assert Task(CONTRACT, parse_json(json.dumps(document).encode())).id == "1"


def test_members_beside_a_list_are_not_copied() -> None:
    """A batch response with many items and members is read without a copy for each item."""
    items, array = JSONPath.compile("$.data[*]"), JSONPath.compile("$.data")
    batch = Batch("listTasks", "$request.body#/ids", {}, items, None, array, ("data",))
    for many, beside in ((10, {"code": 1}), (60_000, dict.fromkeys(map(str, range(60_000)), 1))):
        documents = batch.documents({**beside, "data": [{}] * many})
        assert len(documents) == many
        assert sum(map(len, documents)) <= 200_000


# --- the suite, the doctor, replays, the monitor, generated clients ---


@pytest.mark.parametrize("shape", REFUSED)
def test_the_suite_finds_a_hostile_body(shape: str) -> None:
    """A refused body is a finding of the JSON check, and no check crashes."""
    body = BODIES[shape][: 2 << 20]
    one = Observation(
        contract=CONTRACT,
        schema=schema_of(CONTRACT),
        kind=Kind.KNOWN,
        task_id=ID,
        exchange=exchange_with(body),
        accepted=True,
    )
    found = {check.id: judgement for check, judgement in findings(one, select_checks(()))}
    assert "too many digits" in str(found["fetch/200/json"]) or "the body " in str(found["fetch/200/json"])
    assert all(judgement.outcome is Outcome.FAIL for judgement in found.values())


def test_a_body_that_was_not_read_is_no_finding() -> None:
    """A body that was not read because of its size is no finding of the transfer check."""
    cut = exchange_with(b"{", failure=f"{OVERSIZE} 1 bytes")
    one = Observation(
        contract=CONTRACT,
        schema=schema_of(CONTRACT),
        kind=Kind.KNOWN,
        task_id=ID,
        exchange=cut,
        accepted=True,
    )
    outcomes = {check.id: judgement.outcome for check, judgement in judgements(one, select_checks(()))}
    assert outcomes["fetch/transfer"] is Outcome.BLOCKED


def test_a_long_list_of_violations_is_shortened() -> None:
    """Of violations in many items a few are reported, also one after a hundred valid items."""
    for buttons in (["x"] * 50_000, [*DONE["buttons"][:1] * 200, "x"]):
        exchange = exchange_with(json.dumps({**DONE, "buttons": buttons}).encode())
        assert 0 < len(schema_of(CONTRACT).violations(exchange)) <= 20


@pytest.mark.parametrize("shape", ["empty objects", "deep lists", "one long number"])
def test_other_readers(shape: str) -> None:
    """The doctor finds no task, a replay and the monitor report a finding, and a generated client raises."""
    body = BODIES[shape]
    rows_of: Callable[[bytes], Any] = READERS["a recorded body"]
    assert READERS["the doctor"](body) != "task"
    assert any("fetch/200/json" in str(check.id) for rows in rows_of(body) for check, _ in rows)
    with Monitor(RELAY, api_key=KEY, on_finding=lambda _: None) as monitor:
        monitor(exchange_with(body), (ID,))
        assert monitor.flush(30)
        assert "fetch/200/json" in monitor.findings
    with pytest.raises(DecodeError):
        json_body(Model.from_dict)(body)


def test_a_recording() -> None:
    """A file of six million empty objects is refused; long JSON Lines are judged line by line."""
    with pytest.raises(TrafficError, match="values and names"):
        list(read_traffic(io.BytesIO(b'{"log":{"entries":[' + b"{}," * 6_000_000 + b"{}]}}"), "x.har"))
    line = json.dumps({"method": "GET", "url": "https://relay.example/", "status": 200, "body": "{}"})
    hostile = f'{{"method": "GET", "x": [{"{}," * 200_000}0]}}'
    first, second, third = read_traffic(io.BytesIO(f"{line}\n{hostile}\n{line}".encode()), "x.jsonl")
    assert "values and names" in getattr(second, "reason", "")
    assert not hasattr(first, "reason")
    assert not hasattr(third, "reason")


def test_a_recorded_body_larger_than_a_batch_is_not_judged() -> None:
    """An entry without the body reports the reason."""
    line = json.dumps(
        {"method": "GET", "url": "https://relay.example/", "status": 200, "body": "a" * (LARGEST_BATCH + 1)}
    )
    (entry,) = read_traffic(io.BytesIO(line.encode()), "x.jsonl")
    assert "larger than" in str(getattr(entry, "skip_reason", ""))
