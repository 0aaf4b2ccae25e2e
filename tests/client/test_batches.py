"""A batch that fails: it is retried, then split, and batching goes on."""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_conformance.mock import Server
from twins import Async, Sync

from mjrelay import (
    AnswerError,
    EnvelopeError,
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    Task,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UndecodableError,
    WebPageError,
)
from mjrelay.client.events import FetchFailed, PollRequest, TaskDone
from mjrelay.client.polling import Poller
from mjrelay.client.schedule import RefreshModel
from mjrelay.contract import load_contract
from mjrelay.http import OVERSIZE, Exchange, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRACT = load_contract("zhongzhuan")
DONE = CONTRACT.examples["succeeded"]

Outcome = dict[str, Task | RelayError] | RelayError


def done(ids: tuple[str, ...]) -> Outcome:
    """Every task, succeeded."""
    return {one: Task(CONTRACT, {**DONE, "id": one}) for one in ids}


def fault(kind: type[RelayError], **facts: Any) -> RelayError:
    """An error as a response makes it."""
    return kind("no", relay="zhongzhuan", **facts)


@define
class Simulation:
    """A relay that answers after ``latency`` seconds of simulated time, and the requests it has received."""

    answer: Callable[[tuple[str, ...], float], Outcome]
    latency: float = 0.2
    sent: list[tuple[float, tuple[str, ...]]] = field(factory=list)
    lost: dict[str, RelayError] = field(factory=dict)
    ended: Counter[str] = field(factory=Counter)
    now: float = 0.0

    def run(self, ids: list[str], **options: Any) -> None:
        """Drive the machine until each id has ended or is lost."""
        options = {
            "deadline": 900.0,
            "retries": 8,
            "concurrency": 16,
            "rate": 10.0,
            "batch_size": 100,
        } | options
        machine = Poller(
            relay="zhongzhuan",
            refresh_model=RefreshModel(None),
            redactor=Redactor(),
            parse_task=lambda body: Task(CONTRACT, json.loads(body)),
            started=0.0,
            unix_offset=1_730_621_826.0,
            random=lambda: 0.5,
            **options,
        )
        for task_id in ids:
            machine.add(task_id, 0.0)
        flying: list[tuple[float, int, PollRequest, Outcome]] = []
        serial = itertools.count()
        while not machine.done:
            step = machine.next_request(self.now)
            if isinstance(step, PollRequest):
                self.sent.append((self.now, step.ids))
                assert len(self.sent) < 20_000, "a request storm"
                answer = self.answer(step.ids, self.now)
                heapq.heappush(flying, (self.now + self.latency, next(serial), step, answer))
            elif flying and flying[0][0] <= step:
                self.now, _, asked, answer = heapq.heappop(flying)
                machine.receive(asked, answer, self.now)
            elif step < math.inf:
                assert self.now < step
                self.now = step
            for event in machine.pop_events():
                if isinstance(event, TaskDone):
                    self.ended[event.task.id] += 1
                elif isinstance(event, FetchFailed):
                    assert event.error.task_id not in self.lost
                    self.lost[str(event.error.task_id)] = event.error

    def sizes(self) -> Counter[int]:
        """How many requests had how many ids."""
        return Counter(len(ids) for _, ids in self.sent)


def many(count: int) -> list[str]:
    return [str(number) for number in range(count)]


ONE_OFF: list[type[RelayError]] = [
    WebPageError,
    UndecodableError,
    EnvelopeError,
    UnavailableError,
    TransportError,
    RateLimitedError,
    AnswerError,
    MissingTaskError,
]


@pytest.mark.parametrize("kind", ONE_OFF)
@pytest.mark.parametrize("broken", [0, 7])
def test_one_failed_batch_costs_one_request(kind: type[RelayError], broken: int) -> None:
    """Whichever batch fails once, 3,000 ids take 31 requests, and none is lost or fetched alone."""
    numbers = itertools.count()
    relay = Simulation(lambda ids, _: fault(kind) if next(numbers) == broken else done(ids))
    relay.run(many(3000))
    assert (len(relay.ended), relay.lost, len(relay.sent)) == (3000, {}, 31)
    assert relay.now < 15


