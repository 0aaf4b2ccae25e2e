"""The reports of a run: terminal, JUnit, Markdown and badge; and hostile text in them."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mjrelay_conformance.report import badge, html, junit, markdown, terminal
from mjrelay_conformance.report import diff as diffs
from mjrelay_conformance.report.document import RelayReport, RunReport, family
from mjrelay_conformance.report.reading import ReportError, read_record
from records import BODY, FAILS, hostile, nasty, record, row, write
from rich.cells import cell_len
from rich.console import Console

if TYPE_CHECKING:
    from pathlib import Path


def shown(document: dict[str, Any], width: int = 80) -> str:
    """The terminal output for a record."""
    file = io.StringIO()
    terminal.render(document, Console(file=file, width=width))
    return file.getvalue()


def relays(document: dict[str, Any]) -> tuple[RelayReport, ...]:
    """The relays of a record."""
    return RunReport.of(document).relays


def junit_cases(document: dict[str, Any]) -> dict[str, ET.Element]:
    """The test cases of the JUnit report, by check."""
    root = ET.fromstring(junit.render(document))  # noqa: S314 - our own
    return {str(case.get("name")): case for case in root.iter("testcase")}


def test_the_terminal_shows_findings_first(real: Path) -> None:
    """A finding has a level, values, a clause with line, and a command; the summary has counts."""
    document = read_record(real)
    text = shown(document)
    assert text.index("MUST   apiai fetch/200/times") < text.index("SHOULD apiai fetch/200/failed")
    for line in (r"expected  \S", r"received  \S", r"clause  openapi/apiai\.yaml:\d+"):
        assert re.search(line, text)
    assert f"    {relays(document)[0].findings[0].exchanges[0].curl}\n" in text
    assert "    mjrelay conform --explain fetch/200/times\n" in text
    (numbers,) = re.findall(r"^apiai +non-conformant +([\d ]+)$", text, re.MULTILINE)
    narrow = " ".join(shown(document, 40).split())
    assert "apiai: non-conformant; passed" in narrow
    assert re.findall(r"(?:passed|must|should|info|blocked|sent) (\d+)", narrow) == numbers.split()


def test_the_terminal_omits_what_does_not_apply() -> None:
    """Without findings or generated cases there are no hints about them, nor for an unreachable relay."""
    assert "--explain" not in shown(record(row()))
    assert "200s" in shown(record(row()))
    assert "200s" not in shown(record(row(), fuzz=None))
    text = shown(record(row(outcome="not-exercised"), text="HINT", verdict="unreachable"))
    assert "check the base URL" in text
    assert "not exercised" not in text


def test_junit_has_a_case_for_each_check(real: Path) -> None:
    """A broken MUST is a failure, a SHOULD is output, and an unproven check is skipped."""
    document = read_record(real)
    cases = junit_cases(document)
    assert cases.keys() == {row["check"] for row in document["rows"]}
    failure = str(cases["fetch/200/times"].findtext("failure"))
    assert "curl" in failure
    assert "openapi/apiai.yaml:" in failure
    assert cases["fetch/200/failed/reason"].find("failure") is None
    assert "SHOULD" in str(cases["fetch/200/failed/reason"].findtext("system-out"))
    unproven = relays(document)[0].unproven().keys()
    assert unproven == {name for name, case in cases.items() if case.find("skipped") is not None}
    root = ET.fromstring(junit.render(document))  # noqa: S314 - our own
    totals = [int(root.get(name, "")) for name in ("tests", "failures", "skipped")]
    assert totals == [len(cases), 1, len(unproven)]


def test_strict_makes_every_finding_a_failure() -> None:
    """With ``strict``, an INFO finding is a JUnit failure."""
    document = record(row(level="info", **FAILS))
    assert "<failure" not in junit.render(document)
    document["header"]["options"]["strict"] = True
    assert "<failure" in junit.render(document)


def test_a_crashed_check_is_an_error() -> None:
    """A crashed check is an error in JUnit and comes first on a terminal."""
    document = record(row(**FAILS), row("auth/wrong/refused", outcome="error", actual="KeyError: 'a'"))
    assert junit_cases(document)["auth/wrong/refused"].find("error") is not None
    assert shown(document).startswith("ERROR")
    assert relays(document)[0].counts == {"must": 1, "should": 0, "info": 0, "error": 1}


def test_the_property_based_phase_is_named() -> None:
    """A finding names the property-based phase, unless the plan found it too."""
    document = record(row(exchange=2, **FAILS))
    for view in (shown, markdown.render, junit.render):
        assert "by the property-based phase" in view(document)
    assert "property-based" not in shown(record(row(exchange=1, **FAILS), row(exchange=2, **FAILS)))


def test_bodies_may_be_missing(tmp_path: Path) -> None:
    """A full record has bodies by size and hash only; every report still shows the finding."""
    document = record(row(**FAILS))
    bare = {name: BODY[name] for name in ("size", "sha256")}
    document["exchanges"] = [one | {"body": bare, "request_body": bare} for one in document["exchanges"]]
    document = read_record(write(tmp_path / "results.json", document))
    views = (shown(document), markdown.render(document), junit.render(document), html.render(document))
    assert all("fetch/200/times" in view for view in views)
    assert badge.render(document)["message"]


def test_equal_findings_are_merged() -> None:
    """Rows with the same level and values are one finding with several exchanges."""
    document = record(row(exchange=1, **FAILS), row(exchange=2, **FAILS), row(level="info", **FAILS))
    assert [len(finding.exchanges) for finding in relays(document)[0].findings] == [2, 1]
    assert "(and 1 more)" in shown(document)


def test_the_baseline() -> None:
    """An accepted finding has date and reason and is no failure; a line whose check passes is one."""
    lines = {
        "accepted": [{"check": "fetch/200/times", "reason": "they know", "date": "2026-01-01"}],
        "gone": [{"check": "auth/wrong/refused", "reason": "old", "date": "2025-01-01"}],
    }
    document = record(row(**FAILS), row("auth/wrong/refused"), baseline=lines)
    (relay,) = relays(document)
    assert not relay.findings
    assert len(relay.accepted) == 1
    text = shown(document)
    assert "accepted since 2026-01-01: fetch/200/times: they know" in text
    assert "passes: auth/wrong/refused" in text
    assert "MUST" not in text
    failed = [name for name, case in junit_cases(document).items() if case.find("failure") is not None]
    assert failed == ["auth/wrong/refused"]
    assert "accepted since `2026-01-01`" in markdown.render(document)


def test_an_incomplete_record_is_marked_everywhere() -> None:
    """Without a footer every report says so, also for relays that were not judged."""
    document = record(row(**FAILS), row(relay="two", **FAILS), footer=None)
    assert [relay.verdict for relay in relays(document)] == ["conformant", "incomplete"]
    assert "INCOMPLETE" in shown(document)
    assert "Incomplete" in markdown.render(document)
    assert "<error" in junit.render(document)
    assert "<error" in junit.render(record(relays=[], footer=None))
    assert badge.render(document)["message"] == "incomplete"
    assert diffs.diff(document, document).exit_code == 3


def test_an_unreachable_relay_is_a_junit_error() -> None:
    """If nothing was judged, JUnit has an error, because a file of skipped cases looks successful."""
    document = record(row(outcome="not-exercised"), verdict="unreachable")
    assert ET.fromstring(junit.render(document)).get("errors") == "1"  # noqa: S314 - our own


def test_badges() -> None:
    """A badge shows the verdict of a relay or of the run, in the format of shields.io."""
    document = record(row(), row(relay="two"))
    document["relays"].append(document["relays"][0] | {"relay": "two", "verdict": "partial"})
    document["footer"]["verdict"] = "partial"
    assert badge.render(document, "one") == {
        "schemaVersion": 1,
        "label": "one",
        "message": "conformant",
        "color": "brightgreen",
    }
    assert badge.render(document)["message"] == "partial"
    with pytest.raises(ReportError, match="choose one of: one, two"):
        badge.render(document, "three")


def test_families() -> None:
    """The family is the first part of a short check id and the first two of a long one."""
    checks = ("fetch/200/times", "fetch/200/failed/reason", "auth/wrong", "a")
    assert [*map(family, checks)] == ["fetch/200", "fetch/200", "auth", "a"]


def test_a_comment_is_never_too_long() -> None:
    """Many findings with long texts are cut between two parts, with a note; the most severe stay."""
    texts = {"outcome": "fail", "expected": "😀`" * 900, "actual": "a" * 5000}
    rows = [row(f"check/{n}", level="must" if n == 99 else "info", **texts) for n in range(100)]
    text = markdown.render(record(*rows))
    assert len(text.encode("utf-16-le")) // 2 <= markdown.LONGEST
    assert re.search(r"too long for \d+ more parts", text)
    assert text.index("check/99") < text.index("check/0")
    assert text.count("<details>") == text.count("</details>") > 10


@given(hostile)
@example("|")
def test_hostile_text_does_not_break_out_of_markdown(text: str) -> None:
    """Text from a relay is code in a comment: no link, image, markup or mention."""
    old, new = nasty(text), nasty(f"{text}.")
    for made in (markdown.render(old), diffs.markdown(diffs.diff(old, new))):
        for token in MarkdownIt("commonmark").enable("table").parse(made):
            if token.type == "html_block":
                left = re.sub(r"<code>[^<>]*</code>", "", token.content)
                left = re.sub(r"\d+ unproven checks:", "", left)
                assert not re.sub(r"</?(details|summary|b)>|MUST|SHOULD|INFO|ERROR|\s", "", left)
            for child in token.children or ():
                assert child.type in {
                    "text",
                    "code_inline",
                    "strong_open",
                    "strong_close",
                    "em_open",
                    "em_close",
                    "softbreak",
                }
                if child.type == "text":
                    assert not re.search(r"[@#`<>]|http|www|任务", child.content)
    _, head, rest = markdown.render(old).partition("| relay |")
    table = f"{head}{rest}".partition("\n\n")[0].splitlines()
    assert len(table) > 2
    assert {line.count("|") for line in table} == {8}


@given(hostile)
def test_hostile_text_does_not_break_out_of_junit(text: str) -> None:
    """With any text the file is well-formed XML that contains only JUnit elements."""
    root = ET.fromstring(junit.render(nasty(text)))  # noqa: S314 - our own
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "properties", "property", "failure", "error", "skipped",
        "system-out",
    }  # fmt: skip


@given(hostile, st.sampled_from([40, 80]))
def test_hostile_text_does_not_control_a_terminal(text: str, width: int) -> None:
    """The output has no control characters, and only commands are wider than the terminal."""
    old, new = nasty(text), nasty(f"{text}.")
    file = io.StringIO()
    diffs.terminal(diffs.diff(old, new), Console(file=file, width=width))
    for made in (shown(old, width), file.getvalue()):
        for one in made.split("\n"):
            assert one.isprintable()
            assert cell_len(one) <= width or one.startswith("    ")
