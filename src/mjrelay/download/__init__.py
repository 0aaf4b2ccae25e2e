"""Downloads of media files: streamed, resumed, and complete before they get their name."""

from mjrelay.download.downloader import Downloader
from mjrelay.download.job import Download, DownloadFaults

__all__ = [
    "Download",
    "DownloadFaults",
    "Downloader",
]
