"""What the mock relay makes of a request, and the answers that a contract describes."""

from __future__ import annotations

import copy
import json
import zlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

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
"""The small web page of a site that a relay stands behind."""

JSON = "application/json"
HTML = "text/html; charset=utf-8"
_FRESH = ("cache-control", "no-store")


_EPOCH = datetime.fromtimestamp(0, UTC)
_NOTHING = ReceivedRequest({}, (), (), b"")
BODILESS = {204, 304}
"""Statuses of answers that never have a body, nor a length."""


class Route(StrEnum):
    """What becomes of a request."""

    TASK = "task"
    BATCH = "batch"
    MISSING = "missing"
    REFUSED = "refused"
    ELSEWHERE = "elsewhere"


@frozen
class MockRequest:
    """
    One request as the relay understands it.

    ``state`` is that of the task, where there is one. ``secrets`` are the credentials that the request holds,
    right or wrong, and ``key`` is the right one. ``reads`` says how often the task was read before and
    ``number`` how many requests came before; ``tasks`` are the ids of all tasks, and ``ids`` those that were
    asked for where it is several.
    """

    contract: Contract
    route: Route
    task_id: str = ""
    state: State | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    reads: int = 0
    tasks: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    key: str = field(default="", repr=False)
    number: int = 0
    now: datetime = _EPOCH
    received: ReceivedRequest = field(default=_NOTHING, repr=False)

    @property
    def has_access(self) -> bool:
        """Whether the request holds the right credential where the contract wants it, or needs none."""
        return self.contract.open or not self.contract.credentials or self.key in self.secrets

    @property
    def with_access(self) -> MockRequest:
        """The same request, which gets what it asks for whatever its credential and its method."""
        if self.ids is not None:
            return evolve(self, route=Route.BATCH)
        return evolve(self, route=Route.TASK if self.task_id in self.tasks else Route.MISSING)


@frozen
class MockResponse:
    """
    What goes back: after ``delay`` seconds, and no more than ``cut`` bytes of the body where it is given.

    After ``stall`` more seconds a connection whose response was cut is closed.
    """

    status: int
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)
    delay: float = 0.0
    cut: int | None = None
    stall: float = 0.0

    @property
    def content_type(self) -> str | None:
        """The value of Content-Type, None where there is none."""
        return next((value for name, value in self.headers if name == "content-type"), None)

    @property
    def broken(self) -> bool:
        """Whether less of the body comes than is announced."""
        return self.cut is not None and self.cut < len(self.body)

    @property
    def framed(self) -> Headers:
        """The header fields, with the body's length among them unless they say how it is framed."""
        framing = {"content-length", "transfer-encoding"}
        if self.status in BODILESS or any(name in framing for name, _ in self.headers):
            return self.headers
        return (*self.headers, ("content-length", str(len(self.body))))


def with_header(response: MockResponse, name: str, value: str | None) -> MockResponse:
    """The response with one value in a header field, or without the field."""
    kept = tuple((key, one) for key, one in response.headers if key != name)
    return evolve(response, headers=kept if value is None else ((name, value), *kept))


def with_type(response: MockResponse, content_type: str | None) -> MockResponse:
    """The response with another Content-Type, or with none."""
    return with_header(response, "content-type", content_type)


def type_header(content_type: str | None) -> Headers:
    """The header fields that say of which type a body is."""
    return () if content_type is None else (("content-type", content_type),)


def encode(document: Any) -> bytes:
    """A document as relays write it: compact, in UTF-8."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def task(contract: Contract, document: Any) -> MockResponse:
    """The response that holds a task."""
    media_type = next((key for key in contract.content(200) if "*" not in key), JSON)
    return MockResponse(200, (*type_header(media_type), _FRESH), encode(document))


def tasks(contract: Contract, batch: Batch, documents: list[Any]) -> MockResponse:
    """The response that holds several tasks, around them what the contract's example has there."""
    for media_type, shown in _documents(contract, 200, contract.batch):
        if found := batch.items.locate(shown):
            lists = () if batch.array is None else batch.array.locate(shown)
            depth = len(lists[0] if lists else found[0][:-1])  # below the list is what each task comes in
            around, place, inner = copy.deepcopy(shown), found[0][:depth], found[0][depth + 1 :]
            wrapper = slots.value_at(shown, found[0][: depth + 1]) if inner else None
            items = [_wrapped(batch.item(document), wrapper, inner) for document in documents]
            writer.set_value(around, place, items)
            return MockResponse(200, (*type_header(media_type), _FRESH), encode(around if place else items))
    return MockResponse(
        200, (*type_header(JSON), _FRESH), encode([batch.item(document) for document in documents])
    )


