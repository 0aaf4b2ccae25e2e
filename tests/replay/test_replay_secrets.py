"""Keys and other private values in recordings are redacted."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING

import pytest
from hars import KEY, MISSING, command, fetch, fields, findings, judged, recorded
from mjrelay_conformance.replay import TrafficError, recording

from mjrelay import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_secrets_are_redacted(tmp_path: Path) -> None:
    """Keys and cookies are redacted in requests and wherever a response repeats them."""
    har, mock = recorded("zhongzhuan", "secret-echoed")
    fetch(har, mock, next(iter(mock.known.values())))
    del har.entries[2:-1]
    entry = har.entries[-1]
    entry["request"]["url"] = (
        entry["request"]["url"].replace("://", "://user:hunter2hunter2@") + "?token=query-token-0123456789"
    )
    entry["request"]["headers"] += fields([("X-Api-Key", "another-key-0123456789")])
    entry["response"]["headers"] += fields([("set-cookie", "sid=short; Path=/"), ("x-echo", "c" * 20)])
    _, document = judged(tmp_path, har, "zhongzhuan", report_dir=tmp_path / "out")
    written = (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    assert "fetch/secret" in findings(document)
    for secret in (KEY, "c" * 20, "hunter2", "query-token", "another-key", "short"):
        assert secret not in written
        assert secret not in json.dumps(document)
    assert "sid=[redacted]; Path=/" in written


def basic(text: str) -> str:
    """Encode Basic credentials."""
    return base64.b64encode(text.encode()).decode()


def test_private_values_are_redacted(tmp_path: Path) -> None:
    """A private value in any header or query parameter is in no output, even if the response repeats it."""
    places: tuple[Callable[[str], tuple[str, str]], ...] = (
        lambda value: ("X-Auth", value),
        lambda value: ("X-Token", f"Token {value}"),
        lambda value: ("X-My-Credentials", value),
        lambda value: ("X-Session-Id", value),
        lambda value: ("X-Signature", value),
        lambda value: ("Cookie", f"a=b; theme={value}"),
        lambda value: ("Authorization", f"Basic {basic(f'user:{value}')}"),
        lambda value: ("Authorization", f"Basic {basic(f'{value}:').rstrip('=')}"),
        lambda value: ("Proxy-Authorization", f"basic {basic(f'user:{value}')}"),
        lambda value: ("Referer", f"https://app.example/?token={value}&a=b"),
        lambda value: ("?token", value),
        lambda value: ("?X%2DSession", value),
        lambda value: ("?k", value),
    )
    har, _ = recorded("apiai")
    har.entries = [copy.deepcopy(har.entries[0]) for _ in places]
    values = [f"Zq{number}-hidden-value-0123456789" for number, _ in enumerate(places)]
    for entry, place, value in zip(har.entries, places, values, strict=True):
        name, sent = place(value)
        if name.startswith("?"):
            entry["request"]["url"] += f"{name}={sent}"
        else:
            entry["request"]["headers"] += fields([(name, sent)])
        if name != "Referer":
            document = json.loads(entry["response"]["content"]["text"]) | {"prompt": f"a cat {value}"}
            entry["response"]["content"] = {"text": json.dumps(document)}
            entry["response"]["headers"] += fields([("x-echo", value)])
    file = tmp_path / "traffic.har"
    file.write_text(har.text())
    done = command("apiai", str(file), "--report-dir", str(tmp_path / "out"))
    assert done.returncode in {1, 3}, done.stderr
    written = [path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()]
    assert len(written) == 2
    assert json.loads(done.stdout)["exchanges"][len(places) - 1]["kind"] == "known"
    for text in (done.stdout, done.stderr, *written):
        for value in values:
            assert value not in text
            assert basic(value)[:20] not in text
        assert "hidden-value" not in text


def test_ids_and_short_values_in_queries_stay(tmp_path: Path) -> None:
    """A query parameter is not private if it is short, or an id that the path has too."""
    har, mock = recorded("apiai")
    task_id = mock.known[State.SUCCEEDED]
    for entry in har.entries:
        entry["request"]["url"] += f"?id={entry['request']['url'].split('/')[-2]}&lang=http"
    _, document = judged(tmp_path, har)
    assert findings(document) == set()
    assert f"/mj/task/{task_id}/fetch?id={task_id}&lang=http" in json.dumps(document)


def test_any_number_of_private_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private values beyond the bound are redacted in their own exchange."""
    monkeypatch.setattr(recording, "_MAX_PRIVATE", 2)
    har, _ = recorded("apiai")
    for number, entry in enumerate(har.entries):
        entry["request"]["headers"] += fields([("cookie", f"turn=rotating-value-{number:08}")])
        entry["response"]["headers"] += fields([("x-echo", f"rotating-value-{number:08}")])
    _, document = judged(tmp_path, har)
    assert len(document["exchanges"]) > 3
    assert "rotating" not in json.dumps(document)


def test_short_cookies_are_redacted_in_place_only(tmp_path: Path) -> None:
    """A cookie value that may be an ordinary word is redacted in its header, not in responses."""
    har, _ = recorded("apiai")
    for entry in har.entries:
        entry["request"]["headers"] += fields([("cookie", "state=SUCCESS; lang=http")])
    _, document = judged(tmp_path, har)
    assert findings(document) == set()
    assert "SUCCESS" in document["exchanges"][0]["body"]["text"]
    assert "state=SUCCESS" not in json.dumps(document)


def test_too_many_keys(tmp_path: Path) -> None:
    """A recording with more keys than can be redacted is refused."""
    har, mock = recorded("apiai")
    for number in range(20):
        fetch(har, mock, MISSING, key=f"sk-key-number-{number:04}")
    with pytest.raises(TrafficError, match="more than 16 different API keys"):
        judged(tmp_path, har)


def test_an_unrecorded_key(tmp_path: Path) -> None:
    """Without the key in the recording an echo cannot be detected, except with --key-file."""
    har, _ = recorded("apiai", "secret-echoed")
    for entry in har.entries:
        entry["request"]["headers"] = []
    _, document = judged(tmp_path, har)
    assert {row["outcome"] for row in document["rows"] if row["check"] == "fetch/secret"} == {
        "not-applicable",
        "not-exercised",
    }
    (tmp_path / "key").write_text(KEY)
    _, document = judged(tmp_path, har, key_file=tmp_path / "key")
    assert "fetch/secret" in findings(document)
    assert KEY not in json.dumps(document)
