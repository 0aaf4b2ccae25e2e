"""
Dialects: other ways in which a relay keeps its contract than its examples show.

A relay that speaks one of them is right, and whoever judges it has nothing to say against it.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from mjrelay.base import MjrelayError, did_you_mean, nearest_names
from mjrelay.http import NotJSONError, parse_json
from mjrelay.semantics import State, same_value
from mjrelay_conformance.mock import responses, slots, writer
from mjrelay_conformance.mock.behaviour import Behaviour
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route
from mjrelay_conformance.mock.slots import ABSENT, Exactly, schema_allows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract import Contract


class UnknownDialectError(MjrelayError):
    """No dialect has this name; ``near`` holds the likely ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near = nearest_names(name, DIALECTS)
        near = f"{did_you_mean(self.near)} " if self.near else ""
        super().__init__(
            f"no dialect is called {name!r}; {near}list them with: mjrelay mock RELAY --list-dialects"
        )


class InapplicableDialectError(MjrelayError):
    """The contract leaves no room for a dialect; ``name`` is the dialect's, ``relay`` the contract's."""

    def __init__(self, name: str, relay: str) -> None:
        self.name, self.relay = name, relay
        super().__init__(
            f"dialect {name} has no place in the contract of {relay}: {DIALECTS[name].summary} "
            "Leave it out, or choose another one."
        )


@frozen
class Dialect(Behaviour):
    """One other way of being right."""


def select_dialect(name: str, contract: Contract) -> Dialect:
    """
    The dialect of this name.

    Raises `UnknownDialectError` for a name that is none, `InapplicableDialectError` for a dialect that the
    contract leaves no room for.
    """
    if name not in DIALECTS:
        raise UnknownDialectError(name)
    if not DIALECTS[name].applies(contract):
        raise InapplicableDialectError(name, contract.name)
    return DIALECTS[name]


# What is unset.


def _unset(request: MockRequest, document: Any) -> Iterator[tuple[Location, Any]]:
    """The places of a document where nothing is set, those that say what it is left out."""
    words = (None, "", *_time_words(request.contract))
    times = {
        place
        for stamp in writer.timestamps(request.contract).values()
        for place in stamp.path.locate(document)
    }
    for location, value in slots.all_editable_slots(request.contract, document):
        candidates = words if location in times else (None, "")
        if value == [] or any(same_value(value, word) for word in candidates):
            yield location, value


def _nulls(request: MockRequest, document: Any) -> Any:
    for location, value in list(_unset(request, document)):
        if value is not None and schema_allows(request.contract, location, "null"):
            writer.set_value(document, location, None)
    return document


def _zeros(request: MockRequest, document: Any) -> Any:
    times = {
        place
        for stamp in writer.timestamps(request.contract).values()
        for place in stamp.path.locate(document)
    }
    for location, value in list(_unset(request, document)):
        words = _time_words(request.contract) if location in times else ("", [])
        zero = next(
            (word for word in words if schema_allows(request.contract, location, Exactly(word))), None
        )
        if value is None and zero is not None:
            writer.set_value(document, location, zero)
    return document


def _absent(request: MockRequest, document: Any) -> Any:
    for location, _ in list(_unset(request, document)):
        if isinstance(location[-1], str) and schema_allows(request.contract, location, ABSENT):
            del slots.value_at(document, location[:-1])[location[-1]]
    return document


def _time_words(contract: Contract) -> list[Any]:
    """What stands where a time is unset, other than null and the empty text."""
    words: list[Any] = contract.operation["x-mj-task"].get("times", {}).get("unset", [])
    return [word for word in words if word not in (None, "")]


# What the schema leaves open.


def _progress_in_words(request: MockRequest, document: Any) -> Any:
    path = request.contract.reader.progress_path
    for location in () if path is None else path.locate(document):
        if isinstance(slots.value_at(document, location), str):
            writer.set_value(document, location, "Waiting to start")
    return document


def _signed_anew(request: MockRequest, document: Any) -> Any:
    for location, url in slots.media_slots(request.contract, document):
        writer.set_value(
            document, location, writer.with_query_parameter(url, "signature", f"{request.reads:08x}")
        )
    return document


# How it is written.


