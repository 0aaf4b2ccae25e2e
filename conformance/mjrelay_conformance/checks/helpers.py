"""Helpers that several families of checks use."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from mjrelay.http import NotJSONError
from mjrelay.semantics import State
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Level,
    Observation,
    failed,
    inconclusive,
    not_applicable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mjrelay.base import Location
    from mjrelay.contract import Clause, Contract
    from mjrelay.semantics import Matcher
    from mjrelay_conformance.judging import Place, Schema


def below_500(o: Observation) -> Judgement:
    """Pass unless the status is a server error."""
    if o.exchange.status is not None and o.exchange.status >= 500:
        return failed("a status below 500", received(o))
    return PASSED


def task_inside(o: Observation, *own: str) -> str | None:
    """
    Describe the first task anywhere in a response, whatever its status; None without one.

    An error document may repeat an id, so a task must also have a state, media or times. Objects whose id is
    one of ``own``, compared without surrounding white space as databases do, are skipped.
    """
    left_out = {one.strip() for one in own}
    try:
        document = o.exchange.document
    except NotJSONError:
        return None

    def asked_for(inner: dict[str, Any]) -> bool:
        found = o.reader.id(inner)
        return found is not None and str(found).strip() in left_out

    for inner in _inside(document, 3, asked_for):
        signs = [
            isinstance(o.reader.status(inner), str) and o.reader.state(inner) is not State.UNKNOWN,
            bool(o.reader.images(inner) or o.reader.videos(inner)),
            o.reader.submitted is not None and o.reader.submitted.raw(inner) is not None,
        ]
        found = o.reader.id(inner)
        named = found not in (None, "")
        if sum(signs) >= 2 or (named and (any(signs) or (o.task is inner and o.reader.accepts(inner)))):
            return f"the task with id {o.show(found)}"
    return None


def _inside(
    document: Any, depth: int, left_out: Callable[[dict[str, Any]], bool]
) -> Iterator[dict[str, Any]]:
    """Yield the objects in a document, outer ones first, down to the depth that relays wrap tasks in."""
    if isinstance(document, dict):
        if left_out(document):
            return
        yield document
    if depth and isinstance(document, dict | list):
        for inner in document.values() if isinstance(document, dict) else document[:100]:
            yield from _inside(inner, depth - 1, left_out)


def as_described(o: Observation, matchers: Sequence[Matcher]) -> Judgement:
    """Pass if the response is one that the contract describes; the level follows the contract's evidence."""
    if not matchers:
        return not_applicable("the contract does not describe this response")
    if any(matcher.matches(o.exchange) for matcher in matchers):
        return PASSED
    if not o.headers_recorded:
        return inconclusive("the headers of the response were not recorded")
    if not o.proven:
        return inconclusive("no known task was fetched; check the base URL")
    return failed(" or ".join(map(str, matchers)), received(o), level=_described_level(o.contract, matchers))


def similar_responses(one: Observation, other: Observation) -> bool:
    """Whether two responses have the same status, media type and JSON structure."""
    first, second = one.exchange, other.exchange
    if (first.status, first.media_type) != (second.status, second.media_type):
        return False
    return first.body == second.body or _shape(one) == _shape(other)


def _shape(o: Observation) -> Any:
    try:
        return _skeleton(o.exchange.document)
    except NotJSONError:
        return None


def _skeleton(document: Any) -> Any:
    """Replace the scalars of a document by their types."""
    if isinstance(document, dict):
        return {name: _skeleton(inner) for name, inner in document.items()}
    if isinstance(document, list):
        return [_skeleton(inner) for inner in document]
    return type(document)


def received(o: Observation) -> str:
    """Describe a response in one line: status, media type and the start of the body."""
    exchange = o.exchange
    head = f"{exchange.status} {exchange.media_type}".strip()
    if (target := exchange.header("location")) is not None:
        head += f" to {o.show(target)}"
    body = " ".join(exchange.body[:8000].decode("utf-8", "replace").split())
    return f"{head}: {o.show(body, 120)}" if body else f"{head} with an empty body"


def _described_level(contract: Contract, matchers: Sequence[Matcher]) -> Level:
    """
    Return the level of a response that the contract does not describe.

    The strongest evidence counts: MUST if the page documents one of the responses, SHOULD if one was
    observed, INFO if all are assumed. Without evidence of its own, a response uses its Response Object's.
    """
    levels = {_evidence_level(contract, matcher) for matcher in matchers}
    return next((level for level in Level if level in levels), Level.INFO)


