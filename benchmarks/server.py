"""
A relay on loopback that costs next to nothing, in a process of its own.

Its answers are bytes that were made before. Where it has several, a task gets one after the other and then
the last one for good; a request that is not for the example's own task gets the answer with the id asked for.
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
COST = b"GET /cost "


class Server:
    """A server that runs, at ``url``."""

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def cost(self) -> tuple[float, int]:
        """The processor's time that the server has used so far, in seconds, and the requests answered."""
        with socket.create_connection(("127.0.0.1", self.port)) as link:
            link.sendall(COST + b"HTTP/1.1\r\n\r\n")
            seconds, answers = json.loads(link.recv(65536).rpartition(b"\r\n\r\n")[2])
        return float(seconds), int(answers)


@contextmanager
def serving(task_id: str, bodies: Sequence[bytes]) -> Iterator[Server]:
    """A server with these answers for the task, until it is left; raises OSError where it does not start."""
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
                raise OSError("the server did not start; what it said is above")
            yield Server(int(port))
        finally:
            process.terminate()


class Script:
    """What is answered to whom."""

    def __init__(self, task_id: bytes, bodies: Sequence[bytes]) -> None:
        self.task_id, self.bodies = task_id, bodies
        self.ready = [HEAD % len(body) + body for body in bodies]
        self.asked: Counter[bytes] = Counter()
        self.answers = 0

    def one(self, task_id: bytes) -> bytes:
        """The answer to a request for one task."""
        answer = self.ready[self._turn(task_id)]
        return answer if task_id == self.task_id else answer.replace(self.task_id, task_id)

    def several(self, document: Any) -> bytes:
        """The answer to a request for several tasks."""
        ids = [task_id.encode() for task_id in document["ids"]]
        body = b",".join(self.bodies[self._turn(task_id)].replace(self.task_id, task_id) for task_id in ids)
        return HEAD % (len(body) + 2) + b"[" + body + b"]"

    def cost(self) -> bytes:
        """What answering has cost so far."""
        body = json.dumps([time.process_time(), self.answers]).encode()
        return HEAD % len(body) + body

    def _turn(self, task_id: bytes) -> int:
        last = len(self.bodies) - 1
        if not last:
            return 0
        turn = self.asked[task_id]
        self.asked[task_id] += 1
        return min(turn, last)


class Link(asyncio.Protocol):
    """One connection."""

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
            script.answers += 1
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
            self._transport.write(self._answer(request, end))

    def _answer(self, request: bytes, end: int) -> bytes:
        script = self._script
        if request.startswith(COST):
            return script.cost()
        script.answers += 1
        task = TASK.match(request)
        return script.several(json.loads(request[end:])) if task is None else script.one(task[1])


async def serve() -> None:
    """Read the script from stdin, write the port to stdout, and answer until stdin ends."""
    task_id, bodies = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    script = Script(task_id.encode(), [body.encode() for body in bodies])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Link(script), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)  # whoever started this has gone, however that came about


if __name__ == "__main__":
    asyncio.run(serve())
