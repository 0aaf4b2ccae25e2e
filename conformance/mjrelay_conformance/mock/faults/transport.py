"""Faults of the response's way: what the transport checks find."""

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
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route, with_header, with_type

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


def _cut(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, cut=len(response.body) // 2)


def _stalled(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, cut=len(response.body) // 2, stall=_STALL)


def _short(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, body=response.body + b" " * _MISSING_BYTES, cut=len(response.body))


def _overloaded(requests: float) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that turns away so many requests, before anything of them is looked at."""

    def turn_away(request: MockRequest, response: MockResponse) -> MockResponse:
        if request.number >= requests:
            return response
        return MockResponse(503, (("content-type", "application/json"),), _OVERLOAD)

    return turn_away


def _late(seconds: float) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that keeps callers waiting."""
    return lambda _, response: evolve(response, delay=response.delay + seconds)


_huge = effects.append(b" " * _HUGE)


def _zipped(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(
        with_header(response, "content-encoding", "gzip"), body=gzip.compress(response.body, mtime=0)
    )


def _bomb(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(with_header(response, "content-encoding", "gzip"), body=_bombed(response.body))


def _redirect(request: MockRequest, response: MockResponse) -> MockResponse:
    untyped = with_type(response, None)
    location = ("location", _ELSEWHERE + request.contract.request(request.task_id).target)
    return evolve(untyped, status=302, headers=(*untyped.headers, location), body=b"")


def _limited(after: str) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """The change that answers no more than so many requests."""

    def limit(request: MockRequest, response: MockResponse) -> MockResponse:
        return response if request.number < _ALLOWED else MockResponse(429, (("retry-after", after),))

    return limit


def _echo_in_body(request: MockRequest, document: Any) -> Any:
    if isinstance(document, dict) and request.secrets:
        document[_ECHO] = request.secrets[0]
    return document


def _echo(request: MockRequest, response: MockResponse) -> MockResponse:
    if not request.secrets:
        return response
    secret = quote(
        request.secrets[0], safe=string.punctuation, errors="replace"
    )  # a header field bears no more
    return evolve(response, headers=(*response.headers, (_ECHO, secret)))


def _echo_encoded(request: MockRequest, document: Any) -> Any:
    if isinstance(document, dict) and request.secrets:
        document[_ECHO] = "".join(f"%{byte:02X}" for byte in request.secrets[0].encode(errors="replace"))
    return document


def _echo_in_base64(request: MockRequest, response: MockResponse) -> MockResponse:
    if not request.secrets:
        return response
    secret = base64.b64encode(request.secrets[0].encode(errors="replace")).decode()
    return evolve(response, headers=(*response.headers, (_ECHO, secret)))


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
        "The connection ends in the middle of the task's response.",
        _TRANSFER,
        on_response=_cut,
    ),
    Fault(
        "stalls-mid-body",
        "Half of the task's response comes, and then nothing until the caller leaves.",
        _TRANSFER,
        on_response=_stalled,
    ),
    Fault(
        "wrong-length", "The task's response announces more bytes than it has.", _TRANSFER, on_response=_short
    ),
    Fault(
        "slow",
        "A succeeded task takes two seconds to come.",
        ("fetch/latency",),
        on_response=_late(2.0),
        states=SUCCEEDED,
    ),
    Fault(
        "very-slow",
        "A succeeded task takes twelve seconds to come.",
        ("fetch/latency",),
        on_response=_late(12.0),
        states=SUCCEEDED,
    ),
    Fault(
        "huge-body",
        "White space makes the task's response larger than a megabyte.",
        ("fetch/size",),
        on_response=_huge,
    ),
    Fault(
        "gzip-unasked",
        "The task's response is compressed, whether the caller reads that or not.",
        ("fetch/content-encoding",),
        on_response=_zipped,
    ),
    Fault(
        "gzip-bomb",
        "The task's response is small and unpacks to 16 megabytes.",
        ("fetch/size", "fetch/transfer", "fetch/content-encoding"),
        on_response=_bomb,
    ),
    Fault(
        "redirect-to-other-host",
        "The task's response is a redirect to another host.",
        ("fetch/redirect",),
        on_response=_redirect,
    ),
    Fault(
        "rate-limited",
        "After five requests every other one is answered with 429.",
        ("fetch/rate-limit",),
        on_response=_limited("30"),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "retry-after-nonsense",
        "After five requests every other one is answered with 429, and is to be repeated at no time at all.",
        ("fetch/retry-after",),
        on_response=_limited("in a while"),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "overloaded",
        "The first five requests are answered with 503, before their credential is looked at.",
        ("fetch/rate-limit", "fetch/retry-after"),
        on_response=_overloaded(5),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "overloaded-always",
        "Every request is answered with 503, before its credential is looked at.",
        ("fetch/rate-limit", "fetch/retry-after"),
        on_response=_overloaded(float("inf")),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "secret-echoed",
        "The caller's credential stands in the task's response.",
        ("fetch/secret",),
        on_document=_echo_in_body,
        on_response=_echo,
        needs=lambda contract: bool(contract.credentials),
    ),
    Fault(
        "secret-echoed-encoded",
        "The caller's credential stands in the task's response, in Base64 and percent-encoded.",
        ("fetch/secret",),
        on_document=_echo_encoded,
        on_response=_echo_in_base64,
        needs=lambda contract: bool(contract.credentials),
    ),
)
