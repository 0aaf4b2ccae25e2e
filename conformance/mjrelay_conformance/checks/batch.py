"""Checks of the batch operation: it returns the requested tasks, and each as the fetch operation does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mjrelay.http import NotJSONError, OversizeError
from mjrelay.semantics import State, scalar_text
from mjrelay_conformance.checks.helpers import (
    batch_operation,
    change,
    evidence,
    received,
    standard,
    task_inside,
)
from mjrelay_conformance.checks.transport import redirect, transfer
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    blocked,
    define_check,
    failed,
    not_applicable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


_ON = [Kind.BATCH]
_NO_BATCH = "the status is not 200, or the contract has no batch operation"
_UNSOUND = blocked("the same tasks had findings when they were fetched one by one")


@define_check("batch/status", Level.MUST, on=_ON, needs=[transfer, redirect], clause=batch_operation())
def status(o: Observation) -> Judgement:
    """
    A batch request for known tasks returns 200.

    A client that watches a hundred tasks needs the batch operation to stay within rate limits. Pages document
    it, but a proxy blocks it or expects the ids in another form.
    """
    fetches = _fetches(o)
    if o.contract.batch is None or not fetches:
        return not_applicable("no requested task is known")
    if o.exchange.status == 200:
        return PASSED
    if not o.proven or any(fetch.exchange.status != 200 for fetch in fetches):
        return _UNSOUND
    return failed("200", received(o), level=_level(o))


@define_check("batch/json", Level.MUST, on=_ON, needs=[status], clause=standard("RFC 8259 section 2"))
def json(o: Observation) -> Judgement:
    """
    The body of a batch response is one JSON text.

    Clients cannot parse anything else. Relays truncate long lists, or return the HTML page of the site for an
    unknown path.
    """
    if o.contract.batch is None or o.exchange.status != 200:
        return not_applicable(_NO_BATCH)
    try:
        _ = o.exchange.document
    except OversizeError as error:
        return failed("a list of the size of the tasks", f"the body {error}", level=_level(o))
    except NotJSONError as error:
        return failed("one JSON text", str(error), level=_level(o)) if _sound(o) else _UNSOUND
    return PASSED


@define_check("batch/only-asked", Level.MUST, on=_ON, needs=[transfer], clause=batch_operation())
def only_asked(o: Observation) -> Judgement:
    """
    A batch response contains only requested tasks.

    An additional task may belong to another user. Relays that find no id in the request, or no known one,
    return every task.
    """
    wanted: set[str | None] = set(o.ids)
    # A task that has a wrong id when asked for alone is another finding than this one.
    wanted |= {_id(o, fetch.task) for fetch in _fetches(o) if fetch.task is not None}
    items = _items(o)
    other = next((found for item in items if (found := _id(o, item)) and found not in wanted), None)
    if other is not None:
        return failed(f"only {o.show(', '.join(o.ids))}", f"the task with id {o.show(other)}")
    if items:
        return PASSED
    found = task_inside(o, *o.ids) if not _fetches(o) else None
    return PASSED if found is None else failed("no task", f"{o.exchange.status} with {found}")


@define_check("batch/missing-omitted", Level.MUST, on=_ON, needs=[json, only_asked], clause=batch_operation())
def missing_omitted(o: Observation) -> Judgement:
    """
    A batch response omits missing tasks: no item is null or empty.

    Clients read the id of each item and fail on null. Relays return a list as long as the request and fill
    the gaps.
    """
    if o.contract.batch is None or o.exchange.status != 200:
        return not_applicable(_NO_BATCH)
    for item in _items(o):
        if not item or (isinstance(item, dict) and _id(o, item) is None):
            shown = o.show(item)
            return failed("only tasks", f"the item {shown}", level=_level(o)) if _sound(o) else _UNSOUND
    return PASSED


@define_check(
    "batch/schema",
    Level.MUST,
    on=_ON,
    needs=[json, missing_omitted],
    clause=batch_operation("responses", "200"),
)
def schema(o: Observation) -> Judgement:
    """
    A batch response matches the contract's schema.

    Strictly typed clients fail on an unexpected envelope, or on tasks of another shape. Relays implement the
    batch separately, or forward what their upstream sends.
    """
    if o.contract.batch is None or o.exchange.status != 200:
        return not_applicable(_NO_BATCH)
    violations = o.schema.violations(o.exchange, o.contract.batch)
    if not violations:
        return PASSED
    if not _sound(o):
        return _UNSOUND
    first = violations[0]
    return failed(
        first.expected,
        f"{first.pointer} {o.show(first.message)}",
        level=_level(o),
        clause=o.contract.clause(*first.schema),
    )


@define_check("batch/like-single", Level.MUST, on=_ON, needs=[schema], clause=batch_operation())
def like_single(o: Observation) -> Judgement:
    """
    An ended task in a batch response equals the task fetched alone, except for signed query strings.

    Clients list many tasks and then fetch one, and must see the same data. Relays cache lists without
    refreshing them, or omit long fields.
    """
    compared = 0
    for item in _items(o):
        ended = [fetch.task for fetch in _fetches(o) if _id(o, fetch.task) == _id(o, item)]
        if not ended or not o.reader.state(ended[0]).terminal:
            continue
        if any(_difference(o, ended[0], other) for other in ended[1:]):
            return _UNSOUND
        compared += 1
        if (difference := _difference(o, ended[0], _wrapped(o, ended[0], item))) is not None:
            return failed(*difference, level=_level(o))
    return PASSED if compared else not_applicable("the response contains no ended task")


@define_check("batch/complete", Level.INFO, on=_ON, needs=[like_single], clause=batch_operation())
def complete(o: Observation) -> Judgement:
    """
    A batch response contains each known requested task exactly once.

    Clients fetch a missing task alone, which costs what the batch saves. Relays omit old or long tasks, and
    stop at their page size.
    """
    if o.contract.batch is None or o.exchange.status != 200:
        return not_applicable(_NO_BATCH)
    known = [fetch.task_id for fetch in _fetches(o) if _id(o, fetch.task) == fetch.task_id]
    if not known or not _sound(o):
        return not_applicable("no requested task is known to be free of findings")
    counts = Counter(_id(o, item) for item in _items(o))
    for task_id in known:
        if counts[task_id] != 1:
            return failed(f"the task {o.show(task_id)} once", f"{counts[task_id]} times")
    return PASSED


CHECKS = (status, json, only_asked, missing_omitted, schema, like_single, complete)


def _level(o: Observation) -> Level:
    """Return the level that the contract's evidence for the batch operation allows."""
    batch = o.contract.batch
    return Level.INFO if batch is None else evidence(o.contract, *batch, "responses", "200")


