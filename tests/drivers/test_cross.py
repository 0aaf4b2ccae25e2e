"""Each contract's suite against each other contract's mock: what differs is found, and nothing breaks."""

from __future__ import annotations

from functools import cache

import pytest
from mjrelay_conformance.checks.registry import select_checks
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.judging.verdicts import Verdict
from mjrelay_conformance.mock.relay import MockRelay

from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.http.redaction import Redactor

KEY = "the-key-of-the-mock"


@cache
def judged(relay: str, other: str) -> tuple[Verdict, frozenset[str], frozenset[str]]:
    """The verdict of one relay's suite on another one's mock, what failed, and what broke on our side."""
    mock = MockRelay(load_contract(other), key=KEY)
    known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
    judge = Judge(load_contract(relay), Record(None, Redactor(KEY)), select_checks(()), (KEY,))
    verdict = Runner(Direct(mock), judge).run(plan(load_contract(relay), known, KEY))
    outcomes = {
        word: frozenset(row.check for row in judge.rows if row.outcome == word) for word in ("fail", "error")
    }
    return verdict, outcomes["fail"], outcomes["error"]


@pytest.mark.parametrize("relay", relay_names())
def test_a_suite_tells_other_relays_from_its_own(relay: str) -> None:
    """
    A relay is conformant by its own contract, and by another one only where the two answer alike.

    What has another path, credential or answer for a missing task is never taken for a relay that keeps the
    contract; and no check breaks, whatever relay it is shown.
    """
    own = load_contract(relay)
    assert judged(relay, relay) == (Verdict.CONFORMANT, frozenset(), frozenset())
    for other in relay_names():
        verdict, _, errors = judged(relay, other)
        assert errors == frozenset(), other
        if verdict is Verdict.CONFORMANT:
            shown = load_contract(other)
            assert shown.path == own.path, other
            assert {*own.credentials[:1]} <= {*shown.credentials}, other
            assert [m.status for m in shown.reader.missing] == [m.status for m in own.reader.missing], other


def test_every_pair_of_kinds_is_told_apart() -> None:
    """Of contracts that differ in path, credential and answers, none is conformant by another's."""
    kinds = ["apiai", "apimart", "mjdjourney", "mjproxy", "newapi", "onehub", "trueai", "ttapi"]
    for one in kinds:
        for other in kinds:
            assert (judged(one, other)[0] is Verdict.CONFORMANT) == (one == other), (one, other)
