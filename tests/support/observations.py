"""Observations of single responses, and what one check finds in them."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from mjrelay_conformance.checks import needed_checks
from mjrelay_conformance.judging.checking import Level, Outcome, Row, judge_observation
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.schema import schema_of

from mjrelay.contract.loading import load_contract
from mjrelay.http.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay_conformance.judging.checking import Check

    from mjrelay.contract.document import Contract

KEY = "sk-0123456789abcdef"
PASS, FAIL, NOT = Outcome.PASS, Outcome.FAIL, Outcome.NOT_APPLICABLE
MUST, SHOULD, INFO = Level.MUST, Level.SHOULD, Level.INFO
DEFAULT = "zhongzhuan"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)
"""Any document."""


def example(state: str = "succeeded", relay: str = DEFAULT, **changes: Any) -> dict[str, Any]:
    """Return an example task of a contract, with some members changed."""
    return {**copy.deepcopy(load_contract(relay).examples[state]), **changes}


def observed(
    document: Any,
    kind: Kind = Kind.KNOWN,
    *,
    relay: str | Contract = DEFAULT,
    task_id: str | None = None,
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),),
    exchange: dict[str, Any] | None = None,
    **more: Any,
) -> Observation:
    """Return an observation of one response, given as a document or as bytes."""
    one = load_contract(relay) if isinstance(relay, str) else relay
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    if task_id is None:
        found = one.reader.id(document)
        task_id = "1" if found is None else str(found)
    received: dict[str, Any] = {"status": 200, "headers": tuple(headers), "body": body} | (exchange or {})
    response = Exchange("GET", "http://relay.test/mj/task/1/fetch", **received)
    more.setdefault("accepted", True)
    return Observation(one, schema_of(one), kind, task_id, response, **more)


def row(check: str, observation: Observation) -> Row:
    """Return the row of one check, after the checks that it needs."""
    return judge_observation(observation, 1, _needed(check))[-1]


@cache
def _needed(check: str) -> list[Check]:
    return needed_checks([check])


def outcome(check: str, observation: Observation) -> Outcome:
    """Return the outcome of one check."""
    return row(check, observation).outcome
