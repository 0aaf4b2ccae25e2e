"""The durable queue in a SQLite file: workers are processes that are killed, stopped and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from cli_process import KEY
from durable import Site, run, site

from mjrelay import Poll, Relay, State, Ticket
from mjrelay.durable import queue as queue_module
from mjrelay.durable import upkeep, workflows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.services


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Site]:
    """A queue in a SQLite file."""
    with site(tmp_path) as one:
        yield one


# --- many tasks ---


def test_many_tasks(bench: Site) -> None:
    """500 tasks are reported once each, with one request per batch and poll, within the rate."""
    tasks = bench.submit(500, 2.0)
    bench.queue().add(tasks)
    with bench.worker() as worker:
        worker.until(lambda: bench.reported(tasks))
    assert set(bench.calls().values()) == {1}
    assert len(bench.mock.moments) <= 20
    assert bench.mock.size <= 500 * 4096
    assert bench.keeps_rate()


def test_the_rate_without_a_batch_endpoint(tmp_path: Path) -> None:
    """Where each task needs a request, the maximum is kept, but for one batch at the edge of a second."""
    with site(tmp_path, rate=5.0, batches=False) as bench:
        tasks = bench.submit(20)
        bench.queue().add(tasks)
        with bench.worker() as worker:
            worker.until(lambda: bench.reported(tasks))
        assert set(bench.calls().values()) == {1}
        assert len(bench.mock.moments) <= 25
        assert bench.keeps_rate()


def test_a_relay_that_lacks_its_batch_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a running worker has learned it, requests keep the rate, also for a large batch; none is lost."""
    monkeypatch.setattr(queue_module, "_FIRST_POLL", 0.1)
    with site(tmp_path, rate=10.0) as bench:
        bench.mock.has_batches = False
        first, others, polls = bench.submit(4), bench.submit(22), list[Poll]()
        queue = bench.queue(on_finish=polls.append)
        queue.add(first)
        added: list[int] = []

        def ended() -> bool:
            if len(polls) == 4 and not added:
                added.append(len(bench.mock.moments))
                bench.queue().add(others)  # in one batch: this relay has learned nothing
            return len(polls) == 26

        run(queue, ended)
        assert sorted(poll.ticket.id for poll in polls) == sorted(first + others)
        assert all(poll.error is None for poll in polls)
        assert added[0] <= 4 + 5
        del bench.mock.moments[: added[0]]
        assert len(bench.mock.moments) == 22
        assert bench.keeps_rate()


def test_tasks_that_are_added_one_by_one_are_merged(bench: Site) -> None:
    """Four processes add 60 tasks one by one, and twice: few requests, none is lost or reported twice."""
    tasks = bench.submit(60, 4.0)
    add = "import sys, jobs\nfor one in sys.argv[1:]: jobs.queue.add([one])\njobs.queue.add(sys.argv[1:])"
    with bench.worker() as worker, contextlib.ExitStack() as stack:
        adding = [stack.enter_context(bench.python("-c", add, *tasks[n::4], *tasks[:4])) for n in range(4)]
        assert [one.wait() for one in adding] == [0] * 4
        worker.until(lambda: bench.reported(tasks))
        bench.queue().add(tasks[:1])
        requests = len(bench.mock.moments)
        worker.until(lambda: len(bench.mock.moments) > requests and not waiting(bench))
    assert set(bench.calls().values()) == {1}
    assert len(bench.mock.moments) <= 20


def waiting(bench: Site) -> int:
    """The number of tasks and calls that wait in the database."""
    return sum(one.tasks + one.calls for one in bench.queue().backlog())


# --- workers that end ---


