"""A million tickets, simulated without sockets: bytes per ticket, CPU per poll, and requests by batches."""

from __future__ import annotations

import heapq
import json
import time
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import define, field

from benchmarks.example import KEY, RELAY
from benchmarks.rounds import Ratio
from benchmarks.table import Row, at_most
from mjrelay import Relay, Ticket
from mjrelay.base import Clock
from mjrelay.client.shared_transport import SharedTransport
from mjrelay.http import Exchange

if TYPE_CHECKING:
    from benchmarks.rounds import Effort
    from mjrelay.http import Request

MANY, FEWER = 1_000_000, 100
"""The number of tickets, and the factor by which the other run has fewer."""
BATCH = 100
SLACK = 5.0
"""Seconds by which a ticket may be early, to fill a batch."""
START = 1_795_000_000.0
PER_SECOND = 1000
"""New tasks per second: so many wait for about a minute each."""


@define
class Simulated(Clock):
    """A relay and its time; it counts the seconds that it takes itself."""

    number: int
    random: Random
    passed: float = 0.0
    requests: int = 0
    spent: float = 0.0
    ends: list[float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.ends = [number / PER_SECOND + self.random.uniform(30, 90) for number in range(self.number)]

    def now(self) -> float:
        """Return the simulated seconds."""
        return self.passed

    def time(self) -> float:
        """Return the simulated Unix time."""
        return START + self.passed

    def send(self, request: Request, _timeout: float, _largest: int = 0) -> Exchange:
        """Respond to a batch, as a transport."""
        begun = time.process_time()
        self.requests += 1
        ids = json.loads(request.body)["ids"] if request.body else [request.target.split("/")[-2]]
        documents = [self._document(one) for one in ids]
        body = json.dumps(documents if request.body else documents[0]).encode()
        headers = (("content-type", "application/json"),)
        exchange = Exchange(request.method, "https://relay.example", status=200, headers=headers, body=body)
        self.spent += time.process_time() - begun
        return exchange

    def _document(self, task_id: str) -> dict[str, Any]:
        number = int(task_id)
        arrival, end = number / PER_SECOND, self.ends[number]
        if self.passed >= end:
            return {
                "id": task_id,
                "status": "SUCCESS",
                "progress": "100%",
                "imageUrl": "https://cdn.example/1",
            }
        progress = f"{100 * (self.passed - arrival) / (end - arrival):.0f}%"
        return {"id": task_id, "status": "IN_PROGRESS", "progress": progress}


class _Scripted(Relay):
    """A relay whose clock is its transport."""

    def _new_transport(self) -> Any:
        return SharedTransport(lambda: self._options.clock, client=True)


@define
class Run:
    """What a simulation measured."""

    polls: int = 0
    size: int = 0
    seconds: float = 0.0
    requests: int = 0


def simulate(number: int) -> Run:
    """Wait for so many tasks with tickets that are stored as JSON between their polls."""
    relay_side = Simulated(number, Random(0))  # noqa: S311 - a simulation is to be repeatable
    relay = _Scripted(RELAY, KEY, clock=relay_side)
    run, stored, coming = Run(), [""] * number, 0
    queue: list[tuple[float, int]] = []
    while queue or coming < number:
        due = queue[0][0] if queue else float("inf")
        arrival = START + coming / PER_SECOND if coming < number else float("inf")
        relay_side.passed = max(relay_side.passed, min(due, arrival) - START)
        while coming < number and START + coming / PER_SECOND <= relay_side.time():
            stored[coming] = relay.ticket(str(coming)).to_json()
            heapq.heappush(queue, (relay_side.time() + SLACK, coming))  # batches fill
            coming += 1
        if due > relay_side.time():
            continue
        numbers: list[int] = []
        while queue and len(numbers) < BATCH and queue[0][0] <= relay_side.time() + SLACK:
            numbers.append(heapq.heappop(queue)[1])
        begun = time.process_time()
        polls = relay.poll_all([Ticket.from_json(stored[one]) for one in numbers], concurrency=1)
        texts = [poll.ticket.to_json() for poll in polls]
        run.seconds += time.process_time() - begun
        for one, poll, text in zip(numbers, polls, texts, strict=True):
            run.polls, run.size = run.polls + 1, run.size + len(text)
            stored[one] = "" if poll.done else text
            if not poll.done:
                heapq.heappush(queue, (poll.due, one))
    run.seconds -= relay_side.spent
    run.requests = relay_side.requests
    return run


def measure(effort: Effort) -> list[Row]:
    """Return the rows. Each simulation runs once: it is deterministic but for the time."""
    many = effort.times(MANY)
    small, large = simulate(max(many // FEWER, BATCH)), simulate(many)
    growth = (large.seconds / large.polls) / (small.seconds / small.polls)
    return [
        Row(
            what=f"bytes of a stored ticket, {many:,} tasks",
            ours=large.size / large.polls,
            unit="bytes",
            target=at_most(230),
        ),
        Row(
            what=f"CPU of a poll with its JSON, {many:,} tasks against {many // FEWER:,}",
            ours=large.seconds / large.polls,
            theirs=small.seconds / small.polls,
            ratio=Ratio(growth, growth, growth),
            target=at_most(1.3),
        ),
        Row(
            what=f"requests by batches of {BATCH} per task, {many:,} tasks",
            ours=large.requests / many,
            theirs=large.polls / many,
            unit="requests",
            note="theirs: one by one",
        ),
    ]
