"""When a task is polled again: seldom, but in time, for any progress."""

from __future__ import annotations

import math
import sys
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.waiting import BATCH, LAWS, RELAYS, Refreshing, simulate
from mjrelay.client.schedule import RefreshModel, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable

# Not the benchmark's.
SEED = 20_011


def schedule(model: RefreshModel | None = None) -> Schedule:
    """A schedule that leaves nothing to chance."""
    return Schedule(model or RefreshModel(None), lambda: 0.0)


def delays(waiting: Schedule, *answers: tuple[float, int | None]) -> list[float]:
    """What a schedule says to moments and percentages of a task that started at moment 0."""
    return [waiting.observe(now, progress=shown, age=now, changed=True) for now, shown in answers]


def taught(model: RefreshModel, ticks: list[float], reach: float = 1.0) -> RefreshModel:
    """The model, having seen a change shortly before and after each of these moments."""
    for tick in ticks:
        model.add_change(tick - reach, tick + reach)
    return model


def row(law: str, relay: Refreshing, *, tasks: int = 300, size: int = 1) -> dict[str, Any]:
    """What the simulation measures of one law on one relay."""
    rows = simulate(SEED, tasks, laws={law: LAWS[law]}, relays={"": relay}, size=size)
    assert len(rows) == 1
    return rows[0]


# --- the targets ---

TARGETS = {"linear": 0.5, "jumps": 0.5, "random jumps": 0.5, "stalls": 0.75, "none": 1.0, "zero": 1.0}


def stressed(laws: Iterable[str], *in_gate: str) -> list[Any]:
    """Parameters of which the default run has only some."""
    return [law if law in in_gate else pytest.param(law, marks=pytest.mark.stress) for law in laws]


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("law", stressed(TARGETS, "jumps", "none"))
def test_fewer_requests_and_no_more_lag_than_a_fixed_interval(law: str, relay: str) -> None:
    """Each law of progress, on a relay that refreshes at once and on one that does not, keeps the target."""
    # Ticks decide the lag on the other relay, and fewer tasks show it.
    measured = row(law, RELAYS[relay], tasks=700 if RELAYS[relay].documented is None else 400)
    assert measured["ratio"] <= TARGETS[law]
    assert measured["median"] <= measured["fixed_median"]
    assert measured["p95"] <= measured["fixed_p95"]


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("law", stressed(["stalls", "none"], "none"))  # the laws with the smallest margin
def test_batches_take_a_fiftieth_of_the_requests(law: str, relay: str) -> None:
    """A hundred ids in one request make one request of fifty, at no more lag."""
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
    """Intervals that last a little longer than the contract says save as many requests."""
    measured = row(law, relay)
    assert measured["ratio"] <= 0.6
    assert measured["median"] <= measured["fixed_median"]
    assert measured["p95"] <= measured["fixed_p95"]


@pytest.mark.parametrize("relay", [Refreshing(15), Refreshing(15, 18), Refreshing(15, 15, variation=3)])
@pytest.mark.parametrize("law", stressed(["linear", "jumps", "stalls"], "jumps"))
def test_a_contract_that_errs_about_the_interval_costs_little(law: str, relay: Refreshing) -> None:
    """A relay that refreshes at other times than its contract says is asked less often and hardly later."""
    measured = row(law, relay, tasks=500)
    assert measured["ratio"] <= 0.75
    assert measured["median"] <= measured["fixed_median"]
    assert measured["p95"] <= 2 * measured["fixed_p95"]


# --- any input ---

answers = st.tuples(
    st.sampled_from([0, 1]),
    st.floats(0, 1e6),
    st.none() | st.integers(-5, 105) | st.integers(),
    st.none() | st.floats(allow_nan=True),
    st.booleans(),
    st.booleans(),
)


@given(refresh=st.none() | st.floats(0.1, 1e4), told=st.lists(answers, max_size=40))
def test_every_delay_is_finite_positive_and_bounded(
    refresh: float | None, told: list[tuple[int, float, int | None, float | None, bool, bool]]
) -> None:
    """Whatever the answers tell, no delay is below 2 s or beyond what the time watched justifies."""
    model, random = RefreshModel(refresh), Random(1)
    tasks = [Schedule(model, random.random) for _ in range(2)]
    first: dict[int, float] = {}
    now = 0.0
    for which, step, progress, age, changed, done in told:
        now += step
        if done:
            tasks[which].conclude(now)
        delay = tasks[which].observe(now, progress=progress, age=age, changed=changed)
        watched = now - first.setdefault(which, now)
        assert 2 <= delay <= 8 + 0.6 * watched + 2 * (refresh or 0)


