"""One poll of each of several tickets, by the same state machine as a wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from zlib import crc32

from attrs import define, evolve, field

from mjrelay.client.batches import Batch
from mjrelay.client.polling import Poller
from mjrelay.client.task import RelayError, Task
from mjrelay.client.tickets import Poll

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mjrelay.client.events import PollResult
    from mjrelay.client.pending import PendingTask
    from mjrelay.client.tickets import Ticket

_TOLERANCE = 0.002
"""Seconds by which the moments of a ticket are rounded, both ways."""


@define(eq=False)
class Round(Poller):
    """
    Polls each ticket once, and never asks its driver to sleep.

    What a wait would send again is left for the next round: it becomes the next ticket of its tasks.

    Attributes:
        errors: The errors that ended the wait for a task; the driver appends them.
    """

    batch_interval: float = 0.0
    errors: list[RelayError] = field(init=False, factory=list)
    _tickets: dict[str, Ticket] = field(init=False, factory=dict)
    _results: dict[str, Task | RelayError] = field(init=False, factory=dict)
    _later: list[tuple[float, PendingTask | Batch]] = field(init=False, factory=list)

    def load(self, tickets: Iterable[Ticket], now: float) -> None:
        """Add the tickets, all to be polled now; of several tickets of a task the first counts."""
        failed: dict[tuple[int | None, int], list[PendingTask]] = {}
        probes: list[PendingTask] = []
        for one in tickets:
            if one.id in self._tickets:
                continue
            self._tickets[one.id] = ticket = one.moved(now + self.unix_offset)
            self._tasks[one.id] = pending = ticket.restored(self.unix_offset)
            self.model.saw_task |= ticket.fingerprint is not None
            if ticket.batch is not None:
                failed.setdefault((ticket.batch, ticket.batch_failures), []).append(pending)
                continue
            self._enqueue(pending, now)
            if ticket.alone:
                probes.append(pending)
        for (_, failures), tasks in failed.items():
            batch = Batch(tasks, failures=failures)
            tasks[0].alone |= len(tasks) == 1  # it may be the one that broke its batch
            if failures <= 1 or len(tasks) == 1:
                self._enqueue(batch, now)
            elif probes:  # the relay may be down: only a response to one task alone splits the batch
                self._probed_batches[probes.pop().id] = batch
            else:
                self._probe(batch, now)

    @property
    def done(self) -> bool:
        """Whether each ticket was polled or put off."""
        return not self._queue and not self._in_flight

    def next_request(self, now: float) -> tuple[str, ...] | float:
        """Return the ids of the next request, or `inf`. After a Retry-After, the others are put off."""
        if self._paused_until > now:
            self._later += [(due, entry) for due, _, entry in self._queue]
            self._queue = []
        return super().next_request(now)

    def receive(self, ids: tuple[str, ...], result: PollResult, now: float) -> None:
        """Handle the result of a request."""
        self._results |= result if isinstance(result, Mapping) else dict.fromkeys(ids, result)
        super().receive(ids, result, now)

    def polls(self, now: float, unix_now: float) -> dict[str, Poll]:
        """Return the outcome of each task."""
        errors = {error.task_id: error for error in self.errors}
        polls = {
            task_id: self._ended(ticket, errors.get(task_id)) for task_id, ticket in self._tickets.items()
        }
        for due, pending, batch in self._pending():
            polls[pending.id] = self._next(pending, max(due, self._paused_until), unix_now - now, batch)
        return polls

    def _enqueue(self, entry: PendingTask | Batch, due: float) -> None:
        first = entry.tasks[0] if isinstance(entry, Batch) else entry
        if first.id in self._results:
            self._later.append((due, entry))
        else:
            super()._enqueue(entry, due)

    def _pending(self) -> Iterator[tuple[float, PendingTask, Batch | None]]:
        """Yield the tasks that have not ended, with the time of the next poll and the batch that failed."""
        dues: dict[str, float] = {}
        for due, entry in self._later:
            if isinstance(entry, Batch):
                yield from ((due, task, entry) for task in entry.tasks)
            else:
                dues[entry.id] = due
                yield due, entry, None
        for probe, batch in self._probed_batches.items():  # to be sent with the probe
            yield from ((dues.get(probe, self.started), task, batch) for task in batch.tasks)

    def _is_early(self, ticket: Ticket) -> bool:
        """Return whether the ticket was polled before it was due. Such a poll's error is not counted."""
        return self.started + self.unix_offset < ticket.due - _TOLERANCE

    def _ended(self, ticket: Ticket, error: RelayError | None) -> Poll:
        """Return the outcome of a task that has ended or failed."""
        result = self._results.get(ticket.id)
        if error is not None and error.transient and self._is_early(ticket):
            return Poll(None, error, ticket, done=False)
        return Poll(result if isinstance(result, Task) else None, error, ticket, done=True)

    def _next(self, pending: PendingTask, due: float, offset: float, batch: Batch | None) -> Poll:
        """Return the outcome of a task that is still pending."""
        ticket, result = self._tickets[pending.id], self._results.get(pending.id)
        task, error = (result, None) if isinstance(result, Task) else (None, result)
        if error is not None and error.transient and self._is_early(ticket):
            pause = self._paused_until + offset
            return Poll(None, error, evolve(ticket, due=max(ticket.due, pause)), done=False)
        # A poll that came after the deadline is repeated until there is a response: the task may have ended.
        if due >= pending.deadline and (error is None or self.started < pending.deadline):
            return Poll(task, self._timeout_error(pending, task), ticket, done=True)
        together = batch is not None and len(batch.tasks) > 1
        pending.alone |= batch is not None and not together
        ids = "\n".join(one.id for one in batch.tasks) if batch is not None and together else ""
        following = ticket.advanced(
            pending,
            due,
            offset,
            polls=ticket.polls + (result is not None),
            batch=crc32(ids.encode("utf-8", "surrogatepass")) if together else None,
            batch_failures=batch.failures if batch is not None and together else 0,
        )
        return Poll(task, error, following, done=False)
