"""Read the response to a submit as the ``answer`` of `x-mj-submit` describes it."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from mjrelay.base import ContractError
from mjrelay.http import NotJSONError, OversizeError
from mjrelay.semantics.compiler import compile_error
from mjrelay.semantics.matcher import Matcher
from mjrelay.semantics.paths import JSONPath
from mjrelay.semantics.readings import compile_readings
from mjrelay.semantics.values import is_number, scalar_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mjrelay.http import Exchange
    from mjrelay.semantics.reader import Reader
    from mjrelay.semantics.readings import Readings

Charged = Literal["yes", "no", "unknown"]
"""Whether a submit costs money."""

MayResend = Literal["now", "later", "never", "unknown"]
"""Whether the same request may be sent again without paying twice."""


class SubmitOutcome(StrEnum):
    """What a relay did with a submit. Matchers are tried in this order."""

    NEEDS_MODAL = "needs-modal"
    QUEUED = "queued"
    ACCEPTED = "accepted"
    BANNED = "banned"
    BALANCE = "balance"
    BUTTON_REFUSED = "button-refused"
    PARENT_MISSING = "parent-missing"
    QUEUE_FULL = "queue-full"
    PARENT_NOT_READY = "parent-not-ready"
    RATE_LIMITED = "rate-limited"
    OVERLOADED = "overloaded"
    UNKNOWN = "unknown"
    FAILED = "failed"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    ELSEWHERE = "elsewhere"

    @property
    def accepted(self) -> bool:
        """Whether the relay took the task."""
        return self in _ACCEPTED

    @property
    def repeatable(self) -> bool:
        """Whether the relay did not take the task, and takes the same request later."""
        return self in _REPEATABLE


_ACCEPTED = {SubmitOutcome.NEEDS_MODAL, SubmitOutcome.QUEUED, SubmitOutcome.ACCEPTED}
_REPEATABLE = {
    SubmitOutcome.QUEUE_FULL,
    SubmitOutcome.PARENT_NOT_READY,
    SubmitOutcome.RATE_LIMITED,
    SubmitOutcome.OVERLOADED,
}
_OF_THE_READER = (SubmitOutcome.UNAUTHORIZED, SubmitOutcome.FORBIDDEN, SubmitOutcome.ELSEWHERE)
"""Outcomes whose matchers are those of `x-mj-task`."""

OUTCOMES = tuple(outcome.value for outcome in SubmitOutcome if outcome not in _OF_THE_READER)
"""The outcomes that a contract may describe."""

_KEYS = {"ids", "links", "position", "prompt", "error", "outcomes"}

_BY_STATUS = {429: SubmitOutcome.RATE_LIMITED}
"""What a status means if no matcher of the contract names it. A proxy sends 503 also for an accepted task."""

_LENIENT = json.JSONDecoder(strict=False)
_WITHOUT_NUMBERS = json.JSONDecoder(strict=False, parse_int=lambda _: None, parse_float=lambda _: None)
_SPACE = re.compile(r"\s*")
_CUTS = frozenset("0123456789.+-eE,}]")
"""After the end of an object, these show that a damaged byte ended it, perhaps inside a number."""
_MOST_OBJECTS = 16
"""Maximum number of objects that are read in one damaged response."""
_REPLACED = re.compile("\ufffd")
"""Stands for bytes that are not UTF-8."""
_DAMAGED = re.compile("[\x00-\x1f\ufffd]")
"""Also control characters, which JSON does not allow in strings."""

_CHARGED: Mapping[Any, Charged] = {True: "yes", False: "no", "perhaps": "unknown"}


@frozen
class Receipt:
    """
    The response to a submit, as the contract describes it.

    Attributes:
        outcome: What the relay did.
        charged: Whether the submit costs money.
        ids: The ids of the new tasks.
        links: The URLs that an upload returned.
        position: The number of tasks ahead in the queue, or None.
        prompt: The prompt that a modal window shows, or None.
        code: The relay's code, as text, or None.
        description: The relay's message, or None.
    """

    outcome: SubmitOutcome
    charged: Charged
    ids: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    position: int | None = None
    prompt: str | None = field(default=None, repr=False)
    code: str | None = None
    description: str | None = field(default=None, repr=False)

    @property
    def may_resend(self) -> MayResend:
        """Whether the same request may be sent again without paying twice."""
        if self.outcome.repeatable:
            return "later" if self.charged == "no" and not (self.ids or self.links) else "unknown"
        return "unknown" if self.outcome is SubmitOutcome.UNKNOWN and self.charged == "unknown" else "never"


@frozen
class AnswerReader:
    """Reads the responses to one submit operation."""

    ids: Readings = field(repr=False, eq=False)
    several: bool
    """Whether one response may hold the ids of several tasks."""
    links: Readings = field(repr=False, eq=False)
    makes_tasks: bool
    outcomes: tuple[tuple[SubmitOutcome, Matcher, Charged], ...]
    _position: JSONPath | None
    _prompt: JSONPath | None
    _error: Callable[[Any], tuple[str | None, str | None]] = field(repr=False, eq=False)

    @classmethod
    def compile(cls, form: Any, reader: Reader) -> AnswerReader:
        """
        Compile an ``answer``.

        Args:
            form: The value of ``answer``, references resolved.
            reader: The compiled `x-mj-task`: its matchers and error paths apply here too.
        """
        if not isinstance(form, dict) or form.keys() - _KEYS:
            raise ContractError(f"{form!r} is not an answer; write ids or links, and outcomes")
        if not {"ids", "links"} & form.keys():
            raise ContractError(
                "ids is missing; write where the ids of new tasks are, or links for an upload"
            )
        return cls(
            ids=compile_readings(form.get("ids", ())),
            several=any(map(_several, form.get("ids", ()))),
            links=compile_readings(form.get("links", ())),
            makes_tasks="ids" in form,
            outcomes=tuple(_outcomes(form.get("outcomes", {}), reader)),
            position=_path(form.get("position")),
            prompt=_path(form.get("prompt")),
            error=compile_error(form["error"]) if "error" in form else reader.error,
        )

    def read(self, exchange: Exchange) -> Receipt:
        """
        Read the response to a submit. The media type does not matter, unless a matcher names it.

        An exchange without a complete response has the outcome ``unknown``, and the ids that are whole in it.
        """
        documents, damage = _documents(exchange)
        document = documents[0] if documents else None
        whole = [_without(damage, one) for one in documents]
        ids = tuple(dict.fromkeys(one for part in whole for one in self.ids(part)))
        links = tuple(dict.fromkeys(one for part in whole for one in self.links(part)))
        outcome, charged = self._outcome(exchange, arrived=bool(ids or links))
        if ids and outcome in {SubmitOutcome.RATE_LIMITED, SubmitOutcome.OVERLOADED}:
            charged = "unknown"  # a refusal that names a task contradicts itself
        code, description = self._error(document)
        return Receipt(
            outcome,
            charged,
            ids,
            links,
            position=None if self._position is None else _count(self._position.first(document)),
            prompt=None if self._prompt is None else scalar_text(self._prompt.first(document)),
            code=code,
            description=description,
        )

    def _outcome(self, exchange: Exchange, *, arrived: bool) -> tuple[SubmitOutcome, Charged]:
        if exchange.failure is not None or exchange.status is None:
            return SubmitOutcome.UNKNOWN, "unknown"
        named = False
        for outcome, matcher, charged in self.outcomes:
            named = named or matcher.status == exchange.status
            if (arrived or not outcome.accepted) and matcher.matches(exchange):
                return outcome, charged
        if exchange.status in _BY_STATUS and not named:
            return _BY_STATUS[exchange.status], "no"
        return SubmitOutcome.UNKNOWN, "unknown"


def _documents(exchange: Exchange) -> tuple[list[Any], re.Pattern[str]]:
    """
    Return the documents of a response that may be cut or damaged, because an id in them may be paid for.

    Also return what marks a damaged text in them. Of a cut or damaged response only whole objects are
    returned, so that no id is cut.
    """
    try:
        document = exchange.document
    except OversizeError:
        return [], _REPLACED
    except NotJSONError:
        text = exchange.body.decode("utf-8-sig", "replace")
        return list(islice(_objects(text), _MOST_OBJECTS)), _DAMAGED
    whole = exchange.failure is None or isinstance(document, dict | list)  # a number may be cut
    return [document] if whole else [], _REPLACED


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the first objects in a text. A server may write a warning before them, or an error after them."""
    head, brace, _ = text.partition("{")
    if '"' in head:  # the first brace is inside another value
        return
    start = len(head) if brace else len(text)
    while text.startswith("{", start):
        try:
            document, end = _LENIENT.raw_decode(text, start)
            after = _end_of_space(text, end)
            if text[after : after + 1] in _CUTS:
                document, _ = _WITHOUT_NUMBERS.raw_decode(text, start)
        except (ValueError, RecursionError):
            return
        yield document
        start = after


