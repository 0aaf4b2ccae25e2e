"""Partial files: locked, resumable, and renamed when complete."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self, cast

from mjrelay.base import close_after_fork, lock_file
from mjrelay.download.job import _TransientError
from mjrelay.http import plain_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedWriter, FileIO
    from pathlib import Path

    from mjrelay.download.job import _Job


_VALIDATOR = re.compile(r'"[!#-~]{1,200}"|[A-Z][a-z]{2}, [0-9A-Za-z :-]{10,40}')


class _PartialFile:
    """
    A partial file and a sidecar with the ETag or Last-Modified needed to resume.

    The sidecar is written while the file is empty, so that it always matches the content. A file that cannot
    be resumed is removed. Symbolic links are replaced, not followed.

    Raises:
        _TransientError: Another process writes the file.
        DownloadFault: The file cannot be written.
    """

    def __init__(self, job: _Job) -> None:
        self._job, self._path, self._sidecar = job, job.path(".part"), job.path(".part.json")
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink():
                self._path.unlink()
            self._file = open(self._path, "ab", opener=_open_no_follow)  # noqa: SIM115 - closed on exit
            # A child process would keep the lock.
            close_after_fork(cast("FileIO", self._file.raw))
            self._mine = _is_only_writer(self._file, self._path)
            if not self._mine:
                self._file.close()
                raise _TransientError("another download is writing the same file")
            self.size = self._file.tell()
            self.validator = self._saved_validator() if self.size else None
        if self.validator is None:
            self.begin(None)

    def begin(self, validator: str | None) -> None:
        """Start again with an empty file."""
        with self._writing():
            self._file.truncate(0)
            self.size, self.validator = 0, validator
            self._sidecar.unlink(missing_ok=True)
            if validator is not None:
                with self._sidecar.open("x", encoding="ascii") as file:  # "x" does not follow a symbolic link
                    json.dump({"link": plain_url(self._job.url), "validator": validator}, file)

    def write(self, chunk: bytes) -> None:
        with self._writing():
            self._file.write(chunk)
        self.size += len(chunk)

    def finish(self, path: Path) -> None:
        """Rename the complete file (atomic)."""
        with self._writing():
            self._file.flush()
            self._release()
            self._path.replace(path)
            self._mine = False
            self._sidecar.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing(), self._file:
            if self._mine and not (self.size and self.validator):
                self._release()
                self._sidecar.unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)

    def _release(self) -> None:
        """Close the file on Windows, which cannot rename an open one. Elsewhere keep the lock."""
        if os.name == "nt":
            self._file.close()

    def _saved_validator(self) -> str | None:
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            note = json.loads(self._sidecar.read_text(encoding="ascii"))
            if note["link"] == plain_url(self._job.url) and _VALIDATOR.fullmatch(note["validator"]):
                return str(note["validator"])
        return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: NUL in the path
            reason = getattr(error, "strerror", None) or error
            hint = "check its folder, or choose another"
            raise self._job.fault(f"the file cannot be written ({reason}); {hint}") from error


def _open_no_follow(path: str, flags: int) -> int:
    """Open a file; raise `OSError` for a symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_only_writer(file: BufferedWriter, path: Path) -> bool:
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
