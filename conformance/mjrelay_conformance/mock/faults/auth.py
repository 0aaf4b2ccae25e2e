"""Faults of the response to callers with the wrong credential, with none, or with a misplaced one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import REFUSED, Fault, makes_undocumented, requires_credential
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route, with_header, with_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay_conformance.mock.behaviour import ResponseChange


def _wrong_credential(request: MockRequest) -> MockRequest:
    return request.with_access if request.route is Route.REFUSED and request.secrets else request


def _no_credential(request: MockRequest) -> MockRequest:
    return request.with_access if request.route is Route.REFUSED and not any(_fields(request)) else request


def _other_header(request: MockRequest) -> MockRequest:
    return request.with_access if _misplaced(request) else request


def _misplaced(request: MockRequest) -> bool:
    """Whether a caller is refused who has the right credential, but in another place or form."""
    words = [value.split()[-1:] for _, value in request.received.headers]
    return request.route is Route.REFUSED and [request.key] in words


def _any_credential(request: MockRequest) -> MockRequest:
    return (
        request.with_access
        if request.route is Route.REFUSED and request.task_id in request.tasks
        else request
    )


def _refusal_with_task(request: MockRequest, response: MockResponse) -> MockResponse:
    return response if request.has_access else evolve(response, status=401)


def _first_way_only(request: MockRequest) -> MockRequest:
    first = request.contract.credentials[0]
    return request if request.key in request.received.presented(first) else _refused(request)


def _scheme_to_the_letter(request: MockRequest) -> MockRequest:
    exact = any(
        value.startswith(one.prefix) and value.removeprefix(one.prefix).strip() == request.key
        for one in request.contract.credentials
        for value in request.received.values(one.place, one.field)
    )
    return request if exact else _refused(request)


def _login(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(with_header(with_type(response, None), "location", "/login"), status=302, body=b"")


def _refused(request: MockRequest) -> MockRequest:
    asks = request.route in {Route.TASK, Route.BATCH, Route.MISSING}
    return evolve(request, route=Route.REFUSED) if asks else request


def _fields(request: MockRequest) -> Iterator[str]:
    """What stands in the places of credentials."""
    for one in request.contract.credentials:
        yield from request.received.values(one.place, one.field)


def _where_misplaced(on_response: ResponseChange) -> ResponseChange:
    return lambda request, response: on_response(request, response) if _misplaced(request) else response


def _refusal(name: str, summary: str, on_response: ResponseChange, *breaks: str) -> Fault:
    """A fault of the response to a caller without the right credential."""
    needs = makes_undocumented(Route.REFUSED, on_response, breaks)
    return Fault(name, summary, breaks, on_response=on_response, routes=REFUSED, needs=needs)


FAULTS = (
    Fault(
        "wrong-auth-accepted",
        "A wrong credential gets the task.",
        ("auth/wrong/refused",),
        on_request=_wrong_credential,
        needs=requires_credential,
    ),
    Fault(
        "no-auth-accepted",
        "A caller that gives no credential where one belongs gets the task.",
        ("auth/none/refused",),
        on_request=_no_credential,
        needs=requires_credential,
    ),
    Fault(
        "other-header-accepted",
        "The right credential gets the task in whatever header it stands.",
        ("auth/misplaced/refused",),
        on_request=_other_header,
        needs=requires_credential,
    ),
    Fault(
        "other-header-500",
        "The right credential in another header leads to 500.",
        ("auth/misplaced/no-server-error",),
        on_response=_where_misplaced(effects.status(500)),
        routes=REFUSED,
        needs=requires_credential,
    ),
    Fault(
        "other-header-html",
        "The right credential in another header brings a web page.",
        ("auth/misplaced/answer",),
        on_response=_where_misplaced(effects.page(200)),
        routes=REFUSED,
        needs=requires_credential,
    ),
    Fault(
        "refused-with-task",
        "A caller without the right credential gets 401, and the task with it.",
        ("auth/wrong/refused",),
        on_request=_any_credential,
        on_response=_refusal_with_task,
        needs=requires_credential,
    ),
    Fault(
        "alternative-refused",
        "Of the ways of giving a credential only the first works.",
        ("auth/alternative/works",),
        on_request=_first_way_only,
        needs=lambda contract: requires_credential(contract) and len(contract.credentials) > 1,
    ),
    Fault(
        "scheme-case-sensitive",
        "The word before a credential counts only as the contract spells it.",
        ("auth/scheme/case", "auth/alternative/works"),
        on_request=_scheme_to_the_letter,
        needs=lambda contract: (
            requires_credential(contract) and any(one.prefix for one in contract.credentials)
        ),
    ),
    _refusal(
        "auth-error-200",
        "A caller without the right credential is refused with status 200.",
        effects.status(200),
        "auth/wrong/answer",
    ),
    _refusal(
        "auth-error-500",
        "A caller without the right credential is refused with status 500.",
        effects.status(500),
        "auth/wrong/no-server-error",
    ),
    _refusal(
        "auth-error-html",
        "A caller without the right credential gets a web page.",
        effects.page(200),
        "auth/wrong/answer",
    ),
    _refusal(
        "auth-error-redirect",
        "A caller without the right credential is sent to a page where people log in.",
        _login,
        "auth/wrong/answer",
    ),
)
