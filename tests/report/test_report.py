"""The views of a run's record: they say what it says, refuse what is none, and hostile text stays text."""

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

import pytest
from click.testing import CliRunner
from hypothesis import example, given
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
    """A row that says that a check passed, unless changed."""
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
    """A record of one relay with these rows; ``text`` stands wherever a relay or a user may have written."""
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
    """A record in which a text stands everywhere that the schema lets it."""
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
    """A record in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def shown(document: dict[str, Any], width: int = 80) -> str:
    """What a terminal shows of a record."""
    file = io.StringIO()
    terminal.render(document, Console(file=file, width=width))
    return file.getvalue()


def relays(document: dict[str, Any]) -> tuple[RelayReport, ...]:
    """The relays of a record."""
    return RunReport.of(document).relays


def mjrelay(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "mjrelay", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a run on a mock that breaks a MUST and a SHOULD."""
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


def test_a_real_record_is_readable(real: Path) -> None:
    """A record that a run wrote is read from its directory as from its file, and holds the findings."""
    document = read_record(real)
    assert document == read_record(real / "results.json")
    (relay,) = relays(document)
    assert relay.verdict == "non-conformant"
    assert {finding.check for finding in relay.findings} == {"fetch/200/times", "fetch/200/failed/reason"}
    assert relay.findings[0].level == "must"
    assert all(finding.exchanges for finding in relay.findings)


def test_the_terminal_shows_findings_first(real: Path) -> None:
    """Each finding has its level, what came, its clause with a line, and a command on a line of its own."""
    document = read_record(real)
    text = shown(document)
    assert text.index("MUST   zhongzhuan fetch/200/times") < text.index("SHOULD zhongzhuan fetch/200/failed")
    assert re.search(r"expected  \S", text)
    assert re.search(r"received  \S", text)
    assert re.search(r"clause  openapi/zhongzhuan\.yaml:\d+", text)
    curl = relays(document)[0].findings[0].exchanges[0].curl
    assert f"    {curl}\n" in text
    assert re.search(r"^zhongzhuan +non-conformant ", text, re.MULTILINE)


def test_a_narrow_terminal_keeps_names_and_counts(real: Path) -> None:
    """Where a table would lose its columns the same numbers stand in lines."""
    document = read_record(real)
    wide, narrow = shown(document, 80), shown(document, 40)
    (numbers,) = re.findall(r"^zhongzhuan +non-conformant +([\d ]+)$", wide, re.MULTILINE)
    text = " ".join(narrow.split())
    assert "zhongzhuan: non-conformant; passed" in text
    assert re.findall(r"(?:passed|must|should|info|blocked|sent) (\d+)", text) == numbers.split()


def test_the_terminal_says_where_more_is_told(real: Path) -> None:
    """Whoever sees a finding for the first time is led to what its check is about; without one nobody is."""
    assert "    mjrelay conform --explain fetch/200/times\n" in shown(read_record(real))
    assert "--explain" not in shown(record(row()))


def test_cases_are_counted_where_there_were_any() -> None:
    """A run without the property-based phase has no columns for it."""
    assert "200s" in shown(record(row()))
    assert "200s" not in shown(record(row(), fuzz=None))


def test_an_unreachable_relay_gets_no_other_advice() -> None:
    """Where no answer came, nothing is said of tasks to name: that would mend nothing."""
    text = shown(record(row(outcome="not-exercised"), text="HINT", verdict="unreachable"))
    assert "check the base URL" in text
    assert "not exercised" not in text


def test_junit_has_a_case_for_each_check(real: Path) -> None:
    """What makes the verdict non-conformant is a failure, a SHOULD is output, what is unproven is skipped."""
    document = read_record(real)
    root = ET.fromstring(junit.render(document))  # noqa: S314 - our own
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases.keys() == {row["check"] for row in document["rows"]}
    failure = cases["fetch/200/times"].find("failure")
    assert failure is not None
    assert "curl" in str(failure.text)
    assert "openapi/zhongzhuan.yaml:" in str(failure.text)
    assert cases["fetch/200/failed/reason"].find("failure") is None
    assert "SHOULD" in str(cases["fetch/200/failed/reason"].findtext("system-out"))
    silent = set(relays(document)[0].unproven())
    assert silent == {name for name, case in cases.items() if case.find("skipped") is not None}
    assert root.get("tests") == str(len(cases))
    assert root.get("failures") == "1"
    assert root.get("skipped") == str(len(silent))


