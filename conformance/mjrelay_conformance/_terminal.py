"""The record of a run for people at a terminal: findings first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mjrelay.cli._output import printable
from mjrelay_conformance._check import CHECKS, Outcome

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {
    "conformant": "bold green",
    "non-conformant": "bold red",
    "partial": "bold yellow",
    "unreachable": "bold yellow",
    "error": "bold magenta",
    "must": "red",
    "should": "yellow",
    "info": "cyan",
}
_WEIGHT = ["must", "should", "info"]


def render(document: dict[str, Any], console: Console) -> None:
    """
    Print a record: what is wrong with each relay, then one line for each.

    Nothing of it is markup to the terminal: a relay's answer may hold anything.
    """
    for relay in document["relays"]:
        rows = [row for row in document["rows"] if row["relay"] == relay["relay"]]
        _findings(rows, document["exchanges"], console)
        _unproven(relay, rows, console)
    console.print(_summary(document))


def _findings(rows: list[dict[str, Any]], exchanges: list[dict[str, Any]], console: Console) -> None:
    told = {Outcome.FAIL.value, Outcome.ERROR.value}
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["outcome"] in told:
            key = (row["check"], row["level"], str(row["expected"]), str(row["actual"]), row["clause"])
            groups.setdefault(key, []).append(row)
    for group in sorted(groups.values(), key=lambda group: _WEIGHT.index(group[0]["level"])):
        row = group[0]
        exchange = exchanges[row["exchange"] - 1]
        console.print(
            Text.assemble(
                (f"{row['level'].upper():7}", _COLOURS[row["level"]]),
                (f"{row['relay']} {row['check']}", "bold"),
            )
        )
        times = f" ({len(group)} exchanges)" if len(group) > 1 else ""
        lines = {
            "says": CHECKS[row["check"]].sentence,
            "expected": printable(row["expected"] or ""),
            "came": printable(row["actual"] or ""),
            "asked": f"{exchange['method']} {printable(exchange['target'])}, {exchange['kind']}{times}",
            "clause": row["clause"].partition("#")[0],
        }
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=15, justify="right", style="dim")
        grid.add_column()
        for label, text in lines.items():
            if text:
                grid.add_row(label, Text(text))
        console.print(grid)
        console.print()


def _unproven(relay: dict[str, Any], rows: list[dict[str, Any]], console: Console) -> None:
    lacking = [feature for feature in relay["features"] if not feature["exercised"]]
    for feature in lacking:
        if feature["core"]:
            hint = f"{relay['relay']}: not exercised: {feature['name']}; {feature['hint']}"
            console.print(Text(hint, style="yellow"))
    extended = [feature["name"] for feature in lacking if not feature["core"]]
    if extended:
        console.print(Text(f"{relay['relay']}: not exercised either: {', '.join(extended)}", style="dim"))
    reasons = {row["actual"] for row in rows if row["outcome"] == Outcome.INCONCLUSIVE.value}
    for reason in sorted(reasons):
        console.print(Text(f"{relay['relay']}: inconclusive: {printable(reason)}", style="yellow"))


def _summary(document: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("relay", "verdict"):
        table.add_column(column, no_wrap=True)
    for column in ("passed", "must", "should", "info", "blocked", "sent", "cases", "200s"):
        table.add_column(column, justify="right")
    for relay in document["relays"]:
        rows = [row for row in document["rows"] if row["relay"] == relay["relay"]]
        found = {
            level: len({row["check"] for row in rows if row["outcome"] == "fail" and row["level"] == level})
            for level in _WEIGHT
        }
        fuzz = relay["fuzz"]
        table.add_row(
            relay["relay"],
            Text(relay["verdict"], style=_COLOURS[relay["verdict"]]),
            str(sum(row["outcome"] == Outcome.PASS.value for row in rows)),
            *(Text(str(found[level]), style=_COLOURS[level] if found[level] else "dim") for level in _WEIGHT),
            str(sum(row["outcome"] == Outcome.BLOCKED.value for row in rows)),
            str(relay["requests"]),
            *(("-", "-") if fuzz is None else (str(fuzz["cases"]), str(fuzz["reached_200"]))),
        )
    return table
