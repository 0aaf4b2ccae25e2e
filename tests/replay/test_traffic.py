"""Recordings that anybody may have made: what is read of them, and what is refused."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mjrelay_conformance.judging.observation import Kind
from mjrelay_conformance.replay import files as _file
from mjrelay_conformance.replay.entries import UNRECORDED, Entry, Unreadable
from mjrelay_conformance.replay.files import TrafficError, read_traffic

URL = "https://relay.example/mj/task/1/fetch"
LINE = {"method": "GET", "url": URL, "status": 200, "headers": [], "body": "{}"}


def entries(data: Any) -> list[Entry | Unreadable]:
    """What is read of bytes, of text, or of a document."""
    if not isinstance(data, str | bytes):
        data = json.dumps(data)
    raw = data if isinstance(data, bytes) else data.encode()
    return list(read_traffic(io.BytesIO(raw), "recording"))


def har(response: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A HAR with one entry."""
    request = {"method": "GET", "url": URL, "headers": []}
    entry = {"startedDateTime": "2026-01-02T03:04:05.678Z", "time": 12.5, "request": request}
    return {"log": {"version": "1.2", "entries": [{**entry, "response": response, **more}]}}


def only(data: Any) -> Entry:
    """The one entry."""
    (entry,) = entries(data)
    assert isinstance(entry, Entry), entry
    return entry


def answer(text: str | None, size: int, *headers: tuple[str, str], **content: Any) -> dict[str, Any]:
    """A response of HAR with status 200."""
    said = {"size": size, "mimeType": "application/json", **content}
    if text is not None:
        said["text"] = text
    return {
        "status": 200,
        "headers": [{"name": name, "value": value} for name, value in headers],
        "content": said,
    }


def test_an_entry_of_chrome() -> None:
    """HTTP/2's pseudo-headers go, an inflated body no longer claims its coding, extras are passed by."""
    response = answer(
        '{"id": "1"}',
        11,
        ("content-encoding", "br"),
        ("content-length", "9"),
        (":status", "200"),
        ("content-type", "application/json"),
        ("set-cookie", "a=1\nb=2"),
    )
    document = har(
        response,
        _initiator={"type": "script", "stack": {}},
        _priority="High",
        _webSocketMessages=[{"type": "send", "data": "x"}],
        comment="",
    )
    document["log"]["entries"][0]["request"]["headers"] = [
        {"name": ":authority", "value": "relay.example"},
        {"name": "accept", "value": "*/*"},
    ]
    entry = only(document)
    assert entry.lacking is None
    assert entry.started == pytest.approx(1767323045.678)
    assert entry.exchange.elapsed == pytest.approx(0.0125)
    assert entry.exchange.request_headers == (("accept", "*/*"),)
    assert entry.exchange.document == {"id": "1"}
    assert entry.exchange.headers == (
        ("content-type", "application/json"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    )


def test_a_body_in_base64() -> None:
    """Firefox and mitmproxy write some bodies in Base64, with line breaks at will; they are bytes again."""
    text = base64.encodebytes("猫".encode() * 60).decode()
    assert only(har(answer(text, 180, encoding="base64"))).exchange.body == "猫".encode() * 60


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (answer(None, 512), "not recorded"),
        (answer("", 512), "not recorded"),
        (answer(None, -1), "not recorded"),
        (answer(None, 0, ("Content-Length", "77")), "not recorded"),
        ({"status": 200, "headers": [], "content": {}}, "not recorded"),
        ({"status": 200, "headers": []}, "not recorded"),
        (answer('{"id": "1', 4000), "to the end"),
        (answer("H4sIAAAA////", 9, ("content-encoding", "gzip"), encoding="base64"), "compressed"),
        ({"status": 0, "headers": [], "content": {"size": 0}, "_error": "net::ERR_FAILED"}, "no answer"),
        ({"status": 304, "headers": [], "content": {"size": 0}}, "cache"),
    ],
)
def test_what_was_not_recorded_is_not_judged(response: dict[str, Any], reason: str) -> None:
    """A body that the recorder left out, cut or kept compressed is no empty or broken body of the relay's."""
    assert reason in str(only(har(response)).lacking)


