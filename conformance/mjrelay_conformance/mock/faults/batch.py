"""Faults of batch responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import SUCCEEDED, Fault
from mjrelay_conformance.mock.responses import MockRequest, Route

if TYPE_CHECKING:
    from mjrelay.contract import Contract


_BATCH = frozenset({Route.BATCH})


def _differs_in_batch(request: MockRequest, document: Any) -> Any:
    return effects.changes_when_read(request, document) if request.ids else document


def _one_more(request: MockRequest) -> MockRequest:
    other = next((id_ for id_ in request.tasks if id_ not in (request.ids or ())), None)
    if request.route is not Route.BATCH or other is None:
        return request
    return evolve(request, ids=(*(request.ids or ()), other))


def _lists(contract: Contract) -> bool:
    return contract.batch is not None


def _elsewhere(request: MockRequest) -> MockRequest:
    return request if request.ids is None else evolve(request, route=Route.ELSEWHERE)


FAULTS = (
    Fault(
        "batch-absent",
        "There is no batch endpoint.",
        ("batch/status", "batch/json"),
        on_request=_elsewhere,
        needs=_lists,
    ),
    Fault(
        "batch-other-task",
        "A batch response contains a task that was not requested.",
        ("batch/only-asked",),
        on_request=_one_more,
        needs=_lists,
    ),
    Fault(
        "batch-differs",
        "A succeeded task differs between a batch response and a single response.",
        ("batch/like-single",),
        on_document=_differs_in_batch,
        states=SUCCEEDED,
        needs=_lists,
    ),
    Fault(
        "batch-null-for-missing",
        "A batch response contains null for each missing task.",
        ("batch/missing-omitted", "batch/schema"),
        on_list=lambda request, documents: [
            *documents,
            *[None] * len({*(request.ids or ())} - {*request.tasks}),
        ],
        needs=_lists,
    ),
    Fault(
        "batch-incomplete",
        "A batch response omits the first existing task.",
        ("batch/complete",),
        on_list=lambda _, documents: documents[1:],
        needs=_lists,
    ),
    Fault(
        "batch-twice",
        "A batch response contains each task twice.",
        ("batch/complete",),
        on_list=lambda _, documents: documents * 2,
        needs=_lists,
    ),
    Fault(
        "batch-500",
        "Batch requests return 500.",
        ("batch/status",),
        on_response=effects.status(500),
        routes=_BATCH,
        needs=_lists,
    ),
    Fault(
        "batch-html",
        "Batch requests return an HTML page.",
        ("batch/json", "batch/status"),
        on_response=effects.page(200),
        routes=_BATCH,
        needs=_lists,
    ),
    Fault(
        "batch-wrong-type",
        "A documented value in a batch response has a JSON type that violates the schema.",
        ("batch/schema",),
        on_document=lambda request, document: (
            effects.wrong_type(request, document) if request.ids else document
        ),
        needs=_lists,
    ),
)
