"""
The stateful phase: Schemathesis generates submits, and follows links to fetches, presses and fetches again.

The OpenAPI links are made from `x-mj-submit` and `x-mj-task`, since OpenAPI's runtime expressions cannot say
where every relay puts an id. So the response that Schemathesis gets is not the relay's: it holds what our
readers found in it, as the values of the requests that may come next.
"""

from __future__ import annotations

import contextlib
import copy
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import hypothesis
import requests
import schemathesis
from attrs import define, field
from schemathesis.errors import NoLinksFound, SerializationNotPossible

from mjrelay.base import SettingError, pointer_steps
from mjrelay.contract import Parent, declared_body, request_problem, submit_request
from mjrelay.http import Request, is_form, parse_json
from mjrelay.semantics import MEDIA, State, body_with, parse_expression
from mjrelay_conformance.drivers.cases import CONTAINERS, load_paths
from mjrelay_conformance.drivers.plan import Step
from mjrelay_conformance.judging import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.base import Location
    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay_conformance.drivers.cases import Generated
    from mjrelay_conformance.judging import Observation

_SCENARIOS = 10
"""Maximum number of scenarios of a seed. Those in which Schemathesis does not follow a link send nothing."""
_SEEDS = 4
"""Maximum number of seeds."""
_STEPS = 8
"""Maximum number of requests of a scenario."""
_UNSENT = (*MEDIA, "callback", "secret")
"""Arguments that are not generated: the relay would request their URLs, or keep them."""
_HEADERS = (("Accept", "application/json"), ("Content-Type", "application/json"))
_ENDS = (
    hypothesis.errors.Flaky,  # a scenario goes on in another way than before, as with any server
    hypothesis.errors.Unsatisfiable,  # no value matches the schema of a submit
    NoLinksFound,  # the schema of every submit is unusable
    SerializationNotPossible,  # no body has a media type that Schemathesis can write
)
"""Errors that end the scenarios of a seed and not the run: a user's contract may have no usable links."""
_REQUEST = requests.Request("GET", "http://localhost/").prepare()