@pytest.mark.parametrize(
    "kind", [UnavailableError, TransportError, AnswerError, WebPageError, ForbiddenError]
)
@pytest.mark.parametrize("count", [100, 1000])
@pytest.mark.parametrize("poison", ["0", "57", "99"])
def test_an_id_that_breaks_its_batch_is_isolated(kind: type[RelayError], count: int, poison: str) -> None:
    """The batch is split until the id is alone; every other task is had, with few requests more."""

    def answer(ids: tuple[str, ...], _: float) -> Outcome:
        return fault(kind, task_id=poison if len(ids) == 1 else None) if poison in ids else done(ids)

    relay = Simulation(answer)
    relay.run(many(count), retries=2, batch_size=50)
    assert set(relay.ended) == set(many(count)) - {poison}
    assert set(relay.lost) == {poison}
    assert type(relay.lost[poison]) is kind
    assert len(relay.sent) < count // 50 + 60


def test_a_key_refused_for_one_of_many_loses_that_one() -> None:
    """A 401 to a batch, once the key was good for another, is split like any refusal."""
    relay = Simulation(lambda ids, _: fault(UnauthorizedError) if "57" in ids else done(ids))
    relay.run(many(100), batch_size=50, concurrency=1)
    assert (set(relay.lost), len(relay.ended)) == ({"57"}, 99)


@pytest.mark.parametrize(
    "kind", [AnswerError, MissingTaskError, ForbiddenError, WebPageError, UnavailableError]
)
def test_batching_that_never_works_is_given_up(kind: type[RelayError]) -> None:
    """Where each batch fails and single tasks do not, each of 1,000 is fetched alone after a few batches."""
    relay = Simulation(lambda ids, _: fault(kind) if len(ids) > 1 else done(ids))
    relay.run(many(1000))
    assert (len(relay.ended), relay.lost) == (1000, {})
    assert relay.sizes()[1] == 1000
    assert sum(relay.sizes().values()) - 1000 <= 64, "those in flight together fail together"


