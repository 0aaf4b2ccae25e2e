"""Failed connections, slow relays, and malformed responses."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from peers import Peer, _release_ports, closed_port  # noqa: F401 - a fixture
from scripted import ID, Reply, ScriptedRelay, diagnosed, examined, problem_names, relay_with, serving

if TYPE_CHECKING:
    import socket


def silent(seconds: float = 0.0) -> Peer:
    """Return a server that closes each connection after its request, without a response."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        peer.pause(seconds)

    return Peer(serve)


def test_a_failed_connection() -> None:
    """A closed port, an unknown host and plain HTTP have different names and exit code 4."""
    with closed_port() as origin, serving(relay_with()) as base_url:
        for url, name in (
            (origin, "refused"),
            ("https://certificate.invalid", "dns"),
            (base_url.replace("http:", "https:"), "tls"),
        ):
            found = examined(url, ID)
            assert (problem_names(found), found.exit_code) == ({name}, 4)


def test_a_failed_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not running is named, not the host of the relay."""
    with closed_port() as origin:
        monkeypatch.setenv("HTTPS_PROXY", origin)
        found = examined("https://relay.test", ID)
    assert problem_names(found) == {"proxy"}
    assert origin[7:] in str(found.problems)


def test_plain_http() -> None:
    """A key over http:// to another machine is noted."""
    assert "plain-http" in problem_names(examined("http://relay.invalid", ID), wrong=False)
    assert "plain-http" not in problem_names(examined("http://relay.invalid", ID, key=None))


def test_a_timeout() -> None:
    """A timeout ends the examination after one request."""
    with silent(30) as peer:
        began = time.monotonic()
        found = examined(peer.origin, ID, timeout=0.3)
    assert time.monotonic() - began < 5
    assert (problem_names(found), found.exit_code) == ({"timeout"}, 4)


def test_all_requests_together_are_bounded() -> None:
    """All requests together stay within the time limit."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        await ScriptedRelay(lambda _: Reply(404, b"{}"))(scope, receive, send)

    with serving(slow) as base_url:
        began = time.monotonic()
        found = examined(base_url, ID, patience=0.5)
    assert time.monotonic() - began < 3
    assert len(found.observations.attempts) <= 3


def test_no_request_is_sent_twice() -> None:
    """A relay that closes the connection receives one request."""
    with silent() as peer:
        examined(peer.origin, ID)
        assert peer.connections == 1


@pytest.mark.parametrize(
    "response",
    [
        b"\x00\xff\x17garbage",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + random.Random(7).randbytes(5_000),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00rubbish",
        b"HTTP/1.1 999 What\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    ],
    ids=range(7),
)
def test_malformed_responses(response: bytes) -> None:
    """Malformed responses lead to a diagnosis without a relay."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        client.sendall(response)

    with Peer(serve) as peer:
        found = examined(peer.origin, ID, timeout=2)
    assert found.relay is None
    assert found.exit_code in {1, 4}


def test_a_huge_body() -> None:
    """A huge body is neither parsed nor shown."""
    found = diagnosed(Reply(200, b'{"id":"' + b"7" * (3 << 20) + b'"}'))
    assert found.relay is None
    assert "no-json" in problem_names(found)
    assert len(json.dumps(found.data())) < 50_000
