"""The registry, the selection of checks by id, and their explanations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mjrelay_conformance import checks
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.checks.registry import (
    SelectionError,
    check_lines,
    clause,
    explain_check,
    select_checks,
)
from mjrelay_conformance.drivers import ConformOptions, judge_relays
from rich.console import Console
from sampled import SEVERAL

from mjrelay.contract.loading import load_contract


def test_selecting_checks_takes_what_they_need() -> None:
    """A glob selects matching checks and the checks that they need, in the order of judging."""
    ids = [one.id for one in select_checks(["sequence/content"])]
    assert ids[-1] == "sequence/content"
    assert "fetch/transfer" in ids
    assert "auth/wrong/refused" not in ids
    assert select_checks(()) == list(CHECKS.values())


def test_excluding_checks_keeps_what_others_need() -> None:
    """An excluded check is left out, unless a selected check needs it."""
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
def test_a_glob_without_a_match_is_an_error(globs: list[str], excluded: list[str], message: str) -> None:
    """A glob without a match and an empty selection are errors that name the option."""
    with pytest.raises(SelectionError, match=message):
        select_checks(globs, excluded)


@pytest.mark.parametrize("relay", SEVERAL)
def test_each_check_can_be_explained(relay: str) -> None:
    """Every check has a sentence, a reason, and a clause that exists."""
    lines = len(load_contract(relay).source.read_text(encoding="utf-8").splitlines())
    for one in CHECKS.values():
        text = explain_check(load_contract(relay), one.id)
        assert one.sentence.endswith(".")
        assert one.why.endswith(".")
        assert len(one.why) > 40
        assert one.sentence in text
        assert one.why in text
        file, _, rest = clause(load_contract(relay), one).partition(":")
        if file.startswith("openapi/"):
            assert 1 <= int(rest.partition("#")[0]) <= lines


def test_each_id_is_written_out_where_its_check_is_defined() -> None:
    """Every id is a literal in exactly one module of the package."""
    sources = [path.read_text(encoding="utf-8") for path in Path(checks.__file__).parent.glob("*.py")]
    for id_ in CHECKS:
        assert sum(text.count(f'"{id_}"') for text in sources) == 1, id_


def test_reports_of_another_process_have_the_sentences(tmp_path: Path) -> None:
    """A process that only renders a record knows the sentences and reasons of all checks."""
    options = ConformOptions(relay="apiai", profile="read", fuzz=False, report_dir=tmp_path)
    judge_relays(options, Console(stderr=True))
    command = [sys.executable, "-m", "mjrelay", "report", "html", str(tmp_path)]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for one in (CHECKS["fetch/200/times"], CHECKS["auth/wrong/refused"]):
        assert one.sentence in page
        assert one.why in page


def test_a_misspelt_id_gets_a_suggestion() -> None:
    """The error of an unknown id suggests a similar one."""
    with pytest.raises(SelectionError, match="did you mean fetch/200/times"):
        explain_check(load_contract("apiai"), "fetch/200/time")


def test_the_list_names_each_check_with_its_clause() -> None:
    """Each check has one line with its level, sentence and clause."""
    lines = list(check_lines(load_contract("zhongzhuan"), select_checks(["fetch/200/id"])))
    assert any(
        "fetch/200/id" in line and "must" in line and "openapi/zhongzhuan.yaml:" in line for line in lines
    )
