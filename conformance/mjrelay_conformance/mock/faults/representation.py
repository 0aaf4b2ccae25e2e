"""Faults of the answer's JSON, and of what a task is wrapped in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay.http import Exchange, NotJSONError, parse_json
from mjrelay_conformance.mock import places, response, writer
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import Fault
from mjrelay_conformance.mock.places import kind
from mjrelay_conformance.mock.response import MockRequest, MockResponse, with_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.contract import Contract


_MEDIA_TYPE = ("fetch/200/media-type",)
_JSON = ("fetch/200/json",)


def _other_charset(_: MockRequest, answer: MockResponse) -> MockResponse:
    media_type = (answer.content_type or response.JSON).partition(";")[0]
    return with_type(answer, f"{media_type}; charset=gbk")


def _nothing(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(answer, body=b"")


def _truncated(_: MockRequest, answer: MockResponse) -> MockResponse:
    half = answer.body[: len(answer.body) // 2]
    return evolve(answer, body=half.decode("utf-8", "ignore").encode())  # between two characters


_garbage = effects.appended(b"\n<!-- served from the cache -->\n")


def _marked(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(answer, body=b"\xef\xbb\xbf" + answer.body)


def _in_text(sign: bytes) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that puts bytes at the beginning of a body's last text."""

    def put(_: MockRequest, answer: MockResponse) -> MockResponse:
        text = answer.body.rfind(b':"')
        place = len(answer.body) if text < 0 else text + 2
        return evolve(answer, body=answer.body[:place] + sign + answer.body[place:])

    return put


def _nan(call: MockRequest, document: Any) -> Any:
    for found in places.places(call.contract, document):
        numbers = [location for location, value in found if kind(value) in places.NUMBERS]
        if numbers:
            writer.put(document, numbers[-1], float("nan"))
            return document
    if isinstance(document, dict):
        document["x-number"] = float("nan")
    return document


def _repeated_name(_: MockRequest, answer: MockResponse) -> MockResponse:
    try:
        document = parse_json(answer.body)
    except NotJSONError:
        return answer
    if not isinstance(document, dict) or not document:
        return answer
    name, value = next(iter(document.items()))
    member = json.dumps(name, ensure_ascii=False).encode() + b":" + response.encode(value)
    return evolve(answer, body=b"{" + member + b"," + answer.body.lstrip()[1:])


def _encoded_twice(call: MockRequest, document: Any) -> Any:
    path = call.contract.reader.prompt_path
    for location in () if path is None else path.locate(document):
        text = places.at(document, location)
        if isinstance(text, str):
            whole = text if not text.isascii() else f"{text} 画一只猫"
            writer.put(document, location, whole.encode(errors="replace").decode("latin-1"))
    return document


def _error_envelope(call: MockRequest, answer: MockResponse) -> MockResponse:
    error = response.error(call.contract)
    return evolve(with_type(answer, error.content_type), status=200, body=error.body)


def _envelope_disagrees(call: MockRequest, document: Any) -> Any:
    for text in call.contract.operation["x-mj-task"].get("accept", {}):
        for location in places.compiled(text).locate(document):
            word = places.at(document, location)
            other: Any = (
                not word if isinstance(word, bool) else 7919 if kind(word) in places.NUMBERS else "ERROR"
            )
            writer.put(document, location, other)
    return document


def _never_empty(contract: Contract) -> bool:
    """Whether a 200 without a body is none of the contract's answers, such as that the task is missing."""
    empty = Exchange("GET", "", status=200)
    return not any(matcher.matches(empty) for matcher in contract.reader.missing)


FAULTS = (
    Fault(
        "wrong-content-type",
        "The task's answer calls itself text/plain.",
        _MEDIA_TYPE,
        finish=effects.field("content-type", "text/plain"),
    ),
    Fault(
        "no-content-type",
        "The task's answer does not say of which type it is.",
        _MEDIA_TYPE,
        finish=effects.field("content-type", None),
    ),
    Fault(
        "wrong-charset",
        "The task's answer is in UTF-8 and calls itself GBK.",
        ("fetch/200/charset",),
        finish=_other_charset,
    ),
    Fault("html-200", "A web page comes instead of the task.", _MEDIA_TYPE, finish=effects.page(200)),
    Fault(
        "html-labelled-json",
        "A web page that calls itself JSON comes instead of the task.",
        _JSON,
        finish=effects.page(200, None),
    ),
    Fault(
        "empty-200",
        "The task's answer has an empty body.",
        _JSON,
        finish=_nothing,
        needs=_never_empty,
    ),
    Fault("truncated-json", "The JSON ends in the middle, the answer does not.", _JSON, finish=_truncated),
    Fault("trailing-garbage", "A remark follows the JSON.", _JSON, finish=_garbage),
    Fault("byte-order-mark", "A byte order mark stands before the JSON.", _JSON, finish=_marked),
    Fault("invalid-utf8", "A byte in the task's answer is not UTF-8.", _JSON, finish=_in_text(b"\xff")),
    Fault(
        "half-surrogate",
        "A text of the task holds half a surrogate pair, as if cut in two there.",
        _JSON,
        finish=_in_text(b"\\ud83d"),
    ),
    Fault("nan", "A number of the task is NaN, which JSON does not have.", _JSON, alter=_nan),
    Fault(
        "duplicate-names",
        "A name stands twice in the task's document.",
        ("fetch/200/duplicate-names",),
        finish=_repeated_name,
    ),
    Fault(
        "encoded-twice",
        "The prompt was encoded twice, and is unreadable.",
        ("fetch/200/encoded-twice",),
        alter=_encoded_twice,
    ),
    Fault(
        "error-envelope-200",
        "An error's document comes with status 200 instead of the task.",
        ("fetch/200/accept",),
        finish=_error_envelope,
    ),
    Fault(
        "envelope-disagrees",
        "What the task is wrapped in says that it is an error.",
        ("fetch/200/accept",),
        alter=_envelope_disagrees,
    ),
)
