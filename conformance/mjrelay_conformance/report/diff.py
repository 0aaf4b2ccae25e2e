"""What changed from one record to another: findings by relay and check, and verdicts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen
from rich.padding import Padding
from rich.text import Text

from mjrelay.http import printable_text
from mjrelay_conformance.report.document import complete, judged, line, proven
from mjrelay_conformance.report.markdown import bounded, cell, code
from mjrelay_conformance.report.terminal import COLOURS

if TYPE_CHECKING:
    from rich.console import Console

    from mjrelay_conformance.report.document import Judged, ReportFinding


_COLOURS = {"new": "bold red", "changed": "bold yellow", "gone": "bold green", "not exercised now": "dim"}
_VALUE = 500
"""Characters of a foreign value that are shown."""
_PASSING = re.compile(r"\d[\d:.-]{2,}\d")
"""Ids, times and durations, which differ from run to run; a status or a percentage does not match."""


@frozen
class Said:
    """What a record says against a relay by one check, the place of the clause left out: lines move."""

    level: str
    expected: str | None
    actual: str | None


@frozen
class CheckDiff:
    """
    One check of one relay that said something in either record.

    ``kind`` is ``new``, ``changed``, ``gone``, or ``not exercised now`` where the newer run did not try the
    check, so that the finding may still be there. ``accepted`` says whether the newer baseline accepts it.
    """

    relay: str
    check: str
    kind: str
    accepted: bool
    old: tuple[Said, ...]
    new: tuple[Said, ...]


@frozen
class Diff:
    """
    All that changed.

    ``verdicts`` holds the older and the newer verdict of each relay that has another one now, None for the
    record that the relay is not in; ``incomplete`` names the records of runs that were cut short.
    """

    verdicts: dict[str, tuple[str | None, str | None]]
    changes: tuple[CheckDiff, ...]
    incomplete: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 where a finding is new or changed and not accepted, 3 where a run was cut short, else 0."""
        if any(change.kind in {"new", "changed"} and not change.accepted for change in self.changes):
            return 1
        return 3 if self.incomplete else 0


def diff(old: dict[str, Any], new: dict[str, Any]) -> Diff:
    """What changed from the older record to the newer one."""
    before, after = ({relay.name: relay for relay in judged(one)} for one in (old, new))
    names = [*before, *(name for name in after if name not in before)]
    verdicts = {
        name: pair
        for name in names
        if (pair := (_verdict(before.get(name)), _verdict(after.get(name))))[0] != pair[1]
    }
    changes = [change for name in names for change in _changes(name, before.get(name), after.get(name))]
    changes.sort(key=lambda change: list(_COLOURS).index(change.kind))
    cut = {"the older": old, "the newer": new}
    return Diff(verdicts, tuple(changes), tuple(name for name, one in cut.items() if not complete(one)))


def document(found: Diff) -> dict[str, Any]:
    """The differences as plain data."""
    return asdict(found)


def terminal(found: Diff, console: Console) -> None:
    """Print the differences for people."""
    for name, (old, new) in found.verdicts.items():
        style = COLOURS.get(new or "", "yellow")
        console.print(Text(printable_text(f"{name}: {_turned(old, new)}"), style=style, overflow="fold"))
    for change in found.changes:
        title = printable_text(f" {change.relay} {change.check}{' (accepted)' if change.accepted else ''}")
        console.print(Text.assemble((change.kind, _COLOURS[change.kind]), title, overflow="fold"))
        for mark, said in _told(change):
            told = Text(printable_text(f"{mark} {said}"), overflow="fold")
            console.print(Padding(told, (0, 0, 0, 4), expand=False))
    for note in _notes(found):
        console.print(Text(note))


def markdown(found: Diff) -> str:
    """The differences as a comment on a pull request."""
    parts = ["### Conformance: what changed\n\n"]
    parts += [f"> **Incomplete.** {note}\n\n" for note in _notes(found) if found.incomplete]
    parts += [f"- {code(name)}: {_turned(old, new)}\n" for name, (old, new) in found.verdicts.items()]
    if found.changes:
        parts.append("\n| | relay | check | level |\n|---|---|---|---|\n")
    for change in found.changes:
        kind = f"{change.kind}{' (accepted)' if change.accepted else ''}"
        levels = ", ".join(sorted({said.level for said in change.new or change.old}))
        parts.append(f"| **{kind}** | {cell(change.relay)} | {cell(change.check)} | {levels} |\n")
    parts.append("\n")
    parts += [
        f"- {code(f'{change.relay} {change.check}')}\n"
        + "".join(f"  - {mark} {code(said)}\n" for mark, said in _told(change))
        for change in found.changes
    ]
    if not found.changes and not found.verdicts:
        parts.append("No finding is new, none is gone.\n")
    return bounded(parts)


def _changes(name: str, before: Judged | None, after: Judged | None) -> list[CheckDiff]:
    old, new = _by_check(before), _by_check(after)
    rows = {} if after is None else after.checks()
    changes = []
    for check in [*new, *(check for check in old if check not in new)]:
        was, now = old.get(check, []), new.get(check, [])
        if _lasting(was) == _lasting(now) and _accepted(was) == _accepted(now):
            continue
        if not now:
            kind = "gone" if proven(rows.get(check, ())) else "not exercised now"
        else:
            kind = "changed" if was else "new"
        changes.append(CheckDiff(name, check, kind, _accepted(now), _said(was), _said(now)))
    return changes


def _by_check(relay: Judged | None) -> dict[str, list[ReportFinding]]:
    found: dict[str, list[ReportFinding]] = {}
    for finding in () if relay is None else (*relay.findings, *relay.accepted):
        found.setdefault(finding.check, []).append(finding)
    return found


def _said(findings: list[ReportFinding]) -> tuple[Said, ...]:
    said = {Said(finding.label, finding.expected, finding.actual) for finding in findings}
    return tuple(sorted(said, key=lambda one: (one.level, one.expected or "", one.actual or "")))


def _lasting(findings: list[ReportFinding]) -> set[Said]:
    """The same without what differs from run to run, so that a finding that stays is no change."""
    return {
        Said(said.level, *(_PASSING.sub("#", text or "") for text in (said.expected, said.actual)))
        for said in _said(findings)
    }


def _accepted(findings: list[ReportFinding]) -> bool:
    return any(finding.accepted is not None for finding in findings)


def _verdict(relay: Judged | None) -> str | None:
    return None if relay is None else relay.verdict


def _turned(old: str | None, new: str | None) -> str:
    if old is None:
        return f"only in the newer record, {new}"
    return f"only in the older record, {old}" if new is None else f"{old} → {new}"


def _told(change: CheckDiff) -> list[tuple[str, str]]:
    same = set(change.old) & set(change.new)
    return [
        (mark, line(f"{said.level}: expected {said.expected or '-'}; came {said.actual or '-'}", _VALUE))
        for mark, side in (("-", change.old), ("+", change.new))
        for said in side
        if said not in same
    ]


def _notes(found: Diff) -> list[str]:
    notes = [
        f"The run of {name} record was cut short: what it lacks proves nothing." for name in found.incomplete
    ]
    return notes if notes or found.changes or found.verdicts else ["No finding is new, none is gone."]
