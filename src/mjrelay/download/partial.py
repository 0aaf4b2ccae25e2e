"""Partial files: locked, resumable, and renamed when complete."""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Self, cast

from mjrelay.base import close_after_fork, lock_file, read_file, renew_after_fork
from mjrelay.download.job import TransientError
from mjrelay.download.media_types import HEAD
from mjrelay.http import plain_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

    from mjrelay.download.job import Job


VALIDATOR = re.compile(r'"[!#-~]{1,200}"|[A-Z][a-z]{2}, [0-9A-Za-z :-]{10,40}')
"""A strong ETag, or the value of Last-Modified."""

_LARGEST_NOTE = 64 * 1024
"""Maximum size of a sidecar in bytes."""


class PartialFile:
    """
    A partial file and a sidecar with the ETag or Last-Modified needed to resume.

    The sidecar is written while the file is empty, so that it always matches the content. A file that cannot
    be resumed is removed. Symbolic links are replaced, not followed. Any thread may `close` it; the methods
    of a closed file raise `FileError`.

    Attributes:
        size: The number of bytes in the file.
        head: The first bytes of the file; see `HEAD`.
        validator: The ETag or Last-Modified of the content, or None if it cannot be resumed.

    Raises:
        TransientError: Another download writes the file.
        FileError: The file cannot be written.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._path, self._sidecar = job, job.path(".part"), job.path(".part.json")
        self._lock = threading.Lock()
        renew_after_fork(self, PartialFile._abandon)
        with self._converted_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink():
                self._path.unlink()
            self._file = open(self._path, "a+b", opener=_open_no_follow)  # noqa: SIM115 - see close
            # A child process would keep the lock.
            close_after_fork(cast("FileIO", self._file.raw))
            self._open = is_only_writer(self._file, self._path)
            if not self._open:
                self._file.close()
                raise TransientError("another download is writing the same file")
            self.size = self._file.seek(0, os.SEEK_END)
            self.validator = self._saved_validator() if self.size else None
            self._file.seek(0)
            self.head = self._file.read(HEAD)
        job.attach(self.close)
        if self.validator is None:
            self.begin(None)

    def begin(self, validator: str | None) -> None:
        """Start again with an empty file."""
        with self._writing():
            self._file.truncate(0)
            self.size, self.head, self.validator = 0, b"", validator
            self._sidecar.unlink(missing_ok=True)
            if validator is not None:
                with self._sidecar.open("x", encoding="ascii") as file:  # "x" does not follow a symbolic link
                    json.dump({"link": plain_url(self._job.url), "validator": validator}, file)

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        with self._writing():
            self._file.write(chunk)
        self.size += len(chunk)
        self.head += chunk[: HEAD - len(self.head)]

    def finish(self, path: Path) -> None:
        """Rename the complete file (atomic). If it replaces another, the extension may differ."""
        with self._writing():
            self._file.flush()
            self._unlock()
            self._path.replace(path)
            self._open = False
            self._file.close()
            self._sidecar.unlink(missing_ok=True)
            for other in self._job.existing() if self._job.replace else ():
                if other != path:
                    other.unlink()

    def close(self) -> None:
        """Close the file, which releases the lock. Does nothing if it is closed already."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            with self._converted_errors(), self._file:
                if not (self.size and self.validator):
                    self._unlock()
                    self._sidecar.unlink(missing_ok=True)
                    self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _abandon(self) -> None:
        """Leave the file to the parent process, in a forked child."""
        self._lock, self._open = threading.Lock(), False

    def _unlock(self) -> None:
        """Close the file on Windows, which cannot rename an open one. Elsewhere keep the lock."""
        if os.name == "nt":
            self._file.close()

    def _saved_validator(self) -> str | None:
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            note = json.loads(read_file(self._sidecar, _LARGEST_NOTE))
            if note["link"] == plain_url(self._job.url) and VALIDATOR.fullmatch(note["validator"]):
                return str(note["validator"])
        return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            if not self._open:
                raise self._job.stopped()
            with self._converted_errors():
                yield

    @contextmanager
    def _converted_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: NUL in the path
            reason = getattr(error, "strerror", None) or error
            hint = "check its folder, or choose another"
            raise self._job.error(f"the file cannot be written ({reason}): {self._path}; {hint}") from error


def _open_no_follow(path: str, flags: int) -> int:
    """Open a file; raise `OSError` for a symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def is_only_writer(file: IO[bytes], path: Path) -> bool:
    """Return whether this process alone writes the file; True where files cannot be locked."""
    try:
        if not lock_file(file):
            return False
    except OSError:
        return True
    try:  # the process that held the lock before may have renamed the file
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False
