"""What a run will send: no more than it says, and nothing that costs without being asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.drivers.plan import CAP, PROFILES, KnownTask, PlanError, plan
from mjrelay_conformance.judging.observation import REFUSED, Kind
from mjrelay_conformance.judging.samples import another_text

from mjrelay import State
from mjrelay.contract.loading import load_contract, relay_names

KEY = "the-key-of-the-mock"
IDS = [f"17306218260534{number:02}" for number in range(CAP)]


@pytest.mark.parametrize("count", range(CAP - 1))
@pytest.mark.parametrize("relay", relay_names())
def test_the_default_plan_is_small_and_reads_only(relay: str, count: int) -> None:
    """Profile read is GET of the fetch operation, at most the cap; a bad credential comes once, and last."""
    one = load_contract(relay)
    steps = plan(one, [KnownTask(task_id) for task_id in IDS[:count]], KEY)
    assert len(steps) <= CAP == 12
    assert {step.request.method for step in steps} == {"GET"}
    assert {step.kind for step in steps} <= {Kind.KNOWN, Kind.MISSING, Kind.BAD_CREDENTIAL}
    bad = [] if one.open else [False]  # whoever is open refuses nobody
    assert [step.kind for step in steps].count(Kind.BAD_CREDENTIAL) == len(bad)
    assert one.open or steps[-1].kind is Kind.BAD_CREDENTIAL
    right = [KEY in str(step.request.headers) for step in steps]
    assert right == [True] * (len(steps) - len(bad)) + bad


def test_too_many_tasks_are_refused() -> None:
    """More tasks than the cap has room for are an error that says how many there may be."""
    with pytest.raises(PlanError, match="name 10 tasks or fewer"):
        plan(load_contract("zhongzhuan"), [KnownTask(task_id) for task_id in IDS[: CAP - 1]], KEY)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("relay", relay_names())
def test_each_profile_keeps_its_cap(relay: str, profile: str) -> None:
    """However many tasks are known, a profile sends no more than it says, and what read sends is in it."""
    for count in (0, 1, 5, 10):
        known = [KnownTask(task_id) for task_id in IDS[:count]]
        steps = plan(load_contract(relay), known, KEY, profile=profile)
        assert len(steps) <= PROFILES[profile]
        assert {step.request for step in plan(load_contract(relay), known, KEY)} <= {
            step.request for step in steps
        }


def test_the_auth_profile_tries_each_credential() -> None:
    """None, a wrong one, one in another header or of another form, and each listed way, in lower case too."""
    steps = plan(load_contract("mjdjourney"), [KnownTask(IDS[0], State.SUCCEEDED)], KEY, profile="auth")
    sent = {(step.kind, tuple(step.request.headers[1:])) for step in steps}
    assert (Kind.NO_CREDENTIAL, ()) in sent
    assert (Kind.MISPLACED, (("X-Api-Key", KEY),)) in sent
    assert (Kind.MISPLACED, (("Authorization", f"Token {KEY}"),)) in sent
    assert (Kind.ALTERNATIVE, (("mj-api-secret", KEY),)) in sent
    assert (Kind.ALTERNATIVE, (("Authorization", f"bearer {KEY}"),)) in sent
    refused = [step.kind in REFUSED for step in steps]
    assert refused == sorted(refused)  # what a relay may count against the key comes last


def test_the_robust_profile_changes_nothing_of_a_strangers_relay() -> None:
    """With care only methods go out that change nothing; without it all do."""
    known = [KnownTask(IDS[0], State.SUCCEEDED)]
    one = load_contract("zhongzhuan")
    careful = plan(one, known, KEY, profile="robust", careful=True)
    assert {step.request.method for step in careful if step.kind is Kind.METHOD} == {
        "HEAD",
        "OPTIONS",
        "POST",
    }
    every = plan(one, known, KEY, profile="robust")
    assert {"PUT", "PATCH", "DELETE"} <= {step.request.method for step in every if step.kind is Kind.METHOD}


def test_the_batch_asks_for_known_tasks_and_one_that_is_missing() -> None:
    """The batch operation is asked where the contract has one, and only there."""
    known = [KnownTask(task_id) for task_id in IDS[:3]]
    first, second = [
        step
        for step in plan(load_contract("zhongzhuan"), known, KEY, profile="robust")
        if step.kind is Kind.BATCH
    ]
    assert first.ids[:3] == tuple(IDS[:3])
    assert first.ids[3:] == second.ids
    assert Kind.BATCH not in {
        step.kind for step in plan(load_contract("apiai"), known, KEY, profile="robust")
    }


def test_an_odd_id_stays_in_its_place() -> None:
    """Odd ids are escaped, so that none of them leads to another path."""
    steps = plan(load_contract("zhongzhuan"), [], KEY, profile="robust")
    targets = [step.request.target for step in steps if step.kind is Kind.ODD]
    assert "/mj/task//fetch" in targets
    assert "/mj/task/a%2Fb/fetch" in targets
    assert all(target.count("/") == 4 and target.isascii() for target in targets)


def test_a_known_task_is_named_with_its_state() -> None:
    """ID=STATE is split at the last equals sign, and a state that is none is an error that lists them."""
    assert KnownTask.parse("abc") == KnownTask("abc")
    assert KnownTask.parse("a=b=needs-input") == KnownTask("a=b", State.NEEDS_INPUT)
    for wrong in ("1=done", "1=unknown", "=failed", "1="):
        with pytest.raises(PlanError, match="queued, running"):
            KnownTask.parse(wrong)


@given(text=st.text(), seed=st.integers(), taken=st.sets(st.text(), max_size=5))
def test_another_text_is_never_a_taken_one(text: str, seed: int, taken: set[str]) -> None:
    """A made-up id or key is not empty and none of those that are there."""
    drawn = another_text(text, random.Random(seed), taken | {text})
    assert drawn
    assert drawn not in taken | {text}
