"""Reading recordings: HAR, JSON Lines and results.json, whole, damaged and hostile."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mjrelay_conformance.judging.observation import Kind
from mjrelay_conformance.replay import files
from mjrelay_conformance.replay.entries import UNRECORDED, Entry, UnreadableEntry
from mjrelay_conformance.replay.files import TrafficError, read_traffic

URL = "https://relay.example/mj/task/1/fetch"
LINE = {"method": "GET", "url": URL, "status": 200, "headers": [], "body": "{}"}


def entries(data: Any) -> list[Entry | UnreadableEntry]:
    """Read a recording from bytes, text or a document."""
    if not isinstance(data, str | bytes):
        data = json.dumps(data)
    raw = data if isinstance(data, bytes) else data.encode()
    return list(read_traffic(io.BytesIO(raw), "recording"))


def har(response: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a HAR with one entry."""
    request = {"method": "GET", "url": URL, "headers": []}
    entry = {"startedDateTime": "2026-01-02T03:04:05.678Z", "time": 12.5, "request": request}
    return {"log": {"version": "1.2", "entries": [{**entry, "response": response, **more}]}}


def only(data: Any) -> Entry:
    """Read a recording with one entry."""
    (entry,) = entries(data)
    assert isinstance(entry, Entry), entry
    return entry


