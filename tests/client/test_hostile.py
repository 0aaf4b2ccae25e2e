"""A relay with every fault of the mock, at random: no task is lost, reported twice or left pending."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay import AsyncRelay, Relay, RelayError, State, Task
from mjrelay.base.clock import Clock
from mjrelay.contract.loading import load_contract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

OUTCOMES = (State.SUCCEEDED, State.FAILED)
SLOW = {"connection-reset", "stalls-mid-body", "huge-body"}
"""Faults that cost time or a connection each, and are therefore rare."""

OTHERS = ("rate-limited", "slow", "huge-body")
"""Faults that are not faults of the mock; see `_APPLICATIONS`."""


class Leap(Clock):
    """A clock that jumps instead of sleeping."""

    def __init__(self) -> None:
        self._now, self._lock = 1_000.0, threading.Lock()

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now + 1_700_000_000

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)


class Hostile:
    """An ASGI application that is a mock without faults or, at random, one with a fault."""

    def __init__(self, name: str, clock: Clock, seed: int) -> None:
        known = load_contract(name)
        faults: list[list[str]] = [[]]
        faults += [[fault] for fault, one in FAULTS.items() if one.applies(known)]
        self.mocks = {
            "+".join(fault): MockRelay(known, faults=fault, clock=clock.time, seed=seed) for fault in faults
        }
        # All mocks share the tasks.
        for mock in self.mocks.values():
            mock._tasks = self.mocks[""]._tasks
        self.faults = tuple(dict.fromkeys((*self.mocks, *OTHERS)))
        self.chance = random.Random(seed)
        self.turns = itertools.cycle(self.chance.sample(self.faults, len(self.faults)))
        self.met: Counter[str] = Counter()

    def submit(self, task_id: str, duration: float, outcome: State) -> None:
        self.mocks[""].submit(duration, outcome=outcome, task_id=task_id)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        fault = next(self.turns) if self.chance.random() < 0.3 else ""
        if fault in SLOW and self.met[fault] and self.chance.random() < 0.8:
            fault = ""
        self.met[fault] += 1
        if fault == "slow":
            await asyncio.sleep(0.1)
        answer = _APPLICATIONS.get(fault) or self.mocks.get(fault, self.mocks[""])
        await answer(scope, receive, send)


async def _limited(_: Message, receive: Receive, send: Send) -> None:
    await receive()
    fields = [(b"retry-after", b"3"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 429, "headers": fields})
    await send({"type": "http.response.body", "body": b'{"error": {"message": "slow down"}}'})


async def _huge(_: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _piece in range(18):
        await send({"type": "http.response.body", "body": b" " * 1_000_000, "more_body": True})
    await send({"type": "http.response.body", "body": b"{}"})


_APPLICATIONS = {"rate-limited": _limited, "huge-body": _huge}


def wait_for_all(
    name: str, seed: int, count: int, *, fast: bool, twin: bool, all_faults: bool
) -> tuple[dict[str, State], list[Task | RelayError]]:
    """Return the final states of a relay's tasks, and the tasks and errors that the client returned."""
    clock, chance = Leap(), random.Random(seed)
    app = Hostile(name, clock, seed)
    wanted = {}
    for number in range(count):
        task_id = str(1_730_000_000_000_000 + number)
        wanted[task_id] = chance.choice(OUTCOMES)
        app.submit(task_id, chance.uniform(0, 100), wanted[task_id])
    options: dict[str, Any] = {"timeout": 2.0, "clock": clock, "fast": fast}
    limits: dict[str, Any] = {"timeout": 3600.0, "concurrency": 24, "rate": None}
    had: list[Task | RelayError] = []

    async def run(base_url: str) -> None:
        async with AsyncRelay(name, "mock-key", base_url=base_url, **options) as relay:
            async for task in relay.wait_all(wanted, on_error=had.append, **limits):
                had.append(task)
            for task_id in itertools.cycle(wanted):  # batches take few requests
                if not all_faults or app.met.keys() >= {*app.faults}:
                    break
                with suppress(RelayError):
                    await relay.fetch(task_id)

    with Server(app) as base_url:
        if twin:
            asyncio.run(run(base_url))
        else:
            with Relay(name, "mock-key", base_url=base_url, **options) as relay:
                had += relay.wait_all(wanted, on_error=had.append, **limits)
                for task_id in itertools.cycle(wanted):
                    if not all_faults or app.met.keys() >= {*app.faults}:
                        break
                    with suppress(RelayError):
                        relay.fetch(task_id)
    return wanted, had


def check(name: str, count: int, *, fast: bool, twin: bool, all_faults: bool) -> None:
    """Each id is returned once, in its true final state or as a `RelayError`."""
    if fast:
        pytest.importorskip("pyreqwest", reason="the extra fast is not installed")
    seed = len(name) + twin
    wanted, results = wait_for_all(name, seed, count, fast=fast, twin=twin, all_faults=all_faults)
    ids = [one.task_id if isinstance(one, RelayError) else one.id for one in results]
    assert sorted(map(str, ids)) == sorted(wanted)
    tasks = [one for one in results if isinstance(one, Task)]
    assert all(task.state is wanted[task.id] for task in tasks)
    assert len(tasks) > count / 2


@pytest.mark.parametrize(
    ("name", "fast", "twin"),
    [
        ("apiai", False, False),
        ("apiai", True, True),
        ("zhongzhuan", False, True),
        ("zhongzhuan", True, False),
    ],
)
def test_no_task_is_lost_to_faults(name: str, fast: bool, twin: bool) -> None:
    """60 tasks, single and in batches, with each transport, against random faults."""
    check(name, 60, fast=fast, twin=twin, all_faults=False)


@pytest.mark.stress
@pytest.mark.parametrize("twin", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("fast", [False, True], ids=["default", "fast"])
@pytest.mark.parametrize("name", ["apiai", "zhongzhuan"])
def test_no_task_of_thousands_is_lost_to_faults(name: str, fast: bool, twin: bool) -> None:
    """2,000 tasks for each relay, until each fault has occurred."""
    check(name, 500, fast=fast, twin=twin, all_faults=True)
