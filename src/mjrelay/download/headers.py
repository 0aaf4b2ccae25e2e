"""File names, and the header fields of a response with a file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mjrelay.download.job import _EXTENSIONS
from mjrelay.download.partial import _VALIDATOR
from mjrelay.http import MediaURL, url_expiry

if TYPE_CHECKING:
    from mjrelay.transport import Stream

_FROM_PATH = {extension: extension for extension in _EXTENSIONS.values()} | {".jpeg": ".jpg"}
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
_HASHED = re.compile(r".*-[0-9a-f]{16}")
_PREVIEW = "-preview"


def _safe_name(task_id: str) -> str:
    """
    Return a file name for a task that is valid on every system and unique to the id.

    A hash is appended if the id is not a valid name or could collide with another one. Upper case is such a
    case, because some file systems ignore case.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", task_id)[:80].lstrip(".-")
    kept = name and name == task_id == task_id.lower() and not name.endswith(_PREVIEW)
    if kept and not _RESERVED.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    from hashlib import sha256  # noqa: PLC0415 - rarely needed

    if _RESERVED.fullmatch(name.lower()):
        name = f"_{name}"
    return f"{name or 'task'}-{sha256(task_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _media_type(response: Stream) -> str:
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def _extension(response: Stream, link: MediaURL) -> str:
    found = _EXTENSIONS.get(_media_type(response))
    return found or _FROM_PATH.get(PurePosixPath(link.path).suffix.lower(), ".bin")


def _validator(response: Stream) -> str | None:
    """Return the strong ETag or Last-Modified, which identifies the version of the file, or None."""
    found = response.header("etag") or response.header("last-modified") or ""
    return found if _VALIDATOR.fullmatch(found) else None


def _length(response: Stream) -> int | None:
    value = (response.header("content-length") or "").strip()
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None


def _total_size(response: Stream, offset: int) -> int | None:
    """Return the size of the file if the response continues at the offset, else None."""
    match = _RANGE.fullmatch((response.header("content-range") or "").strip())
    if match is None:
        return None
    first, last, total = map(int, match.groups())
    return total if first == offset <= last < total else None


def _error_message(status: int, link: MediaURL, now: float) -> str:
    """Return the error message for a status without a file."""
    expires = url_expiry(link.url)
    if 400 <= status < 500 and expires is not None:
        moment = f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC"
        if expires <= now:
            return f"the signed URL expired at {moment}; fetch the task again for a new one"
        return (
            f"the server returned {status}, though the URL is signed until {moment};"
            " fetch the task again for a new one"
        )
    if status in {401, 403}:
        return (
            f"the server returned {status}: the file is not public, and the key is not sent to it;"
            " contact the relay"
        )
    if status in {404, 410}:
        return (
            f"the server returned {status}: the file no longer exists, because relays keep files for"
            " a limited time; fetch the task again"
        )
    return f"the server returned {status}; open the URL in a browser to see why"
