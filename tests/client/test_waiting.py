"""The polling state machine, in simulated time: when it polls a task, and when it stops."""

from __future__ import annotations

import copy
import itertools
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import CONTRACT, SECRET, Result, Simulation, error, task

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
from mjrelay.client.events import TaskDone, TaskUpdated
from mjrelay.client.pending import LONGEST_PAUSE, MISSING_GRACE
from mjrelay.client.polling import Poller
from mjrelay.client.schedule import RefreshModel
from mjrelay.contract import Contract
from mjrelay.http import Exchange, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable


def ids(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def until(end: float, before: str | RelayError = "running", after: str = "succeeded") -> Simulation:
    """A relay that returns one state or error before a time and another state after it."""

    def respond(requested: tuple[str, ...], now: float) -> dict[str, Result] | Result:
        if now < end and isinstance(before, RelayError):
            return before
        state = before if now < end and isinstance(before, str) else after
        return {one: task(one, state) for one in requested}

    return Simulation(respond)


def in_turn(*results: str | RelayError, last: str | RelayError = "succeeded") -> Simulation:
    """A relay that returns these results in turn, and then the last one."""
    turns = iter(results)

    def respond(requested: tuple[str, ...], _: float) -> Result:
        result = next(turns, last)
        return task(requested[0], result) if isinstance(result, str) else copy.copy(result)

    return Simulation(respond)


# --- one task ---


def test_the_first_poll_is_immediate_and_the_last_is_the_end() -> None:
    """The first request is sent without delay, and the final state is the last event."""
    events = until(60).run(["1"]).events
    assert events[0] == (0.0, TaskUpdated(task("1")))
    assert events[-1][1] == TaskDone(task("1", "succeeded"))
    assert events[-1][0] < 75


def test_an_ended_task_needs_one_request() -> None:
    """A task that has ended, needs input or was cancelled is polled once."""
    for ended in (
        *(task("1", "succeeded"), task("1", "failed")),
        *(task("1", status="MODAL"), task("1", status="CANCEL")),
    ):
        assert Simulation(lambda *_, ended=ended: ended).run(["1"]).events == [(0.0, TaskDone(ended))]


def test_only_changes_are_events() -> None:
    """An equal response is no event, nor is a URL with a new signature."""

    def respond(_: tuple[str, ...], now: float) -> Task:
        url = f"https://cdn.example/a.webp?rand={now}"
        return task("1", "running", imageUrl=url) if now < 100 else task("1", "succeeded")

    assert [type(event) for _, event in Simulation(respond).run(["1"]).events] == [TaskUpdated, TaskDone]


def test_the_timeout_has_the_last_snapshot_and_its_reason() -> None:
    """The error has the last snapshot, the id, and the reason of a failure, redacted."""
    stuck = task("1", failReason=f"no slot for {SECRET}")
    relay = Simulation(lambda *_: stuck).run(["1"], 120)
    (timeout,) = relay.lost.values()
    assert relay.now == 120
    assert isinstance(timeout, WaitTimeoutError)
    assert (timeout.task, timeout.task_id) == (stuck, "1")
    assert "was running at 31 % (no slot for [redacted]) after 120 seconds" in str(timeout)


def test_the_last_poll_is_shortly_before_the_deadline() -> None:
    """A task that ends shortly before the deadline is returned."""
    assert until(28.5).run(["1"], 30).ended == {"1": 1}


def test_a_queued_task_is_polled_once_per_refresh() -> None:
    """On a relay that refreshes every 15 s, ten minutes in the queue take about forty requests."""
    relay = until(600, "queued").run(["1"], model=RefreshModel(15))
    assert len(relay.sent) <= 600 / 15 + 5


def test_an_unknown_status_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A status that is not in the contract is logged once, redacted, and does not end the wait."""
    strange = task("1", status=f"PAUSED {SECRET}")
    with caplog.at_level(logging.WARNING):
        relay = Simulation(lambda *_: strange).run(["1"], 300)
    assert strange.state is State.UNKNOWN
    assert isinstance(relay.lost["1"], WaitTimeoutError)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "PAUSED [redacted]" in caplog.text


# --- a failure that the status does not show ---


def with_inferred_failure() -> Contract:
    """The contract, in which an empty status with a reason means failed, although empty means queued."""
    document = copy.deepcopy(CONTRACT.document)
    contract = Contract("made", document, Path("made.yaml"))
    form = contract.operation["x-mj-task"]
    where = {"$.status": ["", None], "$.failReason": {"match": ".+"}}
    form["states"]["failed"] = [*form["states"]["failed"], {"where": where}]
    return Contract("made", document, Path("made.yaml"))


@pytest.mark.parametrize("refresh", [None, 15.0])
def test_an_inferred_failure_is_confirmed(refresh: float | None) -> None:
    """It ends the wait once two responses show it, a refresh apart; if the task starts, it is forgotten."""
    contract = with_inferred_failure()
    refused = Task(contract, {**task("1", "queued").document, "status": "", "failReason": "queue full"})
    running = Task(contract, task("1").document)
    assert (refused.state, refused.failure) == (State.FAILED, "queue full")

    relay = Simulation(lambda *_: refused)
    relay.run(["1"], contract=contract, model=RefreshModel(refresh))
    assert len(relay.sent) == 2
    assert (refresh or 2) <= relay.now <= (refresh or 2) + 5

    relay = Simulation(lambda _, now: running if 10 < now < 40 else refused)
    relay.run(["1"], contract=contract, model=RefreshModel(15.0))
    assert relay.now >= 40 + 15

    relay = Simulation(lambda *_: refused).run(["1"], contract=contract, once=True)
    assert len(relay.sent) == 1


# --- errors ---


@pytest.mark.parametrize("kind", [TransportError, UnavailableError, RateLimitedError])
def test_transient_errors_are_retried_with_backoff(kind: type[RelayError]) -> None:
    """Eight transient errors in a row are retried, the ninth is raised with the last snapshot."""
    relay = in_turn("running", last=error(kind)).run(["1"])
    assert type(relay.lost["1"]) is kind
    assert relay.lost["1"].task == task("1")
    assert len(relay.sent) == 1 + 9
    pauses = [after - before for before, after in itertools.pairwise(relay.times[1:])]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


def test_a_success_resets_the_retries() -> None:
    """Only consecutive errors count: with an error in every second response, the task is returned."""
    assert in_turn(*("running", error(UnavailableError)) * 30).run(["1"]).ended == {"1": 1}


@pytest.mark.parametrize("kind", [WebPageError, EnvelopeError])
def test_fewer_retries_before_the_first_task(kind: type[RelayError]) -> None:
    """If no response was a task, the base URL is probably wrong: the error is raised within seconds."""
    assert in_turn(last=error(kind)).run(["1"]).now < 10
    assert in_turn("running", last=error(kind)).run(["1"]).now > 60


def test_another_task_counts_as_the_first() -> None:
    """If the relay has returned a task, in this wait or an earlier one, another id has all its retries."""
    script = [error(UnavailableError), error(UnavailableError), error(WebPageError)]
    assert in_turn(*script).run(["1"]).lost.keys() == {"1"}
    turns = iter(script)

    def respond(requested: tuple[str, ...], _: float) -> Result:
        late = next(turns, None) if requested == ("9",) else None
        return late or task(requested[0], "succeeded")

    assert len(Simulation(respond).run(ids(10)).ended) == 10
    model = RefreshModel(None)
    in_turn().run(["0"], model=model)
    assert in_turn(*script).run(["1"], model=model).ended == {"1": 1}


def test_a_misrouted_response_is_transient_after_a_task() -> None:
    """Another task than the requested one ends a wait only if no task was ever returned."""
    wrong = error(WrongTaskError)
    assert in_turn("running", wrong, wrong, "running").run(["1"]).ended == {"1": 1}
    assert len(in_turn("running", last=wrong).run(["1"]).sent) == 1 + 9
    assert len(in_turn(last=wrong).run(["1"]).sent) == 1


def test_a_refused_key_is_final() -> None:
    """A 401 is raised after one request."""
    assert len(in_turn(last=error(UnauthorizedError)).run(["1"]).sent) == 1


def test_a_missing_task_is_retried_for_ten_seconds() -> None:
    """A missing task is retried within the grace period, and raised after it."""
    missing = error(MissingTaskError)
    assert until(MISSING_GRACE / 2, missing).run(["1"]).ended == {"1": 1}
    never = until(math.inf, missing).run(["1"])
    assert [type(one) for one in never.lost.values()] == [MissingTaskError]
    assert MISSING_GRACE <= never.now < 2 * MISSING_GRACE


def test_retries_may_be_a_million() -> None:
    """The backoff does not overflow after thousands of errors."""
    relay = in_turn(last=error(UnavailableError)).run(["1"], 86_400, retries=10**6)
    assert isinstance(relay.lost["1"], WaitTimeoutError)


def test_a_large_body_is_not_kept() -> None:
    """Of a failed response only the start is kept: there may be thousands of them."""
    exchange = Exchange("GET", "https://relay.example", status=500, body=b"x" * 1_000_000)
    relay = in_turn(last=error(UnavailableError, exchange=exchange)).run(["1"], 5)
    kept = relay.lost["1"].exchange
    assert kept is not None
    assert len(kept.body) < 100_000


# --- Retry-After and rates ---


def test_retry_after_is_honoured_up_to_a_limit() -> None:
    """Retry-After delays all tasks, by at most two minutes."""
    limited = [error(RateLimitedError, retry_after=seconds) for seconds in (50.0, 100_000.0)]
    relay = in_turn(*limited).run(["1", "2"])
    assert relay.times == [0, 50, 50 + LONGEST_PAUSE, 50 + LONGEST_PAUSE]


def test_retry_after_of_a_200_is_honoured() -> None:
    """Retry-After of a 200 delays the next poll."""
    exchange = Exchange("GET", "https://relay.example", status=200, headers=(("Retry-After", "77"),))

    def respond(_: tuple[str, ...], now: float) -> Task:
        return Task(CONTRACT, task("1", "running" if now == 0 else "succeeded").document, exchange)

    assert Simulation(respond).run(["1"]).times == [0, 77]


@pytest.mark.parametrize("kind", [UnavailableError, RateLimitedError])
def test_retry_after_pauses_all_tasks(kind: type[RelayError]) -> None:
    """Retry-After of one task stops the requests for all others, even until the deadline."""
    relay = in_turn(last=error(kind, retry_after=100.0)).run(ids(20), 60)
    assert relay.times == [0.0]
    assert relay.lost.keys() == set(ids(20))


def test_the_rate_limits_all_tasks_together() -> None:
    """No interval has more requests than the rate and its one-second reserve allow."""
    relay = until(100).run(ids(200), rate=5.0, concurrency=50)
    assert len(relay.ended) == 200
    for moment in range(0, 150, 10):
        assert sum(moment <= now < moment + 10 for now in relay.times) <= 5 * 10 + 6


def test_concurrency_limits_requests_in_flight() -> None:
    """No request is returned while the maximum number is in flight."""
    poller = Poller(CONTRACT, RefreshModel(None), Redactor(), 0.0, 0.0, concurrency=3)
    for task_id in ids(10):
        poller.add(task_id, 0.0)
    steps = [poller.next_request(0.0) for _ in range(5)]
    assert steps == [("0",), ("1",), ("2",), math.inf, math.inf]


# --- many tasks ---


def by_id(errors: dict[str, type[RelayError]]) -> Simulation:
    """A relay that returns these errors, and every other task."""

    def respond(requested: tuple[str, ...], _: float) -> Result:
        kind = errors.get(requested[0])
        return task(requested[0], "succeeded") if kind is None else error(kind, task_id=requested[0])

    return Simulation(respond)


def test_an_error_of_one_task_affects_no_other() -> None:
    """Each id has exactly one final event, whatever happens to the others."""
    relay = by_id({"1": TransportError, "2": MissingTaskError, "3": WebPageError})
    relay.run(["1", "2", "3", "4", "4"], concurrency=4)
    assert (set(relay.lost), relay.ended) == ({"1", "2", "3"}, {"4": 1})


def test_a_401_after_a_task_affects_one_task() -> None:
    """If the key has worked for one task, a 401 for another affects only that one."""
    assert len(by_id({"3": UnauthorizedError}).run(ids(5)).ended) == 4


@pytest.mark.parametrize("size", [None, 100])
def test_a_refused_key_is_tried_once(size: int | None) -> None:
    """A 401 before the first task ends all tasks without further requests, each with its own id."""
    relay = in_turn(last=error(UnauthorizedError)).run(ids(500), batch_size=size)
    assert len(relay.sent) == 1
    assert relay.lost.keys() == set(ids(500))


KINDS = [
    *(TransportError, UnavailableError, RateLimitedError, WebPageError, MissingTaskError),
    *(UnauthorizedError, WrongTaskError),
]
RESULTS = st.sampled_from(["queued", "running", "succeeded", "failed", *KINDS])


@given(
    st.lists(st.lists(RESULTS, min_size=1, max_size=12), min_size=1, max_size=6),
    st.sampled_from([None, 2, 100]),
    st.integers(1, 4),
)
def test_each_task_ends_once(
    scripts: list[list[str | type[RelayError]]], size: int | None, concurrency: int
) -> None:
    """For any sequence of results, single or in batches, each id has exactly one final event."""
    turns = {str(n): iter(script) for n, script in enumerate(scripts)}

    def results(requested: Iterable[str]) -> dict[str, Result]:
        steps = {one: next(turns[one], "succeeded") for one in requested}
        return {
            one: task(one, step) if isinstance(step, str) else error(step, task_id=one)
            for one, step in steps.items()
        }

    relay = Simulation(lambda requested, _: results(requested))
    relay.run(turns, 3600, batch_size=size, concurrency=concurrency, rate=10.0)
    assert sorted([*relay.ended.elements(), *relay.lost]) == sorted(turns)
