"""A queue of tasks in a database: what is added to it, what waits in it, and what is called at the end."""

from __future__ import annotations

import inspect
import math
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mjrelay.base import SettingError
from mjrelay.client import Poll, Relay, Ticket, check_count, check_list, check_rate
from mjrelay.durable.database import Database, finish_options, poll_options
from mjrelay.durable.records import key_of, to_record

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from mjrelay.client import Task, TaskLike
    from mjrelay.durable.database import Job, Waiting

_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)

_FIRST_POLL = 1.0
"""Seconds until the first poll, in which a worker merges tasks that were added one by one."""

_UNBATCHED = 10
"""Maximum number of tasks in a batch, and of requests for it, where a relay fetches each task alone."""


_CHECKED_LENGTH = 8_000
"""Length of a ticket from which it is read before it is stored; a short one can always be read."""


@frozen
class Backlog:
    """
    What waits in a queue for one relay.

    Attributes:
        relay: The relay's name in the queue.
        tasks: The number of tasks that have not ended. Tasks of a request in flight are not counted.
        batches: The number of batches that they form.
        due: The Unix time at which the first of them is to be polled; infinite if there are none.
        calls: The number of finished tasks for which ``on_finish`` is to be called.
    """

    relay: str
    tasks: int
    batches: int
    due: float
    calls: int


