"""The durable queue in Postgres, with several workers that are killed and lose their sessions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from cli_process import KEY
from durable import Site, own_database, site

from mjrelay import SettingError
from mjrelay.durable import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.services


@pytest.fixture
def bench(tmp_path: Path, postgres_url: str) -> Iterator[Site]:
    """A queue in a database of its own."""
    with own_database(postgres_url) as url, site(tmp_path, url, rate=5.0) as one:
        yield one


def test_one_of_two_workers_is_killed(bench: Site) -> None:
    """The other takes over within seconds; none is lost, both share the rate, and no row has a key."""
    tasks = [*bench.submit(100), *bench.submit(100, 6.0)]
    bench.queue().add(tasks)
    slow = bench.flag("slow")
    with bench.worker() as first, bench.worker() as second:
        first.until(lambda: len(bench.calls()) >= 20)
        assert executors(bench) == {"mjrelay-0", "mjrelay-1"}
        first.kill()
        begun, ended = bench.calls("begun"), bench.calls()
        slow.unlink()
        killed = time.monotonic()
        second.until(lambda: bench.reported(begun))
        assert time.monotonic() - killed < 15
        with bench.worker() as third:
            second.until(lambda: bench.reported(tasks))
            third.until(lambda: "has started" in third.output)
            assert len(executors(bench)) == 2, "the slot of the killed worker was not used again"
    again = bench.calls("begun")
    assert sum(again[one] > 1 for one in ended) <= 16, "calls that had ended were repeated"
    assert max(again.values()) <= 2
    assert bench.keeps_rate(repeated=8)
    assert len(bench.mock.moments) <= 20
    assert KEY not in dump(bench)
    assert KEY not in bench.output()


def test_a_relay_that_repeats_the_key(bench: Site) -> None:
    """No row has it after a result was stored."""
    bench.mock.change = lambda document: document.update(failReason=f"the token {KEY}", properties={KEY: KEY})
    queue = bench.queue()
    queue.finish(queue.relays["main"].fetch(bench.submit(1)[0]))
    rows = dump(bench)
    assert "the token" in rows
    assert KEY not in rows


def test_a_lost_session_ends_the_worker(bench: Site) -> None:
    """A worker whose identity may belong to another ends with code 1, and the next one goes on."""
    tasks = bench.submit(5)
    with bench.worker() as worker:
        worker.until(lambda: "has started" in worker.output)
        with psycopg.connect(bench.database, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                ["mjrelay worker"],
            ).fetchall()
        assert ended == [(True,)]
        assert worker.wait() == 1
        assert "mjrelay: the connection to the database was lost; start the worker again" in worker.output
    bench.queue().add(tasks)
    with bench.worker() as worker:
        worker.until(lambda: bench.reported(tasks))


def test_one_worker_in_a_process(bench: Site) -> None:
    """A second worker in a process is refused; after the first has ended, another can start."""
    queue = bench.queue()
    for _ in range(2):
        with Worker(queue), pytest.raises(SettingError, match="has a worker already"), Worker(queue):
            pass
    assert executors(bench) == set()


def executors(bench: Site) -> set[str]:
    """The identities of the workers that have started polls or calls, or hold a lock now."""
    with psycopg.connect(bench.database) as connection:
        rows = connection.execute(
            "SELECT DISTINCT objid FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND application_name = 'mjrelay worker' AND objid < 1000"
        ).fetchall()
    return {f"mjrelay-{number}" for (number,) in rows}


def dump(bench: Site) -> str:
    """All rows of all tables, as text."""
    with psycopg.connect(bench.database) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'mjrelay'"
        ).fetchall()
        texts = [
            repr(connection.execute(f'SELECT * FROM mjrelay."{name}"').fetchall())  # noqa: S608 - of the list
            for (name,) in tables
        ]
    assert sum(map(len, texts)) > 1000
    return "".join(texts)