def _end_of_space(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return start if found is None else found.end()


def _without(damage: re.Pattern[str], node: Any) -> Any:
    """Return a document with None for each damaged text, so that no part of an id is read from one."""
    match node:
        case str():
            return None if damage.search(node) else node
        case dict():
            return {name: _without(damage, value) for name, value in node.items()}
        case list():
            return [_without(damage, one) for one in node]
        case _:
            return node


def _outcomes(form: Any, reader: Reader) -> Iterable[tuple[SubmitOutcome, Matcher, Charged]]:
    """Yield the matchers in the order in which they are tried."""
    if not isinstance(form, dict) or form.keys() - set(OUTCOMES):
        unknown = min(form.keys() - set(OUTCOMES), key=str) if isinstance(form, dict) else form
        raise ContractError(f"{unknown!r} is not an outcome; the outcomes are {', '.join(OUTCOMES)}")
    if not {outcome.value for outcome in _ACCEPTED} & form.keys():
        raise ContractError("no outcome accepts a task; write accepted: {status: 200, …}")
    for outcome in SubmitOutcome:
        if outcome in _OF_THE_READER:
            matchers: Iterable[Matcher] = getattr(reader, outcome.value)
            if outcome is SubmitOutcome.ELSEWHERE:  # any other status may stand for an accepted task
                matchers = (one for one in matchers if 400 <= one.status < 500)
            yield from ((outcome, matcher, "no") for matcher in matchers)
            continue
        forms = form.get(outcome.value, ())
        for one in forms if isinstance(forms, list) else [forms] if forms != () else ():
            plain = (
                {key: value for key, value in one.items() if key != "charged"}
                if isinstance(one, dict)
                else one
            )
            yield outcome, Matcher.compile(plain), _charged(outcome, one)


def _charged(outcome: SubmitOutcome, form: Mapping[str, Any]) -> Charged:
    default: Any = True if outcome.accepted else "perhaps" if outcome is SubmitOutcome.UNKNOWN else False
    value = form.get("charged", default)
    if not isinstance(value, bool | str) or value not in _CHARGED:
        raise ContractError(f"charged: {value!r} is not supported; write true, false or perhaps")
    return _CHARGED[value]


def _several(reading: Any) -> bool:
    """Return whether a reading captures parts of a text, or selects more than one value."""
    if isinstance(reading, str):
        return JSONPath.compile(reading).location is None
    return "capture" in reading or _several(reading["path"])


def _path(text: str | None) -> JSONPath | None:
    return None if text is None else JSONPath.compile(text)


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    return int(value) if is_number(value) and 0 <= value < 1e9 else None
