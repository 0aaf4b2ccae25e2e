"""
Read recordings: HAR 1.2, JSON Lines of exchanges, or the `results.json` of a run.

Files are untrusted input, so their size is bounded. Missing parts are not guessed: an entry without them has
a reason why it cannot be judged.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NoReturn

from attrs import evolve

from mjrelay.base import MjrelayError
from mjrelay.http import (
    CompressionError,
    Exchange,
    NotJSONError,
    OversizeError,
    TruncatedError,
    check_json_bounds,
    decompress,
    parse_json,
)
from mjrelay_conformance.judging import FORMAT, Kind
from mjrelay_conformance.replay import entries
from mjrelay_conformance.replay.entries import UNRECORDED, Entry, EntryError, UnreadableEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.http import Headers


MAX_SIZE = 256 * 1024 * 1024
"""Maximum size of a decompressed recording in bytes."""
MAX_ENTRIES = 100_000
"""Maximum number of entries in a recording."""

MAX_VALUES = 5_000_000
"""
Maximum number of values and keys in a recording that is one JSON document: 50 per entry.

JSON Lines are decoded line by line instead, within the bounds of a response body.
"""

_GZIP = b"\x1f\x8b"
_OTHER_COMPRESSIONS = {
    b"x\x01": "zlib",
    b"x\x5e": "zlib",
    b"x\x9c": "zlib",
    b"x\xda": "zlib",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_USE = "use HAR 1.2, JSON Lines of exchanges, or a results.json"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
"""Unlike `parse_json`, it accepts unpaired surrogates: they make an entry of a HAR invalid, not the file."""


class TrafficError(MjrelayError):
    """A recording cannot be read, or contains nothing that can be judged."""


def read_traffic(stream: IO[bytes], name: str) -> Iterator[Entry | UnreadableEntry]:
    """
    Return the entries of a recording in file order; gzip is decompressed.

    Raises:
        TrafficError: The data is not a recording, too large or truncated. Some of these errors are raised
            during iteration.
    """
    data = stream.read(MAX_SIZE + 1)
    if data.startswith(_GZIP):
        data = _decompressed(data, name)
    other = next((known for start, known in _OTHER_COMPRESSIONS.items() if data.startswith(start)), None)
    if other is not None:
        raise TrafficError(f"{name}: is compressed with {other}; decompress it, or use gzip")
    if len(data) > MAX_SIZE:
        raise TrafficError(f"{name}: is larger than {MAX_SIZE >> 20} MiB; export less traffic")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrafficError(f"{name}: byte {error.start} is not UTF-8; {_USE}") from error
    del data
    if not text.strip():
        raise TrafficError(f"{name}: is empty; {_USE}")
    return _bounded(_entries(text, name), name)


def _decompressed(data: bytes, name: str) -> bytes:
    try:
        return decompress(data, MAX_SIZE, members=True)
    except TruncatedError as error:
        raise TrafficError(f"{name}: its gzip data ends too early; export or copy the file again") from error
    except CompressionError as error:
        raise TrafficError(f"{name}: is damaged gzip data ({error}); export or copy it again") from error


def _bounded(items: Iterator[Entry | UnreadableEntry], name: str) -> Iterator[Entry | UnreadableEntry]:
    for number, entry in enumerate(items, 1):
        if number > MAX_ENTRIES:
            raise TrafficError(f"{name}: has more than {MAX_ENTRIES:,} entries; export less traffic")
        yield entry


def _entries(text: str, name: str) -> Iterator[Entry | UnreadableEntry]:
    start = len(text) - len(text.lstrip())
    if _is_exchange(text[start : text.find("\n", start)]):
        return _lines(text, name)
    try:
        check_json_bounds(text.encode("utf-8"), MAX_VALUES)
        document, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        if any(_is_exchange(line) for line in text.split("\n")):
            return _lines(text, name)
        raise _no_json(text, name, error) from error
    rest = text[end:].strip()
    match document:
        case {"log": {"entries": list(items)}} if not rest:
            return _each(items, har_entry)
        case {"format": str(found), "exchanges": list(items)} if not rest:
            if found != FORMAT:
                raise TrafficError(f"{name}: has the format {found[:80]!r}; supported is {FORMAT}")
            return _each(items, partial(_record_entry, targets=_targets(document)))
        case {"log": _} | {"format": _, "exchanges": _}:
            if rest:
                line = text.count("\n", 0, end) + 1
                raise TrafficError(
                    f"{name}: has data after the end of its JSON, at line {line}; export it again"
                )
            raise TrafficError(f"{name}: is not HAR 1.2: log.entries is not a list; {_USE}")
        case dict():
            return _lines(text, name)
        case _:
            raise TrafficError(f"{name}: is JSON, but not a recording; {_USE}")


def _no_json(text: str, name: str, error: Exception) -> TrafficError:
    match error:
        case OversizeError():
            return TrafficError(f"{name}: {error}; export less traffic")
        case RecursionError():
            return TrafficError(f"{name}: is nested too deeply to be a recording; {_USE}")
        case json.JSONDecodeError() if text.lstrip()[:1] in {"{", "["} and _ends_early(error, text):
            return TrafficError(
                f"{name}: is truncated at line {error.lineno}, column {error.colno}; export or copy it again"
            )
        case json.JSONDecodeError():
            return TrafficError(
                f"{name}: is not JSON at line {error.lineno}, column {error.colno} ({error.msg}); {_USE}"
            )
        case _:  # more digits than Python converts
            return TrafficError(f"{name}: contains a number with too many digits; {_USE}")


def _ends_early(error: json.JSONDecodeError, text: str) -> bool:
    if error.msg.startswith("Invalid \\"):  # an escape
        return len(text.rstrip()) - error.pos <= len("u1234")
    rest = text[error.pos : error.pos + 8].strip()
    in_literal = any(literal.startswith(rest) and literal != rest for literal in ("true", "false", "null"))
    in_number = not rest.strip("-.eE")
    return in_literal or in_number or error.msg.startswith("Unterminated string")


def _is_exchange(line: str) -> bool:
    try:
        document = parse_json(line.encode("utf-8"))
    except NotJSONError:
        return False
    return isinstance(document, dict) and "method" in document


def _lines(text: str, name: str) -> Iterator[Entry | UnreadableEntry]:
    lines = text.split("\n")  # not splitlines(): a JSON string may contain U+2028
    last = max(number for number, line in enumerate(lines, 1) if line.strip())
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            yield line_entry(parse_json(line.encode("utf-8")), place)
        except EntryError as error:
            yield UnreadableEntry(place, str(error))
        except NotJSONError as error:
            cause = error.__cause__
            if not isinstance(cause, json.JSONDecodeError):
                yield UnreadableEntry(place, str(error))
                continue
            if number == last > 1 and _ends_early(cause, line):
                raise TrafficError(
                    f"{name}: its last line, {number}, is truncated; copy the file again, or remove that line"
                ) from error
            yield UnreadableEntry(place, f"is not JSON ({error})"[:200])


def _each(items: list[Any], make: Callable[[Any, str], Entry]) -> Iterator[Entry | UnreadableEntry]:
    for number, entry in enumerate(items, 1):
        place = f"entry {number}"
        try:
            yield make(entry, place)
        except EntryError as error:
            yield UnreadableEntry(place, str(error))


_FRAMING_HEADERS = {"content-encoding", "content-length", "transfer-encoding"}


def har_entry(entry: Any, place: str) -> Entry:
    """Read an entry of a HAR; raises `EntryError`."""
    request, response = (entries.required_object(entry, name) for name in ("request", "response"))
    method, url = entries.required_text(request, "method"), entries.required_text(request, "url")
    status = entries.status_code(response)
    headers = entries.header_fields(response.get("headers"))
    content = entries.optional_object(response, "content")
    body, skip_reason = entries.body_content(
        content.get("text"),
        content.get("encoding"),
        entries.byte_count(content.get("size")),
        empty=method == "HEAD" or status in entries.BODILESS or _is_empty(response, content, headers),
    )
    if body is not None and _is_encoded(headers):
        if not _is_utf8(body):
            body, skip_reason = None, "its body was recorded compressed"
        # They describe the original bytes, which the recording does not contain.
        headers = tuple(pair for pair in headers if pair[0].lower() not in _FRAMING_HEADERS)
    if status is None:
        skip_reason = "no response was recorded"
    elif entry.get("_fromCache") or entry.get("_fetchedViaServiceWorker") or status == 304:
        skip_reason = "it was served from a cache"
    posted = entries.optional_object(request, "postData")
    started, whole = entries.timestamp(entry.get("startedDateTime")), entries.seconds(entry.get("time"))
    # The time that the browser itself needs before it sends the request is not the relay's.
    timings = entries.optional_object(entry, "timings")
    own = sum(entries.seconds(timings.get(name)) for name in ("send", "wait", "receive"))
    return Entry(
        place,
        Exchange(
            method=method,
            url=url,
            request_headers=entries.header_fields(request.get("headers")),
            request_body=entries.decoded_body(posted.get("text"), posted.get("encoding")) or b"",
            status=status,
            headers=headers,
            body=body or b"",
            elapsed=own or whole,
        ),
        started=started,
        ended=None if started is None else started + whole,
        skip_reason=skip_reason,
    )


def _is_empty(response: dict[str, Any], content: dict[str, Any], headers: Headers) -> bool:
    """Whether a missing body was empty: every recorded size is zero."""
    sizes = [entries.byte_count(content.get("size")), entries.byte_count(response.get("bodySize"))]
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
    """Read an exchange of JSON Lines or of a `results.json`; raises `EntryError`."""
    if not isinstance(entry, dict):
        raise EntryError("is not an object")
    status, failure = entries.status_code(entry), entry.get("failure")
    failure = failure if isinstance(failure, str) and failure else None
    body, skip_reason = _body(entry.get("body"), empty=status in entries.BODILESS or status is None)
    if status is None and failure is None:
        skip_reason = "neither a response nor a failure was recorded"
    started, elapsed = entries.timestamp(entry.get("started")), entries.seconds(entry.get("elapsed_ms"))
    return Entry(
        place,
        Exchange(
            method=entries.required_text(entry, "method"),
            url=_url(entry),
            request_headers=entries.header_fields(entry.get("request_headers")),
            request_body=_body(entry.get("request_body"), empty=True)[0] or b"",
            status=status,
            headers=entries.header_fields(entry.get("headers")),
            body=body or b"",
            elapsed=elapsed,
            failure=failure,
        ),
        started=started,
        ended=None if started is None else started + elapsed,
        skip_reason=skip_reason,
        kind=_kind(entry.get("kind")),
        task_id=entries.optional_text(entry, "task"),
        label=entries.optional_text(entry, "label") or "",
        relay=entries.optional_text(entry, "relay"),
    )


def _record_entry(entry: Any, place: str, *, targets: dict[str, tuple[str, str]]) -> Entry:
    """Read an exchange of a `results.json`, which names relay and URL once; raises `EntryError`."""
    read = line_entry(entry, place)
    relay, url = targets.get(read.relay or "", (read.relay, UNRECORDED))
    target = read.exchange.url.removeprefix(UNRECORDED)
    return evolve(read, relay=relay, exchange=evolve(read.exchange, url=url + target))


def _targets(record: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the relay and the origin of each name in a record."""
    header = record.get("header")
    targets = header.get("targets") if isinstance(header, dict) else None
    found = {}
    for name, target in targets.items() if isinstance(targets, dict) else ():
        match target:
            case {"relay": str(relay), "url": url}:
                origin = re.match(r"https?://[^/?#]+", url) if isinstance(url, str) else None
                found[name] = (relay, origin[0] if origin else UNRECORDED)
    return found


def _url(entry: dict[str, Any]) -> str:
    if entry.get("url") is not None:
        return entries.required_text(entry, "url")
    target = entries.required_text(entry, "target")
    return UNRECORDED + ("" if target.startswith("/") else "/") + target


def _kind(named: Any) -> Kind | None:
    try:
        return None if named is None else Kind(named)
    except ValueError as error:
        raise EntryError(f"kind {str(named)[:40]!r} is unknown") from error


def _body(body: Any, *, empty: bool) -> tuple[bytes | None, str | None]:
    match body:
        case str():
            return entries.body_content(body, None, None, empty=True)
        case {"base64": str(text)}:
            return entries.body_content(text, "base64", entries.byte_count(body.get("size")), empty=False)
        case dict():
            size = entries.byte_count(body.get("size"))
            return entries.body_content(body.get("text"), None, size, empty=empty or size == 0)
        case _:
            return entries.body_content(None, None, None, empty=empty)
