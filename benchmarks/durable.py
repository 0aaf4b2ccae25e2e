"""The durable queue in SQLite against a loop with tickets: CPU and memory, without a relay."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.example import KEY, RELAY
from benchmarks.rounds import Ratio
from benchmarks.table import Row
from mjrelay import Relay, Ticket
from mjrelay.client.shared_transport import SharedTransport
from mjrelay.http import Exchange

if TYPE_CHECKING:
    from benchmarks.rounds import Effort
    from mjrelay.http import Request

TASKS = 2000


class _Ended(Relay):
    """A relay of which each task has ended."""

    def _new_transport(self) -> Any:
        return SharedTransport(_Transport, client=True)


class _Transport:
    """A transport that sends nothing."""

    def send(self, request: Request, _timeout: float, _largest: int = 0) -> Exchange:
        """Respond to a batch."""
        ids = json.loads(request.body)["ids"] if request.body else [request.target.split("/")[-2]]
        documents = [
            {"id": one, "status": "SUCCESS", "progress": "100%", "imageUrl": "https://cdn.example/1"}
            for one in ids
        ]
        headers = (("content-type", "application/json"),)
        body = json.dumps(documents if request.body else documents[0]).encode()
        return Exchange(request.method, "https://relay.example", status=200, headers=headers, body=body)

    def close(self) -> None:
        """Do nothing."""


def durable(relay: Relay, file: Path, ids: list[str]) -> int:
    """Wait with `mjrelay.durable`, and return the number of results."""
    from mjrelay.durable import TaskQueue, Worker  # noqa: PLC0415 - not part of the other process

    results: list[str] = []
    stop = threading.Event()

    def finish(poll: Any) -> None:
        results.append(poll.ticket.id)
        if len(results) == len(ids):
            stop.set()

    queue = TaskQueue({RELAY: relay}, finish, database=file, rate=None)
    queue.add(ids)
    with Worker(queue) as worker:
        worker.run(stop, lambda _: None)
    return len(results)


def loop(relay: Relay, file: Path, ids: list[str]) -> int:
    """Wait with the loop of docs/tickets.md, and return the number of results."""
    store, results = sqlite3.connect(file), 0
    store.execute("CREATE TABLE tickets (id TEXT PRIMARY KEY, due REAL, ticket TEXT)")
    tickets = [relay.ticket(one) for one in ids]
    rows: list[Any] = [(ticket.id, ticket.due, ticket.to_json()) for ticket in tickets]
    store.executemany("INSERT INTO tickets VALUES (?, ?, ?)", rows)
    store.commit()
    while rows := store.execute("SELECT ticket FROM tickets ORDER BY due LIMIT 100").fetchall():
        for poll in relay.poll_all([Ticket.from_json(text) for (text,) in rows]):
            results += 1
            store.execute("DELETE FROM tickets WHERE id = ?", [poll.ticket.id])
            store.commit()  # as the queue does, so that no result is reported twice after a crash
    store.close()
    return results


def measure(effort: Effort) -> list[Row]:
    """Return the rows; each program runs once, in a process alone."""
    tasks = effort.times(TASKS)
    ours, theirs = (_run(name, tasks) for name in ("durable", "loop"))
    return [
        Row(
            what=f"{what} of the durable queue in SQLite against a loop with tickets, {tasks:,} tasks",
            ours=ours[key] / per,
            theirs=theirs[key] / per,
            unit=unit,
            ratio=Ratio(*[ours[key] / (theirs[key] or 1)] * 3),
        )
        for what, key, per, unit in (
            ("CPU per task", "seconds", tasks, "s"),
            ("peak memory of the process", "memory", 1, "B"),
        )
    ]


def _run(name: str, tasks: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.durable", name, str(tasks)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _peak_memory() -> int:
    """Return bytes; 0 if the system has no /proc. The figure of getrusage may be the parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _main(name: str, tasks: int) -> None:
    ids = [str(10**15 + number) for number in range(tasks)]
    program = {"durable": durable, "loop": loop}[name]
    with tempfile.TemporaryDirectory() as folder, _Ended(RELAY, KEY) as relay:
        begun = time.process_time()
        assert program(relay, Path(folder) / "tasks.sqlite", ids) == tasks
        seconds = time.process_time() - begun
    print(json.dumps({"seconds": seconds, "memory": _peak_memory()}))  # noqa: T201 - for the parent process


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
