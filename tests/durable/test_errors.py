"""Arguments and databases that cannot be used, the command's errors, and secrets in none of them."""

from __future__ import annotations

import contextlib
import sqlite3
import traceback
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from cli_process import KEY, mjrelay
from durable import Site, own_database, site

from mjrelay import AsyncRelay, Relay, SettingError
from mjrelay.durable import TaskQueue, Worker

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.services

RELAY = Relay("newapi", KEY, base_url="https://relay.invalid")
SECRET = "secret-of-the-database"


async def coroutine(_: object) -> None:
    """A function that a queue cannot call."""


class Asynchronous:
    """An object that a queue cannot call."""

    async def __call__(self, _: object) -> None:
        """Wait."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"relays": {}}, "relays is not a dict of relays by name; pass {name: Relay(…)}"),
        ({"relays": [RELAY]}, "relays is not a dict"),
        ({"relays": {"a b": RELAY}}, "'a b' is not the name of a Relay; pass {name: Relay(…)}"),
        ({"relays": {"": RELAY}}, "'' is not the name"),
        ({"relays": {"é": RELAY}}, "'é' is not the name"),
        ({"relays": {"a" * 101: RELAY}}, "is not the name"),
        ({"relays": {1: RELAY}}, "1 is not the name"),
        ({"relays": {"a": "newapi"}}, "'a' is not the name of a Relay"),
        ({"relays": {"a": AsyncRelay("newapi", KEY, base_url="https://relay.invalid")}}, "'a' is not the"),
        ({"on_finish": None}, "on_finish is of type NoneType; pass a plain function"),
        ({"on_finish": coroutine}, "on_finish is of type function; pass a plain function"),
        ({"on_finish": Asynchronous()}, "on_finish is of type Asynchronous; pass a plain function"),
        ({"rate": 0}, "rate"),
        ({"rate": "10"}, "rate"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 101}, "concurrency"),
        ({"concurrency": 2.5}, "concurrency"),
        ({"database": ""}, "the database is no file and no URL like sqlite:///tasks.sqlite or"),
        ({"database": ":memory:"}, "the database is no file"),
        ({"database": "sqlite://"}, "the database is no file"),
        ({"database": "mysql://user@host/name"}, "pass one as database= or in MJRELAY_DATABASE"),
        ({"database": f"postgresql://user:{SECRET}@host"}, "the database is no file"),
        ({"database": f"postgresql://user:{SECRET}@host:port/name"}, "the database is no file"),
        ({"database": f"postgresql://user:{SECRET[:3]}@{SECRET}@host/name"}, "the database is no file"),
        ({"database": f"postgres//{SECRET}://x"}, "the database is no file"),
        ({"database": 5}, "database is of type int"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], message: str) -> None:
    """Each argument that cannot be used is a SettingError that says what to write."""
    with pytest.raises(SettingError) as caught:
        TaskQueue(**{"relays": {"a": RELAY}, "on_finish": print, **arguments})
    assert message in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)).partition("SettingError")[2]
    assert SECRET not in shown
    assert caught.value.__cause__ is None


def test_invalid_arguments_of_methods(tmp_path: Path) -> None:
    """Tasks that cannot be added are refused before anything is stored, and so is an unknown relay."""
    queue = TaskQueue({"a": RELAY, "b": RELAY}, print, database=tmp_path / "x.sqlite")
    other: Any = queue
    for call in (
        lambda: queue.add(["1"]),
        lambda: queue.add(["1"], relay="c"),
        lambda: other.add(["1", None], relay="a"),
        lambda: queue.add(["1", " "], relay="a"),
        lambda: queue.add("12", relay="a"),
        lambda: other.add(5, relay="a"),
        lambda: queue.add(["1"], relay="a", timeout=0),
        lambda: Worker(queue).run(other, print),
    ):
        with pytest.raises(SettingError):
            call()
    with pytest.raises(SettingError, match="'c' is not one of the queue's relays; pass one of: a, b"):
        queue.add(["1"], relay="c")
    assert not list(tmp_path.iterdir())


def test_sqlite_files_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing folder and a file of another kind are a SettingError with the path."""
    (tmp_path / "text").write_text("not a database " * 100, encoding="utf-8")
    for name, reason in (("missing/x", "unable to open database file"), ("text", "file is not a database")):
        queue = TaskQueue({"a": RELAY}, print, database=tmp_path / name)
        with pytest.raises(SettingError, match=reason) as caught:
            queue.add(["1"])
        assert f"{tmp_path / name}" in str(caught.value)
        with pytest.raises(SettingError), Worker(queue):
            pass


