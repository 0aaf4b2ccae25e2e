"""How the commands show the record of a run, and where they leave it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mjrelay.cli._output import load, talk, write_json, write_line
from mjrelay.errors import MjrelayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mjrelay_conformance._record import Record


class OutputFileError(MjrelayError):
    """The file that a report is to go to cannot be written."""


class View(StrEnum):
    """How a record is written on stdout."""

    PRETTY = "pretty"
    JSON = "json"
    MARKDOWN = "markdown"


ViewOption = Annotated[
    View | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="How to write on stdout: pretty, json or markdown; pretty on a terminal, else json.",
    ),
]


def write_file(path: Path, text: str, option: str) -> None:
    """Write a report; raises `OutputFileError`, in which ``option`` is what named the file."""
    with _told(path, option):
        path.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def _told(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputFileError(
            f"{option} {path}: {error.strerror}; name a file that can be written"
        ) from error


def show(record: Record, view: View | None) -> None:
    """Print a record, and leave a page for people beside it where it is written to a directory."""
    document = record.document()
    if record.path is not None:  # first, for whoever reads stdout may have enough of it early
        page = record.path.with_name("report.html")
        html = load("mjrelay_conformance.report.html", "conformance")
        text = html.render(document)
        with (
            _told(page, "--report-dir"),
            load("mjrelay_conformance._record", "conformance").replacing(page) as file,
        ):
            file.write(text)
        talk(f"written: {record.path}, {page}")
    if view is None:
        view = View.PRETTY if sys.stdout.isatty() else View.JSON
    match view:
        case View.PRETTY:
            load("mjrelay_conformance.report.terminal", "conformance").render(document, Console())
        case View.MARKDOWN:
            write_line(load("mjrelay_conformance.report.markdown", "conformance").render(document))
        case View.JSON:
            write_json(document)
