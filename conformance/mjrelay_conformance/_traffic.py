"""
Recorded traffic, read from a file that anybody may have made.

It is HAR 1.2 as browsers and proxies export it, JSON Lines of exchanges, or the record of a run. What was
not recorded is never made up: an entry says why it cannot be judged.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, NoReturn

from attrs import field, frozen

from mjrelay._exchange import Exchange, NotJSONError
from mjrelay._exchange import parse as parse_json
from mjrelay.errors import MjrelayError
from mjrelay_conformance._check import Kind
from mjrelay_conformance._record import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay._exchange import Headers

LARGEST = 256 * 1024 * 1024
"""Bytes of a recording that are read, unpacked."""
MOST = 100_000
"""Entries of a recording that are read."""
UNRECORDED = "http://unrecorded.invalid"
"""Stands for scheme and host where only the target of a request was recorded."""

_GZIP = b"\x1f\x8b"
_GIVE = "give HAR 1.2, JSON Lines of exchanges, or a results.json"
_BODILESS = {204, 304}


class TrafficError(MjrelayError):
    """A recording cannot be read, or there is nothing in it to be judged."""


class _EntryError(Exception):
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
            return _each(entries, _har_entry)
        case {"format": str(found), "exchanges": list(entries)} if not rest:
            if found != FORMAT:
                raise TrafficError(f"{name}: is a record of the form {found[:80]!r}; this reads {FORMAT}")
            return _each(entries, _own_entry)
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
            yield _own_entry(_DECODER.decode(line.strip()), place)
        except _EntryError as error:
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


def _each(entries: list[Any], make: Any) -> Iterator[Entry | Unreadable]:
    for number, entry in enumerate(entries, 1):
        place = f"entry {number}"
        try:
            yield make(entry, place)
        except _EntryError as error:
            yield Unreadable(place, str(error))


def _har_entry(entry: Any, place: str) -> Entry:
    request, response = (_part(entry, name) for name in ("request", "response"))
    method, url = _text(request, "method"), _text(request, "url")
    status = _status(response)
    headers = _fields(response.get("headers"))
    content = _inner(response, "content")
    encoded = _encoded(headers)
    body, lacking = _content(
        content.get("text"),
        content.get("encoding"),
        _size(content.get("size")),
        empty=method == "HEAD" or status in _BODILESS or _nothing(response, content, headers),
    )
    if body is not None and encoded:
        if not _is_utf8(body):
            body, lacking = None, "its body was recorded as it was compressed"
        # They speak of bytes that the recording does not hold.
        headers = tuple(pair for pair in headers if pair[0].lower() not in _OF_THE_TRANSFER)
    if status is None:
        lacking = "no answer was recorded; the recording does not say whose fault that is"
    elif entry.get("_fromCache") or entry.get("_fetchedViaServiceWorker") or status == 304:
        lacking = "it was answered from a cache"
    posted = _inner(request, "postData")
    started, whole = _moment(entry.get("startedDateTime")), _seconds(entry.get("time"))
    # What a browser waits for by itself, before it sends anything, is not the relay's time.
    parts = [_seconds(_inner(entry, "timings").get(part)) for part in ("send", "wait", "receive")]
    return Entry(
        place,
        Exchange(
            method=method,
            url=url,
            request_headers=_fields(request.get("headers")),
            request_body=_bytes(posted.get("text"), posted.get("encoding")) or b"",
            status=status,
            headers=headers,
            body=body or b"",
            elapsed=sum(parts) or whole,
        ),
        started=started,
        ended=None if started is None else started + whole,
        lacking=lacking,
    )


def _own_entry(entry: Any, place: str) -> Entry:
    """An entry in the form of the record's own exchanges."""
    if not isinstance(entry, dict):
        raise _EntryError("is no object")
    url = entry.get("url")
    if url is None:
        target = _text(entry, "target")
        url = UNRECORDED + ("" if target.startswith("/") else "/") + target
    if not isinstance(url, str):
        raise _EntryError("url is no text")
    status, failure = _status(entry), entry.get("failure")
    failure = failure if isinstance(failure, str) and failure else None
    body, lacking = _own_body(entry.get("body"), empty=status in _BODILESS or status is None)
    if status is None and failure is None:
        lacking = "neither an answer nor a failure was recorded"
    named = entry.get("kind")
    started, elapsed = _moment(entry.get("started")), _seconds(entry.get("elapsed_ms"))
    if named is not None and named not in set(Kind):
        raise _EntryError(f"kind is {str(named)[:40]!r}, which is none")
    return Entry(
        place,
        Exchange(
            method=_text(entry, "method"),
            url=url,
            request_headers=_fields(entry.get("request_headers")),
            request_body=_own_body(entry.get("request_body"), empty=True)[0] or b"",
            status=status,
            headers=_fields(entry.get("headers")),
            body=body or b"",
            elapsed=elapsed,
            failure=failure,
        ),
        started=started,
        ended=None if started is None else started + elapsed,
        lacking=lacking,
        kind=None if named is None else Kind(named),
        task_id=_optional(entry, "task"),
        label=_optional(entry, "label") or "",
        relay=_optional(entry, "relay"),
    )


