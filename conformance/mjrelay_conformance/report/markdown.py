"""The record of a run as a comment on a pull request."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from mjrelay.base import replace_unprintable
from mjrelay_conformance.report.document import (
    CUT_SHORT,
    INCOMPLETE,
    LEVELS,
    complete,
    judged,
    line,
    sentence,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay_conformance.report.document import Judged, ReportFinding


LONGEST = 65_536
"""Characters that GitHub takes for a comment."""
_VALUE = 1000
"""Characters of a foreign value that are shown."""
_NOTE = "\n*Cut here: {} more parts of this report are too long for a comment; see the full report.*\n"
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
    The verdicts as a table, then the findings, each to be unfolded; never more than `LONGEST`.

    All that a relay may have sent stands in code, out of which nothing leads.
    """
    relays = judged(document)
    options = document["header"]["options"]
    parts = [f"### Conformance: {options['mode']}, profile {options['profile']}\n\n"]
    if not complete(document):
        parts.append(f"> **{_MARKS[INCOMPLETE]} Incomplete.** {CUT_SHORT}\n\n")
    parts.append(
        "| relay | verdict | must | should | info | accepted | sent |\n|---|---|--:|--:|--:|--:|--:|\n"
    )
    parts += [_row(relay) for relay in relays]
    parts.append("\n")
    findings = [finding for relay in relays for finding in relay.findings]
    parts += [_finding(finding) for finding in sorted(findings, key=lambda finding: finding.weight)]
    parts += [text for relay in relays for text in _notes(relay)]
    parts.append(f"\nAgain with:\n\n{_fenced(document['header']['reproduce'])}")
    return bounded(parts)


def code(text: str | None) -> str:
    """A foreign text as one span of code, for anywhere but a table."""
    text = line(text or "", _VALUE) or "(empty)"
    fence = "`" * (_backticks(text) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def cell(text: str) -> str:
    """A foreign text as code in a table's cell, where neither a bar nor what would escape it can stand."""
    return code(line(text, _VALUE).translate({ord("|"): "¦", ord("\\"): "/"}))


def bounded(parts: Iterable[str], longest: int = LONGEST) -> str:
    """The parts as one text; from the first on that does not fit they are counted only."""
    parts = list(parts)
    text, room = "", longest - len(_NOTE) - 20
    for place, part in enumerate(parts):
        if _length(text) + _length(part) > room:
            return text + _NOTE.format(len(parts) - place)
        text += part
    return text


def summary(title: str, text: str, body: str) -> str:
    """A part that is folded, with a foreign text in its title."""
    shown = html.escape(line(text, 200))
    return f"<details><summary>{title} <code>{shown}</code></summary>\n\n{body}\n</details>\n\n"


def _row(relay: Judged) -> str:
    counts = relay.counts
    numbers = (*(counts[level] for level in LEVELS), len({finding.check for finding in relay.accepted}))
    sent = "-" if relay.entry is None else relay.entry["requests"]
    verdict = f"{_MARKS[relay.verdict]} {relay.verdict}"
    return f"| {cell(relay.name)} | {verdict} | {' | '.join(map(str, numbers))} | {sent} |\n"


def _finding(finding: ReportFinding) -> str:
    lines = [f"{sentence(finding.check)}\n"]
    told = {
        "expected": finding.expected,
        "came": finding.actual,
        "asked": finding.asked,
        "clause": finding.place,
    }
    lines += [f"- {label}: {code(text)}" for label, text in told.items() if text]
    if finding.driver:
        lines.append(f"- {finding.driver}")
    if finding.exchange is not None:
        lines.append(f"\n{_fenced(finding.exchange['curl'])}")
    title = f"<b>{finding.label.upper()}</b>"
    return summary(title, f"{finding.relay} {finding.check}", "\n".join(lines))


def _notes(relay: Judged) -> list[str]:
    accepted = {finding.check: finding.accepted for finding in relay.accepted if finding.accepted}
    notes = [
        f"- {code(relay.name)}: gone is {code(gone['check'])}, accepted since {code(gone['date'])}; "
        "take its line out of the baseline\n"
        for gone in relay.gone
    ]
    notes += [
        f"- {code(relay.name)}: accepted since {code(item['date'])}: {code(check)}: {code(item['reason'])}\n"
        for check, item in accepted.items()
    ]
    entry = relay.entry or {"stopped": None, "features": []}
    if entry["stopped"]:
        notes.append(f"- {code(relay.name)}: stopped: {code(entry['stopped'])}\n")
    notes += [
        f"- {code(relay.name)}: not exercised: {code(feature['name'])}; {code(feature['hint'])}\n"
        for feature in entry["features"]
        if not feature["exercised"]
    ]
    unproven = [f"- {code(check)}: {code(reason)}" for check, reason in relay.unproven().items()]
    if unproven:
        notes.append(
            "\n" + summary(f"{len(unproven)} checks said nothing of", relay.name, "\n".join(unproven))
        )
    return notes


def _fenced(text: str) -> str:
    text = replace_unprintable(text, keep_lines=True)[: 4 * _VALUE]
    fence = "`" * max(3, _backticks(text) + 1)
    return f"{fence}sh\n{text}\n{fence}\n"


def _backticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _length(text: str) -> int:
    # As UTF-16 counts, which is the most that any counting of characters comes to.
    return len(text.encode("utf-16-le")) // 2