@pytest.mark.parametrize(
    "response",
    [
        answer(None, 0),
        answer("", 0, ("content-length", "0")),
        {"status": 204, "headers": [], "content": {"size": 9}},
        {"status": 200, "headers": [], "bodySize": 0, "content": {"mimeType": "x-unknown"}},
    ],
)
def test_a_body_that_was_empty_is_recorded(response: dict[str, Any]) -> None:
    """Where every size that is recorded says nothing came, nothing came."""
    entry = only(har(response))
    assert (entry.lacking, entry.exchange.body) == (None, b"")


def test_a_body_shorter_than_its_size_counts_where_it_is_whole() -> None:
    """Recorders count sizes in many ways: one JSON text is whole, whatever they say."""
    assert only(har(answer('{"id": "1"}', 4000))).lacking is None


@pytest.mark.parametrize("mark", [{"_fromCache": "disk"}, {"_fetchedViaServiceWorker": True}])
def test_an_answer_from_a_cache_is_none_of_the_relay(mark: dict[str, Any]) -> None:
    """What a browser answered by itself says nothing about the relay."""
    assert "cache" in str(only(har(answer("{}", 2), **mark)).lacking)


def test_lines_of_exchanges() -> None:
    """Each line is an exchange; blank lines are passed by, broken ones are told by their numbers."""
    lines = [json.dumps(LINE), "", "nonsense", json.dumps({**LINE, "method": None}), json.dumps(LINE), ""]
    first, broken, lacking, second = entries("\r\n".join(lines))
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert (first.place, second.place) == ("line 1", "line 5")
    assert isinstance(broken, Unreadable)
    assert broken.place == "line 3"
    assert lacking == Unreadable("line 4", "method is no text")


def test_a_first_line_that_is_broken_makes_no_other_form() -> None:
    """JSON Lines are recognised by the lines that can be read."""
    found = entries('{"broken": \n' + json.dumps(LINE))
    assert [entry.place for entry in found] == ["line 1", "line 2"]


def test_a_line_break_of_unicode_breaks_no_line() -> None:
    """A string of JSON may hold U+2028 as it is."""
    entry = only(json.dumps({**LINE, "body": '"a\u2028b"'}, ensure_ascii=False))
    assert entry.exchange.document == "a\u2028b"


def test_the_records_own_exchanges() -> None:
    """A results.json is read as well, with what each exchange was for and without the host it never tells."""
    exchange = {
        "number": 1,
        "relay": "apiai",
        "kind": "missing",
        "task": "7",
        "label": "missing",
        "method": "GET",
        "target": "/mj/task/7/fetch",
        "request_headers": [["Authorization", "Bearer [redacted]"]],
        "request_body": {"size": 0, "sha256": "", "text": ""},
        "status": None,
        "headers": [],
        "body": {"size": 0, "sha256": "", "text": ""},
        "elapsed_ms": 3.5,
        "failure": "nothing listens at this host and port",
    }
    entry = only({"format": "urn:mjrelay:results:1", "exchanges": [exchange], "footer": None})
    assert (entry.kind, entry.task_id, entry.relay) == (Kind.MISSING, "7", "apiai")
    assert entry.exchange.url == f"{UNRECORDED}/mj/task/7/fetch"
    assert entry.exchange.failure == exchange["failure"]
    assert entry.lacking is None


def test_a_body_that_the_record_cut_is_not_judged() -> None:
    """The record keeps the beginning of a large body; that is no broken answer."""
    body = {"size": 70_000, "sha256": "", "text": '{"id": "'}
    assert "to the end" in str(only({**LINE, "body": body}).lacking)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"\xff\xfe{", "byte 0 is not UTF-8"),
        (b"<html>", "is not JSON at line 1, column 1"),
        (b"[1, 2]", "no recording"),
        (b"7", "no recording"),
        (b'{"log": {"version": "1.2"}}', "log.entries is no list"),
        (b'{"log": {"entries": []}} {"log"', "goes on after its end at line 1"),
        (b'{"format": "urn:mjrelay:results:9", "exchanges": []}', "urn:mjrelay:results:9"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"log": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
    ],
)
def test_what_is_no_recording_is_refused(data: bytes, said: str) -> None:
    """The error names the file, the place where there is one, and what to give instead."""
    with pytest.raises(TrafficError, match=said) as caught:
        entries(data)
    assert str(caught.value).startswith("recording: ")


