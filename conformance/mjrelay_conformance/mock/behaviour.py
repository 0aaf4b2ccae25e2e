"""The base class of faults and dialects: how a mock relay may deviate from its contract's examples."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.semantics import State
from mjrelay_conformance.mock import responses
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.contract import Contract

    RequestChange = Callable[[MockRequest], MockRequest]
    DocumentChange = Callable[[MockRequest, Any], Any]
    ListChange = Callable[[MockRequest, list[Any]], list[Any]]
    ResponseChange = Callable[[MockRequest, MockResponse], MockResponse]


EVERY = frozenset(State)
TASK = frozenset({Route.TASK})


@frozen
class Behaviour:
    """
    A deviation from the examples in a contract.

    A behaviour has up to four hooks. ``on_request`` changes how a request is routed. ``on_document`` changes
    a copy of a task's document if the task is in one of ``states``. ``on_list`` changes the documents of a
    batch. ``on_response`` changes the response if the request has one of ``routes``. ``copies`` is the number
    of tasks that a submit makes. ``needs`` returns whether a contract supports the behaviour.
    """

    name: str
    summary: str
    on_request: RequestChange | None = field(default=None, repr=False, kw_only=True)
    on_document: DocumentChange | None = field(default=None, repr=False, kw_only=True)
    on_list: ListChange | None = field(default=None, repr=False, kw_only=True)
    on_response: ResponseChange | None = field(default=None, repr=False, kw_only=True)
    routes: frozenset[Route] = field(default=TASK, repr=False, kw_only=True)
    states: frozenset[State] = field(default=EVERY, repr=False, kw_only=True)
    copies: int = field(default=1, repr=False, kw_only=True)
    needs: Callable[[Contract], bool] = field(default=lambda _: True, repr=False, kw_only=True)

    def applies(self, contract: Contract) -> bool:
        """Return whether the behaviour changes anything that the contract describes."""
        if not self.needs(contract):
            return False
        return self.on_document is None or any(
            responses.encode(self.change_document(request, copy.deepcopy(document)))
            != responses.encode(document)
            for request, document in examples(contract)
        )

    def change_request(self, request: MockRequest) -> MockRequest:
        """Return the request as this behaviour routes it."""
        return request if self.on_request is None else self.on_request(request)

    def change_document(self, request: MockRequest, document: Any) -> Any:
        """Return a task's document with this behaviour; may modify the given one."""
        if self.on_document is None or request.state not in self.states:
            return document
        return self.on_document(request, document)

    def change_list(self, request: MockRequest, documents: list[Any]) -> list[Any]:
        """Return the documents of a batch with this behaviour."""
        return documents if self.on_list is None else self.on_list(request, documents)

    def change_response(self, request: MockRequest, response: MockResponse) -> MockResponse:
        """Return the response with this behaviour."""
        if self.on_response is None or request.route not in self.routes:
            return response
        if request.route is Route.TASK and request.state not in self.states:
            return response
        return self.on_response(request, response)


def examples(contract: Contract) -> Iterator[tuple[MockRequest, Any]]:
    """Yield the contract's task examples, each with a repeated and authenticated batch request for it."""
    reader = contract.reader
    for name, document in contract.examples.items():
        if name in set(State) and name != State.UNKNOWN and (found := reader.id(document)) not in (None, ""):
            request = MockRequest(
                contract,
                Route.TASK,
                str(found),
                State(name),
                secrets=("a secret",),
                reads=1,
                ids=(str(found),),
            )
            yield request, document
