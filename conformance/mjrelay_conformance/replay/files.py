"""
The file of a recording, which anybody may have made.

It is HAR 1.2, JSON Lines of exchanges, or the record of a run. What was not recorded is never made up: an
entry says why it cannot be judged.
"""

from __future__ import annotations

import json
import zlib
from typing import IO, TYPE_CHECKING, Any, NoReturn

from mjrelay.base import MjrelayError
from mjrelay.http import Exchange, OversizeError, check_json_bounds
from mjrelay_conformance.judging import FORMAT, Kind
from mjrelay_conformance.replay import entries
from mjrelay_conformance.replay.entries import UNRECORDED, Entry, EntryError, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.http import Headers


LARGEST = 256 * 1024 * 1024
"""Bytes of a recording that are read, unpacked."""
MOST = 100_000
"""Entries of a recording that are read."""

MOST_VALUES = 5_000_000
"""
Values and names of objects in a recording that is one JSON text, as HAR is: 50 for each entry.

Such a file is decoded as a whole. One of JSON Lines is decoded line by line, within the bounds of a body.
"""

_GZIP = b"\x1f\x8b"
_GIVE = "give HAR 1.2, JSON Lines of exchanges, or a results.json"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
"""A browser may write half a surrogate pair as an escape: that concerns one entry, not the file."""


class TrafficError(MjrelayError):
    """A recording cannot be read, or there is nothing in it to be judged."""


def read_traffic(stream: IO[bytes], name: str) -> Iterator[Entry | Unreadable]:
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


def _bounded(items: Iterator[Entry | Unreadable], name: str) -> Iterator[Entry | Unreadable]:
    for number, entry in enumerate(items, 1):
        if number > MOST:
            raise TrafficError(f"{name}: has more than {MOST:,} entries; export less of the traffic")
        yield entry


