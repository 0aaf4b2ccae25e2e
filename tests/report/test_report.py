"""The reports of a run: their contents, invalid records, and hostile text."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import forked
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mjrelay_conformance.drivers.options import ConformOptions
from mjrelay_conformance.drivers.run import judge_relays
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from mjrelay_conformance.report import badge, html, index, junit, markdown, terminal
from mjrelay_conformance.report import diff as diffs
from mjrelay_conformance.report.document import RelayReport, RunReport, family
from mjrelay_conformance.report.reading import ReportError, read_record
from rich.cells import cell_len
from rich.console import Console

from mjrelay.cli.report import report as command
from mjrelay.contract.loading import load_contract

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

KEY = "sk-of-the-tests-4711"
BODY = {"size": 2, "sha256": "0" * 64, "text": "{}"}
FAILS = {"outcome": "fail", "expected": "a time in milliseconds", "actual": "1730621826"}
BREAKOUTS = [
    "`", "``", "```", "~~~~", "|", "\\|", "\\", "\n", "\n\n", "\r\n", "# ", "- ", "> ", "    ", "@somebody",
    "#1", "[a](http://b)", "![a](//b)", "<script>alert(1)</script>", "<!--", "-->",
    "</code></summary></details>",
    "]]>", "&lt;", "&#64;", '"', "'", "http://b.test", "www.b.test", "\x1b[31m", "\x00", "\x9b", "\u202e",
    "\ufffe",
    "{}", "{0}", "%s", "任务", "</style>", "javascript:alert(1)", "$a$", "\u2028",
]  # fmt: skip
hostile = st.lists(st.sampled_from(BREAKOUTS) | st.text(max_size=5), max_size=8).map("".join)


def row(check: str = "fetch/200/times", **changes: Any) -> dict[str, Any]:
    """A row of a passed check, with changes."""
    return {
        "relay": "one",
        "check": check,
        "level": "must",
        "outcome": "pass",
        "clause": "openapi/one.yaml:12#/paths",
        "exchange": 1,
        "expected": None,
        "actual": None,
        **changes,
    }


def record(*rows: dict[str, Any], text: str = "text", **changes: Any) -> dict[str, Any]:
    """A record of one relay with these rows; ``text`` is every text from a relay or a user."""
    exchange = {
        "number": 1, "relay": "one", "driver": "plan", "kind": "known", "task": text, "label": text,
        "method": text,
        "target": text, "request_headers": [[text, text]], "request_body": BODY, "status": 200,
        "headers": [[text, text]], "body": BODY | {"text": text}, "elapsed_ms": 1.5, "failure": None,
        "curl": text,
    }  # fmt: skip
    options = {
        "mode": "live", "profile": "read", "fuzz": False, "strict": False, "checks": [text], "excluded": [],
        "seed": 0, "overlays": [text],
    }  # fmt: skip
    relay = {
        "relay": "one", "contract": text, "version": text, "verdict": "conformant", "requests": 5,
        "features": [
            {"name": text, "core": True, "exercised": False, "hint": text},
            {"name": text, "core": False, "exercised": False, "hint": text},
        ],
        "fuzz": {"cases": 4, "reached_200": 3, "seed": 0, "mode": "full"},
        "stopped": text, "baseline": None,
    }  # fmt: skip
    return {
        "format": "urn:mjrelay:results:1",
        "header": {
            "tool": text,
            "started": changes.pop("started", "2026-01-02T03:04:05.678+00:00"),
            "options": options,
            "reproduce": text,
        },
        "relays": [relay | {name: changes.pop(name) for name in relay.keys() & changes.keys()}],
        "rows": [{**one} for one in rows],
        "exchanges": [exchange, exchange | {"number": 2, "driver": "fuzz"}],
        "footer": {"finished": "2026-01-02T03:05:05+00:00", "verdict": "conformant", "exit_code": 0},
        **changes,
    }


def nasty(text: str) -> dict[str, Any]:
    """A record with a text in every place that the schema allows."""
    rows = [
        row(text, relay=text, outcome="fail", expected=text, actual=text, clause=text),
        row(
            text,
            relay=text,
            outcome="fail",
            level="info",
            expected=text,
            actual=text,
            clause=text,
            exchange=2,
        ),
        row(f"{text}/a", relay=text, outcome="error", actual=text, exchange=7),
        row(f"{text}/b", relay=text, outcome="inconclusive", actual=text, exchange=None),
        row(f"{text}/c", relay=text, outcome="blocked", actual=text),
        row(f"{text}/d", relay=text, outcome="fail", expected=text, actual=text),
        row(f"x{text}", relay=f"x{text}", **FAILS),
    ]
    lines = {
        "accepted": [{"check": f"{text}/d", "reason": text, "date": "2026-01-01"}],
        "gone": [{"check": f"{text}/e", "reason": text, "date": "2026-01-01"}],
    }
    return record(*rows, text=text, relay=text, baseline=lines)


def write(path: Path, document: dict[str, Any]) -> Path:
    """Write a record to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def shown(document: dict[str, Any], width: int = 80) -> str:
    """The terminal output for a record."""
    file = io.StringIO()
    terminal.render(document, Console(file=file, width=width))
    return file.getvalue()


