"""The transport over a user's httpx client."""

from __future__ import annotations

import gzip
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from peers import HEAD, Peer, always, drip, response, silent
from senders import KEY, TARGET, Kind, MakeClient, MakeSender, make_request

from mjrelay.errors import SettingError
from mjrelay.http.redaction import Redactor
from mjrelay.http.request import Request
from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.transport import TransportConfig

if TYPE_CHECKING:
    import socket


def test_a_client_is_used_as_given(make: MakeSender, make_client: MakeClient) -> None:
    """Its header fields are sent, its auth and redirects are not used, and it stays open."""
    with Peer(always(response(b"", b"Location: /other", status=b"302 Found"))) as peer:
        own = make_client(
            auth=("user", "password"),
            headers={"X-Own": "1"},
            follow_redirects=True,
            base_url="http://a.invalid/b/",
        )
        sender = make(peer.origin, own)
        exchange = sender.send()
        sender.close()
        assert not own.is_closed
    assert exchange.status == 302
    assert peer.requests[0].startswith(b"GET " + TARGET.encode() + b" ")
    assert f"authorization: bearer {KEY}\r\n".encode() in peer.requests[0].lower()
    assert b"x-own: 1\r\n" in peer.requests[0].lower()


def test_a_client_of_the_other_kind(make: MakeSender, kind: Kind) -> None:
    """A sync transport needs an `httpx.Client`, an async one an `httpx.AsyncClient`."""
    if kind.fast:
        pytest.skip("a client takes the place of the fast transport")
    other, wanted = (httpx.Client, "AsyncClient") if kind.asynchronous else (httpx.AsyncClient, "Client")
    with pytest.raises(SettingError, match=rf"must be an httpx\.{wanted} here, not {other.__name__}"):
        make("http://relay.test", other(trust_env=False))


def test_a_closed_client(make: MakeSender, make_client: MakeClient) -> None:
    """A closed client is a `SettingError`."""
    own = make_client()
    sender = make("http://relay.test", own)
    if sender.runner:
        sender.runner.run(own.aclose())
    else:
        own.close()
    with pytest.raises(SettingError, match="client= is closed"):
        sender.send()


def test_a_late_exchange_leaves_no_thread(make: MakeSender, make_client: MakeClient) -> None:
    """A body without end is abandoned soon after the deadline, with its connection."""
    ended = threading.Event()

    def serve(peer: Peer, client: socket.socket, number: int) -> None:
        try:
            drip(HEAD + b"Content-Length: 9999\r\n\r\n", b"a")(peer, client, number)
        except OSError:
            ended.set()

    with Peer(serve) as peer:
        exchange = make(peer.origin, make_client()).send(timeout=0.2)
        assert exchange.failure == "no complete response within 0.2 seconds"
        assert ended.wait(5)


def test_logs_of_a_shared_client(
    make: MakeSender, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Two transports over one client have different secrets, and no log shows either."""
    caplog.set_level(logging.DEBUG)
    own, other = make_client(), "another-secret-4712"
    sent = response(b"{}", f"X-Echo: {KEY} {other}".encode())
    with Peer(always(sent)) as peer:
        first = make(peer.origin, own)
        connector: Any = connect_async if first.runner else connect
        second = connector(TransportConfig(peer.origin, Redactor(other)), client=own)
        assert first.send().failure is None
        del second
    assert "[redacted] [redacted]" in caplog.text
    assert not [one for one in (KEY, other) if one in caplog.text]


def test_the_timeout_of_the_client(make: MakeSender, make_client: MakeClient) -> None:
    """The client's own timeout applies if it is shorter."""
    with Peer(silent) as peer:
        for own, ours in ((0.2, 30.0), (None, 0.2)):
            started = time.monotonic()
            assert make(peer.origin, make_client(timeout=own)).send(timeout=ours).failure is not None
            assert time.monotonic() - started < 5


@pytest.mark.parametrize("packed", [False, True])
def test_a_mock_transport(make: MakeSender, make_client: MakeClient, packed: bool) -> None:
    """A client over `httpx.MockTransport` works, and its exceptions are failures."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            raise RuntimeError(f"no POST with {KEY}")
        body, fields = (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}) if packed else (b"{}", {})
        return httpx.Response(200, content=body, headers=fields)

    sender = make("http://relay.test", make_client(transport=httpx.MockTransport(handle)))
    exchange = sender.send()
    assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
    assert sender.send(make_request("POST")).failure == "no POST with [redacted]"


@pytest.mark.parametrize("route", ["own", "client", "proxy"])
def test_no_log_holds_the_key(
    make: MakeSender, make_client: MakeClient, caplog: pytest.LogCaptureFixture, route: str
) -> None:
    """A key that the relay echoes in its header is in no log, and other values are not changed."""
    caplog.set_level(logging.DEBUG)
    sent = response(b"{}", b"X-Echo: " + KEY.encode(), b"X-Plain: plain-and-simple")
    target = f"{TARGET}&key={KEY}"
    request = Request("GET", target, (("Authorization", KEY),), b"", Request("GET", TARGET))
    with Peer(always(sent)) as peer:
        options = {"proxy": f"http://127.0.0.1:{peer.port}"} if route == "proxy" else {}
        sender = make(peer.origin, make_client() if route == "client" else None, **options)
        assert sender.send(request).failure is None
    assert KEY in peer.requests[0].decode()
    assert KEY not in caplog.text
    assert ("plain-and-simple" in caplog.text) == (route != "own")
    assert ("[redacted]" in caplog.text) == (route != "own")
