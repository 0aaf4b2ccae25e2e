"""Output of all commands, for people or as JSON: redacted, and without terminal control characters."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from mjrelay.base import MissingExtraError, MjrelayError
from mjrelay.http import printable_text, redacted_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


_CONTROL = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that JSON allows unescaped but that a terminal may interpret."""


def format_option(*names: str, otherwise: str = "json") -> Callable[[Any], Any]:
    """Return the option ``--format``; its value may be None. ``otherwise`` names the default for a pipe."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(names),
        help=f"Format of stdout. Default: pretty on a terminal, else {otherwise}.",
    )


class OutputError(MjrelayError):
    """Stdout cannot be written."""


class Stdout(io.TextIOWrapper):
    """
    Stdout in UTF-8. After the first failed write all further output is discarded.

    A failed write raises `OutputError`, or `BrokenPipeError` when the reader has closed the pipe.
    """

    def __init__(self, binary: Any, *, line_buffering: bool = False) -> None:
        super().__init__(binary, "utf-8", "backslashreplace", line_buffering=line_buffering)

    @classmethod
    def replacing(cls, stream: Any) -> Any:
        """Return the replacement of Python's own stream, which is None when stdout is closed."""
        if stream is None:  # a write to a read-only file fails as a write to a closed one does
            return cls(io.BufferedWriter(io.FileIO(os.open(os.devnull, os.O_RDONLY), "w", closefd=False)))
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        line_buffering = stream.line_buffering
        return cls(stream.detach(), line_buffering=line_buffering)

    def write(self, text: str, /) -> int:
        """Write text, as `io.TextIOWrapper` does."""
        with self._checked():
            return super().write(text)

    def flush(self) -> None:
        """Flush the buffer, as `io.TextIOWrapper` does."""
        with self._checked():
            super().flush()

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _silence(self)
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputError(
                f"stdout cannot be written ({error.strerror}); make room or write elsewhere"
            ) from error


class _Redirection:
    """Where lines are written while progress bars are drawn; one for the process."""

    write: Callable[[str], None] | None = None
    includes_stdout = False


def write_above(write: Callable[[str], None] | None) -> None:
    """
    Send further lines to this function, which prints them above the progress bars; None ends that.

    Data is included only if stdout is the terminal on which the bars are drawn.
    """
    _Redirection.write = write
    _Redirection.includes_stdout = write is not None and _same_terminal()


def json_text(document: Any, *, indent: int | None = None) -> str:
    """Return a document as redacted JSON, on one line unless it is indented."""
    text = json.dumps(_redacted_values(document), ensure_ascii=False, indent=indent)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_pretty(format_: str | None) -> bool:
    """Return whether output is for people. The default depends on whether stdout is a terminal."""
    return sys.stdout.isatty() if format_ is None else format_ == "pretty"


def write_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    write_line(json_text(document, indent=2))


def write_line(text: str) -> None:
    """Write a line to stdout and flush. The caller passes the result of `printable_text` or `json_text`."""
    if _Redirection.write is not None and _Redirection.includes_stdout:
        _Redirection.write(text)
    else:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def print_message(text: str) -> bool:
    """
    Write a line to stderr, with the prefix ``mjrelay:``. Return whether it was written.

    A stderr that cannot be written, or is closed, stops no command: a task may be paid for.
    """
    line = f"mjrelay: {printable_text(text)}"
    if _Redirection.write is None:
        return write_error(line + "\n")
    with suppress(OSError, ValueError):
        _Redirection.write(line)
        return True
    return False


def write_error(text: str) -> bool:
    """Write text to stderr, and return whether that was possible."""
    with forgiving_stderr():
        sys.stderr.write(text)
        sys.stderr.flush()
        return True
    return False


@contextmanager
def forgiving_stderr() -> Iterator[None]:
    """Write to stderr. If that fails, nothing is raised, and what follows is lost too."""
    try:
        yield
    except (AttributeError, OSError, ValueError):  # None where it is closed
        with suppress(AttributeError, OSError, ValueError):
            _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Let the rest of a stream's buffer go nowhere. It would fail again when the process exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def load_extra(module: str, extra: str) -> ModuleType:
    """Import a module that an extra installs; raises `MissingExtraError` if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, error.name or module) from error


def _redacted_values(node: Any) -> Any:
    # Redact value by value: a cut in finished JSON may leave half an escape sequence.
    match node:
        case str():
            return redacted_text(node)
        case dict():
            return {redacted_text(str(name)): _redacted_values(value) for name, value in node.items()}
        case list() | tuple():
            return [_redacted_values(value) for value in node]
        case int() | float() if not isinstance(node, bool):
            shown = redacted_text(str(node))
            return node if shown == str(node) else shown
        case _:
            return node


def _same_terminal() -> bool:
    """Return whether stdout and stderr are the same terminal."""
    try:
        return sys.stdout.isatty() and os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False
