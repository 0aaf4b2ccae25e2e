"""
Downloading what a task made: files in a folder, whole or not at all.

What a relay answers may name anything, so each link, each redirect and each address is looked at before it
is connected to, nothing of an answer becomes a path, and no credential is sent.
"""

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


def _safe(task_id: str) -> str:
    """
    A name for the files of a task, another for each id, on every system.

    Where the id itself is none, or might be taken for another one's, a hash stands behind what is left of it;
    capitals are such a case, for some systems do not tell them from small letters.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", task_id)[:80].lstrip(".-")
    kept = name and name == task_id == task_id.lower() and not name.endswith(_PREVIEW)
    if kept and not _RESERVED.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    from hashlib import sha256  # noqa: PLC0415 - seldom needed

    if _RESERVED.fullmatch(name.lower()):
        name = f"_{name}"
    return f"{name or 'task'}-{sha256(task_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _kind(answer: Stream) -> str:
    return (answer.header("content-type") or "").partition(";")[0].strip().lower()


def _extension(answer: Stream, link: MediaURL) -> str:
    found = _EXTENSIONS.get(_kind(answer))
    return found or _FROM_PATH.get(PurePosixPath(link.path).suffix.lower(), ".bin")


def _validator(answer: Stream) -> str | None:
    """By what the file can be known again; a weak tag does not tell bytes apart."""
    found = answer.header("etag") or answer.header("last-modified") or ""
    return found if _VALIDATOR.fullmatch(found) else None


def _length(answer: Stream) -> int | None:
    value = (answer.header("content-length") or "").strip()
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None


def _continued(answer: Stream, offset: int) -> int | None:
    """The size of the file where the answer goes on at the offset, else None."""
    match = _RANGE.fullmatch((answer.header("content-range") or "").strip())
    if match is None:
        return None
    first, last, total = map(int, match.groups())
    return total if first == offset <= last < total else None


def _refusal(status: int, link: MediaURL, now: float) -> str:
    """What to make of a status that gives no file."""
    expires = url_expiry(link.url)
    if 400 <= status < 500 and expires is not None:
        moment = f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC"
        if expires <= now:
            return f"the link is signed and expired at {moment}; fetch the task again for a fresh one"
        return (
            f"answered {status}, though the link is signed until {moment};"
            " fetch the task again for a fresh one"
        )
    if status in {401, 403}:
        return (
            f"answered {status}: the file is not for everybody, and the key is not sent to it; ask the relay"
        )
    if status in {404, 410}:
        return (
            f"answered {status}: the file is gone; relays keep files for a while only: fetch the task again"
        )
    return f"answered {status}; open the link in a browser to see why"
