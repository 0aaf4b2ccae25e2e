"""``mjrelay report``: show, convert and compare the records of runs."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mjrelay.base import MjrelayError
from mjrelay.cli.options import PATH, Group, argument
from mjrelay.cli.output import format_option, json_text, load_extra, print_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mjrelay_conformance.judging import Record
    from rich.console import Console


_EXTRA = "conformance"
_INCOMPLETE = 3


class OutputFileError(MjrelayError):
    """An output file cannot be written."""


record_format_option = format_option("pretty", "summary", "json", "markdown", otherwise="summary")
_file_argument = argument("file", type=PATH, help="A results.json, or the directory that contains it.")
_output_option = click.option(
    "--output", "-o", type=PATH, metavar="FILE", help="Write to this file, not to stdout."
)


def show_record(record: Record, format_: str | None) -> None:
    """Print a record, and its result on stderr. If it has a file, write report.html next to it."""
    document = record.document()
    if record.path is not None:  # before stdout, whose reader may close it early
        page = record.path.with_name("report.html")
        text = _views().render_html(document)
        judging = load_extra("mjrelay_conformance.judging", _EXTRA)
        with _reported(page, "--report-dir"), judging.replacing_file(page) as file:
            file.write(text)
        print_message(f"written: {record.path}, {page}")
    print_message(_views().overall_line(document))
    _write_record(document, format_, None)


def print_schema(output: Path | None = None) -> None:
    """Print the JSON Schema of a record."""
    _write(load_extra("mjrelay_conformance.judging", _EXTRA).schema_text(), output)


@click.group(cls=Group)
def report() -> None:
    """
    Show the results of a run as text, HTML, JUnit or Markdown, or compare two runs.

    Exit codes: 0 success, 2 unreadable file, 3 success, but the run was interrupted.
    """


@report.command()
@_file_argument
@_output_option
@record_format_option
def show(*, file: Path, output: Path | None, format_: str | None) -> None:
    """Show a record: findings, then unproven checks, then one line per relay."""
    document = _read(file)
    _write_record(document, format_, output)
    _exit(document)


@report.command()
@argument("files", type=PATH, nargs=-1, required=True, metavar="FILE…", help="Records, or their directories.")
@_output_option
@record_format_option
def merge(*, files: tuple[Path, ...], output: Path | None, format_: str | None) -> None:
    """
    Merge several runs into one record, which shows all relays in one matrix.

    With --output the record is written as JSON, for report html and the other commands.
    """
    document = _views().merge_records([_read(file) for file in files])
    _write_record(document, format_ or (None if output is None else "json"), output)
    _exit(document)


@report.command()
@_file_argument
@_output_option
def html(*, file: Path, output: Path | None) -> None:
    """Write a record as one HTML page that needs no network."""
    document = _read(file)
    _write(_views().render_html(document), output)
    _exit(document)


@report.command()
@_file_argument
@_output_option
def junit(*, file: Path, output: Path | None) -> None:
    """Write a record as JUnit XML: a suite per relay, a test case per check."""
    document = _read(file)
    _write(_views().render_junit(document), output)
    _exit(document)


@report.command()
@_file_argument
@_output_option
def markdown(*, file: Path, output: Path | None) -> None:
    """Write a record as Markdown, for a comment on a pull request."""
    document = _read(file)
    _write(_views().render_markdown(document), output)
    _exit(document)


@report.command()
@_file_argument
@click.option("--relay", metavar="NAME", help="Relay of the badge. Default: the worst of all.")
@_output_option
def badge(*, file: Path, relay: str | None, output: Path | None) -> None:
    """Write the JSON of a shields.io endpoint badge."""
    document = _read(file)
    _write(json_text(_views().render_badge(document, relay)), output)
    _exit(document)


@report.command()
@argument("old", type=PATH, help="The older record, or its directory.")
@argument("new", type=PATH, help="The newer record, or its directory.")
@_output_option
@format_option("pretty", "json", "markdown")
def diff(*, old: Path, new: Path, output: Path | None, format_: str | None) -> None:
    """
    Show what changed between two runs.

    Exit codes: 0 no new finding, 1 a finding is new or changed, 2 unreadable file, 3 a run was interrupted.
    """
    views = _views()
    changes = views.compare_records(_read(old), _read(new))
    _write_view(
        format_,
        output,
        pretty=lambda console: views.print_diff(changes, console),
        plain=lambda: views.plain_diff(changes),
        markdown=lambda: views.render_markdown_diff(changes),
    )
    sys.exit(changes.exit_code)


@report.command()
@argument("directory", type=PATH, metavar="DIR", help="Directory of the runs, searched recursively.")
@_output_option
def index(*, directory: Path, output: Path | None) -> None:
    """Write an HTML index of many runs, with the trend of each relay."""
    views = _views()
    records = views.collect_records(directory)
    _write(views.render_index(records, None if output is None else output.parent), output)
    for reason in records.unreadable.values():
        print_message(reason)
    if not records.runs:
        sys.exit(2)


@report.command()
@_output_option
def schema(*, output: Path | None) -> None:
    """Print the JSON Schema of a record."""
    print_schema(output)


def _views() -> Any:
    return load_extra("mjrelay_conformance.report", _EXTRA)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = _views().read_record(path)
    return document


def _exit(document: dict[str, Any]) -> None:
    if not _views().is_complete(document):
        print_message(f"the run was interrupted; run it again with: {document['header']['reproduce']}")
        sys.exit(_INCOMPLETE)


def _write_record(document: dict[str, Any], format_: str | None, output: Path | None) -> None:
    if format_ == "summary" or (format_ is None and (output is not None or not sys.stdout.isatty())):
        _write("\n".join(_views().summary_lines(document)), output)
        return
    _write_view(
        format_,
        output,
        pretty=lambda console: _views().print_record(document, console),
        plain=lambda: document,
        markdown=lambda: _views().render_markdown(document),
    )


def _write_view(
    format_: str | None,
    output: Path | None,
    *,
    pretty: Callable[[Console], None],
    plain: Callable[[], Any],
    markdown: Callable[[], str],
) -> None:
    match format_ or ("pretty" if output is None and sys.stdout.isatty() else "json"):
        case "json":
            _write(json_text(plain(), indent=2), output)
        case "markdown":
            _write(markdown(), output)
        case _ if output is None:
            pretty(_console())
        case _:
            drawn = io.StringIO()
            pretty(_console(file=drawn, width=100))
            _write(drawn.getvalue(), output)


def _console(**settings: Any) -> Console:
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import

    return Console(**settings)


def _write(text: str, output: Path | None) -> None:
    text = text if text.endswith("\n") else f"{text}\n"
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with _reported(output, "--output"):
        output.write_text(text, encoding="utf-8", errors="backslashreplace")
    print_message(f"written: {output}")


@contextmanager
def _reported(path: Path, option: str) -> Iterator[None]:
    """Raise a failed write as `OutputFileError`, with the option that named the file."""
    try:
        yield
    except OSError as error:
        raise OutputFileError(f"{option} {path}: {error.strerror}; choose a writable file") from error
