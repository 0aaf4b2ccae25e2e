"""Complete, truncated, compressed and oversized responses; for every transport."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING

import pytest
from peers import HEAD, Peer, always, chunked, gzip_bomb, response

from mjrelay.transport.protocol import LARGEST_HEAD
from mjrelay.transport.transport import LARGEST_BODY

if TYPE_CHECKING:
    import socket

    from senders import Kind, MakeSender

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
COMPRESSED = gzip.compress(b"{}")
TWICE_COMPRESSED = gzip.compress(COMPRESSED)
GZIP = b"Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        pytest.param(chunked(b"{}"), 200, b"{}", id="chunked"),
        pytest.param(HEAD + b"\r\n{}", 200, b"{}", id="until-close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", id="http-1.0"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", id="304"),
        pytest.param(INTERIM + response(), 200, b"{}", id="1xx"),
        pytest.param(response(b"{}", b"Content-Encoding: identity"), 200, b"{}", id="identity"),
        pytest.param(response(COMPRESSED, b"content-encoding: GZIP"), 200, b"{}", id="gzip"),
        pytest.param(response(COMPRESSED, b"Content-Encoding: x-gzip"), 200, b"{}", id="x-gzip"),
        pytest.param(chunked(COMPRESSED, GZIP), 200, b"{}", id="gzip-chunked"),
        pytest.param(response(COMPRESSED + b"more", GZIP), 200, b"{}", id="gzip-more"),
        pytest.param(response(b"", GZIP), 200, b"", id="gzip-empty"),
        pytest.param(response(b"ended", status=b"561 Odd"), 561, b"ended", id="561"),
        pytest.param(response(b"", b"Location: /other", status=b"302 Found"), 302, b"", id="redirect"),
    ],
)
def test_complete_responses(make: MakeSender, sent: bytes, status: int, body: bytes) -> None:
    """Each framing of a body is understood, gzip is decompressed, and a redirect is not followed."""
    with Peer(always(sent, close=True)) as peer:
        exchange = make(peer.origin).send()
    assert (exchange.status, exchange.body, exchange.failure) == (status, body, None)
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\n{}", 200, id="short"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", 200, id="chunks-without-end"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", 200, id="no-chunks"),
        pytest.param(response(gzip.compress(b"{}" * 99)[:-9], GZIP), 200, id="gzip-short"),
        pytest.param(response(b"{}", GZIP), 200, id="no-gzip"),
        pytest.param(response(TWICE_COMPRESSED, b"Content-Encoding: gzip, gzip"), 200, id="twice"),
        pytest.param(
            response(TWICE_COMPRESSED, GZIP, GZIP),
            200,
            id="two-fields",
        ),
        pytest.param(response(zlib.compress(b"{}"), b"Content-Encoding: deflate"), 200, id="deflate"),
        pytest.param(response(b"{}", b"Content-Encoding: br"), 200, id="br"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"\x16\x03\x01 what\r\n\r\n", None, id="garbage"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX", None, id="half-a-head"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", None, id="101"),
        pytest.param(HEAD + b"X: %b\r\n\r\n" % (b"x" * 9 * LARGEST_HEAD), None, id="huge-head"),
        pytest.param(HEAD + b"X: 1\r\n" * LARGEST_HEAD + b"\r\n", None, id="many-fields"),
    ],
)
def test_incomplete_responses(make: MakeSender, kind: Kind, sent: bytes, status: int | None) -> None:
    """A truncated, invalid or unexpectedly encoded response is a failure with the received status."""
    with Peer(always(sent, close=True)) as peer:
        exchange = make(peer.origin).send()
    assert exchange.failure
    assert exchange.status == status or (kind.fast and exchange.status is None)  # pyreqwest reads ahead
    assert len(peer.requests) == 1


def test_a_truncated_body_is_kept(make: MakeSender, kind: Kind) -> None:
    """The exchange holds the received part of a truncated body."""
    if kind.fast:
        pytest.skip("pyreqwest reads ahead, and reports only the failure")
    with Peer(always(HEAD + b"Content-Length: 9\r\n\r\n{}", close=True)) as peer:
        exchange = make(peer.origin).send()
    assert (exchange.status, exchange.body) == (200, b"{}")


@pytest.mark.parametrize("what", ["endless", "announced", "bomb", "zeros after gzip"])
def test_a_body_is_bounded(make: MakeSender, what: str) -> None:
    """No more than the limit is read, with or without a length, compressed or after compressed data."""

    def serve(peer: Peer, client: socket.socket, _: int) -> None:
        peer.receive(client)
        length = b"Content-Length: %d\r\n" % (1 << 40) if what == "announced" else b""
        coding = b"Content-Encoding: gzip\r\n" if what in {"bomb", "zeros after gzip"} else b""
        client.sendall(HEAD + length + coding + b"\r\n")
        if what == "bomb":
            client.sendall(gzip_bomb(8 * LARGEST_BODY))
            return
        client.sendall(gzip.compress(b"{}") if coding else b"")
        while True:
            client.sendall(bytes(1 << 16))

    with Peer(serve) as peer:
        exchange = make(peer.origin).send(timeout=30)
    assert (exchange.status, exchange.failure) == (200, f"the body is larger than {LARGEST_BODY} bytes")
    assert len(exchange.body) <= LARGEST_BODY


def test_a_body_of_the_largest_size(make: MakeSender) -> None:
    """A body of exactly the limit is complete, compressed or not."""
    body = os.urandom(1 << 20) * (LARGEST_BODY >> 20)
    with Peer(always(response(body))) as peer:
        assert make(peer.origin).send(timeout=30).body == body
    with Peer(always(response(gzip_bomb(LARGEST_BODY), b"Content-Encoding: gzip"))) as peer:
        assert make(peer.origin).send(timeout=30).body == bytes(LARGEST_BODY)