def _own_body(body: Any, *, empty: bool) -> tuple[bytes | None, str | None]:
    match body:
        case str():
            return _content(body, None, None, empty=True)
        case {"base64": str(text)}:
            return _content(text, "base64", _size(body.get("size")), empty=False)
        case dict():
            size = _size(body.get("size"))
            return _content(body.get("text"), None, size, empty=empty or size == 0)
        case _:
            return _content(None, None, None, empty=empty)


def _content(text: Any, encoding: Any, size: int | None, *, empty: bool) -> tuple[bytes | None, str | None]:
    """A body as far as it was recorded, and what it lacks."""
    body = _bytes(text, encoding)
    if not body:
        return (b"", None) if empty else (None, "its body was not recorded")
    if size is not None and len(body) < size and not _is_json(body):
        return None, "its body was not recorded to the end"
    return body, None


def _nothing(response: dict[str, Any], content: dict[str, Any], headers: Headers) -> bool:
    """Whether a body without text really was empty: no size that is recorded says otherwise."""
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    sizes = [_size(content.get("size")), _size(response.get("bodySize"))]
    sizes += [
        int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None for value in lengths
    ]
    known = [size for size in sizes if size is not None]
    return bool(known) and not any(known)


def _bytes(text: Any, encoding: Any) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise _EntryError("has a body that is no text")
    try:
        if not encoding:
            return text.encode("utf-8")
        if encoding == "base64":
            return base64.b64decode("".join(text.split()), validate=True)
    except UnicodeEncodeError as error:
        raise _EntryError("has a body with half a surrogate pair, which is no character") from error
    except (binascii.Error, ValueError) as error:
        raise _EntryError(f"has a body that is no Base64 ({error})") from error
    raise _EntryError(f"has a body in the encoding {str(encoding)[:40]!r}; only base64 is known")


def _part(entry: Any, name: str) -> dict[str, Any]:
    part = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(part, dict):
        raise _EntryError(f"has no {name}")
    return part


def _inner(part: dict[str, Any], name: str) -> dict[str, Any]:
    inner = part.get(name)
    return inner if isinstance(inner, dict) else {}


def _text(part: dict[str, Any], name: str) -> str:
    value = _optional(part, name)
    if not value:
        raise _EntryError(f"{name} is no text")
    return value


def _optional(part: dict[str, Any], name: str) -> str | None:
    value = part.get(name)
    if not isinstance(value, str):
        return None
    if not _is_text(value):
        raise _EntryError(f"{name} holds half a surrogate pair, which is no character")
    return value


def _fields(headers: Any) -> Headers:
    """Header fields, however they are written; those of HTTP/2 that are none are left out."""
    match headers:
        case None:
            pairs: list[Any] = []
        case dict():
            pairs = list(headers.items())
        case list():
            pairs = [
                (field["name"], field["value"])
                if isinstance(field, dict) and {"name", "value"} <= field.keys()
                else field
                for field in headers
            ]
        case _:
            raise _EntryError("has headers that are no list")
    found = []
    for pair in pairs:
        match pair:
            case [str(name), str(value)] if _is_text(name + value):
                # A browser joins fields of one name by line breaks.
                found += [(name, line.strip()) for line in value.split("\n")]
            case _:
                raise _EntryError("has a header field without a name or a value")
    return tuple(pair for pair in found if pair[0] and not pair[0].startswith(":"))


def _status(part: dict[str, Any]) -> int | None:
    match part.get("status"):
        case None | 0:
            return None
        case int(status) if 100 <= status <= 999:
            return status
        case _:
            raise _EntryError("status is no status code")


def _seconds(milliseconds: Any) -> float:
    usable = isinstance(milliseconds, int | float) and 0 <= milliseconds < 1e12
    return float(milliseconds) / 1000 if usable else 0.0


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _moment(text: Any) -> float | None:
    with suppress(ValueError, OverflowError, TypeError):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _encoded(headers: Headers) -> bool:
    codings = {value.lower() for name, value in headers if name.lower() == "content-encoding"}
    return bool(codings - {"identity", ""})


_OF_THE_TRANSFER = {"content-encoding", "content-length", "transfer-encoding"}


def _is_json(body: bytes) -> bool:
    try:
        parse_json(body)
    except NotJSONError:
        return False
    return True


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
"""A browser may write half a surrogate pair as an escape: that concerns one entry, not the file."""
