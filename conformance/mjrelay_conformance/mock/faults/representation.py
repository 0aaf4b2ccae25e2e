"""Faults of a response's Content-Type, JSON and envelope."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay.contract import json_type
from mjrelay.http import Exchange, NotJSONError, parse_json
from mjrelay_conformance.mock import responses, slots, writer
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import Fault
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, with_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.contract import Contract


_MEDIA_TYPE = ("fetch/200/media-type",)
_JSON = ("fetch/200/json",)


def _other_charset(_: MockRequest, response: MockResponse) -> MockResponse:
    media_type = (response.content_type or responses.JSON).partition(";")[0]
    return with_type(response, f"{media_type}; charset=gbk")


def _nothing(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, body=b"")


def _truncated(_: MockRequest, response: MockResponse) -> MockResponse:
    half = response.body[: len(response.body) // 2]
    return evolve(response, body=half.decode("utf-8", "ignore").encode())  # at a character boundary


_garbage = effects.append(b"\n<!-- served from the cache -->\n")


def _marked(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, body=b"\xef\xbb\xbf" + response.body)


def _in_text(sign: bytes) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that inserts bytes at the beginning of the last string in the body."""

    def put(_: MockRequest, response: MockResponse) -> MockResponse:
        text = response.body.rfind(b':"')
        place = len(response.body) if text < 0 else text + 2
        return evolve(response, body=response.body[:place] + sign + response.body[place:])

    return put


def _nan(request: MockRequest, document: Any) -> Any:
    for found in slots.editable_slots(request.contract, document):
        numbers = [location for location, value in found if json_type(value) in slots.NUMBERS]
        if numbers:
            writer.set_value(document, numbers[-1], float("nan"))
            return document
    if isinstance(document, dict):
        document["x-number"] = float("nan")
    return document


def _repeated_name(_: MockRequest, response: MockResponse) -> MockResponse:
    try:
        document = parse_json(response.body)
    except NotJSONError:
        return response
    if not isinstance(document, dict) or not document:
        return response
    name, value = next(iter(document.items()))
    member = json.dumps(name, ensure_ascii=False).encode() + b":" + responses.encode(value)
    return evolve(response, body=b"{" + member + b"," + response.body.lstrip()[1:])


def _encoded_twice(request: MockRequest, document: Any) -> Any:
    path = request.contract.reader.prompt_path
    for location in () if path is None else path.locate(document):
        text = slots.value_at(document, location)
        if isinstance(text, str):
            prompt = text if not text.isascii() else f"{text} 画一只猫"
            writer.set_value(document, location, prompt.encode(errors="replace").decode("latin-1"))
    return document


def _error_envelope(request: MockRequest, response: MockResponse) -> MockResponse:
    error = responses.error(request.contract)
    return evolve(with_type(response, error.content_type), status=200, body=error.body)


def _envelope_disagrees(request: MockRequest, document: Any) -> Any:
    for text in request.contract.operation["x-mj-task"].get("accept", {}):
        for location in slots.json_path(text).locate(document):
            value = slots.value_at(document, location)
            other: Any = (
                not value
                if isinstance(value, bool)
                else 7919
                if json_type(value) in slots.NUMBERS
                else "ERROR"
            )
            writer.set_value(document, location, other)
    return document


def _never_empty(contract: Contract) -> bool:
    """Whether no documented response is a 200 with an empty body."""
    empty = Exchange("GET", "", status=200)
    return not any(matcher.matches(empty) for matcher in contract.reader.missing)


FAULTS = (
    Fault(
        "wrong-content-type",
        "Content-Type of a task response is text/plain.",
        _MEDIA_TYPE,
        on_response=effects.header("content-type", "text/plain"),
    ),
    Fault(
        "no-content-type",
        "Task responses have no Content-Type header.",
        _MEDIA_TYPE,
        on_response=effects.header("content-type", None),
    ),
    Fault(
        "wrong-charset",
        "Content-Type of a task response declares GBK, but the body is UTF-8.",
        ("fetch/200/charset",),
        on_response=_other_charset,
    ),
    Fault(
        "html-200", "Task requests return 200 with an HTML page.", _MEDIA_TYPE, on_response=effects.page(200)
    ),
    Fault(
        "html-labelled-json",
        "Task requests return an HTML page with the Content-Type of JSON.",
        _JSON,
        on_response=effects.page(200, None),
    ),
    Fault(
        "empty-200",
        "Task requests return 200 with an empty body.",
        _JSON,
        on_response=_nothing,
        needs=_never_empty,
    ),
    Fault(
        "truncated-json",
        "The JSON of a task response is truncated, although the body is complete.",
        _JSON,
        on_response=_truncated,
    ),
    Fault(
        "trailing-garbage",
        "An HTML comment follows the JSON of a task response.",
        _JSON,
        on_response=_garbage,
    ),
    Fault(
        "byte-order-mark",
        "The JSON of a task response starts with a byte order mark.",
        ("fetch/200/byte-order-mark",),
        on_response=_marked,
    ),
    Fault(
        "invalid-utf8",
        "A task response contains a byte that is not valid UTF-8.",
        _JSON,
        on_response=_in_text(b"\xff"),
    ),
    Fault(
        "half-surrogate",
        "A string of the task contains an unpaired surrogate.",
        _JSON,
        on_response=_in_text(b"\\ud83d"),
    ),
    Fault("nan", "A number of the task is NaN, which is not valid JSON.", _JSON, on_document=_nan),
    Fault(
        "duplicate-names",
        "A key is repeated in the task document.",
        ("fetch/200/duplicate-names",),
        on_response=_repeated_name,
    ),
    Fault(
        "encoded-twice",
        "The prompt is UTF-8 encoded twice (mojibake).",
        ("fetch/200/encoded-twice",),
        on_document=_encoded_twice,
    ),
    Fault(
        "error-envelope-200",
        "Task requests return 200 with an error document.",
        ("fetch/200/accept", "fetch/known/status"),
        on_response=_error_envelope,
    ),
    Fault(
        "envelope-disagrees",
        "The envelope of a task signals an error.",
        ("fetch/200/accept",),
        on_document=_envelope_disagrees,
    ),
)
