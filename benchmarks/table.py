"""The results, as a table and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from benchmarks.rounds import Timing


@frozen
class Target:
    """The target for a row's ratio, or for its own value without a ratio."""

    bound: float
    at_least: bool = True

    def met(self, value: float) -> bool:
        """Return whether the unrounded value reaches the target."""
        return value >= self.bound if self.at_least else value <= self.bound


def at_least(bound: float) -> Target:
    """Return a target with a lower bound."""
    return Target(bound)


def at_most(bound: float) -> Target:
    """Return a target with an upper bound."""
    return Target(bound, at_least=False)


@frozen(kw_only=True)
class Row:
    """
    One comparison. ``unit`` is ``s``, ``B`` or a noun.

    ``valid`` is False if another condition of the target is not met. ``note`` adds details, or why values
    are missing.
    """

    what: str
    ours: float | None = None
    theirs: float | None = None
    unit: str = "s"
    ratio: Ratio | None = None
    target: Target | None = None
    valid: bool = True
    note: str = ""

    @classmethod
    def faster(cls, what: str, ours: Timing, theirs: Timing, target: Target | None = None) -> Self:
        """Return the speed-up: their time divided by mjrelay's."""
        return cls(
            what=what, ours=ours.median, theirs=theirs.median, ratio=Ratio.of(theirs, ours), target=target
        )

    @classmethod
    def longer(cls, what: str, ours: Timing, theirs: Timing, target: Target | None = None) -> Self:
        """Return the slow-down: mjrelay's time divided by theirs."""
        return cls(
            what=what, ours=ours.median, theirs=theirs.median, ratio=Ratio.of(ours, theirs), target=target
        )

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a value."""
        value = self.ours if self.ratio is None else self.ratio.median
        return None if self.target is None or value is None else self.valid and self.target.met(value)

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        target = ""
        if self.target is not None:
            bound = self.target.bound
            shown = f"{bound:g} ×" if self.ratio is not None else _amount(bound, self.unit)
            target = f"{'≥' if self.target.at_least else '≤'} {shown}"
        met = {None: "", True: "[green]met[/]", False: "[red]not met[/]"}[self.met]
        return (
            self.what + (f"\n[dim]{self.note}[/]" if self.note else ""),
            _amount(self.ours, self.unit),
            _amount(self.theirs, self.unit),
            "" if self.ratio is None else f"{self.ratio.median:.3g} ×",
            target,
            met,
        )


def show(rows: Iterable[Row], machine: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the rows and the machine."""
    table = Table(caption="Medians of interleaved rounds; ratios are computed within each round.")
    table.add_column("what", overflow="fold", ratio=1)
    for name in ("ours", "theirs", "ratio", "target", "met"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    console = console or _console()
    console.print(table)
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    console.print(
        f"{machine['processor']}, {machine['cores']} cores; {machine['python']} on {machine['system']}; "
        f"{libraries}",
        markup=False,
        highlight=False,
    )


def _console() -> Console:
    """Return the terminal, or a console of 140 columns for a file."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def write(rows: Iterable[Row], machine: Mapping[str, Any], path: Path) -> None:
    """Write the unrounded rows and the machine to a file."""
    document = {"machine": dict(machine), "rows": [{**asdict(row), "met": row.met} for row in rows]}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "s":
        scales = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
        scale, name = next((pair for pair in scales if abs(value) >= pair[0]), scales[-1])
        return f"{value / scale:.3g} {name}" if value < 999.5 * scale else f"{value / scale:.0f} {name}"
    if unit == "B":
        return f"{value / 1024:.3g} KiB"
    return f"{value:,.6g} {unit}".rstrip()
