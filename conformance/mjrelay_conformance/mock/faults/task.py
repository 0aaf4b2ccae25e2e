"""Faults of a task's content: id, state, times, progress, media and failure reason."""

from __future__ import annotations

import copy
import random
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mjrelay.base import Pattern, another_text
from mjrelay.contract import json_type
from mjrelay.semantics import State
from mjrelay_conformance.mock import slots, writer
from mjrelay_conformance.mock.faults.fault import ENDED, FAILED, SUCCEEDED, Fault
from mjrelay_conformance.mock.slots import schema_allows

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay_conformance.mock.responses import MockRequest


_SMALL_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,2}(?![0-9])")
_MEDIA_LIST = ("fetch/200/media-list",)
_MEDIA_URL = ("fetch/200/media-url",)


def _wrong_id(request: MockRequest, document: Any) -> Any:
    path = request.contract.reader.id_path
    other = next((id_ for id_ in request.tasks if id_ != request.task_id), None)
    if other is None:
        other = another_text(request.task_id, random.Random(request.task_id), {request.task_id})  # noqa: S311 - repeatable
    for location in path.locate(document):
        writer.set_value(document, location, writer.id_like(slots.value_at(document, location), other))
    return document


def _stuck(request: MockRequest, document: Any) -> Any:
    if (
        request.state is None
        or not request.state.terminal
        or State.RUNNING.value not in request.contract.examples
    ):
        return document
    moments = slots.read_times(request.contract, document)
    return writer.write_task(request.contract, State.RUNNING, request.task_id, moments)


def _seconds_not_ms(request: MockRequest, document: Any) -> Any:
    if not writer.timestamps(request.contract):
        return document
    form = request.contract.operation["x-mj-task"]["times"]["format"]
    for stamp in writer.timestamps(request.contract).values():
        raw = stamp.raw(document)
        if form == "iso8601" or stamp.read(document) is None:
            continue
        value = int(float(raw) * 1000) if form == "s" else int(raw) // 1000
        found = stamp.path.locate(document)
        writer.set_values(document, found, str(value) if isinstance(raw, str) else value)
    return document


def _times_in_future(request: MockRequest, document: Any) -> Any:
    moments = slots.read_times(request.contract, document)
    midnight = request.now.replace(hour=0, minute=0, second=0, microsecond=0)  # the same for two readings
    for name, moment in moments.items():
        passed = moment - min(moments.values())
        writer.set_time(request.contract, document, name, midnight + timedelta(days=2) + passed)
    return document


def _finish_before_start(request: MockRequest, document: Any) -> Any:
    moments = slots.read_times(request.contract, document)
    before = [moment for name, moment in moments.items() if name != "finished"]
    if before and "finished" in moments:
        writer.set_time(request.contract, document, "finished", min(before) - timedelta(hours=1))
    return document


def _progress_150(request: MockRequest, document: Any) -> Any:
    writer.set_progress(request.contract, document, 150)
    return document


def _success_at_50(request: MockRequest, document: Any) -> Any:
    if request.contract.reader.completes("progress", document):
        writer.set_progress(request.contract, document, 50)
    return document


def _success_with_reason(request: MockRequest, document: Any) -> Any:
    failed = request.contract.examples.get(State.FAILED.value)
    reason = None if failed is None else request.contract.reader.failure(failed)
    for path in request.contract.reader.failure_paths if reason else ():
        for location in path.locate(document):
            if schema_allows(request.contract, location, "string"):
                writer.set_value(document, location, reason)
    return document


def _progress_without_sign(request: MockRequest, document: Any) -> Any:
    path = request.contract.reader.progress_path
    for location in [] if path is None else path.locate(document):
        value = slots.value_at(document, location)
        if isinstance(value, str) and schema_allows(request.contract, location, "string"):
            writer.set_value(document, location, value.removesuffix("%"))
    return document


def _success_without_finish(request: MockRequest, document: Any) -> Any:
    stamp = request.contract.reader.finished
    if (
        stamp is None
        or stamp.raw(document) is None
        or not request.contract.reader.completes("finished", document)
    ):
        return document
    unset = request.contract.operation["x-mj-task"]["times"].get("unset", [])
    for location in stamp.path.locate(document):
        writer.set_value(document, location, slots.unset_value(request.contract, location, unset))
    return document


