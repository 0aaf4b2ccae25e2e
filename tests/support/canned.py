"""A relay on loopback with one canned response, for the generated clients."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "sk-7f3a9c51-never-shown"


@define
class Server:
    """A relay on loopback: its next response, and the received requests."""

    url: str
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(factory=lambda: {"Content-Type": "application/json"})
    received: list[tuple[str, dict[str, str]]] = field(factory=list)

    def respond(self, document: Any, status: int = 200) -> None:
        """Set a JSON document as the response."""
        self.status, self.body = status, json.dumps(document).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()
