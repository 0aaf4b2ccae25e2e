"""The header fields of a response with a file, and the error message for one without."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mjrelay.download.partial import VALIDATOR
from mjrelay.http import MediaURL, url_expiry

if TYPE_CHECKING:
    from mjrelay.transport import Stream

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


def media_type(response: Stream) -> str:
    """Return the media type in lower case, without parameters; empty if there is none."""
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def validator(response: Stream) -> str | None:
    """Return the strong ETag or Last-Modified, which identifies the version of the file, or None."""
    found = response.header("etag") or response.header("last-modified") or ""
    return found if VALIDATOR.fullmatch(found) else None


def content_length(response: Stream) -> int | None:
    """Return the Content-Length, or None if it is missing or invalid."""
    value = (response.header("content-length") or "").strip()
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None


def total_size(response: Stream, offset: int) -> int | None:
    """Return the size of the file if the response continues at the offset, else None."""
    match = _RANGE.fullmatch((response.header("content-range") or "").strip())
    if match is None:
        return None
    first, last, total = map(int, match.groups())
    return total if first == offset <= last < total else None


def status_message(status: int, link: MediaURL, now: float) -> str:
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