def _success_without_media(request: MockRequest, document: Any) -> Any:
    reader = request.contract.reader
    if not reader.completes("media", document):
        return document
    for media in (*reader.image_media, *reader.video_media):
        for location in media.path.locate(document) if media.urls(document) else ():
            index = next((depth for depth, step in enumerate(location) if isinstance(step, int)), None)
            if index is None:
                writer.set_value(document, location, slots.unset_value(request.contract, location))
            else:
                writer.set_value(document, location[:index], [])
    return document


def _success_without_buttons(request: MockRequest, document: Any) -> Any:
    items = request.contract.operation["x-mj-task"].get("buttons", {}).get("items")
    for location in () if items is None else slots.json_path(items).locate(document)[:1]:
        writer.set_value(document, location[:-1], [])
    return document


def _media_repeated(request: MockRequest, document: Any) -> Any:
    return _each_list(request, document, lambda urls: [*urls[:-1], urls[0]])


def _media_reversed(request: MockRequest, document: Any) -> Any:
    def backwards(urls: list[str]) -> list[str]:
        return urls[::-1] if len({_SMALL_NUMBER.sub("", url) for url in urls}) == 1 else urls

    return _each_list(request, document, backwards)


def _media_of_two_jobs(request: MockRequest, document: Any) -> Any:
    def mixed(urls: list[str]) -> list[str]:
        return [*urls[:-1], re.sub(r"[0-9](?=[0-9a-f-]{11})", "9", urls[-1])] if len(urls) > 2 else urls

    return _each_list(request, document, mixed)


def _each_list(request: MockRequest, document: Any, change: Callable[[list[str]], list[str]]) -> Any:
    """Replace the URLs in each list of media."""
    for media in (*request.contract.reader.image_media, *request.contract.reader.video_media):
        urls, locations = media.urls(document), media.path.locate(document)
        if len(urls) == len(locations) > 1:
            for location, url in zip(locations, change(urls), strict=True):
                writer.set_value(document, location, url)
    return document


def _media_on_localhost(request: MockRequest, document: Any) -> Any:
    return _each_url(request, document, lambda url: f"http://localhost:3000{_behind_host(url)}")


def _media_over_http(request: MockRequest, document: Any) -> Any:
    return _each_url(request, document, lambda url: f"http://media.example.com{_behind_host(url)}")


def _media_relative(request: MockRequest, document: Any) -> Any:
    return _each_url(request, document, _behind_host)


def _media_expired(request: MockRequest, document: Any) -> Any:
    moments = slots.read_times(request.contract, document)
    if not moments:
        return document
    end = f"{int(min(moments.values()).timestamp()) - 3600:x}"
    # Discord signs URLs with the expiry in hexadecimal seconds and a hash.
    return _each_url(
        request,
        document,
        lambda url: writer.with_query_parameter(writer.with_query_parameter(url, "ex", end), "hm", "0" * 64),
    )


def _each_url(request: MockRequest, document: Any, change: Callable[[str], str]) -> Any:
    for location, url in slots.media_slots(request.contract, document):
        writer.set_value(document, location, change(url))
    return document


