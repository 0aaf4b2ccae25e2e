"""A file of results that outlives the run: one JSON object on each line, written by one process at a time."""

from __future__ import annotations

import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Any, Self

from mjrelay.base import MjrelayError
from mjrelay.cli.output import json_text
from mjrelay.semantics import State

if TYPE_CHECKING:
    from pathlib import Path


try:
    import fcntl
except ModuleNotFoundError:  # a system without advisory locks
    fcntl = None  # type: ignore[assignment]

_BEGINNING = b'{"relay": "'
"""What every line begins with."""

_WORDS = frozenset(State)


class ResultsError(MjrelayError):
    """A file cannot take results."""


class Results:
    """
    The results in a file, and those that are added to it. Threads may share it.

    ``ended`` holds the state of each task of ``relay`` that stands in it as ended; with ``files`` only where
    its line holds what was downloaded. Of several lines of a task the last one is its result. A line that was
    broken off when a run was killed is cut off, for ``torn`` bytes. Raises `ResultsError`, and leaves the
    file as it is, where it holds anything else or another process writes to it.
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
        """Add a result, in one piece; raises `ResultsError` where it does not fit on the disk."""
        line = json_text(result).encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            self._append(line)

    def close(self) -> None:
        """Let another process write, once what is being written is."""
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
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = f"process {pid}" if (pid := self._holder()) else "another process"
            raise self._error(
                f"{holder} writes to it; wait until that has ended, or name another file"
            ) from error

    def _holder(self) -> str | None:
        """Who holds the lock, where the system tells it."""
        about = os.fstat(self._file)
        place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
        try:
            with open("/proc/locks", encoding="ascii") as locks:  # noqa: PTH123 - no path of ours
                entries = [line.split() for line in locks]
        except (OSError, UnicodeDecodeError):
            return None
        held = (entry[4] for entry in entries if entry[1:2] == ["FLOCK"] and entry[5:6] == [place])
        return next((pid for pid in held if int(pid) > 0), None)

    def _read(self) -> None:
        """Take what stands in the file, and mend its end."""
        tail, good = b"", 0
        with open(self._file, "rb", closefd=False) as lines:
            for number, line in enumerate(lines, 1):
                if line.endswith(b"\n"):
                    good += len(line)
                    if line.strip() and not self._note(line):
                        raise self._error(f"line {number} is no task; name a file that this command wrote")
                else:
                    tail = line
        if tail and self._note(tail):  # all of it, but for the line's end
            self._append(b"\n")
        elif tail:
            if not _broken_off(tail):
                raise self._error("it ends in what is no task; name a file that this command wrote")
            os.ftruncate(self._file, good)
            self.torn = len(tail)

    def _note(self, line: bytes) -> bool:
        """Take a line; whether it is a task."""
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


def _broken_off(tail: bytes) -> bool:
    """Whether it is the beginning of a line of ours, and not all of something else."""
    if not (tail.startswith(_BEGINNING) or _BEGINNING.startswith(tail)):
        return False
    try:
        json.loads(tail)
    except (ValueError, RecursionError):
        return True
    return False
