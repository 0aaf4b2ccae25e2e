"""HTTP/1.1 and decompression without sockets."""

from __future__ import annotations

import gzip
import itertools
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import HEAD, gzip_bomb
from senders import KEY, make_request

from mjrelay.http.redaction import Redactor
from mjrelay.transport.protocol import ClientProtocol
from mjrelay.transport.response import ExchangeError, ResponseBuilder
from mjrelay.transport.transport import LARGEST_BODY, TransportConfig

GZIP = b"Content-Encoding: gzip"
COMPRESSED = gzip.compress(b"{}")
PIECES = [
    b"HTTP/1.1 ",
    b"200 OK\r\n",
    b"100 Continue\r\n",
    b"101 Switching Protocols\r\nUpgrade: a\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    GZIP + b"\r\n",
    b": ",
    b"\n",
    b"\r\n",
    b"3\r\n",
    b"0\r\n",
    b"abc",
    COMPRESSED,
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=24), st.lists(st.integers(0, 200)))
def test_any_bytes(parts: list[bytes], cuts: list[int]) -> None:
    """Any bytes end in an exchange, which does not depend on kind_of_end they are cut into pieces."""
    data = b"".join(parts)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[i:j] for i, j in itertools.pairwise(places)]
    assert _result(pieces) == _result([data] if data else [])


def _result(pieces: list[bytes]) -> tuple[object, ...]:
    protocol = ClientProtocol("relay.test")
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), make_request(), 60.0)
    protocol.request_bytes("GET", "/", (), b"")
    try:
        ended = any(protocol.receive(piece, builder) for piece in [*pieces, b""])
        assert ended
        exchange = builder.finish()
    except ExchangeError as error:
        exchange = builder.fail(error)
    # What had come of a body that fails depends on the pieces, and so does h11's word for some failures.
    body = exchange.body if exchange.failure is None else None
    return exchange.status, exchange.headers, body, exchange.failure is None


def test_a_connection_is_reusable_after_a_complete_response() -> None:
    """A connection can be reused after a complete response, not during one."""
    protocol = ClientProtocol("relay.test")
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), make_request(), 60.0)
    for _ in range(2):
        protocol.request_bytes("GET", "/", (), b"")
        assert not protocol.receive(HEAD + b"Content-Length: 2\r\n\r\n{", builder)
        assert not protocol.start_next()
        assert protocol.receive(b"}", builder)
        assert protocol.start_next()


def test_a_gzip_bomb() -> None:
    """A gzip bomb is decompressed up to the limit only."""
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), make_request(), 60.0)
    builder.begin(200, (("Content-Encoding", "gzip"),))
    bomb = gzip_bomb(8 * LARGEST_BODY)
    tracemalloc.start()
    try:
        with pytest.raises(ExchangeError, match="larger"):
            builder.add(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST_BODY
    finally:
        tracemalloc.stop()


def test_bytes_after_the_deadline() -> None:
    """Bytes that arrive after the deadline are not processed."""
    builder = ResponseBuilder(TransportConfig("http://relay.test", Redactor(KEY)), make_request(), 0.01)
    builder.begin(200, ())
    builder.add(b"{")
    time.sleep(0.02)
    with pytest.raises(ExchangeError, match="no complete response"):
        builder.add(b"}")
