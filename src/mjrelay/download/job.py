"""The state of one file, and its errors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from mjrelay.http import Redactor, shown_url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
}
_KNOWN = (*sorted(set(_EXTENSIONS.values())), ".bin")


@frozen
class Download:
    """Progress of a file: bytes ``received`` of ``total``, which is None if the server does not report it."""

    url: str
    path: Path
    received: int
    total: int | None


class DownloadFault(Exception):  # noqa: N818 - the client converts it to a `MjrelayError`
    """A file could not be downloaded. The message omits the query of the URL, which may be a signature."""

    def __init__(self, url: str, message: str) -> None:
        self.url, self.message = url, message
        super().__init__(message)


class DownloadFaults(Exception):  # noqa: N818 - as above
    """Some files could not be downloaded. ``paths`` are those of the others."""

    def __init__(self, faults: Sequence[DownloadFault], paths: Sequence[Path]) -> None:
        self.faults, self.paths = list(faults), list(paths)
        super().__init__("; ".join(fault.message for fault in faults))


class _TransientError(Exception):
    """An attempt failed with a transient error. ``pause`` is the `Retry-After` in seconds."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        self.pause = pause
        super().__init__(message)


@define(eq=False)
class _Job:
    """One file: ``stem`` is its path without the extension."""

    url: str
    stem: Path
    redactor: Redactor = field(factory=Redactor, repr=False)
    progress: Download | None = None
    reported: Download | None = None
    result: Path | Exception | None = None
    redirected: str = ""

    def path(self, ending: str) -> Path:
        return self.stem.with_name(self.stem.name + ending)

    def existing(self) -> Path | None:
        """Return the path of the complete file, or None."""
        return next(filter(os.path.isfile, map(self.path, _KNOWN)), None)

    def fault(self, message: str) -> DownloadFault:
        text = self.redactor.text
        return DownloadFault(self.url, f"{self.shown(self.url)}: {text(self.redirected + message)}")

    def shown(self, url: str) -> str:
        """Return a URL for display. Secrets are redacted first, because a part of one would not be found."""
        return shown_url(self.redactor.text(url))
