"""How the commands show the record of a run, and where they leave it."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mjrelay.cli._output import load, talk, write_json, write_line

if TYPE_CHECKING:
    from mjrelay_conformance._record import Record


class View(StrEnum):
    """How a record is written on stdout."""

    PRETTY = "pretty"
    JSON = "json"
    MARKDOWN = "markdown"


ViewOption = Annotated[
    View | None, typer.Option("--format", help="How to write on stdout; pretty on a terminal, else json.")
]


def show(record: Record, view: View | None) -> None:
    """Print a record, and leave a page for people beside it where it is written to a directory."""
    document = record.document()
    if view is None:
        view = View.PRETTY if sys.stdout.isatty() else View.JSON
    match view:
        case View.PRETTY:
            load("mjrelay_conformance.report.terminal", "conformance").render(document, Console())
        case View.MARKDOWN:
            write_line(load("mjrelay_conformance.report.markdown", "conformance").render(document))
        case View.JSON:
            write_json(document)
    if record.path is not None:
        page = record.path.with_name("report.html")
        html = load("mjrelay_conformance.report.html", "conformance").render(document)
        page.write_text(html, encoding="utf-8", errors="backslashreplace")
        talk(f"written: {record.path}, {page}")
