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
from mjrelay_conformance.mock import places, response, writer
from mjrelay_conformance.mock.change import Behaviour
from mjrelay_conformance.mock.places import ABSENT, Exactly, permits
from mjrelay_conformance.mock.response import MockRequest, MockResponse, Route

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


def _unset(call: MockRequest, document: Any) -> Iterator[tuple[Location, Any]]:
    """The places of a document where nothing is set, those that say what it is left out."""
    words = (None, "", *_time_words(call.contract))
    times = {
        place for stamp in writer.stamps(call.contract).values() for place in stamp.path.locate(document)
    }
    for location, value in places.unkept(call.contract, document):
        candidates = words if location in times else (None, "")
        if value == [] or any(same_value(value, word) for word in candidates):
            yield location, value


def _nulls(call: MockRequest, document: Any) -> Any:
    for location, value in list(_unset(call, document)):
        if value is not None and permits(call.contract, location, "null"):
            writer.put(document, location, None)
    return document


def _zeros(call: MockRequest, document: Any) -> Any:
    times = {
        place for stamp in writer.stamps(call.contract).values() for place in stamp.path.locate(document)
    }
    for location, value in list(_unset(call, document)):
        words = _time_words(call.contract) if location in times else ("", [])
        zero = next((word for word in words if permits(call.contract, location, Exactly(word))), None)
        if value is None and zero is not None:
            writer.put(document, location, zero)
    return document


def _absent(call: MockRequest, document: Any) -> Any:
    for location, _ in list(_unset(call, document)):
        if isinstance(location[-1], str) and permits(call.contract, location, ABSENT):
            del places.at(document, location[:-1])[location[-1]]
    return document


def _time_words(contract: Contract) -> list[Any]:
    """What stands where a time is unset, other than null and the empty text."""
    words: list[Any] = contract.operation["x-mj-task"].get("times", {}).get("unset", [])
    return [word for word in words if word not in (None, "")]


# What the schema leaves open.


def _progress_in_words(call: MockRequest, document: Any) -> Any:
    path = call.contract.reader.progress_path
    for location in () if path is None else path.locate(document):
        if isinstance(places.at(document, location), str):
            writer.put(document, location, "Waiting to start")
    return document


def _signed_anew(call: MockRequest, document: Any) -> Any:
    for location, url in places.urls(call.contract, document):
        writer.put(document, location, writer.signed(url, "signature", f"{call.reads:08x}"))
    return document


# How it is written.


def _written(dump: Callable[[Any], str]) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that writes the JSON of an answer in another way."""

    def write(_: MockRequest, answer: MockResponse) -> MockResponse:
        if "json" not in (answer.content_type or ""):
            return answer
        try:
            return evolve(answer, body=dump(parse_json(answer.body)).encode())
        except NotJSONError:
            return answer

    return write


def _backwards(node: Any) -> Any:
    """A document with the names of its objects in reverse order."""
    if isinstance(node, dict):
        return {name: _backwards(value) for name, value in reversed(node.items())}
    return [_backwards(value) for value in node] if isinstance(node, list) else node


def _charset(_: MockRequest, answer: MockResponse) -> MockResponse:
    said = answer.content_type or ""
    return response.with_type(answer, f"{said}; charset=UTF-8") if said.endswith("json") else answer


def _chunked(_: MockRequest, answer: MockResponse) -> MockResponse:
    if not answer.body:
        return answer
    return response.with_field(answer, "transfer-encoding", "chunked")


# What is described in several ways.


def _other_missing(call: MockRequest, _: MockResponse) -> MockResponse:
    return response.missing(call.contract, first=1)


def _refused_submission(call: MockRequest, answer: MockResponse) -> MockResponse:
    if call.task_id.strip() or call.ids is not None:
        return answer
    failed = copy.deepcopy(call.contract.examples[State.FAILED.value])
    return response.task(call.contract, writer.rename(call.contract, failed, call.task_id.strip()))


def _other_refusal(call: MockRequest, _: MockResponse) -> MockResponse:
    return response.refused(call.contract, first=1)


def _strict_method(call: MockRequest, _: MockResponse) -> MockResponse:
    return MockResponse(405, (("allow", f"{call.contract.method}, HEAD"),))


_EVERY_ROUTE = frozenset(Route)

_ALL = (
    Dialect("nulls", "What is unset is null where the schema allows it.", alter=_nulls),
    Dialect("zeros", "What is unset is an empty text or a 0, not null.", alter=_zeros),
    Dialect("absent", "What is unset and not required is left out.", alter=_absent),
    Dialect(
        "reordered",
        "Documents are written in lines, the names of objects in another order.",
        finish=_written(lambda document: json.dumps(_backwards(document), indent=2, ensure_ascii=False)),
        routes=_EVERY_ROUTE,
    ),
    Dialect(
        "escaped",
        "Characters beyond ASCII are escaped.",
        finish=_written(json.dumps),
        routes=_EVERY_ROUTE,
    ),
    Dialect("charset", "Answers in JSON name their charset.", finish=_charset, routes=_EVERY_ROUTE),
    Dialect("chunked", "Bodies come without their length.", finish=_chunked, routes=_EVERY_ROUTE),
    Dialect("signed-anew", "The links to what a task made are signed anew each time.", alter=_signed_anew),
    Dialect(
        "progress-in-words",
        "The progress of a running task is told in words.",
        alter=_progress_in_words,
        states=frozenset({State.RUNNING}),
    ),
    Dialect(
        "other-missing",
        "A task that is not there is answered in the second way that the contract has.",
        finish=_other_missing,
        routes=frozenset({Route.MISSING}),
        needs=lambda contract: len(contract.reader.missing) > 1,
    ),
    Dialect(
        "refused-submission",
        "An empty id is that of the caller's own submission, which was refused.",
        finish=_refused_submission,
        routes=frozenset({Route.MISSING}),
        needs=lambda contract: State.FAILED.value in contract.examples,
    ),
    Dialect(
        "other-refusal",
        "A caller without the right credential is refused in the second way that the contract has.",
        finish=_other_refusal,
        routes=frozenset({Route.REFUSED}),
        needs=lambda contract: len(contract.reader.unauthorized) > 1,
    ),
    Dialect(
        "strict-methods",
        "A method that leads to nothing is answered with 405, whatever comes for other strange requests.",
        finish=_strict_method,
        routes=frozenset({Route.ELSEWHERE}),
        needs=lambda contract: bool(contract.reader.elsewhere) and contract.method == "GET",
    ),
)

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in _ALL}
"""Every dialect by its name."""
