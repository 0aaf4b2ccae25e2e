"""What faults do to a finished answer: each function takes a call and its answer, and gives another one."""

from __future__ import annotations

import base64
import gzip
import json
import string
import struct
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from attrs import evolve

from mjrelay.http import NotJSONError, parse_json
from mjrelay_conformance.mock import document_faults as _damage
from mjrelay_conformance.mock import response as _answer
from mjrelay_conformance.mock.response import Answer, Call

if TYPE_CHECKING:
    from collections.abc import Callable


ELSEWHERE = "http://127.0.0.2:9"
"""Another host, where nothing listens."""
ALLOWED = 5
"""Requests that a relay answers before it limits them."""
STALL = 60.0
"""Seconds after which a relay that says no more hangs up."""
_HUGE = 1_200_000
"""Bytes of white space that make a body huge."""
_BOMB = 16
"""Mebibytes of white space that a body unpacks to."""
_LONGEST_ID = 200
_MISSING_BYTES = 24


def typed(answer: Answer, content_type: str | None) -> Answer:
    """The answer with another Content-Type, or with none."""
    return with_field(answer, "content-type", content_type)


def with_field(answer: Answer, name: str, value: str | None) -> Answer:
    """The answer with one value in a header field, or without the field."""
    kept = tuple((key, one) for key, one in answer.headers if key != name)
    return evolve(answer, headers=kept if value is None else ((name, value), *kept))


def status(code: int) -> Callable[[Call, Answer], Answer]:
    """The change that gives answers another status."""
    return lambda _, answer: evolve(answer, status=code)


def field(name: str, value: str | None) -> Callable[[Call, Answer], Answer]:
    """The change that sets a header field, or leaves it out."""
    return lambda _, answer: with_field(answer, name, value)


def page(code: int, content_type: str | None = _answer.HTML) -> Callable[[Call, Answer], Answer]:
    """The change that puts a web page in place of a body; without a type it keeps the answer's own."""
    return lambda _, answer: evolve(
        typed(answer, content_type or answer.content_type or _answer.JSON), status=code, body=_answer.PAGE
    )


def emptied(_: Call, answer: Answer) -> Answer:
    return evolve(typed(answer, None), status=200, body=b"")


def appended(text: bytes) -> Callable[[Call, Answer], Answer]:
    """The change that puts more behind a body."""
    return lambda _, answer: evolve(answer, body=answer.body + text)


huge = appended(b" " * _HUGE)
garbage = appended(b"\n<!-- served from the cache -->\n")


def marked(_: Call, answer: Answer) -> Answer:
    return evolve(answer, body=b"\xef\xbb\xbf" + answer.body)


def error_envelope(call: Call, answer: Answer) -> Answer:
    error = _answer.error(call.contract)
    return evolve(typed(answer, error.content_type), status=200, body=error.body)


def nothing(_: Call, answer: Answer) -> Answer:
    return evolve(answer, body=b"")


