"""The record of a run for a terminal: findings first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mjrelay.http import printable_text
from mjrelay_conformance.report.document import CUT_SHORT, INCOMPLETE, LEVELS, RunReport, family, known
from mjrelay_conformance.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from mjrelay_conformance.report.document import RelayReport, ReportFinding


COLOURS = {
    "conformant": "bold green",
    "non-conformant": "bold red",
    "partial": "bold yellow",
    "unreachable": "bold yellow",
    "error": "bold magenta",
    INCOMPLETE: "bold magenta",
    "must": "red",
    "should": "yellow",
    "info": "cyan",
}
_LONGEST = 1000
"""Characters of a foreign value that are shown."""
_FINDINGS = 20
"""Findings of a summary."""
_NARROW = 76
"""Terminal width below which the summary is printed as lines, not as a table."""


def summary(document: dict[str, Any]) -> list[str]:
    """Return a line for each finding, up to a limit, then one for each relay; foreign text is printable."""
    run = RunReport.of(document)
    findings = [finding for relay in run.relays for finding in relay.findings]
    lines = [one_line(_line(finding), _LONGEST) for finding in findings[:_FINDINGS]]
    if len(findings) > _FINDINGS:
        lines.append(f"and {len(findings) - _FINDINGS} more findings")
    for relay in run.relays:
        place = f" at {relay.url}" if relay.url else ""
        lines.append(one_line(f"{relay.name}{place}: {relay.verdict}; {_counted(relay)}"))
    return [*lines, *([] if run.complete else [f"INCOMPLETE: {CUT_SHORT}"])]


def overall(document: dict[str, Any]) -> str:
    """Return the result of a run on one line."""
    run = RunReport.of(document)
    names = f"{run.relays[0].name}" if len(run.relays) == 1 else f"{len(run.relays)} relays"
    counts = {label: sum(relay.counts[label] for relay in run.relays) for label in (*LEVELS, "error")}
    found = ", ".join(f"{number} {label.upper()}" for label, number in counts.items() if number)
    sent = sum(relay.requests or 0 for relay in run.relays)
    requests = f"; {sent} requests sent" if sent else ""
    return one_line(f"{names}: {run.verdict}; findings: {found or 'none'}{requests}")


def _line(finding: ReportFinding) -> str:
    values = {"expected": finding.expected, "received": finding.actual, "clause": finding.cited}
    text = "; ".join(f"{name} {value}" for name, value in values.items() if value)
    return f"{finding.label.upper()} {finding.relay} {finding.check}: {text}"


def _counted(relay: RelayReport) -> str:
    return ", ".join(f"{name} {number}" for name, number in _numbers(relay).items())


def render(document: dict[str, Any], console: Console) -> None:
    """
    Print the findings, then the unproven checks, then a summary of each relay.

    Text from a relay is printed without control characters and without rich markup.
    """
    run = RunReport.of(document)
    for relay in run.relays:
        for finding in relay.findings:
            _finding(finding, console)
    for relay in run.relays:
        if relay.url:
            _note(relay, f"judged at {relay.url} by the contract of {relay.relay}", console)
        _unproven(relay, console)
        _baseline(relay, console)
    if console.width < _NARROW:
        for relay in run.relays:
            verdict = (relay.verdict, COLOURS[relay.verdict])
            console.print(
                Text.assemble(_shown(relay.name), ": ", verdict, f"; {_counted(relay)}", overflow="fold")
            )
    else:
        console.print(_summary(run.relays))
    _next_step(run.relays, console)
    if not run.complete:
        console.print(Text(f"INCOMPLETE: {CUT_SHORT}", style=COLOURS[INCOMPLETE]))


def _finding(finding: ReportFinding, console: Console) -> None:
    title = (f"{finding.label.upper():7}", COLOURS[finding.label])
    console.print(Text.assemble(title, (_shown(f"{finding.relay} {finding.check}"), "bold")))
    lines = {
        "rule": finding.sentence,
        "expected": finding.expected,
        "received": finding.actual,
        "request": finding.request,
        "clause": finding.place,
        "": finding.quote,
        "found": finding.source.removeprefix("found "),
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=15, justify="right", style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in lines.items():
        if text:
            grid.add_row(label, Text("\n".join(map(_shown, text.split("\n")))))
    console.print(grid)
    if finding.exchange is not None:
        # Outside the grid, which would wrap it: a copied command has to run.
        for line in finding.exchange.curl.split("\n"):
            console.print(Text(f"    {printable_text(line)}", style="dim"), soft_wrap=True)
    console.print()


def _unproven(relay: RelayReport, console: Console) -> None:
    if relay.stopped:
        _note(relay, f"stopped: {relay.stopped}", console, "yellow")
    if relay.verdict == "unreachable":  # the reason for everything else
        _note(relay, "no response, so nothing was judged; check the base URL", console, "yellow")
        return
    lacking = [feature for feature in relay.features if not feature.exercised]
    for feature in lacking:
        if feature.core:
            _note(relay, f"not exercised: {feature.name}; {feature.hint}", console, "yellow")
    extended = [feature.name for feature in lacking if not feature.core]
    if extended:
        _note(relay, f"also not exercised: {', '.join(extended)}", console)
    reasons = relay.unproven()
    idle = _families(check for check, reason in reasons.items() if reason == "not exercised")
    if idle:
        _note(relay, f"checks not exercised: {idle}", console)
    blocked = _families(check for check, reason in reasons.items() if reason.startswith("blocked"))
    if blocked:
        _note(relay, f"checks blocked by other findings: {blocked}", console)
    for reason in sorted({row.actual or "" for row in relay.rows if row.outcome == "inconclusive"}):
        _note(relay, f"inconclusive: {reason}", console, "yellow")


def _families(checks: Iterable[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in Counter(map(family, checks)).items())


def _baseline(relay: RelayReport, console: Console) -> None:
    for check, line in relay.accepted_checks.items():
        _note(relay, f"accepted since {line.date}: {check}: {line.reason}", console)
    for line in relay.gone:
        text = f"passes: {line.check}, accepted since {line.date}; remove the line from the baseline"
        _note(relay, text, console, "red")


def _note(relay: RelayReport, text: str, console: Console, style: str = "dim") -> None:
    console.print(Text(_shown(f"{relay.name}: {text}"), style=style, overflow="fold"))


def _summary(relays: Iterable[RelayReport]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("relay", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    rows = [(relay, _numbers(relay)) for relay in relays]
    columns = list(dict.fromkeys(name for _, numbers in rows for name in numbers))
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for relay, numbers in rows:
        verdict = Text(relay.verdict, style=COLOURS[relay.verdict])
        cells = [_cell(column, numbers.get(column, "-")) for column in columns]
        table.add_row(Text(_shown(relay.name)), verdict, *cells)
    return table


def _cell(column: str, number: int | str) -> Text:
    if column not in LEVELS:
        return Text(str(number))
    return Text(str(number), style=COLOURS[column] if number else "dim")


def _numbers(relay: RelayReport) -> dict[str, int | str]:
    """Return the counts of a relay, by column of the summary."""
    numbers: dict[str, int | str] = {
        "passed": relay.count("pass"),
        **{level: relay.counts[level] for level in LEVELS},
        "blocked": relay.count("blocked"),
        "sent": "-" if relay.requests is None else relay.requests,
    }
    if relay.fuzz is not None:
        numbers |= {"cases": relay.fuzz.cases, "200s": relay.fuzz.reached_200}
    return numbers


def _next_step(relays: Iterable[RelayReport], console: Console) -> None:
    """Print the command that explains the first finding."""
    findings = [finding for relay in relays for finding in relay.findings if known(finding.check)]
    if findings:
        text = "All columns up to blocked count checks. To explain the first finding:"
        console.print(Text(text, style="dim", overflow="fold"))
        console.print(Text(f"    mjrelay conform --explain {findings[0].check}", style="dim"), soft_wrap=True)


def _shown(text: str) -> str:
    text = printable_text(text)
    cut = len(text) - _LONGEST
    return text if cut <= 0 else f"{text[:_LONGEST]} … ({cut} more characters)"
