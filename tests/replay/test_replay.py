"""Recorded traffic is judged as what was sent would be, and never for more than the recording proves."""

from __future__ import annotations

import base64
import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import forked
import httpx
import pytest
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mjrelay_conformance.drivers.options import ConformOptions
from mjrelay_conformance.drivers.run import judge_relays
from mjrelay_conformance.judging import record as _record
from mjrelay_conformance.judging.observation import Kind
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from mjrelay_conformance.replay.driver import ReplayOptions, replay_traffic
from mjrelay_conformance.replay.files import TrafficError
from mjrelay_conformance.report.document import RunReport
from mjrelay_conformance.report.reading import read_record
from rich.console import Console
from sampled import sampled

from mjrelay import State
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.errors import MjrelayError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEY = "sk-the-key-of-the-recording-0123456789"
MISSING = "9999999999999999"
HOST = "https://relay.example/prefix"

# What each fault breaks that a recording can show; what an answer to a wrong key or to no key is, it cannot.
SHOWN = {
    "wrong-type": "fetch/200/schema",
    "null-field": "fetch/200/schema",
    "id-as-number": "fetch/200/schema",
    "wrong-content-type": "fetch/200/media-type",
    "no-content-type": "fetch/200/media-type",
    "html-200": "fetch/200/media-type",
    "html-labelled-json": "fetch/200/json",
    "error-envelope-200": "fetch/200/accept",
    "empty-200": "fetch/200/json",
    "truncated-json": "fetch/200/json",
    "invalid-utf8": "fetch/200/json",
    "nan": "fetch/200/json",
    "redirect-to-other-host": "fetch/redirect",
    "status-500": "fetch/known/status",
    "wrong-id": "fetch/200/id",
    "seconds-not-ms": "fetch/200/times",
    "finish-before-start": "fetch/200/times-order",
    "success-without-media": "fetch/200/succeeded/media",
    "success-without-finish": "fetch/200/succeeded/finished",
    "success-at-50-percent": "fetch/200/succeeded/progress",
    "failure-without-reason": "fetch/200/failed/reason",
    "progress-150": "fetch/200/progress",
    "terminal-regression": "sequence/terminal",
    "changes-when-read": "sequence/content",
    "secret-echoed": "fetch/secret",
}


@define
class Recording:
    """A HAR that grows, entry by entry, one second after the other."""

    entries: list[dict[str, Any]] = field(factory=list)

    def add(self, method: str, url: str, request: Iterable[Any], response: Any, body: str = "") -> None:
        """One exchange, its answer's body in Base64 where it is no text."""
        headers = [(name.lower(), value) for name, value in response.headers]
        try:
            content = {"text": response.body.decode()}
        except UnicodeDecodeError:
            content = {"text": base64.b64encode(response.body).decode(), "encoding": "base64"}
        moment = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=len(self.entries))
        self.entries.append(
            {
                "startedDateTime": moment.isoformat(),
                "time": 20,
                "request": {
                    "method": method,
                    "url": url,
                    "headers": fields(request),
                    **({"postData": {"mimeType": "application/json", "text": body}} if body else {}),
                },
                "response": {
                    "status": response.status,
                    "headers": fields(headers),
                    "content": {"size": len(response.body), **content},
                },
            }
        )

    def text(self) -> str:
        """The file."""
        return json.dumps({"log": {"version": "1.2", "creator": {}, "entries": self.entries}})


