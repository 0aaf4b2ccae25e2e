"""Faults that are seen when a task is read again, and of what may be kept until then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mjrelay.semantics import State
from mjrelay_conformance.mock import places, writer
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import ENDED, FAILED, RUNNING, SUCCEEDED, Fault

if TYPE_CHECKING:
    from mjrelay_conformance.mock.response import MockRequest


_BEFORE = (State.RUNNING, State.QUEUED)


def _terminal_regression(call: MockRequest, document: Any) -> Any:
    earlier = next((state for state in _BEFORE if state.value in call.contract.examples), None)
    if call.reads == 0 or call.state is None or not call.state.terminal or earlier is None:
        return document
    moments = places.moments(call.contract, document)
    return writer.write(call.contract, earlier, call.task_id, moments)


def _submitted_anew(call: MockRequest, document: Any) -> Any:
    submitted = places.moments(call.contract, document).get("submitted")
    if submitted is not None:
        writer.set_time(call.contract, document, "submitted", submitted - timedelta(hours=call.reads))
    return document


def _progress_backwards(call: MockRequest, document: Any) -> Any:
    percent = call.contract.reader.percent(document)
    if percent is not None:
        writer.set_progress(call.contract, document, max(0, int(percent) - 10 * call.reads))
    return document


CACHING_FAULTS = (
    Fault(
        "caching-public",
        "A running task may be kept by every cache for an hour.",
        ("caching/running",),
        finish=effects.field("cache-control", "public, max-age=3600"),
        states=RUNNING,
        needs=lambda contract: State.RUNNING.value in contract.examples,
    ),
    Fault(
        "no-cache-headers",
        "The task's answer does not say whether it may be kept.",
        ("caching/none",),
        finish=effects.field("cache-control", None),
    ),
)

FAULTS = (
    Fault(
        "terminal-regression",
        "A task that has ended runs again when it is read again.",
        ("sequence/terminal",),
        alter=_terminal_regression,
        states=ENDED,
    ),
    Fault(
        "changes-when-read",
        "A text of a succeeded task is another one each time it is read.",
        ("sequence/content",),
        alter=effects.changes_when_read,
        states=SUCCEEDED,
    ),
    Fault(
        "submitted-anew",
        "A failed task was submitted at another time each time it is read.",
        ("sequence/content",),
        alter=_submitted_anew,
        states=FAILED,
    ),
    Fault(
        "progress-backwards",
        "The progress of a running task falls with each reading.",
        ("sequence/progress",),
        alter=_progress_backwards,
        states=RUNNING,
    ),
)
