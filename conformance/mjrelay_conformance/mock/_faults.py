"""
Named faults: the ways in which a mock relay can be wrong on purpose.

A fault finds its places through the contract, its schema and its `x-mj-task`, and touches no more than its
summary says. Unless that says otherwise it hits every task that is there, in every state.
"""

from __future__ import annotations

import copy
import difflib
import string
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import evolve, field, frozen

from mjrelay._exchange import Exchange
from mjrelay._reader import State
from mjrelay.errors import MjrelayError
from mjrelay_conformance.mock import _answer, _damage
from mjrelay_conformance.mock._answer import Answer, Call, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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


# The finished answer.


def _echo_in_header(call: Call, answer: Answer) -> Answer:
    if not call.secrets:
        return answer
    secret = quote(call.secrets[0], safe=string.punctuation, errors="replace")  # a header field bears no more
    return evolve(answer, headers=(*answer.headers, (_damage.ECHO, secret)))


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


_ALL = (
    Fault(
        "wrong-type", "A documented value has a JSON type that the schema refuses.", alter=_damage.wrong_type
    ),
    Fault(
        "missing-required",
        "A required property is not there, or the status where none is required.",
        alter=_damage.missing_required,
    ),
    Fault("unknown-enum", "The status is a word that nobody knows.", alter=_damage.unknown_enum),
    Fault("null-field", "A value is null where the schema forbids it.", alter=_damage.null_field),
    Fault("id-as-number", "The id is a JSON number.", alter=_damage.id_as_number),
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
    Fault("nan", "A number of the task is NaN, which JSON does not have.", alter=_damage.nan),
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
    Fault("wrong-id", "The task has another task's id.", alter=_damage.wrong_id),
    Fault(
        "seconds-not-ms",
        "Times are a thousandth of what the contract's unit makes them, or a thousandfold of seconds.",
        alter=_damage.seconds_not_ms,
    ),
    Fault(
        "finish-before-start",
        "A task that has ended did so before it was submitted.",
        alter=_damage.finish_before_start,
    ),
    Fault(
        "success-without-media",
        "A succeeded task has no image and no video.",
        alter=_damage.success_without_media,
        states=_SUCCEEDED,
    ),
    Fault(
        "success-without-finish",
        "A succeeded task does not say when it finished.",
        alter=_damage.success_without_finish,
        states=_SUCCEEDED,
    ),
    Fault(
        "success-at-50-percent",
        "A succeeded task is at 50 percent.",
        alter=_damage.success_at_50,
        states=_SUCCEEDED,
    ),
    Fault(
        "failure-without-reason",
        "A failed task does not say why.",
        alter=_damage.failure_without_reason,
        states=frozenset({State.FAILED}),
    ),
    Fault("progress-150", "The progress of a task is 150 percent.", alter=_damage.progress_150),
    Fault(
        "terminal-regression",
        "A task that has ended runs again when it is read again.",
        alter=_damage.terminal_regression,
        states=frozenset(state for state in State if state.terminal),
    ),
    Fault(
        "changes-when-read",
        "A text of a succeeded task is another one each time it is read.",
        alter=_damage.changes_when_read,
        states=_SUCCEEDED,
    ),
    Fault(
        "secret-echoed",
        "The caller's credential stands in the task's answer.",
        alter=_damage.echo_in_body,
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
