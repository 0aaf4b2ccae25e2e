"""Faults of the answer's way: what the transport checks find."""

from __future__ import annotations

import base64
import gzip
import string
import struct
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import evolve

from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import SUCCEEDED, Fault
from mjrelay_conformance.mock.response import MockRequest, MockResponse, Route, with_field, with_type

if TYPE_CHECKING:
    from collections.abc import Callable


_TRANSFER = ("fetch/transfer",)
_ALL_ROUTES = frozenset(Route)
_ECHO = "x-caller"
"""The field in which a relay gives a caller's secret away."""
_ELSEWHERE = "http://127.0.0.2:9"
"""Another host, where nothing listens."""
_ALLOWED = 5
"""Requests that a relay answers before it limits them."""
_STALL = 60.0
"""Seconds after which a relay that says no more hangs up."""
_HUGE = 1_200_000
"""Bytes of white space that make a body huge."""
_BOMB = 16
"""Mebibytes of white space that a body unpacks to."""
_MISSING_BYTES = 24
_OVERLOAD = (
    b'{"error":{"message":"system cpu overloaded (current: 100.0%, threshold: 90%)","type":"new_api_error",'
    b'"param":"","code":"system_cpu_overloaded"}}'
)
"""What the code of new-api answers on a machine without a free processor."""


def _cut(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(answer, cut=len(answer.body) // 2)


def _stalled(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(answer, cut=len(answer.body) // 2, stall=_STALL)


def _short(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(answer, body=answer.body + b" " * _MISSING_BYTES, cut=len(answer.body))


def _overloaded(requests: float) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that turns away so many requests, before anything of them is looked at."""

    def turn_away(call: MockRequest, answer: MockResponse) -> MockResponse:
        if call.number >= requests:
            return answer
        return MockResponse(503, (("content-type", "application/json"),), _OVERLOAD)

    return turn_away


def _late(seconds: float) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that keeps callers waiting."""
    return lambda _, answer: evolve(answer, delay=answer.delay + seconds)


_huge = effects.appended(b" " * _HUGE)


def _zipped(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(with_field(answer, "content-encoding", "gzip"), body=gzip.compress(answer.body, mtime=0))


def _bomb(_: MockRequest, answer: MockResponse) -> MockResponse:
    return evolve(with_field(answer, "content-encoding", "gzip"), body=_bombed(answer.body))


def _redirect(call: MockRequest, answer: MockResponse) -> MockResponse:
    untyped = with_type(answer, None)
    location = ("location", _ELSEWHERE + call.contract.request(call.task_id).target)
    return evolve(untyped, status=302, headers=(*untyped.headers, location), body=b"")


def _limited(after: str) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that answers no more than so many requests."""

    def limit(call: MockRequest, answer: MockResponse) -> MockResponse:
        return answer if call.number < _ALLOWED else MockResponse(429, (("retry-after", after),))

    return limit


def _echo_in_body(call: MockRequest, document: Any) -> Any:
    if isinstance(document, dict) and call.secrets:
        document[_ECHO] = call.secrets[0]
    return document


def _echo(call: MockRequest, answer: MockResponse) -> MockResponse:
    if not call.secrets:
        return answer
    secret = quote(call.secrets[0], safe=string.punctuation, errors="replace")  # a header field bears no more
    return evolve(answer, headers=(*answer.headers, (_ECHO, secret)))


def _echo_encoded(call: MockRequest, document: Any) -> Any:
    if isinstance(document, dict) and call.secrets:
        document[_ECHO] = "".join(f"%{byte:02X}" for byte in call.secrets[0].encode(errors="replace"))
    return document


def _echo_in_base64(call: MockRequest, answer: MockResponse) -> MockResponse:
    if not call.secrets:
        return answer
    secret = base64.b64encode(call.secrets[0].encode(errors="replace")).decode()
    return evolve(answer, headers=(*answer.headers, (_ECHO, secret)))


@lru_cache(maxsize=32)
def _bombed(body: bytes) -> bytes:
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


FAULTS = (
    Fault(
        "connection-reset",
        "The connection ends in the middle of the task's answer.",
        _TRANSFER,
        finish=_cut,
    ),
    Fault(
        "stalls-mid-body",
        "Half of the task's answer comes, and then nothing until the caller leaves.",
        _TRANSFER,
        finish=_stalled,
    ),
    Fault("wrong-length", "The task's answer announces more bytes than it has.", _TRANSFER, finish=_short),
    Fault(
        "slow",
        "A succeeded task takes two seconds to come.",
        ("fetch/latency",),
        finish=_late(2.0),
        states=SUCCEEDED,
    ),
    Fault(
        "very-slow",
        "A succeeded task takes twelve seconds to come.",
        ("fetch/latency",),
        finish=_late(12.0),
        states=SUCCEEDED,
    ),
    Fault(
        "huge-body",
        "White space makes the task's answer larger than a megabyte.",
        ("fetch/size",),
        finish=_huge,
    ),
    Fault(
        "gzip-unasked",
        "The task's answer is compressed, whether the caller reads that or not.",
        ("fetch/content-encoding",),
        finish=_zipped,
    ),
    Fault(
        "gzip-bomb",
        "The task's answer is small and unpacks to 16 megabytes.",
        ("fetch/size", "fetch/transfer", "fetch/content-encoding"),
        finish=_bomb,
    ),
    Fault(
        "redirect-to-other-host",
        "The task's answer is a redirect to another host.",
        ("fetch/redirect",),
        finish=_redirect,
    ),
    Fault(
        "rate-limited",
        "After five requests every other one is answered with 429.",
        ("fetch/rate-limit",),
        finish=_limited("30"),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "retry-after-nonsense",
        "After five requests every other one is answered with 429, and is to be repeated at no time at all.",
        ("fetch/retry-after",),
        finish=_limited("in a while"),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "overloaded",
        "The first five requests are answered with 503, before their credential is looked at.",
        ("fetch/rate-limit", "fetch/retry-after"),
        finish=_overloaded(5),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "overloaded-always",
        "Every request is answered with 503, before its credential is looked at.",
        ("fetch/rate-limit", "fetch/retry-after"),
        finish=_overloaded(float("inf")),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "secret-echoed",
        "The caller's credential stands in the task's answer.",
        ("fetch/secret",),
        alter=_echo_in_body,
        finish=_echo,
        needs=lambda contract: bool(contract.credentials),
    ),
    Fault(
        "secret-echoed-encoded",
        "The caller's credential stands in the task's answer, in Base64 and percent-encoded.",
        ("fetch/secret",),
        alter=_echo_encoded,
        finish=_echo_in_base64,
        needs=lambda contract: bool(contract.credentials),
    ),
)
