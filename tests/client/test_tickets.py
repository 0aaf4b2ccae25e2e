"""Tickets: a wait that is stored between its polls ends as one that is not."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ticketing import KEY, START, Engine, FakeRelay, ManualClock, Script, outcome, waited

from mjrelay import (
    MissingTaskError,
    Poll,
    RateLimitedError,
    Relay,
    SettingError,
    State,
    Task,
    Ticket,
    UnauthorizedError,
    UnavailableError,
    WaitTimeoutError,
    testing,
)

# --- the same end as one wait ---

OUTCOMES = ("succeeded", "failed", "needs-input", "missing", "never")
TIMEOUT = 400.0


def scripts(*outcomes: str) -> st.SearchStrategy[dict[str, Script]]:
    one = st.builds(
        lambda start, length, outcome, percent: Script(start, start + length, outcome, percent),
        st.floats(0, 60),
        st.floats(0, 200),
        st.sampled_from(outcomes),
        st.sampled_from([0, 100]),
    )
    many = st.lists(one, min_size=1, max_size=6)
    return many.map(lambda several: {str(number): script for number, script in enumerate(several)})


OUTAGES = st.lists(
    # After the first response, shorter than the retries take, and with a pause between two.
    st.builds(lambda nth, at, length, status: (60 + 100.0 * nth + at, length, status),
        st.integers(0, 2), st.floats(0, 20), st.floats(0, 25), st.sampled_from([429, 500, 503])),
    max_size=2,
    unique_by=lambda outage: outage[0] // 100,
)  # fmt: skip
POISON = st.frozensets(st.sampled_from("012345"), max_size=1)


@settings(max_examples=20)
@example({str(one): Script(outcome="never") for one in range(2)}, [], frozenset("1"), {})
@given(
    scripts(*OUTCOMES),
    OUTAGES,
    POISON,
    st.dictionaries(st.integers(0, 40), st.sampled_from(["kill", "twice"])),
)
def test_interruptions_change_no_end_and_cost_one_request_each(
    tasks: dict[str, Script], outages: Any, poison: frozenset[str], interruptions: dict[int, str]
) -> None:
    """Each task ends as in one wait; a lost or repeated round costs only its own requests."""
    plain = Engine(FakeRelay(tasks, outages, poison)).add(tasks, TIMEOUT).run()
    broken = Engine(FakeRelay(tasks, outages, poison)).add(tasks, TIMEOUT).run(interruptions)
    assert broken.ended == plain.ended == waited(FakeRelay(tasks, outages, poison), TIMEOUT)
    met = {number for number in interruptions if number < len(plain.sizes)}
    repeated = sum(plain.sizes[number] for number in met)
    assert len(broken.fake.sent) == len(plain.fake.sent) + repeated


@settings(max_examples=20)
@given(
    scripts("succeeded", "failed", "needs-input", "missing"),
    st.dictionaries(
        st.integers(0, 40), st.sampled_from(["kill", "twice"]) | st.integers(-7200, 7200).map(str)
    ),
    st.floats(0, 90),
)
def test_jumps_of_the_clock_and_late_polls_change_no_end(
    tasks: dict[str, Script], interruptions: dict[int, str], delay: float
) -> None:
    """The system clock may jump, and a killed worker may resume late: each task ends as in one wait."""
    timeout = 1_000_000.0
    engine = Engine(FakeRelay(tasks)).add(tasks, timeout).run(interruptions, delay)
    assert engine.ended == waited(FakeRelay(tasks), timeout)


@settings(max_examples=20)
@given(scripts(*OUTCOMES), OUTAGES)
def test_a_wait_and_tickets_send_the_same_requests(tasks: dict[str, Script], outages: Any) -> None:
    """In one process, a ticket that goes through JSON is polled at the moments of a wait."""
    for task_id, script in tasks.items():
        fake, other = (FakeRelay({task_id: script}, outages) for _ in range(2))
        random.seed(2)
        try:
            expected = outcome(fake.relay().wait(task_id, timeout=TIMEOUT), None)
        except Exception as error:  # noqa: BLE001 - compared
            expected = type(error).__name__
        random.seed(2)
        relay = other.relay()
        poll = relay.poll(relay.ticket(task_id, timeout=TIMEOUT))
        while not poll.done:
            other.clock.sleep(poll.due - other.clock.time())
            poll = relay.poll(Ticket.from_json(poll.ticket.to_json()))
        assert outcome(poll.task, poll.error) == expected
        assert [at for at, _ in other.sent] == pytest.approx([at for at, _ in fake.sent], abs=0.05)


# --- one ticket ---


def ready(script: Script | None = None, **options: Any) -> tuple[FakeRelay, Relay]:
    fake = FakeRelay({"1": script or Script()}, **options)
    return fake, fake.relay()


def test_a_ticket_is_small_and_has_no_key() -> None:
    """A ticket in the middle of a task has about 200 bytes, survives JSON unchanged, and has no key."""
    fake, relay = ready(Script(5, 300))
    ticket = relay.ticket("1")
    assert not fake.sent
    for _ in range(12):
        fake.clock.sleep(max(ticket.due - fake.clock.time(), 0))
        ticket = relay.poll(ticket).ticket
        text = ticket.to_json()
        assert Ticket.from_json(text) == ticket == Ticket.from_json(text.encode())
        assert len(text) <= 230
        assert KEY not in text + repr(ticket)
    assert (ticket.polls, ticket.failures, ticket.deadline) == (12, 0, START + 900)


def test_a_submission_keeps_its_pass() -> None:
    """The state that does not end the wait for a submission is kept in its ticket."""
    with testing.mock("newapi") as mock:
        relay = mock.relay()
        task_id = mock.known[State.NEEDS_INPUT]
        submission = evolve(relay.modal(task_id, prompt="a pig"), ids=(task_id,))
        ticket = Ticket.from_json(relay.ticket(submission).to_json())
        assert ticket.passes is submission.passes is State.NEEDS_INPUT
        assert not relay.poll(ticket).done
        assert relay.poll(relay.ticket(task_id)).done


def test_an_early_error_is_not_counted() -> None:
    """A poll before the due moment may bring news; its transient error changes nothing."""
    fake, relay = ready(Script(end=100), outages=[(10, 20, 503)])
    ticket = relay.poll(relay.ticket("1")).ticket
    ticket = evolve(ticket, due=START + 60)
    fake.clock.sleep(15)
    for _ in range(20):
        poll = relay.poll(ticket)
        assert isinstance(poll.error, UnavailableError)
        assert (poll.ticket, poll.done) == (ticket, False)
    fake.clock.sleep(100)
    assert relay.poll(ticket).done


def test_a_poll_a_day_late_still_asks() -> None:
    """After the deadline one response decides: an ended task is returned, a pending one has timed out."""
    for script, end in ((Script(end=1000), State.SUCCEEDED), (Script(end=10**6), State.RUNNING)):
        fake, relay = ready(script, outages=[(90_000, 10, 503)])
        ticket = relay.poll(relay.ticket("1", timeout=60)).ticket
        fake.clock.sleep(90_000)
        poll = relay.poll(ticket)
        assert isinstance(poll.error, UnavailableError)
        assert not poll.done, "the relay is down, so nothing is known yet"
        fake.clock.sleep(20)
        poll = relay.poll(poll.ticket)
        assert poll.done
        assert poll.task is not None
        assert poll.task.state is end
        assert isinstance(poll.error, WaitTimeoutError) is (end is State.RUNNING)


def test_a_clock_that_is_set_back_moves_the_ticket() -> None:
    """If the clock is set back by a day, neither the next poll nor the deadline is a day later."""
    fake, relay = ready(Script(end=200))
    ticket = relay.poll(relay.ticket("1", timeout=300)).ticket
    fake.clock.sleep(10)
    fake.clock.unix -= 86_400
    poll = relay.poll(ticket)
    assert 0 < poll.due - fake.clock.time() < 30
    assert poll.ticket.deadline - fake.clock.time() == pytest.approx(300, abs=1)


def test_a_pause_puts_the_other_tickets_off() -> None:
    """After a Retry-After in a round, the remaining tickets are not polled, and all are due after it."""
    fake = FakeRelay({str(one): Script() for one in range(250)}, outages=[(0, 1, 429)], retry_after=50)
    relay = fake.relay()
    polls = relay.poll_all([relay.ticket(one) for one in fake.scripts], concurrency=1)
    assert len(fake.sent) == 1
    assert {type(poll.error) for poll in polls} == {RateLimitedError, type(None)}
    assert all(poll.due >= START + 50 and not poll.done for poll in polls)
    assert fake.clock.now() == 0


def test_a_batch_and_duplicates() -> None:
    """250 tickets of 249 tasks take three requests; the results are in the order of the tickets."""
    fake = FakeRelay({str(one): Script(end=one) for one in range(249)})
    relay = fake.relay()
    fake.clock.sleep(100)
    tickets = [relay.ticket(one) for one in [*fake.scripts, "7"]]
    polls = relay.poll_all(reversed(tickets))
    assert sorted(len(ids) for _, ids in fake.sent) == [49, 100, 100]
    assert [poll.task.id for poll in polls if poll.task] == [ticket.id for ticket in reversed(tickets)]
    assert relay.poll_all([]) == []


def test_errors_end_a_ticket_as_they_end_a_wait() -> None:
    """A missing task fails after its grace; a refused key at once, and the ticket can be polled again."""
    fake, relay = ready(Script(outcome="missing"))
    poll = relay.poll(relay.ticket("1"))
    assert isinstance(poll.error, MissingTaskError)
    assert not poll.done
    fake.clock.sleep(11)
    assert relay.poll(poll.ticket).done
    fake, relay = ready(outages=[(0, 1, 401)])
    poll = relay.poll(relay.ticket("1"))
    assert isinstance(poll.error, UnauthorizedError)
    assert poll.done
    fake.clock.sleep(100)
    assert relay.poll(poll.ticket).task is not None


def test_an_unknown_status_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Many polls by one relay log a status that the contract does not list once."""

    class Odd(Script):
        def document(self, task_id: str, now: float) -> dict[str, Any] | None:
            return {"id": task_id, "status": "ODD", "progress": f"{int(now)}%"}

    fake, relay = ready(Odd())
    poll = relay.poll(relay.ticket("1"))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            fake.clock.sleep(5)
            poll = relay.poll(poll.ticket)
    assert len(caplog.records) == 1