def _written(dump: Callable[[Any], str]) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that writes the JSON of an response in another way."""

    def write(_: MockRequest, response: MockResponse) -> MockResponse:
        if "json" not in (response.content_type or ""):
            return response
        try:
            return evolve(response, body=dump(parse_json(response.body)).encode())
        except NotJSONError:
            return response

    return write


def _backwards(node: Any) -> Any:
    """A document with the names of its objects in reverse order."""
    if isinstance(node, dict):
        return {name: _backwards(value) for name, value in reversed(node.items())}
    return [_backwards(value) for value in node] if isinstance(node, list) else node


def _charset(_: MockRequest, response: MockResponse) -> MockResponse:
    said = response.content_type or ""
    return responses.with_type(response, f"{said}; charset=UTF-8") if said.endswith("json") else response


def _chunked(_: MockRequest, response: MockResponse) -> MockResponse:
    if not response.body:
        return response
    return responses.with_header(response, "transfer-encoding", "chunked")


# What is described in several ways.


def _other_missing(request: MockRequest, _: MockResponse) -> MockResponse:
    return responses.missing(request.contract, first=1)


def _refused_submission(request: MockRequest, response: MockResponse) -> MockResponse:
    if request.task_id.strip() or request.ids is not None:
        return response
    failed = copy.deepcopy(request.contract.examples[State.FAILED.value])
    return responses.task(
        request.contract, writer.replace_id(request.contract, failed, request.task_id.strip())
    )


def _other_refusal(request: MockRequest, _: MockResponse) -> MockResponse:
    return responses.refused(request.contract, first=1)


def _strict_method(request: MockRequest, _: MockResponse) -> MockResponse:
    return MockResponse(405, (("allow", f"{request.contract.method}, HEAD"),))


_EVERY_ROUTE = frozenset(Route)

_ALL = (
    Dialect("nulls", "What is unset is null where the schema allows it.", on_document=_nulls),
    Dialect("zeros", "What is unset is an empty text or a 0, not null.", on_document=_zeros),
    Dialect("absent", "What is unset and not required is left out.", on_document=_absent),
    Dialect(
        "reordered",
        "Documents are written in lines, the names of objects in another order.",
        on_response=_written(lambda document: json.dumps(_backwards(document), indent=2, ensure_ascii=False)),
        routes=_EVERY_ROUTE,
    ),
    Dialect(
        "escaped",
        "Characters beyond ASCII are escaped.",
        on_response=_written(json.dumps),
        routes=_EVERY_ROUTE,
    ),
    Dialect("charset", "Answers in JSON name their charset.", on_response=_charset, routes=_EVERY_ROUTE),
    Dialect("chunked", "Bodies come without their length.", on_response=_chunked, routes=_EVERY_ROUTE),
    Dialect(
        "signed-anew", "The links to what a task made are signed anew each time.", on_document=_signed_anew
    ),
    Dialect(
        "progress-in-words",
        "The progress of a running task is told in words.",
        on_document=_progress_in_words,
        states=frozenset({State.RUNNING}),
    ),
    Dialect(
        "other-missing",
        "A task that is not there is answered in the second way that the contract has.",
        on_response=_other_missing,
        routes=frozenset({Route.MISSING}),
        needs=lambda contract: len(contract.reader.missing) > 1,
    ),
    Dialect(
        "refused-submission",
        "An empty id is that of the caller's own submission, which was refused.",
        on_response=_refused_submission,
        routes=frozenset({Route.MISSING}),
        needs=lambda contract: State.FAILED.value in contract.examples,
    ),
    Dialect(
        "other-refusal",
        "A caller without the right credential is refused in the second way that the contract has.",
        on_response=_other_refusal,
        routes=frozenset({Route.REFUSED}),
        needs=lambda contract: len(contract.reader.unauthorized) > 1,
    ),
    Dialect(
        "strict-methods",
        "A method that leads to nothing is answered with 405, whatever comes for other strange requests.",
        on_response=_strict_method,
        routes=frozenset({Route.ELSEWHERE}),
        needs=lambda contract: bool(contract.reader.elsewhere) and contract.method == "GET",
    ),
)

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in _ALL}
"""Every dialect by its name."""