def fields(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Header fields as HAR writes them."""
    return [{"name": name, "value": value} for name, value in pairs]


def recorded(relay: str, *faults: str, key: str = KEY, host: str = HOST) -> tuple[Recording, MockRelay]:
    """Every task of a mock read twice, and a missing one, as a browser would see it."""
    mock, recording = MockRelay(load_contract(relay), key=KEY, faults=faults), Recording()
    for task_id in (*mock.known.values(), MISSING, *mock.known.values()):
        ask(recording, mock, task_id, key=key, host=host)
    return recording, mock


def ask(recording: Recording, mock: MockRelay, task_id: str, *, key: str = KEY, host: str = HOST) -> None:
    """One fetch of a task more."""
    request = mock.contract.request(task_id).authenticated(mock.contract.credentials[0], key)
    headers = [*request.headers, ("cookie", f"session={'c' * 20}")]
    answer = mock.answer(request.method, request.target, headers)
    recording.add(request.method, host + request.target, headers, answer)


def judged(tmp_path: Path, data: Any, relay: str = "apiai", **options: Any) -> tuple[int, dict[str, Any]]:
    """The exit code and the record; what is told is among it."""
    file = tmp_path / "recording"
    if isinstance(data, Recording):
        data = data.text()
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    told: list[str] = []
    code, record = replay_traffic(ReplayOptions(relay, str(file), **options), told.append)
    return code, {**record.document(), "told": told}


def findings(document: dict[str, Any]) -> set[str]:
    """The checks that found something."""
    return {row["check"] for row in document["rows"] if row["outcome"] in {"fail", "error"}}


def kinds(document: dict[str, Any]) -> list[str]:
    """What each exchange was for."""
    return [exchange["kind"] for exchange in document["exchanges"]]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MJRELAY_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("relay", relay_names())
def test_a_correct_relay_has_no_finding(relay: str, tmp_path: Path) -> None:
    """All that was recorded is right; that no wrong key was tried leaves it partial where one is wanted."""
    recording, mock = recorded(relay)
    code, document = judged(tmp_path, recording, relay, strict=True)
    assert findings(document) == set()
    assert kinds(document) == ["known"] * len(mock.known) + ["missing"] + ["known"] * len(mock.known)
    assert document["relays"][0]["requests"] == 0
    lacking = [one for one in document["relays"][0]["features"] if one["core"] and not one["exercised"]]
    assert [one["name"] for one in lacking] == ([] if mock.contract.open else ["a wrong credential"])
    assert all("record" in one["hint"] for one in document["relays"][0]["features"])
    verdict = (0, "conformant") if mock.contract.open else (3, "partial")
    assert (code, document["footer"]["verdict"]) == verdict


CASES = [
    pytest.param(relay, fault, id=f"{relay}-{fault}")
    for relay in relay_names()
    for fault in sampled(relay, SHOWN)
    if FAULTS[fault].applies(load_contract(relay))
]


@pytest.mark.parametrize(("relay", "fault"), CASES)
def test_a_fault_that_the_answers_show_is_found(relay: str, fault: str, tmp_path: Path) -> None:
    """The check that would have found it on the wire finds it in the recording."""
    recording, mock = recorded(relay, fault)
    tasks = tuple(f"{task_id}={state.value}" for state, task_id in mock.known.items())
    code, document = judged(tmp_path, recording, relay, tasks=tasks, strict=True)
    assert SHOWN[fault] in findings(document)
    assert code == 1


def test_what_a_client_recorded_over_sockets(tmp_path: Path) -> None:
    """Traffic of httpx with a mock, written down by a hook, is judged as the mock's own run would be."""
    recording = Recording()

    def write_down(response: httpx.Response) -> None:
        response.read()
        request, came = response.request, (list(response.headers.items()), response.content)
        answer = type("Came", (), {"status": response.status_code, "headers": came[0], "body": came[1]})
        recording.add(request.method, str(request.url), request.headers.items(), answer)

    mock = MockRelay(load_contract("zhongzhuan"), key=KEY, faults=["seconds-not-ms"])
    hooks = {"response": [write_down]}
    with (
        Server(mock) as base_url,
        httpx.Client(base_url=base_url, event_hooks=hooks, trust_env=False) as client,
    ):
        for task_id in (*mock.known.values(), MISSING):
            client.get(mock.contract.request(task_id).target, headers={"Authorization": f"Bearer {KEY}"})
        client.get("/elsewhere")
        base = base_url
    code, document = judged(tmp_path, recording, "zhongzhuan", base_url=base)
    assert code == 1
    assert findings(document) == {"fetch/200/times"}
    assert "skipped: 1 exchanges that ask zhongzhuan for no task" in document["told"]
    assert KEY not in json.dumps(document)


def test_a_record_is_judged_again(tmp_path: Path) -> None:
    """A results.json gives the same rows as the run that wrote it, for it says what each exchange was for."""
    options = ConformOptions(relay="mjdjourney", fuzz=False, report_dir=tmp_path / "run")
    first_code, first = judge_relays(options, Console(stderr=True))
    code, document = judged(tmp_path, (tmp_path / "run" / "results.json").read_bytes(), "mjdjourney")
    assert (code, first_code) == (0, 0)

    def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        # The key is not in the record, so nobody can tell whether it was in an answer; states are not either.
        return [
            (row["check"], row["exchange"], row["outcome"])
            for row in rows
            if row["check"] not in {"fetch/secret", "fetch/200/state"} and row["outcome"] != "not-exercised"
        ]

    assert told(document["rows"]) == told(first.document()["rows"])
    secret = {row["outcome"] for row in document["rows"] if row["check"] == "fetch/secret"}
    assert "pass" not in secret


def test_no_secret_is_in_the_record(tmp_path: Path) -> None:
    """Keys and cookies are found where they were sent, and taken out wherever they came back."""
    recording, mock = recorded("zhongzhuan", "secret-echoed")
    ask(recording, mock, next(iter(mock.known.values())))
    entry = recording.entries[-1]
    entry["request"]["url"] = (
        entry["request"]["url"].replace("://", "://user:hunter2hunter2@") + "?token=query-token-0123456789"
    )
    entry["request"]["headers"] += fields([("X-Api-Key", "another-key-0123456789")])
    entry["response"]["headers"] += fields([("set-cookie", "sid=short; Path=/"), ("x-echo", "c" * 20)])
    _, document = judged(tmp_path, recording, "zhongzhuan", report_dir=tmp_path / "out")
    written = (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    assert "fetch/secret" in findings(document)
    for secret in (KEY, "c" * 20, "hunter2", "query-token", "another-key", "short"):
        assert secret not in written
        assert secret not in json.dumps(document)
    assert "sid=[redacted]; Path=/" in written


HIDDEN = "Zq8-hidden-value-0123456789"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Auth", HIDDEN),
        ("X-Token", f"Token {HIDDEN}"),
        ("X-My-Credentials", HIDDEN),
        ("X-Session-Id", HIDDEN),
        ("X-Signature", HIDDEN),
        ("Cookie", f"a=b; theme={HIDDEN}"),
        ("Authorization", "Basic " + base64.b64encode(f"user:{HIDDEN}".encode()).decode()),
        ("Authorization", "Basic " + base64.b64encode(f"{HIDDEN}:".encode()).decode().rstrip("=")),
        ("Proxy-Authorization", "basic " + base64.b64encode(f"user:{HIDDEN}".encode()).decode()),
        ("Referer", f"https://app.example/?token={HIDDEN}&a=b"),
        ("?token", HIDDEN),
        ("?X%2DSession", HIDDEN),
        ("?k", HIDDEN),
    ],
)
def test_what_was_sent_in_private_is_not_shown_where_it_came_back(
    name: str, value: str, tmp_path: Path
) -> None:
    """Whatever field a key was sent in, no artefact holds it, though the relay repeats it in its answer."""
    recording, _ = recorded("apiai")
    entry = recording.entries[0]
    if name.startswith("?"):
        entry["request"]["url"] += f"{name}={value}"
    else:
        entry["request"]["headers"] += fields([(name, value)])
    if name != "Referer":
        document = json.loads(entry["response"]["content"]["text"]) | {"prompt": f"a cat {HIDDEN}"}
        entry["response"]["content"] = {"text": json.dumps(document)}
        entry["response"]["headers"] += fields([("x-echo", HIDDEN)])
    file = tmp_path / "traffic.har"
    file.write_text(recording.text())
    done = command("apiai", str(file), "--report-dir", str(tmp_path / "out"))
    assert done.returncode in {1, 3}, done.stderr
    written = [path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()]
    assert len(written) == 2
    for text in (done.stdout, done.stderr, *written):
        assert "hidden-value" not in text
        assert base64.b64encode(HIDDEN.encode()).decode()[:20] not in text