def test_a_password_is_shown_nowhere(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """No repr, error or log has the password, wherever it is in the URL and whatever is wrong with it."""
    host = postgres_url.rpartition("@")[2].partition("/")[0]
    urls = [
        f"postgresql://mjrelay:{SECRET}@{host}/postgres",
        f"postgresql://mjrelay@{host}/postgres?password={SECRET}",
        f"postgres://mjrelay:{SECRET}@127.0.0.1:9/postgres",
        f"postgresql+psycopg2://mjrelay:{SECRET}@database.invalid/postgres",
        f"postgresql://mjrelay:{SECRET}@{host}/postgres?sslmode=odd",
    ]
    for url in urls:
        queue = TaskQueue({"a": RELAY}, print, database=url)
        assert SECRET not in repr(queue) + repr(vars(queue)) + str(queue.database)
        with pytest.raises(SettingError, match="check the URL, and that the server is up") as caught:
            queue.add(["1"])
        assert SECRET not in repr(caught.value)
        with pytest.raises(SettingError) as caught, Worker(queue):
            pass
        assert SECRET not in repr(caught.value)
    assert SECRET not in caplog.text


def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    """Neither the SQLite file with its journal nor the output of a worker has the key."""
    with site(tmp_path) as bench:
        tasks = bench.submit(5)
        bench.queue().add(tasks)
        bench.flag("broken", tasks[0])
        with bench.worker() as worker:
            worker.until(lambda: bench.reported(tasks[1:]))
            worker.kill()
        files = [path for path in tmp_path.iterdir() if path.is_file() and path.suffix != ".py"]
        assert any(path.name == "tasks.sqlite-wal" for path in files)
        content = b"".join(path.read_bytes() for path in files)
        assert tasks[0].encode() in content
        assert KEY.encode() not in content
        assert b"py_pickle" not in content
        assert pickled(bench) == 0


def pickled(bench: Site) -> int:
    """The number of rows that are not JSON."""
    store = sqlite3.connect(bench.database)
    count: int = store.execute(
        "SELECT count(*) FROM operation_outputs WHERE serialization <> 'portable_json'"
    ).fetchone()[0]
    store.close()
    return count


# --- the command ---


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("", "jobs", "jobs is not MODULE:QUEUE; write for example jobs:queue"),
        ("", ":queue", ":queue is not MODULE:QUEUE"),
        ("", "jobs:", "jobs: is not MODULE:QUEUE"),
        ("", "jobs:a.b", "jobs:a.b is not MODULE:QUEUE"),
        ("", ".jobs:queue", ".jobs:queue is not MODULE:QUEUE"),
        ("", "jobz:queue", "there is no module jobz here; start the worker in its folder"),
        ("", "jobs.inner:queue", "there is no module jobs.inner here; start the worker in its folder"),
        ("", "jobs:queue", "jobs has no queue queue; make one with mjrelay.durable.TaskQueue"),
        ("queue = 5", "jobs:queue", "jobs has no queue queue; make one with"),
        (
            "import absent",
            "jobs:queue",
            "jobs cannot be imported: ModuleNotFoundError: No module named 'absent'",
        ),
        ("x = 1\n1 / 0", "jobs:queue", "jobs cannot be imported: ZeroDivisionError: division by zero"),
        ("x =", "jobs:queue", "jobs cannot be imported: SyntaxError: invalid syntax"),
    ],
)
def test_a_module_without_the_queue(
    source: str, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that cannot be loaded is one line that says what to write, with exit code 2."""
    (tmp_path / "jobs.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = mjrelay("durable", "worker", name)
    assert message in result.stderr
    assert (result.returncode, result.stdout) == (2, "")


def test_the_queues_that_a_module_has_are_listed(tmp_path: Path) -> None:
    """Another name is an error that lists the queues of the module; a database that fails is one line."""
    with site(tmp_path) as bench:
        with bench.python("-m", "mjrelay", "durable", "worker", "jobs:other") as one:
            assert one.wait() == 2
            assert "jobs has no queue other; it has: queue\n" in one.output
        url = f"postgresql://user:{SECRET}@127.0.0.1:9/name"
        with bench.worker(DATABASE=url) as one:
            assert one.wait() == 2
            assert "mjrelay: postgresql+psycopg://user:***@127.0.0.1:9/name: " in one.output
            assert "check the URL, and that the server is up" in one.output
            assert SECRET not in one.output
            assert len(one.output.splitlines()) == 1


def test_a_missing_extra(tmp_path: Path) -> None:
    """Without the extra, the command names what to install."""
    script = (
        "import sys; sys.modules['dbos'] = None; sys.argv = ['mjrelay', 'durable', 'worker', 'jobs:queue'];"
        "from mjrelay.__main__ import main; main()"
    )
    with site(tmp_path) as bench, bench.python("-c", script) as one:
        assert one.wait() == 2
        assert "durable" in one.output
        assert "Traceback" not in one.output


def test_a_database_of_its_own_schema(postgres_url: str, tmp_path: Path) -> None:
    """In Postgres, nothing is outside the schema mjrelay, and two processes may create it at once."""
    with own_database(postgres_url) as url, site(tmp_path, url) as bench:
        with contextlib.ExitStack() as stack:
            add = "import jobs; jobs.queue.add(['{}'])"
            running = [stack.enter_context(bench.python("-c", add.format(one))) for one in range(2)]
            assert [one.wait() for one in running] == [0] * 2, bench.output()
        with psycopg.connect(url) as connection:
            schemas = connection.execute(
                "SELECT DISTINCT schemaname FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
        assert schemas == [("mjrelay",)]
        assert bench.queue().backlog()[0].tasks == 2