def test_strict_makes_every_finding_a_failure() -> None:
    """Where every finding counts for the verdict, it is a failure to JUnit."""
    document = record(row(level="info", **FAILS))
    assert "<failure" not in junit.render(document)
    document["header"]["options"]["strict"] = True
    assert "<failure" in junit.render(document)


def test_a_mistake_of_ours_is_told_from_a_finding() -> None:
    """A check that failed itself is an error in JUnit, and the first thing at a terminal."""
    document = record(row(**FAILS), row("auth/wrong/refused", outcome="error", actual="KeyError: 'a'"))
    case = ET.fromstring(junit.render(document)).find(".//testcase[@name='auth/wrong/refused']")  # noqa: S314
    assert case is not None
    assert case.find("error") is not None
    assert shown(document).startswith("ERROR")
    assert relays(document)[0].counts == {"must": 1, "should": 0, "info": 0, "error": 1}


def test_the_property_based_phase_is_named() -> None:
    """A finding says that the property-based phase made it, unless the plan saw it too."""
    assert "by the property-based phase" in shown(record(row(exchange=2, **FAILS)))
    assert "property-based phase" in markdown.render(record(row(exchange=2, **FAILS)))
    assert "property-based phase" in junit.render(record(row(exchange=2, **FAILS)))
    assert "property-based" not in shown(record(row(exchange=1, **FAILS), row(exchange=2, **FAILS)))


def test_a_body_that_was_not_kept_harms_no_view(tmp_path: Path) -> None:
    """A record that is full has bodies by size and hash only: every view shows the finding all the same."""
    document = record(row(**FAILS))
    bare = {name: BODY[name] for name in ("size", "sha256")}
    document["exchanges"] = [one | {"body": bare, "request_body": bare} for one in document["exchanges"]]
    document = read_record(write(tmp_path / "results.json", document))
    views = (shown(document), markdown.render(document), junit.render(document), html.render(document))
    assert all("fetch/200/times" in view for view in views)
    assert badge.render(document)["message"]


def test_same_findings_are_one() -> None:
    """What many exchanges show is told once, with their number."""
    document = record(row(exchange=1, **FAILS), row(exchange=2, **FAILS), row(level="info", **FAILS))
    assert [len(finding.exchanges) for finding in relays(document)[0].findings] == [2, 1]
    assert "(and 1 more)" in shown(document)


def test_the_baseline_is_told_apart() -> None:
    """An accepted finding is shown with its date and reason and is no failure; one that is gone is."""
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
    root = ET.fromstring(junit.render(document))  # noqa: S314 - our own
    failed = {case.get("name") for case in root.iter("testcase") if case.find("failure") is not None}
    assert failed == {"auth/wrong/refused"}
    assert "accepted since `2026-01-01`" in markdown.render(document)


def test_a_run_that_was_cut_short_says_so_everywhere() -> None:
    """Without a footer every view says that the run is not whole, also of relays that it never finished."""
    document = record(row(**FAILS), row(relay="two", **FAILS), footer=None)
    assert [relay.verdict for relay in relays(document)] == ["conformant", "incomplete"]
    assert "INCOMPLETE" in shown(document)
    assert "Incomplete" in markdown.render(document)
    assert "<error" in junit.render(document)
    assert "<error" in junit.render(record(relays=[], footer=None))
    assert badge.render(document)["message"] == "incomplete"
    assert diffs.diff(document, document).exit_code == 3


def test_an_unreachable_relay_is_not_all_skipped() -> None:
    """Where nothing answered JUnit has an error, for a file of skipped cases would look fine."""
    document = record(row(outcome="not-exercised"), verdict="unreachable")
    assert ET.fromstring(junit.render(document)).get("errors") == "1"  # noqa: S314 - our own


def test_badges() -> None:
    """A badge has the verdict of a relay or of the whole run, in the form that shields.io reads."""
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


