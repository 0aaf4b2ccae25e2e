"""Choosing checks by their ids, and what is told of them."""

from __future__ import annotations

import pytest
from mjrelay_conformance.checks.registry import (
    SelectionError,
    check_lines,
    clause,
    explain_check,
    select_checks,
)
from mjrelay_conformance.judging.checking import CHECKS
from sampled import SEVERAL

from mjrelay.contract.loading import load_contract


def test_selecting_checks_takes_what_they_need() -> None:
    """A glob brings the checks that it matches and their prerequisites, in the order of judging."""
    ids = [one.id for one in select_checks(["sequence/content"])]
    assert ids[-1] == "sequence/content"
    assert "fetch/transfer" in ids
    assert "auth/wrong/refused" not in ids
    assert select_checks(()) == list(CHECKS.values())


def test_excluding_checks_keeps_what_others_need() -> None:
    """An excluded check is left out, unless one that is wanted needs it."""
    assert "fetch/latency" not in {one.id for one in select_checks((), ["fetch/latency"])}
    kept = {one.id for one in select_checks(["fetch/200/id"], ["fetch/200/json"])}
    assert {"fetch/200/id", "fetch/200/json"} <= kept


@pytest.mark.parametrize(
    ("globs", "excluded", "message"),
    [
        (["fetch/200/tiems"], [], "--check fetch/200/tiems.*did you mean fetch/200/times"),
        ([], ["zzz"], "--exclude zzz"),
        ([], ["*"], "leaves no check"),
    ],
)
def test_what_matches_nothing_is_told(globs: list[str], excluded: list[str], message: str) -> None:
    """A glob that selects nothing, and a selection that is empty, are mistakes of the caller."""
    with pytest.raises(SelectionError, match=message):
        select_checks(globs, excluded)


@pytest.mark.parametrize("relay", SEVERAL)
@pytest.mark.parametrize("check", CHECKS)
def test_each_check_can_be_explained(relay: str, check: str) -> None:
    """Every check says what it judges, why, and on which clause it rests, which is there."""
    text = explain_check(load_contract(relay), check)
    one = CHECKS[check]
    assert one.sentence.endswith(".")
    assert one.why.endswith(".")
    assert one.sentence in text
    assert one.why in text
    file, _, rest = clause(load_contract(relay), one).partition(":")
    if file.startswith("openapi/"):
        line = int(rest.partition("#")[0])
        assert 1 <= line <= len(load_contract(relay).source.read_text(encoding="utf-8").splitlines())


def test_an_id_that_is_none_gets_the_nearest() -> None:
    """A misspelt id is answered with those that are like it."""
    with pytest.raises(SelectionError, match="did you mean fetch/200/times"):
        explain_check(load_contract("apiai"), "fetch/200/time")


def test_the_list_names_each_check_with_its_clause() -> None:
    """One line for each check, with level, sentence and clause."""
    told = list(check_lines(load_contract("zhongzhuan"), select_checks(["fetch/200/id"])))
    assert any(
        "fetch/200/id" in line and "must" in line and "openapi/zhongzhuan.yaml:" in line for line in told
    )
