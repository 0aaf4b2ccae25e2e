"""The polling state machine, with simulated time and results: no socket, no sleep, no thread."""

from __future__ import annotations

import itertools
import json
import logging
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay import (
    EnvelopeError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    State,
    Task,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    WaitTimeoutError,
    WebPageError,
    WrongTaskError,
)
from mjrelay.client.events import Event, FetchFailed, PollRequest, TaskDone, TaskUpdated
from mjrelay.client.polling import LONGEST_PAUSE, MISSING_GRACE, Poller
from mjrelay.client.schedule import RefreshModel
from mjrelay.contract.loading import load_contract
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CONTRACT = load_contract("zhongzhuan")
EXAMPLES = CONTRACT.examples


def task(task_id: str, state: str = "running", **changes: Any) -> Task:
    """An example of the contract, with another id."""
    return Task(CONTRACT, {**EXAMPLES[state], "id": task_id, **changes})


def poller(ids: Sequence[str], timeout: float = math.inf, **options: Any) -> Poller:
    """A poller that starts at time 0, without jitter."""
    machine = Poller(
        relay="zhongzhuan",
        refresh_model=RefreshModel(None),
        redactor=Redactor("sk-never-to-be-seen"),
        parse_task=lambda body: Task(CONTRACT, json.loads(body)),
        started=0.0,
        unix_offset=1_730_621_826.0,
        deadline=timeout,
        random=lambda: 0.5,
        **options,
    )
    for one_id in ids:
        machine.add(one_id, 0.0)
    return machine


Answer = Task | RelayError


def run(
    machine: Poller, answer: Callable[[tuple[str, ...], float], dict[str, Answer] | RelayError]
) -> list[tuple[float, Event]]:
    """Drive a poller to its end with instant responses; return its events and their times."""
    now, events = 0.0, []
    for _ in range(100_000):
        if machine.done:
            return events
        step = machine.next_request(now)
        if isinstance(step, PollRequest):
            machine.receive(step, answer(step.ids, now), now)
        elif step < math.inf:
            assert step > now
            now = step
        events += [(now, event) for event in machine.pop_events()]
    raise AssertionError("the poller does not end")


def one(state: Callable[[float], Answer]) -> Callable[[tuple[str, ...], float], dict[str, Answer]]:
    """Results for a single task, by time."""
    return lambda ids, now: {ids[0]: state(now)}


def error(kind: type[RelayError], **facts: Any) -> RelayError:
    """An error as a response makes it."""
    return kind("no", relay="zhongzhuan", **facts)


def test_the_first_poll_is_immediate_and_the_last_is_the_end() -> None:
    """The first request is sent without delay, and the final state is the last event."""
    events = run(poller(["1"]), one(lambda now: task("1", "running" if now < 60 else "succeeded")))
    assert events[0] == (0.0, TaskUpdated(task("1")))
    assert events[-1][1] == TaskDone(task("1", "succeeded"))
    assert events[-1][0] < 75


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_an_ended_task_needs_one_request(state: str) -> None:
    """A task that has ended is polled once."""
    assert run(poller(["1"]), one(lambda _: task("1", state))) == [(0.0, TaskDone(task("1", state)))]


@pytest.mark.parametrize("word", ["MODAL", "CANCEL"])
def test_needs_input_and_cancelled_end_the_wait(word: str) -> None:
    """A task that needs input, or was cancelled, is not polled again."""
    events = run(poller(["1"]), one(lambda _: task("1", status=word)))
    assert len(events) == 1
    assert isinstance(events[0][1], TaskDone)


def test_only_changes_are_events() -> None:
    """An equal response is no event, nor is a URL with a new signature."""

    def at(now: float) -> Task:
        url = f"https://cdn.example/a.webp?rand={now}"
        return task("1", "running", imageUrl=url) if now < 100 else task("1", "succeeded")

    assert [type(event) for _, event in run(poller(["1"]), one(at))] == [TaskUpdated, TaskDone]


