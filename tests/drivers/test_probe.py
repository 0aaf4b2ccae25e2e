"""The suite's own HTTP against servers that misbehave below the level of HTTP."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from mjrelay_conformance.drivers import probe as _probe
from mjrelay_conformance.drivers.probe import Probe

from mjrelay.http.redaction import Redactor
from mjrelay.http.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certificates import Certificates

    from mjrelay.http.exchange import Exchange

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
TASK = Request("GET", "/mj/task/1/fetch", (("Authorization", "Bearer sk-secret-4711"),))


@define
class Transport:
    """A server that sends the bytes it is told to, one entry for each connection."""

    url: str
    scripts: list[Callable[[socket.socket, bytes], None]] = field(factory=list)
    asked: list[bytes] = field(factory=list)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        data += piece
        if not piece or data.startswith(b"\x16"):  # gone, or a TLS handshake, which has no end of its own
            break
    return data


@pytest.fixture
def wire() -> Iterator[Transport]:
    """A running server, for as many connections as it has scripts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        state = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    script = state.scripts.pop(0)
                    data = _request(connection)
                    state.asked.append(data)
                    script(connection, data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield state
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def send(
    wire: Transport, *scripts: Callable[[socket.socket, bytes], None], deadline: float = 5.0
) -> Exchange:
    """The exchange of one request with a server that follows the scripts."""
    wire.scripts = list(scripts)
    probe = Probe(wire.url, Redactor("sk-secret-4711"), deadline=deadline)
    return probe.send(TASK)


def says(data: bytes) -> Callable[[socket.socket, bytes], None]:
    """A script that sends these bytes and closes."""
    return lambda connection, _: connection.sendall(data)


def test_what_is_sent_is_what_was_asked_for(wire: Transport) -> None:
    """Target and header fields go out as they are, and the exchange keeps them without the secret."""
    exchange = send(wire, says(ANSWER))
    assert wire.asked[0].startswith(b"GET /mj/task/1/fetch HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization: Bearer sk-secret-4711\r\n" in wire.asked[0]
    assert b"Accept-Encoding: identity\r\nConnection: close\r\n" in wire.asked[0]
    assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
    assert ("Authorization", "Bearer [redacted]") in exchange.request_headers
    assert exchange.url == wire.url + "/mj/task/1/fetch"


def test_a_body_goes_out_with_its_length(wire: Transport) -> None:
    """A request with a body announces how long it is."""
    wire.scripts = [says(ANSWER)]
    probe = Probe(wire.url, Redactor())
    probe.send(Request("POST", "/fetch", (("Content-Type", "application/json"),), b'{"id": "1"}'))
    assert b"Content-Length: 11\r\n" in wire.asked[0]


@pytest.mark.parametrize(
    ("data", "status", "body", "failure"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", 200, b"{}", "7 bytes before the body did"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            200,
            b"{}",
            "before the body did",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", 200, b"{}", None),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", 302, b"", None),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + ANSWER, 200, b"{}", None),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + ANSWER, None, b"", "interim responses"),
        (b"", None, b"", "before a response arrived"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None, b"", "BadStatusLine"),
        (b"HTTP/1.1 abc\r\n\r\n", None, b"", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, None, b"", "got more than 100 headers"),
    ],
)
def test_what_breaks_off_says_so(
    wire: Transport, data: bytes, status: int | None, body: bytes, failure: str | None
) -> None:
    """An answer that is not whole, or none, is kept as far as it came, with the reason."""
    exchange = send(wire, says(data))
    assert (exchange.status, exchange.body) == (status, body)
    if failure is None:
        assert exchange.failure is None
    else:
        assert failure in (exchange.failure or "")


