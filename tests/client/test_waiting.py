"""The machine that waits, told the time and the answers: no socket, no sleep, no thread."""

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
    """A task as the relay's page shows it, with another id."""
    return Task(CONTRACT, {**EXAMPLES[state], "id": task_id, **changes})


def waiting(ids: Sequence[str], timeout: float = math.inf, **options: Any) -> Poller:
    """A machine that begins at moment 0, without chance."""
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
    """Drive a machine to its end, each request taking no time at all; what happened, and when."""
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
    raise AssertionError("the machine does not come to an end")


def one(state: Callable[[float], Answer]) -> Callable[[tuple[str, ...], float], dict[str, Answer]]:
    """Answers for a single task by the time."""
    return lambda ids, now: {ids[0]: state(now)}


def error(kind: type[RelayError], **facts: Any) -> RelayError:
    """An error as an answer makes it."""
    return kind("no", relay="zhongzhuan", **facts)


def test_a_task_is_asked_for_at_once_and_until_it_is_done() -> None:
    """The first request goes out without a delay, and the end is the last event."""
    events = run(waiting(["1"]), one(lambda now: task("1", "running" if now < 60 else "succeeded")))
    assert events[0] == (0.0, TaskUpdated(task("1")))
    assert events[-1][1] == TaskDone(task("1", "succeeded"))
    assert events[-1][0] < 75


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_what_is_done_needs_one_request(state: str) -> None:
    """A task that is over when it is asked for is not asked for again."""
    assert run(waiting(["1"]), one(lambda _: task("1", state))) == [(0.0, TaskDone(task("1", state)))]


@pytest.mark.parametrize("word", ["MODAL", "CANCEL"])
def test_a_task_that_needs_input_or_was_cancelled_is_over(word: str) -> None:
    """Nothing is waited for that only a person can bring."""
    events = run(waiting(["1"]), one(lambda _: task("1", status=word)))
    assert len(events) == 1
    assert isinstance(events[0][1], TaskDone)


def test_only_changes_are_told() -> None:
    """An answer like the last one is no event, and a link that was only signed anew is like the last one."""

    def at(now: float) -> Task:
        url = f"https://cdn.example/a.webp?rand={now}"
        return task("1", "running", imageUrl=url) if now < 100 else task("1", "succeeded")

    assert [type(event) for _, event in run(waiting(["1"]), one(at))] == [TaskUpdated, TaskDone]


def test_the_deadline_tells_the_last_that_was_seen_and_how_to_go_on() -> None:
    """At the deadline the error carries the last snapshot, the id, and the command that goes on."""
    events = run(waiting(["1"], 120), one(lambda _: task("1")))
    moment, last = events[-1]
    assert moment == 120
    assert isinstance(last, FetchFailed)
    assert isinstance(last.error, WaitTimeoutError)
    assert last.error.task == task("1")
    assert last.error.task_id == "1"
    assert "was running at 31 % after 120 seconds" in str(last.error)
    assert "mjrelay wait zhongzhuan 1" in str(last.error)


def test_a_last_look_is_taken_before_the_deadline() -> None:
    """A task that ends shortly before the deadline is not missed for want of a request."""
    events = run(waiting(["1"], 30), one(lambda now: task("1", "running" if now < 28.5 else "succeeded")))
    assert isinstance(events[-1][1], TaskDone)


def test_an_unknown_word_is_said_once_and_waited_on(caplog: pytest.LogCaptureFixture) -> None:
    """A status that the contract does not know is logged once, without secrets, and never ends the wait."""
    strange = task("1", status="PAUSED sk-never-to-be-seen")
    with caplog.at_level(logging.DEBUG):
        events = run(waiting(["1"], 300), one(lambda _: strange))
    assert strange.state is State.UNKNOWN
    assert isinstance(events[-1][1], FetchFailed)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "PAUSED [redacted]" in caplog.text


