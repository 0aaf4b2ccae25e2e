"""Routed requests, and the responses that a contract describes."""

from __future__ import annotations

import copy
import json
import zlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from mjrelay.http import Exchange
from mjrelay.semantics import compile_predicate
from mjrelay_conformance.mock import slots, writer
from mjrelay_conformance.mock.received import ReceivedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract import Contract
    from mjrelay.http import Headers
    from mjrelay.semantics import Batch, Matcher, Seed, State


PAGE = (
    b"<!DOCTYPE html>\n"
    b'<html lang="en">\n'
    b'<head><meta charset="utf-8"><title>Welcome</title></head>\n'
    b"<body><h1>Welcome</h1><p>There is nothing to see at this address.</p></body>\n"
    b"</html>\n"
)
"""The home page of a web site on the same host as a relay."""

JSON = "application/json"
HTML = "text/html; charset=utf-8"
_FRESH = ("cache-control", "no-store")


_EPOCH = datetime.fromtimestamp(0, UTC)
_NOTHING = ReceivedRequest({}, (), (), b"")
BODILESS = {204, 304}
"""Status codes of responses without a body or a Content-Length."""


class Route(StrEnum):
    """How a request is handled."""

    TASK = "task"
    BATCH = "batch"
    MISSING = "missing"
    REFUSED = "refused"
    INVALID = "invalid"
    ELSEWHERE = "elsewhere"
    SUBMIT = "submit"


@frozen
class MockRequest:
    """
    A routed request.

    ``state`` is the state of the task, if any. ``secrets`` are the credentials of the request, right or
    wrong, and ``key`` is the right one. ``reads`` counts earlier requests for the task, ``number`` all
    earlier requests. ``tasks`` are the ids of all tasks, ``ids`` those that a batch asks for. ``problem`` is
    why the request does not fit its operation, or None. ``submit`` is the location of an operation
    that submits, and ``made`` are the ids of the tasks that it made.
    """

    contract: Contract
    route: Route
    task_id: str = ""
    state: State | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    reads: int = 0
    tasks: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    problem: str | None = None
    key: str = field(default="", repr=False)
    number: int = 0
    now: datetime = _EPOCH
    submit: Location | None = None
    made: tuple[str, ...] = ()
    received: ReceivedRequest = field(default=_NOTHING, repr=False)

    @property
    def has_access(self) -> bool:
        """Whether the request has the right credential, or the contract has none."""
        return not self.contract.credentials or self.key in self.secrets

    @property
    def with_access(self) -> MockRequest:
        """The same request, routed as if its credential and method were right."""
        if self.submit is not None:
            return evolve(self, route=Route.SUBMIT)
        if self.problem is not None:
            return evolve(self, route=Route.INVALID)
        if self.ids is not None:
            return evolve(self, route=Route.BATCH)
        return evolve(self, route=Route.TASK if self.task_id in self.tasks else Route.MISSING)


@frozen
class MockResponse:
    """
    A response of the mock relay.

    Attributes:
        status: The status code.
        headers: The headers, without Content-Length.
        body: The whole body.
        delay: Seconds before the response is sent.
        cut: Number of bytes of the body that are sent; None for all.
        stall: Seconds between the last byte of a truncated body and the end of the connection.
    """

    status: int
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)
    delay: float = 0.0
    cut: int | None = None
    stall: float = 0.0

    @property
    def content_type(self) -> str | None:
        """The value of Content-Type, or None."""
        return next((value for name, value in self.headers if name == "content-type"), None)

    @property
    def broken(self) -> bool:
        """Whether the body is truncated."""
        return self.cut is not None and self.cut < len(self.body)

    @property
    def framed(self) -> Headers:
        """The headers, including Content-Length unless the body is framed otherwise."""
        framing = {"content-length", "transfer-encoding"}
        if self.status in BODILESS or any(name in framing for name, _ in self.headers):
            return self.headers
        return (*self.headers, ("content-length", str(len(self.body))))


