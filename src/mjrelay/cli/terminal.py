"""Tables and progress bars on a terminal. Importing rich is slow: only this module does it."""

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
    from collections.abc import Sequence

    from mjrelay.client import Task


_ROWS = 15
"""Maximum number of tasks with a bar."""


def print_task(task: Task) -> None:
    """Print a task on stdout, one field per line; unset fields are left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in task.to_dict().items():
        if value not in (None, [], ""):
            items = [button["label"] or button["emoji"] for button in value] if name == "buttons" else value
            lines = items if isinstance(items, list) else [items]
            shown = "\n".join(printable_text(str(line)) for line in lines)
            table.add_row(Text(name, style="bold"), Text(shown, overflow="fold"))
    Console().print(table)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout."""
    table = Table(box=None, pad_edge=False)
    for column in head:
        table.add_column(Text(printable_text(column)), overflow="fold")
    for row in rows:
        table.add_row(*("\n".join(map(printable_text, cell.split("\n"))) for cell in row))
    Console(markup=False, highlight=False).print(table)


class Bars:
    """
    Live progress bars on stderr: one for all tasks, and one for each of the first running ones.

    They disappear on exit. Thread-safe.
    """

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._total, self._ended = total, 0
        self._all = (
            self._progress.add_task(f"{total} tasks", total=total, status=f"0 of {total}")
            if total > 1
            else None
        )
        self._room = max(1, min(_ROWS, console.height - 4))
        self._rows: dict[str, TaskID] = {}

    def show(self, task_id: str, status: str, percent: int | None) -> None:
        """Update the bar of a task."""
        fields: dict[str, Any] = {"total": None if percent is None else 100, "completed": percent or 0}
        fields["status"] = status if percent is None else f"{status} {percent} %"
        if task_id in self._rows:
            self._progress.update(self._rows[task_id], **fields)
        elif len(self._rows) < self._room:
            self._rows[task_id] = self._progress.add_task(printable_text(task_id)[:40], **fields)

    def end(self, task_id: str) -> None:
        """Remove the bar of a task that has ended."""
        self._ended += 1
        if (row := self._rows.pop(task_id, None)) is not None:
            self._progress.remove_task(row)
        if self._all is not None:
            self._progress.update(self._all, completed=self._ended, status=f"{self._ended} of {self._total}")

    def __enter__(self) -> Self:
        self._progress.start()
        write_above(self._print)
        return self

    def __exit__(self, *_: object) -> None:
        write_above(None)
        self._progress.stop()

    def _print(self, line: str) -> None:
        self._progress.console.print(Text(line), soft_wrap=True)


def make_bars(total: int) -> Bars | None:
    """Return progress bars, or None if stderr cannot show them."""
    able = sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal
    return Bars(total) if able else None
