"""The stateful phase against mocks: it follows links, within its limits, and finds what the plan cannot."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mjrelay_conformance.drivers import stateful
from mjrelay_conformance.drivers.options import ConformOptions
from mjrelay_conformance.drivers.terms import STATEFUL, Terms
from mjrelay_conformance.judging import Kind, Observation, schema_of
from mjrelay_conformance.mock import MockRelay
from sampled import SEVERAL

from mjrelay.contract import load_contract, relay_names
from mjrelay.http import Exchange, Request
from mjrelay.semantics import MEDIA

if TYPE_CHECKING:
    from mjrelay_conformance.drivers.plan import Step

KEY = "the-key-of-the-mock"
ATELIER = Path(__file__).parents[1] / "support" / "atelier.yaml"
WORDS = "words: {type: [string], minLength: 1}"


class Sent:
    """The steps that were sent to a mock without sockets."""

    def __init__(self, relay: str | Path, submits: int = STATEFUL, allowed: int = 1_000) -> None:
        self.contract = load_contract(relay)
        self.mock = MockRelay(self.contract, key=KEY, duration=0.0)
        self.steps: list[Step] = []
        self.allowed = allowed
        stateful.run(self.contract, self.observe, authenticated=self.authenticated, submits=submits, seed=1)

    def authenticated(self, request: Request) -> Request:
        return request.authenticated(self.contract.credentials[0], KEY)

    def observe(self, step: Step) -> Observation | None:
        if len(self.steps) >= self.allowed:
            return None
        self.steps.append(step)
        one = step.request
        response = self.mock.answer(one.method, one.target, one.headers, one.body)
        url = f"http://relay.test{one.target}"
        exchange = Exchange(
            one.method, url, status=response.status, headers=response.headers, body=response.body
        )
        return Observation(
            self.contract, schema_of(self.contract), step.kind, step.task_id, exchange, submit=step.submit
        )

    def count(self) -> Counter[tuple[Kind, str]]:
        """Return how many steps of each kind were sent, by the action that made the task."""
        return Counter((one.kind, one.submit.form.action) for one in self.steps if one.submit is not None)


@cache
def unchanged_is_sent() -> bool:
    """Whether the contract that the tests change gets submits as it is; each run of it is the same."""
    return bool(Sent(ATELIER).steps)


@pytest.mark.parametrize("relay", [name for name in SEVERAL if load_contract(name).submits])
def test_links_are_followed(relay: str) -> None:
    """Tasks are drawn and fetched, their buttons pressed, and the pressed tasks fetched, within the limit."""
    sent = Sent(relay)
    count = sent.count()
    assert count[Kind.SUBMIT, "imagine"] + count[Kind.SUBMIT, "press"] <= STATEFUL
    for kind in (Kind.SUBMIT, Kind.SUBMITTED):
        for action in ("imagine", "press"):
            assert count[kind, action], (kind, action)
    made = {task_id for step in sent.steps if (task_id := step.task_id)}
    assert made
    assert not made & set(sent.mock.known.values())


def test_no_url_is_generated() -> None:
    """No submit has an image or a callback, whose URLs a relay would request."""
    for relay in SEVERAL:
        for step in Sent(relay).steps:
            for name in (*MEDIA, "callback"):
                found = step.submit.form.arguments.get(name) if step.submit and step.request.body else None
                if found is not None and found.to is not None:
                    assert found.to.name.removeprefix("/") not in json.loads(step.request.body)


def test_no_submit_is_sent_beyond_the_limit() -> None:
    """The phase ends at its number of submits, and where the run stops."""
    assert sum(step.kind is Kind.SUBMIT for step in Sent("zhongzhuan", submits=1).steps) == 1
    assert len(Sent("zhongzhuan", allowed=3).steps) == 3
    without = [name for name in relay_names() if not load_contract(name).submits]
    assert without
    assert not [step for name in without for step in Sent(name).steps]


@pytest.mark.parametrize(
    ("found", "replacement"),
    [
        (WORDS, "words: {type: [string], minLength: 5, maxLength: 2}"),
        (WORDS, "words: {type: [string], minLength: 5, pattern: '^a$'}"),
        (
            "schema:\n              type: object",
            "schema:\n              $ref: '#/components/schemas/Taken/required'",
        ),
        (
            "application/json:\n            schema:\n              type: object",
            "application/x-odd:\n            schema:\n              type: object",
        ),
    ],
    ids=["no body", "no generated body", "no schema", "no media type"],
)
def test_a_contract_without_usable_links_does_not_end_the_run(
    found: str, replacement: str, tmp_path: Path
) -> None:
    """A user's contract whose submits Schemathesis cannot generate is not an error, and gets no submit."""
    text = ATELIER.read_text(encoding="utf-8")
    assert found in text
    path = tmp_path / "atelier.yaml"
    path.write_text(text.replace(found, replacement, 1), encoding="utf-8")
    assert unchanged_is_sent()
    assert not Sent(path).steps


def test_an_error_ends_the_phase_without_another_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception is raised once, and Hypothesis sends no submit again to confirm it."""
    sent = Sent("zhongzhuan", submits=0)

    def broken(step: Step) -> Observation | None:
        sent.steps.append(step)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stateful.run(sent.contract, broken, authenticated=sent.authenticated, submits=8, seed=1)
    assert len(sent.steps) == 1


def test_only_mocks_and_loopback_get_generated_submits() -> None:
    """A live relay, a run that names its submits or its requests, and one without fuzzing get none."""
    assert Terms.of(ConformOptions(), live=False).stateful == STATEFUL
    assert Terms.of(ConformOptions(fuzz=True, pay=4), live=True).stateful == 0
    assert Terms.of(ConformOptions(pay=4), live=False).stateful == 0
    assert Terms.of(ConformOptions(max_requests=100), live=False).stateful == 0
    assert Terms.of(ConformOptions(fuzz=False), live=False).stateful == 0
    assert Terms.of(ConformOptions(cases=0), live=False).stateful == 0
