"""
What faults do to a task's document.

Each function takes a call and the document of its task, its own copy, and returns it with one thing wrong;
places are found through the contract, its schema and its `x-mj-task`, never by a field's name.
"""

from __future__ import annotations

import copy
import random
import re
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from mjrelay.semantics import State
from mjrelay_conformance.judging import another
from mjrelay_conformance.mock import places as _places
from mjrelay_conformance.mock import writer as _writer
from mjrelay_conformance.mock.places import ABSENT, kind, permits

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.base import Location
    from mjrelay_conformance.mock.response import Call


ECHO = "x-caller"
"""The field in which a relay gives a caller's secret away."""


def wrong_type(call: Call, document: Any) -> Any:
    def wrong(location: Location, value: Any) -> list[Any]:
        if kind(value) not in _places.SCALARS - {"null"}:
            return []
        text = value if isinstance(value, str) else str(value).lower()
        candidates: tuple[Any, ...] = (17, text, True, [], {})
        return [other for other in candidates if not permits(call.contract, location, kind(other))]

    for location, value in _places.unkept(call.contract, document):
        if others := wrong(location, value):
            _writer.put(document, location, others[0])
            break
    return document


def missing_required(call: Call, document: Any) -> Any:
    found = next(
        (
            location
            for location, _ in _places.unkept(call.contract, document)
            if isinstance(location[-1], str) and not permits(call.contract, location, ABSENT)
        ),
        None,
    )
    for location in _places.status(call.contract, document) if found is None else [found]:
        del _places.at(document, location[:-1])[location[-1]]
    return document


def unknown_enum(call: Call, document: Any) -> Any:
    changed = copy.deepcopy(document)
    for location in _places.status(call.contract, document):
        word = _places.at(document, location)
        number = isinstance(word, int | float) and not isinstance(word, bool)
        lower = isinstance(word, str) and word.islower()
        unknown: Any = 7919 if number else "word_of_no_relay" if lower else "WORD_OF_NO_RELAY"
        _writer.put(changed, location, unknown)
    return changed if call.contract.reader.state(changed) is State.UNKNOWN else document


def null_field(call: Call, document: Any) -> Any:
    for location, value in _places.unkept(call.contract, document):
        if value is not None and not permits(call.contract, location, "null"):
            _writer.put(document, location, None)
            break
    return document


def id_as_number(call: Call, document: Any) -> Any:
    for location in call.contract.reader.id_path.locate(document):
        text = _places.at(document, location)
        if isinstance(text, str) and not permits(call.contract, location, "integer"):
            digits = text.isascii() and text.isdecimal() and len(text) <= 4000
            _writer.put(
                document, location, int(text) if digits else zlib.crc32(text.encode(errors="replace"))
            )
    return document


def nan(call: Call, document: Any) -> Any:
    for places in _places.places(call.contract, document):
        numbers = [location for location, value in places if kind(value) in {"integer", "number"}]
        if numbers:
            _writer.put(document, numbers[-1], float("nan"))
            return document
    if isinstance(document, dict):
        document["x-number"] = float("nan")
    return document


def wrong_id(call: Call, document: Any) -> Any:
    path = call.contract.reader.id_path
    other = next((id_ for id_ in call.tasks if id_ != call.task_id), None)
    if other is None:
        other = another(call.task_id, random.Random(call.task_id), {call.task_id})  # noqa: S311 - repeatable
    for location in path.locate(document):
        _writer.put(document, location, _writer.id_like(_places.at(document, location), other))
    return document


def seconds_not_ms(call: Call, document: Any) -> Any:
    if not _writer.stamps(call.contract):
        return document
    form = call.contract.operation["x-mj-task"]["times"]["format"]
    for stamp in _writer.stamps(call.contract).values():
        raw = stamp.raw(document)
        if form == "iso8601" or stamp.read(document) is None:
            continue
        value = int(float(raw) * 1000) if form == "s" else int(raw) // 1000
        places = stamp.path.locate(document)
        _writer.put_all(document, places, str(value) if isinstance(raw, str) else value)
    return document