def test_an_id_in_the_query_is_no_secret(tmp_path: Path) -> None:
    """What stands in the path anyway, or is short, is no key because it stands in the query too."""
    recording, mock = recorded("apiai")
    task_id = mock.known[State.SUCCEEDED]
    for entry in recording.entries:
        entry["request"]["url"] += f"?id={entry['request']['url'].split('/')[-2]}&lang=http"
    _, document = judged(tmp_path, recording)
    assert findings(document) == set()
    assert f"/mj/task/{task_id}/fetch?id={task_id}&lang=http" in json.dumps(document)


def test_private_values_without_end(tmp_path: Path) -> None:
    """A cookie that differs with each exchange is taken out of the answer that repeats it, however many."""
    recording, _ = recorded("apiai")
    recording.entries = [json.loads(json.dumps(entry)) for entry in recording.entries * 6]
    for number, entry in enumerate(recording.entries):
        entry["request"]["headers"] += fields([("cookie", f"turn=rotating-value-{number:08}")])
        entry["response"]["headers"] += fields([("x-echo", f"rotating-value-{number:08}")])
    assert len(recording.entries) > 40
    _, document = judged(tmp_path, recording)
    assert "rotating" not in json.dumps(document)


def test_a_long_recording_makes_a_record_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its bounds a record has bodies by size and hash only, then new findings only; all is judged."""
    monkeypatch.setattr(_record, "LARGEST_BODIES", 34_000)
    monkeypatch.setattr(_record, "LARGEST_RECORD", 150_000)
    monkeypatch.setattr(_record, "_SPARED", 30_000)
    recording, _ = recorded("apiai")
    recording.entries = [json.loads(json.dumps(entry)) for entry in recording.entries * 20]
    late, _ = recorded("apiai", "seconds-not-ms")
    recording.entries += late.entries[:1]
    for second, entry in enumerate(recording.entries):
        entry["startedDateTime"] = f"2026-01-02T{second // 60:02}:{second % 60:02}:00Z"
    code, document = judged(tmp_path, recording, report_dir=tmp_path / "out")
    assert code == 1
    assert "fetch/200/times" in findings(document)
    exchanges = document["exchanges"]
    assert [one["number"] for one in exchanges] == list(range(1, len(exchanges) + 1))
    assert "text" in exchanges[0]["body"]
    assert {*exchanges[-2]["body"]} == {"size", "sha256"}
    assert "text" in exchanges[-1]["body"]  # the one that broke something
    left = len(recording.entries) - len(exchanges)
    assert f"judged, but not in the record, which is full: {left} exchanges" in "\n".join(document["told"])
    assert (tmp_path / "out" / "results.json").stat().st_size < 155_000
    assert [one.name for one in RunReport.of(read_record(tmp_path / "out")).relays] == ["apiai"]


def test_an_exchange_too_large_for_a_record_leaves_its_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it breaks counts and is told, though nothing shows the exchange itself."""
    recording, _ = recorded("apiai", "seconds-not-ms")
    recording.entries[0]["request"]["headers"] += fields([("x-filler", "y" * 200_000)])
    recording.entries = recording.entries[:1]
    monkeypatch.setattr(_record, "LARGEST_RECORD", 100_000)
    monkeypatch.setattr(_record, "_SPARED", 5_000)
    code, document = judged(tmp_path, recording)
    assert code == 1
    assert document["exchanges"] == []
    assert [row["exchange"] for row in document["rows"] if row["check"] == "fetch/200/times"] == [None]


