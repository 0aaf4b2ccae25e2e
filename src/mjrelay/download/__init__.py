"""Download media files: streamed, resumable, atomic."""

from mjrelay.download.downloader import Downloader
from mjrelay.download.job import Download, SomeFilesError
from mjrelay.download.media_types import image_type
from mjrelay.download.names import source_name

__all__ = [
    "Download",
    "Downloader",
    "SomeFilesError",
    "image_type",
    "source_name",
]