@pytest.mark.parametrize(
    ("check", "name"),
    [
        ("fetch/200/times", "fetch/200"),
        ("fetch/200/failed/reason", "fetch/200"),
        ("auth/wrong", "auth"),
        ("a", "a"),
    ],
)
def test_families(check: str, name: str) -> None:
    """A check's family is the first part of a short id and the first two of a long one."""
    assert family(check) == name


def test_a_comment_is_never_too_long() -> None:
    """Many findings with long texts are cut at a whole part, with a note; the heaviest stay."""
    rows = [
        row(
            f"check/{n}",
            level="must" if n == 499 else "info",
            outcome="fail",
            expected="😀`" * 900,
            actual="a" * 5000,
        )
        for n in range(500)
    ]
    text = markdown.render(record(*rows))
    assert len(text.encode("utf-16-le")) // 2 <= markdown.LONGEST
    assert re.search(r"too long for \d+ more parts", text)
    assert text.index("check/499") < text.index("check/0")
    assert text.count("<details>") == text.count("</details>") > 10


@given(hostile)
@example("|")
def test_hostile_text_does_not_break_out_of_markdown(text: str) -> None:
    """Whatever a relay wrote is code in a comment: no link, no image, no markup, no mention."""
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
    """Whatever a relay wrote, the file is well-formed XML, with only the elements that are JUnit's."""
    root = ET.fromstring(junit.render(nasty(text)))  # noqa: S314 - our own
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "properties", "property", "failure", "error", "skipped",
        "system-out",
    }  # fmt: skip


@given(hostile, st.sampled_from([40, 80]))
def test_hostile_text_does_not_steer_a_terminal(text: str, width: int) -> None:
    """Nothing but what can be seen comes through, and only a command is wider than the terminal."""
    old, new = nasty(text), nasty(f"{text}.")
    file = io.StringIO()
    diffs.terminal(diffs.diff(old, new), Console(file=file, width=width))
    for made in (shown(old, width), file.getvalue()):
        for one in made.split("\n"):
            assert one.isprintable()
            assert cell_len(one) <= width or one.startswith("    ")


class Page(HTMLParser):
    """The elements of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        self.attributes += attrs


@given(text=hostile)
def test_hostile_text_does_not_break_out_of_the_index(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in records, the page has the elements of one with harmless texts, and loads nothing."""
    directory = tmp_path_factory.mktemp("index")
    pages = []
    for one in ("text", f"text{text}"):
        write(directory / "results.json", nasty(one))
        pages.append(Page(index.render(index.collect(directory))))
    assert pages[0].tags == pages[1].tags
    assert [name for name, _ in pages[0].attributes] == [name for name, _ in pages[1].attributes]
    assert {"script", "img", "link", "iframe"}.isdisjoint(pages[1].tags)
    assert {value for name, value in pages[1].attributes if name == "href"} == {"results.json"}


def test_a_record_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    """A record that lost its end is never taken for a whole one, and the message says what to do."""
    document = record(row(**FAILS), text='a"\\任务\U0001f600')
    data = json.dumps(document, ensure_ascii=False, indent=1).encode()
    path = tmp_path / "results.json"
    for length in range(0, len(data) - 1, 11):
        path.write_bytes(data[:length])
        with pytest.raises(ReportError, match=r"cut off.*make a new record with: mjrelay conform"):
            read_record(path)
    path.write_bytes(data)
    assert read_record(path) == document


