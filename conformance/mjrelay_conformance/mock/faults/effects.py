"""Hooks that several fault families use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay.contract import json_type
from mjrelay_conformance.mock import responses, slots, writer
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, with_header, with_type
from mjrelay_conformance.mock.slots import schema_allows

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.base import Location


def status(code: int) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that sets the status code."""
    return lambda _, response: evolve(response, status=code)


def header(name: str, value: str | None) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that sets a header, or removes it if ``value`` is None."""
    return lambda _, response: with_header(response, name, value)


def page(
    code: int, content_type: str | None = responses.HTML
) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that replaces the body by an HTML page; without a type, Content-Type stays."""
    return lambda _, response: evolve(
        with_type(response, content_type or response.content_type or responses.JSON),
        status=code,
        body=responses.PAGE,
    )


def append(text: bytes) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that appends bytes to the body."""
    return lambda _, response: evolve(response, body=response.body + text)


def wrong_type(request: MockRequest, document: Any) -> Any:
    def wrong(location: Location, value: Any) -> list[Any]:
        if json_type(value) not in slots.SCALARS - {"null"}:
            return []
        text = value if isinstance(value, str) else str(value).lower()
        candidates: tuple[Any, ...] = (17, text, True, [], {})
        return [
            other for other in candidates if not schema_allows(request.contract, location, json_type(other))
        ]

    for location, value in slots.all_editable_slots(request.contract, document):
        if others := wrong(location, value):
            writer.set_value(document, location, others[0])
            break
    return document


def changes_when_read(request: MockRequest, document: Any) -> Any:
    prompt = request.contract.reader.prompt_path
    preferred = [] if prompt is None else prompt.locate(document)
    unnamed, _ = slots.editable_slots(request.contract, document)
    others = [location for location, value in unnamed if "://" not in str(value)]
    for location in (*preferred, *others):
        text = slots.value_at(document, location)
        if isinstance(text, str) and text:
            mark = "listed" if request.ids else request.reads + 1
            writer.set_value(document, location, f"{text} ({mark})")
            break
    return document
