"""The rate of requests to a relay, and when a run stops; no test waits."""

from __future__ import annotations

import pytest
from mjrelay_conformance.drivers.pace import LONGEST_WAIT, Pace
from mjrelay_conformance.drivers.probe import LATE
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.schema import schema_of

from mjrelay.contract.loading import load_contract
from mjrelay.http.exchange import Exchange
from mjrelay.testing import NoWaitClock


def observed(
    kind: Kind, status: int | None, *headers: tuple[str, str], failure: str | None = None
) -> Observation:
    """Return a response to a request for task 1, whose key was accepted before."""
    exchange = Exchange("GET", "http://relay.test/", status=status, headers=headers, failure=failure)
    one = load_contract("zhongzhuan")
    return Observation(one, schema_of(one), kind, "1", exchange, accepted=True)


@pytest.fixture
def clock() -> NoWaitClock:
    """A clock that does not wait."""
    return NoWaitClock()


def test_there_is_a_pause_between_requests(clock: NoWaitClock) -> None:
    """The pause is made between two requests, and not before the first."""
    pace = Pace(pause=1.5, clock=clock)
    started = clock.now()
    waited = []
    for _ in range(3):
        assert pace.wait()
        waited.append(round(clock.now() - started, 1))
    assert waited == [0.0, 1.5, 3.0]


def test_a_task_is_fetched_again_after_the_spacing(clock: NoWaitClock) -> None:
    """A second fetch of a task waits for the spacing; other tasks do not."""
    pace = Pace(pause=1, spacing=5, clock=clock)
    started = clock.now()
    pace.wait()
    pace.learn(observed(Kind.KNOWN, 200))
    assert pace.wait("2")
    assert clock.now() - started == pytest.approx(1, abs=0.5)
    assert pace.wait("1")
    assert clock.now() - started == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize(
    ("value", "waited"), [("7", 7), (str(int(LONGEST_WAIT) + 1), None), ("soon", None), (None, None)]
)
def test_retry_after_is_obeyed_once(clock: NoWaitClock, value: str | None, waited: int | None) -> None:
    """The first 429 with a short Retry-After is repeated after it; any other ends the run."""
    pace = Pace(clock=clock)
    pace.wait()
    headers = () if value is None else (("Retry-After", value),)
    again = pace.learn(observed(Kind.KNOWN, 429, *headers))
    assert again is (waited is not None)
    started = clock.now()
    assert pace.wait() is again
    if waited:
        assert clock.now() - started == pytest.approx(waited, abs=0.5)
        assert not pace.learn(observed(Kind.KNOWN, 429, *headers))
    assert not pace.wait()
    assert "limits the rate of requests" in (pace.stopped or "")


@pytest.mark.parametrize("status", [503, 520, 527, 530])
def test_an_overloaded_relay_is_asked_once_more(clock: NoWaitClock, status: int) -> None:
    """A request is repeated once after Retry-After; the second overload ends the run."""
    pace = Pace(clock=clock)
    assert pace.wait()
    assert pace.learn(observed(Kind.KNOWN, status, ("Retry-After", "7")))
    assert pace.wait()
    assert not pace.learn(observed(Kind.KNOWN, status))
    assert not pace.wait()
    assert f"{status}: the relay is overloaded" in (pace.stopped or "")


@pytest.mark.parametrize("status", [500, 502, 504, 529, 599])
def test_another_server_error_ends_nothing(status: int) -> None:
    """Errors of the relay, and of the server behind it, are judged and end nothing."""
    pace = Pace()
    assert not pace.learn(observed(Kind.KNOWN, status))
    assert pace.wait()


@pytest.mark.parametrize(
    ("observations", "reason"),
    [
        ([observed(Kind.KNOWN, None, failure="gone")] * 2, "no response in time"),
        ([observed(Kind.KNOWN, 200, failure=LATE)] * 2, "no response in time"),
        ([observed(Kind.KNOWN, 401), observed(Kind.MISSING, 401)], "twice in a row"),
        ([observed(Kind.NO_CREDENTIAL, 401), observed(Kind.BAD_CREDENTIAL, 401)], None),
        ([observed(Kind.KNOWN, None), observed(Kind.KNOWN, 200), observed(Kind.KNOWN, None)], None),
        ([observed(Kind.KNOWN, 500)] * 5, None),
    ],
)
def test_failures_in_a_row_end_the_run(
    clock: NoWaitClock, observations: list[Observation], reason: str | None
) -> None:
    """Two timeouts or refusals of the caller's key end a run; errors and expected refusals do not."""
    pace = Pace(clock=clock)
    for observation in observations:
        assert pace.wait()
        pace.learn(observation)
    assert pace.wait() is (reason is None)
    assert (reason or "") in (pace.stopped or "")


def test_a_key_that_was_never_accepted_is_tried_once(clock: NoWaitClock) -> None:
    """The first refusal of a key that was never accepted ends the run."""
    one = load_contract("zhongzhuan")
    exchange = Exchange("GET", "http://relay.test/", status=401)
    pace = Pace(clock=clock)
    pace.wait()
    pace.learn(Observation(one, schema_of(one), Kind.KNOWN, "1", exchange))
    assert not pace.wait()


def test_a_run_has_a_time_limit(clock: NoWaitClock) -> None:
    """A request that would exceed the time limit is not sent, and the run has the reason."""
    pace = Pace(pause=4, longest=10, clock=clock)
    assert [pace.wait() for _ in range(4)] == [True, True, True, False]
    assert "10 s" in (pace.stopped or "")


def test_a_limit_on_unknown_paths_ends_one_kind_of_request() -> None:
    """A 429 for an unusual request ends the requests of its kind; an overload is that of the relay."""
    for kind in (Kind.ODD, Kind.METHOD):
        pace = Pace()
        assert not pace.learn(observed(kind, 429, ("Retry-After", "7")))
        assert (pace.ended, pace.stopped) == ({kind}, None)
        pace.learn(observed(kind, 503))
        assert "overloaded" in (pace.stopped or "")