class TaskQueue:
    """
    Waits for tasks through a database, so that no crash and no deploy loses one.

    Any process may add tasks. Workers poll them, in batches and at a rate that they share; with SQLite there
    is one worker, with Postgres there are as many as you start.

    Args:
        relays: The relays by name. The name is stored with each task, the key is not.
        on_finish: Called in a worker with the result of each wait: a `Poll` with the task or the error. It is
            called at least once, again if a worker was killed during the call, and again later if it raised.
            Use ``poll.ticket.id`` as the idempotency key.
        database: A SQLite file, or a URL such as ``postgresql://user@host/name``. Default: the environment
            variable ``MJRELAY_DATABASE``, else ``mjrelay.sqlite`` in the current folder.
        rate: Maximum number of requests per second to each relay, of all workers together; or None.
        concurrency: Maximum number of concurrent calls of ``on_finish`` in each worker.

    Raises:
        SettingError: An argument is invalid. Nothing is opened before the first use.
    """

    def __init__(
        self,
        relays: Mapping[str, Relay],
        on_finish: Callable[[Poll], object],
        *,
        database: str | os.PathLike[str] | None = None,
        rate: float | None = 10.0,
        concurrency: int = 8,
    ) -> None:
        _check(relays, on_finish)
        check_rate(rate)
        check_count("concurrency", concurrency, most=100)
        self.relays = dict(relays)
        self.on_finish = on_finish
        self.rate = rate
        self.concurrency = concurrency
        self.database = Database(database)

    def add(self, ids: Iterable[TaskLike], *, relay: str | None = None, timeout: float = 900.0) -> None:
        """
        Store tasks, so that a worker waits for them. No request is sent.

        A task that is added again while it waits is waited for twice, until the two are merged. Its end is
        reported once. If both waits end with an error, each is reported.

        Args:
            ids: The task ids, submissions or tasks.
            relay: The relay's name in the queue; needed if there are several.
            timeout: Seconds for the wait.

        Raises:
            SettingError: An argument is invalid, or the database cannot be reached.
        """
        name = self._name(relay)
        check_list("ids", ids)
        tickets = [self.relays[name].ticket(one, timeout=timeout) for one in ids]
        tickets = list({ticket.id: ticket for ticket in tickets}.values())
        texts = [_stored(ticket) for ticket in tickets]
        size, due = self.batch_size(name), time.time() + _FIRST_POLL
        parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        self.database.enqueue([self._job(name, part, due) for part in parts])

    def finish(self, task: Task, *, relay: str | None = None) -> None:
        """
        Report a task that you have fetched: if it has ended, ``on_finish`` is called, by a worker and once.

        Pass it as ``on_task`` of `mjrelay.callbacks.app`, and a callback ends the wait at once.

        Args:
            task: The task. One that has not ended is ignored.
            relay: The relay's name in the queue; needed if there are several.

        Raises:
            SettingError: There is no such relay, or the database cannot be reached.
        """
        name = self._name(relay)
        if task.state.terminal:
            poll = Poll(task, None, self.relays[name].ticket(task), done=True)
            key = key_of(poll)
            self.database.enqueue(
                [(finish_options(name, key), (name, key, 0, to_record(self.relays[name], poll)))]
            )

    def backlog(self) -> list[Backlog]:
        """
        Return what waits, for each relay.

        Raises:
            SettingError: The database cannot be reached.
        """
        waiting = self.database.waiting()
        calls = Counter(self.database.calls())
        names = dict.fromkeys([*self.relays, *(one.relay for one in waiting), *calls])
        return [_backlog(name, [one for one in waiting if one.relay == name], calls[name]) for name in names]

    def batch_size(self, relay: str) -> int:
        """Return the maximum number of tasks in a batch of a relay."""
        limit = self.relays[relay]._batch_size.limit  # noqa: SLF001 - what the relay has learned
        return min(_UNBATCHED, math.ceil(self.rate or _UNBATCHED)) if limit is None else limit

    def requests(self, relay: str) -> int:
        """Return the maximum number of requests for a batch of a relay."""
        has_batches = self.relays[relay]._batch_size.limit is not None  # noqa: SLF001 - as above
        return 1 if has_batches else self.batch_size(relay)

    def limit(self, relay: str) -> tuple[int, float] | None:
        """Return how many batches may be polled in how many seconds, so that requests keep the rate."""
        if self.rate is None:
            return None
        batches = self.rate / self.requests(relay)
        return (int(batches), 1.0) if batches >= 1 else (1, 1 / batches)

    def store(self, relay: str, tickets: list[str], due: float) -> None:
        """Store tickets as a new batch, to be polled first at a Unix time."""
        self.database.enqueue([self._job(relay, tickets, due)])

    def _job(self, relay: str, tickets: list[str], due: float) -> Job:
        batch = secrets.token_hex(8)
        return poll_options(relay, batch, 0, len(tickets), due), (relay, batch, 0, tickets)

    def close(self) -> None:
        """Close the connections to the database. The relays stay open."""
        self.database.close()

    def __repr__(self) -> str:
        return f"TaskQueue({', '.join(self.relays)}; {self.database})"

    def _name(self, relay: str | None) -> str:
        if relay is None and len(self.relays) == 1:
            return next(iter(self.relays))
        if relay not in self.relays:
            raise SettingError(
                f"{relay!r} is not one of the queue's relays; pass one of: {', '.join(self.relays)}"
            )
        return relay


def _stored(ticket: Ticket) -> str:
    """Return a ticket as text; raise `SettingError` if no worker could read it."""
    text = ticket.to_json()
    if len(text) > _CHECKED_LENGTH:
        Ticket.from_json(text)
    return text


def _backlog(relay: str, waiting: list[Waiting], calls: int) -> Backlog:
    due = min((one.due for one in waiting), default=math.inf)
    return Backlog(relay, sum(one.tasks for one in waiting), len(waiting), due, calls)


def _check(relays: Any, on_finish: Any) -> None:
    if not isinstance(relays, Mapping) or not relays:
        raise SettingError("relays is not a dict of relays by name; pass {name: Relay(…)}")
    for name, relay in relays.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(relay, Relay):
            raise SettingError(f"{name!r} is not the name of a Relay; pass {{name: Relay(…)}}")
    called = (on_finish, getattr(on_finish, "__call__", None))  # noqa: B004 - of an object
    if not callable(on_finish) or any(map(inspect.iscoroutinefunction, called)):
        raise SettingError(f"on_finish is of type {type(on_finish).__name__}; pass a plain function")
