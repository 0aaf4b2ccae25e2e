"""The state of one file, and its errors."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from mjrelay.download.media_types import EXTENSIONS
from mjrelay.http import Redactor, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@frozen
class Download:
    """
    Progress of a file.

    Attributes:
        url: The file's URL.
        path: The file's path; that of the partial file until the type of the content is known.
        received: Bytes received.
        total: Size of the file in bytes; None if the server does not report it.
    """

    url: str
    path: Path
    received: int
    total: int | None


class FileError(Exception):
    """A file could not be downloaded. The message omits the query of the URL, which may be a signature."""

    def __init__(self, url: str, message: str) -> None:
        self.url, self.message = url, message
        super().__init__(message)


class SomeFilesError(Exception):
    """Some files could not be downloaded: ``errors``. ``paths`` are those of the others."""

    def __init__(self, errors: Sequence[FileError], paths: Sequence[Path]) -> None:
        self.errors, self.paths = list(errors), list(paths)
        super().__init__("; ".join(error.message for error in errors))


class TransientError(Exception):
    """An attempt failed with a transient error. ``pause`` is the `Retry-After` in seconds."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        self.pause = pause
        super().__init__(message)


@define(eq=False)
class Job:
    """
    One file.

    Attributes:
        url: The URL as the relay returned it.
        stem: The path of the file without the extension.
        redactor: Removes secrets from messages.
        replace: Replace an existing file.
        progress: The latest progress.
        reported: The progress that the caller was last called with.
        result: The path of the complete file, or the error.
        redirected: The part of an error message that names a redirect.
        stop_reason: Why the caller has stopped the download; empty if it has not.
    """

    url: str
    stem: Path
    redactor: Redactor = field(factory=Redactor, repr=False)
    replace: bool = False
    progress: Download | None = None
    reported: Download | None = None
    result: Path | Exception | None = None
    redirected: str = ""
    stop_reason: str = ""
    _close: Callable[[], object] | None = field(default=None, init=False)

    def path(self, extension: str) -> Path:
        return self.stem.with_name(self.stem.name + extension)

    def existing(self) -> Iterator[Path]:
        """Yield the paths of existing complete files, whatever their extension."""
        return filter(os.path.isfile, map(self.path, sorted({*EXTENSIONS.values(), ".bin"})))

    def attach(self, close: Callable[[], object]) -> None:
        """Let `stop` close the partial file. If the job has been stopped already, close it and raise."""
        self._close = close
        if self.stop_reason:  # set before `stop` reads the attribute above
            close()
            raise self.stopped()

    def stop(self, reason: str) -> None:
        """Close the partial file and release its lock, even while the job's thread waits for the server."""
        self.stop_reason = reason
        if self._close is not None:
            with suppress(FileError):
                self._close()

    def stopped(self) -> FileError:
        reason = self.stop_reason or "stopped before the file was complete"
        return self.error(f"{reason}; download again to resume")

    def error(self, message: str) -> FileError:
        text = self.redactor.text
        return FileError(self.url, f"{self.shown(self.url)}: {text(self.redirected + message)}")

    def shown(self, url: str) -> str:
        """Return a URL for display. Secrets are redacted first, because a part of one would not be found."""
        return shown_url(self.redactor.text(url))
