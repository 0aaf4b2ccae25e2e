"""What people see on a terminal: a task as a table, and live bars."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mjrelay.cli.output import write_above
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from mjrelay.client import Task


_ROWS = 15
"""Tasks that are shown at once."""


def render(task: Task) -> None:
    """A task on stdout, a field on each line; what is unset is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in task.to_dict().items():
        if value not in (None, [], ""):
            lines = [button["label"] or button["emoji"] for button in value] if name == "buttons" else value
            several = lines if isinstance(lines, list) else [lines]
            shown = "\n".join(printable_text(str(line)) for line in several)
            table.add_row(Text(name, style="bold"), Text(shown, overflow="fold"))
    Console().print(table)


class Bars:
    """
    Live bars on stderr's terminal, gone when they are left: one for all tasks, and one for each of some.

    Threads may share it.
    """

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            TextColumn("{task.fields[stands]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._total, self._ended = total, 0
        self._all = (
            self._progress.add_task(f"{total} tasks", total=total, stands=f"0 of {total}")
            if total > 1
            else None
        )
        self._room = max(1, min(_ROWS, console.height - 4))
        self._rows: dict[str, TaskID] = {}

    def show(self, task_id: str, stands: str, percent: int | None) -> None:
        """Say where a task stands."""
        fields: dict[str, Any] = {"total": None if percent is None else 100, "completed": percent or 0}
        fields["stands"] = stands if percent is None else f"{stands} {percent} %"
        if task_id in self._rows:
            self._progress.update(self._rows[task_id], **fields)
        elif len(self._rows) < self._room:
            self._rows[task_id] = self._progress.add_task(printable_text(task_id)[:40], **fields)

    def end(self, task_id: str) -> None:
        """Make room for another task."""
        self._ended += 1
        if (row := self._rows.pop(task_id, None)) is not None:
            self._progress.remove_task(row)
        if self._all is not None:
            self._progress.update(self._all, completed=self._ended, stands=f"{self._ended} of {self._total}")

    def __enter__(self) -> Self:
        self._progress.start()
        write_above(self._print)
        return self

    def __exit__(self, *_: object) -> None:
        write_above(None)
        self._progress.stop()

    def _print(self, line: str) -> None:
        self._progress.console.print(Text(line), soft_wrap=True)


def bars(total: int) -> Bars | None:
    """Bars where stderr is a terminal that can draw them."""
    drawn = sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal
    return Bars(total) if drawn else None