def truncated(_: Call, answer: Answer) -> Answer:
    half = answer.body[: len(answer.body) // 2]
    return evolve(answer, body=half.decode("utf-8", "ignore").encode())  # between two characters


def in_text(sign: bytes) -> Callable[[Call, Answer], Answer]:
    """The change that puts bytes at the beginning of a body's last text."""

    def put(_: Call, answer: Answer) -> Answer:
        text = answer.body.rfind(b':"')
        place = len(answer.body) if text < 0 else text + 2
        return evolve(answer, body=answer.body[:place] + sign + answer.body[place:])

    return put


def repeated_name(_: Call, answer: Answer) -> Answer:
    try:
        document = parse_json(answer.body)
    except NotJSONError:
        return answer
    if not isinstance(document, dict) or not document:
        return answer
    name, value = next(iter(document.items()))
    member = json.dumps(name, ensure_ascii=False).encode() + b":" + _answer.encode(value)
    return evolve(answer, body=b"{" + member + b"," + answer.body.lstrip()[1:])


def other_charset(_: Call, answer: Answer) -> Answer:
    media_type = (answer.content_type or _answer.JSON).partition(";")[0]
    return typed(answer, f"{media_type}; charset=gbk")


def zipped(_: Call, answer: Answer) -> Answer:
    return evolve(with_field(answer, "content-encoding", "gzip"), body=gzip.compress(answer.body, mtime=0))


def bomb(_: Call, answer: Answer) -> Answer:
    return evolve(with_field(answer, "content-encoding", "gzip"), body=_bomb(answer.body))


def redirect(call: Call, answer: Answer) -> Answer:
    untyped = typed(answer, None)
    location = ("location", ELSEWHERE + call.contract.request(call.task_id).target)
    return evolve(untyped, status=302, headers=(*untyped.headers, location), body=b"")


def login(_: Call, answer: Answer) -> Answer:
    return evolve(with_field(typed(answer, None), "location", "/login"), status=302, body=b"")


def null(_: Call, answer: Answer) -> Answer:
    return evolve(typed(answer, _answer.JSON), status=200, body=b"null")


def other_missing_status(call: Call, answer: Answer) -> Answer:
    described = {matcher.status for matcher in call.contract.reader.missing}
    return evolve(answer, status=next(code for code in (410, 404, 422) if code not in described))


def refusal_with_task(call: Call, answer: Answer) -> Answer:
    return answer if call.entitled else evolve(answer, status=401)


def echo(call: Call, answer: Answer) -> Answer:
    if not call.secrets:
        return answer
    secret = quote(call.secrets[0], safe=string.punctuation, errors="replace")  # a header field bears no more
    return evolve(answer, headers=(*answer.headers, (_damage.ECHO, secret)))


def echo_in_base64(call: Call, answer: Answer) -> Answer:
    if not call.secrets:
        return answer
    secret = base64.b64encode(call.secrets[0].encode(errors="replace")).decode()
    return evolve(answer, headers=(*answer.headers, (_damage.ECHO, secret)))


def every_second(call: Call, answer: Answer) -> Answer:
    return evolve(answer, status=500) if call.reads % 2 else answer


def limited(after: str) -> Callable[[Call, Answer], Answer]:
    """The change that answers no more than so many requests."""

    def limit(call: Call, answer: Answer) -> Answer:
        return answer if call.number < ALLOWED else Answer(429, (("retry-after", after),))

    return limit


def late(seconds: float) -> Callable[[Call, Answer], Answer]:
    """The change that keeps callers waiting."""
    return lambda _, answer: evolve(answer, delay=answer.delay + seconds)


def cut(_: Call, answer: Answer) -> Answer:
    return evolve(answer, cut=len(answer.body) // 2)


def stalled(_: Call, answer: Answer) -> Answer:
    return evolve(answer, cut=len(answer.body) // 2, stall=STALL)


def short(_: Call, answer: Answer) -> Answer:
    return evolve(answer, body=answer.body + b" " * _MISSING_BYTES, cut=len(answer.body))


def non_ascii_id(call: Call, answer: Answer) -> Answer:
    return answer if call.task_id.isascii() else Answer(500)


def long_id(call: Call, answer: Answer) -> Answer:
    return answer if len(call.task_id) <= _LONGEST_ID else Answer(500)


def unknown_query(call: Call, answer: Answer) -> Answer:
    parameters = call.contract.operation.get("parameters", [])
    known = {call.contract.resolve(one).get("name") for one in parameters}
    known |= {one.field for one in call.contract.credentials if one.place == "query"}
    return answer if {name for name, _ in call.request.query} <= known else Answer(500)


def for_browsers(call: Call, answer: Answer) -> Answer:
    accepted = ",".join(call.request.values("header", "accept"))
    browser = "text/html" in accepted or any(call.request.values("header", "accept-language"))
    return page(200)(call, answer) if browser else answer


@lru_cache(maxsize=32)
def _bomb(body: bytes) -> bytes:
    """A body with much white space behind it, in gzip (RFC 1952): small on the way, large once unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)
    blanks = packer.compress(_mebibyte()) + packer.flush(zlib.Z_FULL_FLUSH)
    check = zlib.crc32(body)
    for _ in range(_BOMB):
        check = zlib.crc32(_mebibyte(), check)
    # Behind a full flush the same bytes are packed in the same way, so that once is enough.
    end = packer.flush(zlib.Z_FINISH) + struct.pack("<II", check, (len(body) + (_BOMB << 20)) % (1 << 32))
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + packed + blanks * _BOMB + end


@cache
def _mebibyte() -> bytes:
    return b" " * (1 << 20)
