"""Faults of what a task says: its id, times, progress, media and reasons."""

from __future__ import annotations

import copy
import random
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mjrelay.base import Pattern
from mjrelay.semantics import State
from mjrelay_conformance.judging import another_text
from mjrelay_conformance.mock import places, writer
from mjrelay_conformance.mock.faults.fault import ENDED, FAILED, SUCCEEDED, Fault
from mjrelay_conformance.mock.places import kind, permits

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay_conformance.mock.response import MockRequest


_MEDIA_URL = ("fetch/200/media-url",)


def _wrong_id(call: MockRequest, document: Any) -> Any:
    path = call.contract.reader.id_path
    other = next((id_ for id_ in call.tasks if id_ != call.task_id), None)
    if other is None:
        other = another_text(call.task_id, random.Random(call.task_id), {call.task_id})  # noqa: S311 - repeatable
    for location in path.locate(document):
        writer.put(document, location, writer.id_like(places.at(document, location), other))
    return document


def _stuck(call: MockRequest, document: Any) -> Any:
    if call.state is None or not call.state.terminal or State.RUNNING.value not in call.contract.examples:
        return document
    moments = places.moments(call.contract, document)
    return writer.write(call.contract, State.RUNNING, call.task_id, moments)


def _seconds_not_ms(call: MockRequest, document: Any) -> Any:
    if not writer.stamps(call.contract):
        return document
    form = call.contract.operation["x-mj-task"]["times"]["format"]
    for stamp in writer.stamps(call.contract).values():
        raw = stamp.raw(document)
        if form == "iso8601" or stamp.read(document) is None:
            continue
        value = int(float(raw) * 1000) if form == "s" else int(raw) // 1000
        found = stamp.path.locate(document)
        writer.put_all(document, found, str(value) if isinstance(raw, str) else value)
    return document


def _times_in_future(call: MockRequest, document: Any) -> Any:
    moments = places.moments(call.contract, document)
    midnight = call.now.replace(hour=0, minute=0, second=0, microsecond=0)  # the same for two readings
    for name, moment in moments.items():
        passed = moment - min(moments.values())
        writer.set_time(call.contract, document, name, midnight + timedelta(days=2) + passed)
    return document


def _finish_before_start(call: MockRequest, document: Any) -> Any:
    moments = places.moments(call.contract, document)
    before = [moment for name, moment in moments.items() if name != "finished"]
    if before and "finished" in moments:
        writer.set_time(call.contract, document, "finished", min(before) - timedelta(hours=1))
    return document


def _progress_150(call: MockRequest, document: Any) -> Any:
    writer.set_progress(call.contract, document, 150)
    return document


def _success_at_50(call: MockRequest, document: Any) -> Any:
    if call.contract.reader.completes("progress", document):
        writer.set_progress(call.contract, document, 50)
    return document


def _success_with_reason(call: MockRequest, document: Any) -> Any:
    failed = call.contract.examples.get(State.FAILED.value)
    reason = None if failed is None else call.contract.reader.failure(failed)
    for path in call.contract.reader.failure_paths if reason else ():
        for location in path.locate(document):
            if permits(call.contract, location, "string"):
                writer.put(document, location, reason)
    return document


def _progress_without_sign(call: MockRequest, document: Any) -> Any:
    path = call.contract.reader.progress_path
    for location in [] if path is None else path.locate(document):
        value = places.at(document, location)
        if isinstance(value, str) and permits(call.contract, location, "string"):
            writer.put(document, location, value.removesuffix("%"))
    return document


def _success_without_finish(call: MockRequest, document: Any) -> Any:
    stamp = call.contract.reader.finished
    if (
        stamp is None
        or stamp.raw(document) is None
        or not call.contract.reader.completes("finished", document)
    ):
        return document
    words = call.contract.operation["x-mj-task"]["times"].get("unset", [])
    for location in stamp.path.locate(document):
        writer.put(document, location, places.unset(call.contract, location, words))
    return document


def _success_without_media(call: MockRequest, document: Any) -> Any:
    reader = call.contract.reader
    if not reader.completes("media", document):
        return document
    for media in (*reader.image_media, *reader.video_media):
        for location in media.path.locate(document) if media.urls(document) else ():
            index = next((depth for depth, step in enumerate(location) if isinstance(step, int)), None)
            if index is None:
                writer.put(document, location, places.unset(call.contract, location))
            else:
                writer.put(document, location[:index], [])
    return document


def _media_on_localhost(call: MockRequest, document: Any) -> Any:
    return _each_url(call, document, lambda url: f"http://localhost:3000{_behind_host(url)}")


def _media_over_http(call: MockRequest, document: Any) -> Any:
    return _each_url(call, document, lambda url: re.sub(r"^https:", "http:", url, flags=re.IGNORECASE))


def _media_relative(call: MockRequest, document: Any) -> Any:
    return _each_url(call, document, _behind_host)


