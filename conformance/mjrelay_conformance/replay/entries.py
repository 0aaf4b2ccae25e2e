"""Recorded exchanges, independent of the file format, and helpers that read their parts."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.http import NotJSONError, parse_json
from mjrelay.transport import LARGEST_BATCH

if TYPE_CHECKING:
    from mjrelay.http import Exchange, Headers
    from mjrelay_conformance.judging import Kind


UNRECORDED = "http://unrecorded.invalid"
"""Placeholder for a scheme and host that were not recorded."""


class EntryError(Exception):
    """An entry is invalid."""


@frozen
class Entry:
    """
    A recorded request and its response, including secrets.

    ``place`` is the position in the file, for messages. ``skip_reason`` is why the response cannot be judged,
    if so. ``started`` and ``ended`` are in seconds since 1970, if recorded. ``kind``, ``task_id``, ``label``
    and ``relay`` are annotations by the recorder.
    """

    place: str
    exchange: Exchange = field(repr=False)
    started: float | None = None
    ended: float | None = None
    skip_reason: str | None = None
    kind: Kind | None = None
    task_id: str | None = None
    label: str = ""
    relay: str | None = None


@frozen
class UnreadableEntry:
    """An invalid entry, which is skipped, and the reason."""

    place: str
    reason: str


BODILESS = frozenset({204, 304})
"""Status codes of responses without a body."""


def required_object(entry: Any, name: str) -> dict[str, Any]:
    """Return a required object of an entry; raises `EntryError`."""
    found = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(found, dict):
        raise EntryError(f"has no {name} object")
    return found


def optional_object(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an optional object of an entry; by default an empty one."""
    found = entry.get(name)
    return found if isinstance(found, dict) else {}


def required_text(entry: dict[str, Any], name: str) -> str:
    """Return a required string of an entry; raises `EntryError`."""
    value = optional_text(entry, name)
    if not value:
        raise EntryError(f"{name} is missing, empty or not a string")
    return value


def optional_text(entry: dict[str, Any], name: str) -> str | None:
    """Return an optional string of an entry; raises `EntryError` for an unpaired surrogate."""
    value = entry.get(name)
    if not isinstance(value, str):
        return None
    if not _is_unicode(value):
        raise EntryError(f"{name} contains an unpaired surrogate")
    return value


def header_fields(headers: Any) -> Headers:
    """
    Read headers in any of the supported notations; HTTP/2 pseudo-headers are skipped.

    Raises `EntryError` for anything else.
    """
    if not isinstance(headers, list | dict | None):
        raise EntryError("has headers that are neither a list nor an object")
    found = []
    for one in headers.items() if isinstance(headers, dict) else headers or ():
        match one:
            case {"name": str(name), "value": str(value)} | [str(name), str(value)] if _is_unicode(
                name + value
            ):
                if name and not name.startswith(":"):
                    # Browsers join headers with the same name by line breaks.
                    found += [(name, line.strip()) for line in value.split("\n")]
            case _:
                raise EntryError("has a header without a name or a value")
    return tuple(found)


def status_code(entry: dict[str, Any]) -> int | None:
    """Return the status code, or None without a response; raises `EntryError`."""
    match entry.get("status"):
        case None | 0:
            return None
        case int(code) if 100 <= code <= 999:
            return code
        case _:
            raise EntryError("status is not a status code")


def seconds(milliseconds: Any) -> float:
    """Convert a duration from milliseconds to seconds; 0 if it is invalid."""
    usable = isinstance(milliseconds, int | float) and 0 <= milliseconds < 1e12
    return float(milliseconds) / 1000 if usable else 0.0


def byte_count(value: Any) -> int | None:
    """Return a number of bytes; None if it is unknown (-1 in HAR) or invalid."""
    return value if isinstance(value, int) and value >= 0 else None


def timestamp(value: Any) -> float | None:
    """Convert an ISO 8601 time to seconds since 1970; None if it is invalid."""
    with suppress(ValueError, OverflowError, TypeError):
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return None


def body_content(
    value: Any, encoding: Any, recorded: int | None, *, empty: bool
) -> tuple[bytes | None, str | None]:
    """
    Return a body, or None and the reason why it cannot be judged.

    ``recorded`` is the size that the recorder states. ``empty`` is whether a missing body is an empty body.
    Raises `EntryError`.
    """
    body = decoded_body(value, encoding)
    if not body:
        return (b"", None) if empty else (None, "its body was not recorded")
    if len(body) > LARGEST_BATCH:
        return None, f"its body is larger than {LARGEST_BATCH} bytes"
    if recorded is not None and len(body) < recorded and not _is_json(body):
        return None, "its body was recorded incompletely"
    return body, None


def decoded_body(value: Any, encoding: Any) -> bytes | None:
    """Decode a body from text or Base64; raises `EntryError`."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise EntryError("has a body that is not a string")
    try:
        if not encoding:
            return value.encode("utf-8")
        if encoding == "base64":
            return base64.b64decode("".join(value.split()), validate=True)
    except UnicodeEncodeError as error:
        raise EntryError("has a body with an unpaired surrogate") from error
    except (binascii.Error, ValueError) as error:
        # Firefox labelled plain text so: https://bugzilla.mozilla.org/show_bug.cgi?id=1762313
        if value.lstrip()[:1] in {"{", "[", "<"} and _is_unicode(value):
            return value.encode("utf-8")
        raise EntryError(f"has a body that is not valid Base64 ({error})") from error
    raise EntryError(f"has a body in the encoding {str(encoding)[:40]!r}; only base64 is supported")


def _is_json(body: bytes) -> bool:
    try:
        parse_json(body)
    except NotJSONError:
        return False
    return True


def _is_unicode(value: str) -> bool:
    if value.isascii():  # much faster, and the usual case
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
