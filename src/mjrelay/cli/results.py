"""A JSON Lines file of results, written by one process at a time, from which a run can be resumed."""

from __future__ import annotations

import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Any, Self

from mjrelay.base import MjrelayError, lock_file
from mjrelay.cli.output import json_text
from mjrelay.semantics import State

if TYPE_CHECKING:
    from pathlib import Path


_BEGINNING = b'{"relay": "'
"""What every line begins with."""

_WORDS = frozenset(State)


class ResultsError(MjrelayError):
    """A results file cannot be used."""


class Results:
    """
    A results file, open for appending. Thread-safe.

    ``ended`` maps the ended tasks of ``relay`` in the file to their states; with ``files``, only those with
    downloaded files. The last line of a task counts. An incomplete last line, left by a killed run, is
    removed; ``torn`` is its size in bytes.

    Raises:
        ResultsError: The file contains other data, or another process writes to it. It is not changed.

    """

    def __init__(self, path: Path, relay: str, *, files: bool = False) -> None:
        self.ended: dict[str, State] = {}
        self.torn = 0
        self._path, self._relay, self._files = path, relay, files
        self._lock = threading.Lock()
        if path.exists() and not path.is_file():
            raise self._error("is not a regular file; name a file that this command may write")
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        try:
            self._file = os.open(path, flags, 0o666)
        except OSError as error:
            raise self._error(f"cannot be opened ({error.strerror}); check the path") from error
        try:
            self._take()
            self._read()
        except OSError as error:
            self.close()
            raise self._error(f"cannot be used ({error.strerror}); name another file") from error
        except ResultsError:
            self.close()
            raise

    def add(self, result: dict[str, Any]) -> None:
        """Append a result atomically; raises `ResultsError` if the disk is full."""
        line = json_text(result).encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            self._append(line)

    def close(self) -> None:
        """Close the file after the current write, so that another process may write."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            os.ftruncate(self._file, size)
            raise self._error(f"cannot be written ({error.strerror}); make room and start again") from error

    def _take(self) -> None:
        """Be the only one who writes."""
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise self._error("is no file that results can be kept in; name another one")
        if not lock_file(self._file):
            raise self._error("another process writes to it; wait until it has ended, or name another file")

    def _read(self) -> None:
        """Read the file, and repair an incomplete last line."""
        tail, good = b"", 0
        with open(self._file, "rb", closefd=False) as lines:
            for number, line in enumerate(lines, 1):
                if line.endswith(b"\n"):
                    good += len(line)
                    if line.strip() and not self._note(line):
                        raise self._error(f"line {number} is not a task; name a file that this command wrote")
                else:
                    tail = line
        if tail and self._note(tail):  # complete, except for the line break
            self._append(b"\n")
        elif tail:
            if not _is_incomplete(tail):
                raise self._error("its last line is not a task; name a file that this command wrote")
            os.ftruncate(self._file, good)
            self.torn = len(tail)

    def _note(self, line: bytes) -> bool:
        """Record a line. Return whether it is a task."""
        try:
            result = json.loads(line)
        except (ValueError, RecursionError):
            return False
        match result:
            case {"relay": str(relay), "id": str(task_id), "state": str(word)} if word in _WORDS:
                if relay == self._relay and State(word).terminal and ("files" in result or not self._files):
                    self.ended[task_id] = State(word)
                return True
            case _:
                return False

    def _error(self, message: str) -> ResultsError:
        return ResultsError(f"{self._path}: {message}")


def _is_incomplete(tail: bytes) -> bool:
    """Return whether it is the beginning of a result, and not a complete JSON value."""
    if not (tail.startswith(_BEGINNING) or _BEGINNING.startswith(tail)):
        return False
    try:
        json.loads(tail)
    except (ValueError, RecursionError):
        return True
    return False
