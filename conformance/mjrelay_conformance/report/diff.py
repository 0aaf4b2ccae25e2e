"""The changes from one record to another: verdicts, and findings by relay and check."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen
from rich.padding import Padding
from rich.text import Text

from mjrelay.http import printable_text
from mjrelay_conformance.report.document import RunReport, proven
from mjrelay_conformance.report.markdown import bounded, cell, code
from mjrelay_conformance.report.terminal import COLOURS
from mjrelay_conformance.report.text import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from mjrelay_conformance.report.document import RelayReport, ReportFinding


_COLOURS = {"new": "bold red", "changed": "bold yellow", "gone": "bold green", "not exercised now": "dim"}
"""The kinds of changes, in the order in which they are shown."""
_VALUE = 500
"""Characters of a foreign value that are shown."""
_VOLATILE = re.compile(r"\d[\d:.-]{2,}\d")
"""Ids, times and durations, which differ between runs. Status codes and percentages do not match."""


@frozen
class FindingValue:
    """What a finding reports, without the clause: line numbers change between versions."""

    level: str
    expected: str | None
    actual: str | None


@frozen
class CheckDiff:
    """
    A check of a relay whose findings differ between the records.

    ``kind`` is ``new``, ``changed``, ``gone``, or ``not exercised now`` if the newer run did not exercise the
    check. ``accepted`` says whether the newer baseline accepts the finding.
    """

    relay: str
    check: str
    kind: str
    accepted: bool
    old: tuple[FindingValue, ...]
    new: tuple[FindingValue, ...]


@frozen
class Diff:
    """
    All changes.

    ``verdicts`` holds the older and the newer verdict of each relay whose verdict changed; None if a record
    does not contain the relay. ``incomplete`` names the records of runs that were cut short.
    """

    verdicts: dict[str, tuple[str | None, str | None]]
    changes: tuple[CheckDiff, ...]
    incomplete: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 for a new or changed finding that is not accepted, 3 if a run was cut short, else 0."""
        if any(change.kind in {"new", "changed"} and not change.accepted for change in self.changes):
            return 1
        return 3 if self.incomplete else 0


def diff(old: dict[str, Any], new: dict[str, Any]) -> Diff:
    """Compare two records."""
    runs = {"the older": RunReport.of(old), "the newer": RunReport.of(new)}
    before, after = ({relay.name: relay for relay in run.relays} for run in runs.values())
    names = [*before, *(name for name in after if name not in before)]
    verdicts = {name: (_verdict(before.get(name)), _verdict(after.get(name))) for name in names}
    changes = [change for name in names for change in _changes(name, before.get(name), after.get(name))]
    changes.sort(key=lambda change: list(_COLOURS).index(change.kind))
    return Diff(
        {name: pair for name, pair in verdicts.items() if pair[0] != pair[1]},
        tuple(changes),
        tuple(name for name, run in runs.items() if not run.complete),
    )


def document(found: Diff) -> dict[str, Any]:
    """Return the changes as plain data."""
    return asdict(found)


def terminal(found: Diff, console: Console) -> None:
    """Print the changes."""
    for name, (old, new) in found.verdicts.items():
        style = COLOURS.get(new or "", "yellow")
        console.print(Text(printable_text(f"{name}: {_transition(old, new)}"), style=style, overflow="fold"))
    for change in found.changes:
        title = printable_text(f" {change.relay} {change.check}{' (accepted)' if change.accepted else ''}")
        console.print(Text.assemble((change.kind, _COLOURS[change.kind]), title, overflow="fold"))
        for sign, value in _lines(change):
            text = Text(printable_text(f"{sign} {value}"), overflow="fold")
            console.print(Padding(text, (0, 0, 0, 4), expand=False))
    for note in _notes(found):
        console.print(Text(note))


def markdown(found: Diff) -> str:
    """Return the changes as a comment on a pull request."""
    parts = ["### Conformance: changes\n\n"]
    parts += [f"> **Incomplete.** {note}\n\n" for note in _notes(found) if found.incomplete]
    parts += [f"- {code(name)}: {_transition(old, new)}\n" for name, (old, new) in found.verdicts.items()]
    if found.changes:
        parts.append("\n| | relay | check | level |\n|---|---|---|---|\n")
    for change in found.changes:
        kind = f"{change.kind}{' (accepted)' if change.accepted else ''}"
        levels = ", ".join(sorted({value.level for value in change.new or change.old}))
        parts.append(f"| **{kind}** | {cell(change.relay)} | {cell(change.check)} | {levels} |\n")
    parts.append("\n")
    parts += [
        f"- {code(f'{change.relay} {change.check}')}\n"
        + "".join(f"  - {sign} {code(value)}\n" for sign, value in _lines(change))
        for change in found.changes
    ]
    if not found.changes and not found.verdicts:
        parts.append(f"{_UNCHANGED}\n")
    return bounded(parts)


_UNCHANGED = "No changes."


def _changes(name: str, before: RelayReport | None, after: RelayReport | None) -> list[CheckDiff]:
    old, new = _by_check(before), _by_check(after)
    rows = {} if after is None else after.checks()
    changes = []
    for check in [*new, *(check for check in old if check not in new)]:
        was, now = old.get(check, []), new.get(check, [])
        if _stable_values(was) == _stable_values(now) and _accepted(was) == _accepted(now):
            continue
        if not now:
            kind = "gone" if proven(rows.get(check, ())) else "not exercised now"
        else:
            kind = "changed" if was else "new"
        changes.append(CheckDiff(name, check, kind, _accepted(now), _values(was), _values(now)))
    return changes


def _by_check(relay: RelayReport | None) -> dict[str, list[ReportFinding]]:
    found: dict[str, list[ReportFinding]] = {}
    for finding in () if relay is None else (*relay.findings, *relay.accepted):
        found.setdefault(finding.check, []).append(finding)
    return found


def _values(findings: list[ReportFinding]) -> tuple[FindingValue, ...]:
    values = {FindingValue(finding.label, finding.expected, finding.actual) for finding in findings}
    return tuple(sorted(values, key=lambda one: (one.level, one.expected or "", one.actual or "")))


def _stable_values(findings: list[ReportFinding]) -> set[FindingValue]:
    """Return the values without ids and times, so that an unchanged finding compares equal."""
    return {
        FindingValue(
            value.level, *(_VOLATILE.sub("#", text or "") for text in (value.expected, value.actual))
        )
        for value in _values(findings)
    }


def _accepted(findings: list[ReportFinding]) -> bool:
    return any(finding.accepted is not None for finding in findings)


def _verdict(relay: RelayReport | None) -> str | None:
    return None if relay is None else relay.verdict


def _transition(old: str | None, new: str | None) -> str:
    if old is None:
        return f"only in the newer record, {new}"
    return f"only in the older record, {old}" if new is None else f"{old} → {new}"


def _lines(change: CheckDiff) -> list[tuple[str, str]]:
    same = set(change.old) & set(change.new)
    return [
        (
            sign,
            one_line(
                f"{value.level}: expected {value.expected or '-'}; received {value.actual or '-'}", _VALUE
            ),
        )
        for sign, values in (("-", change.old), ("+", change.new))
        for value in values
        if value not in same
    ]


def _notes(found: Diff) -> list[str]:
    notes = [
        f"The run of {name} record was cut short: checks that it lacks prove nothing."
        for name in found.incomplete
    ]
    return notes if notes or found.changes or found.verdicts else [_UNCHANGED]
