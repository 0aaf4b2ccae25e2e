"""
Named faults: the ways in which a mock relay can be wrong on purpose.

A fault finds its places through the contract, its schema and its `x-mj-task`, and touches no more than its
summary says. Unless that says otherwise it hits every task that is there, in every state.
"""

from __future__ import annotations

import copy
import difflib
import random
import string
import zlib
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import evolve, field, frozen

from mjrelay._exchange import Exchange
from mjrelay._jsonpath import Path
from mjrelay._predicate import same
from mjrelay._reader import State
from mjrelay.errors import MjrelayError
from mjrelay_conformance._plan import another
from mjrelay_conformance.mock import _answer, _writer
from mjrelay_conformance.mock._answer import Answer, Call, Route
from mjrelay_conformance.mock._permit import ABSENT, kind, permits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mjrelay._contract import Contract
    from mjrelay._yaml import Location

    Decide = Callable[[Call], Call]
    Alter = Callable[[Call, Any], Any]
    Finish = Callable[[Call, Answer], Answer]
    _Place = tuple[Location, Any]

ELSEWHERE = "http://127.0.0.2:9"
"""Another host, where nothing listens."""

_EVERY = frozenset(State)
_SUCCEEDED = frozenset({State.SUCCEEDED})
_SCALARS = {"null", "boolean", "integer", "number", "string"}
_ECHO = "x-caller"


class UnknownFaultError(MjrelayError):
    """No fault has this name; ``near`` holds the likely ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near = difflib.get_close_matches(name, FAULTS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(self.near)}?" if self.near else f"known are {', '.join(FAULTS)}"
        super().__init__(f"no fault is called {name!r}; {hint}")


class InapplicableFaultError(MjrelayError):
    """The contract gives a fault no place; ``name`` is the fault's, ``relay`` the contract's."""

    def __init__(self, name: str, relay: str) -> None:
        self.name, self.relay = name, relay
        super().__init__(
            f"fault {name} has no place in the contract of {relay}: {FAULTS[name].summary} "
            "Leave it out, or choose another one."
        )


@frozen
class Fault:
    """
    One way of being wrong.

    ``summary`` says in one sentence what the relay then does. A fault acts at up to three stages: ``decide``
    changes what becomes of a request, ``alter`` the task's document (its own copy) where the task is in one
    of ``states``, ``finish`` the answer where the request went by ``route``. ``needs`` says whether a
    contract has what it takes.
    """

    name: str
    summary: str
    decide: Decide | None = field(default=None, repr=False)
    alter: Alter | None = field(default=None, repr=False)
    finish: Finish | None = field(default=None, repr=False)
    route: Route = Route.TASK
    states: frozenset[State] = field(default=_EVERY, repr=False)
    needs: Callable[[Contract], bool] = field(default=lambda _: True, repr=False)

    def applies(self, contract: Contract) -> bool:
        """Whether the contract has a place for it: whether it changes any of the contract's examples."""
        if not self.needs(contract):
            return False
        return self.alter is None or any(
            _answer.encode(self.altered(call, copy.deepcopy(document))) != _answer.encode(document)
            for call, document in _examples(contract)
        )

    def decided(self, call: Call) -> Call:
        """What becomes of a request with this fault."""
        return call if self.decide is None else self.decide(call)

    def altered(self, call: Call, document: Any) -> Any:
        """A task's document with this fault; the one given may be changed."""
        if self.alter is None or call.state not in self.states:
            return document
        return self.alter(call, document)

    def finished(self, call: Call, answer: Answer) -> Answer:
        """An answer with this fault."""
        if self.finish is None or call.route is not self.route:
            return answer
        return (
            answer
            if call.route is Route.TASK and call.state not in self.states
            else self.finish(call, answer)
        )


