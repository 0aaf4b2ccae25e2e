"""Faults of status codes, request methods and unusual requests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from attrs import evolve

from mjrelay.base import SettingError
from mjrelay.contract import request_problem
from mjrelay_conformance.mock import responses
from mjrelay_conformance.mock.behaviour import TASK, examples
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import MISSING, Fault, Phase, makes_undocumented
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route, with_type

if TYPE_CHECKING:
    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.behaviour import ResponseChange


_ELSEWHERE = frozenset({Route.ELSEWHERE})
_FOUND_OR_NOT = TASK | MISSING
_KNOWN_STATUS = ("fetch/known/status",)
_MEDIA_TYPE = ("fetch/200/media-type",)
_MISSING_ANSWER = "fetch/missing/answer"
_UNKNOWN_500 = ("fetch/unknown/no-server-error",)
_UNKNOWN_TASK = ("fetch/unknown/no-task",)
_LONGEST_ID = 200


def _every_second(request: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, status=500) if request.reads % 2 else response


def _forgotten(request: MockRequest) -> MockRequest:
    return evolve(request, route=Route.MISSING) if request.route is Route.TASK and request.reads else request


def _null(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(with_type(response, responses.JSON), status=200, body=b"null")


def _emptied(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(with_type(response, None), status=200, body=b"")


def _other_missing_status(request: MockRequest, response: MockResponse) -> MockResponse:
    described = {matcher.status for matcher in request.contract.reader.missing}
    return evolve(response, status=next(code for code in (410, 404, 422) if code not in described))


def _unrelated_task(request: MockRequest) -> MockRequest:
    if request.route is not Route.MISSING or not request.tasks:
        return request
    return evolve(request, route=Route.TASK, task_id=request.tasks[0])


def _non_ascii_id(request: MockRequest, response: MockResponse) -> MockResponse:
    return response if request.task_id.isascii() else MockResponse(500)


def _long_id(request: MockRequest, response: MockResponse) -> MockResponse:
    return response if len(request.task_id) <= _LONGEST_ID else MockResponse(500)


def _quoted(request: MockRequest) -> MockRequest:
    return _unrelated_task(request) if "'" in request.task_id else request


def _any_method(request: MockRequest) -> MockRequest:
    if request.route is not Route.ELSEWHERE:
        return request
    return request.with_access if request.has_access else evolve(request, route=Route.REFUSED)


def _unknown_query(request: MockRequest, response: MockResponse) -> MockResponse:
    known = {one.get("name") for one in request.contract.parameters()}
    known |= {one.field for one in request.contract.credentials if one.place == "query"}
    return response if {name for name, _ in request.received.query} <= known else MockResponse(500)


def _for_browsers(request: MockRequest, response: MockResponse) -> MockResponse:
    accepted = ",".join(request.received.values("header", "accept"))
    browser = "text/html" in accepted or any(request.received.values("header", "accept-language"))
    return effects.page(200)(request, response) if browser else response


def _literal_id(request: MockRequest) -> MockRequest:
    respelled = any(quote(unquote(raw), safe="") != raw for raw in request.received.path.values())
    return evolve(request, route=Route.MISSING) if request.route is Route.TASK and respelled else request


def _has_tasks(contract: Contract) -> bool:
    return any(True for _ in examples(contract))


def _takes_text(contract: Contract) -> bool:
    """Whether a request can carry any text as an id; the contract may declare numbers."""
    try:
        request = contract.request("'é'")
    except SettingError:
        return False
    query = request.target.partition("?")[2]
    return request_problem(contract, contract.location, query, request.headers, request.body) is None


def _no_elsewhere(contract: Contract) -> bool:
    return not contract.reader.elsewhere


def _in_path(contract: Contract) -> bool:
    return contract.reader.ask.startswith("$request.path.")


def _missing(name: str, summary: str, on_response: ResponseChange, *breaks: str) -> Fault:
    """Build a fault of the response for a missing task."""
    needs = makes_undocumented(Route.MISSING, on_response, breaks)
    return Fault(name, summary, breaks, on_response=on_response, routes=MISSING, needs=needs)


FAULTS = (
    Fault(
        "status-500",
        "Requests for an existing task return 500.",
        _KNOWN_STATUS,
        on_response=effects.status(500),
    ),
    Fault(
        "status-502-html",
        "Requests for an existing task return 502 with an HTML page.",
        _KNOWN_STATUS,
        on_response=effects.page(502),
    ),
    Fault(
        "status-418",
        "Requests for an existing task return 418.",
        _KNOWN_STATUS,
        on_response=effects.status(418),
    ),
    Fault(
        "flaky-500",
        "Every second request for a task returns 500.",
        _KNOWN_STATUS,
        on_response=_every_second,
    ),
    Fault(
        "forgets",
        "A task is returned once and is missing from then on.",
        _KNOWN_STATUS,
        on_request=_forgotten,
    ),
    _missing(
        "missing-task-500",
        "Requests for a missing task return 500.",
        effects.status(500),
        *_UNKNOWN_500,
    ),
    _missing(
        "missing-task-null",
        "Requests for a missing task return 200 with null.",
        _null,
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-empty",
        "Requests for a missing task return 200 with an empty body.",
        _emptied,
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-html",
        "Requests for a missing task return 200 with an HTML page.",
        effects.page(200),
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-wrong-status",
        "Requests for a missing task return an undocumented status code.",
        _other_missing_status,
        _MISSING_ANSWER,
    ),
    Fault(
        "missing-task-other",
        "Requests for a missing task return another task.",
        _UNKNOWN_TASK,
        on_request=_unrelated_task,
        needs=_has_tasks,
    ),
    Fault(
        "non-ascii-id-500",
        "Task ids with non-ASCII characters return 500.",
        _UNKNOWN_500,
        on_response=_non_ascii_id,
        routes=_FOUND_OR_NOT,
        needs=_takes_text,
    ),
    Fault(
        "odd-id-500",
        "Task ids of more than 200 characters return 500.",
        _UNKNOWN_500,
        on_response=_long_id,
        routes=_FOUND_OR_NOT,
    ),
    Fault(
        "odd-id-task",
        "Task ids with a quotation mark return an unrelated task.",
        _UNKNOWN_TASK,
        on_request=_quoted,
        needs=lambda contract: _has_tasks(contract) and _takes_text(contract),
    ),
    Fault(
        "any-method-acts",
        "Every request method returns the task.",
        ("method/no-task",),
        on_request=_any_method,
    ),
    Fault(
        "method-500",
        "Unsupported request methods return 500.",
        ("method/no-server-error",),
        on_response=effects.status(500),
        routes=_ELSEWHERE,
    ),
    Fault(
        "method-405-without-allow",
        "Unsupported request methods return 405 without an Allow header.",
        ("method/allow",),
        on_response=effects.header("allow", None),
        routes=_ELSEWHERE,
        needs=_no_elsewhere,
    ),
    Fault(
        "query-500",
        "Undocumented query parameters lead to 500.",
        (*_KNOWN_STATUS, *_UNKNOWN_500),
        on_response=_unknown_query,
        routes=_FOUND_OR_NOT,
        phase=Phase.FUZZ,
    ),
    Fault(
        "language-html",
        "Requests with Accept-Language or an Accept of text/html return an HTML page.",
        _MEDIA_TYPE,
        on_response=_for_browsers,
        phase=Phase.FUZZ,
    ),
    Fault(
        "encoded-id-missing",
        "A task is reported missing if its id is percent-encoded more than necessary.",
        _KNOWN_STATUS,
        on_request=_literal_id,
        needs=_in_path,
        phase=Phase.FUZZ,
    ),
)