@pytest.mark.parametrize("kind", [TransportError, UnavailableError, RateLimitedError])
def test_passing_trouble_is_borne_up_to_a_number(kind: type[RelayError]) -> None:
    """Eight troubles in a row are borne with growing pauses, the ninth is the error; the task is in it."""
    asked: list[float] = []

    def at(now: float) -> Answer:
        asked.append(now)
        return task("1") if now == 0 else error(kind)

    events = run(waiting(["1"]), one(at))
    assert isinstance(events[-1][1], FetchFailed)
    assert isinstance(events[-1][1].error, kind)
    assert events[-1][1].error.task == task("1")
    assert len(asked) == 1 + 9
    pauses = [after - before for before, after in itertools.pairwise(asked[1:])]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


def test_an_answer_resets_the_count() -> None:
    """Trouble counts in a row only: every second answer is one, and the task is had all the same."""
    turns = iter(range(1000))

    def at(now: float) -> Answer:
        if next(turns) % 2:
            return error(UnavailableError)
        return task("1", "running" if now < 500 else "succeeded")

    assert isinstance(run(waiting(["1"]), one(at))[-1][1], TaskDone)


@pytest.mark.parametrize("kind", [WebPageError, EnvelopeError])
def test_who_never_saw_the_task_is_less_patient(kind: type[RelayError]) -> None:
    """Where no answer was ever a task the base URL is likely wrong, and that is told within seconds."""
    events = run(waiting(["1"]), one(lambda _: error(kind)))
    assert isinstance(events[-1][1], FetchFailed)
    assert events[-1][0] < 10
    seen = run(waiting(["1"]), one(lambda now: task("1") if now == 0 else error(kind)))
    assert seen[-1][0] > 60


@pytest.mark.parametrize("kind", [UnauthorizedError, WrongTaskError])
def test_a_refusal_is_final(kind: type[RelayError]) -> None:
    """What asking again cannot mend is raised at once."""
    assert len(run(waiting(["1"]), one(lambda _: error(kind)))) == 1


def test_a_new_task_may_be_unknown_for_a_while() -> None:
    """Within the grace a task that is not there is asked for again; after it the error is raised."""
    gone = error(MissingTaskError)
    late = run(waiting(["1"]), one(lambda now: gone if now < MISSING_GRACE / 2 else task("1", "succeeded")))
    assert isinstance(late[-1][1], TaskDone)
    never = run(waiting(["1"]), one(lambda _: gone))
    assert never == [(never[-1][0], FetchFailed(gone))]
    assert MISSING_GRACE <= never[-1][0] < 2 * MISSING_GRACE


def test_retry_after_wins_and_has_a_limit() -> None:
    """The pause that a relay asks for is kept, also by the other tasks, but no longer than two minutes."""
    asked: list[tuple[str, float]] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        asked.append((ids[0], now))
        if len(asked) == 1:
            return {ids[0]: error(RateLimitedError, retry_after=50.0)}
        if len(asked) == 2:
            return {ids[0]: error(RateLimitedError, retry_after=100_000.0)}
        return {ids[0]: task(ids[0], "succeeded")}

    run(waiting(["1", "2"]), answer)
    assert [now for _, now in asked[:2]] == [0, 50]
    assert asked[2][1] == 50 + LONGEST_PAUSE


def test_retry_after_of_a_good_answer_is_kept() -> None:
    """A relay that says with a 200 when to come again is not asked before."""
    asked: list[float] = []

    def at(now: float) -> Task:
        asked.append(now)
        exchange = Exchange("GET", "https://relay.example", status=200, headers=(("Retry-After", "77"),))
        return Task(CONTRACT, EXAMPLES["running" if now == 0 else "succeeded"], exchange)

    run(waiting(["1730621826053457"]), one(at))
    assert asked == [0, 77]


def test_the_rate_is_kept_over_all_tasks() -> None:
    """No second holds more requests than the budget and its one-second reserve allow."""
    asked: list[float] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        asked.append(now)
        return {ids[0]: task(ids[0], "running" if now < 100 else "succeeded")}

    events = run(waiting([str(n) for n in range(200)], rate=5.0, concurrency=50), answer)
    assert sum(isinstance(event, TaskDone) for _, event in events) == 200
    for moment in range(0, 150, 10):
        assert sum(moment <= now < moment + 10 for now in asked) <= 5 * 10 + 6


