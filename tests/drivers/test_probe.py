"""The probe sends each request once and unchanged, and keeps what it received of any response."""

from __future__ import annotations

import contextlib
import gzip
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.drivers import probe as _probe
from mjrelay_conformance.drivers.lenient import read_head
from mjrelay_conformance.drivers.probe import LATE, Probe
from peers import HEAD, Peer, always, closed_port, cut, drip, proxy_to, response, silent

from mjrelay.http.redaction import Redactor
from mjrelay.http.request import Request
from mjrelay.transport import ClientProtocol, ExchangeError

if TYPE_CHECKING:
    import pytest
    from certificates import Certificates

    from mjrelay.http.exchange import Exchange

KEY = "sk-secret-4711"
FETCH = Request("GET", "/mj/task/1/fetch", (("Authorization", f"Bearer {KEY}"),))


def probe(origin: str, deadline: float = 5.0, **options: Any) -> Probe:
    """A probe with a key to redact."""
    return Probe(origin, Redactor(KEY), deadline, **options)


def send(data: bytes) -> Exchange:
    """The exchange with a server that returns these bytes and closes."""
    with Peer(always(data, close=True)) as peer:
        return probe(peer.origin).send(FETCH)


def test_a_request_is_sent_unchanged() -> None:
    """Target, header fields and body are sent as they are, and the exchange keeps them without the secret."""
    with Peer(always(response())) as peer:
        exchange = probe(peer.origin).send(FETCH)
        probe(peer.origin).send(Request("POST", "/fetch", (("X-Name", "猪"),), b'{"id": "1"}'))
    assert peer.requests[0].startswith(b"GET /mj/task/1/fetch HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization: Bearer sk-secret-4711\r\n" in peer.requests[0]
    assert b"Accept-Encoding: identity\r\nConnection: close\r\n" in peer.requests[0]
    assert "X-Name: 猪\r\n".encode() in peer.requests[1]
    assert peer.requests[1].endswith(b'Content-Length: 11\r\n\r\n{"id": "1"}')
    assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
    assert ("Authorization", "Bearer [redacted]") in exchange.request_headers
    assert exchange.url == peer.origin + "/mj/task/1/fetch"


def test_complete_responses() -> None:
    """A body until the end of the connection is complete, redirects are not followed, and 1xx are skipped."""
    cases = {
        b"HTTP/1.1 200 OK\r\n\r\n{}": (200, b"{}"),
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n": (302, b""),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + response(): (200, b"{}"),
        b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n": (101, b""),
    }
    for data, expected in cases.items():
        exchange = send(data)
        assert (exchange.status, exchange.body, exchange.failure) == (*expected, None), data


def test_a_request_is_never_sent_twice() -> None:
    """Each request has its own connection and is sent once, even if there is no response."""
    with Peer(
        lambda peer, client, n: always(b"" if n == 2 else response(), close=True)(peer, client, n)
    ) as peer:
        one = probe(peer.origin)
        assert [one.send(FETCH).status for _ in range(3)] == [200, None, 200]
    assert len(peer.requests) == peer.connections == one.sent == 3


def test_the_deadline_bounds_the_whole_exchange() -> None:
    """A relay that stalls or sends a little at a time does not extend the deadline."""
    long_body = HEAD + b"Content-Length: 9999\r\n\r\n"
    for serve, status in (
        (silent, None),
        (drip(HEAD, b"X: y\r\n"), None),
        (drip(long_body, b" "), 200),
        (drip(long_body, b" ", pause=30), 200),
    ):
        with Peer(serve) as peer:
            exchange = probe(peer.origin, 0.3).send(FETCH)
        assert (exchange.status, exchange.failure) == (status, LATE)
        assert 0.3 <= exchange.elapsed < 5


def test_a_body_is_bounded_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without end, or compressed although this was not requested, is read up to the bound."""
    packed = gzip.compress(b"{}" + b" " * 10_000_000)
    exchange = send(response(packed, b"Content-Encoding: gzip"))
    assert exchange.body.startswith(b"{}")
    assert len(exchange.body) <= _probe.LARGEST_BODY
    monkeypatch.setattr(_probe, "LARGEST_BODY", 1000)
    assert "larger than is read" in (send(HEAD + b"\r\n" + b" " * 1_000_000).failure or "")


def test_no_connection() -> None:
    """A closed port and an unknown host are failures that name the host."""
    with closed_port() as origin:
        exchange = probe(origin).send(FETCH)
    assert (exchange.status, exchange.failure) == (
        None,
        f"no connection to {origin[7:]} (Connection refused)",
    )
    assert "no connection to relay.invalid (" in (probe("http://relay.invalid").send(FETCH).failure or "")


def test_tls(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """``verify`` and ``SSL_CERT_FILE`` decide which certificates are trusted; a cut body is a failure."""
    with Peer(always(response()), tls=certificates.context) as peer:
        origin = f"https://localhost:{peer.port}"
        assert "certificate verify failed" in (probe(origin).send(FETCH).failure or "")
        assert probe(origin, verify=certificates.authority).send(FETCH).status == 200
        monkeypatch.setenv("SSL_CERT_FILE", certificates.authority)
        assert probe(origin).send(FETCH).status == 200
    with Peer(cut(HEAD + b"\r\n{}"), tls=certificates.context) as peer:
        exchange = probe(f"https://localhost:{peer.port}").send(FETCH)
    assert (exchange.status, exchange.body) == (200, b"{}")
    assert "close_notify" in (exchange.failure or "")
    with Peer(always(b"HTTP/1.1 400 Bad Request\r\n\r\n", close=True)) as plain:
        exchange = probe(plain.origin.replace("http", "https")).send(FETCH)
    assert exchange.status is None
    assert exchange.failure


def test_a_proxy(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go through the proxy with its credentials, TLS through a tunnel that does not see the key."""
    with Peer(always(response())) as peer, Peer(proxy_to(peer)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass%2Dword@127.0.0.1:{proxy.port}")
        exchange = probe("http://relay.test").send(FETCH)
    assert (exchange.status, exchange.failure) == (200, None)
    assert proxy.requests[0].startswith(
        b"GET http://relay.test/mj/task/1/fetch HTTP/1.1\r\nHost: relay.test\r\n"
    )
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNzLXdvcmQ=\r\n" in proxy.requests[0]
    assert "dXNlcjp" not in str(exchange)
    with Peer(always(response()), tls=certificates.context) as peer, Peer(proxy_to(peer)) as proxy:
        secure = probe("https://relay.test", proxy=proxy.origin, verify=certificates.authority)
        assert secure.send(FETCH).status == 200
    assert proxy.requests[0].startswith(b"CONNECT relay.test:443 HTTP/1.1\r\n")
    assert KEY.encode() not in proxy.requests[0]
    with Peer(always(response(status=b"407 Proxy Authentication Required"))) as proxy:
        failure = probe("https://relay.test", proxy=proxy.origin).send(FETCH).failure or ""
        assert f"the proxy 127.0.0.1:{proxy.port} refused the connection (status 407)" in failure
    with closed_port() as origin:
        failure = probe("https://relay.test", proxy=origin).send(FETCH).failure or ""
        assert f"the proxy {origin[7:]} cannot be reached (Connection refused)" in failure


PIECES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 103 \r\n",
    b"Content-Length: 2",
    b"X: a\0b",
    b": ",
    b"\r\n",
    b"\n",
    b"{}",
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=24))
def test_any_bytes_have_a_head_or_a_problem(parts: list[bytes]) -> None:
    """Bytes that h11 refuses are a head that it accepts, or have a problem."""
    head = read_head(b"".join(parts), ended=True)
    if head.problem is None:
        assert head.status is not None
        received = _probe._Response(FETCH, "/", (("Host", "relay.test"),))
        protocol = ClientProtocol("")
        protocol.request_bytes("GET", "/", (("Host", "relay.test"),), b"")
        with contextlib.suppress(ExchangeError):  # from chunks that are not valid
            protocol.receive(head.rest, received)
        assert received.status is not None
