"""The record of a run as a comment on a pull request."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from mjrelay.base import replace_unprintable
from mjrelay_conformance.report.document import CUT_SHORT, INCOMPLETE, LEVELS, RunReport
from mjrelay_conformance.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay_conformance.report.document import RelayReport, ReportFinding


LONGEST = 65_536
"""The largest comment that GitHub accepts, in characters."""
_VALUE = 1000
"""Characters of a foreign value that are shown."""
_NOTE = "\n*Cut here: the comment is too long for {} more parts; see the full report.*\n"
_MARKS = {
    "conformant": "✅",
    "non-conformant": "❌",
    "partial": "🟡",
    "unreachable": "⚪",
    "error": "💥",
    INCOMPLETE: "⚠️",
}


def render(document: dict[str, Any]) -> str:
    """
    Return a table of verdicts, then the findings as collapsed sections, in at most `LONGEST` characters.

    Text from a relay appears only as code, so it cannot add markup, links or mentions.
    """
    run = RunReport.of(document)
    parts = [f"### Conformance: {run.mode}, profile {run.profile}\n\n"]
    if not run.complete:
        parts.append(f"> **{_MARKS[INCOMPLETE]} Incomplete.** {CUT_SHORT}\n\n")
    parts.append(
        "| relay | verdict | must | should | info | accepted | requests |\n|---|---|--:|--:|--:|--:|--:|\n"
    )
    parts += [_row(relay) for relay in run.relays]
    parts.append("\n")
    findings = [finding for relay in run.relays for finding in relay.findings]
    parts += [_finding(finding) for finding in sorted(findings, key=lambda finding: finding.severity)]
    parts += [text for relay in run.relays for text in _notes(relay)]
    parts.append(f"\nReproduce:\n\n{_fenced(run.reproduce)}")
    return bounded(parts)


def code(text: str | None) -> str:
    """Return foreign text as a code span. In a table, use `cell`."""
    text = one_line(text or "", _VALUE) or "(empty)"
    fence = "`" * (_backticks(text) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def cell(text: str) -> str:
    """Return foreign text as a code span for a table, without bars and backslashes."""
    return code(one_line(text, _VALUE).translate({ord("|"): "¦", ord("\\"): "/"}))


def bounded(parts: Iterable[str], longest: int = LONGEST) -> str:
    """Join the parts that fit, and append the number of parts that do not."""
    parts = list(parts)
    text, room = "", longest - len(_NOTE) - 20
    for index, part in enumerate(parts):
        if _length(text) + _length(part) > room:
            return text + _NOTE.format(len(parts) - index)
        text += part
    return text


def _section(title: str, text: str, body: str) -> str:
    """Return a collapsed section with a foreign text in its title."""
    shown = html.escape(one_line(text, 200))
    return f"<details><summary>{title} <code>{shown}</code></summary>\n\n{body}\n</details>\n\n"


def _row(relay: RelayReport) -> str:
    numbers = (*(relay.counts[level] for level in LEVELS), len(relay.accepted_checks))
    requests = "-" if relay.requests is None else relay.requests
    verdict = f"{_MARKS[relay.verdict]} {relay.verdict}"
    name = cell(relay.name) + (f" {cell(relay.url)}" if relay.url else "")
    return f"| {name} | {verdict} | {' | '.join(map(str, numbers))} | {requests} |\n"


def _finding(finding: ReportFinding) -> str:
    lines = [f"{finding.sentence}\n"]
    values = {
        "expected": finding.expected,
        "received": finding.actual,
        "request": finding.request,
        "clause": finding.cited,
    }
    lines += [f"- {label}: {code(text)}" for label, text in values.items() if text]
    if finding.source:
        lines.append(f"- {finding.source}")
    if finding.exchange is not None:
        lines.append(f"\n{_fenced(finding.exchange.curl)}")
    title = f"<b>{finding.label.upper()}</b>"
    return _section(title, f"{finding.relay} {finding.check}", "\n".join(lines))


def _notes(relay: RelayReport) -> list[str]:
    name = code(relay.name)
    notes = [
        f"- {name}: {code(line.check)} passes, but was accepted since {code(line.date)}; "
        "remove the line from the baseline\n"
        for line in relay.gone
    ]
    notes += [
        f"- {name}: accepted since {code(line.date)}: {code(check)}: {code(line.reason)}\n"
        for check, line in relay.accepted_checks.items()
    ]
    if relay.stopped:
        notes.append(f"- {name}: stopped: {code(relay.stopped)}\n")
    notes += [
        f"- {name}: not exercised: {code(feature.name)}; {code(feature.hint)}\n"
        for feature in relay.features
        if not feature.exercised
    ]
    unproven = [f"- {code(check)}: {code(reason)}" for check, reason in relay.unproven().items()]
    if unproven:
        notes.append("\n" + _section(f"{len(unproven)} unproven checks:", relay.name, "\n".join(unproven)))
    return notes


def _fenced(text: str) -> str:
    text = replace_unprintable(text, keep_lines=True)[: 4 * _VALUE]
    fence = "`" * max(3, _backticks(text) + 1)
    return f"{fence}sh\n{text}\n{fence}\n"


def _backticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _length(text: str) -> int:
    # UTF-16 code units: the largest number that any definition of "characters" gives.
    return len(text.encode("utf-16-le")) // 2