def test_no_more_in_flight_than_allowed() -> None:
    """The machine asks for nothing more while as many answers are due as may be in flight."""
    machine = waiting([str(n) for n in range(10)], concurrency=3)
    steps = [machine.next_request(0.0) for _ in range(5)]
    assert [isinstance(step, PollRequest) for step in steps] == [True, True, True, False, False]
    assert steps[-1] == math.inf


def test_one_bad_task_loses_no_other() -> None:
    """Each id is told of exactly once, whatever becomes of the others."""
    kinds = {"1": TransportError, "2": MissingTaskError, "3": WrongTaskError}

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        kind = kinds.get(ids[0])
        return {ids[0]: task(ids[0], "succeeded") if kind is None else error(kind, task_id=ids[0])}

    events = [event for _, event in run(waiting(["1", "2", "3", "4", "4"], concurrency=4), answer)]
    assert {event.error.task_id for event in events if isinstance(event, FetchFailed)} == {"1", "2", "3"}
    assert [event.task.id for event in events if isinstance(event, TaskDone)] == ["4"]


def batch(now: float, *, done: float = 40) -> Callable[[tuple[str, ...]], dict[str, Answer]]:
    """A relay that answers for several at once."""
    return lambda ids: {one: task(one, "running" if now < done else "succeeded") for one in ids}


def test_many_are_asked_for_at_once() -> None:
    """Where the relay takes several ids a request holds as many as it may, and each task is told of."""
    sizes: list[int] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        sizes.append(len(ids))
        return batch(now)(ids)

    events = run(waiting([str(n) for n in range(250)], batch_size=100, concurrency=4), answer)
    assert sizes[:3] == [100, 100, 100], "what is not due fills up what is sent anyway"
    assert max(sizes) == 100
    assert sum(isinstance(event, TaskDone) for _, event in events) == 250


@pytest.mark.parametrize("kind", [WebPageError, MissingTaskError, EnvelopeError])
def test_a_relay_that_takes_no_batches_is_asked_one_by_one(kind: type[RelayError]) -> None:
    """After three batches in a row that fail each task is fetched alone, and none is lost."""
    sizes: list[int] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer] | RelayError:
        sizes.append(len(ids))
        return error(kind) if len(ids) > 1 else batch(now)(ids)

    events = run(waiting([str(n) for n in range(50)], batch_size=10), answer)
    assert sum(isinstance(event, TaskDone) for _, event in events) == 50
    assert sum(size > 1 for size in sizes) == 3


def test_a_batch_that_breaks_again_and_again_loses_none() -> None:
    """Where batches always end in a 500, each task is asked for alone before it is lost, and is had."""
    events = run(
        waiting(["1", "2"], batch_size=100),
        lambda ids, now: error(UnavailableError) if len(ids) > 1 else batch(now)(ids),
    )
    assert sum(isinstance(event, TaskDone) for _, event in events) == 2


def test_a_passing_outage_does_not_end_batches() -> None:
    """After a few seconds of trouble several ids go into one request again."""
    sizes: list[int] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer] | RelayError:
        sizes.append(len(ids))
        return error(UnavailableError) if now < 2 else batch(now)(ids)

    run(waiting([str(n) for n in range(300)], batch_size=100, concurrency=3), answer)
    assert sizes.count(1) == 0
    assert len(sizes) < 100


@pytest.mark.parametrize("kind", [UnavailableError, RateLimitedError])
def test_a_pause_that_a_relay_asks_for_holds_for_all(kind: type[RelayError]) -> None:
    """`Retry-After` of one task stops the requests for all others, and no last call breaks it."""
    asked: list[float] = []

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        asked.append(now)
        return {ids[0]: error(kind, retry_after=100.0)}

    events = run(waiting([str(n) for n in range(20)], 60), answer)
    assert asked == [0.0]
    assert all(isinstance(event, FetchFailed) for _, event in events)


