"""Download media files: streamed, resumable, atomic."""

from mjrelay.download.downloader import Downloader
from mjrelay.download.image_types import image_type
from mjrelay.download.job import Download, DownloadFaults

__all__ = [
    "Download",
    "DownloadFaults",
    "Downloader",
    "image_type",
]
