"""The fast transport, where it differs from the default one."""

from __future__ import annotations

import logging
import shutil
import ssl
from typing import TYPE_CHECKING

import pytest
from peers import Peer, always, response
from senders import KEY, Kind, MakeSender

from mjrelay.errors import SettingError
from mjrelay.http.redaction import Redactor
from mjrelay.http.request import Request
from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.transport import TransportConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

fast = pytest.mark.parametrize(
    "kind",
    [
        Kind(asynchronous=False, fast=True),
        Kind(asynchronous=True, fast=True),
        Kind(asynchronous=True, fast=True, uvloop=True),
    ],
    indirect=True,
    ids=str,
)


@fast
def test_values_beyond_ascii(make: MakeSender) -> None:
    """A value that cannot be decoded is reported as U+FFFD, and all other fields are kept."""
    fields = (b"X-A: 1", b"X-B: caf\xe9", b"X-A: \xe7\x8c\xaa", b"X-A: 3")
    with Peer(always(response(b"{}", *fields))) as peer:
        exchange = make(peer.origin).send()
    assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
    named = [("x-a", "1"), ("x-a", "3"), ("x-a", "\ufffd"), ("x-b", "\ufffd")]
    assert sorted(exchange.headers) == [("content-length", "2"), *named]


@fast
def test_a_path_is_not_changed(make: MakeSender) -> None:
    """A path is sent as it is, or it is a `SettingError`: dots must not lead to another path with the key."""
    with Peer(always(response())) as peer:
        sender = make(peer.origin)
        for target in ("/mj/task/%2E%2E/fetch", "/mj/task/%2e/fetch", "/a/../b", "/a b", "/?a#b\n"):
            with pytest.raises(SettingError, match="cannot be sent"):
                sender.send(Request("GET", target, (("Authorization", KEY),)))
        assert not peer.requests
        for target in ("/mj/task/a.b..c/fetch", "/%E7%8C%AA/%2F?n=%20+()*,;:@!$/", "/"):
            sender.send(Request("GET", target))
            assert peer.requests[-1].split()[1] == target.encode()


@fast
def test_default_header_fields(make: MakeSender) -> None:
    """Only gzip is requested and only mjrelay is named, unless the caller sets these fields."""
    with Peer(always(response())) as peer:
        sender = make(peer.origin)
        sender.send(Request("GET", "/"))
        sender.send(Request("GET", "/", (("Accept-Encoding", "identity"), ("User-Agent", "app/3"))))
    first, second = (request.lower() for request in peer.requests)
    assert b"accept-encoding: gzip\r\n" in first
    assert b"user-agent: mjrelay/" in first
    assert b"accept-encoding: identity\r\n" in second
    assert b"gzip" not in second
    assert b"user-agent: app/3\r\n" in second


@fast
def test_nothing_is_logged(make: MakeSender, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a log nor a failure holds the key."""
    caplog.set_level(logging.DEBUG)
    request = Request("GET", f"/?key={KEY}", (("Authorization", KEY),))
    for sent in (response(), KEY.encode()):
        with Peer(always(sent, close=True)) as peer:
            failure = make(peer.origin).send(request).failure
        assert KEY not in (failure or "")
    assert KEY not in caplog.text


@pytest.mark.parametrize("make_transport", [connect, connect_async])
def test_an_ssl_context_is_refused(make_transport: Callable[..., object]) -> None:
    """An SSL context, which pyreqwest does not support, is a `SettingError`."""
    pytest.importorskip("pyreqwest")
    context = ssl.create_default_context()
    with pytest.raises(SettingError, match="use fast=False"):
        make_transport(TransportConfig("https://relay.test", Redactor(), verify=context), fast=True)


def test_a_folder_of_certificates(tmp_path: Path) -> None:
    """Certificates in a folder are trusted, and other files are ignored; a folder without any is an error."""
    pytest.importorskip("pyreqwest")
    certifi = pytest.importorskip("certifi")
    config = TransportConfig("https://relay.test", Redactor(), verify=str(tmp_path))
    (tmp_path / "read.me").write_text("no certificate")
    with pytest.raises(SettingError, match="no certificates"):
        connect(config, fast=True)
    shutil.copy(certifi.where(), tmp_path / "all.pem")
    connect(config, fast=True).close()