def with_header(response: MockResponse, name: str, value: str | None) -> MockResponse:
    """Return the response with a header set, or removed if ``value`` is None."""
    kept = tuple((key, one) for key, one in response.headers if key != name)
    return evolve(response, headers=kept if value is None else ((name, value), *kept))


def with_type(response: MockResponse, content_type: str | None) -> MockResponse:
    """Return the response with another Content-Type, or without one."""
    return with_header(response, "content-type", content_type)


def type_header(content_type: str | None) -> Headers:
    """Return the Content-Type header, if any."""
    return () if content_type is None else (("content-type", content_type),)


def encode(document: Any) -> bytes:
    """Serialise a document as relays do: compact JSON in UTF-8."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def task(contract: Contract, document: Any) -> MockResponse:
    """Build the response for a task."""
    media_type = next((key for key in contract.content(200) if "*" not in key), JSON)
    return MockResponse(200, (*type_header(media_type), _FRESH), encode(document))


def tasks(contract: Contract, batch: Batch, documents: list[Any]) -> MockResponse:
    """Build the response for a batch, in the envelope that the contract's example has."""
    for media_type, example in _documents(contract, 200, contract.batch):
        if found := batch.items.locate(example):
            lists = () if batch.array is None else batch.array.locate(example)
            depth = len(lists[0] if lists else found[0][:-1])  # each task may have a wrapper of its own
            around, place, inner = copy.deepcopy(example), found[0][:depth], found[0][depth + 1 :]
            wrapper = slots.value_at(example, found[0][: depth + 1]) if inner else None
            items = [_wrapped(batch.item(document), wrapper, inner) for document in documents]
            writer.set_value(around, place, items)
            return MockResponse(200, (*type_header(media_type), _FRESH), encode(around if place else items))
    return MockResponse(
        200, (*type_header(JSON), _FRESH), encode([batch.item(document) for document in documents])
    )


def tasks_listed(contract: Contract, documents: list[Any]) -> MockResponse:
    """Build the response of the operation that lists all tasks: a list, in the example's envelope."""
    lookup = contract.reader.lookup
    for media_type, example in _documents(contract, 200, contract.lookup):
        if lookup is not None and (found := lookup.locate(example)):
            around = copy.deepcopy(example)
            writer.set_value(around, found[0][:-1], documents)
            return MockResponse(
                200, (*type_header(media_type), _FRESH), encode(around if found[0][:-1] else documents)
            )
    return MockResponse(200, (*type_header(JSON), _FRESH), encode(documents))


def _wrapped(item: Any, wrapper: Any, place: Location) -> Any:
    """Wrap a task as the contract's example wraps each task of a batch."""
    if not place:
        return item
    around = copy.deepcopy(wrapper)
    writer.set_value(around, place, item)
    return around


def invalid(contract: Contract, operation: Location, problem: str) -> MockResponse:
    """Build the response to a request that does not fit its operation: the documented 400 or 422, if any."""
    for status in (400, 422):
        for media_type, example in _documents(contract, status, operation):
            return MockResponse(status, type_header(media_type), _body(media_type, example))
    return MockResponse(400, type_header("text/plain; charset=utf-8"), problem.encode("utf-8", "replace"))


def seed(contract: Contract, form: Seed, task_id: str) -> MockResponse:
    """Build the response with the seed of a task's image, derived from the id; 404 without an example."""
    digits = str(zlib.crc32(task_id.encode(errors="replace")))
    for media_type, example in _documents(contract, 200, contract.seed):
        document = copy.deepcopy(example)
        value = writer.id_like(form.value.first(example), digits)
        writer.set_values(document, form.value.locate(example), value)
        return MockResponse(200, type_header(media_type), _body(media_type, document))
    return MockResponse(404)


def missing(contract: Contract, operation: Location | None = None, *, first: int = 0) -> MockResponse:
    """
    Build the response for a missing task, with the example of an operation (by default of the fetch).

    ``first`` is the index of the first documented response to consider.
    """
    return _described(contract, contract.reader.missing[first:], "missing", operation) or MockResponse(404)


