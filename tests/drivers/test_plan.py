"""Plans of requests: their limits, kinds and credentials."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.drivers.plan import CAP, PROFILES, KnownTask, PlanError, plan
from mjrelay_conformance.judging.observation import REFUSED, Kind
from sampled import SEVERAL

from mjrelay import State
from mjrelay.base.text import another_text
from mjrelay.contract.loading import load_contract, relay_names

KEY = "the-key-of-the-mock"
IDS = [f"17306218260534{number:02}" for number in range(CAP)]


@pytest.mark.parametrize("count", [0, 1, CAP - 3])
@pytest.mark.parametrize("relay", SEVERAL)
def test_the_read_profile_is_small_and_safe(relay: str, count: int) -> None:
    """Profile read sends only GET within its limit, and one wrong key at the end, if there is room."""
    one = load_contract(relay)
    steps = plan(one, [KnownTask(task_id) for task_id in IDS[:count]], KEY)
    assert len(steps) <= CAP == 12
    assert {step.request.method for step in steps} == {"GET"}
    bad = [Kind.BAD_CREDENTIAL]
    if one.open:  # whether the relay needs a key shows without one
        bad = [Kind.NO_CREDENTIAL, *bad] if count == 1 else []
    kinds = [step.kind for step in steps]
    assert kinds[len(steps) - len(bad) :] == bad
    assert set(kinds[: len(steps) - len(bad)]) <= {Kind.KNOWN, Kind.MISSING}
    right = [KEY in str(step.request.headers) for step in steps]
    assert right == [step not in bad for step in kinds]


def test_too_many_tasks_are_an_error() -> None:
    """The error says how many tasks fit."""
    tasks = [KnownTask(task_id) for task_id in IDS]
    with pytest.raises(PlanError, match=r"10 tasks need at least 13 requests.* name at most 9 tasks"):
        plan(load_contract("zhongzhuan"), tasks[:10], KEY)
    steps = plan(load_contract("zhongzhuan"), tasks[:9], KEY)
    assert [step.again for step in steps if step.kind is Kind.KNOWN] == [False] * 9 + [True]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("relay", relay_names())
def test_each_profile_keeps_its_limit(relay: str, profile: str) -> None:
    """A profile never exceeds its limit, and includes the requests of read."""
    for count in (0, 1, 5, 9):
        known = [KnownTask(task_id) for task_id in IDS[:count]]
        steps = plan(load_contract(relay), known, KEY, profile=profile, key_in_url=True)
        assert len(steps) <= PROFILES[profile]
        assert {step.request for step in plan(load_contract(relay), known, KEY)} <= {
            step.request for step in steps
        }


def test_the_auth_profile_tries_each_credential() -> None:
    """It sends no key, a wrong one, a misplaced one, and each documented scheme, in lower case too."""
    steps = plan(load_contract("mjdjourney"), [KnownTask(IDS[0], State.SUCCEEDED)], KEY, profile="auth")
    sent = {(step.kind, tuple(step.request.headers[1:])) for step in steps}
    assert (Kind.NO_CREDENTIAL, ()) in sent
    assert (Kind.MISPLACED, (("X-Api-Key", KEY),)) in sent
    assert (Kind.MISPLACED, (("Authorization", f"Token {KEY}"),)) in sent
    assert (Kind.ALTERNATIVE, (("mj-api-secret", KEY),)) in sent
    assert (Kind.ALTERNATIVE, (("Authorization", f"bearer {KEY}"),)) in sent
    refused = [step.kind in REFUSED for step in steps]
    assert refused == sorted(refused)  # what a relay may count against the key comes last


def test_the_key_is_sent_in_the_url_only_on_request() -> None:
    """Access logs keep URLs, so the key is part of one only if the caller allows it."""
    tasks = [KnownTask(IDS[0], State.SUCCEEDED)]
    for relay in relay_names():
        one = load_contract(relay)
        plain, with_key = (
            plan(one, tasks, KEY, profile="auth", key_in_url=allowed) for allowed in (False, True)
        )
        own = any(credential.place == "query" for credential in one.credentials)
        assert any(KEY in step.request.target for step in plain) is own
        added = [re.split("[?&]", step.request.target)[-1] for step in with_key if step not in plain]
        assert added == ([] if not one.credentials else [f"key={KEY}", f"token={KEY}"])


def test_a_careful_plan_has_no_changing_methods() -> None:
    """Methods that may change something are left out of a careful plan."""
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


def test_the_batch_requests() -> None:
    """A contract with a batch operation gets requests for known and missing tasks."""
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


def test_unusual_ids_are_escaped() -> None:
    """No unusual id changes the path."""
    steps = plan(load_contract("zhongzhuan"), [], KEY, profile="robust")
    targets = [step.request.target for step in steps if step.kind is Kind.ODD]
    assert "/mj/task//fetch" in targets
    assert "/mj/task/a%2Fb/fetch" in targets
    assert all(target.count("/") == 4 and target.isascii() for target in targets)


def test_a_known_task_is_parsed() -> None:
    """ID=STATE is split at the last equals sign; the error of an unknown state lists the states."""
    assert KnownTask.parse("abc") == KnownTask("abc")
    assert KnownTask.parse("a=b=needs-input") == KnownTask("a=b", State.NEEDS_INPUT)
    for wrong in ("1=done", "1=unknown", "=failed", "1="):
        with pytest.raises(PlanError, match="queued, running"):
            KnownTask.parse(wrong)


@given(text=st.text(), seed=st.integers(), taken=st.sets(st.text(), max_size=5))
def test_a_made_up_text_is_never_taken(text: str, seed: int, taken: set[str]) -> None:
    """A made-up id or key is not empty and differs from existing ones."""
    drawn = another_text(text, random.Random(seed), taken | {text})
    assert drawn
    assert drawn not in taken | {text}