def run(
    contract: Contract,
    observe: Callable[[Step], Observation | None],
    *,
    authenticated: Callable[[Request], Request],
    submits: int,
    seed: int,
) -> None:
    """
    Send generated submits, fetch their tasks, press their buttons, and fetch again.

    Args:
        contract: The contract of the relay.
        observe: Sends and judges a step; returns None if no more requests may be sent.
        authenticated: Adds the caller's credential to a request.
        submits: Maximum number of submits.
        seed: The random seed. It does not determine which links Schemathesis follows.
    """
    workflow = _Workflow(contract, observe, authenticated, submits)
    if not workflow.sources:
        return
    schema = load_paths(contract, workflow.paths())
    schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            workflow.begin()

        def call(self, case: Generated, **_: Any) -> schemathesis.Response:
            return _shown(workflow.answer(case))

        def validate_response(self, *_: Any, **__: Any) -> None:
            """The exchange was judged when it was sent."""

    settings = hypothesis.settings(
        max_examples=_SCENARIOS,
        stateful_step_count=_STEPS,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    for number in range(_SEEDS):
        if workflow.left and not workflow.errors:
            with contextlib.suppress(*_ENDS):
                hypothesis.seed(f"{seed} {number}")(Machine).run(settings=settings)
    if workflow.errors:
        raise workflow.errors[0]


@define
class _Workflow:
    """
    The operations of a contract as paths with links, and the responses that let Schemathesis follow them.

    Attributes:
        contract: The contract of the relay.
        observe: Sends and judges a step.
        authenticated: Adds the caller's credential to a request.
        left: How many submits may still be sent.
        sources: The operations that need no earlier task, by location.
        presses: The operations that press a button, by location.
        errors: Exceptions of the suite itself; the first one ends the phase.
    """

    contract: Contract
    observe: Callable[[Step], Observation | None]
    authenticated: Callable[[Request], Request]
    left: int
    sources: dict[Location, SubmitOperation] = field(init=False)
    presses: dict[Location, SubmitOperation] = field(init=False)
    errors: list[Exception] = field(factory=list, init=False)
    _made: dict[str, SubmitOperation] = field(factory=dict, init=False)
    _offers: list[tuple[Location, dict[str, Any]]] = field(factory=list, init=False)
    _drawn: bool = field(default=False, init=False)
    _due: tuple[str, ...] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        self.sources, self.presses = self._of("imagine"), self._of("press")

    def _of(self, action: str) -> dict[Location, SubmitOperation]:
        """Return the operations of an action that make tasks and whose values are all in a JSON body."""
        return {
            one.location: one
            for one in reversed(self.contract.submits)
            if one.form.action == action
            and one.form.answer.makes_tasks
            and "{" not in one.path
            and not any(map(is_form, declared_body(self.contract, one.location)[1]))
        }

    def paths(self) -> dict[str, Any]:
        """Return the paths of the operations, with links instead of the documented responses."""
        place, name = parse_expression(self.contract.reader.ask)
        target = (
            {"requestBody": "$response.body#/body"}
            if place == "body"
            else {"parameters": {f"{place}.{name}": "$response.body#/id"}}
        )
        fetch = {"fetch": {"operationId": "fetch", **target}}
        presses = {
            name: {"operationId": name, "requestBody": f"$response.body#/{name}"}
            for name in (self._name(one) for one in self.presses)
        }
        paths: dict[str, Any] = {}
        for location in (self.contract.location, *(self.sources | self.presses)):
            _, path, method = location
            item = self.contract.document["paths"][path]
            links = presses if location == self.contract.location else fetch
            paths.setdefault(str(path), {"parameters": item.get("parameters", [])})[str(method)] = {
                **item[method],
                "operationId": self._name(location),
                "security": [],
                "responses": {
                    "200": {"description": "What our readers found.", "links": links},
                    "400": {"description": "Nothing to follow."},
                },
            }
        return paths

    def _name(self, location: Location) -> str:
        """Return the name of an operation in the links."""
        if location == self.contract.location:
            return "fetch"
        return f"submit{[*(self.sources | self.presses)].index(location)}"

    def begin(self) -> None:
        """
        Begin a scenario.

        It draws once, then presses buttons, and fetches a task of each submit before the next submit.
        """
        self._drawn, self._due = False, ()

    def answer(self, case: Generated) -> dict[str, Any] | None:
        """Send a case if it may be sent; return the values of the requests that may follow."""
        if self.errors:
            return None
        try:
            location: Location = ("paths", case.operation.path, case.operation.method)
            return self._fetch(case) if location == self.contract.location else self._submit(case, location)
        except Exception as error:  # noqa: BLE001 - Hypothesis would repeat a case to confirm the error
            self.errors.append(error)
            return None

    def _submit(self, case: Generated, location: Location) -> dict[str, Any] | None:
        operation = (self.sources | self.presses)[location]
        request = self._request(case, operation)
        if request is None or self.left < 1 or self._due or (self._drawn and location not in self.presses):
            return None
        self.left -= 1
        self._drawn = True
        step = Step(Kind.SUBMIT, "", None, self.authenticated(request), "generated", submit=operation)
        seen = self.observe(step)
        if seen is None or seen.receipt is None or not seen.receipt.outcome.accepted:
            return None
        self._due = seen.receipt.ids
        self._made.update(dict.fromkeys(seen.receipt.ids, operation))
        task_id = next(iter(seen.receipt.ids), None)
        if task_id is None:
            return None
        body = self.contract.request(task_id).body
        return {"id": task_id, "body": parse_json(body) if body else None}

    def _request(self, case: Generated, operation: SubmitOperation) -> Request | None:
        """Return the submit of a case, or None if the contract does not accept it or no link led to it."""
        if not isinstance(case.body, dict):
            return None
        form, body = operation.form, copy.deepcopy(case.body)
        for name in _UNSENT:
            placement = form.arguments.get(name)
            if placement is not None and placement.to is not None and placement.to.kind == "body":
                _remove(body, placement.to.name)
        if operation.location in self.presses:
            offers = (offer for location, offer in self._offers if location == operation.location)
            if not any(offer.items() <= body.items() for offer in offers):
                return None
        else:
            values = {place.text: value for place, value in form.constants if place.kind == "body"}
            body = body_with(values, body)
        query = urlencode(case.query or {}, doseq=True)
        sent = json.dumps(body).encode()
        if request_problem(self.contract, operation.location, query, _HEADERS, sent) is not None:
            return None
        return Request(operation.method, operation.path + "?" * bool(query) + query, _HEADERS, sent)

    def _fetch(self, case: Generated) -> dict[str, Any] | None:
        place, name = parse_expression(self.contract.reader.ask)
        for task_id, operation in self._made.items():
            request = self.contract.request(task_id)
            if place == "body":
                found = case.body == parse_json(request.body)
            else:
                found = str((getattr(case, CONTAINERS[place]) or {}).get(name)) == task_id
            if not found:
                continue
            sent = self.authenticated(request)
            self._due = () if task_id in self._due else self._due
            seen = self.observe(Step(Kind.SUBMITTED, task_id, None, sent, "generated", submit=operation))
            if seen is None or seen.state is not State.SUCCEEDED:
                return None
            return self._offered(Parent(task_id, seen.task))
        return None

    def _offered(self, parent: Parent) -> dict[str, Any]:
        """Return the body of a press of each of the task's buttons that an operation accepts."""
        offered: dict[str, Any] = {}
        for button in (*self.contract.reader.buttons(parent.document), "U1", "V1"):
            try:
                operation, request = submit_request(
                    self.contract, "press", {"task": parent, "button": button}, {}
                )
            except SettingError:
                continue
            if operation.location in self.presses and self._name(operation.location) not in offered:
                body = parse_json(request.body)
                offered[self._name(operation.location)] = body
                self._offers.append((operation.location, body))
        return offered


def _remove(body: Any, pointer: str) -> None:
    *above, last = pointer_steps(pointer)
    for step in above:
        body = body.get(step) if isinstance(body, dict) else None
    if isinstance(body, dict):
        body.pop(last, None)


def _shown(found: dict[str, Any] | None) -> schemathesis.Response:
    """Return what was found as a response; status 400 has no links."""
    return schemathesis.Response(
        status_code=400 if found is None else 200,
        headers={"content-type": ["application/json"]},
        content=json.dumps(found).encode(),
        request=_REQUEST,
        elapsed=0.0,
        verify=True,
    )