def test_a_great_number_of_retries_is_borne() -> None:
    """Thousands of troubles in a row are no trouble for the arithmetic."""
    events = run(waiting(["1"], 86_400, retries=10**6), one(lambda _: error(UnavailableError)))
    assert isinstance(events[-1][1], FetchFailed)
    assert isinstance(events[-1][1].error, WaitTimeoutError)


def test_one_refusal_among_tasks_that_were_had_loses_no_other() -> None:
    """Once the key was good for a task, a 401 for another is that one's alone."""
    kinds = {"3": UnauthorizedError}

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        kind = kinds.get(ids[0])
        return {ids[0]: task(ids[0], "succeeded") if kind is None else error(kind, task_id=ids[0])}

    events = [event for _, event in run(waiting(["1", "2", "3", "4", "5"]), answer)]
    assert sum(isinstance(event, TaskDone) for event in events) == 4


def test_a_refused_key_ends_all() -> None:
    """A 401 to a batch is the end for each of its tasks, and each error names its own."""
    events = run(waiting(["1", "2"], batch_size=100), lambda *_: error(UnauthorizedError))
    errors = [event.error for _, event in events if isinstance(event, FetchFailed)]
    assert [error.task_id for error in errors] == ["1", "2"]


@pytest.mark.parametrize("size", [None, 100])
def test_a_refused_key_is_tried_once(size: int | None) -> None:
    """With many tasks to come, one refusal is enough: none of the others is asked for."""
    asked: list[tuple[str, ...]] = []

    def answer(ids: tuple[str, ...], _: float) -> RelayError:
        asked.append(ids)
        return error(UnauthorizedError)

    events = run(waiting([str(n) for n in range(500)], batch_size=size), answer)
    assert len(asked) == 1
    assert {event.error.task_id for _, event in events if isinstance(event, FetchFailed)} == {
        str(n) for n in range(500)
    }


def test_a_large_answer_is_not_kept() -> None:
    """Of an answer without a task only its beginning is remembered: there may be thousands of them."""
    exchange = Exchange("GET", "https://relay.example", status=500, body=b"x" * 1_000_000)
    events = run(waiting(["1"], 5), one(lambda _: error(UnavailableError, exchange=exchange)))
    assert isinstance(events[-1][1], FetchFailed)
    kept = events[-1][1].error.exchange
    assert kept is not None
    assert len(kept.body) < 100_000


STATES = st.sampled_from(["queued", "running", "succeeded", "failed"])
TROUBLE = st.sampled_from(
    [TransportError, UnavailableError, RateLimitedError, WebPageError, MissingTaskError, UnauthorizedError]
)


@given(
    st.lists(st.lists(st.one_of(STATES, TROUBLE), min_size=1, max_size=12), min_size=1, max_size=6),
    st.sampled_from([None, 2, 100]),
    st.integers(1, 4),
)
def test_whatever_comes_each_task_ends_once(
    scripts: list[list[str | type[RelayError]]], size: int | None, concurrency: int
) -> None:
    """For any script of answers, singly or in batches, each id ends or is lost exactly once."""
    turns = {str(n): iter(script) for n, script in enumerate(scripts)}

    def answer(ids: tuple[str, ...], now: float) -> dict[str, Answer]:
        told: dict[str, Answer] = {}
        for task_id in ids:
            turn = next(turns[task_id], "succeeded")
            told[task_id] = task(task_id, turn) if isinstance(turn, str) else error(turn, task_id=task_id)
        return told

    machine = waiting(list(turns), 3600, batch_size=size, concurrency=concurrency, rate=10.0)
    ends = [event for _, event in run(machine, answer) if not isinstance(event, TaskUpdated)]
    told = [event.task.id if isinstance(event, TaskDone) else event.error.task_id for event in ends]
    assert sorted(filter(None, told)) == sorted(turns)
