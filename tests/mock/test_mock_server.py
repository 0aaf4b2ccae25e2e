"""Mock relays over sockets: servers, latency, truncated bodies, ASGI."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.responses import MockResponse
from mjrelay_conformance.mock.server import Server, ServerError, serve_mock
from mocks import CONTRACTS, MISSING, OPENAPI, PACKAGED, fetch, request_for, served_example, varied

from mjrelay.http.request import Request
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from mjrelay.contract.document import Contract


def test_head() -> None:
    """HEAD returns the status and headers of GET without a body, and does not count as a read."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["terminal-regression"])
    request = request_for(contract, relay.known[State.SUCCEEDED])
    with Server(relay) as base_url:
        head = fetch(base_url, Request("HEAD", request.target, request.headers))
        got = fetch(base_url, request)
    assert head.body == b""
    assert (head.status, head.media_type) == (200, "application/json")
    assert head.header("content-length") == str(len(got.body))
    assert got.document == served_example(contract, State.SUCCEEDED, base_url)


_TEXT = st.text(max_size=40)

_TARGETS = st.one_of(
    _TEXT,
    st.from_regex(r"/(mj|api/mj)/task/[^/]{0,20}/fetch(\?.{0,20})?", fullmatch=True),
    st.builds("/v1/jobs.json?jobId={}&key=mock-key".format, _TEXT),
    st.sampled_from(["/mj/task/list-by-condition", "/mj/task/1730621826053455/image-seed"]),
    st.sampled_from(["http://x/mj/task/1/fetch", "*", "//", "/mj/task/%ff%zz/fetch", "/%", "\ud800"]),
)

_NAMES = st.sampled_from(["Authorization", "mj-api-secret", "cookie", "X-Job"]) | _TEXT

_VALUES = st.sampled_from(["Bearer mock-key", "Bearer", "sid=%ff; sid", "\ud800", "sid=mock-key"]) | _TEXT


@given(
    contract=st.sampled_from([*CONTRACTS.values(), varied("body", ask="$request.body#/id")]),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", ""]) | _TEXT,
    target=_TARGETS,
    headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=3),
    body=st.binary(max_size=40),
    faults=st.sampled_from([(), ("secret-echoed", "missing-task-other", "wrong-auth-accepted")]),
)
def test_any_request(
    *,
    contract: Contract,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
    faults: tuple[str, ...],
) -> None:
    """Any request gets a response that HTTP can carry."""
    faults = tuple(name for name in faults if FAULTS[name].applies(contract))
    response = MockRelay(contract, faults=faults).answer(method, target, headers, body)
    assert 200 <= response.status < 600
    for name, value in response.headers:
        assert re.fullmatch(r"[\x21-\x7e]+", name)
        assert re.fullmatch(r"[\x20-\x7e]*", value)


def test_server_lifecycle() -> None:
    """A server can be restarted, stops within a second and closes its port."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract)
    server = Server(relay)
    for _ in range(3):
        with server as base_url:
            url = urlsplit(base_url)
            idle = socket.create_connection((url.hostname or "", url.port or 0))
            assert fetch(base_url, request_for(contract, relay.known[State.FAILED])).status == 200
            started = time.monotonic()
        assert time.monotonic() - started < 1
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((url.hostname or "", url.port or 0))
    assert not [thread for thread in threading.enumerate() if thread.name == "mjrelay-server"]


def test_delayed_responses_do_not_delay_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server stops within a second although a response is pending."""
    relay = MockRelay(PACKAGED["apiai"])
    monkeypatch.setattr(relay, "answer", lambda *_: MockResponse(200, body=b"late", delay=60))
    with Server(relay) as base_url:
        url = urlsplit(base_url)
        waiting = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        waiting.request("GET", "/")
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 1
    waiting.close()


