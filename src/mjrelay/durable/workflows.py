"""The two workflows of a worker. The engine repeats them after a crash, without the steps that have ended."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, TypedDict

from attrs import evolve
from dbos import DBOS

from mjrelay.client import ForbiddenError, Ticket, UnauthorizedError, UnreachableError
from mjrelay.durable.database import FINISH, POLL, finish_options, poll_options
from mjrelay.durable.records import Record, key_of, to_poll, to_record
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from mjrelay.durable.queue import TaskQueue

_log = logging.getLogger("mjrelay")

_SLACK = 1.0
"""Seconds by which a task may be polled early, so that one request or one start is for several."""

_REPAIR = 60.0
"""Seconds until tasks are polled again whose poll failed by a fault of the worker, not of the task."""

_OF_THE_WORKER = (UnauthorizedError, ForbiddenError, UnreachableError)
"""Errors that another key, certificate or proxy of the worker repairs."""

_LONGEST_PAUSE = 300.0
"""Maximum number of seconds between two calls of ``on_finish`` that raise."""


class _Polled(TypedDict):
    """What a poll leaves: results by key, the other tickets, and when they are due."""

    finished: list[tuple[str, Record]]
    tickets: list[str]
    due: float


def register(queue: TaskQueue) -> None:
    """Register the workflows of a queue, for the next launch of the engine."""
    calls = threading.Semaphore(queue.concurrency)

    # Without a limit of attempts: a poll that is interrupted often is not given up.
    @DBOS.workflow(name=POLL, max_recovery_attempts=None)
    def poll(relay: str, batch: str, number: int, tickets: list[str]) -> None:
        """Poll a batch once, report the tasks that have ended, and enqueue the next poll."""
        polled = DBOS.run_step({"name": "poll"}, _poll, queue, relay, tickets)
        for key, record in polled["finished"]:
            DBOS.enqueue_workflow_with_options(finish_options(relay, key), relay, key, 0, record)
        if left := polled["tickets"]:
            options = poll_options(relay, batch, number + 1, len(left), polled["due"])
            DBOS.enqueue_workflow_with_options(options, relay, batch, number + 1, left)

    @DBOS.workflow(name=FINISH)
    def finish(relay: str, key: str, attempt: int, record: Record) -> None:
        """Call ``on_finish``, and enqueue the next attempt if it raised."""
        if not DBOS.run_step({"name": "on_finish"}, _call, queue, calls, relay, record):
            # 16 doublings exceed the longest pause.
            options = finish_options(relay, key, attempt + 1, min(2.0 ** min(attempt, 16), _LONGEST_PAUSE))
            DBOS.enqueue_workflow_with_options(options, relay, key, attempt + 1, record)


def _poll(queue: TaskQueue, relay: str, tickets: list[str]) -> _Polled:
    now = time.time()
    known = sorted(map(Ticket.from_json, tickets), key=lambda ticket: ticket.due)
    # Where one request is for all, those that are due later are polled with the others.
    one_request = queue.requests(relay) == 1
    due = known if one_request else [ticket for ticket in known if ticket.due <= now + _SLACK]
    left = known[len(due) :]
    try:
        polls = queue.relays[relay].poll_all(due)
    except Exception:  # noqa: BLE001 - no task may be lost
        _log.exception("%s: %d tasks were not polled; the next try is in %.0f s", relay, len(due), _REPAIR)
        return _still([*left, *(evolve(ticket, due=now + _REPAIR) for ticket in due)], [])
    finished: list[tuple[str, Record]] = []
    for poll in polls:
        if not poll.done:
            left.append(poll.ticket)
        elif isinstance(poll.error, _OF_THE_WORKER) and now < poll.ticket.deadline:
            _log.warning("%s: %s; it is polled again in %.0f s", relay, poll.error, _REPAIR)
            left.append(evolve(poll.ticket, due=now + _REPAIR))
        else:
            finished.append((key_of(poll), to_record(poll)))
    return _still(left, finished)


def _call(queue: TaskQueue, calls: threading.Semaphore, relay: str, record: Record) -> bool:
    """Return whether ``on_finish`` returned."""
    poll = to_poll(queue.relays[relay], record)
    try:
        with calls:
            queue.on_finish(poll)
    except Exception:  # noqa: BLE001 - it is the user's function
        shown = printable_text(poll.ticket.id)
        _log.exception("%s: on_finish raised for task %s; it is called again", relay, shown)
        return False
    return True


def _still(tickets: list[Ticket], finished: list[tuple[str, Record]]) -> _Polled:
    due = min((ticket.due for ticket in tickets), default=0.0)
    return {"finished": finished, "tickets": [ticket.to_json() for ticket in tickets], "due": due}