def select(names: Iterable[str], contract: Contract) -> tuple[Fault, ...]:
    """
    The faults of these names, in order.

    Raises `UnknownFaultError` for a name that is none, `InapplicableFaultError` for a fault that the contract
    gives no place.
    """
    faults = []
    for name in names:
        if name not in FAULTS:
            raise UnknownFaultError(name)
        if not FAULTS[name].applies(contract):
            raise InapplicableFaultError(name, contract.name)
        faults.append(FAULTS[name])
    return tuple(faults)


# The document of a task.


def _wrong_type(call: Call, document: Any) -> Any:
    def wrong(location: Location, value: Any) -> list[Any]:
        if kind(value) not in _SCALARS - {"null"}:
            return []
        text = value if isinstance(value, str) else str(value).lower()
        candidates: tuple[Any, ...] = (17, text, True, [], {})
        return [other for other in candidates if not permits(call.contract, location, kind(other))]

    for location, value in _unkept(call.contract, document):
        if others := wrong(location, value):
            _writer.put(document, location, others[0])
            break
    return document


def _missing_required(call: Call, document: Any) -> Any:
    found = next(
        (
            location
            for location, _ in _unkept(call.contract, document)
            if isinstance(location[-1], str) and not permits(call.contract, location, ABSENT)
        ),
        None,
    )
    for location in _status(call.contract, document) if found is None else [found]:
        del _at(document, location[:-1])[location[-1]]
    return document


def _unknown_enum(call: Call, document: Any) -> Any:
    changed = copy.deepcopy(document)
    for location in _status(call.contract, document):
        word = _at(document, location)
        number = isinstance(word, int | float) and not isinstance(word, bool)
        lower = isinstance(word, str) and word.islower()
        unknown: Any = 7919 if number else "word_of_no_relay" if lower else "WORD_OF_NO_RELAY"
        _writer.put(changed, location, unknown)
    return changed if call.contract.reader.state(changed) is State.UNKNOWN else document


def _null_field(call: Call, document: Any) -> Any:
    for location, value in _unkept(call.contract, document):
        if value is not None and not permits(call.contract, location, "null"):
            _writer.put(document, location, None)
            break
    return document


def _id_as_number(call: Call, document: Any) -> Any:
    for location in call.contract.reader.id_path.locate(document):
        text = _at(document, location)
        if isinstance(text, str) and not permits(call.contract, location, "integer"):
            digits = text.isascii() and text.isdecimal() and len(text) <= 4000
            _writer.put(
                document, location, int(text) if digits else zlib.crc32(text.encode(errors="replace"))
            )
    return document


def _nan(call: Call, document: Any) -> Any:
    for places in _places(call.contract, document):
        numbers = [location for location, value in places if kind(value) in {"integer", "number"}]
        if numbers:
            _writer.put(document, numbers[-1], float("nan"))
            return document
    if isinstance(document, dict):
        document["x-number"] = float("nan")
    return document


def _wrong_id(call: Call, document: Any) -> Any:
    path = call.contract.reader.id_path
    other = next((id_ for id_ in call.tasks if id_ != call.task_id), None)
    if other is None:
        other = another(call.task_id, random.Random(call.task_id), {call.task_id})  # noqa: S311 - repeatable
    for location in path.locate(document):
        _writer.put(document, location, _writer.id_like(_at(document, location), other))
    return document


def _seconds_not_ms(call: Call, document: Any) -> Any:
    if not _writer.stamps(call.contract):
        return document
    form = call.contract.operation["x-mj-task"]["times"]["format"]
    for stamp in _writer.stamps(call.contract).values():
        raw = stamp.raw(document)
        if form == "iso8601" or stamp.read(document) is None:
            continue
        value = int(float(raw) * 1000) if form == "s" else int(raw) // 1000
        places = stamp.path.locate(document)
        _writer.put_all(document, places, str(value) if isinstance(raw, str) else value)
    return document