@pytest.mark.parametrize("limit", [50, 20, 7])
def test_a_limit_below_that_of_the_contract_is_found(limit: int) -> None:
    """A relay that refuses batches of the contract's size gets smaller ones, and no task is lost."""
    refusal = fault(AnswerError)
    relay = Simulation(lambda ids, _: refusal if len(ids) > limit else done(ids))
    relay.run(many(3000))
    assert (len(relay.ended), relay.lost) == (3000, {})
    assert len(relay.sent) < 100 + 2 * 3000 / max(2, limit // 4)


def test_batches_that_fail_together_are_one_failure() -> None:
    """A page that all 16 batches in flight get at once does not end batching."""
    relay = Simulation(lambda ids, now: fault(WebPageError) if now < 0.1 else done(ids))
    relay.run(many(1600), rate=None)
    assert (len(relay.ended), relay.lost, len(relay.sent)) == (1600, {}, 32)


@pytest.mark.parametrize("kind", [UnavailableError, TransportError, RateLimitedError])
@pytest.mark.parametrize("worked", [0.0, 1.5])
def test_an_outage_ends_no_batching_and_starts_no_storm(kind: type[RelayError], worked: float) -> None:
    """While the relay is down for a minute batches wait longer and longer, and then all tasks are had."""
    relay = Simulation(lambda ids, now: fault(kind) if worked <= now < worked + 60 else done(ids))
    relay.run(many(3000))
    assert (len(relay.ended), relay.lost) == (3000, {})
    assert relay.sizes()[1] <= 8 * 30, "one task of a batch is sent alone, to find out"
    assert len(relay.sent) < 600


@pytest.mark.parametrize("kind", [UnavailableError, RateLimitedError])
def test_an_outage_without_end_is_an_error_for_each(kind: type[RelayError]) -> None:
    """Once the retries are used up each task is lost with the error, and is not sent alone before."""
    relay = Simulation(lambda *_: fault(kind))
    relay.run(many(300), retries=2)
    assert set(relay.lost) == set(many(300))
    assert all(type(error) is kind and error.task_id == one for one, error in relay.lost.items())
    assert len(relay.sent) < 30


@pytest.mark.parametrize("kind", [UnavailableError, RateLimitedError])
def test_retry_after_of_a_batch_holds_for_all(kind: type[RelayError]) -> None:
    """A batch's `Retry-After` stops all requests for as long."""
    numbers = itertools.count()
    relay = Simulation(lambda ids, _: fault(kind, retry_after=30.0) if next(numbers) == 0 else done(ids))
    relay.run(many(3000), concurrency=1)
    assert (len(relay.ended), relay.lost) == (3000, {})
    assert relay.sent[1][0] >= 30


def test_a_batch_that_is_too_large_is_split() -> None:
    """A response larger than is read is not asked for again: each half is, and batching goes on."""
    cut = Exchange("POST", "https://relay.example", status=200, failure=f"{OVERSIZE} 16 bytes")
    relay = Simulation(lambda ids, _: fault(UndecodableError, exchange=cut) if len(ids) > 30 else done(ids))
    relay.run(many(100))
    assert (len(relay.ended), relay.lost) == (100, {})
    assert relay.sizes() == Counter({100: 1, 50: 2, 25: 4})


def test_the_deadline_ends_whatever_is_held_back() -> None:
    """Tasks that wait for a response to another are lost at the deadline like all others."""
    relay = Simulation(lambda *_: fault(UnavailableError), latency=3.0)
    relay.run(many(250), deadline=11.0, concurrency=2)
    assert set(relay.lost) == set(many(250))


KINDS = [*ONE_OFF, ForbiddenError, UnauthorizedError]


OPTIONS = st.fixed_dictionaries(
    {
        "batch_size": st.sampled_from([2, 7, 100]),
        "concurrency": st.integers(1, 4),
        "retries": st.integers(0, 8),
        "deadline": st.sampled_from([20.0, 3600.0]),
    }
)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([None, None, *KINDS]), max_size=40),
    st.sets(st.integers(0, 39)),
    st.integers(1, 40),
    OPTIONS,
)
def test_whatever_happens_to_batches_each_task_ends_once(
    script: list[type[RelayError] | None], poison: set[int], count: int, options: dict[str, Any]
) -> None:
    """For any script of failures and any ids that break their batch, each id ends or is lost exactly once."""
    turns = iter(script)

    def answer(ids: tuple[str, ...], _: float) -> Outcome:
        kind = next(turns, None) or (UnavailableError if poison & set(map(int, ids)) else None)
        return done(ids) if kind is None else fault(kind)

    relay = Simulation(answer)
    relay.run(many(count), **options)
    assert relay.ended.keys() | relay.lost.keys() == set(many(count))
    assert not relay.ended.keys() & relay.lost.keys()
    assert set(relay.ended.values()) <= {1}
    assert len(relay.sent) < 100 + 30 * count


PAGE = (200, b"<html>one moment</html>", b"text/html")
JSON = b"application/json"


@pytest.mark.parametrize("twin", [Sync, Async])
@pytest.mark.parametrize(
    "first", [PAGE, (200, b'[{"id": "1', JSON), (502, b"", JSON)], ids=["page", "cut", "502"]
)
def test_batching_survives_a_failed_response(
    twin: type[Sync | Async], first: tuple[int, bytes, bytes]
) -> None:
    """Of 1,000 tasks over real sockets none is lost or fetched alone after a first batch that failed."""
    requests: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        ids = json.loads((await receive())["body"])["ids"]
        requests.append(len(ids))
        status, body, kind = first
        if len(requests) > 1:
            status, body, kind = 200, json.dumps([{**DONE, "id": one} for one in ids]).encode(), JSON
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})

    with Server(application) as base_url, twin("zhongzhuan", "sk-test", base_url=base_url) as relay:
        tasks = relay.fetch_all(many(1000), rate=None)
    assert {task.id for task in tasks} == set(many(1000))
    assert sum(requests) == 1000 + requests[0]