# --- other tickets ---


def test_tickets_that_cannot_be_polled() -> None:
    """A ticket of another relay, of a newer version or without a sense is refused before a request."""
    fake, relay = ready()
    ticket = relay.ticket("1")
    others: list[Any] = [evolve(ticket, relay="ttapi"), evolve(ticket, id=" "), "1"]
    for wrong in others:
        with pytest.raises(SettingError):
            relay.poll(wrong)
    with pytest.raises(SettingError, match=r"of the relay 'ttapi', .*; poll it with Relay\('ttapi'\)"):
        relay.poll(others[0])
    with pytest.raises(SettingError, match="version 2"):
        Ticket.from_json(ticket.to_json().replace('"v":1', '"v":2'))
    with pytest.raises(SettingError):
        relay.poll_all([ticket], concurrency=0)
    for timeout in (0, math.inf, "1"):
        with pytest.raises(SettingError):
            relay.ticket("1", timeout=timeout)  # type: ignore[arg-type]
    assert not fake.sent


def test_the_first_version_stays_readable() -> None:
    """A ticket that the first version wrote is polled; members that it does not know are ignored."""
    text = (
        '{"v":1,"relay":"zhongzhuan","id":"1","started":1795000000.5,"deadline":900000,"due":24667,"polls":5,'
        '"fingerprint":689095708,"passes":"needs-input","batch":7,"batch_failures":1,"alone":true,"new":[],'
        '"schedule":[0,24667,0,6000,34,21560,6000,null,3,-135,1000000000000000,60903]}'
    )
    ticket = Ticket.from_json(text)
    assert ticket.schedule[10] == math.inf
    assert ticket.schedule[7] == 0
    relay = ready(clock=ManualClock(passed=30))[1]
    assert relay.poll(ticket).task is not None


