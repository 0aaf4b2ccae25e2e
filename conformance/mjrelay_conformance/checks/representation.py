"""Whether a 200 says that it is JSON, and is, and holds a task and not an error in disguise."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from json import JSONDecoder
from typing import TYPE_CHECKING, Any

from mjrelay.http import HalfPairError, NotJSONError, OversizeError
from mjrelay_conformance.checks.helpers import extension, operation, response, standard
from mjrelay_conformance.checks.status import KNOWN
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    Outcome,
    failed,
    not_applicable,
    register_check,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract


JSON = "fetch/200/json"
ACCEPT = "fetch/200/accept"
_CONTAINERS = frozenset({dict, list})
_MEDIA_TYPE = "fetch/200/media-type"
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]*)""", re.IGNORECASE)
_SUSPICIOUS = re.compile(rb"\xc3[\x80-\xb4]"), re.compile(rb"\\u00[c-fC-F]")
"""What a body holds where text of it was encoded twice: the first byte of a character, as one of its own."""
_TO_BYTES = {
    ord(text): byte for byte in range(0x80, 0xA0) if (text := bytes([byte]).decode("cp1252", "ignore"))
}
"""The characters that Windows has where Latin-1 has controls, and the bytes that they stand for."""


@register_check(_MEDIA_TYPE, Level.MUST, on=[Kind.KNOWN], needs=[KNOWN], clause=response(200))
def media_type(o: Observation) -> Judgement:
    """
    A 200 says of itself that it is what the contract documents.

    Many clients look at Content-Type before they read. Relays whose web server answers in their place send
    HTML, others send JSON as plain text.
    """
    documented = _documented(o.contract)
    if o.exchange.media_type in documented:
        return PASSED
    said = o.exchange.header("content-type")
    return failed(
        f"Content-Type: {' or '.join(documented)}",
        "no Content-Type" if said is None else f"Content-Type: {o.show(said)}",
    )


@register_check(JSON, Level.MUST, on=[Kind.KNOWN], needs=[KNOWN], clause=standard("RFC 8259 section 2"))
def json(o: Observation) -> Judgement:
    """
    The body of a 200 is one JSON text, in UTF-8, with nothing before, after or besides.

    Nothing can be read from a body that no parser takes. Relays cut bodies off, write NaN, or send another
    encoding; an empty body is how some say that there is no such task.
    """
    try:
        _ = o.exchange.document
    except HalfPairError as error:
        clause = "RFC 8259 section 8.2"
        return failed("text in characters", str(error), level=Level.SHOULD, clause=clause)
    except OversizeError as error:
        return failed("a document of the size of a task", f"the body {error}")
    except NotJSONError as error:
        if "json" not in o.exchange.media_type and o.exchange.media_type:
            return Judgement(
                Outcome.BLOCKED, actual=f"the answer does not say that it is JSON, and it is not: {error}"
            )
        return failed("one JSON text", str(error))
    return PASSED


@register_check(
    "fetch/200/charset",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[_MEDIA_TYPE],
    clause=standard("RFC 8259 section 8.1"),
)
def charset(o: Observation) -> Judgement:
    """
    A charset, where the answer names one, is UTF-8.

    Clients that believe another one turn every prompt that is not English into rubbish. Web servers add the
    default of their configuration to whatever passes through them.
    """
    named = _CHARSET.search(o.exchange.header("content-type") or "")
    if named is None:
        return not_applicable("the answer names no charset")
    if named[1].lower() in {"utf-8", "utf8"}:
        return PASSED
    return failed("charset=utf-8", f"charset={o.show(named[1])}")


@register_check(
    "fetch/200/duplicate-names",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[JSON],
    clause=standard("RFC 8259 section 4"),
)
def duplicate_names(o: Observation) -> Judgement:
    """
    No object of the document has the same name twice.

    Some parsers keep the first value and some the last, so that two clients see two tasks. Relays glue fields
    of their own to the text that came from their upstream.
    """
    # Behind each name stands a colon, and within text that may be so too. Where there are no more of those
    # than names that were read, none of these took the place of another.
    if o.exchange.body.translate(None, b" \t\r\n").count(b'":') == _names(o.exchange.document):
        return PASSED
    repeated: list[str] = []

    def seen(pairs: list[tuple[str, Any]]) -> None:
        if len(pairs) != len(dict(pairs)):
            repeated.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)

    JSONDecoder(object_pairs_hook=seen, parse_int=str, parse_float=str).decode(o.exchange.body.decode())
    if not repeated:
        return PASSED
    return failed("each name once", f"more than once: {o.show(', '.join(dict.fromkeys(repeated)))}")


@register_check(
    "fetch/200/encoded-twice",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[JSON],
    clause=standard("RFC 8259 section 8.1"),
)
def encoded_twice(o: Observation) -> Judgement:
    """
    Text beyond ASCII is encoded once.

    Prompts that come back as a row of accents cannot be used again. Relays take the UTF-8 of a caller or of
    their upstream for Latin-1 and encode it once more; that the caller's own text was like this is possible.
    """
    if not any(sign.search(o.exchange.body) for sign in _SUSPICIOUS):
        return PASSED
    for text in _texts(o.exchange.document):
        meant = _once(text)
        if meant is not None:
            return failed(o.show(meant), o.show(text))
    return PASSED


@register_check(ACCEPT, Level.MUST, on=[Kind.KNOWN], needs=[JSON], clause=operation)
def accept(o: Observation) -> Judgement:
    """
    A 200 for a task that is there is not an error in disguise.

    Clients that trust the status take an error's document for a task that never ends. Relays that wrap
    everything in a code and a message answer 200 whatever happened.
    """
    if o.task is None:
        return not_applicable("the document is no object")
    accepted = o.reader.accepts(o.task)
    if accepted and (o.reader.id(o.task) is not None or o.reader.status(o.task) is not None):
        return PASSED
    if accepted:
        return failed("a task", f"a document without any task: {o.show(o.task)}")
    code, message = o.reader.error(o.task)
    said = f"error {o.show(code)}" + (f": {o.show(message)}" if message else "")
    return failed("a task", said, clause=extension("accept")(o))


@cache
def _documented(contract: Contract) -> tuple[str, ...]:
    """The media types of a 200."""
    return tuple(media.lower() for media in contract.content(200))


def _names(document: Any) -> int:
    """How many names the objects of a document have."""
    count, open_ = 0, [document]
    for node in open_:
        if type(node) is dict:
            count += len(node)
            open_ += [value for value in node.values() if type(value) in _CONTAINERS]
        elif type(node) is list:
            open_ += [value for value in node if type(value) in _CONTAINERS]
    return count


def _texts(document: Any) -> Iterator[str]:
    """Every text in a document, names left out."""
    open_ = [document]
    while open_:
        node = open_.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict | list):
            open_.extend(reversed(node.values() if isinstance(node, dict) else node))


def _once(text: str) -> str | None:
    """What a text says that was encoded twice; None for one that was not."""
    if text.isascii():
        return None
    try:
        meant = text.translate(_TO_BYTES).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
    letters = sum(not character.isascii() and character.isalpha() for character in meant)
    return meant if letters > 1 else None  # two, for one alone may well be meant as it stands
