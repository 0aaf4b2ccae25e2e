"""Checks of the representation: a 200 response is JSON, declares so, and is not an error."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections import Counter
from functools import cache
from json import JSONDecoder
from typing import TYPE_CHECKING, Any

from mjrelay.http import HalfPairError, NotJSONError, OversizeError
from mjrelay_conformance.checks.helpers import extension, operation, response, standard
from mjrelay_conformance.checks.status import known
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    blocked,
    define_check,
    failed,
    not_applicable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract


_CONTAINERS = frozenset({dict, list})
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]*)""", re.IGNORECASE)
_SUSPICIOUS = re.compile(rb"\xc3[\x80-\xb4]"), re.compile(rb"\\u00[c-fC-F]")
"""Bytes of a body with text that was encoded twice: the lead byte of a character, encoded once more."""
_TO_BYTES = {
    ord(text): byte for byte in range(0x80, 0xA0) if (text := bytes([byte]).decode("cp1252", "ignore"))
}
"""The characters of Windows-1252 where Latin-1 has control characters, and their bytes."""


@define_check(
    "fetch/200/media-type",
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[known],
    clause=response(200),
    judges_headers=True,
)
def media_type(o: Observation) -> Judgement:
    """
    A 200 response has the Content-Type that the contract documents.

    Many clients check Content-Type before they parse. A web server in front of the relay sends HTML in its
    place, and some relays send JSON as plain text.
    """
    documented = _documented(o.contract)
    if o.exchange.media_type in documented:
        return PASSED
    value = o.exchange.header("content-type")
    return failed(
        f"Content-Type: {' or '.join(documented)}",
        "no Content-Type" if value is None else f"Content-Type: {o.show(value)}",
    )


@define_check(
    "fetch/200/json", Level.MUST, on=[Kind.KNOWN], needs=[known], clause=standard("RFC 8259 section 2")
)
def json(o: Observation) -> Judgement:
    """
    The body of a 200 response is exactly one JSON text in UTF-8.

    Clients cannot parse anything else. Relays truncate bodies, write NaN, or send another encoding. Some
    return an empty body for a missing task.
    """
    try:
        _ = o.exchange.document
    except HalfPairError as error:
        clause = "RFC 8259 section 8.2"
        return failed("text without lone surrogates", str(error), level=Level.SHOULD, clause=clause)
    except OversizeError as error:
        return failed("a document of the size of a task", f"the body {error}")
    except NotJSONError as error:
        if "json" not in o.exchange.media_type and o.exchange.media_type:
            return blocked(f"the response is not JSON and does not declare it: {error}")
        return failed("one JSON text", str(error))
    return PASSED


@define_check(
    "fetch/200/byte-order-mark",
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[json],
    clause=standard("RFC 8259 section 8.1"),
)
def byte_order_mark(o: Observation) -> Judgement:
    """
    The JSON of a 200 response does not start with a byte order mark.

    Many JSON parsers refuse it. Relays on Windows and in PHP write it if a source file or template has one.
    """
    if not o.exchange.body.startswith(BOM_UTF8):
        return PASSED
    return failed("JSON from the first byte", "a byte order mark, EF BB BF, before the JSON")


@define_check(
    "fetch/200/charset",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[media_type],
    clause=standard("RFC 8259 section 8.1"),
    judges_headers=True,
)
def charset(o: Observation) -> Judgement:
    """
    The charset in Content-Type, if there is one, is UTF-8.

    Clients that honour another charset garble every prompt that is not ASCII. Web servers add their
    configured default to every response.
    """
    named = _CHARSET.search(o.exchange.header("content-type") or "")
    if named is None:
        return not_applicable("Content-Type has no charset")
    if named[1].lower() in {"utf-8", "utf8"}:
        return PASSED
    return failed("charset=utf-8", f"charset={o.show(named[1])}")


@define_check(
    "fetch/200/duplicate-names",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[json],
    clause=standard("RFC 8259 section 4"),
)
def duplicate_names(o: Observation) -> Judgement:
    """
    No object of the document has a duplicate name.

    Some parsers keep the first value and some the last, so two clients see different tasks. Relays append
    fields to the JSON text of their upstream.
    """
    # Each name is followed by a colon, and strings may contain the same characters. If there are no more of
    # them than names in the parsed document, no name was lost.
    if o.exchange.body.translate(None, b" \t\r\n").count(b'":') == _names(o.exchange.document):
        return PASSED
    repeated: list[str] = []

    def seen(pairs: list[tuple[str, Any]]) -> None:
        if len(pairs) != len(dict(pairs)):
            repeated.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)

    JSONDecoder(object_pairs_hook=seen, parse_int=str, parse_float=str).decode(
        o.exchange.body.decode("utf-8-sig")
    )
    if not repeated:
        return PASSED
    return failed("each name once", f"duplicates: {o.show(', '.join(dict.fromkeys(repeated)))}")


@define_check(
    "fetch/200/encoded-twice",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[json],
    clause=standard("RFC 8259 section 8.1"),
)
def encoded_twice(o: Observation) -> Judgement:
    """
    Non-ASCII text is encoded as UTF-8 only once.

    Prompts that come back garbled cannot be used again. Relays decode UTF-8 as Latin-1 and encode it once
    more. The caller's own prompt may have been garbled before.
    """
    if not any(sign.search(o.exchange.body) for sign in _SUSPICIOUS):
        return PASSED
    for text in _texts(o.exchange.document):
        meant = _once(text)
        if meant is not None:
            return failed(o.show(meant), o.show(text))
    return PASSED


@define_check("fetch/200/accept", Level.MUST, on=[Kind.KNOWN], needs=[json], clause=operation)
def accept(o: Observation) -> Judgement:
    """
    A 200 response for an existing task is not an error document.

    Clients that trust the status mistake the error for a task that never ends. Relays that wrap every
    response in a code and a message return 200 for errors too.
    """
    if o.task is None:
        return not_applicable("the document is not an object")
    accepted = o.reader.accepts(o.task)
    if accepted and (o.reader.id(o.task) is not None or o.reader.status(o.task) is not None):
        return PASSED
    if accepted:
        return failed("a task", f"a document without a task: {o.show(o.task)}")
    code, message = o.reader.error(o.task)
    shown = "an error document" if code is None else f"error {o.show(code)}"
    shown += f": {o.show(message)}" if message else ""
    return failed("a task", shown, clause=extension("accept")(o))


CHECKS = (media_type, json, byte_order_mark, charset, duplicate_names, encoded_twice, accept)


@cache
def _documented(contract: Contract) -> tuple[str, ...]:
    """Return the media types of a 200 response."""
    return tuple(media.lower() for media in contract.content(200))


def _names(document: Any) -> int:
    """Count the names in all objects of a document."""
    count, open_ = 0, [document]
    for node in open_:
        if type(node) is dict:
            count += len(node)
            open_ += [value for value in node.values() if type(value) in _CONTAINERS]
        elif type(node) is list:
            open_ += [value for value in node if type(value) in _CONTAINERS]
    return count


def _texts(document: Any) -> Iterator[str]:
    """Yield every string value of a document."""
    open_ = [document]
    while open_:
        node = open_.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict | list):
            open_.extend(reversed(node.values() if isinstance(node, dict) else node))


def _once(text: str) -> str | None:
    """Decode a text that was encoded twice; None for any other text."""
    if text.isascii():
        return None
    try:
        meant = text.translate(_TO_BYTES).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
    letters = sum(not character.isascii() and character.isalpha() for character in meant)
    return meant if letters > 1 else None  # a single one may be intended