def test_a_killed_worker(bench: Site) -> None:
    """Killed at a poll, and during calls: none is lost, and only calls in progress are repeated."""
    tasks = bench.submit(120)
    bench.queue().add(tasks)
    slow = bench.flag("slow")
    bench.mock.delay = 30.0
    with bench.worker() as worker:
        worker.until(lambda: bench.mock.moments)
        with bench.worker() as second:
            assert second.wait() == 2
            assert "another worker uses" in second.output
            assert "tasks.sqlite, and SQLite allows one; stop it, or use Postgres" in second.output
        worker.kill()
    bench.mock.delay = 0.0
    with bench.worker() as worker:
        worker.until(lambda: len(bench.calls()) >= 30)
        worker.kill()
        worker.wait()
    begun, ended = bench.calls("begun"), bench.calls()
    slow.unlink()
    with bench.worker() as worker:
        worker.until(lambda: bench.reported(tasks))
    repeated = bench.calls("begun") - begun
    repeated = repeated & begun  # not those that were called first now
    in_progress = begun.keys() - ended.keys()
    assert set(begun.values()) == {1}
    assert len(ended) < len(tasks)
    assert 0 < len(in_progress) <= 8
    assert in_progress <= repeated.keys()
    assert len(repeated.keys() - in_progress) <= 8, "they had ended, but were not recorded"
    assert max(bench.calls("begun").values()) <= 2
    assert set(bench.calls().values()) <= {1, 2}
    assert len(bench.mock.moments) <= 6


def test_a_worker_that_is_stopped(bench: Site) -> None:
    """A poll in flight ends and is stored; nothing starts after it, and the next worker repeats nothing."""
    tasks = bench.submit(40)
    bench.queue().add(tasks)
    bench.flag("slow")
    bench.mock.delay = 0.5
    with bench.worker() as worker:
        worker.until(lambda: bench.mock.moments)
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert worker.output.endswith("the worker has stopped; what waits is in the database\n")
    assert len(bench.mock.moments) == 1
    assert len(bench.calls()) == 0
    with bench.worker() as worker:
        worker.until(lambda: bench.calls("begun"))
        worker.process.send_signal(signal.SIGINT)
        assert worker.wait() == 0
    assert bench.calls("begun") == bench.calls()
    assert len(bench.calls()) <= 16, "calls began after the signal"
    with bench.worker() as worker:
        worker.until(lambda: bench.reported(tasks))
    assert set(bench.calls().values()) == {1}
    assert len(bench.mock.moments) == 1


def test_on_finish_raises(bench: Site) -> None:
    """It is called again later, also by the next worker; the other tasks are not held up."""
    tasks = bench.submit(20)
    broken = bench.flag("broken", " ".join(tasks[:2]))
    bench.queue().add(tasks)
    with bench.worker() as worker:
        worker.until(lambda: bench.reported(tasks[2:]))
        worker.until(lambda: bench.calls("begun").keys() >= set(tasks))
        worker.process.terminate()
        assert worker.wait() == 0
        assert "main: on_finish raised" in worker.output
        assert "RuntimeError: no space left" in worker.output
    begun = bench.calls("begun")
    with bench.worker() as worker:
        worker.until(lambda: all(bench.calls("begun")[one] > begun[one] for one in tasks[:2]))
        broken.unlink()
        worker.until(lambda: bench.reported(tasks))
    assert set(bench.calls().values()) == {1}
    assert all(bench.calls("begun")[one] == 1 for one in tasks[2:])


# --- other ends of a wait ---


def test_a_task_that_needs_input(bench: Site) -> None:
    """It is reported, and again at its end, after modal and another add."""
    (task,) = bench.submit(1, outcome=State.NEEDS_INPUT)
    queue = bench.queue()
    queue.add([task])
    with bench.worker() as worker:
        worker.until(lambda: bench.reported([task]))
        queue.add([queue.relays["main"].modal(task, prompt="a pig")])
        worker.until(lambda: bench.calls()[task] == 2)
        worker.until(lambda: not waiting(bench))
    assert bench.outcomes() == {task: ["needs-input", "succeeded"]}


def test_a_task_that_still_needs_input(bench: Site, hurried: None) -> None:
    """One that is added again by its id is waited for again, and reported again if it still needs input."""
    (task,), polls = bench.submit(1, outcome=State.NEEDS_INPUT), list[Poll]()
    queue = bench.queue(on_finish=polls.append)
    queue.add([task])

    def again() -> bool:
        if len(polls) == 1 and not waiting(bench):
            queue.add([task])
        return len(polls) == 2

    run(queue, again)
    assert [poll.task and poll.task.state for poll in polls] == [State.NEEDS_INPUT] * 2


