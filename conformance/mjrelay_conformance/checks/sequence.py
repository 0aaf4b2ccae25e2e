"""Whether reading a task twice changes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mjrelay._reader import State
from mjrelay_conformance._check import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    check,
    failed,
    not_applicable,
)
from mjrelay_conformance.checks import _clauses
from mjrelay_conformance.checks.envelope import ACCEPT
from mjrelay_conformance.checks.schema import STATUS_WORD
from mjrelay_conformance.checks.task import ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay._yaml import Location

_TERMINAL = "sequence/terminal"
_QUERY = re.compile(r"[?#]\S*")
_FIRST = "the task was not read before"


@check(
    _TERMINAL, Level.MUST, on=[Kind.KNOWN], needs=[ACCEPT, STATUS_WORD], clause=_clauses.extension("states")
)
def terminal(o: Observation) -> Judgement:
    """A task that has ended stays ended, in the same state."""
    before = _before(o)
    if before is None or o.task is None:
        return not_applicable(_FIRST)
    state = o.reader.state(before)
    if not state.terminal:
        return not_applicable("the task had not ended")
    if o.reader.state(o.task) is state:
        return PASSED
    return failed(state.value, f"{o.reader.state(o.task).value} ({o.show(o.reader.status(o.task))})")


@check("sequence/content", Level.MUST, on=[Kind.KNOWN], needs=[_TERMINAL, ID], clause=_clauses.operation)
def content(o: Observation) -> Judgement:
    """Reading an ended task changes nothing: nothing of a succeeded one, not the submission of others."""
    before = _before(o)
    if before is None or o.task is None:
        return not_applicable(_FIRST)
    state = o.reader.state(before)
    if not state.terminal:
        return not_applicable("the task had not ended")
    if state is State.SUCCEEDED:
        for place, was, now in _differences(before, o.task):
            # What the contract does not know, a request's own number for instance, may be new each time.
            if all(o.schema.documents(200, place[: depth + 1]) for depth in range(len(place))):
                return failed(f"{'/'.join(map(str, place))}: {o.show(was)}", o.show(now))
        return PASSED
    submitted = o.reader.submitted
    if submitted is not None and submitted.raw(before) != submitted.raw(o.task):
        return failed(f"submitted {o.show(submitted.raw(before))}", o.show(submitted.raw(o.task)))
    return PASSED


def _before(o: Observation) -> Any:
    """The task as it was read first, where that reading was one."""
    tasks = [earlier.task for earlier in o.earlier if earlier.task and o.reader.id(earlier.task) is not None]
    return tasks[0] if tasks else None


def _differences(before: Any, after: Any, place: Location = ()) -> Iterator[tuple[Location, Any, Any]]:
    """Where two documents differ; the query strings of URLs, which relays sign anew, are not looked at."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _differences(before.get(name), after.get(name), (*place, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (was, now) in enumerate(zip(before, after, strict=True)):
            yield from _differences(was, now, (*place, index))
    elif _unsigned(before) != _unsigned(after) or type(before) is not type(after):
        yield place, before, after


def _unsigned(value: Any) -> Any:
    return _QUERY.sub("", value) if isinstance(value, str) and "://" in value else value
