"""Whether the tasks that are asked for at once are those that were asked for, each as it is alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mjrelay.http import NotJSONError, OversizeError
from mjrelay.semantics import State, scalar_text
from mjrelay_conformance.checks.helpers import batch_operation, came, change, evidence, standard, task_inside
from mjrelay_conformance.checks.transport import REDIRECT, TRANSFER
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    Outcome,
    failed,
    not_applicable,
    register_check,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


_STATUS = "batch/status"
_JSON = "batch/json"
_ONLY_ASKED = "batch/only-asked"
_MISSING = "batch/missing-omitted"
_SCHEMA = "batch/schema"
_LIKE = "batch/like-single"
_ON = [Kind.BATCH]
_NO_BATCH = "the answer is no 200, or the contract has no such operation"
_UNSOUND = Judgement(
    Outcome.BLOCKED, actual="nothing to judge: the same tasks were not in order when asked for alone"
)


@register_check(_STATUS, Level.MUST, on=_ON, needs=[TRANSFER, REDIRECT], clause=batch_operation())
def status(o: Observation) -> Judgement:
    """
    Several known tasks that are asked for at once are answered with 200.

    Who watches a hundred tasks asks for them at once or is locked out. Pages list the operation in a menu,
    and the server in front of the relay does not let it through, or wants the ids in another form.
    """
    readings = _readings(o)
    if o.contract.batch is None or not readings:
        return not_applicable("none of the tasks that were asked for is known")
    if o.exchange.status == 200:
        return PASSED
    if not o.proven or any(reading.exchange.status != 200 for reading in readings):
        return _UNSOUND
    return failed("200", came(o), level=_level(o))


@register_check(_JSON, Level.MUST, on=_ON, needs=[_STATUS], clause=standard("RFC 8259 section 2"))
def json(o: Observation) -> Judgement:
    """
    The answer to a question for several tasks is one JSON text.

    Nothing can be read from a body that no parser takes. Relays cut long lists off, or answer with the page
    of the site for a path that they do not know.
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


@register_check(_ONLY_ASKED, Level.MUST, on=_ON, needs=[TRANSFER], clause=batch_operation())
def only_asked(o: Observation) -> Judgement:
    """
    No task comes that was not asked for.

    A task more is somebody else's picture, or one that the caller takes for its own. Relays that find no id
    in the request, or none that they know, send everything.
    """
    wanted: set[str | None] = set(o.ids)
    # A task that has a wrong id when asked for alone is another finding than this one.
    wanted |= {_id(o, reading.task) for reading in _readings(o) if reading.task is not None}
    items = _items(o)
    other = next((found for item in items if (found := _id(o, item)) and found not in wanted), None)
    if other is not None:
        return failed(f"none but {o.show(', '.join(o.ids))}", f"the task with id {o.show(other)}")
    if items:
        return PASSED
    found = task_inside(o, *o.ids) if not _readings(o) else None
    return PASSED if found is None else failed("no task", f"{o.exchange.status} with {found}")


@register_check(_MISSING, Level.MUST, on=_ON, needs=[_JSON, _ONLY_ASKED], clause=batch_operation())
def missing_omitted(o: Observation) -> Judgement:
    """
    What is not there is left out: each item is a task, and none is null or empty.

    Clients read the id of each item and stumble over null. Relays make a list as long as the question and
    fill it with what they have.
    """
    if o.contract.batch is None or o.exchange.status != 200:
        return not_applicable(_NO_BATCH)
    for item in _items(o):
        if not item or (isinstance(item, dict) and _id(o, item) is None):
            shown = o.show(item)
            return failed("tasks alone", f"among them {shown}", level=_level(o)) if _sound(o) else _UNSOUND
    return PASSED


@register_check(
    _SCHEMA, Level.MUST, on=_ON, needs=[_JSON, _MISSING], clause=batch_operation("responses", "200")
)
def schema(o: Observation) -> Judgement:
    """
    The answer to a question for several tasks fits the contract's schema.

    Strictly typed clients fail on a list that comes in an envelope, or on tasks of another shape than alone.
    Relays answer it by other code, or hand on what their upstream sends.
    """
    if o.contract.batch is None or o.exchange.status != 200:
        return not_applicable(_NO_BATCH)
    violations = o.schema.violations(o.exchange, o.contract.batch)
    if not violations:
        return PASSED
    if not _sound(o):
        return _UNSOUND
    place = "".join(f"/{step}" for step in violations[0].location) or "the document"
    return failed(
        "a document that fits the schema",
        f"{place}: {o.show(violations[0].message)}",
        level=_level(o),
        clause=o.contract.clause(*violations[0].schema),
    )