NUMBERS = st.integers() | st.floats() | st.none() | st.text(max_size=3) | st.booleans()
MEMBERS = (
    "v",
    "relay",
    "id",
    "started",
    "deadline",
    "due",
    "polls",
    "fingerprint",
    "schedule",
    "batch",
    "passes",
)


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from(MEMBERS), NUMBERS | st.lists(NUMBERS, max_size=13), max_size=3),
    st.lists(st.integers(-(10**15), 10**15) | st.none(), min_size=12, max_size=12) | st.none(),
)
def test_foreign_text_is_refused_or_polled(changes: dict[str, Any], schedule: list[Any] | None) -> None:
    """Any JSON is a ticket that can be polled, or a `SettingError`."""
    fake, relay = ready()
    values = json.loads(relay.ticket("1").to_json()) | changes
    if schedule is not None:
        values["schedule"] = schedule
    try:
        poll = relay.poll(Ticket.from_json(json.dumps(values)))
    except SettingError:
        assert not fake.sent
        return
    assert len(fake.sent) == 1
    assert isinstance(poll.task, Task)
    assert Ticket.from_json(poll.ticket.to_json()).id == "1"


@given(st.text() | st.binary())
def test_text_that_is_no_ticket(text: str | bytes) -> None:
    """Any text or bytes are refused with a `SettingError`."""
    with pytest.raises(SettingError):
        Ticket.from_json(text)


def test_both_clients_with_real_sockets() -> None:
    """Sync and async poll the same tickets, one process after the other, until all tasks have ended."""
    with testing.mock("zhongzhuan") as mock:
        ids = [mock.submit(60.0, outcome=end) for end in (State.SUCCEEDED, State.FAILED) * 2]
        tickets = [mock.relay().ticket(one) for one in ids]
        ended: dict[str, State] = {}
        for number in range(100):
            mock.clock.sleep(max(min(ticket.due for ticket in tickets) - mock.clock.time(), 0))
            polls = mock.relay().poll_all(tickets) if number % 2 else polled_async(mock, tickets)
            ended |= {poll.task.id: poll.task.state for poll in polls if poll.done and poll.task}
            tickets = [poll.ticket for poll in polls if not poll.done]
            if not tickets:
                break
        assert [ended[one] for one in ids] == [State.SUCCEEDED, State.FAILED] * 2


def polled_async(mock: testing.Mock, tickets: list[Ticket]) -> list[Poll]:
    async def poll() -> list[Poll]:
        async with mock.async_relay() as relay:
            first = await relay.poll(tickets[0])
            return [first, *await relay.poll_all(tickets[1:])]

    return asyncio.run(poll())
