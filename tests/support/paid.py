"""A relay that counts what it is paid for, and loses money for its clients in every way that is known."""

from __future__ import annotations

import json
import random
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CUT = "cut"
"""The connection is closed after the request was read."""

Answer = tuple[int, Any, dict[str, str]] | str
"""Status, JSON document (None for an empty body) or bytes, and header fields; or `CUT`."""


class PaidServer:
    """
    A server on loopback that answers each submit by a function of its number and its body.

    ``received`` holds the path and the body of every request whose body was read. The function is called by
    one thread at a time, if ``locked`` is set.
    """

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer], *, locked: bool = True) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        self._answer, self._lock = answer, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.received.append((self.path, body))
                    number = len(outer.received)
                    answer = outer._answer(number, body) if locked else None
                if answer is None:
                    answer = outer._answer(number, body)
                if isinstance(answer, str):
                    self.close_connection = True
                    with suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, document, fields = answer
                data = document if isinstance(document, bytes) else json.dumps(document).encode()
                data = b"" if document is None else data
                self.send_response(status)
                kinds = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(data))}
                for name, value in (kinds | fields).items():
                    self.send_header(name, value)
                with suppress(OSError):  # the client may have given up
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def accepted(task_id: str = "1795649371135651", code: int = 1) -> Answer:
    """The response to an accepted submit of a gateway."""
    return 200, {"code": code, "description": "ok", "result": task_id, "properties": {}}, {}


def refused(status: int, code: int, description: str, result: Any = None) -> Answer:
    """The response to a refused submit of a gateway."""
    return status, {"code": code, "description": description, "result": result}, {}


def error(status: int, message: str) -> Answer:
    """The response of a gateway's router."""
    return status, {"error": {"code": "", "message": message, "type": "new_api_error"}}, {}


LOSSES: dict[str, Callable[[str], Answer]] = {
    "cut after acceptance": lambda _: CUT,
    "504 after acceptance": lambda _: (504, None, {}),
    "empty 200": lambda _: (200, None, {}),
    "id as a number": lambda task_id: (200, {"code": 1, "description": "ok", "result": int(task_id)}, {}),
    "null result": lambda _: (200, {"code": 1, "description": "ok", "result": None}, {}),
    "code as text": lambda task_id: (200, {"code": "1", "description": "ok", "result": task_id}, {}),
    "HTML media type": lambda task_id: (*accepted(task_id)[:2], {"Content-Type": "text/html"}),
    "list of ids": lambda task_id: (
        200,
        {"code": 1, "description": "ok", "result": f"{task_id},{task_id}1"},
        {},
    ),
    "charged, id lost": lambda _: refused(400, 4, "insert_midjourney_task_failed "),
    "failed on the way": lambda _: refused(400, 5, "do_request_failed "),
}
"""Responses of a server that takes a task but does not say so plainly."""

REFUSALS: dict[str, Answer] = {
    "queue full": refused(200, 23, "full"),
    "queue full as a failure": refused(200, 9, "提交失败,队列已满"),
    "banned": (200, {"code": 24, "description": "banned", "properties": {"bannedWord": "x"}}, {}),
    "no account": refused(200, 3, "none"),
    "parameters": refused(400, 4, "prompt_is_required "),
    "saturated": refused(429, 30, "saturated"),
    "no channel": error(503, "none"),
}
"""Responses that refuse a task."""


def unreliable(seed: int) -> Callable[[int, dict[str, Any]], Answer]:
    """Return an answer function that fails one in three in every way. The id names the state token."""
    chance = random.Random(seed)

    def answer(number: int, _: dict[str, Any]) -> Answer:
        task_id = str(10**12 + number)
        if chance.random() < 2 / 3:
            return accepted(task_id)
        if chance.random() < 0.5:
            return chance.choice(list(REFUSALS.values()))
        return chance.choice(list(LOSSES.values()))(task_id)

    return answer
