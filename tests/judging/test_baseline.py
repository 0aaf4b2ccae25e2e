"""The baseline file: valid entries, and the errors of invalid ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.judging.baseline import Accepted, Baseline, BaselineError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "{relay: apiai, check: fetch/200/times, reason: they know, date: 2026-11-01}"


def load(tmp_path: Path, text: str) -> Baseline:
    """The baseline that a text makes."""
    path = tmp_path / "accepted.yaml"
    path.write_text(text, encoding="utf-8")
    return Baseline.load(path, CHECKS)


def test_entries_are_loaded(tmp_path: Path) -> None:
    """Entries are loaded, with or without quotes around dates, and selected by relay."""
    baseline = load(tmp_path, f"- {GOOD}\n- {GOOD.replace('2026-11-01', repr('2026-11-02'))}\n")
    assert baseline.accepted == (
        Accepted("apiai", "fetch/200/times", "they know", "2026-11-01"),
        Accepted("apiai", "fetch/200/times", "they know", "2026-11-02"),
    )
    assert baseline.checks("apiai") == {"fetch/200/times"}
    assert baseline.checks("zhongzhuan") == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accepted: true", "is not a list"),
        ("- fetch/200/times", "entry 1: must have exactly the keys check, date, reason, relay"),
        (f"- {GOOD}\n- {GOOD.replace('reason: they know, ', '')}", "entry 2: must have"),
        (f"- {GOOD.replace('they know', repr(''))}", "reason is empty"),
        (f"- {GOOD.replace('they know', 'null')}", "reason is empty"),
        (f"- {GOOD.replace('200/times', '200/time')}", "did you mean fetch/200/times"),
        (f"- {GOOD.replace('2026-11-01', 'yesterday')}", "write YYYY-MM-DD"),
        ("- [", "--baseline"),
        ("", "is not a list"),
    ],
)
def test_an_invalid_baseline_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    """The error names the entry and what to write instead."""
    with pytest.raises(BaselineError, match=message):
        load(tmp_path, text)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """The error of a missing file names the option."""
    with pytest.raises(BaselineError, match="--baseline"):
        Baseline.load(tmp_path / "none.yaml", CHECKS)
