"""The schedule: few polls of a pending task and a small lag, for any kind of progress."""

from __future__ import annotations

import math
import sys
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import astuple
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.waiting import BATCH, LAWS, RELAYS, Refreshing, simulate
from mjrelay.client.schedule import RefreshModel, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED = 20_011
"""Differs from the benchmark's."""


def delays(
    *polls: tuple[float, int | None], model: RefreshModel | None = None, clock_error: float = 0.0
) -> list[float]:
    """The delays after polls of a task that started at 0: times and percentages, without jitter."""
    schedule, model = Schedule(), model or RefreshModel(None)
    return [
        schedule.observe(now, model, progress=progress, age=now + clock_error, changed=True)
        for now, progress in polls
    ]


def with_ticks(model: RefreshModel, *ticks: float, reach: float = 1.0) -> RefreshModel:
    """The model, after a change from shortly before to shortly after each of these moments."""
    for tick in ticks:
        model.add_change(tick - reach, tick + reach)
    return model


def row(law: str, relay: Refreshing, *, tasks: int = 300, size: int = 1) -> dict[str, Any]:
    """What the simulation measures of one law of progress on one relay."""
    (only,) = simulate(SEED, tasks, laws={law: LAWS[law]}, relays={"": relay}, size=size)
    return only


# --- the targets ---

TARGETS = {"linear": 0.5, "jumps": 0.5, "random jumps": 0.5, "stalls": 0.75, "none": 1.0, "zero": 1.0}


def stressed(laws: Iterable[str], *in_gate: str) -> list[Any]:
    """Parameters of which the default run has only some."""
    return [law if law in in_gate else pytest.param(law, marks=pytest.mark.stress) for law in laws]


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("law", stressed(TARGETS, "jumps", "none"))
def test_fewer_requests_and_no_more_lag_than_a_fixed_interval(law: str, relay: str) -> None:
    """Each law of progress keeps its target, on a relay with fresh data and on one that refreshes."""
    # Ticks decide the lag on the other relay, and fewer tasks show it.
    measured = row(law, RELAYS[relay], tasks=700 if RELAYS[relay].documented is None else 400)
    assert measured["ratio"] <= TARGETS[law]
    assert measured["median"] <= measured["fixed_median"]
    assert measured["p95"] <= measured["fixed_p95"]


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("law", stressed(["stalls", "none"], "none"))  # the laws with the smallest margin
def test_batches_take_a_fiftieth_of_the_requests(law: str, relay: str) -> None:
    """With a hundred ids in one request, there are at most a fiftieth of the requests, at no more lag."""
    measured = row(law, RELAYS[relay], tasks=1000, size=BATCH)
    assert measured["ratio"] <= 1 / 50
    assert measured["median"] <= measured["fixed_median"]
    assert measured["p95"] <= measured["fixed_p95"]


@pytest.mark.stress
@pytest.mark.parametrize(
    "relay", [Refreshing(15, 15.2), Refreshing(15, 15.4), Refreshing(15, 15, variation=0.5)]
)
@pytest.mark.parametrize("law", ["linear", "none"])
def test_drifting_intervals_are_followed(law: str, relay: Refreshing) -> None:
    """Intervals a little longer than documented save as many requests."""
    measured = row(law, relay)
    assert measured["ratio"] <= 0.6
    assert measured["median"] <= measured["fixed_median"]
    assert measured["p95"] <= measured["fixed_p95"]


@pytest.mark.parametrize("relay", [Refreshing(15), Refreshing(15, 18), Refreshing(15, 15, variation=3)])
@pytest.mark.parametrize("law", stressed(["linear", "jumps", "stalls"], "jumps"))
def test_a_wrong_interval_in_the_contract_costs_little(law: str, relay: Refreshing) -> None:
    """A relay that refreshes at other times than documented is polled less often and hardly later."""
    measured = row(law, relay, tasks=500)
    assert measured["ratio"] <= 0.75
    assert measured["median"] <= measured["fixed_median"]
    assert measured["p95"] <= 2 * measured["fixed_p95"]


# --- any input ---

