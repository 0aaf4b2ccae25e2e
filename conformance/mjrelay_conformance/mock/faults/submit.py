"""Faults of submits, each of which loses money for a client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay.contract import submit_request, value_problems, without_prompt
from mjrelay.http import Exchange, NotJSONError
from mjrelay.semantics import State, SubmitOutcome
from mjrelay_conformance.mock import responses, slots, submits, writer
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import Fault, Phase, never_open
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route, with_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.base import Location
    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.behaviour import ResponseChange


_ROUTES = frozenset({Route.SUBMIT})
_ID, _OTHER_ID = "1730621826053455", "1730621826053466"


def _after_acceptance(change: ResponseChange) -> ResponseChange:
    return lambda request, response: change(request, response) if request.made else response


def _rewritten(change: Callable[[MockRequest, Any], Any]) -> ResponseChange:
    """Return a hook that changes the document of an accepted submit."""
    return lambda request, response: submits.rewritten(response, partial(change, request))


def _id_replaced(value: Callable[[str], Any]) -> ResponseChange:
    """Return a hook that writes another value where the id is."""

    def change(request: MockRequest, document: Any) -> Any:
        for location, found in list(slots.walk(document)):
            if str(found) == request.made[0]:
                writer.set_value(document, location, value(request.made[0]))
        return document

    return _rewritten(change)


def _number(task_id: str) -> Any:
    return int(task_id) if task_id.isdecimal() else 17


def _code_as_text(_: MockRequest, document: Any) -> Any:
    code = next((name for name, value in document.items() if type(value) is int), None)
    return document if code is None else {**document, code: str(document[code])}


def _other_id(task_id: str) -> Any:
    return task_id[:-1] + ("1" if task_id[-1] != "1" else "2")


def _token_lost(request: MockRequest, document: Any) -> Any:
    writer.set_text(document, request.contract.reader.token_path, "another")
    return document


def _wrong_key(request: MockRequest) -> MockRequest:
    refused = request.submit is not None and request.route is Route.REFUSED
    return request.with_access if refused else request


def _any_body(request: MockRequest) -> MockRequest:
    return request if request.submit is None else evolve(request, problem=None)


def _non_ascii(change: ResponseChange) -> ResponseChange:
    """Return a hook for submits with text other than ASCII, which JSON may escape."""

    def changed(request: MockRequest, response: MockResponse) -> MockResponse:
        body = request.received.body
        return response if body.isascii() and b"\\u" not in body else change(request, response)

    return changed


def _where_invalid(change: ResponseChange) -> ResponseChange:
    return lambda request, response: change(request, response) if request.problem else response


def _accepts(contract: Contract) -> bool:
    return submits.accepted_example(contract, _ID) is not None


def _checks_bodies(contract: Contract) -> bool:
    """Whether the contract requires a prompt in the body of an imagine."""
    if not _accepts(contract):
        return False
    operation, request = submit_request(contract, "imagine", {"prompt": "a pig"}, {})
    return without_prompt(contract, operation, request) is not None


def _confirms(*outcomes: SubmitOutcome) -> Callable[[Contract], bool]:
    """Return a condition: a button opens a window, and the contract describes such a refusal of a modal."""

    def able(contract: Contract) -> bool:
        opens = any(
            outcome is SubmitOutcome.NEEDS_MODAL
            for one in contract.submits
            if one.form.action == "press"
            for outcome, _, _ in one.form.answer.outcomes
        )
        waits = opens and State.NEEDS_INPUT.value in contract.examples
        return waits and any(desk.example(outcomes) is not None for desk in _modal_desks(contract))

    return able


def _modal_desks(contract: Contract) -> list[submits.SubmitDesk]:
    modal = [one.location for one in contract.submits if one.form.action == "modal"]
    return [submits.SubmitDesk(contract, location) for location in modal]


def _unconfirmed(*outcomes: SubmitOutcome) -> ResponseChange:
    """Return a hook that refuses accepted modals."""

    def changed(request: MockRequest, response: MockResponse) -> MockResponse:
        desk = next((one for one in _modal_desks(request.contract) if one.location == request.submit), None)
        return response if desk is None else desk.refused(submits.Refused(outcomes))

    return _after_acceptance(changed)


def _lists(contract: Contract) -> bool:
    lookup = contract.reader.lookup
    return _accepts(contract) and lookup is not None and lookup.by == "state"


def _noticed(change: ResponseChange) -> Callable[[Contract], bool]:
    """Return a condition: whether a changed response contradicts the contract."""

    def wrong(contract: Contract) -> bool:
        found = submits.accepted_example(contract, _ID, _OTHER_ID)
        if found is None:
            return False
        request, right = found
        response = change(request, right)
        exchange = Exchange("POST", "", status=response.status, headers=response.headers, body=response.body)
        receipt = submits.read_receipt(request, response)
        unknown = receipt.outcome is SubmitOutcome.UNKNOWN
        return response != right and (unknown or _violates(contract, exchange, request.submit))

    return wrong


def _violates(contract: Contract, exchange: Exchange, operation: Location | None) -> bool:
    """Return whether a response contradicts the schemas that an operation documents for its status."""
    content = contract.content(exchange.status or 0, operation).values()
    schemas = [media["schema"] for media in content if "schema" in media]
    try:
        document = exchange.document
    except NotJSONError:
        return True
    return bool(schemas) and any(value_problems(contract, {"anyOf": schemas}, document))


def _answer(name: str, summary: str, change: ResponseChange, *breaks: str) -> Fault:
    """Build a fault of the response to an accepted submit."""
    return Fault(
        name,
        summary,
        breaks,
        on_response=_after_acceptance(change),
        routes=_ROUTES,
        needs=_noticed(change),
    )


FAULTS = (
    Fault(
        "submit-cut",
        "The connection closes during the response to an accepted submit.",
        ("fetch/transfer",),
        on_response=_after_acceptance(lambda _, response: evolve(response, cut=len(response.body) // 2)),
        routes=_ROUTES,
        needs=_accepts,
    ),
    _answer(
        "submit-504", "Accepted submits return 504.", effects.page(504), "submit/outcome", "submit/schema"
    ),
    _answer(
        "submit-empty",
        "Accepted submits return 200 with an empty body.",
        lambda _, response: evolve(response, body=b""),
        "submit/schema",
    ),
    _answer(
        "submit-html",
        "Accepted submits return an HTML page.",
        effects.page(200),
        "submit/schema",
    ),
    _answer(
        "submit-id-number",
        "The id in the response to a submit is a number instead of text.",
        _id_replaced(_number),
        "submit/schema",
    ),
    _answer(
        "submit-id-list",
        "The response to a submit has a list of ids instead of one.",
        _id_replaced(lambda task_id: [task_id, _other_id(task_id)]),
        "submit/schema",
        "submit/one-task",
    ),
    _answer(
        "submit-id-null",
        "Accepted submits return null instead of an id.",
        _id_replaced(lambda _: None),
        "submit/outcome",
        "submit/schema",
    ),
    _answer(
        "submit-code-text",
        "The code in the response to a submit is text instead of a number.",
        _rewritten(_code_as_text),
        "submit/schema",
    ),
    Fault(
        "submit-media-type",
        "Accepted submits return their JSON as text/html.",
        ("submit/media-type",),
        on_response=_after_acceptance(lambda _, response: with_type(response, responses.HTML)),
        routes=_ROUTES,
        needs=_accepts,
    ),
    Fault(
        "submit-id-wrong",
        "The id in the response to a submit is not that of the new task.",
        ("submit/fetchable",),
        on_response=_after_acceptance(_id_replaced(_other_id)),
        routes=_ROUTES,
        needs=_accepts,
    ),
    Fault(
        "submit-token-lost",
        "A task has another state token than its submit.",
        ("submit/token",),
        on_document=_token_lost,
        needs=lambda contract: _accepts(contract) and contract.reader.echoes_token,
    ),
    Fault(
        "submit-twice",
        "A submit makes two tasks with the same state token, and returns the id of one.",
        ("submit/one-task",),
        copies=2,
        needs=_lists,
    ),
    Fault(
        "submit-wrong-auth",
        "Submits with a wrong credential are accepted.",
        ("submit/refused",),
        on_request=_wrong_key,
        needs=lambda contract: never_open(contract) and _accepts(contract),
    ),
    Fault(
        "submit-auth-html",
        "Submits with a wrong credential return an HTML page.",
        ("submit/schema", "submit/refusal"),
        on_response=lambda request, response: (
            response if request.submit is None else effects.page(200)(request, response)
        ),
        routes=frozenset({Route.REFUSED}),
        needs=lambda contract: never_open(contract) and _accepts(contract),
    ),
    Fault(
        "submit-unchecked",
        "Submits with an invalid body are accepted.",
        ("submit/refused",),
        on_request=_any_body,
        needs=_checks_bodies,
    ),
    Fault(
        "submit-invalid-500",
        "Submits with an invalid body return 500.",
        ("submit/refusal",),
        on_response=_where_invalid(lambda _, __: MockResponse(500)),
        routes=_ROUTES,
        needs=_checks_bodies,
    ),
    Fault(
        "modal-missing",
        "A modal of a task that waits for it is refused as that of a missing task.",
        ("submit/window",),
        on_response=_unconfirmed(SubmitOutcome.PARENT_MISSING),
        routes=_ROUTES,
        needs=_confirms(SubmitOutcome.PARENT_MISSING),
    ),
    Fault(
        "modal-invalid",
        "A modal of a task that waits for it is refused as invalid.",
        ("submit/window",),
        on_response=_unconfirmed(SubmitOutcome.INVALID, SubmitOutcome.FAILED),
        routes=_ROUTES,
        needs=_confirms(SubmitOutcome.INVALID, SubmitOutcome.FAILED),
    ),
    Fault(
        "submit-non-ascii-500",
        "Submits with text other than ASCII return 500.",
        ("submit/outcome", "submit/schema"),
        on_response=_after_acceptance(_non_ascii(effects.page(500))),
        routes=_ROUTES,
        needs=_noticed(effects.page(500)),
        phase=Phase.FUZZ,
    ),
)
