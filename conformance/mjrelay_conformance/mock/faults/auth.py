"""Faults of the response to requests with a wrong, missing or misplaced credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import (
    REFUSED,
    Fault,
    makes_undocumented,
    never_open,
    requires_credential,
)
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


def _in_url(request: MockRequest) -> MockRequest:
    taken = {one.field for one in request.contract.credentials if one.place == "query"}
    found = any(value == request.key and name not in taken for name, value in request.received.query)
    return request.with_access if request.route is Route.REFUSED and found else request


def _misplaced(request: MockRequest) -> bool:
    """Whether a request is refused that has the right credential in another place or form."""
    last_words = [value.split()[-1:] for _, value in request.received.headers]
    return request.route is Route.REFUSED and [request.key] in last_words


def _any_credential(request: MockRequest) -> MockRequest:
    return (
        request.with_access
        if request.route is Route.REFUSED and request.task_id in request.tasks
        else request
    )


def _refusal_with_task(request: MockRequest, response: MockResponse) -> MockResponse:
    return response if request.has_access else evolve(response, status=401)


def _first_credential_only(request: MockRequest) -> MockRequest:
    first = request.contract.credentials[0]
    return request if request.key in request.received.presented(first) else _refused(request)


def _case_sensitive_scheme(request: MockRequest) -> MockRequest:
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
    """Yield the values in the documented places of credentials."""
    for one in request.contract.credentials:
        yield from request.received.values(one.place, one.field)


def _where_misplaced(on_response: ResponseChange) -> ResponseChange:
    return lambda request, response: on_response(request, response) if _misplaced(request) else response


def _refusal(name: str, summary: str, on_response: ResponseChange, *breaks: str) -> Fault:
    """Build a fault of the response to requests without the right credential."""
    needs = makes_undocumented(Route.REFUSED, on_response, breaks)
    return Fault(name, summary, breaks, on_response=on_response, routes=REFUSED, needs=needs)


FAULTS = (
    Fault(
        "wrong-auth-accepted",
        "A wrong credential is accepted.",
        ("auth/wrong/refused",),
        on_request=_wrong_credential,
        needs=requires_credential,
    ),
    Fault(
        "no-auth-accepted",
        "Requests without a credential in the documented place are accepted.",
        ("auth/none/refused",),
        on_request=_no_credential,
        needs=never_open,
    ),
    Fault(
        "other-header-accepted",
        "The right credential is accepted in any header.",
        ("auth/misplaced/refused",),
        on_request=_other_header,
        needs=requires_credential,
    ),
    Fault(
        "key-in-url-accepted",
        "The right credential is accepted in an undocumented query parameter.",
        ("auth/misplaced/refused",),
        on_request=_in_url,
        needs=requires_credential,
    ),
    Fault(
        "other-header-500",
        "The right credential in an undocumented header returns 500.",
        ("auth/misplaced/no-server-error",),
        on_response=_where_misplaced(effects.status(500)),
        routes=REFUSED,
        needs=requires_credential,
    ),
    Fault(
        "other-header-html",
        "The right credential in an undocumented header returns an HTML page.",
        ("auth/misplaced/answer",),
        on_response=_where_misplaced(effects.page(200)),
        routes=REFUSED,
        needs=requires_credential,
    ),
    Fault(
        "refused-with-task",
        "Requests without the right credential return 401 together with the task.",
        ("auth/wrong/refused",),
        on_request=_any_credential,
        on_response=_refusal_with_task,
        needs=never_open,
    ),
    Fault(
        "alternative-refused",
        "Only the first of the documented credentials is accepted.",
        ("auth/alternative/works",),
        on_request=_first_credential_only,
        needs=lambda contract: requires_credential(contract) and len(contract.credentials) > 1,
    ),
    Fault(
        "scheme-case-sensitive",
        "The authentication scheme is compared case-sensitively.",
        ("auth/scheme/case", "auth/alternative/works"),
        on_request=_case_sensitive_scheme,
        needs=lambda contract: (
            requires_credential(contract) and any(one.prefix for one in contract.credentials)
        ),
    ),
    _refusal(
        "auth-error-200",
        "Requests without the right credential return the error with status 200.",
        effects.status(200),
        "auth/wrong/answer",
    ),
    _refusal(
        "auth-error-500",
        "Requests without the right credential return 500.",
        effects.status(500),
        "auth/wrong/no-server-error",
    ),
    _refusal(
        "auth-error-html",
        "Requests without the right credential return an HTML page.",
        effects.page(200),
        "auth/wrong/answer",
    ),
    _refusal(
        "auth-error-redirect",
        "Requests without the right credential are redirected to a login page.",
        _login,
        "auth/wrong/answer",
    ),
)