POLLS = st.tuples(
    st.sampled_from([0, 1]),
    st.floats(0, 1e6),
    st.none() | st.integers(-5, 105) | st.integers(),
    st.none() | st.floats(allow_nan=True),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(refresh=st.none() | st.floats(0.1, 1e4), polls=st.lists(POLLS, max_size=40))
def test_every_delay_is_finite_positive_and_bounded(refresh: float | None, polls: list[Any]) -> None:
    """For any responses, no delay is below 2 s or beyond what the time watched and the refresh justify."""
    model, random = RefreshModel(refresh), Random(1)
    tasks = [Schedule(), Schedule()]
    first: dict[int, float] = {}
    now = 0.0
    for which, step, progress, age, changed, queued, done in polls:
        now += step
        if done:
            tasks[which].conclude(now, model)
        delay = tasks[which].observe(
            now, model, progress=progress, age=age, changed=changed, queued=queued, jitter=random.random()
        )
        watched = now - first.setdefault(which, now)
        assert 2 <= delay <= 8 + 0.6 * watched + 2 * (refresh or 0)


@pytest.mark.parametrize("age", [None, math.nan, math.inf, -math.inf, -1.0])
def test_progress_counts_without_a_start(age: float | None) -> None:
    """Without a possible start, progress is counted from the last response without it."""
    schedule = Schedule()
    for now, progress in ((0.0, 0), (50.0, 0), (60.0, 10), (70.0, 20)):
        delay = schedule.observe(now, RefreshModel(None), progress=progress, age=age, changed=True)
    assert 70 + delay == pytest.approx(70 + 0.5 * 70, abs=4)


def test_a_wrong_clock_costs_little() -> None:
    """A relay's clock that is wrong by minutes or an hour neither moves the end nor hides jumps."""
    for wrong in (60.0, 3600.0):
        *_, delay = delays((0.0, 0), (40.0, 20), (80.0, 40), (150.0, 75), clock_error=wrong)
        assert 198 <= 150 + delay <= 204
    jumps = [(0.0, 0), (98.0, 0), (100.0, 25), (198.0, 25), (200.0, 50), (260.0, 50)]
    assert delays(*jumps, clock_error=3600)[-1] <= 0.3 * 260 + 4


def test_a_schedule_is_small_and_plain() -> None:
    """Ten thousand tasks may wait: a schedule is numbers only, within 400 bytes."""
    schedule, random, model = Schedule(), Random(SEED), RefreshModel(None)
    for turn in range(50):
        age = 10.1 * turn
        schedule.observe(random.random() + 10 * turn, model, progress=2 * turn, age=age, changed=True)
    numbers = astuple(schedule)
    assert all(type(value) in {int, float} for value in numbers)
    assert not hasattr(schedule, "__dict__")
    sizes = [sys.getsizeof(value) for value in numbers if type(value) is float]
    assert sys.getsizeof(schedule) + sum(sizes) <= 400


def test_jitter_separates_equal_tasks() -> None:
    """Two tasks with equal responses are polled a little apart."""
    sooner, later = (
        Schedule().observe(0, RefreshModel(None), progress=None, age=None, changed=False, jitter=jitter)
        for jitter in (0.0, 0.99)
    )
    assert sooner < later <= 1.05 * sooner


def test_a_queued_task_is_polled_once_per_refresh() -> None:
    """After a first refresh with three polls, they are a refresh apart, but not once the task has started."""
    for refresh, queued, expected in (
        (15, True, [5, 5, 5, 15, 15, 15]),
        (15, False, [3.6] * 6),
        (None, True, [3.6] * 6),
    ):
        model, schedule, now, found = RefreshModel(refresh), Schedule(), 0.0, []
        for _ in expected:
            delay = schedule.observe(now, model, progress=0, age=None, changed=False, queued=queued)
            found.append(delay)
            now += delay
        assert found == pytest.approx(expected)


# --- progress of the task ---

STEADY = ((0.0, 0), (40.0, 20), (80.0, 40), (150.0, 75))


def test_steady_progress_is_polled_at_its_end() -> None:
    """Steady progress near its end is polled at the end; a response without progress changes nothing."""
    for polls in (STEADY, (*STEADY[:3], (100.0, None), STEADY[3])):
        assert 200 - 2 <= 150 + delays(*polls)[-1] <= 200


def test_a_delay_is_limited_to_half_the_time_watched() -> None:
    """However far the end appears, a task that was watched for 20 s is polled within 14 s."""
    assert delays((0, 0), (10, 1), (20, 2))[-1] <= 14


def test_jumps_differ_from_steady_progress() -> None:
    """If progress stands still and jumps, the end is predicted from the jumps, not from a line."""
    *_, standing, jumped = delays((0, 0), (98, 0), (100, 25), (140, 25), (200, 50))
    assert standing <= 0.3 * 140 + 4
    assert jumped <= 0.3 * 200 + 4


def test_a_late_end_is_polled_closely() -> None:
    """If progress stalls beyond the predicted end, polls are close together."""
    assert delays((0, 0), (50, 46), (100, 93), (120, 93))[-1] < 5


def test_late_progress_is_trusted_less() -> None:
    """A task that shows nothing for long and then hurries is polled more closely, also after that."""
    late = [(0.0, 0), (60.0, 0), (64.0, 20), (72.0, 60), (80.0, 62), (88.0, 64)]
    *_, hurrying, _, slower = delays(*late)
    assert 72 + hurrying <= 72 + 0.12 * 72 + 4
    assert slower <= 0.12 * 88 + 4


def test_a_new_start_resets_the_bounds() -> None:
    """If the relay starts a task anew, earlier bounds do not delay the next poll."""
    schedule, model = Schedule(), RefreshModel(None)
    for now, progress in STEADY:
        schedule.observe(now, model, progress=progress, age=now, changed=True)
    assert schedule.observe(160, model, progress=1, age=3.0, changed=True) < 5


# --- when the relay refreshes ---


def test_a_tick_is_found_from_several_changes() -> None:
    """Intersected windows are narrower than each, and contain the tick."""
    model = RefreshModel(20)
    assert model.tick(0) is None
    model.add_change(97, 104)
    model.add_change(119, 126)
    early, late = model.tick(126) or (0, 0)
    assert 138 <= early < late <= 146


def test_a_change_within_more_than_an_interval_is_ignored() -> None:
    """Two responses further apart than the interval do not show a tick."""
    model = RefreshModel(20)
    model.add_change(100, 121)
    assert model.tick(121) is None


def test_a_response_may_be_older_than_its_arrival() -> None:
    """A tick just before the arrival of a response that does not show it contradicts nothing."""
    model = RefreshModel(20)
    model.add_change(100, 104)
    model.add_change(115, 119.9)
    early, late = model.tick(121) or (0, 0)
    assert early < 139.8 < late


def test_data_is_as_old_as_the_last_tick() -> None:
    """Between two ticks, a response has the data of the earlier one."""
    early, late = with_ticks(RefreshModel(20), 100, 120, reach=0.3).data_time(130)
    assert 118 < early < 120 < late < 122
    assert RefreshModel(20).data_time(130) == (110, 130)
    assert RefreshModel(None).data_time(130) == (130, 130)


def test_windows_widen_with_time() -> None:
    """A window widens, until nothing is known any more."""
    model = with_ticks(RefreshModel(20), 100)
    soon, later = model.tick(110) or (0, 0), model.tick(300) or (0, 0)
    assert 0 < soon[1] - soon[0] < later[1] - later[0]
    assert model.tick(2000) is None


def test_the_newest_changes_win() -> None:
    """A tick at another moment replaces the window, after some changes in which none is relied upon."""
    model = with_ticks(RefreshModel(20), 100, 120)
    assert model.tick(121) is not None
    assert with_ticks(model, 150).tick(151) is None
    early, late = with_ticks(model, 170, 190, 210, 230, 250).tick(252) or (0, 0)
    assert early < 270.5 < late


def test_a_task_is_polled_once_between_two_ticks() -> None:
    """If only the tick is known, a task is polled right after it, queued or not."""
    for queued in (False, True):
        model, schedule = with_ticks(RefreshModel(20), 80.0, 100.0, reach=0.3), Schedule()
        for now in (101.0, 105.0):
            delay = schedule.observe(
                now, model, progress=None, age=None, changed=False, queued=queued, jitter=0.0
            )
        assert 120 <= 105 + delay <= 122


def test_a_predicted_end_waits_for_its_tick() -> None:
    """The end of steady progress shows at the first tick after it, and there is no earlier poll."""
    model, schedule = RefreshModel(20), Schedule()
    for now, progress in ((0.0, 0), (101.0, 50), (121.0, 60), (181.0, 90)):
        with_ticks(model, *(tick for tick in range(100, 200, 20) if now - 20 < tick <= now), reach=0.3)
        delay = schedule.observe(now, model, progress=progress, age=now, changed=True)
    assert 200 <= 181 + delay <= 204


# --- other tasks ---


def test_ages_at_which_no_task_ends_are_polled_less_often() -> None:
    """Polls without an end stretch the interval of their age; ends shorten it; other ages keep theirs."""
    model = RefreshModel(None)
    usual = model.interval(30, has_progress=False)
    for _ in range(100_000):
        model.add_poll(30, 20, has_progress=False, ended=False)
    assert model.interval(30, has_progress=False) == usual, "a caller that reports no end teaches nothing"
    model.add_poll(300, 5, has_progress=False, ended=True)
    assert model.interval(30, has_progress=False) > 1.5 * usual
    assert model.interval(30, has_progress=True) == model.interval(3, has_progress=False) == usual
    for _ in range(100):
        model.add_poll(30, 5, has_progress=False, ended=True)
    assert model.interval(30, has_progress=False) == usual