@pytest.mark.parametrize(
    ("content", "reason"),
    [
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
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """Each kind of a wrong file has one clear line of an error."""
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=reason) as raised:
        read_record(tmp_path)
    assert "\n" not in str(raised.value)


def test_an_invalid_record_is_refused_with_its_place(tmp_path: Path) -> None:
    """What does not fit the published schema is refused, and where it does not is said."""
    document = record(row(**FAILS))
    document["rows"][0]["outcome"] = "splendid"
    with pytest.raises(ReportError, match="at /rows/0/outcome"):
        read_record(write(tmp_path / "a.json", document))
    with pytest.raises(ReportError, match="make a record with"):
        read_record(tmp_path / "absent")


def test_a_record_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """A file of any size costs bounded memory."""
    with (tmp_path / "results.json").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(ReportError, match="larger than 64 MiB"):
        read_record(tmp_path)


def test_every_command_refuses_half_a_record(tmp_path: Path) -> None:
    """No command makes a report of a record that was cut off."""
    whole = write(tmp_path / "whole.json", record(row()))
    half = tmp_path / "results.json"
    half.write_bytes(whole.read_bytes()[:-5])
    single = [[name, str(half)] for name in ("show", "html", "junit", "markdown", "badge")]
    for arguments in [*single, ["diff", str(whole), str(half)], ["diff", str(half), str(whole)]]:
        result = CliRunner().invoke(command, arguments)
        assert isinstance(result.exception, ReportError)
        assert not result.stdout
    assert "cut off" in index.render(index.collect(tmp_path))


def test_a_diff_names_what_changed() -> None:
    """New, changed and gone are told apart, and an untried check is not taken for a repaired one."""
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


def test_a_diff_looks_past_ids_and_times() -> None:
    """A finding that says the same of another task or day is the same one; another status is not."""

    def one(day: str, status: str, task: str) -> dict[str, Any]:
        return record(
            row(outcome="fail", expected=f"a time before {day}", actual=f"{status} for task {task}")
        )

    old = one("2026-01-02 08:12", "500", "1730621826053455")
    assert not diffs.diff(old, one("2026-03-04 09:13", "500", "1730621826053999")).changes
    assert diffs.diff(old, one("2026-01-02 08:12", "502", "1730621826053455")).exit_code == 1


def test_a_diff_knows_relays_of_one_record_only() -> None:
    """A relay that the newer run left out is not repaired, and one that it added is named."""
    old, new = record(row(**FAILS)), record(row(relay="two", **FAILS), relay="two")
    found = diffs.diff(old, new)
    assert found.verdicts == {"one": ("conformant", None), "two": (None, "conformant")}
    assert [(change.relay, change.kind) for change in found.changes] == [
        ("two", "new"),
        ("one", "not exercised now"),
    ]


def test_an_accepted_finding_is_no_new_one() -> None:
    """A finding that the newer baseline accepts is shown, but does not fail the comparison."""
    lines = {"accepted": [{"check": "fetch/200/times", "reason": "r", "date": "2026-01-01"}], "gone": []}
    found = diffs.diff(record(row()), record(row(**FAILS), baseline=lines))
    assert [change.accepted for change in found.changes] == [True]
    assert found.exit_code == 0


def test_an_index_shows_the_trend_of_each_relay(tmp_path: Path) -> None:
    """Runs are ordered by their dates, mocks stay apart from the relay itself, and pages are linked."""
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


def test_an_index_folds_what_is_old(tmp_path: Path) -> None:
    """Of many runs the latest ten are in sight, the newest first, and all the others are in the page."""
    for day in range(1, 13):
        write(tmp_path / f"{day}/results.json", record(row(), started=f"2026-01-{day:02}T00:00:00Z"))
    page = index.render(index.collect(tmp_path))
    seen, folded, others = page.partition("<summary>2 earlier</summary>")
    assert folded
    assert re.findall(r"<td>2026-01-(\d\d)", seen) == [f"{day:02}" for day in range(12, 2, -1)]
    assert re.findall(r"<td>2026-01-(\d\d)", others) == ["02", "01"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+05:00", "2026-12-31T23:59:60Z"])
def test_an_index_takes_any_valid_date(tmp_path: Path, moment: str) -> None:
    """A date that the schema allows, but that Python has no value for, is only an early one."""
    write(tmp_path / "a/results.json", record(row(), started=moment))
    write(tmp_path / "b/results.json", record(row()))
    found = index.collect(tmp_path)
    assert [run.path.parent.name for run in found.runs] == ["a", "b"]
    assert "0001-01-01" in index.render(found)


def test_an_index_of_nothing_is_refused(tmp_path: Path) -> None:
    """A directory without records is a mistake, and the next step is told."""
    with pytest.raises(ReportError, match=r"contains no results\.json; make one with"):
        index.collect(tmp_path)
    with pytest.raises(ReportError, match="is not a directory"):
        index.collect(tmp_path / "absent")


def test_the_command_shows_and_converts(real: Path, tmp_path: Path) -> None:
    """Stdout is data alone, files are written where they are asked for, and the exit code is 0."""
    done = mjrelay("show", real, "--format", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == read_record(real)
    assert not done.stderr
    made = CliRunner().invoke(command, ["junit", str(real), "--output", str(tmp_path / "junit.xml")])
    assert made.exit_code == 0
    assert not made.stdout
    assert ET.parse(tmp_path / "junit.xml").getroot().tag == "testsuites"  # noqa: S314 - our own
    for arguments, start in [
        (["markdown"], "### Conformance"),
        (["badge"], '{"schemaVersion": 1'),
        (["html"], "<!doctype html>"),
        (["show", "--format", "pretty"], "MUST"),
        (["show", "--format", "markdown"], "### Conformance"),
    ]:
        made = CliRunner().invoke(command, [*arguments, str(real)])
        assert made.exit_code == 0
        assert made.stdout.lower().startswith(start.lower())
    schema = json.loads(CliRunner().invoke(command, ["schema"]).stdout)
    assert schema["$id"] == "urn:mjrelay:results:1"


def test_a_cut_run_ends_with_its_own_code(tmp_path: Path) -> None:
    """A view of a run that was cut short is made, but the exit code is 3."""
    path = write(tmp_path / "results.json", record(row(**FAILS), footer=None))
    done = mjrelay("show", path, "--format", "pretty")
    assert done.returncode == 3
    assert "INCOMPLETE" in done.stdout
    assert "the run was interrupted" in done.stderr
    for name in ("html", "junit", "markdown", "badge"):
        made = CliRunner().invoke(command, [name, str(path)])
        assert made.exit_code == 3
        assert re.search("incomplete|cut short", made.stdout, re.IGNORECASE)


def test_the_diff_ends_with_its_verdict(real: Path, tmp_path: Path) -> None:
    """Exit code 1 for a new finding, 0 for none, 2 for what cannot be read."""
    clean = copy.deepcopy(read_record(real))
    clean["rows"] = [one | {"outcome": "pass"} for one in clean["rows"]]
    write(tmp_path / "results.json", clean)
    done = mjrelay("diff", tmp_path, real)
    assert done.returncode == 1
    assert {change["kind"] for change in json.loads(done.stdout)["changes"]} == {"new"}
    assert CliRunner().invoke(command, ["diff", str(real), str(tmp_path)]).exit_code == 0
    done = mjrelay("diff", tmp_path / "absent", real)
    assert done.returncode == 2
    assert done.stderr.startswith("mjrelay: ")
    assert done.stderr.count("\n") == 1


def test_an_output_that_cannot_be_written_is_told(real: Path, tmp_path: Path) -> None:
    """A path that is no file is one line and exit code 2."""
    done = mjrelay("markdown", real, "--output", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("mjrelay: --output")


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A run whose page finds no room ends with one line, and not as if a check of ours had failed."""
    (tmp_path / "report.html").mkdir()
    command = [sys.executable, "-m", "mjrelay", "conform", "zhongzhuan", "--no-fuzz", "--profile", "read"]
    command += ["--report-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("mjrelay: --report-dir")
    assert done.stderr.count("\n") == 1
    assert read_record(tmp_path)["footer"]["verdict"] == "conformant"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_an_interrupted_run_says_where_its_record_is(tmp_path: Path) -> None:
    """Ctrl-C ends with 130, and names the command that shows the record, which is readable."""
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
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"mjrelay report show {tmp_path}" in told
    assert read_record(tmp_path)["footer"] is None


def test_the_help_names_every_option_whole() -> None:
    """No option's name is cut on a terminal of 80 columns, and no default is taken for markup."""
    command = [sys.executable, "-m", "mjrelay", "conform", "--help"]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False, timeout=60
    )
    assert "--i-operate-this-relay" in done.stdout
    text = " ".join(done.stdout.replace("\u2502", " ").split())
    assert "Default: 50." in text
    assert "Default for a live relay: 5." in text


def test_the_command_makes_an_index(real: Path, tmp_path: Path) -> None:
    """The index is a page with links that fit its place; without any readable record the exit code is 2."""
    made = CliRunner().invoke(command, ["index", str(real), "--output", str(tmp_path / "index.html")])
    assert made.exit_code == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    links = {str(value) for name, value in Page(page).attributes if name == "href"}
    assert all((tmp_path / link).is_file() for link in links)
    (tmp_path / "results.json").write_text("{")
    assert CliRunner().invoke(command, ["index", str(tmp_path)]).exit_code == 2
