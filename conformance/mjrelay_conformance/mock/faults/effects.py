"""What the faults of several families do to an answer or to a task's document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay_conformance.mock import places, response, writer
from mjrelay_conformance.mock.places import kind, permits
from mjrelay_conformance.mock.response import MockRequest, MockResponse, with_field, with_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.base import Location


def status(code: int) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that gives answers another status."""
    return lambda _, answer: evolve(answer, status=code)


def field(name: str, value: str | None) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that sets a header field, or leaves it out."""
    return lambda _, answer: with_field(answer, name, value)


def page(
    code: int, content_type: str | None = response.HTML
) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that puts a web page in place of a body; without a type it keeps the answer's own."""
    return lambda _, answer: evolve(
        with_type(answer, content_type or answer.content_type or response.JSON),
        status=code,
        body=response.PAGE,
    )


def appended(text: bytes) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that puts more behind a body."""
    return lambda _, answer: evolve(answer, body=answer.body + text)


def wrong_type(call: MockRequest, document: Any) -> Any:
    def wrong(location: Location, value: Any) -> list[Any]:
        if kind(value) not in places.SCALARS - {"null"}:
            return []
        text = value if isinstance(value, str) else str(value).lower()
        candidates: tuple[Any, ...] = (17, text, True, [], {})
        return [other for other in candidates if not permits(call.contract, location, kind(other))]

    for location, value in places.unkept(call.contract, document):
        if others := wrong(location, value):
            writer.put(document, location, others[0])
            break
    return document


def changes_when_read(call: MockRequest, document: Any) -> Any:
    prompt = call.contract.reader.prompt_path
    preferred = [] if prompt is None else prompt.locate(document)
    unnamed, _ = places.places(call.contract, document)
    others = [location for location, value in unnamed if "://" not in str(value)]
    for location in (*preferred, *others):
        text = places.at(document, location)
        if isinstance(text, str) and text:
            mark = "listed" if call.ids else call.reads + 1
            writer.put(document, location, f"{text} ({mark})")
            break
    return document
