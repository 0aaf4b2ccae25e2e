"""The door of mjrelay.download."""

from mjrelay.download.downloader import Downloader
from mjrelay.download.job import Download, DownloadFaults

__all__ = ["Download", "DownloadFaults", "Downloader"]