def _finish_before_start(call: Call, document: Any) -> Any:
    moments = _moments(call.contract, document)
    before = [moment for name, moment in moments.items() if name != "finished"]
    if before and "finished" in moments:
        _writer.set_time(call.contract, document, "finished", min(before) - timedelta(hours=1))
    return document


def _success_without_media(call: Call, document: Any) -> Any:
    reader = call.contract.reader
    if not reader.completes("media", document):
        return document
    for media in (*reader.image_media, *reader.video_media):
        for location in media.path.locate(document) if media.urls(document) else ():
            index = next((depth for depth, step in enumerate(location) if isinstance(step, int)), None)
            if index is None:
                _writer.put(document, location, _unset(call.contract, location))
            else:
                _writer.put(document, location[:index], [])
    return document


def _success_without_finish(call: Call, document: Any) -> Any:
    stamp = call.contract.reader.finished
    if (
        stamp is None
        or stamp.raw(document) is None
        or not call.contract.reader.completes("finished", document)
    ):
        return document
    words = call.contract.operation["x-mj-task"]["times"].get("unset", [])
    for location in stamp.path.locate(document):
        _writer.put(document, location, _unset(call.contract, location, words))
    return document


def _success_at_50(call: Call, document: Any) -> Any:
    if call.contract.reader.completes("progress", document):
        _writer.set_progress(call.contract, document, 50)
    return document


def _failure_without_reason(call: Call, document: Any) -> Any:
    for path in call.contract.reader.failure_paths:
        for location in path.locate(document):
            _writer.put(document, location, _unset(call.contract, location))
    return document


def _progress_150(call: Call, document: Any) -> Any:
    _writer.set_progress(call.contract, document, 150)
    return document


def _terminal_regression(call: Call, document: Any) -> Any:
    earlier = next((state for state in _BEFORE if state.value in call.contract.examples), None)
    if call.reads == 0 or call.state is None or not call.state.terminal or earlier is None:
        return document
    moments = _moments(call.contract, document)
    return _writer.write(call.contract, earlier, call.task_id, moments)


_BEFORE = (State.RUNNING, State.QUEUED)


def _changes_when_read(call: Call, document: Any) -> Any:
    prompt = call.contract.reader.prompt_path
    preferred = [] if prompt is None else prompt.locate(document)
    unnamed, _ = _places(call.contract, document)
    others = [location for location, value in unnamed if "://" not in str(value)]
    for location in (*preferred, *others):
        text = _at(document, location)
        if isinstance(text, str) and text:
            _writer.put(document, location, f"{text} ({call.reads + 1})")
            break
    return document


def _echo_in_body(call: Call, document: Any) -> Any:
    if isinstance(document, dict) and call.secrets:
        document[_ECHO] = call.secrets[0]
    return document


# The finished answer.


def _echo_in_header(call: Call, answer: Answer) -> Answer:
    if not call.secrets:
        return answer
    secret = quote(call.secrets[0], safe=string.punctuation, errors="replace")  # a header field bears no more
    return evolve(answer, headers=(*answer.headers, (_ECHO, secret)))


def _of_type(answer: Answer, content_type: str | None) -> Answer:
    kept = tuple((name, value) for name, value in answer.headers if name != "content-type")
    return evolve(answer, headers=(*_answer.typed(content_type), *kept))


def _page(answer: Answer, content_type: str) -> Answer:
    return evolve(_of_type(answer, content_type), status=200, body=_answer.PAGE)


def _error_envelope(call: Call, answer: Answer) -> Answer:
    error = _answer.error(call.contract)
    return evolve(_of_type(answer, error.content_type), status=200, body=error.body)


