"""What can be changed about a mock relay's answers, by faults and by dialects alike."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.semantics import State
from mjrelay_conformance.mock import response
from mjrelay_conformance.mock.response import MockRequest, MockResponse, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.contract import Contract

    Decide = Callable[[MockRequest], MockRequest]
    Alter = Callable[[MockRequest, Any], Any]
    Listed = Callable[[MockRequest, list[Any]], list[Any]]
    Finish = Callable[[MockRequest, MockResponse], MockResponse]


EVERY = frozenset(State)
TASK = frozenset({Route.TASK})


@frozen
class Behaviour:
    """
    One way in which a relay can be another than its contract's examples show.

    ``summary`` says in one sentence what the relay then does. A change acts at up to four stages: ``decide``
    changes what becomes of a request, ``alter`` the task's document (its own copy) where the task is in one
    of ``states``, ``gather`` the documents of a list, ``finish`` the answer where the request went by one of
    ``routes``. ``needs`` says whether a contract has what it takes.
    """

    name: str
    summary: str
    decide: Decide | None = field(default=None, repr=False, kw_only=True)
    alter: Alter | None = field(default=None, repr=False, kw_only=True)
    gather: Listed | None = field(default=None, repr=False, kw_only=True)
    finish: Finish | None = field(default=None, repr=False, kw_only=True)
    routes: frozenset[Route] = field(default=TASK, repr=False, kw_only=True)
    states: frozenset[State] = field(default=EVERY, repr=False, kw_only=True)
    needs: Callable[[Contract], bool] = field(default=lambda _: True, repr=False, kw_only=True)

    def applies(self, contract: Contract) -> bool:
        """Whether the contract has a place for it: whether it changes any of the contract's examples."""
        if not self.needs(contract):
            return False
        return self.alter is None or any(
            response.encode(self.altered(call, copy.deepcopy(document))) != response.encode(document)
            for call, document in examples(contract)
        )

    def decided(self, call: MockRequest) -> MockRequest:
        """What becomes of a request with this change."""
        return call if self.decide is None else self.decide(call)

    def altered(self, call: MockRequest, document: Any) -> Any:
        """A task's document with this change; the one given may be changed."""
        if self.alter is None or call.state not in self.states:
            return document
        return self.alter(call, document)

    def listed(self, call: MockRequest, documents: list[Any]) -> list[Any]:
        """The documents of a list with this change."""
        return documents if self.gather is None else self.gather(call, documents)

    def finished(self, call: MockRequest, answer: MockResponse) -> MockResponse:
        """An answer with this change."""
        if self.finish is None or call.route not in self.routes:
            return answer
        if call.route is Route.TASK and call.state not in self.states:
            return answer
        return self.finish(call, answer)


def examples(contract: Contract) -> Iterator[tuple[MockRequest, Any]]:
    """The contract's examples of tasks, each as a second request reads it in a list, with a credential."""
    reader = contract.reader
    for name, document in contract.examples.items():
        if name in set(State) and name != State.UNKNOWN and (found := reader.id(document)) not in (None, ""):
            call = MockRequest(
                contract,
                Route.TASK,
                str(found),
                State(name),
                secrets=("a secret",),
                reads=1,
                ids=(str(found),),
            )
            yield call, document
