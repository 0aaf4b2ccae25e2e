"""Reports of several records: the differences of two, and the index of many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from mjrelay_conformance.report import diff as diffs
from mjrelay_conformance.report import index
from mjrelay_conformance.report.reading import ReportError
from records import FAILS, Page, hostile, nasty, record, row, write

if TYPE_CHECKING:
    from pathlib import Path


def test_a_diff_lists_changes() -> None:
    """A change is new, changed, gone, or not exercised now; the latter is not a repair."""
    old = record(
        row("a/gone", **FAILS),
        row("a/same", **FAILS),
        row("a/changed", **FAILS),
        row("a/untried", **FAILS),
        row("a/new"),
    )
    new = record(
        row("a/gone"),
        row("a/same", clause="openapi/one.yaml:99#/paths", **FAILS),
        row("a/changed", **FAILS | {"actual": "something else"}),
        row("a/untried", outcome="not-exercised"),
        row("a/new", **FAILS),
        verdict="non-conformant",
    )
    found = diffs.diff(old, new)
    assert {change.check: change.kind for change in found.changes} == {
        "a/new": "new",
        "a/changed": "changed",
        "a/gone": "gone",
        "a/untried": "not exercised now",
    }
    assert found.verdicts == {"one": ("conformant", "non-conformant")}
    assert found.exit_code == 1
    assert diffs.diff(old, old).exit_code == 0
    assert not diffs.diff(old, old).changes
    assert diffs.diff(record(row("a", **FAILS)), record(row("a"))).exit_code == 0


def test_a_diff_ignores_ids_and_times() -> None:
    """The same finding for another task or day is unchanged; with another status it is changed."""

    def one(day: str, status: str, task: str) -> dict[str, Any]:
        return record(
            row(outcome="fail", expected=f"a time before {day}", actual=f"{status} for task {task}")
        )

    old = one("2026-01-02 08:12", "500", "1730621826053455")
    assert not diffs.diff(old, one("2026-03-04 09:13", "500", "1730621826053999")).changes
    assert diffs.diff(old, one("2026-01-02 08:12", "502", "1730621826053455")).exit_code == 1


def test_a_diff_of_different_relays() -> None:
    """A relay that is missing in the newer run is not repaired; an added relay is listed."""
    old, new = record(row(**FAILS)), record(row(relay="two", **FAILS), relay="two")
    found = diffs.diff(old, new)
    assert found.verdicts == {"one": ("conformant", None), "two": (None, "conformant")}
    assert [(change.relay, change.kind) for change in found.changes] == [
        ("two", "new"),
        ("one", "not exercised now"),
    ]


def test_a_diff_accepts_accepted_findings() -> None:
    """A finding that the newer baseline accepts is listed, but does not change the exit code."""
    lines = {"accepted": [{"check": "fetch/200/times", "reason": "r", "date": "2026-01-01"}], "gone": []}
    found = diffs.diff(record(row()), record(row(**FAILS), baseline=lines))
    assert [change.accepted for change in found.changes] == [True]
    assert found.exit_code == 0


@given(text=hostile)
def test_hostile_text_does_not_break_out_of_the_index(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With any text the page has the elements of a page with harmless texts, and loads nothing."""
    directory = tmp_path_factory.mktemp("index")
    pages = []
    for one in ("text", f"text{text}"):
        write(directory / "results.json", nasty(one))
        pages.append(Page(index.render(index.collect(directory))))
    assert pages[0].tags == pages[1].tags
    assert [name for name, _ in pages[0].attributes] == [name for name, _ in pages[1].attributes]
    assert {"script", "img", "link", "iframe"}.isdisjoint(pages[1].tags)
    assert {value for name, value in pages[1].attributes if name == "href"} == {"results.json"}


def test_an_index_shows_the_trend_of_each_relay(tmp_path: Path) -> None:
    """Runs are ordered by date, mocks are separate from the relay, and reports are linked."""
    write(
        tmp_path / "b & c/results.json",
        record(row(**FAILS), verdict="non-conformant", started="2026-02-01T00:00:00Z"),
    )
    write(tmp_path / "a/results.json", record(row(), started="2026-03-01T00:00:00+00:00"))
    mocked = record(row())
    mocked["header"]["options"]["mode"] = "mock"
    write(tmp_path / "mock/results.json", mocked)
    write(tmp_path / "other.json", mocked)
    (tmp_path / "b & c/report.html").write_text("page")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/results.json").write_text("{")
    found = index.collect(tmp_path)
    page = index.render(found)
    assert page.count("<svg") == 2
    assert 'aria-label="Findings in 2 runs: 1, 0"' in page
    links = {value for name, value in Page(page).attributes if name == "href"}
    assert {"b%20%26%20c/report.html", "a/results.json", "broken/results.json"} <= links
    assert "a/report.html" not in links
    assert "is not JSON" in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    elsewhere = Page(index.render(found, tmp_path / "site"))
    assert "../a/results.json" in {value for name, value in elsewhere.attributes if name == "href"}


def test_an_index_collapses_old_runs(tmp_path: Path) -> None:
    """The latest ten runs are visible, newest first; the others are collapsed."""
    for day in range(1, 13):
        write(tmp_path / f"{day}/results.json", record(row(), started=f"2026-01-{day:02}T00:00:00Z"))
    page = index.render(index.collect(tmp_path))
    visible, separator, collapsed = page.partition("<summary>2 earlier</summary>")
    assert separator
    assert re.findall(r"<td data-name=run>2026-01-(\d\d)", visible) == [
        f"{day:02}" for day in range(12, 2, -1)
    ]
    assert re.findall(r"<td data-name=run>2026-01-(\d\d)", collapsed) == ["02", "01"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+05:00", "2026-12-31T23:59:60Z"])
def test_an_index_takes_any_valid_date(tmp_path: Path, moment: str) -> None:
    """A date that the schema allows but Python cannot represent counts as the earliest."""
    write(tmp_path / "a/results.json", record(row(), started=moment))
    write(tmp_path / "b/results.json", record(row()))
    found = index.collect(tmp_path)
    assert [run.path.parent.name for run in found.runs] == ["a", "b"]
    assert "0001-01-01" in index.render(found)


def test_an_index_needs_a_record(tmp_path: Path) -> None:
    """A directory without records raises, and the message names the next step."""
    with pytest.raises(ReportError, match=r"contains no results\.json; make one with"):
        index.collect(tmp_path)
    with pytest.raises(ReportError, match="is not a directory"):
        index.collect(tmp_path / "absent")
