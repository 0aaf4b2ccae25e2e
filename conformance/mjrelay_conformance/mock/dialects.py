"""
Dialects: behaviours that differ from the examples in a contract, but still conform to it.

A check must not report a relay that uses a dialect.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from mjrelay.base import MjrelayError, did_you_mean, nearest_names
from mjrelay.http import NotJSONError, parse_json
from mjrelay.semantics import State, SubmitOutcome, same_value
from mjrelay_conformance.mock import responses, slots, submits, writer
from mjrelay_conformance.mock.behaviour import Behaviour
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route
from mjrelay_conformance.mock.slots import ABSENT, Exactly, schema_allows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract import Contract


class UnknownDialectError(MjrelayError):
    """No dialect has this name; ``near`` holds similar names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near = nearest_names(name, DIALECTS)
        near = f"{did_you_mean(self.near)} " if self.near else ""
        super().__init__(
            f"unknown dialect {name!r}; {near}list the dialects with: mjrelay mock RELAY --list-dialects"
        )


class InapplicableDialectError(MjrelayError):
    """A contract does not support a dialect; ``name`` is the dialect, ``relay`` the contract."""

    def __init__(self, name: str, relay: str) -> None:
        self.name, self.relay = name, relay
        super().__init__(
            f"dialect {name} does not apply to the contract of {relay}: {DIALECTS[name].summary} "
            "Omit it, or choose another dialect."
        )


@frozen
class Dialect(Behaviour):
    """A behaviour that conforms to the contract."""


def select_dialect(name: str, contract: Contract) -> Dialect:
    """
    Return the dialect with this name.

    Raises:
        UnknownDialectError: No dialect has this name.
        InapplicableDialectError: The contract does not support the dialect.
    """
    if name not in DIALECTS:
        raise UnknownDialectError(name)
    if not DIALECTS[name].applies(contract):
        raise InapplicableDialectError(name, contract.name)
    return DIALECTS[name]


# Unset values.


def _unset(request: MockRequest, document: Any) -> Iterator[tuple[Location, Any]]:
    """Yield the unset values of a document that are neither the task's id nor its state."""
    unset = (None, "", *_unset_times(request.contract))
    times = {
        place
        for stamp in writer.timestamps(request.contract).values()
        for place in stamp.path.locate(document)
    }
    for location, value in slots.all_editable_slots(request.contract, document):
        candidates = unset if location in times else (None, "")
        if value == [] or any(same_value(value, one) for one in candidates):
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
        unset = _unset_times(request.contract) if location in times else ("", [])
        zero = next((one for one in unset if schema_allows(request.contract, location, Exactly(one))), None)
        if value is None and zero is not None:
            writer.set_value(document, location, zero)
    return document


def _absent(request: MockRequest, document: Any) -> Any:
    for location, _ in list(_unset(request, document)):
        if isinstance(location[-1], str) and schema_allows(request.contract, location, ABSENT):
            del slots.value_at(document, location[:-1])[location[-1]]
    return document


def _unset_times(contract: Contract) -> list[Any]:
    """Return the values for an unset time, other than null and the empty string."""
    unset: list[Any] = contract.operation["x-mj-task"].get("times", {}).get("unset", [])
    return [one for one in unset if one not in (None, "")]


# Values that the schema allows.


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


# Representation.


