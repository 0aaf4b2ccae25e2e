"""Checks of the schema: a task's document matches the contract."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from mjrelay.base import json_pointer
from mjrelay.contract import Shape, undocumented_keys
from mjrelay.semantics import State
from mjrelay_conformance.checks.helpers import extension, response
from mjrelay_conformance.checks.representation import accept, json
from mjrelay_conformance.checks.transport import secret
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    define_check,
    failed,
    not_applicable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.base import Location
    from mjrelay.contract import Contract
    from mjrelay_conformance.judging import Place


_FRACTION = re.compile(rb"[0-9]\.0+[^0-9]")
_LONG = 100
_SHOWN = 5
"""Maximum number of undocumented keys that a finding names."""


@define_check("fetch/200/schema", Level.MUST, on=[Kind.KNOWN], needs=[json, accept], clause=response(200))
def schema(o: Observation) -> Judgement:
    """
    The document matches the contract's schema.

    Strictly typed clients fail on a number sent as text, or on null. Relays forward whatever their upstream
    sends, which changes with its version.
    """
    violations = [violation for violation in o.violations if not violation.enum]
    if not violations:
        return PASSED
    first = violations[0]
    more = f" (and {len(violations) - 1} more places)" if len(violations) > 1 else ""
    return failed(
        first.expected,
        f"{first.pointer} {o.show(first.message)}{more}",
        clause=o.contract.clause(*first.schema),
    )


@define_check("fetch/200/integers", Level.INFO, on=[Kind.KNOWN], needs=[json, accept], clause=response(200))
def integers(o: Observation) -> Judgement:
    """
    An integer is written without a fraction.

    JSON Schema takes 817.0 for an integer, and typed clients do not. Relays turn numbers into floating point
    when they decode and encode them.
    """
    root = o.schema.root(200)
    if root is None or _FRACTION.search(o.exchange.body) is None:  # the usual case
        return PASSED
    return next(_fractions(o, root, o.exchange.document), PASSED)


@define_check("fetch/200/enum", Level.MUST, on=[Kind.KNOWN], needs=[json, accept], clause=response(200))
def enum(o: Observation) -> Judgement:
    """
    A value with a documented enum is one of its values.

    Programs branch on these values, and generated clients reject all others. Relays add values when their
    upstream does, and do not update the page.
    """
    for violation in o.violations:
        if violation.enum:
            return failed(
                f"one of {', '.join(str(one) or '(empty)' for one in violation.enum)}",
                f"{violation.pointer}: {o.show(violation.message)}",
                clause=o.contract.clause(*violation.schema),
            )
    return PASSED


@define_check("fetch/200/presence", Level.MUST, on=[Kind.KNOWN], needs=[json, accept], clause=extension("id"))
def presence(o: Observation) -> Judgement:
    """
    A task has an id, and a status unless its state follows from other fields.

    Without them a client cannot tell which task it is or when to stop polling. Relays that omit empty fields
    lose them first.
    """
    if o.task is None:
        return not_applicable("the document is not an object")
    if not o.reader.id_path.find(o.task):
        return failed(f"an id at {o.reader.id_path.text}", "missing")
    status = o.reader.status_path
    if status is not None and not status.find(o.task) and o.reader.scoped_state(o.task) is None:
        return failed(
            f"a status at {status.text}",
            "missing",
            clause=extension("status")(o),
        )
    return PASSED


@define_check(
    "fetch/200/status-word", Level.INFO, on=[Kind.KNOWN], needs=[presence, enum], clause=extension("states")
)
def status_word(o: Observation) -> Judgement:
    """
    The status is one that the contract maps to a state.

    An unknown status makes a client poll until its deadline, or give up on a running task. Relays mix the
    statuses of several upstreams.
    """
    if o.task is None:
        return not_applicable("the document is not an object")
    if o.state is not State.UNKNOWN:
        return PASSED
    return failed("a status that the contract maps to a state", o.show(o.reader.status(o.task)))


@define_check(
    "fetch/200/undocumented",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[secret, presence],
    clause=response(200),
)
def undocumented(o: Observation) -> Judgement:
    """
    The document has no undocumented keys.

    New keys announce a relay's next version, and clients that reject them break. Relays forward new keys of
    their upstream long before the page documents them.
    """
    if o.task is None:
        return not_applicable("the document is not an object")
    found = undocumented_keys(_shape(o.contract), o.task)
    if not found:
        return PASSED
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return failed("keys that the contract describes", o.show(", ".join(found[:_SHOWN])) + more)


CHECKS = (schema, integers, enum, presence, status_word, undocumented)


@cache
def _shape(contract: Contract) -> Shape:
    """Return the shape of the documents of a 200 response, over all media types."""
    return Shape(contract, [media.get("schema", {}) for media in contract.content(200).values()])


def _fractions(o: Observation, schema: Place, node: Any, place: Location = ()) -> Iterator[Judgement]:
    """Yield a finding for each integer with a fraction; of long lists, only the first items count."""
    if isinstance(node, float):
        if node.is_integer() and o.schema.integer(schema):
            actual = f"{json_pointer(place)} is {node}"
            yield failed(f"{node:.0f}", actual, clause=o.contract.clause(*schema[0]))
    elif isinstance(node, dict | list):
        child = o.schema.children(schema)
        for step, value in node.items() if isinstance(node, dict) else enumerate(node[:_LONG]):
            if isinstance(value, float | dict | list) and (inner := child(step)) is not None:
                yield from _fractions(o, inner, value, (*place, step))