@register_check(_LIKE, Level.MUST, on=_ON, needs=[_SCHEMA], clause=batch_operation())
def like_single(o: Observation) -> Judgement:
    """
    Each task that has ended is what it was when asked for alone; signed query strings aside.

    Clients ask for many at first and for one in detail, and must not see two tasks. Relays keep lists in a
    cache that they do not refresh, or leave out what is long.
    """
    compared = 0
    for item in _items(o):
        ended = [reading.task for reading in _readings(o) if _id(o, reading.task) == _id(o, item)]
        if not ended or not o.reader.state(ended[0]).terminal:
            continue
        if any(_unlike(o, ended[0], other) for other in ended[1:]):
            return _UNSOUND
        compared += 1
        if (unlike := _unlike(o, ended[0], _among(o, ended[0], item))) is not None:
            return failed(unlike[0], unlike[1], level=_level(o))
    return PASSED if compared else not_applicable("no task that had ended is in it")


@register_check("batch/complete", Level.INFO, on=_ON, needs=[_LIKE], clause=batch_operation())
def complete(o: Observation) -> Judgement:
    """
    Each known task that is asked for is in the answer, and once.

    Who misses a task asks for it alone, which costs what the list was to save. Relays leave out what is old
    or long, and answer for as many as fit their page.
    """
    if o.contract.batch is None or o.exchange.status != 200:
        return not_applicable(_NO_BATCH)
    known = [reading.task_id for reading in _readings(o) if _id(o, reading.task) == reading.task_id]
    if not known or not _sound(o):
        return not_applicable("none of the tasks that were asked for is known to be in order")
    counts = Counter(_id(o, item) for item in _items(o))
    for task_id in known:
        if counts[task_id] != 1:
            return failed(f"the task {o.show(task_id)} once", f"{counts[task_id]} times")
    return PASSED


def _level(o: Observation) -> Level:
    """How surely the contract knows the operation: what its page shows, servers do, or is assumed."""
    batch = o.contract.batch
    return Level.INFO if batch is None else evidence(o.contract, *batch, "responses", "200")


def _items(o: Observation) -> list[Any]:
    """The tasks in the answer where it is JSON and the contract says where they stand."""
    if o.reader.batch is None:
        return []
    try:
        return o.reader.batch.documents(o.exchange.document)
    except NotJSONError:
        return []


def _among(o: Observation, alone: Any, item: Any) -> Any:
    """An item in what the task came in when it was asked for alone, for a list may come in something else."""
    batch = o.reader.batch
    return item if batch is None else batch.placed(batch.item(item), alone)


def _id(o: Observation, item: Any) -> str | None:
    return scalar_text(o.reader.id(item))


def _readings(o: Observation) -> list[Observation]:
    """The readings of the tasks that were asked for, each alone."""
    return [earlier for earlier in o.earlier if earlier.task_id in o.ids]


def _sound(o: Observation) -> bool:
    """Whether each reading of them is a task that fits the schema: what is amiss then is the batch's own."""
    return o.proven and all(
        reading.task is not None and _id(o, reading.task) == reading.task_id and not reading.violations
        for reading in _readings(o)
    )


def _unlike(o: Observation, before: Any, after: Any) -> tuple[str, str] | None:
    """What was, and what is instead, where one document of an ended task is not like another."""
    for name, was, now in _marks(o, before, after):
        if was != now:
            return f"{name} {o.show(was)}", o.show(now)
    if o.reader.state(before) is State.SUCCEEDED:
        found = change(o, before, after)
        if found is not None:
            place, was, now = found
            return f"{'/'.join(map(str, place))}: {o.show(was)}", o.show(now)
    return None


def _marks(o: Observation, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """What an ended task keeps in any case."""
    yield "state", o.reader.state(before).value, o.reader.state(after).value
    if o.reader.submitted is not None:
        yield "submitted", o.reader.submitted.raw(before), o.reader.submitted.raw(after)