def _written(dump: Callable[[Any], str]) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that serialises JSON bodies with ``dump``."""

    def write(_: MockRequest, response: MockResponse) -> MockResponse:
        if "json" not in (response.content_type or ""):
            return response
        try:
            return evolve(response, body=dump(parse_json(response.body)).encode())
        except NotJSONError:
            return response

    return write


def _backwards(node: Any) -> Any:
    """Return a document with the keys of its objects in reverse order."""
    if isinstance(node, dict):
        return {name: _backwards(value) for name, value in reversed(node.items())}
    return [_backwards(value) for value in node] if isinstance(node, list) else node


def _charset(_: MockRequest, response: MockResponse) -> MockResponse:
    content_type = response.content_type or ""
    return (
        responses.with_type(response, f"{content_type}; charset=UTF-8")
        if content_type.endswith("json")
        else response
    )


def _chunked(_: MockRequest, response: MockResponse) -> MockResponse:
    if not response.body:
        return response
    return responses.with_header(response, "transfer-encoding", "chunked")


# Responses with several documented alternatives.


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


def _open(request: MockRequest) -> MockRequest:
    return request.with_access if request.route is Route.REFUSED else request


# Submits.


def _queued(request: MockRequest, response: MockResponse) -> MockResponse:
    if not request.made or request.submit is None:
        return response
    if submits.read_receipt(request, response).outcome is not SubmitOutcome.ACCEPTED:
        return response
    desk = submits.SubmitDesk(request.contract, request.submit)
    return desk.accepted(SubmitOutcome.QUEUED, request.made[0])


def _has_queue(contract: Contract) -> bool:
    found = submits.accepted_example(contract, "1")
    return (
        found is not None and submits.read_receipt(found[0], _queued(*found)).outcome is SubmitOutcome.QUEUED
    )


def _joined_ids(request: MockRequest, response: MockResponse) -> MockResponse:
    if not request.made:
        return response
    joined = ",".join(request.made)
    return submits.rewritten(response, lambda document: submits.replaced(document, request.made[0], joined))


def _joins_ids(contract: Contract) -> bool:
    found = submits.accepted_example(contract, "11", "12")
    return found is not None and len(submits.read_receipt(found[0], _joined_ids(*found)).ids) == 2


_SUBMIT = frozenset({Route.SUBMIT})
_EVERY_ROUTE = frozenset(Route)

_ALL = (
    Dialect("nulls", "Unset values are null where the schema allows it.", on_document=_nulls),
    Dialect("zeros", "Unset values are empty strings, empty lists or 0 instead of null.", on_document=_zeros),
    Dialect("absent", "Unset optional properties are omitted.", on_document=_absent),
    Dialect(
        "reordered",
        "JSON is indented, and object keys are in reverse order.",
        on_response=_written(lambda document: json.dumps(_backwards(document), indent=2, ensure_ascii=False)),
        routes=_EVERY_ROUTE,
    ),
    Dialect(
        "escaped",
        "Non-ASCII characters in JSON are escaped.",
        on_response=_written(json.dumps),
        routes=_EVERY_ROUTE,
    ),
    Dialect(
        "charset",
        "Content-Type of JSON responses has a charset parameter.",
        on_response=_charset,
        routes=_EVERY_ROUTE,
    ),
    Dialect(
        "chunked",
        "Bodies use chunked transfer coding instead of Content-Length.",
        on_response=_chunked,
        routes=_EVERY_ROUTE,
    ),
    Dialect("signed-anew", "Media URLs have a new signature in each response.", on_document=_signed_anew),
    Dialect(
        "progress-in-words",
        "The progress of a running task is a phrase instead of a percentage.",
        on_document=_progress_in_words,
        states=frozenset({State.RUNNING}),
    ),
    Dialect(
        "other-missing",
        "Requests for a missing task return the second documented response.",
        on_response=_other_missing,
        routes=frozenset({Route.MISSING}),
        needs=lambda contract: len(contract.reader.missing) > 1,
    ),
    Dialect(
        "refused-submission",
        "Requests with an empty id return a failed submission.",
        on_response=_refused_submission,
        routes=frozenset({Route.MISSING}),
        needs=lambda contract: State.FAILED.value in contract.examples,
    ),
    Dialect(
        "other-refusal",
        "Requests without the right credential return the second documented response.",
        on_response=_other_refusal,
        routes=frozenset({Route.REFUSED}),
        needs=lambda contract: len(contract.reader.unauthorized) > 1,
    ),
    Dialect(
        "open",
        "Requests need no credential, where the contract makes it optional.",
        on_request=_open,
        needs=lambda contract: contract.open and bool(contract.credentials),
    ),
    Dialect(
        "strict-methods",
        "Unsupported request methods return 405 instead of the documented fallback response.",
        on_response=_strict_method,
        routes=frozenset({Route.ELSEWHERE}),
        needs=lambda contract: bool(contract.reader.elsewhere) and contract.method == "GET",
    ),
    Dialect(
        "pages-limited",
        "Unsupported request methods return 429, because the web site limits requests to unknown pages.",
        on_response=lambda _, __: MockResponse(429),
        routes=frozenset({Route.ELSEWHERE}),
    ),
    Dialect(
        "queued",
        "Accepted submits are queued, with the code for that.",
        on_response=_queued,
        routes=_SUBMIT,
        needs=_has_queue,
    ),
    Dialect(
        "several-ids",
        "A submit makes two tasks, whose ids are joined in the response.",
        on_response=_joined_ids,
        routes=_SUBMIT,
        copies=2,
        needs=_joins_ids,
    ),
)

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in _ALL}
"""Every dialect by name."""
