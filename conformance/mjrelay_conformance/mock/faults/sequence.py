"""Faults that show between two requests for a task, and faults of cache headers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mjrelay.contract import json_type
from mjrelay.semantics import State
from mjrelay_conformance.mock import slots, writer
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import ENDED, FAILED, RUNNING, SUCCEEDED, Fault

if TYPE_CHECKING:
    from mjrelay_conformance.mock.responses import MockRequest


_BEFORE = (State.RUNNING, State.QUEUED)


def _terminal_regression(request: MockRequest, document: Any) -> Any:
    earlier = next((state for state in _BEFORE if state.value in request.contract.examples), None)
    if request.reads == 0 or request.state is None or not request.state.terminal or earlier is None:
        return document
    moments = slots.read_times(request.contract, document)
    return writer.write_task(request.contract, earlier, request.task_id, moments)


def _submitted_anew(request: MockRequest, document: Any) -> Any:
    submitted = slots.read_times(request.contract, document).get("submitted")
    if submitted is not None:
        writer.set_time(request.contract, document, "submitted", submitted - timedelta(hours=request.reads))
    return document


def _progress_backwards(request: MockRequest, document: Any) -> Any:
    percent = request.contract.reader.percent(document)
    if percent is not None:
        writer.set_progress(request.contract, document, max(0, int(percent) - 10 * request.reads))
    return document


def _finished_while_running(request: MockRequest, document: Any) -> Any:
    stamps = writer.timestamps(request.contract)
    set_ = [raw for stamp in stamps.values() if (raw := stamp.raw(document)) is not None]
    for location in stamps["finished"].path.locate(document) if "finished" in stamps and set_ else ():
        if slots.schema_allows(request.contract, location, json_type(set_[-1])):
            writer.set_value(document, location, set_[-1])
    return document


CACHING_FAULTS = (
    Fault(
        "caching-public",
        "Responses for a running task are publicly cacheable for an hour.",
        ("caching/running",),
        on_response=effects.header("cache-control", "public, max-age=3600"),
        states=RUNNING,
        needs=lambda contract: State.RUNNING.value in contract.examples,
    ),
    Fault(
        "no-cache-headers",
        "Task responses have no Cache-Control header.",
        ("caching/none",),
        on_response=effects.header("cache-control", None),
    ),
)

FAULTS = (
    Fault(
        "finished-while-running",
        "A running task has a finish time.",
        ("sequence/unfinished",),
        on_document=_finished_while_running,
        states=RUNNING,
    ),
    Fault(
        "terminal-regression",
        "A task that has ended is running again from the second request on.",
        ("sequence/terminal",),
        on_document=_terminal_regression,
        states=ENDED,
    ),
    Fault(
        "changes-when-read",
        "A string of a succeeded task changes with each request.",
        ("sequence/content",),
        on_document=effects.changes_when_read,
        states=SUCCEEDED,
    ),
    Fault(
        "submitted-anew",
        "The submit time of a failed task changes with each request.",
        ("sequence/content",),
        on_document=_submitted_anew,
        states=FAILED,
    ),
    Fault(
        "progress-backwards",
        "The progress of a running task decreases with each request.",
        ("sequence/progress",),
        on_document=_progress_backwards,
        states=RUNNING,
    ),
)