def test_the_command_that_does_it_again(tmp_path: Path) -> None:
    """It names what was given, and no directory."""
    recording, _ = recorded("apiai")
    (tmp_path / "known faults.yaml").write_text("[]")
    options: dict[str, Any] = {"baseline": tmp_path / "known faults.yaml", "strict": True, "base_url": HOST}
    _, document = judged(tmp_path, recording, **options, globs=("fetch/*",), tasks=("1=failed",))
    assert document["header"]["reproduce"] == (
        f"mjrelay replay apiai {tmp_path / 'recording'} "
        """--base-url "$MJRELAY_BASE_URL" --task 1=failed --strict --check 'fetch/*' """
        "--baseline 'known faults.yaml'"
    )


def test_a_short_cookie_is_no_word_to_be_torn_out(tmp_path: Path) -> None:
    """A cookie whose value is a word hides that word nowhere but in the cookie."""
    recording, _ = recorded("apiai")
    for entry in recording.entries:
        entry["request"]["headers"] += fields([("cookie", "state=SUCCESS; lang=http")])
    _, document = judged(tmp_path, recording)
    assert findings(document) == set()
    assert "SUCCESS" in document["exchanges"][0]["body"]["text"]
    assert "state=SUCCESS" not in json.dumps(document)


def test_a_refusal_accuses_nobody(tmp_path: Path) -> None:
    """Whether a key was right, a recording does not show, not even of a task that was read before."""
    recording, mock = recorded("apiai")
    task_id = mock.known[State.SUCCEEDED]
    ask(recording, mock, task_id, key="sk-another-key-that-is-wrong-000")
    _, document = judged(tmp_path, recording, strict=True)
    assert findings(document) == set()
    rows = [row for row in document["rows"] if row["exchange"] == len(recording.entries)]
    assert {row["outcome"] for row in rows if row["check"].startswith("fetch/known")} == {"inconclusive"}
    assert not any(row["check"].startswith("auth/") and row["outcome"] == "fail" for row in document["rows"])