def _truncated(_: Call, answer: Answer) -> Answer:
    half = answer.body[: len(answer.body) // 2]
    return evolve(answer, body=half.decode("utf-8", "ignore").encode())  # between two characters


def _invalid_utf8(_: Call, answer: Answer) -> Answer:
    text = answer.body.rfind(b':"')
    place = len(answer.body) if text < 0 else text + 2
    return evolve(answer, body=answer.body[:place] + b"\xff" + answer.body[place:])


def _redirect(call: Call, answer: Answer) -> Answer:
    target = call.contract.request(call.task_id).target
    untyped = _of_type(answer, None)
    headers = (*untyped.headers, ("location", ELSEWHERE + target))
    return evolve(untyped, status=302, headers=headers, body=b"")


def _null(_: Call, answer: Answer) -> Answer:
    return evolve(_of_type(answer, _answer.JSON), status=200, body=b"null")


def _wrong_status(call: Call, answer: Answer) -> Answer:
    described = {matcher.status for matcher in call.contract.reader.missing}
    return evolve(answer, status=next(status for status in (410, 404, 422) if status not in described))


def _with_status(status: int) -> Finish:
    return lambda _, answer: evolve(answer, status=status)


# What becomes of a request.


def _wrong_credential_accepted(call: Call) -> Call:
    if call.route is not Route.REFUSED or not call.secrets:
        return call
    return evolve(call, route=Route.TASK if call.task_id in call.tasks else Route.MISSING)


def _somebody_elses(call: Call) -> Call:
    if call.route is not Route.MISSING or not call.tasks:
        return call
    return evolve(call, route=Route.TASK, task_id=call.tasks[0])


# What a contract has.


def _refuses(contract: Contract) -> bool:
    return bool(contract.credentials) and not contract.open


def _has_tasks(contract: Contract) -> bool:
    return any(True for _ in _examples(contract))


def _wrong_when(route: Route, finish: Finish) -> Callable[[Contract], bool]:
    """Whether an answer that was changed is none that the contract describes any more."""

    def wrong(contract: Contract) -> bool:
        right = _answer.missing(contract) if route is Route.MISSING else _answer.refused(contract)
        answer = finish(Call(contract, route), right)
        exchange = Exchange("GET", "", status=answer.status, headers=answer.headers, body=answer.body)
        reader = contract.reader
        matchers = reader.missing if route is Route.MISSING else reader.unauthorized
        return answer != right and not any(matcher.matches(exchange) for matcher in matchers)

    return wrong


# Places in documents.


def _examples(contract: Contract) -> Iterator[tuple[Call, Any]]:
    """The contract's examples of tasks, each as it is read by a second request with a credential."""
    reader = contract.reader
    documents = {
        State(name): document
        for name, document in contract.examples.items()
        if name in set(State) and name != State.UNKNOWN and reader.id(document) not in (None, "")
    }
    for state, document in documents.items():
        yield (
            Call(contract, Route.TASK, str(reader.id(document)), state, secrets=("a secret",), reads=1),
            document,
        )


def _places(contract: Contract, document: Any) -> tuple[list[_Place], list[_Place]]:
    """
    Where a value may be broken without the document ceasing to be that task in that state.

    First the places that `x-mj-task` does not name, then those that it names and what is in them, each in
    document order.
    """
    form = contract.operation["x-mj-task"]
    telling = {form["id"], *form.get("accept", {}), *_state_paths(contract)}
    kept = {location for text in telling for location in _path(text).locate(document)}
    kept |= {location[:depth] for location in kept for depth in range(len(location))}
    named = {location for text in _paths(form) for location in _path(text).locate(document)}
    unnamed: list[_Place] = []
    others: list[_Place] = []
    for location, value in _walk(document):
        if location not in kept:
            inside = any(location[:depth] in named for depth in range(1, len(location) + 1))
            (others if inside else unnamed).append((location, value))
    return unnamed, others


def _unkept(contract: Contract, document: Any) -> list[_Place]:
    unnamed, named = _places(contract, document)
    return unnamed + named


def _state_paths(contract: Contract) -> list[str]:
    """The paths that say which state a task is in."""
    form = contract.operation["x-mj-task"]
    entries = [entry for entries in form["states"].values() for entry in entries if isinstance(entry, dict)]
    status = [form["status"]] if "status" in form else []
    return list(dict.fromkeys([*status, *(path for entry in entries for path in entry["where"])]))


def _status(contract: Contract, document: Any) -> list[Location]:
    """Where the document says which state the task is in."""
    places = [place for path in _state_paths(contract) for place in _path(path).locate(document)]
    return [place for place in dict.fromkeys(places) if place and kind(_at(document, place)) in _SCALARS]


def _moments(contract: Contract, document: Any) -> dict[str, Any]:
    """The times that are set in a document."""
    stamps = _writer.stamps(contract)
    return {name: moment for name, stamp in stamps.items() if (moment := stamp.read(document)) is not None}


def _unset(contract: Contract, location: Location, words: Sequence[Any] = ()) -> Any:
    """What stands at a place when nothing is set: as other examples have it, else as the schema allows."""
    shown = [
        value
        for state in State
        if state.value in contract.examples
        for place, value in _walk(contract.examples[state.value])
        if place == location and any(same(value, word) for word in (None, "", *words))
    ]
    candidates = (*shown, *words, None, "")
    return next((value for value in candidates if permits(contract, location, kind(value))), None)


def _walk(node: Any, location: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Every value in a document but the document itself, the outer before the inner."""
    steps: Iterable[tuple[str | int, Any]] = ()
    if isinstance(node, dict):
        steps = node.items()
    elif isinstance(node, list):
        steps = enumerate(node)
    for step, value in steps:
        yield (*location, step), value
        yield from _walk(value, (*location, step))


def _at(document: Any, location: Location) -> Any:
    for step in location:
        document = document[step]
    return document


def _paths(form: Any) -> Iterator[str]:
    """Every JSONPath in an `x-mj-task`; what is none of them is passed over."""
    if isinstance(form, dict):
        for name, value in form.items():
            yield from _paths(name)
            yield from _paths(value)
    elif isinstance(form, list):
        for value in form:
            yield from _paths(value)
    elif isinstance(form, str) and form.startswith("$") and not form.startswith("$request"):
        yield form


@cache
def _path(text: str) -> Path:
    return Path.compile(text)


_ALL = (
    Fault("wrong-type", "A documented value has a JSON type that the schema refuses.", alter=_wrong_type),
    Fault(
        "missing-required",
        "A required property is not there, or the status where none is required.",
        alter=_missing_required,
    ),
    Fault("unknown-enum", "The status is a word that nobody knows.", alter=_unknown_enum),
    Fault("null-field", "A value is null where the schema forbids it.", alter=_null_field),
    Fault("id-as-number", "The id is a JSON number.", alter=_id_as_number),
    Fault("body-is-array", "The task stands in an array.", alter=lambda _, document: [document]),
    Fault(
        "wrong-content-type",
        "The task's answer calls itself text/plain.",
        finish=lambda _, answer: _of_type(answer, "text/plain"),
    ),
    Fault(
        "no-content-type",
        "The task's answer does not say of which type it is.",
        finish=lambda _, answer: _of_type(answer, None),
    ),
    Fault(
        "html-200",
        "A web page comes instead of the task.",
        finish=lambda _, answer: _page(answer, _answer.HTML),
    ),
    Fault(
        "html-labelled-json",
        "A web page that calls itself JSON comes instead of the task.",
        finish=lambda _, answer: _page(answer, answer.content_type or _answer.JSON),
    ),
    Fault(
        "error-envelope-200",
        "An error's document comes with status 200 instead of the task.",
        finish=_error_envelope,
    ),
    Fault("empty-200", "The task's answer has an empty body.", finish=lambda _, a: evolve(a, body=b"")),
    Fault("truncated-json", "The JSON ends in the middle, the answer does not.", finish=_truncated),
    Fault("invalid-utf8", "A byte in the task's answer is not UTF-8.", finish=_invalid_utf8),
    Fault("nan", "A number of the task is NaN, which JSON does not have.", alter=_nan),
    Fault("redirect-to-other-host", "The task's answer is a redirect to another host.", finish=_redirect),
    Fault("status-500", "A task that is there is answered with 500.", finish=_with_status(500)),
    Fault("status-418", "A task that is there is answered with 418.", finish=_with_status(418)),
    Fault(
        "missing-task-500",
        "A task that is not there is answered with 500.",
        finish=_with_status(500),
        route=Route.MISSING,
        needs=_wrong_when(Route.MISSING, _with_status(500)),
    ),
    Fault(
        "missing-task-null",
        "A task that is not there is answered with 200 and null.",
        finish=_null,
        route=Route.MISSING,
        needs=_wrong_when(Route.MISSING, _null),
    ),
    Fault(
        "missing-task-wrong-status",
        "A task that is not there is answered with another status than the contract says.",
        finish=_wrong_status,
        route=Route.MISSING,
        needs=lambda contract: bool(contract.reader.missing),
    ),
    Fault(
        "missing-task-other",
        "A task that is not there is answered with somebody else's.",
        decide=_somebody_elses,
        needs=_has_tasks,
    ),
    Fault(
        "wrong-auth-accepted",
        "A wrong credential gets the task.",
        decide=_wrong_credential_accepted,
        needs=_refuses,
    ),
    Fault(
        "auth-error-200",
        "A caller without the right credential is refused with status 200.",
        finish=_with_status(200),
        route=Route.REFUSED,
        needs=lambda contract: _refuses(contract) and _wrong_when(Route.REFUSED, _with_status(200))(contract),
    ),
    Fault(
        "auth-error-500",
        "A caller without the right credential is refused with status 500.",
        finish=_with_status(500),
        route=Route.REFUSED,
        needs=lambda contract: _refuses(contract) and _wrong_when(Route.REFUSED, _with_status(500))(contract),
    ),
    Fault("wrong-id", "The task has another task's id.", alter=_wrong_id),
    Fault(
        "seconds-not-ms",
        "Times are a thousandth of what the contract's unit makes them, or a thousandfold of seconds.",
        alter=_seconds_not_ms,
    ),
    Fault(
        "finish-before-start",
        "A task that has ended did so before it was submitted.",
        alter=_finish_before_start,
    ),
    Fault(
        "success-without-media",
        "A succeeded task has no image and no video.",
        alter=_success_without_media,
        states=_SUCCEEDED,
    ),
    Fault(
        "success-without-finish",
        "A succeeded task does not say when it finished.",
        alter=_success_without_finish,
        states=_SUCCEEDED,
    ),
    Fault(
        "success-at-50-percent",
        "A succeeded task is at 50 percent.",
        alter=_success_at_50,
        states=_SUCCEEDED,
    ),
    Fault(
        "failure-without-reason",
        "A failed task does not say why.",
        alter=_failure_without_reason,
        states=frozenset({State.FAILED}),
    ),
    Fault("progress-150", "The progress of a task is 150 percent.", alter=_progress_150),
    Fault(
        "terminal-regression",
        "A task that has ended runs again when it is read again.",
        alter=_terminal_regression,
        states=frozenset(state for state in State if state.terminal),
    ),
    Fault(
        "changes-when-read",
        "A text of a succeeded task is another one each time it is read.",
        alter=_changes_when_read,
        states=_SUCCEEDED,
    ),
    Fault(
        "secret-echoed",
        "The caller's credential stands in the task's answer.",
        alter=_echo_in_body,
        finish=_echo_in_header,
        needs=lambda contract: bool(contract.credentials),
    ),
    Fault(
        "connection-reset",
        "The connection ends in the middle of the task's answer.",
        finish=lambda _, answer: evolve(answer, cut=len(answer.body) // 2),
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
"""Every fault by its name."""