def test_the_timeout_has_the_last_snapshot() -> None:
    """The error has the last snapshot and the id, and says that the task can be waited for again."""
    events = run(poller(["1"], 120), one(lambda _: task("1")))
    moment, last = events[-1]
    assert moment == 120
    assert isinstance(last, FetchFailed)
    assert isinstance(last.error, WaitTimeoutError)
    assert last.error.task == task("1")
    assert last.error.task_id == "1"
    assert "was running at 31 % after 120 seconds" in str(last.error)
    assert "wait for it again" in str(last.error)


def test_the_last_poll_is_shortly_before_the_deadline() -> None:
    """A task that ends shortly before the deadline is returned."""
    events = run(poller(["1"], 30), one(lambda now: task("1", "running" if now < 28.5 else "succeeded")))
    assert isinstance(events[-1][1], TaskDone)


def test_an_unknown_status_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A status that is not in the contract is logged once, redacted, and does not end the wait."""
    strange = task("1", status="PAUSED sk-never-to-be-seen")
    with caplog.at_level(logging.DEBUG):
        events = run(poller(["1"], 300), one(lambda _: strange))
    assert strange.state is State.UNKNOWN
    assert isinstance(events[-1][1], FetchFailed)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "PAUSED [redacted]" in caplog.text


@pytest.mark.parametrize("kind", [TransportError, UnavailableError, RateLimitedError])
def test_transient_errors_are_retried_with_backoff(kind: type[RelayError]) -> None:
    """Eight transient errors in a row are retried, the ninth is raised with the last snapshot."""
    asked: list[float] = []

    def at(now: float) -> Answer:
        asked.append(now)
        return task("1") if now == 0 else error(kind)

    events = run(poller(["1"]), one(at))
    assert isinstance(events[-1][1], FetchFailed)
    assert isinstance(events[-1][1].error, kind)
    assert events[-1][1].error.task == task("1")
    assert len(asked) == 1 + 9
    pauses = [after - before for before, after in itertools.pairwise(asked[1:])]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


def test_a_success_resets_the_retries() -> None:
    """Only consecutive errors count: with an error in every second response, the task is returned."""
    turns = iter(range(1000))

    def at(now: float) -> Answer:
        if next(turns) % 2:
            return error(UnavailableError)
        return task("1", "running" if now < 500 else "succeeded")

    assert isinstance(run(poller(["1"]), one(at))[-1][1], TaskDone)


@pytest.mark.parametrize("kind", [WebPageError, EnvelopeError])
def test_fewer_retries_before_the_first_task(kind: type[RelayError]) -> None:
    """If no response was a task, the base URL is probably wrong: the error is raised within seconds."""
    events = run(poller(["1"]), one(lambda _: error(kind)))
    assert isinstance(events[-1][1], FetchFailed)
    assert events[-1][0] < 10
    seen = run(poller(["1"]), one(lambda now: task("1") if now == 0 else error(kind)))
    assert seen[-1][0] > 60


@pytest.mark.parametrize("kind", [UnauthorizedError, WrongTaskError])
def test_a_refusal_is_final(kind: type[RelayError]) -> None:
    """A permanent error is raised after one request."""
    assert len(run(poller(["1"]), one(lambda _: error(kind)))) == 1


def test_a_missing_task_is_retried_for_ten_seconds() -> None:
    """A missing task is retried within the grace period, and raised after it."""
    gone = error(MissingTaskError)
    late = run(poller(["1"]), one(lambda now: gone if now < MISSING_GRACE / 2 else task("1", "succeeded")))
    assert isinstance(late[-1][1], TaskDone)
    never = run(poller(["1"]), one(lambda _: gone))
    assert never == [(never[-1][0], FetchFailed(gone))]
    assert MISSING_GRACE <= never[-1][0] < 2 * MISSING_GRACE


def test_retry_after_is_honoured_up_to_a_limit() -> None:
    """Retry-After delays all tasks, by at most two minutes."""
    asked: list[tuple[str, float]] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        asked.append((ids[0], now))
        if len(asked) == 1:
            return {ids[0]: error(RateLimitedError, retry_after=50.0)}
        if len(asked) == 2:
            return {ids[0]: error(RateLimitedError, retry_after=100_000.0)}
        return {ids[0]: task(ids[0], "succeeded")}

    run(poller(["1", "2"]), answer)
    assert [now for _, now in asked[:2]] == [0, 50]
    assert asked[2][1] == 50 + LONGEST_PAUSE


def test_retry_after_of_a_200_is_honoured() -> None:
    """Retry-After of a 200 delays the next poll."""
    asked: list[float] = []

    def at(now: float) -> Task:
        asked.append(now)
        exchange = Exchange("GET", "https://relay.example", status=200, headers=(("Retry-After", "77"),))
        return Task(CONTRACT, EXAMPLES["running" if now == 0 else "succeeded"], exchange)

    run(poller(["1730621826053457"]), one(at))
    assert asked == [0, 77]


def test_the_rate_limits_all_tasks_together() -> None:
    """No interval has more requests than the rate and its one-second reserve allow."""
    asked: list[float] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        asked.append(now)
        return {ids[0]: task(ids[0], "running" if now < 100 else "succeeded")}

    events = run(poller([str(n) for n in range(200)], rate=5.0, concurrency=50), answer)
    assert sum(isinstance(event, TaskDone) for _, event in events) == 200
    for moment in range(0, 150, 10):
        assert sum(moment <= now < moment + 10 for now in asked) <= 5 * 10 + 6


def test_concurrency_limits_requests_in_flight() -> None:
    """No request is returned while the maximum number is in flight."""
    machine = poller([str(n) for n in range(10)], concurrency=3)
    steps = [machine.next_request(0.0) for _ in range(5)]
    assert [isinstance(step, PollRequest) for step in steps] == [True, True, True, False, False]
    assert steps[-1] == math.inf


def test_an_error_of_one_task_affects_no_other() -> None:
    """Each id has exactly one final event, whatever happens to the others."""
    kinds = {"1": TransportError, "2": MissingTaskError, "3": WrongTaskError}

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        kind = kinds.get(ids[0])
        return {ids[0]: task(ids[0], "succeeded") if kind is None else error(kind, task_id=ids[0])}

    events = [event for _, event in run(poller(["1", "2", "3", "4", "4"], concurrency=4), answer)]
    assert {event.error.task_id for event in events if isinstance(event, FetchFailed)} == {"1", "2", "3"}
    assert [event.task.id for event in events if isinstance(event, TaskDone)] == ["4"]


def batch(now: float, *, done: float = 40) -> Callable[[tuple[str, ...]], dict[str, Answer]]:
    """A relay that supports batches."""
    return lambda ids: {one: task(one, "running" if now < done else "succeeded") for one in ids}


def test_batches_are_as_large_as_allowed() -> None:
    """A batch has the maximum number of ids, and each task is returned."""
    sizes: list[int] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        sizes.append(len(ids))
        return batch(now)(ids)

    events = run(poller([str(n) for n in range(250)], batch_size=100, concurrency=4), answer)
    assert sizes[:3] == [100, 100, 100], "tasks that are not due fill a batch"
    assert max(sizes) == 100
    assert sum(isinstance(event, TaskDone) for _, event in events) == 250


@pytest.mark.parametrize("kind", [WebPageError, MissingTaskError, EnvelopeError])
def test_batching_stops_if_it_never_works(kind: type[RelayError]) -> None:
    """After three failed batches in a row each task is fetched alone, and returned."""
    sizes: list[int] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer] | RelayError:
        sizes.append(len(ids))
        return error(kind) if len(ids) > 1 else batch(now)(ids)

    events = run(poller([str(n) for n in range(50)], batch_size=10), answer)
    assert sum(isinstance(event, TaskDone) for _, event in events) == 50
    assert sum(size > 1 for size in sizes) == 3


def test_tasks_of_a_failing_batch_are_fetched_alone() -> None:
    """If batches always return a 500, each task is fetched alone, and returned."""
    events = run(
        poller(["1", "2"], batch_size=100),
        lambda ids, now: error(UnavailableError) if len(ids) > 1 else batch(now)(ids),
    )
    assert sum(isinstance(event, TaskDone) for _, event in events) == 2


def test_a_short_outage_does_not_stop_batching() -> None:
    """After a few seconds of errors, batches are used again."""
    sizes: list[int] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer] | RelayError:
        sizes.append(len(ids))
        return error(UnavailableError) if now < 2 else batch(now)(ids)

    run(poller([str(n) for n in range(300)], batch_size=100, concurrency=3), answer)
    assert sizes.count(1) == 0
    assert len(sizes) < 100


@pytest.mark.parametrize("kind", [UnavailableError, RateLimitedError])
def test_retry_after_pauses_all_tasks(kind: type[RelayError]) -> None:
    """Retry-After of one task stops the requests for all others, even before the deadline."""
    asked: list[float] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        asked.append(now)
        return {ids[0]: error(kind, retry_after=100.0)}

    events = run(poller([str(n) for n in range(20)], 60), answer)
    assert asked == [0.0]
    assert all(isinstance(event, FetchFailed) for _, event in events)


def test_retries_may_be_a_million() -> None:
    """The backoff does not overflow after thousands of errors."""
    events = run(poller(["1"], 86_400, retries=10**6), one(lambda _: error(UnavailableError)))
    assert isinstance(events[-1][1], FetchFailed)
    assert isinstance(events[-1][1].error, WaitTimeoutError)


def test_a_401_after_a_task_affects_one_task() -> None:
    """If the key has worked for one task, a 401 for another affects only that one."""
    kinds = {"3": UnauthorizedError}

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        kind = kinds.get(ids[0])
        return {ids[0]: task(ids[0], "succeeded") if kind is None else error(kind, task_id=ids[0])}

    events = [event for _, event in run(poller(["1", "2", "3", "4", "5"]), answer)]
    assert sum(isinstance(event, TaskDone) for event in events) == 4


def test_a_refused_key_ends_all() -> None:
    """A 401 to a batch is the end for each of its tasks, and each error names its own."""
    events = run(poller(["1", "2"], batch_size=100), lambda *_: error(UnauthorizedError))
    errors = [event.error for _, event in events if isinstance(event, FetchFailed)]
    assert [error.task_id for error in errors] == ["1", "2"]


@pytest.mark.parametrize("size", [None, 100])
def test_a_refused_key_is_tried_once(size: int | None) -> None:
    """With many tasks to come, one refusal is enough: none of the others is asked for."""
    asked: list[tuple[str, ...]] = []

    def answer(ids: tuple[str, ...], _: float) -> RelayError:
        asked.append(ids)
        return error(UnauthorizedError)

    events = run(poller([str(n) for n in range(500)], batch_size=size), answer)
    assert len(asked) == 1
    assert {event.error.task_id for _, event in events if isinstance(event, FetchFailed)} == {
        str(n) for n in range(500)
    }


def test_a_large_answer_is_not_kept() -> None:
    """Of an answer without a task only its beginning is remembered: there may be thousands of them."""
    exchange = Exchange("GET", "https://relay.example", status=500, body=b"x" * 1_000_000)
    events = run(poller(["1"], 5), one(lambda _: error(UnavailableError, exchange=exchange)))
    assert isinstance(events[-1][1], FetchFailed)
    kept = events[-1][1].error.exchange
    assert kept is not None
    assert len(kept.body) < 100_000


STATES = st.sampled_from(["queued", "running", "succeeded", "failed"])
ERRORS = st.sampled_from(
    [TransportError, UnavailableError, RateLimitedError, WebPageError, MissingTaskError, UnauthorizedError]
)


@given(
    st.lists(st.lists(st.one_of(STATES, ERRORS), min_size=1, max_size=12), min_size=1, max_size=6),
    st.sampled_from([None, 2, 100]),
    st.integers(1, 4),
)
def test_whatever_comes_each_task_ends_once(
    scripts: list[list[str | type[RelayError]]], size: int | None, concurrency: int
) -> None:
    """For any sequence of results, single or in batches, each id has exactly one final event."""
    turns = {str(n): iter(script) for n, script in enumerate(scripts)}

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        told: dict[str, Answer] = {}
        for task_id in ids:
            turn = next(turns[task_id], "succeeded")
            told[task_id] = task(task_id, turn) if isinstance(turn, str) else error(turn, task_id=task_id)
        return told

    machine = poller(list(turns), 3600, batch_size=size, concurrency=concurrency, rate=10.0)
    ends = [event for _, event in run(machine, answer) if not isinstance(event, TaskUpdated)]
    told = [event.task.id if isinstance(event, TaskDone) else event.error.task_id for event in ends]
    assert sorted(filter(None, told)) == sorted(turns)
