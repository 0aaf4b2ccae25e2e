"""Whether a task's document fits the contract."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from mjrelay.semantics import State
from mjrelay_conformance.checks.helpers import extension, response
from mjrelay_conformance.checks.representation import ACCEPT, JSON
from mjrelay_conformance.checks.transport import SECRET
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    failed,
    not_applicable,
    register_check,
)

if TYPE_CHECKING:
    from mjrelay.base import Location
    from mjrelay.contract import Contract


PRESENCE = "fetch/200/presence"
STATUS_WORD = "fetch/200/status-word"
_ENUM = "fetch/200/enum"
_SHOWN = 5
"""Names of undocumented keys that are shown; a relay's documents repeat them in every list."""


@register_check("fetch/200/schema", Level.MUST, on=[Kind.KNOWN], needs=[JSON, ACCEPT], clause=response(200))
def schema(o: Observation) -> Judgement:
    """
    The document fits the contract's schema.

    Strictly typed clients fail on a number that comes as text, or on null. Relays hand on whatever the server
    behind them sends, which changes with its version.
    """
    violations = [violation for violation in o.violations if not violation.words]
    if not violations:
        return PASSED
    first = violations[0]
    more = f" (and {len(violations) - 1} more places)" if len(violations) > 1 else ""
    return failed(
        "a document that fits the schema",
        f"{_pointer(first.location)}: {o.show(first.message)}{more}",
        clause=o.contract.clause(*first.schema),
    )


@register_check(_ENUM, Level.MUST, on=[Kind.KNOWN], needs=[JSON, ACCEPT], clause=response(200))
def enum(o: Observation) -> Judgement:
    """
    A list of words that the page closes stays closed.

    Programs branch on these words, and generated clients refuse all others. Relays add words when the server
    behind them learns new ones, and leave the page as it was.
    """
    for violation in o.violations:
        if violation.words:
            return failed(
                f"one of {', '.join(map(str, violation.words))}",
                f"{_pointer(violation.location)}: {o.show(violation.message)}",
                clause=o.contract.clause(*violation.schema),
            )
    return PASSED


@register_check(PRESENCE, Level.MUST, on=[Kind.KNOWN], needs=[JSON, ACCEPT], clause=extension("id"))
def presence(o: Observation) -> Judgement:
    """
    A task has an id and a status, whatever else may be left out.

    Without them nobody can tell which task it is or when to stop asking. Relays that leave out what is empty
    lose them first.
    """
    if o.task is None:
        return not_applicable("the document is no object")
    if not o.reader.id_path.find(o.task):
        return failed(f"an id at {o.reader.id_path.text}", "nothing there")
    if o.reader.status_path is not None and not o.reader.status_path.find(o.task):
        return failed(
            f"a status at {o.reader.status_path.text}",
            "nothing there",
            clause=extension("status")(o),
        )
    return PASSED


@register_check(STATUS_WORD, Level.INFO, on=[Kind.KNOWN], needs=[PRESENCE, _ENUM], clause=extension("states"))
def status_word(o: Observation) -> Judgement:
    """
    The status is a word whose meaning is known.

    A word that a client does not know keeps it asking for ever, or makes it give up on a task that runs.
    Relays mix the words of several servers.
    """
    if o.task is None:
        return not_applicable("the document is no object")
    if o.state is not State.UNKNOWN:
        return PASSED
    return failed("a word that the contract's states hold", o.show(o.reader.status(o.task)))


@register_check(
    "fetch/200/undocumented",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[SECRET, PRESENCE],
    clause=response(200),
)
def undocumented(o: Observation) -> Judgement:
    """
    The document has no keys that the contract does not know.

    New keys are how a relay's next version begins, and clients that refuse them break. Relays add what the
    server behind them has learned, long before the page says so.
    """
    if o.task is None:
        return not_applicable("the document is no object")
    found = _unknown(_shape(o.contract), o.task)
    if not found:
        return PASSED
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return failed("keys that the contract describes", o.show(", ".join(found[:_SHOWN])) + more)


_CONTAINERS = frozenset({dict, list})
_FREE = ("additionalProperties", "patternProperties", "unevaluatedProperties")


class _Shape:
    """What schemas describe in an object or a list; what is within is found out when it is asked for."""

    def __init__(self, contract: Contract, schemas: list[Any]) -> None:
        self.free = False
        self._contract = contract
        self._schemas: dict[str | None, list[Any]] = {}
        self._shapes: dict[str | None, _Shape] = {}
        for option in _options(contract, schemas):
            properties, items = option.get("properties", {}), option.get("items")
            for name, inner in properties.items():
                self._schemas.setdefault(name, []).append(inner)
            if items is not None:
                self._schemas.setdefault(None, []).append(items)
            kinds = option.get("type")
            anything = "object" in (kinds if isinstance(kinds, list) else [kinds]) and not properties
            self.free |= anything or any(option.get(word, False) is not False for word in _FREE)
        self.keys = self._schemas.keys() - {None}

    def within(self, name: str | None) -> _Shape:
        """The shape of a property, or of the items where there is no name."""
        if name not in self._shapes:
            self._shapes[name] = _Shape(self._contract, self._schemas.get(name, []))
        return self._shapes[name]


@cache
def _shape(contract: Contract) -> _Shape:
    """The shape of the documents of a 200, whatever media type they come as."""
    return _Shape(contract, [media.get("schema", {}) for media in contract.content(200).values()])


def _options(contract: Contract, schemas: list[Any]) -> list[dict[str, Any]]:
    """All schemas that one value may be judged by, each once."""
    found: dict[int, dict[str, Any]] = {}
    left = list(schemas)
    while left:
        schema = contract.resolve(left.pop())
        if isinstance(schema, dict) and id(schema) not in found:
            found[id(schema)] = schema
            left += [option for word in ("allOf", "anyOf", "oneOf") for option in schema.get(word, ())]
    return list(found.values())


def _unknown(shape: _Shape, document: Any) -> list[str]:
    """Where the keys are that a shape does not know, each place once; the items of a list are one place."""
    found: dict[str, None] = {}
    left = [(shape, document, "")]
    while left:
        one, value, place = left.pop()
        if isinstance(value, list):
            left += [(one.within(None), item, f"{place}/*") for item in reversed(value)]
        elif isinstance(value, dict) and one.keys:
            if not one.free and not value.keys() <= one.keys:
                found |= dict.fromkeys(f"{place}/{name}" for name in value if name not in one.keys)
            left += [
                (one.within(name), inner, f"{place}/{name}")
                for name, inner in value.items()
                if type(inner) in _CONTAINERS and name in one.keys
            ]
    return list(found)


def _pointer(location: Location) -> str:
    return "".join(f"/{step}" for step in location) or "the document"
