"""The record of a run for people at a terminal: findings first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mjrelay.http import printable_text
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.report.document import (
    CUT_SHORT,
    INCOMPLETE,
    LEVELS,
    complete,
    family,
    judged,
    sentence,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from mjrelay_conformance.report.document import Judged, ReportFinding


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
_NARROW = 76
"""Columns below which a table would lose some of its own."""


def render(document: dict[str, Any], console: Console) -> None:
    """
    Print a record: what is wrong with each relay, what was not proven, then one line for each, or several
    where the terminal is narrow.

    Nothing of it is markup to the terminal: a relay's answer may hold anything.
    """
    relays = judged(document)
    for relay in relays:
        for finding in relay.findings:
            _finding(finding, console)
    for relay in relays:
        _unproven(relay, console)
        _baseline(relay, console)
    if console.width < _NARROW:
        for relay in relays:
            numbers = ", ".join(f"{name} {number}" for name, number in _numbers(relay).items())
            verdict = (relay.verdict, COLOURS[relay.verdict])
            console.print(Text.assemble(_shown(relay.name), ": ", verdict, f"; {numbers}", overflow="fold"))
    else:
        console.print(_summary(relays))
    _next(relays, console)
    if not complete(document):
        console.print(Text(f"INCOMPLETE: {CUT_SHORT}", style=COLOURS[INCOMPLETE]))


def _finding(finding: ReportFinding, console: Console) -> None:
    title = (f"{finding.label.upper():7}", COLOURS[finding.label])
    console.print(Text.assemble(title, (_shown(f"{finding.relay} {finding.check}"), "bold")))
    lines = {
        "says": sentence(finding.check),
        "expected": finding.expected,
        "came": finding.actual,
        "asked": finding.asked,
        "clause": finding.place,
        "found": finding.driver.removeprefix("found "),
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=15, justify="right", style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in lines.items():
        if text:
            grid.add_row(label, Text(_shown(text)))
    console.print(grid)
    if finding.exchange is not None:
        # Not in the grid, which would break it into lines: what is copied is to run.
        for one in finding.exchange["curl"].split("\n"):
            console.print(Text(f"    {printable_text(one)}", style="dim"), soft_wrap=True)
    console.print()


def _unproven(relay: Judged, console: Console) -> None:
    entry = relay.entry or {"stopped": None, "features": []}
    if entry["stopped"]:
        _say(relay, f"stopped: {entry['stopped']}", console, "yellow")
    if relay.verdict == "unreachable":  # all else follows from that
        _say(relay, "no answer came, so nothing was judged; check the base URL", console, "yellow")
        return
    lacking = [feature for feature in entry["features"] if not feature["exercised"]]
    for feature in lacking:
        if feature["core"]:
            _say(relay, f"not exercised: {feature['name']}; {feature['hint']}", console, "yellow")
    extended = [feature["name"] for feature in lacking if not feature["core"]]
    if extended:
        _say(relay, f"not exercised either: {', '.join(extended)}", console)
    silent = _families(check for check, why in relay.unproven().items() if why == "not exercised")
    if silent:
        _say(relay, f"checks that nothing exercised: {silent}", console)
    blocked = _families(check for check, why in relay.unproven().items() if why.startswith("blocked"))
    if blocked:
        _say(relay, f"checks that other findings block: {blocked}", console)
    for reason in sorted({row["actual"] or "" for row in relay.rows if row["outcome"] == "inconclusive"}):
        _say(relay, f"inconclusive: {reason}", console, "yellow")


def _families(checks: Iterable[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in Counter(map(family, checks)).items())


def _baseline(relay: Judged, console: Console) -> None:
    lines = {finding.check: finding.accepted for finding in relay.accepted}
    for check, accepted in lines.items():
        if accepted is not None:
            _say(relay, f"accepted since {accepted['date']}: {check}: {accepted['reason']}", console)
    for gone in relay.gone:
        text = f"gone: {gone['check']}, accepted since {gone['date']}; take its line out of the baseline"
        _say(relay, text, console, "red")


def _say(relay: Judged, text: str, console: Console, style: str = "dim") -> None:
    console.print(Text(_shown(f"{relay.name}: {text}"), style=style, overflow="fold"))


def _summary(relays: list[Judged]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("relay", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    rows = [_numbers(relay) for relay in relays]
    columns = list(dict.fromkeys(name for numbers in rows for name in numbers))
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for relay, numbers in zip(relays, rows, strict=True):
        verdict = Text(relay.verdict, style=COLOURS[relay.verdict])
        cells = [_cell(column, numbers.get(column, "-")) for column in columns]
        table.add_row(Text(_shown(relay.name)), verdict, *cells)
    return table


def _cell(column: str, number: int | str) -> Text:
    if column not in LEVELS:
        return Text(str(number))
    return Text(str(number), style=COLOURS[column] if number else "dim")


def _numbers(relay: Judged) -> dict[str, int | str]:
    """What is counted of a relay, by the words that the summary has for it."""
    entry = relay.entry or {"requests": "-", "fuzz": None}
    numbers = {
        "passed": relay.count("pass"),
        **{level: relay.counts[level] for level in LEVELS},
        "blocked": relay.count("blocked"),
        "sent": entry["requests"],
    }
    if entry["fuzz"]:
        numbers |= {"cases": entry["fuzz"]["cases"], "200s": entry["fuzz"]["reached_200"]}
    return numbers


def _next(relays: list[Judged], console: Console) -> None:
    """Say what the counts count, and where more is told of the first finding."""
    findings = [finding for relay in relays for finding in relay.findings if finding.check in CHECKS]
    if findings:
        text = "must, should and info are the checks that found something; why one matters:"
        console.print(Text(text, style="dim", overflow="fold"))
        console.print(Text(f"    mjrelay conform --explain {findings[0].check}", style="dim"), soft_wrap=True)


def _shown(text: str) -> str:
    text = printable_text(text)
    cut = len(text) - _LONGEST
    return text if cut <= 0 else f"{text[:_LONGEST]} … ({cut} characters more)"