def _evidence_level(contract: Contract, matcher: Matcher) -> Level:
    if matcher.evidence is not None:
        return _strength({"x-evidence": matcher.evidence})
    found = contract.response(matcher.status)
    return Level.INFO if found is None else _strength(found[1])


def evidence(contract: Contract, *location: str | int) -> Level:
    """Return the level that the contract's evidence for a location allows: the weakest on the path to it."""
    node: dict[Any, Any] = contract.document
    levels = [Level.MUST]
    for step in location:
        node = contract.resolve(node.get(step, {}))
        levels.append(_strength(node))
    return max(levels, key=list(Level).index)


def _strength(node: dict[str, Any]) -> Level:
    found = node.get("x-evidence")
    if found is None:
        return Level.MUST
    return Level.INFO if found.get("assumed") else Level.SHOULD


def extension(*keys: str) -> Callable[[Observation], Clause]:
    """Return the clause of a part of `x-mj-task`."""
    return lambda o: _at(o.contract, (*o.contract.location, "x-mj-task", *keys))


def response(status: int) -> Callable[[Observation], Clause]:
    """Return the clause of the Response Object of a status."""
    return lambda o: _at(o.contract, (*o.contract.location, "responses", str(status)))


def operation(o: Observation) -> Clause:
    """Return the clause of the fetch operation."""
    return _at(o.contract, o.contract.location)


def security(o: Observation) -> Clause:
    """Return the clause of the `security` of the requested operation."""
    operation = (o.ids and o.contract.batch) or o.contract.location
    return _at(o.contract, (*operation, "security"))


def scheme(o: Observation) -> Clause:
    """Return the clause of the Security Scheme Object of the credential that was sent."""
    return _at(o.contract, ("components", "securitySchemes", o.credential or ""))


def batch_operation(*keys: str) -> Callable[[Observation], Clause]:
    """Return the clause of a part of the batch operation, or of the fetch operation if there is none."""
    return lambda o: _at(o.contract, (*(o.contract.batch or o.contract.location), *keys))


def submission(*keys: str) -> Callable[[Observation], Clause]:
    """Return the clause of a part of the submit operation, or of the first one of the contract."""

    def clause(o: Observation) -> Clause:
        own = o.submit or next(iter(o.contract.submits), None)
        return _at(o.contract, (*(o.contract.location if own is None else own.location), *keys))

    return clause


def standard(name: str) -> Callable[[Observation], str]:
    """Return a section of a public standard."""
    return lambda _: name


@cache
def _at(contract: Contract, location: Location) -> Clause:
    """
    Return the clause at a location, or at its nearest ancestor in the contract.

    Cached, because all exchanges use the same clauses and finding their lines is slow.
    """
    node: Any = contract.document
    for depth, step in enumerate(location):
        if not isinstance(node, dict) or step not in node:
            return contract.clause(*location[:depth])
        node = node[step]
    return contract.clause(*location)


_QUERY = re.compile(r"[?#]\S*")


def change(o: Observation, before: Any, after: Any) -> tuple[Location, Any, Any] | None:
    """
    Return the first location where two documents of a task differ, with both values; None if equal.

    Fields that the contract does not describe, such as a request id, may differ.
    """
    root = o.schema.root(200)
    return None if root is None else next(_differences(o.schema, root, before, after), None)


def _differences(
    schema: Schema, parent: Place, before: Any, after: Any, place: Location = ()
) -> Iterator[tuple[Location, Any, Any]]:
    """
    Yield where two documents differ in what the schema describes.

    Query strings of URLs are ignored, because relays sign them anew.
    """
    pairs: Iterable[tuple[str | int, Any, Any]]
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = ((name, before.get(name), after.get(name)) for name in {**before, **after})
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(range(len(before)), before, after, strict=True)
    else:
        if _unsigned(before) != _unsigned(after) or type(before) is not type(after):
            yield place, before, after
        return
    child = schema.children(parent)
    for step, was, now in pairs:
        container = isinstance(was, dict | list) and isinstance(now, dict | list)
        if (container or was != now or type(was) is not type(now)) and (inner := child(step)) is not None:
            yield from _differences(schema, inner, was, now, (*place, step))


def _unsigned(value: Any) -> Any:
    return _QUERY.sub("", value) if isinstance(value, str) and "://" in value else value