@pytest.mark.parametrize("age", [None, math.nan, math.inf, -math.inf, -1.0])
def test_no_age_is_no_obstacle(age: float | None) -> None:
    """Without a start that can be, time counts from the last answer without progress."""
    waiting = schedule()
    for now, shown in ((0.0, 0), (50.0, 0), (60.0, 10), (70.0, 20)):
        delay = waiting.observe(now, progress=shown, age=age, changed=True)
    assert 70 + delay == pytest.approx(70 + 0.5 * 70, abs=4)


@pytest.mark.parametrize("wrong", [60.0, 3600.0])
def test_a_wrong_clock_costs_little(wrong: float) -> None:
    """A relay whose clock is wrong by minutes or an hour does not move the end that progress tells."""
    waiting = schedule()
    for now, shown in ((0.0, 0), (40.0, 20), (80.0, 40), (150.0, 75)):
        delay = waiting.observe(now, progress=shown, age=now + wrong, changed=True)
    assert 198 <= 150 + delay <= 204


def test_a_wrong_clock_does_not_hide_jumps() -> None:
    """Jumps are told from steady progress even where the relay's clock is wrong by an hour."""
    waiting = schedule()
    for now, shown in ((0.0, 0), (98.0, 0), (100.0, 25), (198.0, 25), (200.0, 50), (260.0, 50)):
        delay = waiting.observe(now, progress=shown, age=now + 3600, changed=True)
    assert delay <= 0.3 * 260 + 4


def test_a_schedule_is_small() -> None:
    """Ten thousand tasks may wait: a schedule and the numbers it holds stay within 400 bytes."""
    waiting, random = schedule(), Random(SEED)
    for turn in range(50):
        waiting.observe(random.random() + 10 * turn, progress=2 * turn, age=10.1 * turn, changed=True)
    held = [getattr(waiting, name) for name in Schedule.__slots__]
    assert not hasattr(waiting, "__dict__")
    assert sys.getsizeof(waiting) + sum(sys.getsizeof(value) for value in held if type(value) is float) <= 400


def test_tasks_do_not_ask_in_step() -> None:
    """Two tasks that are told the same ask a little apart."""
    one, other = Schedule(RefreshModel(None), lambda: 0.0), Schedule(RefreshModel(None), lambda: 0.99)
    sooner, later = (task.observe(0, progress=None, age=None, changed=False) for task in (one, other))
    assert sooner < later <= 1.05 * sooner


# --- progress of the task ---


def test_steady_progress_is_asked_for_at_its_end() -> None:
    """Once steady progress is sure and the end within reach, the next look is at the end."""
    *_, last = delays(schedule(), (0, 0), (40, 20), (80, 40), (150, 75))
    assert 200 - 2 <= 150 + last <= 200


def test_nothing_is_waited_for_beyond_half_the_time_watched() -> None:
    """However far off an end appears, a task that was watched for 20 s is asked for within 14 s."""
    assert delays(schedule(), (0, 0), (10, 1), (20, 2))[-1] <= 14


def test_jumps_are_told_from_steady_progress() -> None:
    """Progress that stands still and jumps puts the end where the jumps say, not where a line would."""
    *_, standing, jumped = delays(schedule(), (0, 0), (98, 0), (100, 25), (140, 25), (200, 50))
    assert standing <= 0.3 * 140 + 4
    assert jumped <= 0.3 * 200 + 4


def test_an_end_that_does_not_come_is_looked_for_closely() -> None:
    """Where progress stalls, what it promised has passed, and looks are close together."""
    assert delays(schedule(), (0, 0), (50, 46), (100, 93), (120, 93))[-1] < 5


def test_a_pause_in_what_is_told_changes_nothing() -> None:
    """An answer without progress between others leaves what they taught."""
    told = [(0.0, 0), (40.0, 20), (80.0, 40), (100.0, None), (150.0, 75)]
    *_, last = delays(schedule(), *told)
    assert 200 - 2 <= 150 + last <= 200


def test_progress_that_starts_late_is_not_overslept() -> None:
    """A task that shows nothing for long and then hurries is looked at more closely for it."""
    *_, last = delays(schedule(), (0, 0), (60, 0), (64, 20), (72, 60))
    assert 72 + last <= 72 + 0.12 * 72 + 4


def test_a_law_misread_is_trusted_less() -> None:
    """After bounds that contradicted each other, new ones hold the next look back by a small share only."""
    *_, last = delays(schedule(), (0, 0), (60, 0), (64, 20), (72, 60), (80, 62), (88, 64))
    assert last <= 0.12 * 88 + 4


