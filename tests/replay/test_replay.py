"""Recorded traffic is judged like live traffic, as far as the recording proves anything."""

from __future__ import annotations

import copy
import gzip
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hars import HOST, KEY, MISSING, Har, command, fetch, fields, findings, judged, kinds, recorded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mjrelay_conformance.drivers.options import ConformOptions
from mjrelay_conformance.drivers.run import judge_relays
from mjrelay_conformance.judging import record as record_module
from mjrelay_conformance.judging.observation import Kind
from mjrelay_conformance.mock import FAULTS, MockRelay, MockResponse, Server
from mjrelay_conformance.replay import TrafficError
from mjrelay_conformance.report.document import RunReport
from mjrelay_conformance.report.reading import read_record
from rich.console import Console

from mjrelay import State
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.errors import MjrelayError

if TYPE_CHECKING:
    from pathlib import Path


# One fault for each part of a recording: headers, status, body, order, times and secrets.
DETECTABLE = (
    *("wrong-type", "no-content-type", "error-envelope-200", "invalid-utf8", "redirect-to-other-host"),
    *("status-500", "seconds-not-ms", "success-without-media"),
    *("terminal-regression", "changes-when-read", "secret-echoed"),
)


def test_correct_relays_have_no_findings(tmp_path: Path) -> None:
    """Traffic of a correct relay has no findings; without a wrong key the verdict is partial at best."""
    for relay in relay_names():
        har, mock = recorded(relay)
        code, document = judged(tmp_path, har, relay, strict=True)
        assert findings(document) == set(), relay
        assert kinds(document) == ["known"] * len(mock.known) + ["missing"] + ["known"] * len(mock.known)
        assert document["relays"][0]["requests"] == 0
        features = document["relays"][0]["features"]
        lacking = [one["name"] for one in features if one["core"] and not one["exercised"]]
        assert lacking == ([] if mock.contract.open else ["a wrong credential"])
        assert all("record" in one["hint"] for one in features)
        verdict = (0, "conformant") if mock.contract.open else (3, "partial")
        assert (code, document["footer"]["verdict"]) == verdict


def test_faults_are_found(tmp_path: Path) -> None:
    """A fault that responses show is found in a recording, by the check that finds it live."""
    for fault in DETECTABLE:
        har, mock = recorded("zhongzhuan", fault)
        tasks = tuple(f"{task_id}={state.value}" for state, task_id in mock.known.items())
        code, document = judged(tmp_path, har, "zhongzhuan", tasks=tasks, strict=True)
        assert {*FAULTS[fault].breaks} & findings(document), fault
        assert code == 1


def test_traffic_of_a_client(tmp_path: Path) -> None:
    """Traffic that an httpx hook records over sockets is judged; other requests are skipped."""
    har = Har()

    def write_down(response: httpx.Response) -> None:
        response.read()
        request = response.request
        shown = MockResponse(response.status_code, tuple(response.headers.items()), response.content)
        har.add(request.method, str(request.url), request.headers.items(), shown)

    mock = MockRelay(load_contract("zhongzhuan"), key=KEY, faults=["seconds-not-ms"])
    hooks = {"response": [write_down]}
    with Server(mock) as base, httpx.Client(base_url=base, event_hooks=hooks, trust_env=False) as client:
        for task_id in (*mock.known.values(), MISSING):
            client.get(mock.contract.request(task_id).target, headers={"Authorization": f"Bearer {KEY}"})
        client.get("/elsewhere")
    code, document = judged(tmp_path, har, "zhongzhuan", base_url=base)
    assert code == 1
    assert findings(document) == {"fetch/200/times"}
    notice = "skipped: 1 exchanges that are not requests for a task of zhongzhuan"
    assert notice in document["notices"]
    assert KEY not in json.dumps(document)