@pytest.mark.parametrize("polls", [0, 3])
def test_the_later_deadline_is_kept(bench: Site, polls: int) -> None:
    """Two waits for a task are merged into one with the later deadline, also if the earlier knows more."""
    queue = bench.queue()
    first = evolve(queue.relays["main"].ticket("1", timeout=60.0), polls=polls)
    queue.store("main", [first.to_json()], first.due)
    queue.add(["1"], timeout=900.0)
    queue.add(["2"], timeout=30.0)
    lease = queue.database.lease()
    upkeep.Upkeep(queue, lease).merge()
    lease.close()
    one, two = sorted(map(Ticket.from_json, bench.tickets()), key=lambda ticket: ticket.id)
    assert (one.id, two.id, one.polls) == ("1", "2", polls)
    assert one.deadline - first.started == pytest.approx(900.0, abs=5.0)
    assert two.deadline - first.started == pytest.approx(30.0, abs=5.0)


def test_a_ticket_of_a_newer_version(bench: Site, hurried: None, caplog: pytest.LogCaptureFixture) -> None:
    """The worker polls other tasks, and keeps the ticket as it is for a newer worker."""
    newer = '{"v":2,"relay":"newapi","id":"1","new":[]}'
    tasks, polls = bench.submit(3), list[Poll]()
    queue = bench.queue(on_finish=polls.append)
    queue.store("main", [newer], 0.0)
    queue.add(tasks[:1])
    queue.add(tasks[1:])
    run(queue, lambda: len(polls) == 3 and caplog.text.count("1 tasks were not polled") >= 2)
    assert sorted(poll.ticket.id for poll in polls) == sorted(tasks)
    assert bench.tickets() == [newer]


def test_a_callback_ends_the_wait(bench: Site) -> None:
    """An ended task that is passed to the queue is reported once, also when it is polled later."""
    tasks = [*bench.submit(1), *bench.submit(1, outcome=State.FAILED), *bench.submit(1, 3.0)]
    queue = bench.queue()
    queue.add(tasks)
    for task in tasks * 2:
        queue.finish(queue.relays["main"].fetch(task))
    with bench.worker() as worker:
        worker.until(lambda: bench.reported(tasks))
        worker.until(lambda: not waiting(bench))
    assert bench.outcomes() == {tasks[0]: ["succeeded"], tasks[1]: ["failed"], tasks[2]: ["succeeded"]}


def test_a_relay_that_the_worker_lacks(bench: Site) -> None:
    """Tasks and results of a relay wait for a worker that has it, and the lines of others show them."""
    queue = bench.queue("main other")
    mains, others = bench.submit(3), bench.submit(3)
    queue.add(mains, relay="main")
    queue.add(others[:2], relay="other")
    queue.finish(queue.relays["other"].fetch(others[2]), relay="other")
    with bench.worker() as worker:
        worker.until(lambda: bench.reported(mains))
        worker.until(lambda: "other: 2 tasks wait in 1 batches, the first is due since" in worker.output)
        assert "1 results are to be reported" in worker.output
        worker.process.terminate()
        assert worker.wait() == 0
    assert not set(others) & bench.calls("begun").keys()
    with bench.worker(RELAYS="main other") as worker:
        worker.until(lambda: bench.reported(others))
    assert set(bench.calls().values()) == {1}


