"""Faults of lists of tasks."""

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


FAULTS = (
    Fault(
        "batch-other-task",
        "A list of tasks holds one that nobody asked for.",
        ("batch/only-asked",),
        on_request=_one_more,
        needs=_lists,
    ),
    Fault(
        "batch-differs",
        "A succeeded task is another one in a list than when it is fetched.",
        ("batch/like-single",),
        on_document=_differs_in_batch,
        states=SUCCEEDED,
        needs=_lists,
    ),
    Fault(
        "batch-null-for-missing",
        "A list of tasks holds null for each one that is missing.",
        ("batch/missing-omitted", "batch/schema"),
        on_list=lambda request, documents: [
            *documents,
            *[None] * len({*(request.ids or ())} - {*request.tasks}),
        ],
        needs=_lists,
    ),
    Fault(
        "batch-incomplete",
        "A list of tasks lacks the first of those that are there.",
        ("batch/complete",),
        on_list=lambda _, documents: documents[1:],
        needs=_lists,
    ),
    Fault(
        "batch-twice",
        "A list of tasks holds each of them twice.",
        ("batch/complete",),
        on_list=lambda _, documents: documents * 2,
        needs=_lists,
    ),
    Fault(
        "batch-500",
        "A list of tasks is answered with 500.",
        ("batch/status",),
        on_response=effects.status(500),
        routes=_BATCH,
        needs=_lists,
    ),
    Fault(
        "batch-html",
        "A web page comes instead of a list of tasks.",
        ("batch/json", "batch/status"),
        on_response=effects.page(200),
        routes=_BATCH,
        needs=_lists,
    ),
    Fault(
        "batch-wrong-type",
        "In a list of tasks a documented value has a JSON type that the schema requires_credential.",
        ("batch/schema",),
        on_document=lambda request, document: (
            effects.wrong_type(request, document) if request.ids else document
        ),
        needs=_lists,
    ),
)
