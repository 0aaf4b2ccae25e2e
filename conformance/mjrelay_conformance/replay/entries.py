"""What a recording holds of one exchange, whatever form it was written in."""

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
"""Stands for scheme and host where only the target of a request was recorded."""


class EntryError(Exception):
    """One entry is not what it should be."""


@frozen
class Entry:
    """
    One recorded request and its answer, secrets included.

    ``place`` says where in the file it stands. ``lacking`` is why its answer cannot be judged, if so.
    ``started`` and ``ended`` are in seconds since 1970, where recorded. ``kind``, ``task_id``, ``label`` and
    ``relay`` are what the recorder itself says of it.
    """

    place: str
    exchange: Exchange = field(repr=False)
    started: float | None = None
    ended: float | None = None
    lacking: str | None = None
    kind: Kind | None = None
    task_id: str | None = None
    label: str = ""
    relay: str | None = None


@frozen
class Unreadable:
    """An entry that is left out, and why."""

    place: str
    reason: str


BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body."""


def part(entry: Any, name: str) -> dict[str, Any]:
    """An object that an entry must have; raises `EntryError`."""
    found = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(found, dict):
        raise EntryError(f"has no {name}")
    return found


def inner(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """An object that an entry may have, else an empty one."""
    found = entry.get(name)
    return found if isinstance(found, dict) else {}


def text(entry: dict[str, Any], name: str) -> str:
    """A text that an entry must have; raises `EntryError`."""
    value = optional(entry, name)
    if not value:
        raise EntryError(f"{name} is no text")
    return value


def optional(entry: dict[str, Any], name: str) -> str | None:
    """A text that an entry may have; raises `EntryError` for one that is no Unicode."""
    value = entry.get(name)
    if not isinstance(value, str):
        return None
    if not _is_unicode(value):
        raise EntryError(f"{name} holds half a surrogate pair, which is no character")
    return value


def fields(headers: Any) -> Headers:
    """
    Header fields, however they are written; those of HTTP/2 that are none are left out.

    Raises `EntryError` for what holds none.
    """
    if not isinstance(headers, list | dict | None):
        raise EntryError("has headers that are no list")
    found = []
    for one in headers.items() if isinstance(headers, dict) else headers or ():
        match one:
            case {"name": str(name), "value": str(value)} | [str(name), str(value)] if _is_unicode(
                name + value
            ):
                if name and not name.startswith(":"):
                    # A browser joins fields of one name by line breaks.
                    found += [(name, line.strip()) for line in value.split("\n")]
            case _:
                raise EntryError("has a header field without a name or a value")
    return tuple(found)


def status(entry: dict[str, Any]) -> int | None:
    """The status of an answer, None where there was none; raises `EntryError`."""
    match entry.get("status"):
        case None | 0:
            return None
        case int(code) if 100 <= code <= 999:
            return code
        case _:
            raise EntryError("status is no status code")


def seconds(milliseconds: Any) -> float:
    """A duration; 0 for what is none."""
    usable = isinstance(milliseconds, int | float) and 0 <= milliseconds < 1e12
    return float(milliseconds) / 1000 if usable else 0.0


def size(value: Any) -> int | None:
    """A number of bytes; None for what is none, as HAR's -1."""
    return value if isinstance(value, int) and value >= 0 else None


def moment(value: Any) -> float | None:
    """A point in time, in seconds since 1970; None for what is none."""
    with suppress(ValueError, OverflowError, TypeError):
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return None


def content(
    value: Any, encoding: Any, recorded: int | None, *, empty: bool
) -> tuple[bytes | None, str | None]:
    """
    A body as far as it was recorded, and what it lacks.

    ``recorded`` is its size as the recorder has it; ``empty`` says whether no body at all is a whole one.
    Raises `EntryError`.
    """
    body = raw(value, encoding)
    if not body:
        return (b"", None) if empty else (None, "its body was not recorded")
    if len(body) > LARGEST_BATCH:
        return None, f"its body is larger than {LARGEST_BATCH} bytes"
    if recorded is not None and len(body) < recorded and not _is_json(body):
        return None, "its body was not recorded to the end"
    return body, None


def raw(value: Any, encoding: Any) -> bytes | None:
    """The bytes of a body that is written as text or in Base64; raises `EntryError`."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise EntryError("has a body that is no text")
    try:
        if not encoding:
            return value.encode("utf-8")
        if encoding == "base64":
            return base64.b64decode("".join(value.split()), validate=True)
    except UnicodeEncodeError as error:
        raise EntryError("has a body with half a surrogate pair, which is no character") from error
    except (binascii.Error, ValueError) as error:
        raise EntryError(f"has a body that is no Base64 ({error})") from error
    raise EntryError(f"has a body in the encoding {str(encoding)[:40]!r}; only base64 is known")


def _is_json(body: bytes) -> bool:
    try:
        parse_json(body)
    except NotJSONError:
        return False
    return True


def _is_unicode(value: str) -> bool:
    if value.isascii():  # as most are, and much quicker
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
