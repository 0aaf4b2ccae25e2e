"""Streams from checked addresses."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from peers import HEAD, Peer, always, cut, drip, notify, response, silent

from mjrelay.transport.streaming import RefusedAddressError, StreamError, stream_url

if TYPE_CHECKING:
    from certificates import Certificates


def allow_all(_: object) -> bool:
    """Allow every address."""
    return True


def test_a_stream() -> None:
    """The head is available first, then the body in pieces; no encoding is requested."""
    begun = threading.Event()

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        client.sendall(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\nX-A: 1\r\n\r\nabc")
        begun.wait(30)
        client.sendall(b"def")

    with Peer(serve) as peer:
        url = peer.origin + "/猪 %20.png?a=b#c"
        with stream_url(url, (("Range", "bytes=0-5"),), timeout=30, admit=allow_all) as stream:
            assert (stream.status, stream.header("x-a")) == (206, "1")
            begun.set()
            assert b"".join(stream.chunks()) == b"abcdef"
    head = peer.requests[0].lower()
    assert head.startswith(b"get /%e7%8c%aa%20%20.png?a=b http/1.1\r\n")
    assert b"accept-encoding: identity\r\n" in head
    assert b"range: bytes=0-5\r\n" in head


def test_a_redirect() -> None:
    """A redirect is not followed, and the body need not be read to its end."""
    with Peer(always(response(bytes(1 << 20), b"Location: /b", status=b"302 Found"))) as peer:
        with stream_url(peer.origin, (), timeout=30, admit=allow_all) as stream:
            assert stream.header("location") == "/b"
            assert next(stream.chunks())
        assert len(peer.requests) == 1


def test_a_refused_address() -> None:
    """The addresses of a host are checked before a connection, in every notation."""
    with Peer(always(response())) as peer:
        for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1"):
            with (
                pytest.raises(RefusedAddressError),
                stream_url(
                    f"http://{host}:{peer.port}/", (), timeout=30, admit=lambda one: not one.is_loopback
                ),
            ):
                pass
    assert peer.connections == 0


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    """A name that changes its address after the check gains nothing; TLS still checks the name."""
    answers = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("10.0.0.1")]
    judged: list[object] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "relay.test"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (str(answers.pop(0)), port))]

    with Peer(always(response(b"abc")), tls=certificates.context) as peer:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with stream_url(
            f"https://relay.test:{peer.port}/",
            (),
            timeout=30,
            admit=lambda one: not judged.append(one),  # type: ignore[func-returns-value]
            verify=certificates.authority,
        ) as stream:
            assert b"".join(stream.chunks()) == b"abc"
    assert [str(one) for one in judged] == ["127.0.0.1"]


def test_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses only the allowed ones are used."""
    with Peer(always(response(b"abc"))) as peer:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, peer.port))
            for address in ("127.0.0.9", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        allowed = ipaddress.ip_address("127.0.0.1")
        with stream_url(
            f"http://a.test:{peer.port}/", (), timeout=30, admit=lambda one: one == allowed
        ) as stream:
            assert stream.status == 200


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(silent, id="silence"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"), id="head"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1), id="100-continue"),
        pytest.param(always(b"", close=True), id="nothing"),
        pytest.param(always(b"SSH-2.0\r\n\r\n", close=True), id="garbage"),
    ],
)
def test_a_stream_without_a_head(serve: Any) -> None:
    """A head that is late or invalid is a `StreamError`."""
    with Peer(serve) as peer:
        started = time.monotonic()
        with pytest.raises(StreamError), stream_url(peer.origin, (), timeout=0.4, admit=allow_all):
            pass
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("stall", [False, True])
@pytest.mark.parametrize("proxied", [False, True])
def test_a_truncated_stream(stall: bool, proxied: bool) -> None:
    """A body that ends early or stalls is a `StreamError` after the received pieces."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        if stall:
            peer.pause()

    with Peer(serve) as peer:
        url = "http://relay.test/" if proxied else peer.origin
        proxy = peer.origin if proxied else None
        with stream_url(url, (), timeout=0.4, admit=allow_all, proxy=proxy) as stream:
            chunks = stream.chunks()
            assert next(chunks) == b"abc"
            with pytest.raises(StreamError):
                next(chunks)


def test_a_stream_through_a_proxy() -> None:
    """The proxy resolves names; an address in the URL is checked in every notation."""
    with Peer(always(response(b"abc"), close=True)) as proxy:
        through = f"http://127.0.0.1:{proxy.port}"
        with stream_url(
            "http://relay.test/a", (), timeout=30, admit=lambda _: False, proxy=through
        ) as stream:
            assert (stream.status, b"".join(stream.chunks())) == (200, b"abc")
        for host in ("10.0.0.1", "[::1]", "167772161", "0xa.1"):
            with (
                pytest.raises(RefusedAddressError),
                stream_url(f"http://{host}/a", (), timeout=30, admit=lambda _: False, proxy=through),
            ):
                pass
        assert proxy.connections == 1
        assert b"accept-encoding: identity\r\n" in proxy.requests[0].lower()


@pytest.mark.parametrize("url", ["ftp://a/b", "/b", "http://", "http://a:b/", "http://[::1/", "http://a..b/"])
def test_an_invalid_url(url: str) -> None:
    """An invalid URL is a `StreamError`."""
    with pytest.raises(StreamError), stream_url(url, (), timeout=30, admit=allow_all):
        pass


def test_an_error_of_the_caller() -> None:
    """An exception in the with block is not converted."""
    with (
        Peer(always(response())) as peer,
        pytest.raises(OSError, match="disk"),
        stream_url(peer.origin, (), timeout=30, admit=allow_all),
    ):
        raise OSError("the disk is full")


def test_a_stream_that_is_cut(certificates: Certificates) -> None:
    """Over TLS the end of the connection without close_notify does not complete a body."""
    for serve, complete in ((cut(HEAD + b"\r\nabc"), False), (notify(HEAD + b"\r\nabc"), True)):
        with Peer(serve, tls=certificates.context) as peer:
            url = f"https://localhost:{peer.port}"
            with stream_url(url, (), timeout=30, admit=allow_all, verify=certificates.authority) as stream:
                if complete:
                    assert b"".join(stream.chunks()) == b"abc"
                else:
                    with pytest.raises(StreamError, match="close_notify"):
                        list(stream.chunks())
