"""A batch that fails: it is retried, then split, and batching continues."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_conformance.mock import Server
from simulated import CONTRACT, Result, Simulation, error, task
from twins import Async, Sync

from mjrelay import (
    AnswerError,
    EnvelopeError,
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UndecodableError,
    WebPageError,
)
from mjrelay.http import OVERSIZE, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

DONE = CONTRACT.examples["succeeded"]

Response = dict[str, Result] | Result


def done(ids: tuple[str, ...]) -> Response:
    """Every task, succeeded."""
    return {one: task(one, "succeeded") for one in ids}


def simulate(respond: Callable[[tuple[str, ...], float], Response], count: int, **options: Any) -> Simulation:
    """Wait for so many tasks in batches of 100, of a relay that responds after 0.2 seconds."""
    defaults = {"timeout": 900.0, "concurrency": 16, "rate": 10.0, "batch_size": 100}
    latency = options.pop("latency", 0.2)
    return Simulation(respond, latency).run(many(count), **defaults | options)


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
    """If any batch fails once, 3,000 ids take 31 requests, and none is lost or fetched alone."""
    numbers = itertools.count()
    relay = simulate(lambda ids, _: error(kind) if next(numbers) == broken else done(ids), 3000)
    assert (len(relay.ended), relay.lost, len(relay.sent)) == (3000, {}, 31)
    assert relay.now < 15


@pytest.mark.parametrize(
    "kind", [UnavailableError, TransportError, AnswerError, WebPageError, ForbiddenError]
)
@pytest.mark.parametrize("count", [100, 1000])
@pytest.mark.parametrize("poison", ["0", "57", "99"])
def test_an_id_that_breaks_its_batch_is_isolated(kind: type[RelayError], count: int, poison: str) -> None:
    """The batch is split until the id is alone; every other task is returned, with few more requests."""

    def answer(ids: tuple[str, ...], _: float) -> Response:
        return error(kind, task_id=poison if len(ids) == 1 else None) if poison in ids else done(ids)

    relay = simulate(answer, count, retries=2, batch_size=50)
    assert set(relay.ended) == set(many(count)) - {poison}
    assert set(relay.lost) == {poison}
    assert type(relay.lost[poison]) is kind
    assert len(relay.sent) < count // 50 + 60


def test_a_key_refused_for_one_of_many_loses_that_one() -> None:
    """A batch with a 401 is split like any other, if the key has worked before."""
    relay = simulate(
        lambda ids, _: error(UnauthorizedError) if "57" in ids else done(ids),
        100,
        batch_size=50,
        concurrency=1,
    )
    assert (set(relay.lost), len(relay.ended)) == ({"57"}, 99)


@pytest.mark.parametrize(
    "kind", [AnswerError, MissingTaskError, ForbiddenError, WebPageError, UnavailableError]
)
def test_batching_that_never_works_is_given_up(kind: type[RelayError]) -> None:
    """If each batch fails and single tasks do not, each of 1,000 is fetched alone after a few batches."""
    relay = simulate(lambda ids, _: error(kind) if len(ids) > 1 else done(ids), 1000)
    assert (len(relay.ended), relay.lost) == (1000, {})
    assert relay.sizes[1] == 1000
    assert sum(relay.sizes.values()) - 1000 <= 64, "batches in flight together fail together"


@pytest.mark.parametrize("limit", [50, 20, 7])
def test_a_limit_below_that_of_the_contract_is_found(limit: int) -> None:
    """If the relay's limit is lower than the contract's, batches become smaller, and no task is lost."""
    refusal = error(AnswerError)
    relay = simulate(lambda ids, _: refusal if len(ids) > limit else done(ids), 3000)
    assert (len(relay.ended), relay.lost) == (3000, {})
    assert len(relay.sent) < 100 + 2 * 3000 / max(2, limit // 4)


def test_batches_that_fail_together_are_one_failure() -> None:
    """A web page for all 16 batches in flight does not end batching."""
    relay = simulate(lambda ids, now: error(WebPageError) if now < 0.1 else done(ids), 1600, rate=None)
    assert (len(relay.ended), relay.lost, len(relay.sent)) == (1600, {}, 32)


@pytest.mark.parametrize("kind", [UnavailableError, TransportError, RateLimitedError])
@pytest.mark.parametrize("worked", [0.0, 1.5])
def test_an_outage_ends_no_batching_and_starts_no_storm(kind: type[RelayError], worked: float) -> None:
    """While the relay is down for a minute, batches back off; then all tasks are returned."""
    relay = simulate(lambda ids, now: error(kind) if worked <= now < worked + 60 else done(ids), 3000)
    assert (len(relay.ended), relay.lost) == (3000, {})
    assert relay.sizes[1] <= 8 * 30, "one task of a batch is sent alone as a probe"
    assert len(relay.sent) < 600


@pytest.mark.parametrize("kind", [UnavailableError, RateLimitedError])
def test_an_outage_without_end_is_an_error_for_each(kind: type[RelayError]) -> None:
    """After the last retry each task fails with the error, and was not sent alone."""
    relay = simulate(lambda *_: error(kind), 300, retries=2)
    assert set(relay.lost) == set(many(300))
    assert all(type(error) is kind and error.task_id == one for one, error in relay.lost.items())
    assert len(relay.sent) < 30


@pytest.mark.parametrize("kind", [UnavailableError, RateLimitedError])
def test_retry_after_of_a_batch_holds_for_all(kind: type[RelayError]) -> None:
    """Retry-After of a batch pauses all requests."""
    numbers = itertools.count()
    relay = simulate(
        lambda ids, _: error(kind, retry_after=30.0) if next(numbers) == 0 else done(ids), 3000, concurrency=1
    )
    assert (len(relay.ended), relay.lost) == (3000, {})
    assert relay.sent[1][0] >= 30


def test_a_batch_that_is_too_large_is_split() -> None:
    """A batch whose response is too large is halved, not retried, and batching continues."""
    cut = Exchange("POST", "https://relay.example", status=200, failure=f"{OVERSIZE} 16 bytes")
    relay = simulate(
        lambda ids, _: error(UndecodableError, exchange=cut) if len(ids) > 30 else done(ids), 100
    )
    assert (len(relay.ended), relay.lost) == (100, {})
    assert relay.sizes == Counter({100: 1, 50: 2, 25: 4})


def test_the_deadline_ends_held_tasks() -> None:
    """Tasks that are held until the response to a probe fail at the deadline like all others."""
    relay = simulate(lambda *_: error(UnavailableError), 250, latency=3.0, timeout=11.0, concurrency=2)
    assert set(relay.lost) == set(many(250))


KINDS = [*ONE_OFF, ForbiddenError, UnauthorizedError]


OPTIONS = st.fixed_dictionaries(
    {
        "batch_size": st.sampled_from([2, 7, 100]),
        "concurrency": st.integers(1, 4),
        "retries": st.integers(0, 8),
        "timeout": st.sampled_from([20.0, 3600.0]),
    }
)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([None, None, *KINDS]), max_size=40),
    st.sets(st.integers(0, 39)),
    st.integers(1, 40),
    OPTIONS,
)
def test_each_task_of_a_batch_ends_once(
    script: list[type[RelayError] | None], poison: set[int], count: int, options: dict[str, Any]
) -> None:
    """For any errors and any ids that break their batch, each id ends or fails exactly once."""
    turns = iter(script)

    def answer(ids: tuple[str, ...], _: float) -> Response:
        kind = next(turns, None) or (UnavailableError if poison & set(map(int, ids)) else None)
        return done(ids) if kind is None else error(kind)

    relay = simulate(answer, count, **options)
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
    """Over real sockets, 1,000 tasks are returned, and none is fetched alone after a failed first batch."""
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
