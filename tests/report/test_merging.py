"""Several runs as one record, and the names that tell their relays apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from mjrelay_conformance.report import index, junit
from mjrelay_conformance.report.document import RunReport
from mjrelay_conformance.report.merging import merge
from mjrelay_conformance.report.reading import ReportError, read_record
from mjrelay_conformance.report.terminal import overall, summary
from records import FAILS, hostile, nasty, record, row, write

if TYPE_CHECKING:
    from pathlib import Path


def vendor(url: str, label: str = "one", **changes: Any) -> dict[str, Any]:
    """A run against a vendor of the server "one", with a finding."""
    rows = [row(relay=label, quote="format: ms", **FAILS), row("fetch/200/json", relay=label)]
    targets = {label: {"relay": "one", "url": url}}
    document = record(*rows, targets=targets, relay=label, verdict="non-conformant", **changes)
    document["footer"] = {**document["footer"], "verdict": "non-conformant", "exit_code": 1}
    return document


A, B = vendor("https://a.test"), vendor("https://b.test", started="2026-02-01T00:00:00+00:00")


def names(*documents: dict[str, Any]) -> list[str]:
    """The relays of a merged record."""
    return [relay.name for relay in RunReport.of(merge(documents)).relays]


def test_a_merged_record_has_all_relays(tmp_path: Path) -> None:
    """It is a valid record: rows point to the exchanges of their run, and the worst verdict decides."""
    clean = record(row(exchange=2))
    merged = read_record(
        write(tmp_path / "results.json", merge([clean, A, vendor("https://c.test", "Acme")]))
    )
    assert [one["number"] for one in merged["exchanges"]] == [1, 2, 3, 4, 5, 6]
    by_number = {one["number"]: one["relay"] for one in merged["exchanges"]}
    assert all(by_number[one["exchange"]] == one["relay"] for one in merged["rows"])
    assert merged["footer"] == {
        "finished": "2026-01-02T03:05:05+00:00",
        "verdict": "non-conformant",
        "exit_code": 1,
    }
    assert merged["header"]["reproduce"] == "text\ntext\ntext"
    assert merge([A, record(footer=None)])["footer"] is None


def test_vendors_of_one_server_are_two_relays(tmp_path: Path) -> None:
    """The host is added to equal names, then the time; labels stay. The index has a trend for each."""
    later = vendor("https://a.test", started="2026-03-01T00:00:00+00:00")
    assert names(A, vendor("https://c.test", "Acme")) == ["one", "Acme"]
    assert names(A, B) == ["one at a.test", "one at b.test"]
    assert names(A, later)[1] == "one at a.test, 2026-03-01T00:00:00+00:00"
    acme = (vendor("https://a.test", "Acme"), vendor("https://b.test", "Acme"))
    for number, document in enumerate((A, B, later, *acme)):
        write(tmp_path / f"{number}/results.json", document)
    page = index.render(index.collect(tmp_path))
    assert "Conformance of 3 relays" in page
    assert page.count("Findings in 2 runs") == 2  # one at a.test, and Acme, which has moved
    for text in ("https://a.test", "https://b.test", "contract one"):
        assert text in page


def test_runs_that_cannot_be_merged() -> None:
    """The same run twice, and strict with other runs."""
    with pytest.raises(ReportError, match="given twice"):
        merge([A, A])
    strict = record(row())
    strict["header"]["options"]["strict"] = True
    with pytest.raises(ReportError, match="--strict"):
        merge([A, strict])


@given(hostile)
def test_hostile_names_are_merged(text: str) -> None:
    """Any text may be a name or a URL; the summary has one printable line per finding and relay."""
    merged = merge([nasty(text), nasty(f"{text}.")])
    assert all(line.isprintable() for line in (*summary(merged), overall(merged)))


def test_counts_agree() -> None:
    """Summary, result and JUnit count checks in the same way, and JUnit times add up to the exchanges."""
    (line,) = (line for line in summary(A) if line.startswith("one at"))
    assert "non-conformant; passed 1, must 1, should 0, info 0, blocked 0, sent 5" in line
    assert overall(A) == "one: non-conformant; findings: 1 MUST; 5 requests sent"
    text = junit.render(A)
    assert re.findall(r'<testcase [^>]*time="([\d.]+)"', text) == ["0.001", "0.001"]
    assert re.findall(r'<testsuite [^>]*time="([\d.]+)"', text) == ["0.003"]
    assert 'name="url" value="https://a.test"' in text
    assert "format: ms" in text
