"""A relay without sockets, and an engine that polls tickets at their due moments and is interrupted."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay import Relay, Ticket
from mjrelay.base import Clock
from mjrelay.client.shared_transport import SharedTransport
from mjrelay.http import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mjrelay import Poll, RelayError, Task
    from mjrelay.http import Request

START = 1_795_000_000.0
KEY = "sk-never-to-be-seen-4711"

_STATUSES = {
    "succeeded": {"status": "SUCCESS", "progress": "100%", "imageUrl": "https://cdn.example/1.png"},
    "failed": {"status": "FAILURE", "progress": "100%", "failReason": "no"},
    "needs-input": {"status": "MODAL", "progress": "0%"},
}


@define
class ManualClock(Clock):
    """A clock that moves only when told; the Unix time may also jump."""

    passed: float = 0.0
    unix: float = START

    def now(self) -> float:
        return self.passed

    def time(self) -> float:
        return self.unix + self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


@frozen
class Script:
    """What a relay shows of a task: queued, running, and an outcome that is an end, or never comes."""

    start: float = 0.0
    end: float = 60.0
    outcome: str = "succeeded"
    percent: int = 100
    """The last percentage before the end; 0 for a task that shows no progress."""

    def document(self, task_id: str, now: float) -> dict[str, Any] | None:
        """The task at a moment, or None if there is no such task."""
        if self.outcome == "missing":
            return None
        if now >= self.end and self.outcome != "never":
            return {"id": task_id, **_STATUSES[self.outcome]}
        if now < self.start:
            return {"id": task_id, "status": "SUBMITTED", "progress": "0%"}
        done = int(self.percent * min((now - self.start) / max(self.end - self.start, 1.0), 0.99))
        start = round((START + self.start) * 1000)
        return {"id": task_id, "status": "IN_PROGRESS", "progress": f"{done}%", "startTime": start}


class _Scripted(Relay):
    """A client whose transport is given as ``client``."""

    def _new_transport(self) -> Any:
        return SharedTransport(lambda: self._options.client, client=True)


@define
class FakeRelay:
    """
    A relay that answers by scripts, on its own clock.

    Each outage is a moment, a length in seconds, and the status of all its responses. An id in ``poison``
    breaks each request that has it, with 500.
    """

    scripts: dict[str, Script]
    outages: Sequence[tuple[float, float, int]] = ()
    poison: frozenset[str] = frozenset()
    clock: ManualClock = field(factory=ManualClock)
    sent: list[tuple[float, tuple[str, ...]]] = field(factory=list)
    retry_after: int | None = None

    def relay(self) -> Relay:
        """A new client, as a new process makes it."""
        return _Scripted("zhongzhuan", KEY, clock=self.clock, client=self)

    def send(self, request: Request, _timeout: float, _largest: int = 0) -> Exchange:
        """Respond to one request, as a `Transport`."""
        status, headers, document = self._respond(request)
        headers |= {"content-type": "application/json"}
        body = json.dumps(document).encode()
        return Exchange(
            request.method,
            f"https://relay.example{request.target}",
            status=status,
            headers=tuple(headers.items()),
            body=body,
        )

    def _respond(self, request: Request) -> tuple[int, dict[str, str], Any]:
        now, batch = self.clock.now(), request.method == "POST"
        ids = tuple(json.loads(request.body)["ids"]) if batch else (request.target.split("/")[-2],)
        self.sent.append((now, ids))
        for start, length, status in self.outages:
            if start <= now < start + length:
                after = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
                return status, after, {}
        if self.poison.intersection(ids):
            return 500, {}, {}
        found = {one: self.scripts[one].document(one, now) for one in ids}
        documents = [one for one in found.values() if one is not None]
        if batch:
            return 200, {}, documents
        return (200, {}, documents[0]) if documents else (404, {}, {})


def outcome(task: Task | None, error: RelayError | None) -> str:
    """How a wait ended: the state of the task, or the kind of the error."""
    return type(error).__name__ if error is not None or task is None else task.state.value


def waited(fake: FakeRelay, timeout: float) -> dict[str, str]:
    """How each task ends in one uninterrupted wait."""
    ended: dict[str, str] = {}
    random.seed(1)

    def fail(error: RelayError) -> None:
        ended[str(error.task_id)] = outcome(None, error)

    for task in fake.relay().wait_all(fake.scripts, timeout=timeout, concurrency=1, rate=None, on_error=fail):
        ended[task.id] = outcome(task, None)
    return ended


@define
class Engine:
    """Stores tickets as JSON, and polls in each round all that are due with those that may join a batch."""

    fake: FakeRelay
    stored: dict[str, str] = field(factory=dict)
    ended: dict[str, str] = field(factory=dict)
    sizes: list[int] = field(factory=list)
    """The number of requests of each round."""

    def add(self, ids: Iterable[str], timeout: float) -> Engine:
        relay = self.fake.relay()
        self.stored |= {one: relay.ticket(one, timeout=timeout).to_json() for one in ids}
        return self

    def due(self) -> list[Ticket]:
        """Sleep until a ticket is due, and return all that are; and others without errors, as a wait does."""
        tickets = [Ticket.from_json(text) for text in self.stored.values()]
        clock = self.fake.clock
        clock.sleep(max(min(ticket.due for ticket in tickets) - clock.time(), 0.0) + 0.001)
        return [one for one in tickets if one.due <= clock.time() or (not one.failures and one.batch is None)]

    def store(self, polls: list[Poll]) -> None:
        for poll in polls:
            if poll.done:
                assert poll.due == float("inf")
                self.stored.pop(poll.ticket.id, None)
                self.ended[poll.ticket.id] = outcome(poll.task, poll.error)
            elif poll.ticket.id in self.stored:
                self.stored[poll.ticket.id] = poll.ticket.to_json()

    def run(self, interruptions: dict[int, str] | None = None, delay: float = 0.0) -> Engine:
        """
        Poll until each task has ended, each round in a new process.

        Interruptions by number of the round: ``kill`` loses the responses, ``twice`` has two processes poll
        the same tickets, a number is a jump of the system clock in seconds.
        """
        random.seed(1)
        while self.stored:
            tickets = self.due()
            event = (interruptions or {}).get(len(self.sizes))
            assert len(self.sizes) < 2_000, "a storm of polls"
            before = len(self.fake.sent)
            if event in {"kill", "twice"}:
                state = random.getstate()
                first = self.fake.relay().poll_all(tickets, concurrency=1)
                random.setstate(state)
                self.fake.clock.sleep(delay)
                second = self.fake.relay().poll_all(tickets, concurrency=1)
                self.store(second)
                if event == "twice":
                    self.store(first)
            else:
                if event is not None:
                    self.fake.clock.unix += float(event)
                self.store(self.fake.relay().poll_all(tickets, concurrency=1))
            self.sizes.append(len(self.fake.sent) - before)
        return self
