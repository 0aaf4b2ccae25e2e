"""Connections that a retry does not mend end a wait soon, with what to do."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import mjrelay
from peers import Peer, always, closed_port, proxy_to, reset, response
from twins import Async, Sync

from mjrelay import SomeTasksError, TransportError
from mjrelay.errors import UnreachableError
from mjrelay.testing import NoWaitClock

if TYPE_CHECKING:
    from certificates import Certificates

pytestmark = pytest.mark.filterwarnings("ignore::mjrelay.errors.PlainHTTPWarning")

KEY = "sk-never-to-be-seen-4711"
KINDS = [(twin, fast) for twin in (Sync, Async) for fast in (False, True)]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def failures(base_url: str, **options: Any) -> list[str]:
    """Wait with each kind of client; return the messages of errors that came without a retry."""
    pytest.importorskip("pyreqwest")
    shown = []
    for twin, fast in KINDS:
        clock = NoWaitClock()
        with twin("newapi", KEY, base_url=base_url, fast=fast, clock=clock, **options) as relay:
            began = clock.now()
            with pytest.raises(UnreachableError) as caught:
                relay.wait("1")
            assert clock.now() == began
        assert KEY not in str(caught.value)
        shown.append(str(caught.value))
    return shown


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_that_fails(certificates: Certificates) -> None:
    """An untrusted certificate, a wrong host name and an old TLS version end a wait immediately."""
    with Peer(always(response()), tls=certificates.context) as peer:
        for message in (
            *failures(f"https://localhost:{peer.port}"),
            *failures(f"https://127.0.0.1:{peer.port}", verify=certificates.authority),
        ):
            assert f":{peer.port} (" in message
            assert "set SSL_CERT_FILE or verify= to its certificate file" in message
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(certificates.authority, certificates.authority.replace("authority", "key"))
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with Peer(always(response()), tls=old) as peer:
        for message in failures(f"https://localhost:{peer.port}", verify=certificates.authority):
            assert "check the scheme and port of the URL, and the TLS versions" in message


def test_proxies_that_fail(certificates: Certificates) -> None:
    """A proxy that is not running, or refuses, ends a wait immediately and is named without its password."""
    for scheme in ("http", "https"):
        with closed_port() as origin:
            proxy = origin.replace("//", "//user:pass-word@")
            for message in failures(f"{scheme}://relay.test", proxy=proxy):
                assert f"the proxy {origin[7:]} cannot be reached (Connection refused)" in message
        with Peer(always(response(status=b"407 Proxy Authentication Required"), close=True)) as peer:
            for message in failures(f"{scheme}://relay.test", proxy=peer.origin):
                assert f"the proxy 127.0.0.1:{peer.port} refused the connection (status 407)" in message
    with Peer(always(response(status=b"403 Forbidden"), close=True)) as peer:
        for twin in (Sync, Async):
            with (
                twin("newapi", KEY, base_url="https://relay.test", proxy=peer.origin) as relay,
                pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{peer.port} refused .*status 403"),
            ):
                relay.wait("1")
    with Peer(always(response()), tls=certificates.context) as peer, Peer(proxy_to(peer)) as proxied:
        for message in failures("https://relay.test", proxy=proxied.origin):
            assert "SSL_CERT_FILE" in message


def test_no_server(caplog: pytest.LogCaptureFixture) -> None:
    """At an address that never responded a wait ends after ``connect_grace``; each retry is logged."""
    caplog.set_level(logging.INFO, "mjrelay")
    with closed_port() as origin:
        for twin, fast in KINDS:
            for options, seconds in (({}, 10), ({"connect_grace": 0}, 0)):
                clock = NoWaitClock()
                caplog.clear()
                with twin("newapi", KEY, base_url=origin, fast=fast, clock=clock, **options) as relay:
                    began = clock.now()
                    with pytest.raises(
                        UnreachableError, match=f"for {seconds} seconds; .*mjrelay doctor {origin}"
                    ):
                        relay.wait("1")
                    assert clock.now() - began == pytest.approx(seconds)
                retries = [one.getMessage() for one in caplog.records if "; retry in " in one.getMessage()]
                assert bool(retries) == bool(seconds)
                assert all("Connection refused" in one for one in retries)
    with Sync("newapi", KEY, base_url="http://no-such-host.invalid", clock=NoWaitClock()) as relay:
        with pytest.raises(UnreachableError, match="for 10 seconds"):
            relay.wait("1")
        with pytest.raises(SomeTasksError, match="40"):
            relay.wait_all([str(number) for number in range(40)])


def test_a_reset_is_transient() -> None:
    """A reset is transient at any time."""
    with (
        Peer(reset) as peer,
        Sync("newapi", KEY, base_url=peer.origin, clock=(clock := NoWaitClock())) as relay,
    ):
        began = clock.now()
        with pytest.raises(TransportError) as caught:
            relay.wait("1", timeout=1000.0)
        assert not isinstance(caught.value, UnreachableError)
        assert clock.now() - began > 60


def test_the_command_shows_the_reason() -> None:
    """``mjrelay wait`` prints why it waits, once for each reason, and one error for all tasks."""
    with closed_port() as origin:
        done = mjrelay("wait", "newapi", "1", "2", "3", "--base-url", origin, "--timeout", "3")
    assert done.returncode == 1
    assert done.stderr.count("Connection refused); try again later; retry in") == 1