def refused(contract: Contract, operation: Location | None = None, *, first: int = 0) -> MockResponse:
    """Build the response for a request without the right credential; the arguments are as in `missing`."""
    matchers = contract.reader.unauthorized[first:]
    own = _described(contract, matchers, "unauthorized", operation)
    if own is not None and any(matcher.matches(_exchange(own)) for matcher in matchers):
        return own
    return _described(contract, matchers, "unauthorized") or own or MockResponse(401)


def _exchange(response: MockResponse) -> Exchange:
    return Exchange("GET", "", status=response.status, headers=response.headers, body=response.body)


def elsewhere(contract: Contract) -> MockResponse | None:
    """Build the documented response for an unknown path or method, or return None."""
    return _described(contract, contract.reader.elsewhere, "elsewhere")


def error(contract: Contract) -> MockResponse:
    """Build an error response: a documented one, if any."""
    for name, matchers in (
        ("missing", contract.reader.missing),
        ("unauthorized", contract.reader.unauthorized),
        ("forbidden", contract.reader.forbidden),
    ):
        response = _described(contract, matchers, name)
        if response is not None and response.body and "json" in (response.content_type or ""):
            return response
    message = "the service is busy, try again later"
    document = {"code": 500, "message": message, "error": {"type": "server_error", "message": message}}
    return MockResponse(500, type_header(JSON), encode(document))


def _documents(contract: Contract, status: int, operation: Location | None) -> Iterator[tuple[str, Any]]:
    """Yield the examples of an operation's response, each with its media type."""
    for media_type, media in contract.content(status, operation).items():
        for value in _values(contract, media).values():
            yield media_type, value


def _described(
    contract: Contract, matchers: Iterable[Matcher], name: str, operation: Location | None = None
) -> MockResponse | None:
    """
    Build the first response that is fully documented: an empty body, or an example that a matcher accepts.

    If none is, build one from the first matcher; without matchers, return None.
    """
    partial = None
    for matcher in matchers:
        if matcher.empty:
            return MockResponse(matcher.status, type_header(matcher.content))
        wanted = matcher.content and matcher.content.lower()
        for media_type, media in contract.content(matcher.status, operation).items():
            if wanted not in {None, media_type.partition(";")[0].strip().lower()}:
                continue
            example = _example(contract, matcher, media, name)
            if example is not None:
                return MockResponse(matcher.status, type_header(media_type), _body(media_type, example[0]))
        if matcher.where is None and not contract.content(matcher.status, operation):
            return MockResponse(matcher.status, type_header(matcher.content), _blank(matcher.content))
        partial = partial or MockResponse(
            matcher.status, type_header(matcher.content), _blank(matcher.content)
        )
    return partial


def _example(contract: Contract, matcher: Matcher, media: dict[str, Any], name: str) -> tuple[Any] | None:
    """Return the example that a matcher accepts, in a tuple because an example can be None."""
    values = _values(contract, media)
    accepts = compile_predicate(matcher.where or {})
    named = [values[name]] if name in values else []
    return next(((value,) for value in (*named, *values.values()) if accepts(value)), None)


def _values(contract: Contract, media: dict[str, Any]) -> dict[str, Any]:
    """Return the examples of a Media Type Object by name."""
    examples = {key: contract.resolve(example) for key, example in media.get("examples", {}).items()}
    values = {key: example["value"] for key, example in examples.items() if "value" in example}
    if "example" in media:
        values.setdefault("example", media["example"])
    return values


def _body(media_type: str, example: Any) -> bytes:
    text = isinstance(example, str) and "json" not in media_type
    return example.encode("utf-8", "surrogatepass") if text else encode(example)


def _blank(content: str | None) -> bytes:
    """Return the minimal body for a media type; empty if there is none."""
    if content is None:
        return b""
    if "html" in content:
        return PAGE
    return b"{}" if "json" in content else b""
