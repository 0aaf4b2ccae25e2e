"""Problems of the task that a relay returned, read by the contract that fits."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mjrelay.doctor.observations import document
from mjrelay.doctor.problem import Problem, shorten
from mjrelay.doctor.score import plausible
from mjrelay.http import is_public_address, shown_url, url_expiry
from mjrelay.semantics import State, is_number, scalar_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract
    from mjrelay.doctor.observations import Attempt


_STUCK = timedelta(hours=1)
"""Age after which an unfinished task is considered stuck: servers give up by then."""

_UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
_FORMATS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}

_SHOWN_LINKS = 3


def task_problems(attempt: Attempt, contract: Contract, origin: str, now: datetime) -> Iterator[Problem]:
    """Yield the problems of a task."""
    task = document(attempt.exchange)
    state = contract.reader.state(task)
    yield from _id_problems(task, contract, attempt.task_id)
    yield from _time_problems(task, contract, now)
    yield from _state_problems(task, contract, state)
    yield from _stuck(task, contract, state, now)
    yield from _link_problems(task, contract, origin, now)


def _id_problems(task: Any, contract: Contract, requested: str) -> Iterator[Problem]:
    task_id = contract.reader.id(task)
    if scalar_text(task_id) != requested:
        yield Problem(
            "wrong-task",
            f"The relay returned task {shorten(str(task_id))} instead of {shorten(requested)}.",
            "Do not use it, and report it to the relay's operator: it may belong to another user.",
        )
    elif not isinstance(task_id, str):
        yield Problem(
            "number-id",
            "The id is a JSON number, not a string.",
            "Parse it as text: a floating-point number loses its last digits.",
            wrong=False,
        )


def _state_problems(task: Any, contract: Contract, state: State) -> Iterator[Problem]:
    reader = contract.reader
    if state is State.UNKNOWN:
        yield Problem(
            "unknown-status",
            f"The contract does not define the status {_value(reader.status(task))}.",
            "mjrelay keeps waiting until its timeout; look the status up in the relay's documentation.",
        )
    media = reader.images(task) or reader.videos(task)
    reason = reader.failure(task)
    refused = reason is not None and (not state.terminal or reader.overrides_status(task))
    if reason is not None and refused:
        yield Problem(
            "refused-submission",
            f"The status is {_value(reader.status(task))}, but there is a failure: {shorten(reason)}.",
            "Submit it again: some servers refuse a submission so and never change its status.",
        )
    if state is State.SUCCEEDED and not media and reader.completes("media", task):
        yield Problem(
            "no-media",
            "The task succeeded, but the response has no link to an image or a video.",
            "Older servers omit links to videos: ask the relay's operator to update.",
        )
    if state is State.FAILED and not refused:
        picture = " It has a picture nevertheless, possibly the complete one." if media else ""
        yield Problem(
            "failed",
            f"The task failed{f': {shorten(reason)}' if reason else ' without a reason'}.{picture}",
            "Submit it again, or examine another task.",
            wrong=False,
        )
    path = reader.progress_path
    progress = None if path is None else path.first(task)
    if progress not in (None, "") and reader.percent(task) is None:
        yield Problem(
            "odd-progress",
            f"The progress {_value(progress)} is not a number.",
            "Do not parse it as a number without a check; mjrelay returns None.",
            wrong=False,
        )


def _stuck(task: Any, contract: Contract, state: State, now: datetime) -> Iterator[Problem]:
    stamp = contract.reader.submitted
    submitted = None if stamp is None else stamp.read(task)
    if state.terminal or submitted is None or not plausible(submitted, now) or now - submitted <= _STUCK:
        return
    progress = contract.reader.progress(task)
    percent = "" if progress is None else f" at {progress} %"
    yield Problem(
        "stuck",
        f"The task was submitted {_age(now - submitted)} ago and is still {state.value}{percent}.",
        "Submit it again. Report it to the relay's operator: the task may be done at Midjourney.",
    )


def _time_problems(task: Any, contract: Contract, now: datetime) -> Iterator[Problem]:
    """Yield a problem if a time is plausible only in another unit than the contract's."""
    form = contract.operation["x-mj-task"].get("times", {}).get("format")
    for stamp in (contract.reader.submitted, contract.reader.started, contract.reader.finished):
        raw = None if stamp is None else stamp.raw(task)
        if form not in _FORMATS or not is_number(raw):
            continue
        fitting = [
            unit
            for unit, per_second in _UNITS.items()
            if 0 < raw / per_second < 1e11 and plausible(datetime.fromtimestamp(raw / per_second, UTC), now)
        ]
        if fitting and _FORMATS[form] not in fitting:
            yield Problem(
                f"{fitting[0]}-for-{_FORMATS[form]}",
                f"Times are in {fitting[0]}, where the contract has {_FORMATS[form]}.",
                "Clients read wrong times: save the overlay below as a file, and use the contract with it.",
                overlay=_unit_overlay(contract, fitting[0]),
            )
            return


def _unit_overlay(contract: Contract, unit: str) -> str:
    """Return an overlay that sets the unit of the times. JSON strings are strings in YAML and JSONPath."""
    _, path, method = contract.location
    target = f"$.paths[{json.dumps(path, ensure_ascii=False)}].{method}['x-mj-task'].times"
    form = next(form for form, name in _FORMATS.items() if name == unit)
    return "\n".join(
        (
            "overlay: 1.1.0",
            f"info: {{title: Times in {unit}, version: 1.0.0}}",
            "actions:",
            f"  - target: {json.dumps(target, ensure_ascii=False)}",
            f"    update: {{format: {form}}}",
        )
    )


def _link_problems(task: Any, contract: Contract, origin: str, now: datetime) -> Iterator[Problem]:
    links = [*contract.reader.images(task), *contract.reader.videos(task)]
    local = [url for url in links if _is_local(url) and _origin(url) != origin]
    ends = [(url, end) for url in links if (end := url_expiry(url)) is not None and end < now.timestamp()]
    if local:
        shown = ", ".join(shorten(shown_url(url)) for url in local[:_SHOWN_LINKS])
        yield Problem(
            "local-links",
            f"Links point to an address that only the relay can reach: {shown}.",
            "Report it to the relay's operator, who has to set the public address of the server; until then "
            "replace the host of the links with the relay's.",
        )
    if ends:
        url, end = ends[0]
        yield Problem(
            "expired-links",
            f"Signed links expired at {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC: "
            f"{shorten(shown_url(url))}.",
            "Download files as soon as a task is done. Fetching the task again renews links only if the "
            "relay signs them on each request.",
            wrong=False,
        )


def _is_local(url: str) -> bool:
    host = (_parts(url)[1] or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not is_public_address(ipaddress.ip_address(host))
    except ValueError:
        return False


def _origin(url: str) -> str:
    scheme, _, netloc = _parts(url)
    return f"{scheme}://{netloc}"


def _parts(url: str) -> tuple[str, str | None, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", None, ""
    return parts.scheme, parts.hostname, parts.netloc


def _value(value: Any) -> str:
    return shorten(json.dumps(value, ensure_ascii=False))


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"