def test_answers_that_prove_nothing_are_told(tmp_path: Path) -> None:
    """A server's error for a task that may not exist is told, not judged; with --task it counts."""
    recording, mock = recorded("apiai", "status-500")
    recording.entries = recording.entries[:1]
    with pytest.raises(TrafficError, match="no answer can be judged"):
        judged(tmp_path, recording)
    task_id = next(iter(mock.known.values()))
    assert "fetch/known/status" in findings(judged(tmp_path, recording, tasks=(task_id,))[1])


def test_a_web_page_where_no_relay_was_seen(tmp_path: Path) -> None:
    """A contract may document web pages elsewhere: only where the relay is known to be does one count."""
    recording, _ = recorded("zhongzhuan", "html-200")
    code, document = judged(tmp_path, recording, "zhongzhuan")
    assert (code, kinds(document)) == (3, ["missing"])
    code, document = judged(tmp_path, recording, "zhongzhuan", base_url=HOST)
    assert code == 1
    assert findings(document) == {"fetch/200/media-type"}


def test_readings_count_in_the_order_of_time(tmp_path: Path) -> None:
    """A file in any order is judged in that of the clock, so that a task does not run after it has ended."""
    recording, now = Recording(), [1_800_000_000.0]
    mock = MockRelay(load_contract("apiai"), key=KEY, clock=lambda: now[0])
    task_id = mock.submit(10)
    for _ in range(6):
        ask(recording, mock, task_id)
        now[0] += 3
    assert findings(judged(tmp_path, recording)[1]) == set()
    recording.entries.reverse()
    code, document = judged(tmp_path, recording, tasks=(f"{task_id}=succeeded",))
    assert findings(document) == set()
    assert code == 3
    for entry in recording.entries:
        del entry["startedDateTime"]
    assert "sequence/terminal" in findings(judged(tmp_path, recording)[1])