def _wrapped(item: Any, wrapper: Any, place: Location) -> Any:
    """A task in what the contract's example has around each one of a list."""
    if not place:
        return item
    around = copy.deepcopy(wrapper)
    writer.set_value(around, place, item)
    return around


def malformed(contract: Contract) -> MockResponse:
    """The response to ids that are none: the contract's own 400 where it has one."""
    for media_type, shown in _documents(contract, 400, contract.batch):
        return MockResponse(400, type_header(media_type), _body(media_type, shown))
    return MockResponse(400)


def seed(contract: Contract, form: Seed, task_id: str) -> MockResponse:
    """The response that tells the seed of a task's image, the same each time; 404 where no example has it."""
    digits = str(zlib.crc32(task_id.encode(errors="replace")))
    for media_type, shown in _documents(contract, 200, contract.seed):
        document = copy.deepcopy(shown)
        value = writer.id_like(form.value.first(shown), digits)
        writer.set_values(document, form.value.locate(shown), value)
        return MockResponse(200, type_header(media_type), _body(media_type, document))
    return MockResponse(404)


def missing(contract: Contract, operation: Location | None = None, *, first: int = 0) -> MockResponse:
    """
    The response for a task that is not there, as an operation words it: the fetch operation or another.

    It is the ``first`` one of those described, counted from 0.
    """
    return _described(contract, contract.reader.missing[first:], "missing", operation) or MockResponse(404)


def refused(contract: Contract, *, first: int = 0) -> MockResponse:
    """The response for a caller without the right credential; ``first`` is as in `missing`."""
    return _described(contract, contract.reader.unauthorized[first:], "unauthorized") or MockResponse(401)


def elsewhere(contract: Contract) -> MockResponse | None:
    """The response for a path or a method that the contract does not have, where it describes one."""
    return _described(contract, contract.reader.elsewhere, "elsewhere")


def error(contract: Contract) -> MockResponse:
    """An response with an error's document: the contract's own where it has one."""
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
    """The example documents of an operation's response, each with its media type."""
    for media_type, media in contract.content(status, operation).items():
        for value in _values(contract, media).values():
            yield media_type, value


def _described(
    contract: Contract, matchers: Iterable[Matcher], name: str, operation: Location | None = None
) -> MockResponse | None:
    """
    The first response that is wholly described: by an empty body, or by an example that the matcher fits.

    Where there is none, the first matcher's with as much as is known of it; None without any matcher.
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
    """The example that stands for a matcher, in a tuple of its own since any value can be one."""
    values = _values(contract, media)
    fits = compile_predicate(matcher.where or {})
    named = [values[name]] if name in values else []
    return next(((value,) for value in (*named, *values.values()) if fits(value)), None)


def _values(contract: Contract, media: dict[str, Any]) -> dict[str, Any]:
    """The example documents of a Media Type Object by name."""
    examples = {key: contract.resolve(example) for key, example in media.get("examples", {}).items()}
    values = {key: example["value"] for key, example in examples.items() if "value" in example}
    if "example" in media:
        values.setdefault("example", media["example"])
    return values


def _body(media_type: str, example: Any) -> bytes:
    text = isinstance(example, str) and "json" not in media_type
    return example.encode("utf-8", "surrogatepass") if text else encode(example)


def _blank(content: str | None) -> bytes:
    """The least that a media type allows; with none said, nothing."""
    if content is None:
        return b""
    if "html" in content:
        return PAGE
    return b"{}" if "json" in content else b""