def test_a_port_in_use() -> None:
    """A port in use raises ServerError with advice."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ServerError, match="choose another port"),
    ):
        serve_mock(MockRelay(PACKAGED["apiai"]), "127.0.0.1", taken.getsockname()[1])


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_serving_in_the_foreground() -> None:
    """The base URL is announced, requests are served, and Ctrl-C ends the server silently."""
    program = (
        "from pathlib import Path\n"
        "from mjrelay.contract import read_contract\n"
        "from mjrelay_conformance.mock import MockRelay, serve_mock\n"
        f"relay = MockRelay(read_contract(Path({str(OPENAPI / 'apiai.yaml')!r})))\n"
        "serve_mock(relay, '127.0.0.1', 0, announce=lambda url: print(url, flush=True))\n"
        "print('ended')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        assert fetch(base_url, Request("GET", "/")).status == 404
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (out, err, process.returncode) == ("ended\n", "", 0)


def test_asgi() -> None:
    """Lifespan and disconnects are handled; other protocols raise an error."""
    relay = MockRelay(PACKAGED["apiai"])

    def run(scope: dict[str, Any], *messages: dict[str, Any]) -> list[Any]:
        pending, sent = list(messages), []

        async def receive() -> Any:
            return pending.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(relay(scope, receive, send))
        return sent

    ends = run({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in ends] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    scope = {"type": "http", "method": "GET", "path": "/é", "query_string": b"a=b", "headers": []}
    start, body = run(
        scope, {"type": "http.request", "body": b"1", "more_body": True}, {"type": "http.request"}
    )
    assert (start["status"], body["body"], body["more_body"]) == (404, b"", False)
    assert run(scope, {"type": "http.disconnect"}) == []
    with pytest.raises(ValueError, match="websocket"):
        run({"type": "websocket"})


def test_latency_over_a_socket() -> None:
    """Latency delays the response."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, latency=0.15)
    with Server(relay) as base_url:
        started = time.monotonic()
        assert fetch(base_url, request_for(contract, relay.known[State.FAILED])).status == 200
    assert time.monotonic() - started >= 0.15


def test_stalled_bodies() -> None:
    """Half of the body is sent; the application ends as soon as the client disconnects."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, faults=["stalls-mid-body"])
    ended = threading.Event()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await relay(scope, receive, send)
        ended.set()

    with Server(watched) as base_url:
        url, request = urlsplit(base_url), request_for(contract, relay.known[State.SUCCEEDED])
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        connection.request(request.method, request.target, headers=dict(request.headers))
        response = connection.getresponse()
        length = int(response.headers["content-length"])
        half = response.read(length // 2)
        assert len(half) == length // 2
        assert not ended.wait(0.1)
        assert connection.sock is not None
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        response.close()
        assert ended.wait(5)


def test_stalls_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall ends after its time even if the client stays connected."""
    relay = MockRelay(PACKAGED["apiai"])
    monkeypatch.setattr(relay, "answer", lambda *_: MockResponse(200, body=b"12", cut=1, stall=0.01))
    sent: list[Any] = []

    async def receive() -> Any:
        if sent:
            await asyncio.sleep(60)
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(relay({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send))
    assert [message.get("more_body") for message in sent] == [None, True]


def test_chunked_bodies() -> None:
    """Chunked bodies have no Content-Length; HEAD has neither."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract, dialect="chunked")
    request = request_for(contract, relay.known[State.SUCCEEDED])
    with Server(relay) as base_url:
        exchange = fetch(base_url, request)
        head = fetch(base_url, evolve(request, method="HEAD"))
    assert exchange.header("content-length") is None
    assert exchange.header("transfer-encoding") == "chunked"
    assert exchange.document == served_example(contract, State.SUCCEEDED, base_url)
    assert (head.status, head.body, head.failure) == (200, b"", None)


def test_a_response_over_a_socket() -> None:
    """A response arrives with its length, a date and its media type; a missing task has no body."""
    contract = PACKAGED["apiai"]
    relay = MockRelay(contract)
    with Server(relay) as base_url:
        exchange = fetch(base_url, request_for(contract, relay.known[State.SUCCEEDED]))
        missing = fetch(base_url, request_for(contract, "猫 &?#%"))
    assert exchange.status == 200
    assert exchange.media_type == "application/json"
    assert exchange.header("content-length") == str(len(exchange.body))
    assert exchange.header("date")
    assert exchange.document == served_example(contract, State.SUCCEEDED, base_url)
    assert (missing.status, missing.body, missing.header("content-type")) == (404, b"", None)


def test_truncated_bodies(capfd: pytest.CaptureFixture[str]) -> None:
    """A truncated body ends the connection before Content-Length is reached, without a log message."""
    contract = PACKAGED["zhongzhuan"]
    for fault in ("wrong-length", "connection-reset"):
        relay = MockRelay(contract, faults=[fault])
        with Server(relay) as base_url:
            exchange = fetch(base_url, request_for(contract, relay.known[State.SUCCEEDED]))
            assert fetch(base_url, request_for(contract, MISSING)).status == 400
        assert exchange.failure
        assert 0 < len(exchange.body) < int(exchange.header("content-length") or 0)
        assert exchange.body.endswith(b"}") is (fault == "wrong-length")
    assert capfd.readouterr() == ("", "")