def test_a_new_start_begins_a_new_count() -> None:
    """Where the relay starts a task anew, bounds learnt before do not hold the next look back."""
    waiting = schedule()
    delays(waiting, (0, 0), (40, 20), (80, 40), (150, 75))
    assert waiting.observe(160, progress=1, age=3.0, changed=True) < 5


# --- when the relay refreshes ---


def test_a_tick_is_learnt_from_several_changes() -> None:
    """Windows laid over each other are narrower than each, and hold the tick."""
    model = RefreshModel(20)
    assert model.tick(0) is None
    model.add_change(97, 104)
    model.add_change(119, 126)
    window = model.tick(126)
    assert window is not None
    early, late = window
    assert 138 <= early < late <= 146


def test_a_change_within_more_than_an_interval_teaches_nothing() -> None:
    """Two answers further apart than the interval do not tell a tick."""
    model = RefreshModel(20)
    model.add_change(100, 121)
    assert model.tick(121) is None


def test_an_answer_may_be_older_than_its_arrival() -> None:
    """A tick a little before an answer arrived that did not show it yet contradicts nothing."""
    model = RefreshModel(20)
    model.add_change(100, 104)
    model.add_change(115, 119.9)
    window = model.tick(121)
    assert window is not None
    assert window[0] < 139.8 < window[1]


def test_data_is_as_old_as_the_last_tick() -> None:
    """Between two ticks an answer holds what the earlier of them made."""
    model = taught(RefreshModel(20), [100, 120], reach=0.3)
    early, late = model.data_time(130)
    assert 118 < early < 120 < late < 122
    assert RefreshModel(20).data_time(130) == (110, 130)
    assert RefreshModel(None).data_time(130) == (130, 130)


def test_what_was_learnt_ages() -> None:
    """A window widens with time, until nothing is known any more."""
    model = taught(RefreshModel(20), [100])
    soon, later = model.tick(110), model.tick(300)
    assert soon is not None
    assert later is not None
    assert later[1] - later[0] > soon[1] - soon[0]
    assert model.tick(2000) is None


def test_the_newest_evidence_wins() -> None:
    """A tick seen at another moment replaces what was learnt, once the doubt is over."""
    model = taught(RefreshModel(20), [100, 120])
    assert model.tick(121) is not None
    taught(model, [150])
    assert model.tick(151) is None, "windows that contradict each other are not relied upon"
    taught(model, [170, 190, 210, 230, 250])
    window = model.tick(252)
    assert window is not None
    assert window[0] < 270.5 < window[1]


def test_a_task_is_asked_for_once_between_two_ticks() -> None:
    """With the tick known, a task of which nothing else is known is asked for right after each."""
    waiting = schedule(taught(RefreshModel(20), [80.0, 100.0], reach=0.3))
    waiting.observe(101, progress=None, age=None, changed=False)
    delay = waiting.observe(105, progress=None, age=None, changed=False)
    assert 120 <= 105 + delay <= 122


def test_a_predicted_end_waits_for_its_tick() -> None:
    """The end of steady progress shows at the first tick after it, and no sooner look is made."""
    ticks = [100.0, 120.0, 140.0, 160.0, 180.0]
    model = RefreshModel(20)
    waiting = schedule(model)
    for now, shown in ((0.0, 0), (101.0, 50), (121.0, 60), (181.0, 90)):
        taught(model, [tick for tick in ticks if now - 20 < tick <= now], reach=0.3)
        delay = waiting.observe(now, progress=shown, age=now, changed=True)
    assert 200 <= 181 + delay <= 204


# --- other tasks ---


def test_ages_at_which_nothing_ends_are_looked_at_less_often() -> None:
    """Looks that find no end stretch the pace of that age; ends bring it back, and other ages keep theirs."""
    model = RefreshModel(None)
    usual = model.pace(30, shows=False)
    for _ in range(100):
        model.polled(30, 20, shows=False, ended=False)
    assert model.pace(30, shows=False) == usual, "of a caller that tells no ends nothing is learnt"
    model.polled(300, 5, shows=False, ended=True)
    assert model.pace(30, shows=False) > 1.5 * usual
    assert model.pace(30, shows=True) == model.pace(3, shows=False) == usual
    for _ in range(100):
        model.polled(30, 5, shows=False, ended=True)
    assert model.pace(30, shows=False) == usual


def test_old_lessons_give_way_to_new_ones() -> None:
    """After any number of looks without an end, some hundred ends are enough to look closely again."""
    model = RefreshModel(None)
    for _ in range(100_000):
        model.polled(30, 20, shows=False, ended=False)
    for _ in range(100):
        model.polled(30, 5, shows=False, ended=True)
    assert model.pace(30, shows=False) < 5