def relays(document: dict[str, Any]) -> tuple[RelayReport, ...]:
    """The relays of a record."""
    return RunReport.of(document).relays


def mjrelay(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return forked.run([*map(str, arguments)], {**os.environ, **environment})


def report(*arguments: str | Path) -> Result:
    """Run a report command in this process."""
    return CliRunner().invoke(command, [*map(str, arguments)])


def junit_cases(document: dict[str, Any]) -> dict[str, ET.Element]:
    """The test cases of the JUnit report, by check."""
    root = ET.fromstring(junit.render(document))  # noqa: S314 - our own
    return {str(case.get("name")): case for case in root.iter("testcase")}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run against a mock that breaks a MUST and a SHOULD."""
    directory = tmp_path_factory.mktemp("real")
    mock = MockRelay(
        load_contract("zhongzhuan"), key=KEY, faults=("seconds-not-ms", "failure-without-reason")
    )
    with pytest.MonkeyPatch.context() as patch, Server(mock) as base_url:
        patch.setenv("MJRELAY_API_KEY", KEY)
        options = ConformOptions(
            relay="zhongzhuan",
            base_url=base_url,
            tasks=tuple(f"{task}={state.value}" for state, task in mock.known.items()),
            fuzz=False,
            report_dir=directory,
        )
        judge_relays(options, Console(file=io.StringIO()))
    return directory


def test_a_record_is_read(real: Path) -> None:
    """A record is read from its file or its directory, and contains the findings, most severe first."""
    document = read_record(real)
    assert document == read_record(real / "results.json")
    (relay,) = relays(document)
    assert relay.verdict == "non-conformant"
    assert {finding.check for finding in relay.findings} == {"fetch/200/times", "fetch/200/failed/reason"}
    assert relay.findings[0].level == "must"
    assert all(finding.exchanges for finding in relay.findings)


def test_the_terminal_shows_findings_first(real: Path) -> None:
    """A finding has a level, values, a clause with line, and a command; the summary has counts."""
    document = read_record(real)
    text = shown(document)
    assert text.index("MUST   zhongzhuan fetch/200/times") < text.index("SHOULD zhongzhuan fetch/200/failed")
    for line in (r"expected  \S", r"received  \S", r"clause  openapi/zhongzhuan\.yaml:\d+"):
        assert re.search(line, text)
    assert f"    {relays(document)[0].findings[0].exchanges[0].curl}\n" in text
    assert "    mjrelay conform --explain fetch/200/times\n" in text
    (numbers,) = re.findall(r"^zhongzhuan +non-conformant +([\d ]+)$", text, re.MULTILINE)
    narrow = " ".join(shown(document, 40).split())
    assert "zhongzhuan: non-conformant; passed" in narrow
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
    assert "openapi/zhongzhuan.yaml:" in failure
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


@settings(max_examples=40)
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


@settings(max_examples=40)
@given(hostile)
def test_hostile_text_does_not_break_out_of_junit(text: str) -> None:
    """With any text the file is well-formed XML that contains only JUnit elements."""
    root = ET.fromstring(junit.render(nasty(text)))  # noqa: S314 - our own
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "properties", "property", "failure", "error", "skipped",
        "system-out",
    }  # fmt: skip


@settings(max_examples=40)
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


class Page(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element."""
        self.tags.append(tag)
        self.attributes += attrs


@settings(max_examples=30)
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


def test_a_truncated_record_is_refused(tmp_path: Path) -> None:
    """A record that is cut off anywhere raises, and the message names the next step."""
    document = record(row(**FAILS), text='a"\\任务\U0001f600')
    data = json.dumps(document, ensure_ascii=False, indent=1).encode()
    path = tmp_path / "results.json"
    for length in range(0, len(data) - 1, 41):
        path.write_bytes(data[:length])
        with pytest.raises(ReportError, match=r"cut off.*make a new record with: mjrelay conform"):
            read_record(path)
    path.write_bytes(data)
    assert read_record(path) == document


def test_an_invalid_file_is_refused(tmp_path: Path) -> None:
    """Each kind of invalid file raises an error of one line with the reason."""
    for content, reason in (
        (b"", "cut off"),
        (b"\xff", "UTF-8"),
        (b"[]", "not the record of a run"),
        (b'{"format": "urn:mjrelay:results:2"}', "not the record of a run"),
        (b'{"format": "urn:mjrelay:results:1"}', "not a valid record, at /"),
        (b"[" * 200_000, "cannot be read as JSON|not JSON"),
        (b'{"format": NaN}', "NaN is not a JSON number"),
        (b'{"format": "\\ud800"}', "UTF-8"),
        (b"9" * 5000, "cannot be read as JSON"),
        (
            b'{"format": "urn:mjrelay:results:1", "rows": ' + b"[" * 500 + b"]" * 500 + b"}",
            "not a valid record: .*[Rr]ecursion",
        ),
    ):
        (tmp_path / "results.json").write_bytes(content)
        with pytest.raises(ReportError, match=reason) as raised:
            read_record(tmp_path)
        assert "\n" not in str(raised.value)


def test_an_invalid_record_is_refused_with_its_location(tmp_path: Path) -> None:
    """A record that does not match the schema is refused with a JSON Pointer; so is a missing file."""
    document = record(row(**FAILS))
    document["rows"][0]["outcome"] = "splendid"
    with pytest.raises(ReportError, match="at /rows/0/outcome"):
        read_record(write(tmp_path / "a.json", document))
    with pytest.raises(ReportError, match="make a record with"):
        read_record(tmp_path / "absent")


def test_a_record_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """A file of 10 GB raises before it is read into memory."""
    with (tmp_path / "results.json").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(ReportError, match="larger than 64 MiB"):
        read_record(tmp_path)


def test_every_command_refuses_a_truncated_record(tmp_path: Path) -> None:
    """No command makes a report from a truncated record."""
    whole = write(tmp_path / "whole.json", record(row()))
    half = tmp_path / "results.json"
    half.write_bytes(whole.read_bytes()[:-5])
    single = [(name, half) for name in ("show", "html", "junit", "markdown", "badge")]
    for arguments in (*single, ("diff", whole, half), ("diff", half, whole)):
        result = report(*arguments)
        assert isinstance(result.exception, ReportError)
        assert not result.stdout
    assert "cut off" in index.render(index.collect(tmp_path))


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
    assert re.findall(r"<td>2026-01-(\d\d)", visible) == [f"{day:02}" for day in range(12, 2, -1)]
    assert re.findall(r"<td>2026-01-(\d\d)", collapsed) == ["02", "01"]


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


def test_the_command_shows_and_converts(real: Path, tmp_path: Path) -> None:
    """Reports go to stdout or to the file of ``--output``, and the exit code is 0."""
    done = mjrelay("report", "show", real, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == read_record(real)
    made = report("junit", real, "--output", tmp_path / "junit.xml")
    assert (made.exit_code, made.stdout) == (0, "")
    assert ET.parse(tmp_path / "junit.xml").getroot().tag == "testsuites"  # noqa: S314 - our own
    for arguments, start in (
        (["markdown"], "### Conformance"),
        (["badge"], '{"schemaVersion": 1'),
        (["html"], "<!doctype html>"),
        (["show", "--format", "pretty"], "MUST"),
        (["show", "--format", "markdown"], "### Conformance"),
    ):
        made = report(*arguments, real)
        assert made.exit_code == 0
        assert made.stdout.lower().startswith(start.lower())
    assert json.loads(report("schema").stdout)["$id"] == "urn:mjrelay:results:1"


def test_an_incomplete_record_has_its_own_exit_code(tmp_path: Path) -> None:
    """A report of a run that was cut short is made, with exit code 3 and a message on stderr."""
    path = write(tmp_path / "results.json", record(row(**FAILS), footer=None))
    for arguments in (["show", "--format", "pretty"], ["html"], ["junit"], ["markdown"], ["badge"]):
        made = report(*arguments, path)
        assert made.exit_code == 3
        assert re.search("incomplete|cut short", made.stdout, re.IGNORECASE)
        assert "cut short" in made.stderr


def test_the_exit_code_of_a_diff(real: Path, tmp_path: Path) -> None:
    """The exit code is 1 for a new finding, 0 for none, and 2 for an unreadable record."""
    clean = copy.deepcopy(read_record(real))
    clean["rows"] = [one | {"outcome": "pass"} for one in clean["rows"]]
    write(tmp_path / "results.json", clean)
    made = report("diff", tmp_path, real)
    assert made.exit_code == 1
    assert {change["kind"] for change in json.loads(made.stdout)["changes"]} == {"new"}
    assert report("diff", real, tmp_path).exit_code == 0
    done = mjrelay("report", "diff", tmp_path / "absent", real)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("mjrelay: ")


def test_an_unwritable_output_is_one_line(real: Path, tmp_path: Path) -> None:
    """A report that cannot be written ends with one line and exit code 2; the record is kept."""
    done = mjrelay("report", "markdown", real, "--output", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("mjrelay: --output")
    (tmp_path / "report.html").mkdir()
    run = ("conform", "zhongzhuan", "--no-fuzz", "--profile", "read", "--check", "fetch/200/json")
    done = mjrelay(*run, "--report-dir", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("mjrelay: --report-dir")
    assert read_record(tmp_path)["footer"]["verdict"] == "partial"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for processes")
def test_an_interrupted_run_keeps_its_record(tmp_path: Path) -> None:
    """Ctrl-C exits with 130 and prints the command that shows the record."""
    with Server(MockRelay(load_contract("zhongzhuan"), key=KEY, latency=0.2)) as base_url:
        command = [sys.executable, "-m", "mjrelay", "conform", "zhongzhuan", "--base-url", base_url]
        process = subprocess.Popen(
            [*command, "--report-dir", str(tmp_path)],
            env={**os.environ, "MJRELAY_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not (tmp_path / "results.json").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"mjrelay report show {tmp_path}" in output
    assert read_record(tmp_path)["footer"] is None


def test_the_help_is_not_truncated() -> None:
    """On a terminal of 80 columns no option is truncated, and no default is read as markup."""
    done = mjrelay("conform", "--help", COLUMNS="80", NO_COLOR="1")
    assert "--i-operate-this-relay" in done.stdout
    text = " ".join(done.stdout.replace("\u2502", " ").split())
    assert "Default: 50." in text
    assert "Default for a live relay: 5." in text


def test_the_command_makes_an_index(real: Path, tmp_path: Path) -> None:
    """The links of the index are relative to its file; without a readable record the exit code is 2."""
    assert report("index", real, "--output", tmp_path / "index.html").exit_code == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    links = {str(value) for name, value in Page(page).attributes if name == "href"}
    assert all((tmp_path / link).is_file() for link in links)
    (tmp_path / "results.json").write_text("{")
    assert report("index", tmp_path).exit_code == 2