def test_a_record_can_be_replayed(tmp_path: Path) -> None:
    """Replaying a results.json gives the rows of the original run."""
    options = ConformOptions(relay="mjdjourney", fuzz=False, report_dir=tmp_path / "run")
    first_code, first = judge_relays(options, Console(stderr=True))
    code, document = judged(tmp_path, (tmp_path / "run" / "results.json").read_bytes(), "mjdjourney")
    assert (code, first_code) == (0, 0)

    def comparable(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        # The record contains neither the key nor the expected states.
        unknown = {"fetch/secret", "fetch/200/state"}
        return [
            (row["check"], row["exchange"], row["outcome"])
            for row in rows
            if row["check"] not in unknown and row["outcome"] != "not-exercised"
        ]

    assert comparable(document["rows"]) == comparable(first.document()["rows"])
    secret = {row["outcome"] for row in document["rows"] if row["check"] == "fetch/secret"}
    assert "pass" not in secret


def test_the_record_of_a_long_recording_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full record omits bodies, then exchanges without new findings; every exchange is judged."""
    monkeypatch.setattr(record_module, "LARGEST_BODIES", 34_000)
    monkeypatch.setattr(record_module, "LARGEST_RECORD", 150_000)
    monkeypatch.setattr(record_module, "_SPARED", 30_000)
    har, _ = recorded("apiai")
    har.entries = [copy.deepcopy(entry) for entry in har.entries * 20]
    late, _ = recorded("apiai", "seconds-not-ms")
    har.entries += late.entries[:1]
    for second, entry in enumerate(har.entries):
        entry["startedDateTime"] = f"2026-01-02T{second // 60:02}:{second % 60:02}:00Z"
    code, document = judged(tmp_path, har, report_dir=tmp_path / "out")
    assert code == 1
    assert "fetch/200/times" in findings(document)
    exchanges = document["exchanges"]
    assert [one["number"] for one in exchanges] == list(range(1, len(exchanges) + 1))
    assert "text" in exchanges[0]["body"]
    assert {*exchanges[-2]["body"]} == {"size", "sha256"}
    assert "text" in exchanges[-1]["body"]  # the one with a finding
    left = len(har.entries) - len(exchanges)
    notice = f"judged, but omitted from the full record: {left} exchanges without new findings"
    assert notice in document["notices"]
    assert (tmp_path / "out" / "results.json").stat().st_size < 155_000
    assert [one.name for one in RunReport.of(read_record(tmp_path / "out")).relays] == ["apiai"]


def test_the_finding_of_a_huge_exchange_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that is too large for the record is omitted, but its findings are recorded."""
    har, _ = recorded("apiai", "seconds-not-ms")
    har.entries[0]["request"]["headers"] += fields([("x-filler", "y" * 200_000)])
    har.entries = har.entries[:1]
    monkeypatch.setattr(record_module, "LARGEST_RECORD", 100_000)
    monkeypatch.setattr(record_module, "_SPARED", 5_000)
    code, document = judged(tmp_path, har)
    assert code == 1
    assert document["exchanges"] == []
    assert [row["exchange"] for row in document["rows"] if row["check"] == "fetch/200/times"] == [None]


def test_the_reproducing_command(tmp_path: Path) -> None:
    """The record contains the command that repeats the replay, without directories of reports."""
    har, _ = recorded("apiai")
    (tmp_path / "known faults.yaml").write_text("[]")
    options: dict[str, Any] = {"baseline": tmp_path / "known faults.yaml", "strict": True, "base_url": HOST}
    _, document = judged(tmp_path, har, **options, globs=("fetch/*",), tasks=("1=failed",))
    assert document["header"]["reproduce"] == (
        f"mjrelay replay apiai {tmp_path / 'recording'} "
        """--base-url "$MJRELAY_BASE_URL" --task 1=failed --strict --check 'fetch/*' """
        "--baseline 'known faults.yaml'"
    )


def test_a_refusal_is_inconclusive(tmp_path: Path) -> None:
    """A recording does not show whether a refused key was right, even if the task was read before."""
    har, mock = recorded("apiai")
    fetch(har, mock, mock.known[State.SUCCEEDED], key="sk-another-key-that-is-wrong-000")
    _, document = judged(tmp_path, har, strict=True)
    assert findings(document) == set()
    rows = [row for row in document["rows"] if row["exchange"] == len(har.entries)]
    assert {row["outcome"] for row in rows if row["check"].startswith("fetch/known")} == {"inconclusive"}


def test_an_error_for_an_unknown_id_is_not_judged(tmp_path: Path) -> None:
    """A server error counts only if --task says that the task exists."""
    har, mock = recorded("apiai", "status-500")
    har.entries = har.entries[:1]
    with pytest.raises(TrafficError, match=r"none of the 1 responses of apiai can be judged"):
        judged(tmp_path, har)
    task_id = next(iter(mock.known.values()))
    assert "fetch/known/status" in findings(judged(tmp_path, har, tasks=(task_id,))[1])


def test_headers_that_were_not_recorded_are_not_judged(tmp_path: Path) -> None:
    """Absent from the recording is not absent from the response: only what was recorded is judged."""
    for relay in relay_names():
        har, mock = recorded(relay)
        for entry in har.entries:
            entry["response"]["headers"] = []
        tasks = tuple(mock.known.values())
        code, document = judged(tmp_path, har, relay, tasks=tasks, strict=True)
        assert (code, findings(document)) == (0 if mock.contract.open else 3, set()), relay
        outcomes = {row["outcome"] for row in document["rows"] if row["check"] == "fetch/200/media-type"}
        assert outcomes == {"not-applicable", "not-exercised"}


def test_a_web_page_counts_where_the_relay_is_known(tmp_path: Path) -> None:
    """An HTML page is judged only at the base URL, or where the relay returned tasks."""
    har, _ = recorded("zhongzhuan", "html-200")
    code, document = judged(tmp_path, har, "zhongzhuan")
    assert (code, kinds(document)) == (3, ["missing"])
    code, document = judged(tmp_path, har, "zhongzhuan", base_url=HOST)
    assert code == 1
    assert findings(document) == {"fetch/200/media-type"}


def test_each_unreadable_entry_has_its_reason(tmp_path: Path) -> None:
    """The reason is shown if other entries are left and if none is."""
    har, _ = recorded("apiai")
    reason = "entry 1 has a body that is not valid Base64"
    har.entries[0]["response"]["content"] |= {"encoding": "base64", "text": "not, Base64"}
    assert any(reason in notice for notice in judged(tmp_path, har)[1]["notices"])
    har.entries = har.entries[:1]
    with pytest.raises(TrafficError, match=reason):
        judged(tmp_path, har)


def test_reads_are_sorted_by_time(tmp_path: Path) -> None:
    """Entries are judged in chronological order, whatever their order in the file."""
    har, now = Har(), [1_800_000_000.0]
    mock = MockRelay(load_contract("apiai"), key=KEY, clock=lambda: now[0])
    task_id = mock.submit(10)
    for _ in range(6):
        fetch(har, mock, task_id)
        now[0] += 3
    assert findings(judged(tmp_path, har)[1]) == set()
    har.entries.reverse()
    code, document = judged(tmp_path, har, tasks=(f"{task_id}=succeeded",))
    assert findings(document) == set()
    assert code == 3
    for entry in har.entries:
        del entry["startedDateTime"]
    assert "sequence/terminal" in findings(judged(tmp_path, har)[1])


def test_concurrent_reads_have_no_order(tmp_path: Path) -> None:
    """Two reads are compared only if one ended before the other started."""
    har, now = Har(), [1_800_000_000.0]
    mock = MockRelay(load_contract("apiai"), key=KEY, clock=lambda: now[0])
    task_id = mock.submit(10)
    fetch(har, mock, task_id)
    now[0] += 20
    fetch(har, mock, task_id)
    har.entries.reverse()
    for entry, second in zip(har.entries, (0, 5), strict=True):
        entry["startedDateTime"] = f"2026-01-02T00:00:00.{second}Z"
    har.entries[0]["time"] = 900
    assert findings(judged(tmp_path, har)[1]) == set()
    har.entries[0]["time"] = 50
    assert "sequence/terminal" in findings(judged(tmp_path, har)[1])


def test_ids_are_unique_per_host(tmp_path: Path) -> None:
    """The same id at two hosts means two tasks."""
    har, mock = recorded("apiai")
    har.entries = har.entries[:1]
    other = MockRelay(load_contract("apiai"), key=KEY)
    running = other.submit(1e9, task_id=mock.known[State.SUCCEEDED])
    fetch(har, other, running, host="https://other.example")
    assert findings(judged(tmp_path, har)[1]) == set()
    har.entries[1]["request"]["url"] = har.entries[0]["request"]["url"]
    assert "sequence/terminal" in findings(judged(tmp_path, har)[1])


def test_a_base_url_selects_requests(tmp_path: Path) -> None:
    """With --base-url only requests to it are judged; it may include a part of the operation's path."""
    har, mock = recorded("apiai")
    fetch(har, mock, MISSING, host="https://other.example")
    for base_url in (HOST, "https://RELAY.example:443/prefix", f"{HOST}/mj"):
        _, document = judged(tmp_path, har, base_url=base_url)
        assert len(document["exchanges"]) == len(har.entries) - 1
    with pytest.raises(TrafficError, match=r"task of apiai at https://relay\.example"):
        judged(tmp_path, har, base_url="https://relay.example")


def test_a_batch_is_judged(tmp_path: Path) -> None:
    """A batch request is recognised, with the ids in its body."""
    har, mock = recorded("zhongzhuan")
    request = mock.contract.batch_request([*mock.known.values(), MISSING])
    headers = [*request.headers, ("Authorization", f"Bearer {KEY}")]
    response = mock.answer(request.method, request.target, headers, request.body)
    har.add(request.method, HOST + request.target, headers, response, request.body.decode())
    code, document = judged(tmp_path, har, "zhongzhuan", strict=True)
    assert findings(document) == set()
    assert code == 3
    assert kinds(document)[-1] == "batch"
    feature = next(one for one in document["relays"][0]["features"] if "several" in one["name"])
    assert feature["exercised"]


def test_an_unrelated_recording(tmp_path: Path) -> None:
    """The error shows redacted examples of the requests, and the expected path."""
    har, _ = recorded("apiai")
    for entry in har.entries:
        entry["request"]["url"] = "https://relay.example/hook/T0123456789ABCDEF/send?key=0123456789abcdef"
    with pytest.raises(TrafficError) as caught:
        judged(tmp_path, har)
    assert "GET /hook/…/send" in str(caught.value)
    assert "/mj/task/{id}/fetch" in str(caught.value)
    assert "0123456789" not in str(caught.value)


def test_checks_and_baseline(tmp_path: Path) -> None:
    """Checks are selected as for conform, and a baseline accepts known findings."""
    har, _ = recorded("apiai", "success-at-50-percent")
    broken = "fetch/200/succeeded/progress"
    assert judged(tmp_path, har)[0] == 1
    assert judged(tmp_path, har, excluded=(broken,))[0] == 3
    assert judged(tmp_path, har, globs=("fetch/200/media-type",))[0] == 3
    baseline = tmp_path / "baseline.yaml"
    baseline.write_text(f"- {{relay: apiai, check: {broken}, reason: known, date: 2026-01-02}}\n")
    code, document = judged(tmp_path, har, baseline=baseline)
    assert code == 3
    assert document["relays"][0]["baseline"]["accepted"][0]["check"] == broken
    with pytest.raises(MjrelayError):
        judged(tmp_path, har, globs=("nothing/*",))


def test_the_command(tmp_path: Path) -> None:
    """The command reads stdin and gzip, writes a report directory, and has the documented exit codes."""
    har, _ = recorded("apiai")
    done = command("apiai", "-", stdin=har.text())
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["header"]["options"]["mode"] == "replay"

    broken, _ = recorded("apiai", "seconds-not-ms")
    packed = tmp_path / "traffic.har.gz"
    packed.write_bytes(gzip.compress(broken.text().encode()))
    done = command("apiai", str(packed), "--format", "pretty", "--report-dir", str(tmp_path / "out"))
    assert done.returncode == 1, done.stderr
    assert "fetch/200/times" in done.stdout
    assert KEY not in done.stdout + done.stderr
    record = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert record["footer"]["exit_code"] == 1
    assert record["header"]["reproduce"].startswith("mjrelay replay apiai ")

    for arguments, message in (
        (("apiai", str(tmp_path / "nowhere.har")), "cannot be read"),
        (("apiai", "-"), "stdin: is empty"),
        (("unknown", "-"), "'unknown'"),
    ):
        done = command(*arguments)
        assert done.returncode == 2
        assert message in done.stderr


PARTS = (
    *("https://relay.example", "http://[::1]:8080", "https://[", "HTTP://a:99999", "//", "?", "#", "@"),
    *("/mj/task/", "/api/mj/task/", "/fetch", "1", "%2F", "%", "猫", "{id}", "?key=", "list-by-condition"),
)
WHOLE_URLS = (
    "https://a/mj/task/1/fetch",
    "https://u:p@a/mj/task/%00/fetch?secret=abcdefghij",
    "http://a//mj/task/1/fetch",
)
URLS = st.lists(st.sampled_from(PARTS), max_size=6).map("".join) | st.sampled_from(WHOLE_URLS)

BODIES = st.sampled_from(
    ["", "{}", "[]", "null", '{"id": "1", "status": "SUCCESS"}', "<html>", '{"id": [{}]}']
)

ENTRIES = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "get", "POST", "\n"]),
        "url": URLS,
        "status": st.sampled_from([None, 200, 302, 401, 403, 404, 429, 500, 999]),
        "headers": st.dictionaries(
            st.sampled_from(["location", "date", "set-cookie", "content-type", "retry-after"]),
            st.text() | URLS,
        ),
        "request_headers": st.dictionaries(
            st.sampled_from(["authorization", "cookie", "mj-api-secret"]), st.text(max_size=30)
        ),
        "body": BODIES | st.text(),
    },
    optional={
        "started": st.sampled_from(["2026-01-02", "2026-01-02T00:00:00+14:00", "0001-01-01T00:00:00+23:59"]),
        "elapsed_ms": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        "failure": st.text(),
        "kind": st.sampled_from(list(Kind)),
        "task": st.text(max_size=5),
        "request_body": st.sampled_from(['{"ids": ["1", 2, null]}', "[", '{"ids": {}}']),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(ENTRIES, min_size=1, max_size=5), st.sampled_from(relay_names()))
def test_any_recording_is_judged_or_refused(
    tmp_path: Path, entries: list[dict[str, Any]], relay: str
) -> None:
    """No recording raises another error than TrafficError, or crashes a check."""
    try:
        code, document = judged(tmp_path, "\n".join(map(json.dumps, entries)), relay, tasks=("1",))
    except TrafficError:
        return
    assert code in {0, 1, 3, 4}
    assert not any(row["outcome"] == "error" for row in document["rows"])
