"""HAR files recorded from mock relays, and their judgement."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import forked
from attrs import define, field
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.replay import ReplayOptions, replay_traffic
from mocks import request_for

from mjrelay.contract.loading import load_contract

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


KEY = "sk-the-key-of-the-recording-0123456789"

MISSING = "9999999999999999"

HOST = "https://relay.example/prefix"


@define
class Har:
    """A HAR in the making; its entries are one second apart."""

    entries: list[dict[str, Any]] = field(factory=list)

    def add(self, method: str, url: str, request: Iterable[Any], response: Any, body: str = "") -> None:
        """Add an exchange; a binary response body is in Base64."""
        try:
            content = {"text": response.body.decode()}
        except UnicodeDecodeError:
            content = {"text": base64.b64encode(response.body).decode(), "encoding": "base64"}
        started = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=len(self.entries))
        self.entries.append(
            {
                "startedDateTime": started.isoformat(),
                "time": 20,
                "request": {
                    "method": method,
                    "url": url,
                    "headers": fields(request),
                    **({"postData": {"mimeType": "application/json", "text": body}} if body else {}),
                },
                "response": {
                    "status": response.status,
                    "headers": fields(response.headers),
                    "content": {"size": len(response.body), **content},
                },
            }
        )

    def text(self) -> str:
        """Return the file."""
        return json.dumps({"log": {"version": "1.2", "creator": {}, "entries": self.entries}})


def fields(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return headers in the notation of HAR."""
    return [{"name": name, "value": value} for name, value in pairs]


def recorded(relay: str, *faults: str, key: str = KEY) -> tuple[Har, MockRelay]:
    """Record two requests for each task of a mock and one for a missing task."""
    mock, har = MockRelay(load_contract(relay), key=KEY, faults=faults), Har()
    for task_id in (*mock.known.values(), MISSING, *mock.known.values()):
        fetch(har, mock, task_id, key=key)
    return har, mock


def fetch(har: Har, mock: MockRelay, task_id: str, *, key: str = KEY, host: str = HOST) -> None:
    """Record a request for a task."""
    request = request_for(mock.contract, task_id, key)
    headers = [*request.headers, ("cookie", f"session={'c' * 20}")]
    response = mock.answer(request.method, request.target, headers, request.body)
    har.add(request.method, host + request.target, headers, response, request.body.decode())


def judged(tmp_path: Path, data: Har | bytes | str, relay: str = "apiai", **options: Any) -> tuple[int, Any]:
    """Judge a recording; return the exit code and the record with the notices."""
    file = tmp_path / "recording"
    text = data.text() if isinstance(data, Har) else data
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    notices: list[str] = []
    code, record = replay_traffic(ReplayOptions(relay, str(file), **options), notices.append)
    return code, {**record.document(), "notices": notices}


def findings(document: dict[str, Any]) -> set[str]:
    """Return the checks with findings or errors."""
    return {row["check"] for row in document["rows"] if row["outcome"] in {"fail", "error"}}


def kinds(document: dict[str, Any]) -> list[str]:
    """Return the kind of each exchange."""
    return [exchange["kind"] for exchange in document["exchanges"]]


def command(*arguments: str, stdin: str = "") -> Any:
    """Run ``mjrelay replay``; the record is on stdout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MJRELAY_")}
    return forked.run(["replay", "--format=json", *arguments], kept, stdin)
