"""Faults of an answer's status, and of methods that lead to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from attrs import evolve

from mjrelay_conformance.mock import response
from mjrelay_conformance.mock.change import TASK, examples
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import MISSING, Fault, Phase, wrong_when
from mjrelay_conformance.mock.response import MockRequest, MockResponse, Route, with_type

if TYPE_CHECKING:
    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.change import Finish


_ELSEWHERE = frozenset({Route.ELSEWHERE})
_FOUND_OR_NOT = TASK | MISSING
_KNOWN_STATUS = ("fetch/known/status",)
_MEDIA_TYPE = ("fetch/200/media-type",)
_MISSING_ANSWER = "fetch/missing/answer"
_UNKNOWN_500 = ("fetch/unknown/no-server-error",)
_UNKNOWN_TASK = ("fetch/unknown/no-task",)
_LONGEST_ID = 200


def _every_second(call: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(answer, status=500) if call.reads % 2 else answer


def _forgotten(call: MockRequest) -> MockRequest:
    return evolve(call, route=Route.MISSING) if call.route is Route.TASK and call.reads else call


def _null(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(with_type(answer, response.JSON), status=200, body=b"null")


def _emptied(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(with_type(answer, None), status=200, body=b"")


def _other_missing_status(call: MockRequest, answer: MockResponse) -> MockResponse:
    described = {matcher.status for matcher in call.contract.reader.missing}
    return evolve(answer, status=next(code for code in (410, 404, 422) if code not in described))


def _somebody_elses(call: MockRequest) -> MockRequest:
    if call.route is not Route.MISSING or not call.tasks:
        return call
    return evolve(call, route=Route.TASK, task_id=call.tasks[0])


def _non_ascii_id(call: MockRequest, answer: MockResponse) -> MockResponse:
    return answer if call.task_id.isascii() else MockResponse(500)


def _long_id(call: MockRequest, answer: MockResponse) -> MockResponse:
    return answer if len(call.task_id) <= _LONGEST_ID else MockResponse(500)


def _quoted(call: MockRequest) -> MockRequest:
    return _somebody_elses(call) if "'" in call.task_id else call


def _any_method(call: MockRequest) -> MockRequest:
    if call.route is not Route.ELSEWHERE:
        return call
    return call.admitted if call.entitled else evolve(call, route=Route.REFUSED)


def _unknown_query(call: MockRequest, answer: MockResponse) -> MockResponse:
    parameters = call.contract.operation.get("parameters", [])
    known = {call.contract.resolve(one).get("name") for one in parameters}
    known |= {one.field for one in call.contract.credentials if one.place == "query"}
    return answer if {name for name, _ in call.request.query} <= known else MockResponse(500)


def _for_browsers(call: MockRequest, answer: MockResponse) -> MockResponse:
    accepted = ",".join(call.request.values("header", "accept"))
    browser = "text/html" in accepted or any(call.request.values("header", "accept-language"))
    return effects.page(200)(call, answer) if browser else answer


def _as_it_is_spelt(call: MockRequest) -> MockRequest:
    respelt = any(quote(unquote(raw), safe="") != raw for raw in call.request.path.values())
    return evolve(call, route=Route.MISSING) if call.route is Route.TASK and respelt else call


def _has_tasks(contract: Contract) -> bool:
    return any(True for _ in examples(contract))


def _no_elsewhere(contract: Contract) -> bool:
    return not contract.reader.elsewhere


def _in_path(contract: Contract) -> bool:
    return contract.reader.ask.startswith("$request.path.")


def _missing(name: str, summary: str, finish: Finish, *breaks: str) -> Fault:
    """A fault of the answer to a task that is not there."""
    needs = wrong_when(Route.MISSING, finish, breaks)
    return Fault(name, summary, breaks, finish=finish, routes=MISSING, needs=needs)


FAULTS = (
    Fault(
        "status-500", "A task that is there is answered with 500.", _KNOWN_STATUS, finish=effects.status(500)
    ),
    Fault(
        "status-502-html",
        "A task that is there is answered with 502 and a web page.",
        _KNOWN_STATUS,
        finish=effects.page(502),
    ),
    Fault(
        "status-418", "A task that is there is answered with 418.", _KNOWN_STATUS, finish=effects.status(418)
    ),
    Fault(
        "flaky-500",
        "Every second reading of a task is answered with 500.",
        _KNOWN_STATUS,
        finish=_every_second,
    ),
    Fault(
        "forgets",
        "A task is there once, and is missing when it is read again.",
        _KNOWN_STATUS,
        decide=_forgotten,
    ),
    _missing(
        "missing-task-500",
        "A task that is not there is answered with 500.",
        effects.status(500),
        *_UNKNOWN_500,
    ),
    _missing(
        "missing-task-null",
        "A task that is not there is answered with 200 and null.",
        _null,
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-empty",
        "A task that is not there is answered with 200 and an empty body.",
        _emptied,
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-html",
        "A task that is not there is answered with 200 and a web page.",
        effects.page(200),
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-wrong-status",
        "A task that is not there is answered with another status than the contract says.",
        _other_missing_status,
        _MISSING_ANSWER,
    ),
    Fault(
        "missing-task-other",
        "A task that is not there is answered with somebody else's.",
        _UNKNOWN_TASK,
        decide=_somebody_elses,
        needs=_has_tasks,
    ),
    Fault(
        "non-ascii-id-500",
        "An id with other characters than ASCII is answered with 500.",
        _UNKNOWN_500,
        finish=_non_ascii_id,
        routes=_FOUND_OR_NOT,
    ),
    Fault(
        "odd-id-500",
        "An id of more than 200 characters is answered with 500.",
        _UNKNOWN_500,
        finish=_long_id,
        routes=_FOUND_OR_NOT,
    ),
    Fault(
        "odd-id-task",
        "An id with a quotation mark in it yields somebody's task.",
        _UNKNOWN_TASK,
        decide=_quoted,
        needs=_has_tasks,
    ),
    Fault(
        "any-method-acts",
        "A request gets the task whatever its method is.",
        ("method/no-task",),
        decide=_any_method,
    ),
    Fault(
        "method-500",
        "A method that leads to nothing is answered with 500.",
        ("method/no-server-error",),
        finish=effects.status(500),
        routes=_ELSEWHERE,
    ),
    Fault(
        "method-405-without-allow",
        "A method that leads to nothing is answered with 405, without the methods that lead to something.",
        ("method/allow",),
        finish=effects.field("allow", None),
        routes=_ELSEWHERE,
        needs=_no_elsewhere,
    ),
    Fault(
        "query-500",
        "A query parameter that the contract does not know is answered with 500.",
        (*_KNOWN_STATUS, *_UNKNOWN_500),
        finish=_unknown_query,
        routes=_FOUND_OR_NOT,
        phase=Phase.FUZZ,
    ),
    Fault(
        "language-html",
        "A caller that reads web pages, or names a language, gets a web page instead of the task.",
        _MEDIA_TYPE,
        finish=_for_browsers,
        phase=Phase.FUZZ,
    ),
    Fault(
        "encoded-id-missing",
        "An id of which a character is percent-encoded without need is missing.",
        _KNOWN_STATUS,
        decide=_as_it_is_spelt,
        needs=_in_path,
        phase=Phase.FUZZ,
    ),
)