def finish_before_start(call: Call, document: Any) -> Any:
    moments = _places.moments(call.contract, document)
    before = [moment for name, moment in moments.items() if name != "finished"]
    if before and "finished" in moments:
        _writer.set_time(call.contract, document, "finished", min(before) - timedelta(hours=1))
    return document


def success_without_media(call: Call, document: Any) -> Any:
    reader = call.contract.reader
    if not reader.completes("media", document):
        return document
    for media in (*reader.image_media, *reader.video_media):
        for location in media.path.locate(document) if media.urls(document) else ():
            index = next((depth for depth, step in enumerate(location) if isinstance(step, int)), None)
            if index is None:
                _writer.put(document, location, _places.unset(call.contract, location))
            else:
                _writer.put(document, location[:index], [])
    return document


def success_without_finish(call: Call, document: Any) -> Any:
    stamp = call.contract.reader.finished
    if (
        stamp is None
        or stamp.raw(document) is None
        or not call.contract.reader.completes("finished", document)
    ):
        return document
    words = call.contract.operation["x-mj-task"]["times"].get("unset", [])
    for location in stamp.path.locate(document):
        _writer.put(document, location, _places.unset(call.contract, location, words))
    return document


def success_at_50(call: Call, document: Any) -> Any:
    if call.contract.reader.completes("progress", document):
        _writer.set_progress(call.contract, document, 50)
    return document


def success_with_reason(call: Call, document: Any) -> Any:
    failed = call.contract.examples.get(State.FAILED.value)
    reason = None if failed is None else call.contract.reader.failure(failed)
    for path in call.contract.reader.failure_paths if reason else ():
        for location in path.locate(document):
            if permits(call.contract, location, "string"):
                _writer.put(document, location, reason)
    return document


def progress_without_sign(call: Call, document: Any) -> Any:
    path = call.contract.reader.progress_path
    for location in [] if path is None else path.locate(document):
        value = _places.at(document, location)
        if isinstance(value, str) and permits(call.contract, location, "string"):
            _writer.put(document, location, value.removesuffix("%"))
    return document


def failure_without_reason(call: Call, document: Any) -> Any:
    for path in call.contract.reader.failure_paths:
        for location in path.locate(document):
            _writer.put(document, location, _places.unset(call.contract, location))
    return document


def progress_150(call: Call, document: Any) -> Any:
    _writer.set_progress(call.contract, document, 150)
    return document


def terminal_regression(call: Call, document: Any) -> Any:
    earlier = next((state for state in _BEFORE if state.value in call.contract.examples), None)
    if call.reads == 0 or call.state is None or not call.state.terminal or earlier is None:
        return document
    moments = _places.moments(call.contract, document)
    return _writer.write(call.contract, earlier, call.task_id, moments)


_BEFORE = (State.RUNNING, State.QUEUED)


def changes_when_read(call: Call, document: Any) -> Any:
    prompt = call.contract.reader.prompt_path
    preferred = [] if prompt is None else prompt.locate(document)
    unnamed, _ = _places.places(call.contract, document)
    others = [location for location, value in unnamed if "://" not in str(value)]
    for location in (*preferred, *others):
        text = _places.at(document, location)
        if isinstance(text, str) and text:
            mark = "listed" if call.ids else call.reads + 1
            _writer.put(document, location, f"{text} ({mark})")
            break
    return document


def differs_in_batch(call: Call, document: Any) -> Any:
    return changes_when_read(call, document) if call.ids else document


def echo_in_body(call: Call, document: Any) -> Any:
    if isinstance(document, dict) and call.secrets:
        document[ECHO] = call.secrets[0]
    return document


def echo_encoded(call: Call, document: Any) -> Any:
    if isinstance(document, dict) and call.secrets:
        document[ECHO] = "".join(f"%{byte:02X}" for byte in call.secrets[0].encode(errors="replace"))
    return document


def undocumented(call: Call, document: Any) -> Any:
    for location in call.contract.reader.id_path.locate(document):
        task = _places.at(document, location[:-1])
        if isinstance(task, dict):
            task[_UNDOCUMENTED] = "new"
    return document


_UNDOCUMENTED = "a_field_of_no_contract"


