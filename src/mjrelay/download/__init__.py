"""Download media files: streamed, resumable, atomic."""

from mjrelay.download.downloader import Downloader
from mjrelay.download.job import Download, SomeFilesError
from mjrelay.download.names import source_name

__all__ = [
    "Download",
    "Downloader",
    "SomeFilesError",
    "source_name",
]
