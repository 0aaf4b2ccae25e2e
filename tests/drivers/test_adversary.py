"""The suite against hand-written relays on sockets: unusual but correct ones, and broken ones."""

from __future__ import annotations

import copy
import gzip
import io
import itertools
import json
import re
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from attrs import define, field
from mjrelay_conformance.drivers.options import ConformError, ConformOptions
from mjrelay_conformance.drivers.run import judge_relays
from mjrelay_conformance.judging.record import RecordError
from rich.console import Console

from mjrelay.contract.loading import load_contract
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "sk-the-key-of-the-adversary-4711"
PAGE = "<!doctype html><title>New API</title>"
RELAYS = ("apiai", "mjdjourney", "zhongzhuan")
JSON = "application/json"
WRAPPED = "mjdjourney"
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@define(frozen=True)
class Asked:
    """A received request."""

    method: str
    path: str
    fields: dict[str, str]
    body: bytes


def answer(status: int, body: Any, kind: str = JSON, *fields: str, length: bool = True) -> bytes:
    """Return a response without Date and with lower-case names, as some servers send it."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else encoded(body)
    lines = [f"HTTP/1.1 {status} said", f"content-type: {kind}", *fields]
    lines += [f"content-length: {len(data)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode() + data


def encoded(document: Any) -> bytes:
    """Return a serialized document."""
    return json.dumps(document, ensure_ascii=False).encode()


@define(slots=False)
class Relay:
    """
    A correct relay of a contract that returns a web page for unknown paths, as new-api does.

    ``shown`` builds the response with a task; ``handled`` may return a response to any request first.
    """

    name: str
    prefix: str = ""
    shown: Callable[[Relay, Any], bytes] = field(default=lambda _, document: answer(200, document))
    handled: Callable[[Relay, Asked], bytes | None] = field(default=lambda _, __: None)
    asked: list[Asked] = field(factory=list)
    tasks: dict[str, Any] = field(init=False)
    states: dict[str, State] = field(init=False)

    def __attrs_post_init__(self) -> None:
        one = load_contract(self.name)
        states = {state.value: state for state in State}
        shown = {states[name]: copy.deepcopy(one.examples[name]) for name in one.examples if name in states}
        self.tasks = {str(one.reader.id(document)): document for document in shown.values()}
        self.states = {str(one.reader.id(document)): state for state, document in shown.items()}

    def of(self, state: State) -> str:
        """Return the id of the task in a state."""
        return next(task_id for task_id, one in self.states.items() if one is state)

    def accepted(self, asked: Asked) -> bool:
        """Whether the API key is valid; the second header field counts only without the first."""
        said = re.sub("^bearer ", "", asked.fields.get("authorization", ""), flags=re.IGNORECASE)
        return (said or (asked.fields.get("mj-api-secret") if self.name != "apiai" else "")) == KEY

    def task_id(self, asked: Asked) -> str | None:
        """Return the requested id; None for another operation."""
        path = asked.path.partition("?")[0].removeprefix(self.prefix).removeprefix("/api")
        found = re.fullmatch("/mj/task/([^/]*)/fetch", path)
        return None if found is None or "%2f" in path.lower() else unquote(found[1])

    def answered(self, asked: Asked) -> bytes:
        """Return the response to a request."""
        self.asked.append(asked)
        said = self.handled(self, asked)
        task_id = self.task_id(asked)
        batch = self.name == "zhongzhuan" and asked.path.endswith("/list-by-condition")
        if said is not None:
            return said
        if not batch and (task_id is None or asked.method != "GET"):
            return answer(200, "" if asked.method == "HEAD" else PAGE, "text/html")
        if not self.accepted(asked):
            refusal = {"error": {"message": "无效的令牌", "type": "new_api_error"}}
            return answer(401, refusal, f"{JSON}; charset=utf-8")
        if batch:
            return self.listed(asked)
        if task_id in self.tasks:
            return self.shown(self, copy.deepcopy(self.tasks[task_id]))
        missing = {"code": 4, "description": "task_no_found ", "type": "upstream_error"}
        return answer(400 if self.name == "zhongzhuan" else 404, missing, f"{JSON}; charset=utf-8")

    def listed(self, asked: Asked) -> bytes:
        """Return the tasks of a batch request in another order."""
        ids = json.loads(asked.body)["ids"]
        return answer(200, [self.tasks[task_id] for task_id in reversed(self.tasks) if task_id in ids])


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Return a function that serves a relay and returns its URL."""
    listeners: list[socket.socket] = []

    def one(relay: Relay, family: socket.AddressFamily = socket.AF_INET) -> str:
        host = "::1" if family is socket.AF_INET6 else "127.0.0.1"
        listener = socket.create_server((host, 0), family=family)
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, relay), daemon=True).start()
        return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}{relay.prefix}"

    yield one
    for listener in listeners:
        listener.close()


