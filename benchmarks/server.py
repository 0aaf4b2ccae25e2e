"""
A minimal relay on loopback, in a separate process.

Its responses are prepared bytes. Each task gets the responses in order, and then the last one repeatedly. The
id of the example task is replaced by the requested id. A submit gets the first response.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 03 Nov 2024 08:17:35 GMT\r\n"
    b"Content-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n"
)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TASK = re.compile(rb"[A-Z]+ \S*/task/([^/ ]+)/fetch ")
SUBMIT = re.compile(rb"POST \S*/submit/")
COST = b"GET /cost "


class Server:
    """A running server at ``url``."""

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def cost(self) -> tuple[float, int]:
        """Return the server's CPU time in seconds, and the number of responses."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(COST + b"HTTP/1.1\r\n\r\n")
            seconds, responses = json.loads(connection.recv(65536).rpartition(b"\r\n\r\n")[2])
        return float(seconds), int(responses)


@contextmanager
def serving(task_id: str, bodies: Sequence[bytes]) -> Iterator[Server]:
    """Start a server with these responses; raises OSError if it does not start."""
    script = json.dumps([task_id, [body.decode() for body in bodies]])
    with subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(script + "\n")
            process.stdin.flush()
            port = process.stdout.readline().strip()
            if not port:
                raise OSError("the server did not start; see its output above")
            yield Server(int(port))
        finally:
            process.terminate()


class Script:
    """The responses, in order."""

    def __init__(self, task_id: bytes, bodies: Sequence[bytes]) -> None:
        self.task_id, self.bodies = task_id, bodies
        self.ready = [HEAD % len(body) + body for body in bodies]
        self.turns: Counter[bytes] = Counter()
        self.responses = 0

    def one(self, task_id: bytes) -> bytes:
        """Return the response to a request for one task."""
        response = self.ready[self._turn(task_id)]
        return response if task_id == self.task_id else response.replace(self.task_id, task_id)

    def several(self, document: Any) -> bytes:
        """Return the response to a batch request."""
        ids = [task_id.encode() for task_id in document["ids"]]
        body = b",".join(self.bodies[self._turn(task_id)].replace(self.task_id, task_id) for task_id in ids)
        return HEAD % (len(body) + 2) + b"[" + body + b"]"

    def cost(self) -> bytes:
        """Return CPU time and number of responses as a response."""
        body = json.dumps([time.process_time(), self.responses]).encode()
        return HEAD % len(body) + body

    def _turn(self, task_id: bytes) -> int:
        last = len(self.bodies) - 1
        if not last:
            return 0
        turn = self.turns[task_id]
        self.turns[task_id] += 1
        return min(turn, last)


class Connection(asyncio.Protocol):
    """A connection."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._usual = b"/" + script.task_id + b"/"
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        script = self._script
        if not self._pending and len(script.ready) == 1 and self._usual in data and data[-4:] == b"\r\n\r\n":
            script.responses += 1
            self._transport.write(script.ready[0])
            return
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            end += 4
            length = LENGTH.search(self._pending, 0, end)
            whole = end + (int(length[1]) if length else 0)
            if len(self._pending) < whole:
                return
            request, self._pending = self._pending[:whole], self._pending[whole:]
            self._transport.write(self._respond(request, end))

    def _respond(self, request: bytes, end: int) -> bytes:
        script = self._script
        if request.startswith(COST):
            return script.cost()
        script.responses += 1
        if SUBMIT.match(request):
            return script.ready[0]
        task = TASK.match(request)
        return script.several(json.loads(request[end:])) if task is None else script.one(task[1])


async def serve() -> None:
    """Read the script from stdin, write the port to stdout, and serve until stdin ends."""
    task_id, bodies = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    script = Script(task_id.encode(), [body.encode() for body in bodies])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(script), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)  # the parent process has ended


if __name__ == "__main__":
    asyncio.run(serve())
