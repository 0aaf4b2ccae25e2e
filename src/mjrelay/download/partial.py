"""
Downloading what a task made: files in a folder, whole or not at all.

What a relay answers may name anything, so each link, each redirect and each address is looked at before it
is connected to, nothing of an answer becomes a path, and no credential is sent.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self, cast

from mjrelay.base import close_after_fork, lock_file
from mjrelay.download.job import _PassingError
from mjrelay.http import plain_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedWriter, FileIO
    from pathlib import Path

    from mjrelay.download.job import _Job


_VALIDATOR = re.compile(r'"[!#-~]{1,200}"|[A-Z][a-z]{2}, [0-9A-Za-z :-]{10,40}')


class _Part:
    """
    What has come of a file, and a note beside it of the validator by which the rest can be asked for.

    The note is written while the file is empty, so that it never tells of other bytes than those that follow.
    What cannot be gone on with is removed, and so is a symbolic link in the place of either, for it would
    lead the bytes elsewhere. Raises `_PassingError` where somebody else is writing the file, and
    `DownloadFault` where it cannot be written.
    """

    def __init__(self, job: _Job) -> None:
        self._job, self._path, self._note = job, job.path(".part"), job.path(".part.json")
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink():
                self._path.unlink()
            self._file = open(self._path, "ab", opener=_unlinked)  # noqa: SIM115 - closed on exit
            # A child would still hold its lock when this process has closed it.
            close_after_fork(cast("FileIO", self._file.raw))
            self._mine = _alone(self._file, self._path)
            if not self._mine:
                self._file.close()
                raise _PassingError("another download is writing the same file")
            self.size = self._file.tell()
            self.validator = self._noted() if self.size else None
        if self.validator is None:
            self.begin(None)

    def begin(self, validator: str | None) -> None:
        """Start anew."""
        with self._writing():
            self._file.truncate(0)
            self.size, self.validator = 0, validator
            self._note.unlink(missing_ok=True)
            if validator is not None:
                with self._note.open("x", encoding="ascii") as file:  # a new file follows no symbolic link
                    json.dump({"link": plain_url(self._job.url), "validator": validator}, file)

    def write(self, chunk: bytes) -> None:
        with self._writing():
            self._file.write(chunk)
        self.size += len(chunk)

    def finish(self, path: Path) -> None:
        """Give the file its name, in one step."""
        with self._writing():
            self._file.flush()
            self._release()
            self._path.replace(path)
            self._mine = False
            self._note.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing(), self._file:
            if self._mine and not (self.size and self.validator):
                self._release()
                self._note.unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)

    def _release(self) -> None:
        """Before a file goes: Windows wants it closed, elsewhere it stays locked until it is gone."""
        if os.name == "nt":
            self._file.close()

    def _noted(self) -> str | None:
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            note = json.loads(self._note.read_text(encoding="ascii"))
            if note["link"] == plain_url(self._job.url) and _VALIDATOR.fullmatch(note["validator"]):
                return str(note["validator"])
        return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError is for a folder whose name cannot be one
            reason = getattr(error, "strerror", None) or error
            hint = "see to its folder, or choose another"
            raise self._job.fault(f"the file cannot be written ({reason}); {hint}") from error


def _unlinked(path: str, flags: int) -> int:
    """Open a file for itself alone; where a symbolic link stands in its place, that is an OSError."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _alone(file: BufferedWriter, path: Path) -> bool:
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
