"""Processes that fork, workers whose calls hang, and a database that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from cli_process import until
from durable import Line, Site, own_database, site

from mjrelay import SettingError
from mjrelay.durable import Worker
from mjrelay.durable import worker as worker_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.services

KINDS = ["sqlite", "postgres"]


@contextmanager
def bench_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A queue in a database of its own."""
    if kind == "sqlite":
        with site(folder) as one:
            yield one
    else:
        with own_database(request.getfixturevalue("postgres_url")) as url, site(folder, url) as one:
            yield one


# --- processes that fork ---

_ADD_IN_CHILDREN = """
import os
from jobs import queue

def add(name):
    queue.add([name])
    os.write(1, name.encode() + bytes([10]))  # in one piece

add("parent-0")
children = []
for n in range(3):
    child = os.fork()
    if not child:
        code = 1
        try:
            for i in range(5):
                add(f"{n}-{i}")
            code = 0
        finally:
            os._exit(code)
    children.append(child)
    add(f"parent-{n + 1}")
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
add("parent-4")
assert queue.backlog()[0].tasks == 20
"""


@pytest.mark.parametrize("kind", KINDS)
def test_forked_children_add(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """What parent and children add is stored, all of them end, and the parent's connections still work."""
    with bench_of(kind, tmp_path, request) as bench:
        with bench.python("-c", _ADD_IN_CHILDREN) as one:
            assert one.wait() == 0, one.output
            added = one.output.split()
        assert len(added) == 20
        assert sorted(json.loads(text)["id"] for text in bench.tickets()) == sorted(added)


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_does_not_keep_the_identity(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """After kill -9 of a worker whose child lives on, the next worker repeats the call within seconds."""
    with bench_of(kind, tmp_path, request) as bench:
        (task,) = bench.submit(1)
        queue = bench.queue()
        queue.finish(queue.relays["main"].fetch(task))
        forking, hanging, child = bench.flag("forking"), bench.flag("hanging"), tmp_path / "child"
        with bench.worker() as first:
            first.until(lambda: child.exists() and child.read_text("ascii") and bench.calls("begun"))
            forking.unlink()
            if kind == "sqlite":
                first.process.kill()
            with bench.worker() as second:
                second.until(lambda: "has started" in second.output)
                first.process.kill()
                hanging.unlink()
                killed = time.monotonic()
                second.until(lambda: bench.reported([task]))
                assert time.monotonic() - killed < 15
                os.kill(int(child.read_text("ascii")), 0)  # it lives


# --- calls that hang ---


def test_a_second_signal(tmp_path: Path) -> None:
    """It ends a worker at once whose on_finish hangs, with code 1; the next worker repeats the call."""
    with site(tmp_path) as bench:
        (task,) = bench.submit(1)
        queue = bench.queue()
        queue.finish(queue.relays["main"].fetch(task))
        hanging = bench.flag("hanging")
        with bench.worker() as worker:
            worker.until(lambda: bench.calls("begun"))
            begun = time.monotonic()
            # Signals that follow closely may be one.
            while worker.process.poll() is None and time.monotonic() - begun < 10:
                worker.process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    worker.process.wait(0.5)
            assert worker.process.poll() == 1
            assert "Traceback" not in worker.output
        hanging.unlink()
        with bench.worker() as worker:
            worker.until(lambda: bench.reported([task]))
        assert bench.calls("begun") == {task: 2}


def test_the_lease_is_kept_while_a_call_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time for the end, no other worker may start beside a call that still runs."""
    monkeypatch.setattr(worker_module, "_LONGEST_END", 1)
    begun, released, stop = threading.Event(), threading.Event(), threading.Event()

    def on_finish(_: object) -> None:
        begun.set()
        released.wait(60)

    with site(tmp_path) as bench:
        queue = bench.queue(on_finish=on_finish)
        queue.finish(queue.relays["main"].fetch(bench.submit(1)[0]))
        with Worker(queue) as worker:
            worker.run(stop, lambda _: stop.set() if begun.is_set() else None, every=0.05)
        assert not worker.ended
        with pytest.raises(SettingError, match="another worker uses"):
            bench.queue().database.lease()
        released.set()
        until(lambda: worker.ended)
        worker._close(0)
        bench.queue().database.lease().close()


# --- a database that goes away ---


def setting_error(call: Callable[[], object]) -> str:
    """The message of the SettingError that a call raises within 10 seconds."""
    messages: list[str] = []

    def work() -> None:
        with pytest.raises(SettingError) as caught:
            call()
        messages.append(str(caught.value))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    assert messages, "it has not raised in time"
    return messages[0]


def test_the_database_goes_away(tmp_path: Path, postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A worker ends with code 1 within seconds, and calls raise soon; neither shows the password."""
    password = postgres_url.partition("@")[0].rpartition(":")[2]
    with own_database(postgres_url) as url, site(tmp_path, url) as bench:
        line = Line(url)
        bench.database = line.url
        queue = bench.queue()
        ended = queue.relays["main"].fetch(bench.submit(1)[0])
        queue.add(["1"])
        with bench.worker() as worker:
            worker.until(lambda: "1 tasks wait" in worker.output)
            line.cut()
            cut = time.monotonic()
            for call in (lambda: queue.add(["2"]), lambda: queue.finish(ended), queue.backlog):
                message = setting_error(call)
                assert "check the URL, and that the server is up" in message
                assert password not in message
            assert worker.wait() == 1
            assert time.monotonic() - cut < 30
            assert "mjrelay: the connection to the database was lost; start the worker again" in worker.output
            assert password not in worker.output
    assert password not in caplog.text
