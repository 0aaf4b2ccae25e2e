"""The two workflows of a worker. The engine repeats them after a crash, without the steps that have ended."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

from attrs import define, evolve, field
from dbos import DBOS

from mjrelay.client import ForbiddenError, Ticket, UnauthorizedError, UnreachableError
from mjrelay.durable.database import FINISH, POLL, REPAIR, finish_options, poll_options
from mjrelay.durable.records import Record, key_of, to_poll, to_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.durable.database import Job
    from mjrelay.durable.queue import TaskQueue

_log = logging.getLogger("mjrelay")

_SLACK = 1.0
"""Seconds by which a task may be polled early, so that one request or one start is for several."""

_LATER = f"the next try is in {REPAIR:.0f} s"

_OF_THE_WORKER = (UnauthorizedError, ForbiddenError, UnreachableError)
"""Errors that another key, certificate or proxy of the worker repairs."""

_LONGEST_PAUSE = 300.0
"""Maximum number of seconds between two calls of ``on_finish`` that raise."""


class _Polled(TypedDict):
    """What a poll leaves: results by key, the other tickets, and when they are due."""

    finished: list[tuple[str, Record]]
    tickets: list[str]
    due: float


@define(eq=False)
class Calls:
    """
    The calls of ``on_finish`` in a worker.

    Attributes:
        slots: Limits the concurrent calls.
        stopping: Whether no further call may start.
        running: The threads that run a workflow.
    """

    slots: threading.Semaphore
    stopping: bool = False
    running: set[int] = field(factory=set)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count this thread as running."""
        self.running.add(threading.get_ident())
        try:
            yield
        finally:
            self.running.discard(threading.get_ident())


def register(queue: TaskQueue, calls: Calls) -> None:
    """Register the workflows of a queue, for the next launch of the engine."""

    # Neither has a limit of attempts: what is interrupted often is not given up.
    @DBOS.workflow(name=POLL, max_recovery_attempts=None)
    def poll(relay: str, batch: str, number: int, tickets: list[str]) -> None:
        """Poll a batch once, report the tasks that have ended, and enqueue the next poll."""
        with calls.counted():
            polled = DBOS.run_step({"name": "poll"}, _poll, queue, relay, tickets)
            jobs: list[Job] = [
                (finish_options(relay, key), (relay, key, 0, record)) for key, record in polled["finished"]
            ]
            if left := polled["tickets"]:
                options = poll_options(relay, batch, number + 1, len(left), polled["due"])
                jobs.append((options, (relay, batch, number + 1, left)))
            queue.database.enqueue_patiently(jobs)

    @DBOS.workflow(name=FINISH, max_recovery_attempts=None)
    def finish(relay: str, key: str, attempt: int, record: Record) -> None:
        """Call ``on_finish``, and enqueue the next attempt if it did not return."""
        with calls.counted():
            # Not as a step, which would be one more write: it is repeated after a crash either way.
            outcome = _call(queue, calls, relay, key, record)
            if outcome != "returned":
                # 16 doublings exceed the longest pause.
                pause = min(2.0 ** min(attempt, 16), _LONGEST_PAUSE) if outcome == "raised" else 0.0
                options = finish_options(relay, key, attempt + 1, pause)
                queue.database.enqueue_patiently([(options, (relay, key, attempt + 1, record))])


def _poll(queue: TaskQueue, relay: str, tickets: list[str]) -> _Polled:
    """Poll a batch. Nothing raises: the engine would give up the batch."""
    try:
        return _polled(queue, relay, tickets)
    except Exception:  # noqa: BLE001 - no task may be lost
        _log.exception("%s: %d tasks were not polled; %s", relay, len(tickets), _LATER)
        return {"finished": [], "tickets": tickets, "due": time.time() + REPAIR}


def _polled(queue: TaskQueue, relay: str, tickets: list[str]) -> _Polled:
    now = time.time()
    known = sorted(map(Ticket.from_json, tickets), key=lambda ticket: ticket.due)
    # Where one request is for all, those that are due later are polled with the others.
    one_request = queue.requests(relay) == 1
    due = known
    if not one_request:  # a batch may be larger, from before its relay refused one
        due = [ticket for ticket in known if ticket.due <= now + _SLACK][: queue.batch_size(relay)]
    left = known[len(due) :]
    finished: list[tuple[str, Record]] = []
    for poll in queue.relays[relay].poll_all(due):
        if not poll.done:
            left.append(poll.ticket)
        elif isinstance(poll.error, _OF_THE_WORKER) and now < poll.ticket.deadline:
            _log.warning("%s: %s; %s", relay, poll.error, _LATER)
            left.append(evolve(poll.ticket, due=now + REPAIR))
        else:
            finished.append((key_of(poll), to_record(queue.relays[relay], poll)))
    soonest = min((ticket.due for ticket in left), default=0.0)
    return {"finished": finished, "tickets": [ticket.to_json() for ticket in left], "due": soonest}


def _call(queue: TaskQueue, calls: Calls, relay: str, key: str, record: Record) -> str:
    """Call ``on_finish`` and return what became of the call."""
    with calls.slots:
        if calls.stopping:
            return "stopped"
        try:
            queue.on_finish(to_poll(queue.relays[relay], record))
        except BaseException:  # noqa: BLE001 - it is the user's function, and this is no main thread
            _log.exception("%s: on_finish raised for %s; it is called again", relay, key)
            return "raised"
    return "returned"
