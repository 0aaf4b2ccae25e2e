"""An exchange in the form of the record's own, as a line of JSON Lines holds it too."""

from __future__ import annotations

from typing import Any

from mjrelay._exchange import Exchange
from mjrelay_conformance._check import Kind
from mjrelay_conformance.replay import _parts
from mjrelay_conformance.replay._entry import UNRECORDED, Entry, EntryError


def line_entry(entry: Any, place: str) -> Entry:
    """The entry that a JSON value is; raises `EntryError` where it is none."""
    if not isinstance(entry, dict):
        raise EntryError("is no object")
    status, failure = _parts.status(entry), entry.get("failure")
    failure = failure if isinstance(failure, str) and failure else None
    body, lacking = _body(entry.get("body"), empty=status in _parts.BODILESS or status is None)
    if status is None and failure is None:
        lacking = "neither an answer nor a failure was recorded"
    started, elapsed = _parts.moment(entry.get("started")), _parts.seconds(entry.get("elapsed_ms"))
    return Entry(
        place,
        Exchange(
            method=_parts.text(entry, "method"),
            url=_url(entry),
            request_headers=_parts.fields(entry.get("request_headers")),
            request_body=_body(entry.get("request_body"), empty=True)[0] or b"",
            status=status,
            headers=_parts.fields(entry.get("headers")),
            body=body or b"",
            elapsed=elapsed,
            failure=failure,
        ),
        started=started,
        ended=None if started is None else started + elapsed,
        lacking=lacking,
        kind=_kind(entry.get("kind")),
        task_id=_parts.optional(entry, "task"),
        label=_parts.optional(entry, "label") or "",
        relay=_parts.optional(entry, "relay"),
    )


def _url(entry: dict[str, Any]) -> str:
    if entry.get("url") is not None:
        return _parts.text(entry, "url")
    target = _parts.text(entry, "target")
    return UNRECORDED + ("" if target.startswith("/") else "/") + target


def _kind(named: Any) -> Kind | None:
    try:
        return None if named is None else Kind(named)
    except ValueError as error:
        raise EntryError(f"kind is {str(named)[:40]!r}, which is none") from error


def _body(body: Any, *, empty: bool) -> tuple[bytes | None, str | None]:
    match body:
        case str():
            return _parts.content(body, None, None, empty=True)
        case {"base64": str(text)}:
            return _parts.content(text, "base64", _parts.size(body.get("size")), empty=False)
        case dict():
            size = _parts.size(body.get("size"))
            return _parts.content(body.get("text"), None, size, empty=empty or size == 0)
        case _:
            return _parts.content(None, None, None, empty=empty)
