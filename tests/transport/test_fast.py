"""The wire of the fast extra, where it is not like our own connections, and where it must be."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from twins import runner

from mjrelay.errors import SettingError
from mjrelay.http.redaction import Redactor
from mjrelay.http.request import Request
from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.transport import TransportConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mjrelay.http.exchange import Exchange

KEY = "sk-never-to-be-seen-4711"


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("pyreqwest", reason="the fast extra is not installed")


class Server:
    """Gives one answer to each connection, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self.requests.append(client.recv(65536))
                client.sendall(self.answer)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback."""
    made = Server()
    yield made
    made.close()


@pytest.fixture(params=["threads", "asyncio", "uvloop"])
def send(request: pytest.FixtureRequest, server: Server) -> Callable[[Request], Exchange]:
    """Sends a request to the server over each of the two wires, the asynchronous one on either event loop."""
    link = TransportConfig(server.origin, Redactor(KEY))

    def threads(sent: Request) -> Exchange:
        wire = connect(link, fast=True)
        try:
            return wire.send(sent, 5.0)
        finally:
            wire.close()

    def loop(sent: Request) -> Exchange:
        async def main() -> Exchange:
            wire = connect_async(link, fast=True)
            try:
                return await wire.send(sent, 5.0)
            finally:
                await wire.close()

        with runner(uvloop=request.param == "uvloop") as running:
            return running.run(main())

    return threads if request.param == "threads" else loop


def test_a_value_beyond_ascii_hides_no_other(send: Callable[[Request], Exchange], server: Server) -> None:
    """Where one field cannot be read, all others are told, and that there is one more."""
    fields = b"X-A: 1\r\nX-B: caf\xe9\r\nX-A: \xe7\x8c\xaa\r\nX-A: 3\r\n"
    server.answer = b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\n{}"
    exchange = send(Request("GET", "/"))
    assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None)
    assert sorted(exchange.headers) == [
        ("content-length", "2"),
        ("x-a", "1"),
        ("x-a", "3"),
        ("x-a", "\ufffd"),
        ("x-b", "\ufffd"),
    ]


@pytest.mark.parametrize(
    "target", ["/mj/task/%2E%2E/fetch", "/mj/task/%2e/fetch", "/a/../b", "/a b", "/?a#b\n"]
)
def test_a_path_is_sent_as_it_is_or_not_at_all(
    send: Callable[[Request], Exchange], server: Server, target: str
) -> None:
    """Dots that a URL takes for steps upwards lead to no other path with the same key."""
    with pytest.raises(SettingError, match="cannot be sent"):
        send(Request("GET", target, (("Authorization", KEY),)))
    assert server.requests == []


@pytest.mark.parametrize("target", ["/mj/task/a.b..c/fetch", "/%E7%8C%AA/%2F?n=%20+'()*,;:@!$/", "/"])
def test_a_path_is_not_rewritten(send: Callable[[Request], Exchange], server: Server, target: str) -> None:
    """What is escaped stays so, and what is not as well, or it is not sent."""
    try:
        send(Request("GET", target))
    except SettingError:
        assert server.requests == []
    else:
        assert server.requests[0].split()[1] == target.encode()


def test_what_is_sent_beside_the_request(send: Callable[[Request], Exchange], server: Server) -> None:
    """No coding is asked for but gzip, unless the caller asks; no name but our own is given."""
    send(Request("GET", "/"))
    send(Request("GET", "/", (("Accept-Encoding", "identity"), ("User-Agent", "app/3"))))
    first, second = (request.lower() for request in server.requests)
    assert b"accept-encoding: gzip\r\n" in first
    assert b"user-agent: mjrelay/" in first
    assert b"accept-encoding: identity\r\n" in second
    assert b"gzip" not in second
    assert b"user-agent: app/3\r\n" in second


def test_no_log_holds_the_key(
    send: Callable[[Request], Exchange], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of an exchange is logged, its failure included."""
    caplog.set_level(logging.DEBUG)
    send(Request("GET", f"/?key={KEY}", (("Authorization", KEY),)))
    server.answer = KEY.encode()
    failure = send(Request("GET", f"/?key={KEY}", (("Authorization", KEY),))).failure
    assert failure is not None
    assert KEY not in failure
    assert KEY not in caplog.text


@pytest.mark.parametrize("make", [connect, connect_async])
def test_a_context_is_refused(make: Callable[..., object]) -> None:
    """An SSL context cannot be handed on, so it is not ignored either."""
    context = ssl.create_default_context()
    with pytest.raises(SettingError, match="use fast=False"):
        make(TransportConfig("https://relay.test", Redactor(), verify=context), fast=True)


def test_a_folder_of_certificates(tmp_path: Path) -> None:
    """A folder's certificates are trusted, whatever else lies there; one without any is an error."""
    certifi = pytest.importorskip("certifi")
    link = TransportConfig("https://relay.test", Redactor(), verify=str(tmp_path))
    (tmp_path / "read.me").write_text("no certificate")
    with pytest.raises(SettingError, match="no certificates"):
        connect(link, fast=True)
    shutil.copy(certifi.where(), tmp_path / "all.pem")
    connect(link, fast=True).close()