def test_readings_at_the_same_time_prove_no_order(tmp_path: Path) -> None:
    """Of two requests in flight at once, either may have been answered first."""
    recording, now = Recording(), [1_800_000_000.0]
    mock = MockRelay(load_contract("apiai"), key=KEY, clock=lambda: now[0])
    task_id = mock.submit(10)
    ask(recording, mock, task_id)
    now[0] += 20
    ask(recording, mock, task_id)
    recording.entries.reverse()
    for entry, second in zip(recording.entries, (0, 5), strict=True):
        entry["startedDateTime"] = f"2026-01-02T00:00:00.{second}Z"
    recording.entries[0]["time"] = 900
    assert findings(judged(tmp_path, recording)[1]) == set()
    recording.entries[0]["time"] = 50
    assert "sequence/terminal" in findings(judged(tmp_path, recording)[1])


def test_an_id_means_one_task_at_one_relay(tmp_path: Path) -> None:
    """The same id at another host is another task."""
    recording, mock = recorded("apiai")
    recording.entries = recording.entries[:1]
    other = MockRelay(load_contract("apiai"), key=KEY)
    task_id = mock.known[State.SUCCEEDED]
    running = other.submit(1e9, task_id=task_id)
    ask(recording, other, running, host="https://other.example")
    assert findings(judged(tmp_path, recording)[1]) == set()
    recording.entries[1]["request"]["url"] = recording.entries[0]["request"]["url"]
    assert "sequence/terminal" in findings(judged(tmp_path, recording)[1])


def test_a_base_url_narrows_what_counts(tmp_path: Path) -> None:
    """Only what was asked there is judged, whatever part of the path the base URL already has."""
    recording, mock = recorded("apiai")
    ask(recording, mock, MISSING, host="https://other.example")
    for base_url in (HOST, "https://RELAY.example:443/prefix", f"{HOST}/mj"):
        _, document = judged(tmp_path, recording, base_url=base_url)
        assert len(document["exchanges"]) == len(recording.entries) - 1
    with pytest.raises(TrafficError, match=r"at https://relay\.example for a task"):
        judged(tmp_path, recording, base_url="https://relay.example")


def test_a_batch_is_one(tmp_path: Path) -> None:
    """The operation for several tasks is judged as such, with the ids that its body holds."""
    recording, mock = recorded("zhongzhuan")
    ids = [*mock.known.values(), MISSING]
    request = mock.contract.batch_request(ids)
    headers = [*request.headers, ("Authorization", f"Bearer {KEY}")]
    answer = mock.answer(request.method, request.target, headers, request.body)
    recording.add(request.method, HOST + request.target, headers, answer, request.body.decode())
    code, document = judged(tmp_path, recording, "zhongzhuan", strict=True)
    assert findings(document) == set()
    assert code == 3
    assert kinds(document)[-1] == "batch"
    feature = next(one for one in document["relays"][0]["features"] if "several" in one["name"])
    assert feature["exercised"]


def test_a_recording_of_something_else(tmp_path: Path) -> None:
    """The error shows what was recorded, without what may be a secret, and what was looked for."""
    recording, _ = recorded("apiai")
    for entry in recording.entries:
        entry["request"]["url"] = "https://relay.example/hook/T0123456789ABCDEF/send?key=0123456789abcdef"
    with pytest.raises(TrafficError) as caught:
        judged(tmp_path, recording)
    assert "GET /hook/…/send" in str(caught.value)
    assert "/mj/task/{id}/fetch" in str(caught.value)
    assert "0123456789" not in str(caught.value)


def test_too_many_keys_are_refused(tmp_path: Path) -> None:
    """What cannot all be kept out of the record is not judged."""
    recording, mock = recorded("apiai")
    for number in range(20):
        ask(recording, mock, MISSING, key=f"sk-key-number-{number:04}")
    with pytest.raises(TrafficError, match="more than 16 different keys"):
        judged(tmp_path, recording)