def test_a_body_that_stalls_is_bounded_in_time(wire: Transport) -> None:
    """A relay that sends half an answer and then nothing costs the deadline and no more."""
    done = threading.Event()

    def stall(connection: socket.socket, _: bytes) -> None:
        connection.sendall(ANSWER[:-1])
        done.wait(10)

    exchange = send(wire, stall, deadline=0.2)
    done.set()
    assert exchange.failure == "the response did not end in time"
    assert (exchange.status, exchange.body) == (200, b"{")
    assert 0.2 <= exchange.elapsed < 5


def test_a_body_that_trickles_is_bounded_in_time(wire: Transport) -> None:
    """A relay that keeps sending a little does not stretch the deadline."""
    stop = threading.Event()

    def trickle(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.01):
            try:
                connection.sendall(b" ")
            except OSError:
                return

    exchange = send(wire, trickle, deadline=0.3)
    stop.set()
    assert exchange.failure == "the response did not end in time"


def test_a_body_without_end_is_bounded_in_size(wire: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of a body is read than a task could ever need."""
    monkeypatch.setattr(_probe, "LARGEST_BODY", 1000)

    def flood(connection: socket.socket, _: bytes) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1_000_000)
        except OSError:
            return

    exchange = send(wire, flood)
    assert "larger than is read" in (exchange.failure or "")


def test_nothing_is_sent_twice(wire: Transport) -> None:
    """Each request has a connection of its own and is sent once, whatever becomes of it."""
    wire.scripts = [says(ANSWER), says(b""), says(ANSWER)]
    probe = Probe(wire.url, Redactor())
    answers = [probe.send(TASK) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, None, 200]
    assert len(wire.asked) == probe.sent == 3


def test_headers_that_trickle_are_bounded_in_time(wire: Transport) -> None:
    """A relay that keeps sending header lines does not stretch the deadline either."""
    stop = threading.Event()

    def trickle(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            try:
                connection.sendall(b"X: y\r\n")
            except OSError:
                return

    exchange = send(wire, trickle, deadline=0.3)
    stop.set()
    assert exchange.failure == "the response did not end in time"
    assert exchange.elapsed < 5


def test_a_body_that_was_compressed_unasked_is_read(wire: Transport) -> None:
    """A relay that compresses in spite of identity is judged by what it says, within the bound of size."""
    body = gzip.compress(b"{}" + b" " * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    exchange = send(wire, says(head.encode() + body))
    assert exchange.body.startswith(b"{}")
    assert len(exchange.body) <= _probe.LARGEST_BODY


@pytest.mark.parametrize(
    ("base_url", "failure"),
    [
        ("http://127.0.0.1:1", "connection refused: no server at this host and port"),
        ("http://relay.invalid", "the host name cannot be resolved"),
    ],
)
def test_who_is_not_there_is_told(base_url: str, failure: str) -> None:
    """A host that does not exist or does not listen is no exception but an exchange without an answer."""
    exchange = Probe(base_url, Redactor()).send(TASK)
    assert (exchange.status, exchange.failure) == (None, failure)


def test_a_server_without_tls_is_told(wire: Transport) -> None:
    """A server that does not speak TLS, asked for it, is an exchange without an answer."""
    wire.scripts = [says(b"HTTP/1.1 400 Bad Request\r\n\r\n")]
    exchange = Probe(wire.url.replace("http", "https"), Redactor()).send(TASK)
    assert exchange.status is None
    assert "SSL" in (exchange.failure or "")


def test_tls_trusts_the_certificates_of_the_environment(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``SSL_CERT_FILE`` decides which server certificates are accepted, as for the client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                with (
                    contextlib.suppress(OSError),
                    certificates.context.wrap_socket(connection, server_side=True) as secure,
                ):
                    _request(secure)
                    secure.sendall(ANSWER)

        threading.Thread(target=accept, daemon=True).start()
        probe = Probe(f"https://localhost:{listener.getsockname()[1]}", Redactor(), deadline=5.0)
        assert "CERTIFICATE_VERIFY_FAILED" in (probe.send(TASK).failure or "")
        monkeypatch.setenv("SSL_CERT_FILE", certificates.authority)
        assert probe.send(TASK).status == 200