# --- workers in this process ---


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is polled at once, and faults of a worker are followed by the next try after a second."""
    monkeypatch.setattr(workflows, "REPAIR", 1.0)
    monkeypatch.setattr(upkeep, "REPAIR", 1.0)
    monkeypatch.setattr(queue_module, "_FIRST_POLL", 0.1)


def test_a_refused_key(bench: Site, hurried: None, caplog: pytest.LogCaptureFixture) -> None:
    """With a wrong key the tasks stay and are polled again; with the right key they end."""
    tasks, polls = bench.submit(3), list[Poll]()
    wrong = bench.queue(key="sk-wrong-but-secret-too", on_finish=polls.append)
    wrong.add(tasks)
    run(wrong, lambda: len(bench.mock.moments) >= 2)
    assert not polls
    assert "main: " in caplog.text
    assert "sk-wrong" not in caplog.text
    run(bench.queue(on_finish=polls.append), lambda: len(polls) == 3)
    assert sorted(poll.ticket.id for poll in polls) == sorted(tasks)


def test_what_the_engine_gives_up_is_tried_again(
    bench: Site, hurried: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch or a result that the engine marks as failed is logged, and ends after all."""
    tasks, polls = bench.submit(2), list[Poll]()
    queue = bench.queue(on_finish=polls.append)
    queue.add(tasks[:1])
    queue.finish(queue.relays["main"].fetch(tasks[1]))
    with contextlib.closing(sqlite3.connect(bench.database)) as store, store:
        store.execute("UPDATE workflow_status SET status = 'ERROR' WHERE name = 'mjrelay.poll'")
        store.execute(
            "UPDATE workflow_status SET status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'"
            " WHERE name = 'mjrelay.finish'"
        )
    run(queue, lambda: len(polls) == 2)
    assert {poll.ticket.id for poll in polls} == set(tasks)
    assert caplog.text.count("failed; the next try is in 1 s") == 2
    assert caplog.text.count(f"finish:main:{tasks[1]}:succeeded:0 failed") == 1


def test_a_poll_and_a_call_that_raise(bench: Site, hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are polled again after any exception; SystemExit in on_finish is like another exception."""
    tasks, polls = bench.submit(2), list[Poll]()

    def on_finish(poll: Poll) -> None:
        polls.append(poll)
        if len(polls) == 1:
            raise SystemExit(3)

    queue = bench.queue(on_finish=on_finish)
    relay = queue.relays["main"]
    raising = [MemoryError()]

    def poll_all(tickets: Any) -> Any:
        if raising:
            raise raising.pop()
        return Relay.poll_all(relay, tickets)

    monkeypatch.setattr(relay, "poll_all", poll_all)
    queue.add(tasks)
    run(queue, lambda: len(polls) == 3)
    assert not raising


def test_on_finish_raises_what_is_no_exception(bench: Site, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and on_finish is called again."""
    raised = [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]
    tasks, polls = bench.submit(3), list[Poll]()
    kinds = dict(zip(tasks, raised, strict=True))

    def on_finish(poll: Poll) -> None:
        polls.append(poll)
        if kind := kinds.pop(poll.ticket.id, None):
            raise kind

    queue = bench.queue(on_finish=on_finish)
    for task in tasks:
        queue.finish(queue.relays["main"].fetch(task))
    run(queue, lambda: len(polls) == 6 and not waiting(bench))
    for task, kind in zip(tasks, raised, strict=True):
        assert caplog.text.count(f"on_finish raised for {task}") == 1
        assert kind.__name__ in caplog.text


def repeat_key(document: dict[str, Any]) -> None:
    """Write the key into a document, as relays do that echo a request."""
    document["failReason"] = f"the token {KEY} has no quota"
    document["properties"] = {KEY: [KEY]}


def test_a_relay_that_repeats_the_key(bench: Site, hurried: None) -> None:
    """No file of the database has it, with results in progress and after their end."""
    tasks, contents = bench.submit(2, outcome=State.FAILED), list[bytes]()
    bench.mock.change = repeat_key

    def on_finish(poll: Poll) -> None:
        assert poll.task is not None
        assert "has no quota" in poll.task.document["failReason"]
        contents.append(b"".join(path.read_bytes() for path in bench.folder.glob("tasks.sqlite*")))

    queue = bench.queue(on_finish=on_finish)
    queue.add(tasks[:1])
    queue.finish(queue.relays["main"].fetch(tasks[1]))
    run(queue, lambda: len(contents) == 2)
    contents.extend(path.read_bytes() for path in bench.folder.glob("tasks.sqlite*"))
    assert b"has no quota" in contents[0]
    assert KEY.encode() not in b"".join(contents)
