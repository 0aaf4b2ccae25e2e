"""Proxies: which one, its credentials, and TLS through it."""

from __future__ import annotations

import gzip
import logging
import time
from typing import TYPE_CHECKING

import pytest
from peers import Peer, always, drip, proxy_to, response
from senders import KEY, TARGET, MakeSender

from mjrelay.errors import SettingError
from mjrelay.http.redaction import Redactor
from mjrelay.transport import route as _route
from mjrelay.transport.transport import TransportConfig

if TYPE_CHECKING:
    from certificates import Certificates


@pytest.mark.parametrize("source", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "given"])
def test_a_proxy(make: MakeSender, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """The given proxy, or that of the environment, receives the request and its own credentials."""
    with Peer(always(response(gzip.compress(b"{}"), b"Content-Encoding: gzip"))) as peer:
        with Peer(proxy_to(peer)) as proxy:
            url = f"http://user:pass%2Dword%2D4711@127.0.0.1:{proxy.port}"
            if source != "given":
                monkeypatch.setenv(source, url)
            exchange = make("http://relay.test", **({"proxy": url} if source == "given" else {})).send()
        assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
        assert proxy.requests[0].startswith(b"GET http://relay.test" + TARGET.encode())
        assert b"proxy-authorization: basic " in proxy.requests[0].lower()
        assert exchange.url == "http://relay.test" + TARGET


def test_tls_through_a_proxy(make: MakeSender, certificates: Certificates) -> None:
    """In a tunnel the certificate of the relay is checked, and the proxy does not see the key."""
    with (
        Peer(always(response()), tls=certificates.context) as peer,
        Peer(proxy_to(peer)) as proxy,
    ):
        through = f"http://127.0.0.1:{proxy.port}"
        sender = make("https://relay.test", proxy=through, verify=certificates.authority)
        assert [sender.send().failure for _ in range(2)] == [None, None]
        assert (proxy.connections, len(peer.requests)) == (1, 2)
        assert proxy.requests[0].startswith(b"CONNECT relay.test:443 ")
        assert KEY.encode() not in b"".join(proxy.requests)
        assert "certificate" in (make("https://relay.test", proxy=through).send().failure or "").lower()


@pytest.mark.parametrize("names", ["relay.test", "127.0.0.1,.test", "*"])
def test_no_proxy(make: MakeSender, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    """Hosts in NO_PROXY are reached directly."""
    with Peer(always(response())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", names)
        assert "relay.test" in (make("http://relay.test").send(timeout=3.0).failure or "")
    assert proxy.connections == 0


def test_loopback_uses_only_a_given_proxy(make: MakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback addresses are reached directly, unless a proxy is given."""
    with Peer(always(response())) as peer, Peer(proxy_to(peer)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("ALL_PROXY", url)
        assert make(peer.origin).send().failure is None
        assert make(f"http://localhost:{peer.port}").send().failure is None
        assert proxy.connections == 0
        assert make(peer.origin, proxy=url).send().failure is None
        assert proxy.connections == 1


def test_an_empty_proxy(make: MakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty proxy disables that of the environment."""
    with Peer(always(response())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert make("http://no-such-host.invalid", proxy="").send().failure is not None
    assert proxy.connections == 0


def test_proxy_credentials_are_redacted(make: MakeSender, caplog: pytest.LogCaptureFixture) -> None:
    """No failure, repr or log shows the password of the proxy, even if the proxy echoes it."""
    caplog.set_level(logging.DEBUG)
    refusal = response(b"", status=b"407 pass-word-4711 is wrong")
    with Peer(always(refusal, close=True)) as proxy:
        url = f"http://user:pass%2Dword%2D4711@127.0.0.1:{proxy.port}"
        sender = make("https://relay.test", proxy=url)
        exchange = sender.send()
    ended = sender.send()
    assert (exchange.status, ended.status) == (None, None)
    assert exchange.failure
    config = TransportConfig("http://a", Redactor(), proxy=url)
    said = f"{exchange} {exchange.failure} {ended} {config} {caplog.text}"
    assert "pass-word" not in said
    assert "pass%2D" not in said


@pytest.mark.parametrize("url", ["gopher://u:pass-word-4711@h:1", "http://u:pass-word-4711@h:port"])
def test_an_unusable_proxy(make: MakeSender, url: str) -> None:
    """An unusable proxy is a `SettingError` of the constructor, without the password."""
    with pytest.raises(SettingError, match="proxy") as caught:
        make("http://relay.test", proxy=url)
    assert "pass-word" not in str(caught.value)


def test_the_deadline_with_a_proxy(make: MakeSender) -> None:
    """A proxy that sends a little at a time does not extend the deadline."""
    for first in (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"):
        with Peer(drip(first, b"a")) as proxy:
            sender = make("http://relay.test", proxy=f"http://127.0.0.1:{proxy.port}")
            started = time.monotonic()
            exchange = sender.send(timeout=0.4)
            assert time.monotonic() - started < 5
        assert exchange.failure == "no complete response within 0.4 seconds"


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("https://relay.test", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://relay.test", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://relay.test", {"ALL_PROXY": "p:1"}, "http://p:1"),
        ("https://relay.test:8443", {"ALL_PROXY": "p:1", "NO_PROXY": "relay.test:8443"}, None),
        ("https://relay.test", {"ALL_PROXY": "", "HTTPS_PROXY": ""}, None),
        ("http://[::1]:1", {"ALL_PROXY": "p:1"}, None),
        ("http://127.0.0.2", {"ALL_PROXY": "p:1"}, None),
    ],
)
def test_which_proxy(
    url: str, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment names a proxy by scheme, or for all, and never for loopback."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _route.proxy(url, None) == expected
