"""How the commands show the record of a run, and where they leave it."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mjrelay.base import MjrelayError
from mjrelay.cli.output import json_text, load, talk, write_json, write_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay_conformance.judging import Record


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


def present(record: Record, view: View | None) -> None:
    """Print a record, and leave a page for people beside it where it is written to a directory."""
    document = record.document()
    if record.path is not None:  # first, for whoever reads stdout may have enough of it early
        page = record.path.with_name("report.html")
        text = _views().render_html(document)
        with (
            _told(page, "--report-dir"),
            load("mjrelay_conformance.judging", _EXTRA).replacing_file(page) as file,
        ):
            file.write(text)
        talk(f"written: {record.path}, {page}")
    if view is None:
        view = View.PRETTY if sys.stdout.isatty() else View.JSON
    match view:
        case View.PRETTY:
            _views().print_record(document, Console())
        case View.MARKDOWN:
            write_line(_views().render_markdown(document))
        case View.JSON:
            write_json(document)


_EXTRA = "conformance"
_INCOMPLETE = 3


RecordArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A run's results.json, or the directory that it is in.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write there, instead of on stdout.")
]

report = typer.Typer(
    name="report",
    help="Show what a run recorded: as text, as a page, for CI, or against another run. Exit codes of the "
    "views: 0 done, 2 not readable, 3 done, but the run was cut short.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@report.command()
def show(file: RecordArgument, output: OutputOption = None, format_: ViewOption = None) -> None:
    """Show a record: findings first, then what was not proven, then one line for each relay."""
    document = _read(file)
    _chosen(
        format_,
        output,
        pretty=lambda console: _views().print_record(document, console),
        plain=lambda: document,
        markdown=lambda: _views().render_markdown(document),
    )
    _end(document)


@report.command()
def html(file: RecordArgument, output: OutputOption = None) -> None:
    """Make one page for a browser of a record; it needs no network."""
    document = _read(file)
    _write(_views().render_html(document), output)
    _end(document)


@report.command()
def junit(file: RecordArgument, output: OutputOption = None) -> None:
    """Make JUnit XML of a record: a suite for each relay, a test case for each check."""
    document = _read(file)
    _write(_views().render_junit(document), output)
    _end(document)


@report.command()
def markdown(file: RecordArgument, output: OutputOption = None) -> None:
    """Make a comment for a pull request of a record."""
    document = _read(file)
    _write(_views().render_markdown(document), output)
    _end(document)


@report.command()
def badge(
    file: RecordArgument,
    relay: Annotated[
        str | None, typer.Option(help="The relay that the badge is of; without it, the worst of all.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Make the JSON that a badge of shields.io is drawn from."""
    document = _read(file)
    _write(json_text(_views().render_badge(document, relay)), output)
    _end(document)


@report.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The older record, or its directory.")],
    new: Annotated[Path, typer.Argument(help="The newer one.")],
    output: OutputOption = None,
    format_: ViewOption = None,
) -> None:
    """
    Show what changed from one run to another.

    Exit codes: 0 nothing new, 1 a finding is new or changed, 2 not readable, 3 a run was cut short.
    """
    views = _views()
    found = views.compare_records(_read(old), _read(new))
    _chosen(
        format_,
        output,
        pretty=lambda console: views.print_diff(found, console),
        plain=lambda: views.plain_diff(found),
        markdown=lambda: views.render_markdown_diff(found),
    )
    raise typer.Exit(found.exit_code)


@report.command()
def index(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the runs are, at any depth.")],
    output: OutputOption = None,
) -> None:
    """Make one page over many runs, with the trend of each relay; its links are relative to its place."""
    views = _views()
    found = views.collect_records(directory)
    _write(views.render_index(found, None if output is None else output.parent), output)
    for reason in found.unreadable.values():
        talk(reason)
    if not found.runs:
        raise typer.Exit(2)


@report.command()
def schema(output: OutputOption = None) -> None:
    """Print the JSON Schema of a record."""
    _write(load("mjrelay_conformance.judging", _EXTRA).schema_text(), output)


def _views() -> Any:
    return load("mjrelay_conformance.report", _EXTRA)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = _views().read_record(path)
    return document


def _end(document: dict[str, Any]) -> None:
    if not _views().is_complete(document):
        talk("the run was cut short; run it again with: mjrelay conform --report-dir DIR")
        raise typer.Exit(_INCOMPLETE)


def _chosen(
    format_: View | None,
    output: Path | None,
    *,
    pretty: Callable[[Console], None],
    plain: Callable[[], Any],
    markdown: Callable[[], str],
) -> None:
    if format_ is None:
        format_ = View.PRETTY if output is None and sys.stdout.isatty() else View.JSON
    match format_:
        case View.JSON:
            _write(json_text(plain(), indent=2), output)
        case View.MARKDOWN:
            _write(markdown(), output)
        case View.PRETTY if output is None:
            pretty(Console())
        case View.PRETTY:
            drawn = io.StringIO()
            pretty(Console(file=drawn, width=100))
            _write(drawn.getvalue(), output)


def _write(text: str, output: Path | None) -> None:
    text = text if text.endswith("\n") else f"{text}\n"
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    write_file(output, text, "--output")
    talk(f"written: {output}")
