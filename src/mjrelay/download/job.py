"""
Downloading what a task made: files in a folder, whole or not at all.

What a relay answers may name anything, so each link, each redirect and each address is looked at before it
is connected to, nothing of an answer becomes a path, and no credential is sent.
"""

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
    """How far a file is: bytes ``received`` of ``total``, which is None where the server does not say."""

    url: str
    path: Path
    received: int
    total: int | None


class DownloadFault(Exception):  # noqa: N818 - it is no error of the family before the face has made one of it
    """Why one file was not had; the message shows the link without its query, which may be a signature."""

    def __init__(self, url: str, message: str) -> None:
        self.url, self.message = url, message
        super().__init__(message)


class DownloadFaults(Exception):  # noqa: N818 - as above
    """Why some files were not had, and the ``paths`` of those that were."""

    def __init__(self, faults: Sequence[DownloadFault], paths: Sequence[Path]) -> None:
        self.faults, self.paths = list(faults), list(paths)
        super().__init__("; ".join(fault.message for fault in faults))


class _PassingError(Exception):
    """An attempt failed in a way that the next may not; ``pause`` is what the server asks for, in seconds."""

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
    told: Download | None = None
    outcome: Path | Exception | None = None
    redirected: str = ""

    def path(self, ending: str) -> Path:
        return self.stem.with_name(self.stem.name + ending)

    def there(self) -> Path | None:
        """The finished file, if there is one."""
        return next(filter(os.path.isfile, map(self.path, _KNOWN)), None)

    def fault(self, message: str) -> DownloadFault:
        text = self.redactor.text
        return DownloadFault(self.url, f"{self.shown(self.url)}: {text(self.redirected + message)}")

    def shown(self, url: str) -> str:
        """A link as it is shown to people; the secret goes first, for a part of it is not found."""
        return shown_url(self.redactor.text(url))