def _media_expired(call: MockRequest, document: Any) -> Any:
    moments = places.moments(call.contract, document)
    if not moments:
        return document
    end = f"{int(min(moments.values()).timestamp()) - 3600:x}"
    # As the chat service signs whose bot draws: the end in hexadecimal seconds, and a hash.
    return _each_url(call, document, lambda url: writer.signed(writer.signed(url, "ex", end), "hm", "0" * 64))


def _each_url(call: MockRequest, document: Any, change: Callable[[str], str]) -> Any:
    for location, url in places.urls(call.contract, document):
        writer.put(document, location, change(url))
    return document


def _behind_host(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _failure_without_reason(call: MockRequest, document: Any) -> Any:
    for path in call.contract.reader.failure_paths:
        for location in path.locate(document):
            writer.put(document, location, places.unset(call.contract, location))
    return document


def _relation_broken(call: MockRequest, document: Any) -> Any:
    reader, form = call.contract.reader, call.contract.operation["x-mj-task"]
    free = dict(places.unkept(call.contract, document))
    for relation in form.get("relations", []):
        left = relation["left"]
        for location in places.compiled(left.get("path") or left["count"]).locate(document):
            changed = copy.deepcopy(document)
            writer.put(changed, location, _unlike(places.at(document, location), left.get("capture", "")))
            if location in free and any(relation.breach(changed) for relation in reader.relations):
                return changed
    return document


def _unlike(value: Any, capture: str) -> Any:
    """Another value of the same kind; of a text, what a pattern captures is another."""
    if not isinstance(value, str):
        return value + 1_000_000 if kind(value) in places.NUMBERS else value
    match = Pattern.compile(capture).search(value) if capture else None
    if match is None:
        return f"{value}0"
    digit = "0" if match[1][:1] != "0" else "1"
    return f"{value[: match.start(1)]}{digit}{value[match.start(1) + 1 :]}"


FAULTS = (
    Fault("wrong-id", "The task has another task's id.", ("fetch/200/id",), alter=_wrong_id),
    Fault(
        "stuck",
        "A task that has ended is still said to run.",
        ("fetch/200/state",),
        alter=_stuck,
        states=ENDED,
    ),
    Fault(
        "seconds-not-ms",
        "Times are a thousandth of what the contract's unit makes them, or a thousandfold of seconds.",
        ("fetch/200/times",),
        alter=_seconds_not_ms,
    ),
    Fault(
        "times-in-future",
        "The times of a task lie a day ahead and more.",
        ("fetch/200/times",),
        alter=_times_in_future,
    ),
    Fault(
        "finish-before-start",
        "A task that has ended did so before it was submitted.",
        ("fetch/200/times-order",),
        alter=_finish_before_start,
    ),
    Fault(
        "progress-150",
        "The progress of a task is 150 percent.",
        ("fetch/200/progress",),
        alter=_progress_150,
    ),
    Fault(
        "success-at-50-percent",
        "A succeeded task is at 50 percent.",
        ("fetch/200/succeeded/progress",),
        alter=_success_at_50,
        states=SUCCEEDED,
    ),
    Fault(
        "success-with-reason",
        "A succeeded task has the reason of a failure.",
        ("fetch/200/succeeded/no-reason",),
        alter=_success_with_reason,
        states=SUCCEEDED,
    ),
    Fault(
        "progress-without-sign",
        "Progress has no percent sign where the contract shows one.",
        ("fetch/200/progress",),
        alter=_progress_without_sign,
    ),
    Fault(
        "success-without-finish",
        "A succeeded task does not say when it finished.",
        ("fetch/200/succeeded/finished",),
        alter=_success_without_finish,
        states=SUCCEEDED,
    ),
    Fault(
        "success-without-media",
        "A succeeded task has no image and no video.",
        ("fetch/200/succeeded/media",),
        alter=_success_without_media,
        states=SUCCEEDED,
    ),
    Fault(
        "media-on-localhost",
        "The links of a succeeded task lead to the relay's own machine.",
        _MEDIA_URL,
        alter=_media_on_localhost,
        states=SUCCEEDED,
    ),
    Fault(
        "media-over-http",
        "The links of a succeeded task are plain HTTP.",
        _MEDIA_URL,
        alter=_media_over_http,
        states=SUCCEEDED,
    ),
    Fault(
        "media-relative",
        "The links of a succeeded task have no host.",
        (*_MEDIA_URL, "fetch/200/succeeded/media"),
        alter=_media_relative,
        states=SUCCEEDED,
    ),
    Fault(
        "media-expired",
        "The links of a succeeded task ended before it was submitted.",
        ("fetch/200/media-expired",),
        alter=_media_expired,
        states=SUCCEEDED,
    ),
    Fault(
        "failure-without-reason",
        "A failed task does not say why.",
        ("fetch/200/failed/reason",),
        alter=_failure_without_reason,
        states=FAILED,
    ),
    Fault(
        "relation-broken",
        "Two parts of a succeeded task that belong together do not go together.",
        ("fetch/200/relations",),
        alter=_relation_broken,
        states=SUCCEEDED,
    ),
)
