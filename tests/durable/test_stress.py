"""20,000 tasks in the durable queue."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from durable import Site, own_database, site

from mjrelay import State

if TYPE_CHECKING:
    from recipes import Running

pytestmark = pytest.mark.stress

TASKS = 20_000
MINUTES = 15
"""For how long a test may run."""


def test_twenty_thousand_tasks_in_sqlite(tmp_path: Path) -> None:
    """One worker reports each task once, with few requests and within the rate."""
    with site(tmp_path, rate=10.0) as bench:
        tasks = add(bench)
        with bench.worker() as worker:
            worker.until(lambda: count(bench) >= TASKS, 60.0 * MINUTES)
            print(costs(bench, worker))  # noqa: T201 - the result
            worker.process.terminate()
            assert worker.wait() == 0
        assert set(bench.calls().values()) == {1}
        check(bench, tasks)


def test_twenty_thousand_tasks_in_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Of three workers one is killed and one is restarted: none is lost, and they share the rate."""
    with own_database(postgres_url) as url, site(tmp_path, url, rate=10.0) as bench:
        tasks = add(bench)
        with bench.worker() as first, bench.worker() as second, bench.worker() as third:
            third.until(lambda: count(bench) >= TASKS // 10, 60.0 * MINUTES)
            first.kill()
            third.until(lambda: count(bench) >= TASKS // 4, 60.0 * MINUTES)
            second.process.terminate()
            assert second.wait() == 0
            with bench.worker() as fourth:
                third.until(lambda: count(bench) >= TASKS, 60.0 * MINUTES)
                third.until(lambda: bench.reported(tasks), 60.0)
                print(costs(bench, third, fourth))  # noqa: T201 - the result
        assert sum(calls > 1 for calls in bench.calls("begun").values()) <= 24
        check(bench, tasks)


def add(bench: Site) -> list[str]:
    """Add tasks to the queue that end one after the other."""
    outcomes = [State.SUCCEEDED, State.SUCCEEDED, State.FAILED]
    tasks = [
        bench.mock.submit(number / 200, outcome=outcomes[number % 3], task_id=str(10**15 + number))
        for number in range(TASKS)
    ]
    bench.queue().add(tasks, timeout=3600.0)
    return tasks


def count(bench: Site) -> int:
    """The number of calls that have ended, without reading all lines as JSON."""
    path = bench.folder / "calls"
    return path.read_bytes().count(b'["ended"') if path.exists() else 0


def check(bench: Site, tasks: list[str]) -> None:
    assert bench.reported(tasks)
    # Two workers end, and what they polled then is polled again beside the rate.
    assert bench.keeps_rate(repeated=16)


def costs(bench: Site, *workers: Running) -> str:
    """The CPU and the memory of workers, from /proc."""
    parts = [f"{len(bench.mock.moments)} requests"]
    seconds = 0.0
    for worker in workers:
        folder = Path(f"/proc/{worker.process.pid}")
        with contextlib.suppress(FileNotFoundError):  # not on Linux
            ticks = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[11:13]
            seconds += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
            status = dict(line.split(":", 1) for line in (folder / "status").read_text("utf-8").splitlines())
            parts.append(f"peak memory {status['VmHWM'].strip()}")
    parts.append(f"{seconds:.1f} s of CPU, {1000 * seconds / TASKS:.2f} ms for each task")
    return ", ".join(parts)
