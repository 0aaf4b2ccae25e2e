"""The plan, the scores and the comparison, for any responses."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import CONTRACTS, ID, MISSING, PAGE, check

from mjrelay.doctor import ProbeRequest
from mjrelay.doctor.addresses import Address
from mjrelay.doctor.diagnosis import diagnose
from mjrelay.doctor.plan import Plan, random_id
from mjrelay.doctor.score import WEIGHTS
from mjrelay.doctor.similarity import example_similarity, similarity
from mjrelay.http import Exchange
from mjrelay.semantics import State

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)
_EXAMPLES = [example for one in CONTRACTS for example in one.examples.values()]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body: JSON, an example with changed values, or bytes."""
    document: Any = draw(_JSON)
    if draw(st.booleans()):
        document = dict(draw(st.sampled_from(_EXAMPLES)))
        for name in draw(st.lists(st.sampled_from(sorted(document)), max_size=4)):
            document[name] = draw(_JSON)
    return draw(st.sampled_from([json.dumps(document).encode(), PAGE, MISSING, b""]) | st.binary(max_size=40))


_TYPES = st.sampled_from(["application/json", "text/html; charset=utf-8", "text/plain", ""])
_FAILURES = st.none() | st.text(max_size=30)
_LOCATIONS = st.sampled_from(["/", "//x", "http://127.0.0.1", "https://other/x", "\x00", "http://["])


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """Draw an exchange, with or without a response."""
    status = draw(st.none() | st.integers(100, 999) | st.sampled_from([200, 301, 400, 401, 403, 404, 503]))
    headers = (("content-type", draw(_TYPES)), ("location", draw(_LOCATIONS)))
    failure = "no response" if status is None else draw(_FAILURES)
    return Exchange("GET", "http://127.0.0.1/", (), b"", status, headers, draw(bodies()), 0.1, failure)


@settings(max_examples=60)
@given(data=st.data(), keyed=st.booleans(), named=st.sampled_from([None, ID]))
def test_no_response_crashes_it(data: st.DataObject, keyed: bool, named: str | None) -> None:
    """Any responses lead to a valid diagnosis within the request limits."""
    plan = Plan(Address.of("http://127.0.0.1/x", CONTRACTS), CONTRACTS, named, keyed)
    steps, sent = plan.steps(), list[ProbeRequest]()
    step = next(steps, None)
    while step is not None:
        sent.append(step)
        try:
            step = steps.send(evolve(data.draw(exchanges()), method=step.request.method))
        except StopIteration:
            step = None
    found = diagnose(plan.observations, CONTRACTS)
    check(found)
    assert keyed or not any(one.credential for one in sent)
    assert all(0 <= one.value <= 1 for one in found.scores)
    assert {name for one in found.scores for name in one.clues} <= WEIGHTS.keys()
    assert found.exit_code in {0, 1, 4}


@settings(max_examples=30)
@given(document=_JSON)
def test_any_document_is_compared(document: Any) -> None:
    """Similarity and example_similarity are parts of one, whatever is compared."""
    for one in CONTRACTS:
        alike = similarity(one, document)
        assert alike is not None
        assert 0 <= alike.value <= 1
        assert 0 <= example_similarity(one, document, State.SUCCEEDED) <= 1


def test_examples_fit_their_own_contract() -> None:
    """Each example fits its own contract completely."""
    for contract in CONTRACTS:
        for state in State:
            example = contract.examples.get(state.value)
            if example is None:
                continue
            assert example_similarity(contract, example, state) == 1
            fit = similarity(contract, example)
            assert fit is not None
            assert fit.value == 1


@given(st.text(max_size=40))
def test_a_random_id_is_another_one(pattern: str) -> None:
    """A random id differs from its pattern, is repeatable, and is long enough."""
    assert random_id(pattern) != pattern
    assert random_id(pattern) == random_id(pattern)
    assert len(random_id(pattern)) >= 12