def _entries(text: str, name: str) -> Iterator[Entry | Unreadable]:
    start = len(text) - len(text.lstrip())
    if _exchange_like(text[start : text.find("\n", start)]):
        return _lines(text, name)
    try:
        check_json_bounds(text.encode("utf-8"), MOST_VALUES)
        document, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        if any(_exchange_like(line) for line in text.split("\n")):
            return _lines(text, name)
        raise _no_json(text, name, error) from error
    rest = text[end:].strip()
    match document:
        case {"log": {"entries": list(items)}} if not rest:
            return _each(items, har_entry)
        case {"format": str(found), "exchanges": list(items)} if not rest:
            if found != FORMAT:
                raise TrafficError(f"{name}: is a record of the form {found[:80]!r}; this reads {FORMAT}")
            return _each(items, line_entry)
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
        case OversizeError():
            return TrafficError(f"{name}: {error}; export less of the traffic")
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
        document = _decoded(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "method" in document


def _decoded(line: str) -> Any:
    check_json_bounds(line.encode("utf-8"))
    return _DECODER.decode(line.strip())


def _lines(text: str, name: str) -> Iterator[Entry | Unreadable]:
    lines = text.split("\n")  # and at nothing else, for a string of JSON may hold other breaks
    last = max(number for number, line in enumerate(lines, 1) if line.strip())
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            yield line_entry(_decoded(line), place)
        except EntryError as error:
            yield Unreadable(place, str(error))
        except RecursionError:
            yield Unreadable(place, "is nested too deeply")
        except OversizeError as error:
            yield Unreadable(place, str(error))
        except ValueError as error:
            broken = isinstance(error, json.JSONDecodeError) and _at_end(error, line)
            if number == last and broken and number > 1:
                raise TrafficError(
                    f"{name}: breaks off within its last line, {number}; it was not written whole: "
                    "copy it once more, or leave that line out"
                ) from error
            yield Unreadable(place, f"is not JSON ({error})"[:200])


def _each(items: list[Any], make: Callable[[Any, str], Entry]) -> Iterator[Entry | Unreadable]:
    for number, entry in enumerate(items, 1):
        place = f"entry {number}"
        try:
            yield make(entry, place)
        except EntryError as error:
            yield Unreadable(place, str(error))


_OF_THE_TRANSFER = {"content-encoding", "content-length", "transfer-encoding"}


def har_entry(entry: Any, place: str) -> Entry:
    """The entry that a JSON value is; raises `EntryError` where it is none."""
    request, response = (entries.part(entry, name) for name in ("request", "response"))
    method, url = entries.text(request, "method"), entries.text(request, "url")
    status = entries.status(response)
    headers = entries.fields(response.get("headers"))
    content = entries.inner(response, "content")
    body, lacking = entries.content(
        content.get("text"),
        content.get("encoding"),
        entries.size(content.get("size")),
        empty=method == "HEAD" or status in entries.BODILESS or _is_empty(response, content, headers),
    )
    if body is not None and _is_encoded(headers):
        if not _is_utf8(body):
            body, lacking = None, "its body was recorded as it was compressed"
        # They speak of bytes that the recording does not hold.
        headers = tuple(pair for pair in headers if pair[0].lower() not in _OF_THE_TRANSFER)
    if status is None:
        lacking = "no answer was recorded; the recording does not say whose fault that is"
    elif entry.get("_fromCache") or entry.get("_fetchedViaServiceWorker") or status == 304:
        lacking = "it was answered from a cache"
    posted = entries.inner(request, "postData")
    started, whole = entries.moment(entry.get("startedDateTime")), entries.seconds(entry.get("time"))
    # What a browser waits for by itself, before it sends anything, is not the relay's time.
    timings = entries.inner(entry, "timings")
    own = sum(entries.seconds(timings.get(name)) for name in ("send", "wait", "receive"))
    return Entry(
        place,
        Exchange(
            method=method,
            url=url,
            request_headers=entries.fields(request.get("headers")),
            request_body=entries.raw(posted.get("text"), posted.get("encoding")) or b"",
            status=status,
            headers=headers,
            body=body or b"",
            elapsed=own or whole,
        ),
        started=started,
        ended=None if started is None else started + whole,
        lacking=lacking,
    )


def _is_empty(response: dict[str, Any], content: dict[str, Any], headers: Headers) -> bool:
    """Whether a body without text really was empty: no size that is recorded says otherwise."""
    sizes = [entries.size(content.get("size")), entries.size(response.get("bodySize"))]
    for name, value in headers:
        if name.lower() == "content-length" and value.isascii() and value.isdigit() and len(value) < 19:
            sizes.append(int(value))
    known = [size for size in sizes if size is not None]
    return bool(known) and not any(known)


def _is_encoded(headers: Headers) -> bool:
    codings = {value.lower() for name, value in headers if name.lower() == "content-encoding"}
    return bool(codings - {"identity", ""})


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def line_entry(entry: Any, place: str) -> Entry:
    """The entry that a JSON value is; raises `EntryError` where it is none."""
    if not isinstance(entry, dict):
        raise EntryError("is no object")
    status, failure = entries.status(entry), entry.get("failure")
    failure = failure if isinstance(failure, str) and failure else None
    body, lacking = _body(entry.get("body"), empty=status in entries.BODILESS or status is None)
    if status is None and failure is None:
        lacking = "neither an answer nor a failure was recorded"
    started, elapsed = entries.moment(entry.get("started")), entries.seconds(entry.get("elapsed_ms"))
    return Entry(
        place,
        Exchange(
            method=entries.text(entry, "method"),
            url=_url(entry),
            request_headers=entries.fields(entry.get("request_headers")),
            request_body=_body(entry.get("request_body"), empty=True)[0] or b"",
            status=status,
            headers=entries.fields(entry.get("headers")),
            body=body or b"",
            elapsed=elapsed,
            failure=failure,
        ),
        started=started,
        ended=None if started is None else started + elapsed,
        lacking=lacking,
        kind=_kind(entry.get("kind")),
        task_id=entries.optional(entry, "task"),
        label=entries.optional(entry, "label") or "",
        relay=entries.optional(entry, "relay"),
    )


def _url(entry: dict[str, Any]) -> str:
    if entry.get("url") is not None:
        return entries.text(entry, "url")
    target = entries.text(entry, "target")
    return UNRECORDED + ("" if target.startswith("/") else "/") + target


def _kind(named: Any) -> Kind | None:
    try:
        return None if named is None else Kind(named)
    except ValueError as error:
        raise EntryError(f"kind is {str(named)[:40]!r}, which is none") from error


def _body(body: Any, *, empty: bool) -> tuple[bytes | None, str | None]:
    match body:
        case str():
            return entries.content(body, None, None, empty=True)
        case {"base64": str(text)}:
            return entries.content(text, "base64", entries.size(body.get("size")), empty=False)
        case dict():
            size = entries.size(body.get("size"))
            return entries.content(body.get("text"), None, size, empty=empty or size == 0)
        case _:
            return entries.content(None, None, None, empty=empty)
