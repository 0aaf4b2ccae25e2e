"""The submit side of a mock relay: which submits it accepts, and its responses."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from mjrelay.http import Exchange, NotJSONError, parse_json
from mjrelay.semantics import State, SubmitOutcome
from mjrelay_conformance.mock.responses import JSON, MockRequest, MockResponse, Route, encode, type_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mjrelay.base import Location
    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay.semantics import Receipt
    from mjrelay_conformance.mock.received import ReceivedRequest

BANNED = "banned-word"
"""A prompt with this word is refused, where the contract has such an outcome."""

_WINDOW = re.compile(r"(?i)custom ?zoom|inpaint|\(region\)|remix")
"""Buttons of Midjourney that open a window. Every task has them, also where no example shows them."""


@frozen
class Accepted:
    """
    A submit that the mock accepts.

    Attributes:
        operation: The operation and the form that the request fits.
        parent: The id of the parent task, or None.
        prompt: The prompt, or None.
        token: The state token, or None.
        outcome: What the response reports: accepted, queued or needs-modal.
    """

    operation: SubmitOperation
    parent: str | None
    prompt: str | None
    token: str | None
    outcome: SubmitOutcome


@frozen
class Refused:
    """A submit that the mock refuses, with the outcomes that describe it, the best one first."""

    outcomes: tuple[SubmitOutcome, ...]


@frozen
class SubmitDesk:
    """Examines submits of one operation and writes their responses. It keeps no state."""

    contract: Contract
    location: Location
    _operations: tuple[SubmitOperation, ...] = field(init=False, repr=False)

    @_operations.default
    def _(self) -> tuple[SubmitOperation, ...]:
        return tuple(one for one in self.contract.submits if one.location == self.location)

    def examine(
        self,
        request: MockRequest,
        states: Mapping[str, State],
        buttons: Mapping[str, Sequence[str]],
        *,
        full: bool,
    ) -> Accepted | Refused:
        """
        Decide about a request with the right credential.

        Args:
            request: The request.
            states: The state of each task.
            buttons: The ids of each task's buttons.
            full: Whether the queue is full.
        """
        received = request.received
        if request.problem is not None:
            return Refused((SubmitOutcome.INVALID, SubmitOutcome.FAILED))
        operation = next((one for one in self._operations if _fits(one, received)), self._operations[0])
        form = operation.form
        values = {
            name: next(iter(received.values(one.to.kind, one.to.name)), None)
            for name, one in form.arguments.items()
            if one.to is not None and one.to.kind != "server"
        }
        described = {one for one, _, _ in form.answer.outcomes}
        if BANNED in (values.get("prompt") or "") and SubmitOutcome.BANNED in described:
            return Refused((SubmitOutcome.BANNED,))
        parent, button = values.get("task"), values.get("button")
        if parent is not None and (refused := self._parent_problem(form.action, parent, states)) is not None:
            return refused
        outcome = SubmitOutcome.ACCEPTED
        if form.action == "press":
            known = buttons.get(parent or "", ())
            placement = form.arguments["button"]
            checked = placement.to is not None and not placement.values
            if checked and button not in known and not _WINDOW.search(button or ""):
                return Refused((SubmitOutcome.BUTTON_REFUSED, SubmitOutcome.INVALID, SubmitOutcome.FAILED))
            if SubmitOutcome.ACCEPTED not in described or (
                SubmitOutcome.NEEDS_MODAL in described and _WINDOW.search(button or "")
            ):
                outcome = SubmitOutcome.NEEDS_MODAL
        if full:
            return Refused((SubmitOutcome.QUEUE_FULL, SubmitOutcome.RATE_LIMITED, SubmitOutcome.OVERLOADED))
        return Accepted(operation, parent, values.get("prompt"), values.get("state"), outcome)

    def _parent_problem(self, action: str, parent: str, states: Mapping[str, State]) -> Refused | None:
        if parent not in states:
            return Refused((SubmitOutcome.PARENT_MISSING, SubmitOutcome.INVALID, SubmitOutcome.FAILED))
        if action == "press" and states[parent] is not State.SUCCEEDED:
            return Refused((SubmitOutcome.PARENT_NOT_READY, SubmitOutcome.INVALID, SubmitOutcome.FAILED))
        waits = State.NEEDS_INPUT.value in self.contract.examples
        if action == "modal" and waits and states[parent] is not State.NEEDS_INPUT:
            return Refused((SubmitOutcome.INVALID, SubmitOutcome.FAILED))
        return None

    def accepted(self, outcome: SubmitOutcome, task_id: str) -> MockResponse:
        """Build the response to an accepted submit, with the id of the new task."""
        found = self.example((outcome, SubmitOutcome.ACCEPTED))
        if found is None:
            return MockResponse(200)
        status, media_type, example = found
        document = copy.deepcopy(example)
        for old in self._operations[0].form.answer.ids(example):
            document = replaced(document, old, task_id)
        return MockResponse(status, type_header(media_type), encode(document))

    def refused(self, refused: Refused) -> MockResponse:
        """Build the response to a refused submit: the first outcome that the contract describes."""
        found = self.example(refused.outcomes)
        if found is not None:
            status, media_type, example = found
            return MockResponse(status, type_header(media_type), encode(example))
        for outcome in refused.outcomes:
            for one, matcher, _ in self._operations[0].form.answer.outcomes:
                if one is outcome and matcher.where is None:
                    return MockResponse(matcher.status)
        return MockResponse(400, type_header(JSON), encode({}))

    def example(self, outcomes: Sequence[SubmitOutcome]) -> tuple[int, str, Any] | None:
        """Return the first example of the first of these outcomes that has one."""
        for outcome in outcomes:
            for status, media_type, name, example in self._examples():
                exchange = Exchange("POST", "", status=status, body=json.dumps(example).encode())
                exact = name == outcome.value or name.startswith(f"{outcome.value}-")
                if exact and self._operations[0].form.answer.read(exchange).outcome is outcome:
                    return status, media_type, example
        return None

    def _examples(self) -> Iterator[tuple[int, str, str, Any]]:
        _, path, method = self.location
        for status in self.contract.document["paths"][path][method].get("responses", {}):
            if status.isdecimal():
                for media_type, media in self.contract.content(int(status), self.location).items():
                    for name, reference in media.get("examples", {}).items():
                        example = self.contract.resolve(reference)
                        if "value" in example:
                            yield int(status), media_type, name, example["value"]


def _fits(operation: SubmitOperation, received: ReceivedRequest) -> bool:
    """Return whether a request has the constants of a form and values for its arguments."""
    form = operation.form
    constants = all(
        place.kind != "body" or str(value) in received.values("body", place.name)
        for place, value in form.constants
        if place.text not in {one.to.text for one in form.arguments.values() if one.to is not None}
    )
    needed = [one.to for name, one in form.arguments.items() if name in {"task", "button"} and one.to]
    return constants and all(received.values(place.kind, place.name) for place in needed)


def replaced(node: Any, old: str, new: str) -> Any:
    """Return a document with another id, also where it is a number."""
    match node:
        case str():
            return new if node == old else node
        case bool() | None:
            return node
        case int() | float():
            return (int(new) if new.isdecimal() else new) if str(node) == old else node
        case dict():
            return {name: replaced(value, old, new) for name, value in node.items()}
        case list():
            return [replaced(value, old, new) for value in node]
        case _:
            return node


def accepted_example(contract: Contract, *made: str) -> tuple[MockRequest, MockResponse] | None:
    """Return an imagine that is accepted, with the ids of its tasks, and its response; None without one."""
    operation = next((one for one in contract.submits if one.form.action == "imagine"), None)
    if operation is None or not operation.form.answer.makes_tasks:
        return None
    desk = SubmitDesk(contract, operation.location)
    if desk.example((SubmitOutcome.ACCEPTED,)) is None:
        return None
    request = MockRequest(contract, Route.SUBMIT, submit=operation.location, made=made)
    return request, desk.accepted(SubmitOutcome.ACCEPTED, made[0])


def rewritten(response: MockResponse, change: Callable[[Any], Any]) -> MockResponse:
    """Return a response with another document; unchanged if its body is no JSON object."""
    try:
        document = parse_json(response.body)
    except NotJSONError:
        return response
    if not isinstance(document, dict):
        return response
    return evolve(response, body=encode(change(document)))


def read_receipt(request: MockRequest, response: MockResponse) -> Receipt:
    """Return what the response to a submit means."""
    operation = next(one for one in request.contract.submits if one.location == request.submit)
    exchange = Exchange(
        operation.method, "", status=response.status, headers=response.headers, body=response.body
    )
    return operation.form.answer.read(exchange)


def example_of(contract: Contract, action: str) -> str | None:
    """Return the name of the example that shows a finished task of an action; None for the usual one."""
    reader = contract.reader
    for name, document in contract.examples.items():
        succeeded = reader.state(document) is State.SUCCEEDED
        suits = {
            "describe": bool(reader.prompts(document)),
            "shorten": bool(reader.prompts(document)),
            "video": bool(reader.videos(document)),
        }
        if succeeded and suits.get(action, False):
            return name
    return None
