"""
What the commands write, and the one way on which it goes: for people or as JSON, never with a secret in it,
never with what would steer a terminal.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import sys
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mjrelay.base import MissingExtraError, MjrelayError
from mjrelay.http import printable_text, redacted_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, but a terminal may act upon."""


class Format(StrEnum):
    """How data is written on stdout."""

    PRETTY = "pretty"
    JSON = "json"


FormatOption = Annotated[
    Format | None, typer.Option("--format", help="How to write on stdout; pretty on a terminal, else json.")
]


class OutputError(MjrelayError):
    """Stdout cannot be written."""


class Stdout(io.TextIOWrapper):
    """
    Stdout in UTF-8, on which a failure is told from all others, and is the last: what follows goes nowhere.

    Writing raises `OutputError`, or `BrokenPipeError` where nobody reads any more.
    """

    def __init__(self, binary: Any, *, line_buffering: bool = False) -> None:
        super().__init__(binary, "utf-8", "backslashreplace", line_buffering=line_buffering)

    @classmethod
    def instead_of(cls, stream: Any) -> Any:
        """What to use instead of the stream that Python made, or of None, where stdout was closed."""
        if stream is None:  # writing to what is open for reading fails as writing to the closed file would
            return cls(io.BufferedWriter(io.FileIO(os.open(os.devnull, os.O_RDONLY), "w", closefd=False)))
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        line_buffering = stream.line_buffering
        return cls(stream.detach(), line_buffering=line_buffering)

    def write(self, text: str, /) -> int:
        """Write text, as any stream does."""
        with self._failing():
            return super().write(text)

    def flush(self) -> None:
        """Let what was written be there, as any stream does."""
        with self._failing():
            super().flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is left in the buffer would fail once more when the process ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputError(
                f"stdout cannot be written ({error.strerror}); make room or write elsewhere"
            ) from error


class _Way:
    """Where lines go, and what is kept out of them; a process has one, for it runs one command."""

    above: Callable[[str], None] | None = None
    above_stdout = False


def write_above(write: Callable[[str], None] | None) -> None:
    """
    From now on let lines be written by this, above something that is drawn on stderr's terminal.

    Where stdout is another file, its data still goes there.
    """
    _Way.above = write
    _Way.above_stdout = write is not None and _same_terminal()


def json_text(document: Any, *, indent: int | None = None) -> str:
    """A document as JSON without the secrets; on one line, where it is not indented."""
    text = json.dumps(_redacted_values(document), ensure_ascii=False, indent=indent)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_pretty(chosen: Format | None) -> bool:
    """Whether to write for people: as chosen, else where stdout is a terminal."""
    return sys.stdout.isatty() if chosen is None else chosen is Format.PRETTY


def write_json(document: Any) -> None:
    """One JSON document on stdout."""
    write_line(json_text(document, indent=2))


def write_line(text: str) -> None:
    """A line of data on stdout, at once. The text has been through `printable_text` or `json_text`."""
    if _Way.above is not None and _Way.above_stdout:
        _Way.above(text)
    else:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def talk(text: str) -> None:
    """A line on stderr, in the command's name."""
    line = f"mjrelay: {printable_text(text)}"
    if _Way.above is not None:
        _Way.above(line)
    else:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def load(module: str, extra: str) -> ModuleType:
    """A module that an extra brings; raises `MissingExtraError` where it was not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, error.name or module) from error


def _redacted_values(node: Any) -> Any:
    # Value by value, for what is cut out of finished JSON might leave half an escape behind.
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
    """Whether stdout is the terminal that stderr is."""
    try:
        return sys.stdout.isatty() and os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False