def encoded_twice(call: Call, document: Any) -> Any:
    path = call.contract.reader.prompt_path
    for location in () if path is None else path.locate(document):
        text = _places.at(document, location)
        if isinstance(text, str):
            whole = text if not text.isascii() else f"{text} 画一只猫"
            _writer.put(document, location, whole.encode(errors="replace").decode("latin-1"))
    return document


def envelope_disagrees(call: Call, document: Any) -> Any:
    for text in call.contract.operation["x-mj-task"].get("accept", {}):
        for location in _places.compiled(text).locate(document):
            word = _places.at(document, location)
            other: Any = not word if isinstance(word, bool) else 7919 if kind(word) in _NUMBERS else "ERROR"
            _writer.put(document, location, other)
    return document


_NUMBERS = {"integer", "number"}


def times_in_future(call: Call, document: Any) -> Any:
    moments = _places.moments(call.contract, document)
    midnight = call.now.replace(hour=0, minute=0, second=0, microsecond=0)  # the same for two readings
    for name, moment in moments.items():
        passed = moment - min(moments.values())
        _writer.set_time(call.contract, document, name, midnight + timedelta(days=2) + passed)
    return document


def submitted_anew(call: Call, document: Any) -> Any:
    submitted = _places.moments(call.contract, document).get("submitted")
    if submitted is not None:
        _writer.set_time(call.contract, document, "submitted", submitted - timedelta(hours=call.reads))
    return document


def progress_backwards(call: Call, document: Any) -> Any:
    percent = call.contract.reader.percent(document)
    if percent is not None:
        _writer.set_progress(call.contract, document, max(0, int(percent) - 10 * call.reads))
    return document


def stuck(call: Call, document: Any) -> Any:
    if call.state is None or not call.state.terminal or State.RUNNING.value not in call.contract.examples:
        return document
    moments = _places.moments(call.contract, document)
    return _writer.write(call.contract, State.RUNNING, call.task_id, moments)


def relation_broken(call: Call, document: Any) -> Any:
    reader, form = call.contract.reader, call.contract.operation["x-mj-task"]
    free = dict(_places.unkept(call.contract, document))
    for relation in form.get("relations", []):
        left = relation["left"]
        for location in _places.compiled(left.get("path") or left["count"]).locate(document):
            changed = copy.deepcopy(document)
            _writer.put(changed, location, _unlike(_places.at(document, location), left.get("capture", "")))
            if location in free and any(relation.breach(changed) for relation in reader.relations):
                return changed
    return document


def _unlike(value: Any, capture: str) -> Any:
    """Another value of the same kind; of a text, what a pattern captures is another."""
    if not isinstance(value, str):
        return value + 1_000_000 if kind(value) in _NUMBERS else value
    match = re.search(capture, value) if capture else None
    if match is None:
        return f"{value}0"
    digit = "0" if match[1][:1] != "0" else "1"
    return f"{value[: match.start(1)]}{digit}{value[match.start(1) + 1 :]}"


# Links to what a task made.


def media_on_localhost(call: Call, document: Any) -> Any:
    return _each_url(call, document, lambda url: f"http://localhost:3000{_behind_host(url)}")


def media_over_http(call: Call, document: Any) -> Any:
    return _each_url(call, document, lambda url: re.sub(r"^https:", "http:", url, flags=re.IGNORECASE))


def media_relative(call: Call, document: Any) -> Any:
    return _each_url(call, document, _behind_host)


def media_expired(call: Call, document: Any) -> Any:
    moments = _places.moments(call.contract, document)
    if not moments:
        return document
    end = f"{int(min(moments.values()).timestamp()) - 3600:x}"
    # As the chat service signs whose bot draws: the end in hexadecimal seconds, and a hash.
    return _each_url(call, document, lambda url: signed(signed(url, "ex", end), "hm", "0" * 64))


def _each_url(call: Call, document: Any, change: Callable[[str], str]) -> Any:
    for location, url in _places.urls(call.contract, document):
        _writer.put(document, location, change(url))
    return document


def _behind_host(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def signed(url: str, name: str, value: str) -> str:
    """A URL with a parameter, in place of its own where it has one."""
    changed, count = re.subn(rf"(?<=[?&]{name}=)[^&]*", value, url)
    if count:
        return changed
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{name}={quote(value)}"