def _serve(listener: socket.socket, relay: Relay) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as stream:
            method, path, _ = stream.readline().decode().split(" ")
            fields = {}
            while line := stream.readline().decode().strip():
                name, _, value = line.partition(":")
                fields[name.lower()] = value.strip()
            body = stream.read(int(fields.get("content-length", 0)))
            connection.sendall(relay.answered(Asked(method, path, fields, body)))


@pytest.fixture
def judged(serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, set[str]]]:
    """Return a function that runs the suite: the exit code, and the checks with MUST or SHOULD findings."""
    monkeypatch.setenv("MJRELAY_API_KEY", KEY)

    def run(relay: Relay, **options: Any) -> tuple[int, set[str]]:
        url = serve(relay) if "base_url" not in options else options.pop("base_url")
        tasks = tuple(f"{task_id}={state.value}" for task_id, state in relay.states.items())
        chosen = ConformOptions(
            relay=relay.name, base_url=url, tasks=tasks, **{"fuzz": False, "pay": 0, **options}
        )
        code, record = judge_relays(chosen, Console(file=io.StringIO()))
        rows = record.document()["rows"]
        assert [row for row in rows if row["outcome"] == "error"] == []
        findings = [row for row in rows if row["outcome"] == "fail" and row["level"] != "info"]
        return code or 0, {row["check"] for row in findings}

    return run