WHOLE = json.dumps(har(answer('{"a": "\\ud83d\\ude00", "b": "猫"}', 35), x=-1.5e-9, y=[True, None]), indent=1)


@given(st.integers(1, len(WHOLE) - 1))
def test_a_file_that_breaks_off_is_refused(length: int) -> None:
    """Wherever a HAR was cut, it is said that it was, and nothing of it is judged."""
    with pytest.raises(TrafficError, match="breaks off"):
        entries(WHOLE[:length])


def test_lines_that_break_off_are_refused() -> None:
    """A last line that was not written whole is no complete recording."""
    with pytest.raises(TrafficError, match="breaks off within its last line, 2"):
        entries(json.dumps(LINE) + "\n" + json.dumps(LINE)[:-9])


def test_gzip_is_unpacked() -> None:
    """One member or several, and a part of one is refused."""
    text = json.dumps(LINE).encode() + b"\n"
    assert len(entries(gzip.compress(text) + gzip.compress(text))) == 2
    with pytest.raises(TrafficError, match="breaks off"):
        entries(gzip.compress(text)[:-9])


def test_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither size, unpacked, nor entries are without end."""
    monkeypatch.setattr(_file, "LARGEST", 1 << 20)
    monkeypatch.setattr(_file, "MOST", 3)
    for data in (b" " * (1 << 21), gzip.compress(b" " * (1 << 24))):
        with pytest.raises(TrafficError, match="larger than 1 MiB"):
            entries(data)
    with pytest.raises(TrafficError, match="more than 3 entries"):
        entries("\n".join([json.dumps(LINE)] * 4))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(URL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    *("startedDateTime", "started", "time", "request", "response", "method", "url", "target", "status"),
    *("headers", "content", "text", "encoding", "size", "bodySize", "postData", "body", "base64", "kind"),
    *("request_headers", "request_body", "elapsed_ms", "failure", "task", "relay", "_fromCache"),
]
LIKELY = st.sampled_from(["GET", URL, 200, 0, "base64", "known", [["a", "b"]], [{"name": "a", "value": "b"}]])
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), JSON | LIKELY, max_size=9),
    lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner | JSON | LIKELY, max_size=9),
    max_leaves=6,
)


def judgeable(data: bytes) -> None:
    """Read bytes to the end, or be refused for a reason."""
    try:
        found = entries(data)
    except TrafficError:
        return
    for entry in found:
        assert entry.place
        if isinstance(entry, Entry):
            assert entry.exchange.method
            assert isinstance(entry.exchange.body, bytes)


@given(st.binary() | st.text().map(str.encode))
@example(b'{"method": "GET", "url": "\\ud800"}')
@example(b"\x1f\x8b")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing that a file may hold ends in any other error."""
    judgeable(data)


@given(st.lists(OBJECTS | JSON, max_size=3))
@example([{"kind": {}, "method": "GET", "url": URL}])
def test_any_entries_are_read_or_left_out(found: list[Any]) -> None:
    """Whatever an entry of HAR or of a record is, it is an entry or it is told; none is lost for another."""
    for document in (
        {"log": {"entries": found}},
        {"format": "urn:mjrelay:results:1", "exchanges": found},
    ):
        text = json.dumps(document)
        judgeable(text.encode())
        if "NaN" not in text and "Infinity" not in text:
            assert len(entries(text)) == len(found)


@given(OBJECTS | JSON)
def test_any_line_is_read_or_left_out(found: Any) -> None:
    """The same for lines."""
    judgeable(json.dumps(found).encode() + b"\n" + json.dumps(LINE).encode())


def test_the_line_in_the_documentation() -> None:
    """The form that the documentation shows is read, with all that it names."""
    page = Path(__file__).parents[2] / "docs" / "replay.md"
    (line,) = re.findall(r"```json\n(.*)\n```", page.read_text(encoding="utf-8"))
    entry = only(line)
    assert entry.lacking is None
    assert entry.started is not None
    assert entry.ended == pytest.approx(entry.started + 0.0125)
    assert entry.exchange.header("content-type") == "application/json"