def _behind_host(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _failure_without_reason(request: MockRequest, document: Any) -> Any:
    reader, changed = request.contract.reader, copy.deepcopy(document)
    for path in reader.failure_paths:
        for location in path.locate(changed):
            writer.set_value(changed, location, slots.unset_value(request.contract, location))
    # The reason may decide the state.
    return changed if reader.state(changed) is reader.state(document) else document


def _relation_broken(request: MockRequest, document: Any) -> Any:
    reader, form = request.contract.reader, request.contract.operation["x-mj-task"]
    free = dict(slots.all_editable_slots(request.contract, document))
    for relation in form.get("relations", []):
        left = relation["left"]
        for location in slots.json_path(left.get("path") or left["count"]).locate(document):
            changed = copy.deepcopy(document)
            writer.set_value(
                changed, location, _unlike(slots.value_at(document, location), left.get("capture", ""))
            )
            if location in free and any(relation.breach(changed) for relation in reader.relations):
                return changed
    return document


def _unlike(value: Any, capture: str) -> Any:
    """Return another value of the same JSON type; if ``capture`` matches, only the captured part differs."""
    if not isinstance(value, str):
        return value + 1_000_000 if json_type(value) in slots.NUMBERS else value
    match = Pattern.compile(capture).search(value) if capture else None
    if match is None:
        return f"{value}0"
    digit = "0" if match[1][:1] != "0" else "1"
    return f"{value[: match.start(1)]}{digit}{value[match.start(1) + 1 :]}"


FAULTS = (
    Fault("wrong-id", "The task has the id of another task.", ("fetch/200/id",), on_document=_wrong_id),
    Fault(
        "stuck",
        "A task that has ended is still reported as running.",
        ("fetch/200/state",),
        on_document=_stuck,
        states=ENDED,
    ),
    Fault(
        "seconds-not-ms",
        "Timestamps are in the wrong unit, by a factor of 1000.",
        ("fetch/200/times",),
        on_document=_seconds_not_ms,
    ),
    Fault(
        "times-in-future",
        "Timestamps are at least a day in the future.",
        ("fetch/200/times",),
        on_document=_times_in_future,
    ),
    Fault(
        "finish-before-start",
        "The finish time of a task is before its submit time.",
        ("fetch/200/times-order",),
        on_document=_finish_before_start,
    ),
    Fault(
        "progress-150",
        "Progress is 150 percent.",
        ("fetch/200/progress",),
        on_document=_progress_150,
    ),
    Fault(
        "success-at-50-percent",
        "The progress of a succeeded task is 50 percent.",
        ("fetch/200/succeeded/progress",),
        on_document=_success_at_50,
        states=SUCCEEDED,
    ),
    Fault(
        "success-with-reason",
        "A succeeded task has a failure reason.",
        ("fetch/200/succeeded/no-reason",),
        on_document=_success_with_reason,
        states=SUCCEEDED,
    ),
    Fault(
        "progress-without-sign",
        "Progress lacks the documented percent sign.",
        ("fetch/200/progress",),
        on_document=_progress_without_sign,
    ),
    Fault(
        "success-without-finish",
        "A succeeded task has no finish time.",
        ("fetch/200/succeeded/finished",),
        on_document=_success_without_finish,
        states=SUCCEEDED,
    ),
    Fault(
        "success-without-media",
        "A succeeded task has no images and no videos.",
        ("fetch/200/succeeded/media",),
        on_document=_success_without_media,
        states=SUCCEEDED,
    ),
    Fault(
        "success-without-buttons",
        "A succeeded task has no buttons.",
        ("fetch/200/succeeded/buttons",),
        on_document=_success_without_buttons,
        states=SUCCEEDED,
        needs=lambda contract: contract.reader.kind(contract.examples.get(State.SUCCEEDED.value)) is not None,
    ),
    Fault(
        "media-repeated",
        "A list of media has a file twice, and another one not at all.",
        _MEDIA_LIST,
        on_document=_media_repeated,
        states=SUCCEEDED,
    ),
    Fault(
        "media-reversed",
        "A list of media is in reverse order.",
        _MEDIA_LIST,
        on_document=_media_reversed,
        states=SUCCEEDED,
    ),
    Fault(
        "media-of-two-jobs",
        "A list of media has a file of another job.",
        _MEDIA_LIST,
        on_document=_media_of_two_jobs,
        states=SUCCEEDED,
    ),
    Fault(
        "media-on-localhost",
        "The media URLs of a succeeded task point to localhost.",
        _MEDIA_URL,
        on_document=_media_on_localhost,
        states=SUCCEEDED,
    ),
    Fault(
        "media-over-http",
        "The media URLs of a succeeded task use plain HTTP.",
        _MEDIA_URL,
        on_document=_media_over_http,
        states=SUCCEEDED,
    ),
    Fault(
        "media-relative",
        "The media URLs of a succeeded task are relative.",
        (*_MEDIA_URL, "fetch/200/succeeded/media"),
        on_document=_media_relative,
        states=SUCCEEDED,
    ),
    Fault(
        "media-expired",
        "The media URLs of a succeeded task expired before it was submitted.",
        ("fetch/200/media-expired",),
        on_document=_media_expired,
        states=SUCCEEDED,
    ),
    Fault(
        "failure-without-reason",
        "A failed task has no failure reason.",
        ("fetch/200/failed/reason",),
        on_document=_failure_without_reason,
        states=FAILED,
    ),
    Fault(
        "relation-broken",
        "Two related values of a succeeded task are inconsistent.",
        ("fetch/200/relations",),
        on_document=_relation_broken,
        states=SUCCEEDED,
    ),
)
