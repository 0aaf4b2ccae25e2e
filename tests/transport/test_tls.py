"""Addresses and TLS; for every transport."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from peers import HEAD, Peer, always, chunked, cut, notify, response
from senders import Kind, MakeSender, with_uvloop

from mjrelay.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

    from certificates import Certificates


@with_uvloop
def test_ipv6(make: MakeSender) -> None:
    """An IPv6 address is written in brackets in the Host field."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with Peer(always(response()), host="::1") as peer:
        assert make(peer.origin).send().failure is None
    assert f"host: [::1]:{peer.port}".encode() in peer.requests[0].lower()


@with_uvloop
def test_a_second_address_is_tried(make: MakeSender) -> None:
    """If one of several addresses refuses the connection, the next is used."""
    with Peer(always(response())) as peer:
        assert make(f"http://localhost:{peer.port}").send().failure is None


@with_uvloop
def test_tls(make: MakeSender, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate is trusted by path, by environment or not at all; the host name is checked."""
    with Peer(always(response()), tls=certificates.context) as peer:
        origin = f"https://localhost:{peer.port}"
        sender = make(origin, verify=certificates.authority)
        assert [sender.send().failure for _ in range(3)] == [None] * 3
        assert peer.connections == 1
        assert make(origin, verify=False).send().failure is None
        for exchange in (
            make(origin).send(),
            make(f"https://127.0.0.1:{peer.port}", verify=certificates.authority).send(),
        ):
            assert exchange.status is None
            assert "certificate" in (exchange.failure or "").lower()
        monkeypatch.setenv("SSL_CERT_FILE", certificates.authority)
        assert make(origin).send().failure is None


@with_uvloop
def test_a_slow_handshake(
    make: MakeSender, kind: Kind, monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    """The connect timeout of an address does not apply to the TLS handshake."""
    if kind.fast:
        pytest.skip("pyreqwest has one timeout for both")
    monkeypatch.setattr("mjrelay.transport.route.CONNECT", 0.3)
    monkeypatch.setattr("mjrelay.transport.h11.CONNECT", 0.3)

    class Slow(Peer):
        def _handle(self, client: socket.socket, number: int) -> None:
            self.pause(0.8)
            super()._handle(client, number)

    with Slow(always(response()), tls=certificates.context) as peer:
        exchange = make(f"https://localhost:{peer.port}", verify=certificates.authority).send()
    assert exchange.failure is None
    assert exchange.elapsed > 0.5


@with_uvloop
def test_tls_without_close_notify(make: MakeSender, kind: Kind, certificates: Certificates) -> None:
    """A body that only the end of the connection ends is incomplete without close_notify, others are not."""
    for serve, complete in (
        (cut(HEAD + b"\r\n{}"), False),
        (notify(HEAD + b"\r\n{}"), True),
        (cut(response()), True),
        (cut(chunked(b"{}")), True),
    ):
        with Peer(serve, tls=certificates.context) as peer:
            exchange = make(f"https://localhost:{peer.port}", verify=certificates.authority).send()
        assert (exchange.failure is None) == complete
        assert exchange.body == b"{}" or kind.fast


def test_an_ssl_context(make: MakeSender, kind: Kind, certificates: Certificates) -> None:
    """An `ssl.SSLContext` is used as given."""
    if kind.fast:
        pytest.skip("pyreqwest does not support an SSL context")
    context = ssl.create_default_context(cafile=certificates.authority)
    with Peer(always(response()), tls=certificates.context) as peer:
        assert make(f"https://localhost:{peer.port}", verify=context).send().failure is None


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unreadable_certificates(make: MakeSender, tmp_path: Path, content: str | None) -> None:
    """A missing file, or one without certificates, is a `SettingError` of the constructor."""
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match=r"authority\.pem"):
        make("https://localhost:1", verify=str(path))
