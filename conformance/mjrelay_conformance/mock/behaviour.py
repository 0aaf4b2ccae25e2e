"""What can be changed about a mock relay's answers, by faults and by dialects alike."""

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
    One way in which a relay can be another than its contract's examples show.

    ``summary`` says in one sentence what the relay then does. A change acts at up to four stages: ``decide``
    changes what becomes of a request, ``alter`` the task's document (its own copy) where the task is in one
    of ``states``, ``gather`` the documents of a list, ``finish`` the response where the request went by one of
    ``routes``. ``needs`` says whether a contract has what it takes.
    """

    name: str
    summary: str
    on_request: RequestChange | None = field(default=None, repr=False, kw_only=True)
    on_document: DocumentChange | None = field(default=None, repr=False, kw_only=True)
    on_list: ListChange | None = field(default=None, repr=False, kw_only=True)
    on_response: ResponseChange | None = field(default=None, repr=False, kw_only=True)
    routes: frozenset[Route] = field(default=TASK, repr=False, kw_only=True)
    states: frozenset[State] = field(default=EVERY, repr=False, kw_only=True)
    needs: Callable[[Contract], bool] = field(default=lambda _: True, repr=False, kw_only=True)

    def applies(self, contract: Contract) -> bool:
        """Whether the contract has a place for it: whether it changes any of the contract's examples."""
        if not self.needs(contract):
            return False
        return self.on_document is None or any(
            responses.encode(self.change_document(request, copy.deepcopy(document)))
            != responses.encode(document)
            for request, document in examples(contract)
        )

    def change_request(self, request: MockRequest) -> MockRequest:
        """What becomes of a request with this change."""
        return request if self.on_request is None else self.on_request(request)

    def change_document(self, request: MockRequest, document: Any) -> Any:
        """A task's document with this change; the one given may be changed."""
        if self.on_document is None or request.state not in self.states:
            return document
        return self.on_document(request, document)

    def change_list(self, request: MockRequest, documents: list[Any]) -> list[Any]:
        """The documents of a list with this change."""
        return documents if self.on_list is None else self.on_list(request, documents)

    def change_response(self, request: MockRequest, response: MockResponse) -> MockResponse:
        """An response with this change."""
        if self.on_response is None or request.route not in self.routes:
            return response
        if request.route is Route.TASK and request.state not in self.states:
            return response
        return self.on_response(request, response)


def examples(contract: Contract) -> Iterator[tuple[MockRequest, Any]]:
    """The contract's examples of tasks, each as a second request reads it in a list, with a credential."""
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
