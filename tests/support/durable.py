"""Queues of tasks with real workers, which are processes that can be killed, and a relay that they poll."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
from attrs import define, evolve, field
from cli_process import KEY, environment
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.responses import MockResponse
from mjrelay_conformance.mock.server import Server
from recipes import Running, running_python

from mjrelay import Relay
from mjrelay.contract import load_contract
from mjrelay.durable import TaskQueue, Worker
from mjrelay.durable.database import POLL, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from mjrelay import Poll

# Relays refresh their data every 15 s or so; here polls are seconds apart.
_OVERLAY = """
overlay: 1.1.0
info: {title: a quick relay, version: "1"}
extends: newapi
actions:
  - target: $.paths['/mj/task/{id}/fetch'].get['x-mj-task']
    update: {refresh: 1}
"""
_ALONE = """
  - target: $.paths['/mj/task/{id}/fetch'].get['x-mj-task'].batch
    remove: true
"""

_JOBS = """
import json, os, time
from pathlib import Path
from mjrelay import Relay
from mjrelay.durable import TaskQueue

HERE = Path(__file__).parent

def note(*what):
    with open(HERE / "calls", "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + chr(10))

def on_finish(poll):
    if (HERE / "forking").exists() and not os.fork():
        (HERE / "child").write_text(str(os.getpid()))
        time.sleep(60)
        os._exit(0)
    outcome = type(poll.error).__name__ if poll.error else poll.task.state.value
    note("begun", poll.ticket.id, outcome)
    if (HERE / "slow").exists():
        time.sleep(0.2)
    while (HERE / "hanging").exists():
        time.sleep(0.02)
    if (HERE / "broken").exists() and poll.ticket.id in (HERE / "broken").read_text("utf-8").split():
        raise RuntimeError("no space left")
    note("ended", poll.ticket.id, outcome)

overlays = [HERE / "quick.yaml"]
relays = {name: Relay("newapi", overlays=overlays) for name in os.environ["RELAYS"].split()}
queue = TaskQueue(relays, on_finish, database=os.environ["DATABASE"], rate=float(os.environ["RATE"]))
"""


class RecordingMock(MockRelay):
    """
    A mock that records the moment and the size of each response, and may be slow.

    Its documents may be changed, and it may lack the batch endpoint of its contract.
    """

    def __init__(self, overlay: Path) -> None:
        super().__init__(load_contract("newapi", [overlay]), key=KEY, clock=time.time, duration=2.0)
        self.moments: list[float] = []
        self.size = 0
        self.delay = 0.0
        self.has_batches = True
        self.change: Callable[[Any], object] | None = None

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """The mock's answer."""
        self.moments.append(time.monotonic())
        if not self.has_batches and "list-by-condition" in target:
            return MockResponse(404, (("Content-Type", "application/json"),), b'{"error": "no such route"}')
        answer = super().answer(method, target, headers, body)
        if self.change is not None:
            content = json.loads(answer.body)
            for document in content if isinstance(content, list) else [content]:
                self.change(document)
            answer = evolve(answer, body=json.dumps(content).encode())
        self.size += len(answer.body)
        return evolve(answer, delay=self.delay) if self.delay else answer

    def most_within(self, seconds: float) -> int:
        """The maximum number of requests in any window of so many seconds."""
        return max(bisect_left(self.moments, start + seconds) - n for n, start in enumerate(self.moments))


@define
class Site:
    """A folder with a queue in ``jobs.py``, its database, and the mock of its relay."""

    folder: Path
    mock: RecordingMock
    base_url: str
    database: str
    rate: float
    relays: str = "main"
    _queues: list[TaskQueue] = field(factory=list)

    def queue(
        self, relays: str = "main", *, key: str = KEY, on_finish: Callable[[Poll], object] = print
    ) -> TaskQueue:
        """A queue for this process."""
        overlays = [self.folder / "quick.yaml"]
        own = {
            name: Relay("newapi", key, base_url=self.base_url, overlays=overlays) for name in relays.split()
        }
        queue = TaskQueue(own, on_finish, database=self.database, rate=self.rate)
        self._queues.append(queue)
        return queue

    def submit(self, count: int, duration: float = 0.0, **options: Any) -> list[str]:
        """New tasks of the mock, which end after so many seconds."""
        return [self.mock.submit(duration, **options) for _ in range(count)]

    @contextlib.contextmanager
    def worker(self, *, key: str = KEY, **variables: str) -> Iterator[Running]:
        """Run a worker. It is killed at the end."""
        with self.python(
            "-m", "mjrelay", "durable", "worker", "jobs:queue", "--every", "0.5", key=key, **variables
        ) as one:
            yield one

    @contextlib.contextmanager
    def python(self, *arguments: str, key: str = KEY, **variables: str) -> Iterator[Running]:
        """Run Python in the folder. It is killed at the end."""
        own = {"DATABASE": self.database, "RATE": str(self.rate), "RELAYS": self.relays}
        own |= {"MJRELAY_BASE_URL": self.base_url, "PYTHONUNBUFFERED": "1"}
        with running_python(self.folder, environment(key, **(own | variables)), *arguments) as running:
            yield running

    def calls(self, what: str = "ended") -> Counter[str]:
        """The number of calls of ``on_finish`` by task that have ``begun`` or ``ended``."""
        return Counter(task for kind, task, _ in self._notes() if kind == what)

    def outcomes(self) -> dict[str, list[str]]:
        """The outcomes with which each task was reported."""
        found: dict[str, list[str]] = {}
        for kind, task, outcome in self._notes():
            if kind == "ended":
                found.setdefault(task, []).append(outcome)
        return found

    def keeps_rate(self, repeated: int = 0) -> bool:
        """
        Whether requests kept the rate of the queue, but for so many that were repeated.

        Polls that start within a second may send their requests late, next to those of the next second.
        """
        mock, rate = self.mock, self.rate
        return all(mock.most_within(one) <= (one + 1) * rate + repeated for one in (1.0, 5.0))

    def tickets(self) -> list[str]:
        """The tickets that wait in the database."""
        rows = self.queue().database.client.list_workflows(name=POLL, status=WAITING)
        return [text for row in rows for text in (row.input or {"args": [[]]})["args"][-1]]

    def reported(self, tasks: Iterable[str]) -> bool:
        """Whether all of these tasks have been reported."""
        return self.calls().keys() >= set(tasks)

    def flag(self, name: str, text: str = "") -> Path:
        """Make a file that changes what ``on_finish`` does."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def output(self) -> str:
        """What all processes have printed."""
        return "".join(log.read_text("utf-8", "replace") for log in sorted(self.folder.glob("log-*")))

    def close(self) -> None:
        """Close the connections of this process."""
        for queue in self._queues:
            queue.close()
            for relay in queue.relays.values():
                relay.close()

    def _notes(self) -> list[list[str]]:
        path = self.folder / "calls"
        if not path.exists():
            return []
        # The last line may be half written.
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@contextlib.contextmanager
def site(folder: Path, database: str = "", *, rate: float = 20.0, batches: bool = True) -> Iterator[Site]:
    """Write a queue into a folder, and serve its relay; the database is a file if no URL is given."""
    (folder / "jobs.py").write_text(_JOBS, encoding="utf-8")
    overlay = folder / "quick.yaml"
    overlay.write_text(_OVERLAY + ("" if batches else _ALONE), encoding="utf-8")
    mock = RecordingMock(overlay)
    with Server(mock) as base_url:
        one = Site(folder, mock, base_url, database or f"{folder / 'tasks.sqlite'}", rate)
        try:
            yield one
        finally:
            one.close()


def run(queue: TaskQueue, until: Callable[[], object]) -> None:
    """Run a worker in this process until a condition holds."""
    stop = threading.Event()
    expired = threading.Timer(60, stop.set)
    expired.start()

    def check(_: object) -> None:
        if until():
            stop.set()

    with Worker(queue) as worker:
        worker.run(stop, check, every=0.05)
    assert expired.is_alive(), "the condition did not hold"
    expired.cancel()


class Line:
    """A TCP proxy in front of the server of a URL, which can be cut."""

    def __init__(self, url: str) -> None:
        before, _, after = url.rpartition("@")
        address, _, name = after.partition("/")
        host, _, port = address.partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.url = f"{before}@127.0.0.1:{self._listener.getsockname()[1]}/{name}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and refuse others."""
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    @staticmethod
    def _forward(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def own_database(url: str) -> Iterator[str]:
    """Make a database in a Postgres, and yield its URL."""
    name = f"durable_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield url.rpartition("/")[0] + f"/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
