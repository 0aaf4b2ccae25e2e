"""An entry of HAR 1.2, as browsers and proxies export it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mjrelay._exchange import Exchange
from mjrelay_conformance.replay import _parts
from mjrelay_conformance.replay._entry import Entry

if TYPE_CHECKING:
    from mjrelay._exchange import Headers

_OF_THE_TRANSFER = {"content-encoding", "content-length", "transfer-encoding"}


def har_entry(entry: Any, place: str) -> Entry:
    """The entry that a JSON value is; raises `EntryError` where it is none."""
    request, response = (_parts.part(entry, name) for name in ("request", "response"))
    method, url = _parts.text(request, "method"), _parts.text(request, "url")
    status = _parts.status(response)
    headers = _parts.fields(response.get("headers"))
    content = _parts.inner(response, "content")
    body, lacking = _parts.content(
        content.get("text"),
        content.get("encoding"),
        _parts.size(content.get("size")),
        empty=method == "HEAD" or status in _parts.BODILESS or _is_empty(response, content, headers),
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
    posted = _parts.inner(request, "postData")
    started, whole = _parts.moment(entry.get("startedDateTime")), _parts.seconds(entry.get("time"))
    # What a browser waits for by itself, before it sends anything, is not the relay's time.
    timings = _parts.inner(entry, "timings")
    own = sum(_parts.seconds(timings.get(name)) for name in ("send", "wait", "receive"))
    return Entry(
        place,
        Exchange(
            method=method,
            url=url,
            request_headers=_parts.fields(request.get("headers")),
            request_body=_parts.raw(posted.get("text"), posted.get("encoding")) or b"",
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
    sizes = [_parts.size(content.get("size")), _parts.size(response.get("bodySize"))]
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