def _items(o: Observation) -> list[Any]:
    """Return the tasks in a batch response; none if it is not JSON or the contract has no batch operation."""
    if o.reader.batch is None:
        return []
    try:
        return o.reader.batch.documents(o.exchange.document)
    except NotJSONError:
        return []


def _wrapped(o: Observation, alone: Any, item: Any) -> Any:
    """Wrap an item as the task is wrapped when it is fetched alone, because a list may differ in that."""
    batch = o.reader.batch
    return item if batch is None else batch.placed(batch.item(item), alone)


def _id(o: Observation, item: Any) -> str | None:
    return scalar_text(o.reader.id(item))


def _fetches(o: Observation) -> list[Observation]:
    """Return the earlier fetches of the requested tasks."""
    return [earlier for earlier in o.earlier if earlier.task_id in o.ids]


def _sound(o: Observation) -> bool:
    """Whether each of these fetches returned a valid task, so that a fault is the batch operation's own."""
    return o.proven and all(
        fetch.task is not None and _id(o, fetch.task) == fetch.task_id and not fetch.violations
        for fetch in _fetches(o)
    )


def _difference(o: Observation, before: Any, after: Any) -> tuple[str, str] | None:
    """Return the first difference between two documents of an ended task; None if there is none."""
    for name, was, now in _fixed_values(o, before, after):
        if was != now:
            return f"{name} {o.show(was)}", o.show(now)
    if o.reader.state(before) is State.SUCCEEDED:
        found = change(o, before, after)
        if found is not None:
            place, was, now = found
            return f"{'/'.join(map(str, place))}: {o.show(was)}", o.show(now)
    return None


def _fixed_values(o: Observation, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the values that an ended task keeps, whatever its state."""
    yield "state", o.reader.state(before).value, o.reader.state(after).value
    if o.reader.submitted is not None:
        yield "the submit time", o.reader.submitted.raw(before), o.reader.submitted.raw(after)
