"""Each contract's suite against each other contract's mock: what differs is found, and nothing breaks."""

from __future__ import annotations

import itertools

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


def judged(relay: str, other: str) -> tuple[Verdict, frozenset[str]]:
    """Return the verdict of one relay's contract on another relay's mock, and the checks that crashed."""
    mock = MockRelay(load_contract(other), key=KEY)
    known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
    judge = Judge(load_contract(relay), Record(None, Redactor(KEY)), select_checks(()), (KEY,))
    verdict = Runner(Direct(mock), judge).run(plan(load_contract(relay), known, KEY))
    return verdict, frozenset(row.check for row in judge.rows if row.outcome == "error")


def test_other_relays_are_told_apart() -> None:
    """
    A relay conforms to another contract only with the same path, credential and missing response.

    Contracts that differ in these reject each other's relays, and no check crashes. Of all relays,
    neighbours are compared.
    """
    kinds = ("apiai", "apimart", "mjdjourney", "mjproxy", "newapi", "onehub", "trueai", "ttapi")
    for one, other in itertools.product(kinds, repeat=2):
        verdict, errors = judged(one, other)
        assert errors == frozenset(), (one, other)
        assert (verdict is Verdict.CONFORMANT) == (one == other), (one, other)
    for one, other in itertools.pairwise(relay_names()):
        verdict, errors = judged(one, other)
        assert errors == frozenset(), (one, other)
        if verdict is Verdict.CONFORMANT:
            own, shown = load_contract(one), load_contract(other)
            assert shown.path == own.path, other
            assert {*own.credentials[:1]} <= {*shown.credentials}, other
            assert [m.status for m in shown.reader.missing] == [m.status for m in own.reader.missing], other
