"""What keeps a queue in order beside its workflows. Any worker does it for all."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attrs import define, evolve

from mjrelay.base import SettingError
from mjrelay.client import Ticket
from mjrelay.durable.database import FINISH, POLL, REPAIR, WAITING, finish_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mjrelay.durable.database import Waiting
    from mjrelay.durable.leases import Lease
    from mjrelay.durable.queue import TaskQueue

_log = logging.getLogger("mjrelay")

_KEPT_POLL = 60.0
"""Seconds for which a poll that has ended is kept; the engine counts the rate by them."""

_KEPT_FINISH = 24 * 3600.0
"""Seconds for which a finished task is remembered, so that ``on_finish`` is called once."""


_MOST_DELETED = 5000


@define(eq=False)
class Upkeep:
    """
    Keeps a queue in order.

    Attributes:
        queue: The queue.
        lease: The identity of this worker.
    """

    queue: TaskQueue
    lease: Lease

    def merge(self) -> None:
        """
        Merge small batches of a relay, because each costs requests and rows.

        The merged batch is stored before the others are cancelled, so no task is lost. One whose poll starts
        in between is polled twice, until it is merged again.
        """
        with self.lease.merging() as allowed:
            if allowed:
                waiting = self.queue.database.waiting()
                for relay in self.queue.relays:
                    size = self.queue.batch_size(relay)
                    for group in _groups((one for one in waiting if one.relay == relay), size):
                        self._merge(relay, [one.workflow for one in group])

    def resume(self) -> None:
        """
        Resume the work of workers that were killed.

        Raises:
            LeaseLostError: This worker has lost its identity.
        """
        self.lease.check()
        client = self.queue.database.client
        rows = client.list_workflows(
            status="PENDING", name=[POLL, FINISH], load_input=False, load_output=False
        )
        for executor in {row.executor_id or "" for row in rows}:
            with self.lease.taken_over(executor) as free:
                if free:
                    self.queue.database.resume(executor)

    def repair(self) -> None:
        """Enqueue again what the engine has given up, for example because the disk was full."""
        with self.lease.merging() as allowed:
            failed = self.queue.database.failed() if allowed else []
        client = self.queue.database.client
        for workflow, name, arguments in failed:
            relay = arguments[0]
            if name == POLL:
                self.queue.store(relay, arguments[-1], time.time() + REPAIR)
            else:
                _, key, attempt, record = arguments
                options = finish_options(relay, key, attempt + 1, REPAIR)
                self.queue.database.enqueue([(options, (relay, key, attempt + 1, record))])
            client.delete_workflows([workflow])
            _log.error("%s: %s failed; the next try is in %.0f s", relay, workflow, REPAIR)

    def forget(self) -> None:
        """Delete what has ended: polls after a minute, finished tasks after a day."""
        client = self.queue.database.client
        for name, status, seconds in (
            (POLL, ["SUCCESS", "CANCELLED"], self._kept_polls()),
            (FINISH, ["SUCCESS"], _KEPT_FINISH),
        ):
            before = datetime.fromtimestamp(time.time() - seconds, UTC).isoformat()
            rows = client.list_workflows(
                name=name,
                status=status,
                completed_before=before,
                limit=_MOST_DELETED,
                load_input=False,
                load_output=False,
            )
            if rows:
                client.delete_workflows([row.workflow_id for row in rows])

    def _kept_polls(self) -> float:
        limits = [limit for limit in map(self.queue.limit, self.queue.relays) if limit is not None]
        return max([_KEPT_POLL, *(2 * seconds for _, seconds in limits)])

    def _merge(self, relay: str, workflows: list[str]) -> None:
        client = self.queue.database.client
        rows = client.list_workflows(workflow_ids=workflows, status=WAITING, load_output=False)
        tickets: dict[str, Ticket] = {}
        merged: list[str] = []
        for row in rows:
            try:
                known = [Ticket.from_json(text) for text in (row.input or {"args": [[]]})["args"][-1]]
            except SettingError:  # of a newer version, whose worker polls it
                continue
            merged.append(row.workflow_id)
            for ticket in known:
                tickets[ticket.id] = _one(tickets.get(ticket.id, ticket), ticket)
        if len(merged) > 1:
            texts = [ticket.to_json() for ticket in tickets.values()]
            self.queue.store(relay, texts, min(ticket.due for ticket in tickets.values()))
            client.cancel_workflows(merged)


def _one(ticket: Ticket, other: Ticket) -> Ticket:
    """Return one of two tickets of a task: the one that knows more, with the later deadline."""
    known = max(ticket, other, key=lambda one: one.polls)
    return evolve(known, deadline=max(ticket.deadline, other.deadline))


def _groups(batches: Iterable[Waiting], size: int) -> Iterator[list[Waiting]]:
    """Yield groups of small batches that fit into one; those that are due at similar times are together."""
    group: list[Waiting] = []
    for batch in sorted(batches, key=lambda one: one.due):
        if batch.tasks > size // 2:
            continue
        if sum(one.tasks for one in group) + batch.tasks > size:
            yield group
            group = []
        group.append(batch)
    if len(group) > 1:
        yield group
