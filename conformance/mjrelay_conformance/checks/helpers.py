"""What several families ask of an answer."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from mjrelay.http import NotJSONError
from mjrelay.semantics import State
from mjrelay_conformance.judging import PASSED, Judgement, Level, Observation, Outcome, failed, not_applicable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mjrelay.base import Location
    from mjrelay.contract import Clause, Contract
    from mjrelay.semantics import Matcher


def below_500(o: Observation) -> Judgement:
    """The answer is no server error."""
    if o.exchange.status is not None and o.exchange.status >= 500:
        return failed("a status below 500", came(o))
    return PASSED


def task_inside(o: Observation, *own: str) -> str | None:
    """
    A task that stands anywhere in an answer, whatever its status says, in a few words; None without one.

    An error document may well repeat an id: a task also has a state, media or times. A document whose id is
    one of the caller's ``own``, white space aside as databases compare it, is not looked into.
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
    """The objects in a document, the outer before the inner, as far as relays wrap them."""
    if isinstance(document, dict):
        if left_out(document):
            return
        yield document
    if depth and isinstance(document, dict | list):
        for inner in document.values() if isinstance(document, dict) else document[:100]:
            yield from _inside(inner, depth - 1, left_out)


def as_described(o: Observation, matchers: Sequence[Matcher]) -> Judgement:
    """The answer is one of those that the contract describes, as surely as the contract knows them."""
    if not matchers:
        return not_applicable("the contract does not say how this is answered")
    if any(matcher.matches(o.exchange) for matcher in matchers):
        return PASSED
    if not o.proven:
        return Judgement(Outcome.INCONCLUSIVE, actual="no known task was read: is the base URL right?")
    return failed(" or ".join(map(str, matchers)), came(o), level=_weight(o.contract, matchers))


def alike(one: Observation, other: Observation) -> bool:
    """Whether two answers have the same status, media type and shape of document, whatever their words."""
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
    """What a document is without its scalars."""
    if isinstance(document, dict):
        return {name: _skeleton(inner) for name, inner in document.items()}
    if isinstance(document, list):
        return [_skeleton(inner) for inner in document]
    return type(document)


def came(o: Observation) -> str:
    """What came, in one line: status, media type and the beginning of the body."""
    exchange = o.exchange
    head = f"{exchange.status} {exchange.media_type}".strip()
    if (target := exchange.header("location")) is not None:
        head += f" to {o.show(target)}"
    body = exchange.body[:8000].decode("utf-8", "replace").strip()
    return f"{head}: {o.show(body, 120)}" if body else f"{head} with an empty body"


def _weight(contract: Contract, matchers: Sequence[Matcher]) -> Level:
    """
    How much it weighs when an answer is none of those described.

    The strongest evidence counts: an answer that the page documents makes it a MUST, one that was observed
    a SHOULD, one that is only assumed INFO. An answer without evidence of its own rests on its response.
    """
    levels = {_known(contract, matcher) for matcher in matchers}
    return next((level for level in Level if level in levels), Level.INFO)


def _known(contract: Contract, matcher: Matcher) -> Level:
    if matcher.evidence is not None:
        return _strength({"x-evidence": matcher.evidence})
    found = contract.response(matcher.status)
    return Level.INFO if found is None else _strength(found[1])


def evidence(contract: Contract, *location: str | int) -> Level:
    """How surely the contract knows what stands at a location: as the weakest node on the way to it."""
    node: dict[Any, Any] = contract.document
    levels = [Level.MUST]
    for step in location:
        node = contract.resolve(node.get(step, {}))
        levels.append(_strength(node))
    return max(levels, key=list(Level).index)


def _strength(node: dict[str, Any]) -> Level:
    said = node.get("x-evidence")
    if said is None:
        return Level.MUST
    return Level.INFO if said.get("assumed") else Level.SHOULD


def extension(*keys: str) -> Callable[[Observation], Clause]:
    """A part of the contract's `x-mj-task`."""
    return lambda o: _at(o.contract, (*o.contract.location, "x-mj-task", *keys))


def response(status: int) -> Callable[[Observation], Clause]:
    """The Response Object of a status."""
    return lambda o: _at(o.contract, (*o.contract.location, "responses", str(status)))


def operation(o: Observation) -> Clause:
    """The fetch operation."""
    return _at(o.contract, o.contract.location)


def security(o: Observation) -> Clause:
    """The `security` of the operation that was asked."""
    operation = (o.ids and o.contract.batch) or o.contract.location
    return _at(o.contract, (*operation, "security"))


def scheme(o: Observation) -> Clause:
    """The Security Scheme Object of the credential that was sent."""
    return _at(o.contract, ("components", "securitySchemes", o.credential or ""))


def batch_operation(*keys: str) -> Callable[[Observation], Clause]:
    """A part of the operation that asks for several tasks; of the fetch operation where there is none."""
    return lambda o: _at(o.contract, (*(o.contract.batch or o.contract.location), *keys))


def standard(name: str) -> Callable[[Observation], str]:
    """A section of a public standard."""
    return lambda _: name


@cache
def _at(contract: Contract, location: Location) -> Clause:
    """
    The clause at a location, or at the nearest place above that the contract has.

    Each exchange is judged by the same ones, and finding their lines takes a while.
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
    The first place where two documents of a task differ, and what stood and stands there; None for none.

    What the contract does not know, a request's own number for instance, may be new each time.
    """
    for place, was, now in _differences(before, after):
        if all(o.schema.documents(200, place[: depth + 1]) for depth in range(len(place))):
            return place, was, now
    return None


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
