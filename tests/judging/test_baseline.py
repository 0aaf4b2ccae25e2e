"""Accepted findings: a file that says what, why and since when, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mjrelay_conformance.checks import registry as _families  # noqa: F401 - registers every check
from mjrelay_conformance.judging.baseline import Accepted, Baseline, BaselineError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "{relay: apiai, check: fetch/200/times, reason: they know, date: 2026-11-01}"


def load(tmp_path: Path, text: str) -> Baseline:
    """The baseline that a text makes."""
    path = tmp_path / "accepted.yaml"
    path.write_text(text, encoding="utf-8")
    return Baseline.load(path)


def test_a_line_says_what_why_and_since_when(tmp_path: Path) -> None:
    """A list of entries is read, dates with and without quotes, and asked for by relay."""
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
        ("accepted: true", "is no list"),
        ("- fetch/200/times", "entry 1: needs check, date, reason, relay"),
        (f"- {GOOD}\n- {GOOD.replace('reason: they know, ', '')}", "entry 2: needs"),
        (f"- {GOOD.replace('they know', repr(''))}", "reason is empty"),
        (f"- {GOOD.replace('they know', 'null')}", "reason is empty"),
        (f"- {GOOD.replace('200/times', '200/time')}", "did you mean fetch/200/times"),
        (f"- {GOOD.replace('2026-11-01', 'yesterday')}", "write YYYY-MM-DD"),
        ("- [", "--baseline"),
        ("", "is no list"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Whatever is wrong with a file is told with its entry and what to write instead."""
    with pytest.raises(BaselineError, match=message):
        load(tmp_path, text)


def test_a_baseline_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A path that leads nowhere is an error of the caller."""
    with pytest.raises(BaselineError, match="--baseline"):
        Baseline.load(tmp_path / "none.yaml")