def chunked(data: bytes) -> bytes:
    """Return a chunked body with chunk extensions and a trailer."""
    pieces = (data[start : start + 50] for start in range(0, len(data), 50))
    sent = b"".join(f"{len(piece):X};a=b\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return (HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode() + sent + b"0\r\nX-Trailer: a\r\n\r\n"


def moved_on(relay: Relay, document: Any) -> bytes:
    """Return a task that advances with each fetch."""
    reader = load_contract(relay.name).reader
    task_id = str(reader.id(document))
    states = [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    if relay.states[task_id] in states[:2]:
        read = sum(relay.task_id(asked) == task_id for asked in relay.asked) - 1
        state = states[min(states.index(relay.states[task_id]) + read, 2)]
        source = relay.of(state)
        document = json.loads(encoded(relay.tasks[source]).replace(source.encode(), task_id.encode()))
    return answer(200, document)


QUIRKS: dict[str, Callable[[Relay, Any], bytes]] = {
    "plain": lambda _, document: answer(200, document),
    "chunked": lambda _, document: chunked(encoded(document)),
    "HTTP/1.0 without a length": lambda _, document: answer(200, document, length=False).replace(
        b"HTTP/1.1", b"HTTP/1.0", 1
    ),
    "interim answers": lambda _, document: (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(200, document)
    ),
    "fields twice": lambda _, document: answer(
        200,
        document,
        JSON,
        f"content-length: {len(encoded(document))}",
        "server: a",
        "server: b",
        "set-cookie: c=d",
    ),
    "lines without CR": lambda _, document: answer(200, document).replace(b"\r\n", b"\n"),
    "a charset in capitals": lambda _, document: answer(200, document, 'Application/JSON; Charset="UTF-8"'),
    "spread over lines": lambda _, document: answer(200, f" {json.dumps(document, indent=2)}\r\n\n"),
    "a clock that is slow": lambda _, document: answer(
        200, document, JSON, "date: Sat, 01 Aug 2026 00:00:00 GMT"
    ),
    "moving on": moved_on,
}


@pytest.mark.parametrize(("name", "quirk"), list(zip(itertools.cycle(RELAYS), QUIRKS)))
def test_an_unusual_relay_is_conformant(judged: Any, name: str, quirk: str) -> None:
    """Behaviour of servers and proxies that no contract forbids is no finding."""
    assert judged(Relay(name, shown=QUIRKS[quirk])) == (0, set())


@pytest.mark.parametrize(
    ("family", "prefix", "closing"),
    [
        (socket.AF_INET6, "", ""),
        (socket.AF_INET, "/api", "/"),
        (socket.AF_INET, "/mj-fast", ""),
        (socket.AF_INET, "", "///"),
    ],
)
def test_base_urls(judged: Any, serve: Any, family: socket.AddressFamily, prefix: str, closing: str) -> None:
    """IPv6 addresses, path prefixes and trailing slashes work."""
    if family is socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    relay = Relay("zhongzhuan", prefix)
    assert judged(relay, base_url=serve(relay, family) + closing) == (0, set())


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "ends within the header": lambda _: HEAD.encode(),
    "a line that is no field": lambda body: (
        f"{HEAD}oops\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    ),
    "two lengths": lambda body: answer(200, body, JSON, "content-length: 5"),
    "no length": lambda body: answer(200, body, JSON, "content-length: abc", length=False),
    "a length below zero": lambda body: answer(200, body, JSON, "content-length: -5", length=False),
    "a longer length": lambda body: answer(200, body, JSON, "content-length: 99999", length=False),
    "gzip that breaks off": lambda body: answer(
        200, gzip.compress(body)[:-12], JSON, "content-encoding: gzip"
    ),
    "gzip that is none": lambda body: answer(200, body, JSON, "content-encoding: gzip"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_response_without_a_certain_end_is_not_parsed(judged: Any, fault: str) -> None:
    """Only the transfer check fails; nothing is guessed from the body."""
    relay = Relay("zhongzhuan", shown=lambda _, document: BROKEN[fault](encoded(document)))
    assert judged(relay) == (1, {"fetch/transfer"})


def test_a_body_beyond_the_limit_is_too_large(judged: Any) -> None:
    """A body beyond the suite's limit is a finding of size, not of transfer."""

    def shown(_: Relay, document: Any) -> bytes:
        packed = gzip.compress(encoded(document) + b" " * 10_000_000)
        return answer(200, packed, JSON, "content-encoding: gzip")

    assert judged(Relay("zhongzhuan", shown=shown)) == (0, {"fetch/size"})


def test_a_web_page_for_everything_is_one_finding(judged: Any) -> None:
    """If no known task is fetched, the base URL may be wrong, and other responses prove nothing."""
    relay = Relay("zhongzhuan", handled=lambda *_: answer(200, b"<html></html>", "text/html"))
    assert judged(relay) == (1, {"fetch/200/media-type"})


def test_an_occasional_wrong_task_is_one_finding(judged: Any) -> None:
    """Another task's document breaks the check of the id, and not those of repeated fetches."""

    def shown(relay: Relay, document: Any) -> bytes:
        other = next(one for task_id, one in relay.tasks.items() if task_id != document["id"])
        return answer(200, other if len(relay.asked) % 2 else document)

    assert judged(Relay("zhongzhuan", shown=shown))[1] - {"batch/like-single"} == {"fetch/200/id"}


def test_an_exhausted_quota_is_no_finding(judged: Any) -> None:
    """A 402 from the start is inconclusive."""
    assert (
        judged(Relay("zhongzhuan", handled=lambda *_: answer(402, {"error": {"message": "quota"}})))[0] == 3
    )


def test_a_banned_key_stops_the_run(judged: Any) -> None:
    """After the second 403 in a row no more requests are sent."""

    def banned(relay: Relay, _: Asked) -> bytes | None:
        return answer(403, {"error": "banned"}) if len(relay.asked) > 5 else None

    relay = Relay("zhongzhuan", handled=banned)
    code, found = judged(relay)
    assert (code, found) == (1, {"fetch/known/status"})
    assert len(relay.asked) == 7


def test_rejected_alternative_schemes_do_not_stop_the_run(judged: Any) -> None:
    """If another header and another case are rejected, the plan continues to its end."""

    def strict(_: Relay, asked: Asked) -> bytes | None:
        known = asked.fields.get("authorization", "").startswith("Bearer ")
        return None if known else answer(401, {"error": {"message": "no", "type": "new_api_error"}})

    relay = Relay("zhongzhuan", handled=strict)
    assert judged(relay) == (1, {"auth/alternative/works", "auth/scheme/case"})
    assert relay.asked[-1].method == "DELETE"


def test_a_relay_that_deletes_on_request_has_no_finding(judged: Any) -> None:
    """Methods that may change something are sent last."""

    def deleting(relay: Relay, asked: Asked) -> bytes | None:
        if asked.method != "DELETE":
            return None
        relay.tasks.pop(relay.task_id(asked) or "", None)
        return answer(204, b"", length=False)

    assert judged(Relay("zhongzhuan", handled=deleting)) == (0, set())


def test_a_batch_operation_without_authentication_is_found(judged: Any) -> None:
    """The batch operation must require the key as the fetch operation does."""

    def lax(relay: Relay, asked: Asked) -> bytes | None:
        return relay.listed(asked) if asked.path.endswith("/list-by-condition") else None

    assert judged(Relay("zhongzhuan", handled=lax)) == (1, {"auth/none/refused"})


def test_a_record_that_cannot_be_written_costs_no_request(judged: Any, tmp_path: Path) -> None:
    """An unwritable directory is an error before any request."""
    (tmp_path / "results.json").mkdir()
    relay = Relay("zhongzhuan")
    with pytest.raises(ConformError, match="can be written to"):
        judged(relay, report_dir=tmp_path)
    assert relay.asked == []


def test_a_failed_write_is_an_error(judged: Any, tmp_path: Path) -> None:
    """A write that fails during the run raises an error of the suite."""

    def filling(_: Relay, __: Asked) -> None:
        (tmp_path / "results.json").mkdir(exist_ok=True)

    with pytest.raises(RecordError, match="cannot be written"):
        judged(Relay("zhongzhuan", handled=filling), report_dir=tmp_path)
