"""The file extension of an image or a video, by its first bytes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

EXTENSIONS = {
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
"""File extensions by media type."""

HEAD = 64
"""Number of bytes at the start of a file from which its type is determined."""

_FROM_PATH = {extension: extension for extension in EXTENSIONS.values()} | {".jpeg": ".jpg"}
_UNTYPED = {"", "application/octet-stream", "binary/octet-stream"}
# In this order: formats with several brands or document types have their common one last.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", ".png"),
    (rb"\xff\xd8\xff", ".jpg"),
    (rb"RIFF....WEBP", ".webp"),
    (rb"GIF8[79]a", ".gif"),
    (rb"BM....\0\0\0\0", ".bmp"),
    (rb"II\x2a\0|MM\0\x2a", ".tiff"),
    (rb"....ftypavi[fs]", ".avif"),
    (rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", ".heic"),
    (rb"....ftypqt  ", ".mov"),
    (rb"....ftyp", ".mp4"),
    (rb"\x1aE\xdf\xa3.{0,40}webm", ".webm"),
    (rb"\x1aE\xdf\xa3", ".mkv"),
)
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]")


class NotMediaError(ValueError):
    """A file is neither an image nor a video; the message says what it is."""


def image_type(data: bytes) -> str | None:
    """Return the media type of an image by its first bytes, or None if it is no image."""
    found = _by_signature(data[:HEAD])
    return next(
        (kind for kind, one in EXTENSIONS.items() if one == found and kind.startswith("image/")), None
    )


def _by_signature(head: bytes) -> str | None:
    return next((one for signature, one in _SIGNATURES if re.match(signature, head, re.DOTALL)), None)


def media_extension(head: bytes, media_type: str, path: str) -> str:
    """
    Return the extension of a file.

    The first bytes count. If their format is unknown, the media type and then the URL's path decide.

    Args:
        head: The first `HEAD` bytes, or fewer if the file is smaller.
        media_type: The media type of the response, in lower case; empty if there is none.
        path: The path of the URL.

    Raises:
        NotMediaError: The file is neither an image nor a video.
    """
    if (found := _by_signature(head)) is not None:
        return found
    if "html" in media_type or _PAGE.match(head):
        raise NotMediaError("a web page")
    if media_type not in _UNTYPED and not media_type.startswith(("image/", "video/")):
        raise NotMediaError(ascii(media_type[:80]))
    if _JSON.match(head):
        raise NotMediaError("a JSON document")
    return EXTENSIONS.get(media_type) or _FROM_PATH.get(PurePosixPath(path).suffix.lower(), ".bin")
