"""
The schema half of the suite, and the cases of its property-based phase.

This module alone knows schemathesis, whose failures are no public interface: it is pinned exactly.
"""

from __future__ import annotations

import json
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode

import requests
import schemathesis
from attrs import define, field, frozen
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.openapi.checks import JsonSchemaError

from mjrelay import _request
from mjrelay._request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from mjrelay._contract import Contract
    from mjrelay._exchange import Exchange, Headers
    from mjrelay._yaml import Location

_REQUEST = requests.Request("GET", "http://localhost/").prepare()
Generated: TypeAlias = schemathesis.Case[Any]
_MANY = 20
"""Violations of one document that are worth telling apart."""
_CONTAINERS = {"path": "path_parameters", "query": "query", "header": "headers"}


@frozen
class Violation:
    """
    One place of a document that does not fit the schema.

    ``location`` leads to the place, ``schema`` to the schema in the contract that judges it, and ``words``
    are that schema's enum where it has one and the value is of a type that the enum knows.
    """

    location: Location
    schema: Location
    message: str
    words: tuple[Any, ...]


@frozen
class Case:
    """One generated request, and the task it asks for."""

    task_id: str
    request: Request
    generated: Generated = field(repr=False)


@define(slots=False)
class Schema:
    """The schemas of a contract's fetch operation, ready to judge answers and to make requests."""

    contract: Contract = field(repr=False)

    @cached_property
    def _operation(self) -> Any:
        loaded = schemathesis.openapi.from_dict(self.contract.document)
        return loaded[self.contract.path][self.contract.method]

    def violations(self, exchange: Exchange) -> list[Violation]:
        """Where the document of an answer does not fit the contract's schema for its status."""
        if exchange.status is None or not self.contract.content(exchange.status):
            return []
        try:
            self._operation.validate_response(_response(exchange))
        except (Failure, FailureGroup) as error:  # one comes alone, several in a group
            failures = error.exceptions if isinstance(error, FailureGroup) else (error,)
            return [self._violation(failure, exchange.status) for failure in failures[:_MANY]]
        return []

    def cases(self, task_id: str | None) -> SearchStrategy[Case]:
        """Valid requests for one task, or for whatever the schema allows in its place."""
        place, name = _request.ask(self.contract.reader.ask)
        pinned: dict[str, Any] = {}
        if task_id is not None:
            pinned = (
                {"body": _request.nested(name, task_id)}
                if place == "body"
                else {_CONTAINERS[place]: {name: task_id}}
            )
        strategy: SearchStrategy[Generated] = self._operation.as_strategy(**pinned)
        cases = strategy.map(lambda case: self._case(case, task_id, place, name))
        # schemathesis likes the contract's own examples, whose ids may well be there.
        shown = {str(self.contract.reader.id(example)) for example in self.contract.examples.values()}
        return cases if task_id is not None else cases.filter(lambda case: case.task_id not in shown)

    def hook(self, case: Case, exchange: Exchange, judge: Callable[[], list[str]]) -> None:
        """Judge the answer to a case as one of schemathesis's checks; ``judge`` says what is broken."""

        def check(_context: Any, _response: Any, _case: Any) -> None:
            broken = judge()
            if broken:
                raise Failure(
                    operation=case.generated.operation.label, title=broken[0], message=", ".join(broken)
                )

        if exchange.status is None:  # nothing that schemathesis could look at
            judge()
            return
        try:
            case.generated.validate_response(_response(exchange), checks=[check])
        except FailureGroup:
            return  # the rows hold what it says, and more

    def _case(self, case: Generated, task_id: str | None, place: str, name: str) -> Case:
        # A credential is the caller's to send: a generated one would be a bad one.
        taken = {credential.field.lower() for credential in self.contract.credentials}
        free = {key: value for key, value in (case.query or {}).items() if key.lower() not in taken}
        query = urlencode(free, doseq=True, quote_via=quote)
        headers: Headers = tuple(
            (str(key), str(value)) for key, value in (case.headers or {}).items() if key.lower() not in taken
        )
        body = b""
        if place == "body":
            body = json.dumps(case.body).encode()
            headers = (*headers, ("Content-Type", "application/json"))
        target = case.formatted_path + (f"?{query}" if query else "")
        if task_id is None and place != "body":
            task_id = str((getattr(case, _CONTAINERS[place]) or {}).get(name))
        return Case(task_id or "", Request(case.method.upper(), target, headers, body), case)

    def _violation(self, failure: BaseException, status: int) -> Violation:
        if not isinstance(failure, JsonSchemaError):  # it cannot read what is nested too deeply
            place = self._descend(status, ())[0]
            return Violation((), place, "is not what the schema describes, and too deep to say where", ())
        location = tuple(failure.instance_path)
        schema, node = self._descend(status, location)
        words = tuple(_words(self.contract, node))
        known = {type(word) for word in words}
        message = failure._raw_message  # noqa: SLF001 - the rendered one repeats the whole schema
        return Violation(location, schema, message, words if type(failure.instance) in known else ())

    def documents(self, status: int, location: Location) -> bool:
        """Whether the contract says anything of a place in a document."""
        return not location or self._descend(status, location)[0] != self._descend(status, location[:-1])[0]

    def _descend(self, status: int, location: Location) -> tuple[Location, Any]:
        """The schema that judges a place of a document, and where in the contract it stands."""
        place, response = self.contract.response(status) or ((), {})
        media_type, media = next(iter(response["content"].items()))
        place, node = _deref(self.contract, (*place, "content", media_type, "schema"), media["schema"])
        for step in location:
            keys: Location = ("items",) if isinstance(step, int) else ("properties", step)
            inner = next(
                (
                    (inside, child)
                    for outside, option in _options(self.contract, place, node)
                    for inside, child in _children(outside, option, keys)
                ),
                None,
            )
            if inner is None:
                break
            place, node = _deref(self.contract, *inner)
        return place, node


@cache
def schema_of(contract: Contract) -> Schema:
    """The schemas of a contract; loading them takes longer than judging by them."""
    return Schema(contract)


def _response(exchange: Exchange) -> schemathesis.Response:
    return schemathesis.Response(
        status_code=exchange.status or 0,
        headers={"content-type": ["application/json"]},  # what the answer says of itself is judged elsewhere
        content=exchange.body,
        request=_REQUEST,
        elapsed=exchange.elapsed,
        verify=True,
    )


def _children(place: Location, node: Any, keys: Location) -> list[tuple[Location, Any]]:
    for key in keys:
        if not isinstance(node, dict) or key not in node:
            return []
        place, node = (*place, key), node[key]
    return [(place, node)]


def _deref(contract: Contract, place: Location, node: Any) -> tuple[Location, Any]:
    if isinstance(node, dict) and "$ref" in node:
        steps = str(node["$ref"]).removeprefix("#/").split("/")
        place = tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)
        return place, contract.resolve(node)
    return place, node


def _options(contract: Contract, place: Location, node: Any) -> list[tuple[Location, Any]]:
    place, node = _deref(contract, place, node)
    options = [(place, node)]
    for index, option in enumerate(node.get("anyOf", ()) if isinstance(node, dict) else ()):
        options += _options(contract, (*place, "anyOf", index), option)
    return options


def _words(contract: Contract, node: Any) -> list[Any]:
    return [
        word
        for _, option in _options(contract, (), node)
        if isinstance(option, dict)
        for word in option.get("enum", ())
    ]
