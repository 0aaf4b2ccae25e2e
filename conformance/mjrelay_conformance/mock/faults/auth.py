"""Faults of the answer to callers with the wrong credential, with none, or with a misplaced one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import REFUSED, Fault, refuses, wrong_when
from mjrelay_conformance.mock.response import MockRequest, MockResponse, Route, with_field, with_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay_conformance.mock.change import Finish


def _wrong_credential(call: MockRequest) -> MockRequest:
    return call.admitted if call.route is Route.REFUSED and call.secrets else call


def _no_credential(call: MockRequest) -> MockRequest:
    return call.admitted if call.route is Route.REFUSED and not any(_fields(call)) else call


def _other_header(call: MockRequest) -> MockRequest:
    return call.admitted if _misplaced(call) else call


def _misplaced(call: MockRequest) -> bool:
    """Whether a caller is refused who has the right credential, but in another place or form."""
    words = [value.split()[-1:] for _, value in call.request.headers]
    return call.route is Route.REFUSED and [call.key] in words


def _any_credential(call: MockRequest) -> MockRequest:
    return call.admitted if call.route is Route.REFUSED and call.task_id in call.tasks else call


def _refusal_with_task(call: MockRequest, answer: MockResponse) -> MockResponse:
    return answer if call.entitled else evolve(answer, status=401)


def _first_way_only(call: MockRequest) -> MockRequest:
    first = call.contract.credentials[0]
    return call if call.key in call.request.presented(first) else _refused(call)


def _scheme_to_the_letter(call: MockRequest) -> MockRequest:
    exact = any(
        value.startswith(one.prefix) and value.removeprefix(one.prefix).strip() == call.key
        for one in call.contract.credentials
        for value in call.request.values(one.place, one.field)
    )
    return call if exact else _refused(call)


def _login(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(with_field(with_type(answer, None), "location", "/login"), status=302, body=b"")


def _refused(call: MockRequest) -> MockRequest:
    asks = call.route in {Route.TASK, Route.BATCH, Route.MISSING}
    return evolve(call, route=Route.REFUSED) if asks else call


def _fields(call: MockRequest) -> Iterator[str]:
    """What stands in the places of credentials."""
    for one in call.contract.credentials:
        yield from call.request.values(one.place, one.field)


def _where_misplaced(finish: Finish) -> Finish:
    return lambda call, answer: finish(call, answer) if _misplaced(call) else answer


def _refusal(name: str, summary: str, finish: Finish, *breaks: str) -> Fault:
    """A fault of the answer to a caller without the right credential."""
    needs = wrong_when(Route.REFUSED, finish, breaks)
    return Fault(name, summary, breaks, finish=finish, routes=REFUSED, needs=needs)


FAULTS = (
    Fault(
        "wrong-auth-accepted",
        "A wrong credential gets the task.",
        ("auth/wrong/refused",),
        decide=_wrong_credential,
        needs=refuses,
    ),
    Fault(
        "no-auth-accepted",
        "A caller that gives no credential where one belongs gets the task.",
        ("auth/none/refused",),
        decide=_no_credential,
        needs=refuses,
    ),
    Fault(
        "other-header-accepted",
        "The right credential gets the task in whatever header it stands.",
        ("auth/misplaced/refused",),
        decide=_other_header,
        needs=refuses,
    ),
    Fault(
        "other-header-500",
        "The right credential in another header leads to 500.",
        ("auth/misplaced/no-server-error",),
        finish=_where_misplaced(effects.status(500)),
        routes=REFUSED,
        needs=refuses,
    ),
    Fault(
        "other-header-html",
        "The right credential in another header brings a web page.",
        ("auth/misplaced/answer",),
        finish=_where_misplaced(effects.page(200)),
        routes=REFUSED,
        needs=refuses,
    ),
    Fault(
        "refused-with-task",
        "A caller without the right credential gets 401, and the task with it.",
        ("auth/wrong/refused",),
        decide=_any_credential,
        finish=_refusal_with_task,
        needs=refuses,
    ),
    Fault(
        "alternative-refused",
        "Of the ways of giving a credential only the first works.",
        ("auth/alternative/works",),
        decide=_first_way_only,
        needs=lambda contract: refuses(contract) and len(contract.credentials) > 1,
    ),
    Fault(
        "scheme-case-sensitive",
        "The word before a credential counts only as the contract spells it.",
        ("auth/scheme/case", "auth/alternative/works"),
        decide=_scheme_to_the_letter,
        needs=lambda contract: refuses(contract) and any(one.prefix for one in contract.credentials),
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
