"""
The file of a recording, which anybody may have made.

It is HAR 1.2, JSON Lines of exchanges, or the record of a run. What was not recorded is never made up: an
entry says why it cannot be judged.
"""

from __future__ import annotations

import json
import zlib
from typing import IO, TYPE_CHECKING, Any, NoReturn

from mjrelay.errors import MjrelayError
from mjrelay_conformance._record import FORMAT
from mjrelay_conformance.replay._entry import Entry, EntryError, Unreadable
from mjrelay_conformance.replay._har import har_entry
from mjrelay_conformance.replay._line import line_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST = 256 * 1024 * 1024
"""Bytes of a recording that are read, unpacked."""
MOST = 100_000
"""Entries of a recording that are read."""

_GZIP = b"\x1f\x8b"
_GIVE = "give HAR 1.2, JSON Lines of exchanges, or a results.json"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
"""A browser may write half a surrogate pair as an escape: that concerns one entry, not the file."""


class TrafficError(MjrelayError):
    """A recording cannot be read, or there is nothing in it to be judged."""


def read(stream: IO[bytes], name: str) -> Iterator[Entry | Unreadable]:
    """
    The entries of a recording, in the order of the file; gzip is unpacked.

    Raises `TrafficError` for what is no recording, too large, or breaks off before its end.
    """
    data = stream.read(LARGEST + 1)
    if data.startswith(_GZIP):
        data = _unpacked(data, name)
    if len(data) > LARGEST:
        raise TrafficError(f"{name}: is larger than {LARGEST >> 20} MiB; export less of the traffic")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrafficError(f"{name}: byte {error.start} is not UTF-8; {_GIVE}") from error
    del data
    if not text.strip():
        raise TrafficError(f"{name}: is empty; {_GIVE}")
    return _bounded(_entries(text, name), name)


def _unpacked(data: bytes, name: str) -> bytes:
    unpacked = b""
    try:
        while data and len(unpacked) <= LARGEST:
            member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            unpacked += member.decompress(data, LARGEST + 1 - len(unpacked))
            if not member.eof and len(unpacked) <= LARGEST:
                raise TrafficError(f"{name}: breaks off within its gzip data; export or copy it once more")
            data = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise TrafficError(f"{name}: is damaged gzip data ({error}); export or copy it once more") from error
    return unpacked


def _bounded(entries: Iterator[Entry | Unreadable], name: str) -> Iterator[Entry | Unreadable]:
    for number, entry in enumerate(entries, 1):
        if number > MOST:
            raise TrafficError(f"{name}: has more than {MOST:,} entries; export less of the traffic")
        yield entry


def _entries(text: str, name: str) -> Iterator[Entry | Unreadable]:
    start = len(text) - len(text.lstrip())
    try:
        document, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        if any(_exchange_like(line) for line in text.split("\n")):
            return _lines(text, name)
        raise _no_json(text, name, error) from error
    rest = text[end:].strip()
    match document:
        case {"log": {"entries": list(entries)}} if not rest:
            return _each(entries, har_entry)
        case {"format": str(found), "exchanges": list(entries)} if not rest:
            if found != FORMAT:
                raise TrafficError(f"{name}: is a record of the form {found[:80]!r}; this reads {FORMAT}")
            return _each(entries, line_entry)
        case {"log": _} | {"format": _, "exchanges": _}:
            if rest:
                line = text.count("\n", 0, end) + 1
                raise TrafficError(f"{name}: goes on after its end at line {line}; export it once more")
            raise TrafficError(f"{name}: is no HAR 1.2: log.entries is no list; {_GIVE}")
        case dict():
            return _lines(text, name)
        case _:
            raise TrafficError(f"{name}: is JSON, but no recording; {_GIVE}")


def _no_json(text: str, name: str, error: Exception) -> TrafficError:
    match error:
        case RecursionError():
            return TrafficError(f"{name}: is nested too deeply to be a recording; {_GIVE}")
        case json.JSONDecodeError() if text.lstrip()[:1] in {"{", "["} and _at_end(error, text):
            return TrafficError(
                f"{name}: breaks off at its end, at line {error.lineno}, column {error.colno}; "
                "it was not written whole: export or copy it once more"
            )
        case json.JSONDecodeError():
            return TrafficError(
                f"{name}: is not JSON at line {error.lineno}, column {error.colno} ({error.msg}); {_GIVE}"
            )
        case _:  # a number of more digits than Python converts
            return TrafficError(f"{name}: holds a number with too many digits; {_GIVE}")


def _at_end(error: json.JSONDecodeError, text: str) -> bool:
    if error.msg.startswith("Invalid \\"):  # an escape
        return len(text.rstrip()) - error.pos <= len("u1234")
    rest = text[error.pos : error.pos + 8].strip()
    word = any(word.startswith(rest) and word != rest for word in ("true", "false", "null"))
    return (
        word or error.msg.startswith("Unterminated string") or not rest.strip("-.eE")
    )  # the rest of a number


def _exchange_like(line: str) -> bool:
    try:
        document = _DECODER.decode(line.strip())
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "method" in document


def _lines(text: str, name: str) -> Iterator[Entry | Unreadable]:
    lines = text.split("\n")  # and at nothing else, for a string of JSON may hold other breaks
    last = max(number for number, line in enumerate(lines, 1) if line.strip())
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            yield line_entry(_DECODER.decode(line.strip()), place)
        except EntryError as error:
            yield Unreadable(place, str(error))
        except RecursionError:
            yield Unreadable(place, "is nested too deeply")
        except ValueError as error:
            broken = isinstance(error, json.JSONDecodeError) and _at_end(error, line)
            if number == last and broken and number > 1:
                raise TrafficError(
                    f"{name}: breaks off within its last line, {number}; it was not written whole: "
                    "copy it once more, or leave that line out"
                ) from error
            yield Unreadable(place, f"is not JSON ({error})"[:200])


def _each(entries: list[Any], make: Callable[[Any, str], Entry]) -> Iterator[Entry | Unreadable]:
    for number, entry in enumerate(entries, 1):
        place = f"entry {number}"
        try:
            yield make(entry, place)
        except EntryError as error:
            yield Unreadable(place, str(error))