def test_a_key_that_was_not_recorded_is_not_missed_in_vain(tmp_path: Path) -> None:
    """Where a browser left the key out, answers prove nothing about it, unless they hold the caller's own."""
    recording, _ = recorded("apiai", "secret-echoed")
    for entry in recording.entries:
        entry["request"]["headers"] = []
    _, document = judged(tmp_path, recording)
    assert {row["outcome"] for row in document["rows"] if row["check"] == "fetch/secret"} == {
        "not-applicable",
        "not-exercised",
    }
    (tmp_path / "key").write_text(KEY)
    _, document = judged(tmp_path, recording, key_file=tmp_path / "key")
    assert "fetch/secret" in findings(document)
    assert KEY not in json.dumps(document)


def test_a_selection_of_checks(tmp_path: Path) -> None:
    """Checks are chosen and left out as for conform, and a baseline accepts what it names."""
    recording, _ = recorded("apiai", "success-at-50-percent")
    broken = "fetch/200/succeeded/progress"
    assert judged(tmp_path, recording)[0] == 1
    assert judged(tmp_path, recording, excluded=(broken,))[0] == 3
    assert judged(tmp_path, recording, globs=("fetch/200/media-type",))[0] == 3
    baseline = tmp_path / "baseline.yaml"
    baseline.write_text(f"- {{relay: apiai, check: {broken}, reason: known, date: 2026-01-02}}\n")
    code, document = judged(tmp_path, recording, baseline=baseline)
    assert code == 3
    assert document["relays"][0]["baseline"]["accepted"][0]["check"] == broken
    with pytest.raises(MjrelayError, match="no check has such an id"):
        judged(tmp_path, recording, globs=("nothing/*",))


def command(*arguments: str, stdin: str = "") -> Any:
    """Run ``mjrelay replay``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MJRELAY_")}
    return forked.cold(["replay", *arguments], kept, stdin)


def test_the_command(tmp_path: Path) -> None:
    """Exit codes, stdin, a packed file and the report directory, as the documentation has them."""
    recording, _ = recorded("apiai")
    done = command("apiai", "-", stdin=recording.text())
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

    for arguments, said in (
        (("apiai", str(tmp_path / "nowhere.har")), "cannot be read"),
        (("apiai", "-"), "stdin: is empty"),
        (("nobody", "-"), "no relay is called 'nobody'"),
    ):
        done = command(*arguments)
        assert done.returncode == 2
        assert said in done.stderr


PART = st.sampled_from(
    [
        *("https://relay.example", "http://[::1]:8080", "https://[", "HTTP://a:99999", "//", "?", "#", "@"),
        *(
            "/mj/task/",
            "/api/mj/task/",
            "/fetch",
            "1",
            "%2F",
            "%",
            "猫",
            "{id}",
            "?key=",
            "list-by-condition",
        ),
    ]
)
URLS = st.lists(PART, max_size=6).map("".join) | st.sampled_from(
    [
        "https://a/mj/task/1/fetch",
        "https://u:p@a/mj/task/%00/fetch?secret=abcdefghij",
        "http://a//mj/task/1/fetch",
    ]
)
ANSWERS = st.sampled_from(
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
        "body": ANSWERS | st.text(),
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.lists(ENTRIES, min_size=1, max_size=5), st.sampled_from(relay_names()))
def test_whatever_was_recorded_is_judged_or_refused(
    tmp_path: Path, entries: list[dict[str, Any]], relay: str
) -> None:
    """No recording ends in any other error, nor in a check that failed itself."""
    try:
        code, document = judged(tmp_path, "\n".join(map(json.dumps, entries)), relay, tasks=("1",))
    except TrafficError:
        return
    assert code in {0, 1, 3, 4}
    assert not any(row["outcome"] == "error" for row in document["rows"])