def response(text: str | None, size: int, *headers: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Return a HAR response with status 200."""
    content = {"size": size, "mimeType": "application/json", **more}
    if text is not None:
        content["text"] = text
    return {
        "status": 200,
        "headers": [{"name": name, "value": value} for name, value in headers],
        "content": content,
    }


def test_an_entry_from_chrome() -> None:
    """Pseudo-headers, headers about compression and unknown members are dropped."""
    chrome = response(
        '{"id": "1"}',
        11,
        ("content-encoding", "br"),
        ("content-length", "9"),
        (":status", "200"),
        ("content-type", "application/json"),
        ("set-cookie", "a=1\nb=2"),
    )
    document = har(
        chrome,
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
    assert entry.skip_reason is None
    assert entry.started == pytest.approx(1767323045.678)
    assert entry.exchange.elapsed == pytest.approx(0.0125)
    assert entry.exchange.request_headers == (("accept", "*/*"),)
    assert entry.exchange.document == {"id": "1"}
    assert entry.exchange.headers == (
        ("content-type", "application/json"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    )


def test_text_that_is_labelled_base64() -> None:
    """Plain text that Firefox labels as Base64 is read as text."""
    for text in ('{"id": "猫"}', "[1]", "<html> "):
        assert only(har(response(text, len(text), encoding="base64"))).exchange.body == text.encode()


def test_a_body_in_base64() -> None:
    """Base64 bodies are decoded, with or without line breaks (Firefox, mitmproxy)."""
    text = base64.encodebytes("猫".encode() * 60).decode()
    assert only(har(response(text, 180, encoding="base64"))).exchange.body == "猫".encode() * 60


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (response(None, 512), "not recorded"),
        (response("", 512), "not recorded"),
        (response(None, -1), "not recorded"),
        (response(None, 0, ("Content-Length", "77")), "not recorded"),
        ({"status": 200, "headers": [], "content": {}}, "not recorded"),
        ({"status": 200, "headers": []}, "not recorded"),
        (response('{"id": "1', 4000), "incompletely"),
        (response("H4sIAAAA////", 9, ("content-encoding", "gzip"), encoding="base64"), "compressed"),
        ({"status": 0, "headers": [], "content": {"size": 0}, "_error": "net::ERR_FAILED"}, "no response"),
        ({"status": 304, "headers": [], "content": {"size": 0}}, "cache"),
    ],
)
def test_missing_parts_are_not_judged(response: dict[str, Any], reason: str) -> None:
    """A body that the recorder omitted, cut or kept compressed is neither empty nor broken."""
    assert reason in str(only(har(response)).skip_reason)


@pytest.mark.parametrize(
    "response",
    [
        response(None, 0),
        response("", 0, ("content-length", "0")),
        {"status": 204, "headers": [], "content": {"size": 9}},
        {"status": 200, "headers": [], "bodySize": 0, "content": {"mimeType": "x-unknown"}},
    ],
)
def test_empty_bodies(response: dict[str, Any]) -> None:
    """A missing body is empty if every recorded size is zero."""
    entry = only(har(response))
    assert (entry.skip_reason, entry.exchange.body) == (None, b"")


def test_a_wrong_size_of_valid_json() -> None:
    """Valid JSON is complete even if the recorded size is larger."""
    assert only(har(response('{"id": "1"}', 4000))).skip_reason is None


@pytest.mark.parametrize("mark", [{"_fromCache": "disk"}, {"_fetchedViaServiceWorker": True}])
def test_cached_responses_are_not_judged(mark: dict[str, Any]) -> None:
    """Responses from a browser cache or a service worker are not judged."""
    assert "cache" in str(only(har(response("{}", 2), **mark)).skip_reason)


def test_json_lines() -> None:
    """Each line is an exchange; blank lines are skipped, and invalid ones are reported by number."""
    lines = [json.dumps(LINE), "", "nonsense", json.dumps({**LINE, "method": None}), json.dumps(LINE), ""]
    first, broken, lacking, second = entries("\r\n".join(lines))
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert (first.place, second.place) == ("line 1", "line 5")
    assert isinstance(broken, UnreadableEntry)
    assert broken.place == "line 3"
    assert lacking == UnreadableEntry("line 4", "method is missing, empty or not a string")


def test_json_lines_with_an_invalid_first_line() -> None:
    """JSON Lines are recognised by their valid lines."""
    found = entries('{"broken": \n' + json.dumps(LINE))
    assert [entry.place for entry in found] == ["line 1", "line 2"]


def test_unicode_line_separators() -> None:
    """U+2028 in a JSON string does not end a line."""
    entry = only(json.dumps({**LINE, "body": '"a\u2028b"'}, ensure_ascii=False))
    assert entry.exchange.document == "a\u2028b"


def test_exchanges_of_a_record() -> None:
    """A results.json is read with the purpose of each exchange; its host is not recorded."""
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
    assert entry.skip_reason is None


def test_a_body_that_a_record_cut() -> None:
    """The truncated body of a record is not judged."""
    body = {"size": 70_000, "sha256": "", "text": '{"id": "'}
    assert "incompletely" in str(only({**LINE, "body": body}).skip_reason)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"\xff\xfe{", "byte 0 is not UTF-8"),
        (b"<html>", "is not JSON at line 1, column 1"),
        (b"[1, 2]", "not a recording"),
        (b"7", "not a recording"),
        (b'{"log": {"version": "1.2"}}', "log.entries is not a list"),
        (b'{"log": {"entries": []}} {"log"', "data after the end of its JSON, at line 1"),
        (b'{"format": "urn:mjrelay:results:9", "exchanges": []}', "urn:mjrelay:results:9"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"log": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
        (zlib.compress(b"{}"), "is compressed with zlib; decompress it"),
        (bz2.compress(b"{}"), "is compressed with bzip2"),
        (lzma.compress(b"{}"), "is compressed with xz"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    """The error names the file, the position and the supported formats."""
    with pytest.raises(TrafficError, match=message) as caught:
        entries(data)
    assert str(caught.value).startswith("recording: ")


WHOLE = json.dumps(
    har(response('{"a": "\\ud83d\\ude00", "b": "猫"}', 35), x=-1.5e-9, y=[True, None]), indent=1
)


@given(st.integers(1, len(WHOLE) - 1))
def test_a_truncated_har_is_refused(length: int) -> None:
    """A HAR that is truncated anywhere is refused as such."""
    with pytest.raises(TrafficError, match="is truncated"):
        entries(WHOLE[:length])


def test_a_truncated_last_line_is_refused() -> None:
    """JSON Lines with a truncated last line are refused."""
    with pytest.raises(TrafficError, match="its last line, 2, is truncated"):
        entries(json.dumps(LINE) + "\n" + json.dumps(LINE)[:-9])


def test_gzip_is_decompressed() -> None:
    """Several gzip members are read; a truncated one is refused."""
    text = json.dumps(LINE).encode() + b"\n"
    assert len(entries(gzip.compress(text) + gzip.compress(text))) == 2
    with pytest.raises(TrafficError, match="ends too early"):
        entries(gzip.compress(text)[:-9])


def test_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decompressed size and the number of entries are bounded."""
    monkeypatch.setattr(files, "MAX_SIZE", 1 << 20)
    monkeypatch.setattr(files, "MAX_ENTRIES", 3)
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
    """Read bytes to the end, or raise TrafficError."""
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
def test_any_bytes(data: bytes) -> None:
    """No bytes raise another error than TrafficError."""
    judgeable(data)


@given(st.lists(OBJECTS | JSON, max_size=3))
@example([{"kind": {}, "method": "GET", "url": URL}])
def test_any_entries(found: list[Any]) -> None:
    """Each element of a HAR or a record becomes an entry or an unreadable entry."""
    for document in (
        {"log": {"entries": found}},
        {"format": "urn:mjrelay:results:1", "exchanges": found},
    ):
        text = json.dumps(document)
        judgeable(text.encode())
        if "NaN" not in text and "Infinity" not in text:
            assert len(entries(text)) == len(found)


@given(OBJECTS | JSON)
def test_any_line(found: Any) -> None:
    """Any line becomes an entry or an unreadable entry."""
    judgeable(json.dumps(found).encode() + b"\n" + json.dumps(LINE).encode())


def test_the_documented_line() -> None:
    """The example in the documentation is read completely."""
    page = Path(__file__).parents[2] / "docs" / "replay.md"
    (line,) = re.findall(r"```json\n(.*)\n```", page.read_text(encoding="utf-8"))
    entry = only(line)
    assert entry.skip_reason is None
    assert entry.started is not None
    assert entry.ended == pytest.approx(entry.started + 0.0125)
    assert entry.exchange.header("content-type") == "application/json"
