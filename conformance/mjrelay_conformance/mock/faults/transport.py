"""Faults below JSON: connection, framing, size, compression, redirects, overload and secrets."""

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

from mjrelay.semantics import State
from mjrelay_conformance.mock.faults import effects
from mjrelay_conformance.mock.faults.fault import SUCCEEDED, Fault
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route, with_header, with_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.contract import Contract


_TRANSFER = ("fetch/transfer",)
_ALL_ROUTES = frozenset(Route)
_ECHO = "x-caller"
"""The header and property in which a secret is echoed."""
_ELSEWHERE = "http://127.0.0.2:9"
"""Another host, on which nothing listens."""
_ALLOWED = 5
"""Number of requests that are served before the rate limit."""
_STALL = 60.0
"""Seconds after which a stalled connection is closed."""
_HUGE = 1_200_000
"""Bytes of white space that are appended to a huge body."""
_BOMB = 16
"""MiB of white space that a body decompresses to."""
_MISSING_BYTES = 24
_OVERLOAD = (
    b'{"error":{"message":"system cpu overloaded (current: 100.0%, threshold: 90%)","type":"new_api_error",'
    b'"param":"","code":"system_cpu_overloaded"}}'
)
"""The response of new-api on a machine with a CPU load above its threshold."""


def _cut(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, cut=len(response.body) // 2)


def _stalled(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, cut=len(response.body) // 2, stall=_STALL)


def _short(_: MockRequest, response: MockResponse) -> MockResponse:
    return evolve(response, body=response.body + b" " * _MISSING_BYTES, cut=len(response.body))


def _overloaded(requests: float) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that replaces the response to the first ``requests`` requests by 503."""

    def turn_away(request: MockRequest, response: MockResponse) -> MockResponse:
        if request.number >= requests:
            return response
        return MockResponse(503, (("content-type", "application/json"),), _OVERLOAD)

    return turn_away


def _late(seconds: float) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that delays the response."""
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


def _has_many_tasks(contract: Contract) -> bool:
    """Whether so many tasks are known that the limit ends requests for one of them."""
    return len(contract.examples.keys() & set(State)) > _ALLOWED // 2


def _limited(after: str) -> Callable[[MockRequest, MockResponse], MockResponse]:
    """Return a hook that limits the number of requests and sends this Retry-After."""

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
    secret = quote(request.secrets[0], safe=string.punctuation, errors="replace")  # header values are ASCII
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
    """Compress a body and much white space with gzip (RFC 1952), at a high ratio."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)
    blanks = packer.compress(_mebibyte()) + packer.flush(zlib.Z_FULL_FLUSH)
    check = zlib.crc32(body)
    for _ in range(_BOMB):
        check = zlib.crc32(_mebibyte(), check)
    # After a full flush equal bytes compress to equal bytes, so one block can be repeated.
    end = packer.flush(zlib.Z_FINISH) + struct.pack("<II", check, (len(body) + (_BOMB << 20)) % (1 << 32))
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + packed + blanks * _BOMB + end


@cache
def _mebibyte() -> bytes:
    return b" " * (1 << 20)


FAULTS = (
    Fault(
        "connection-reset",
        "The connection closes halfway through the body of a task response.",
        _TRANSFER,
        on_response=_cut,
    ),
    Fault(
        "stalls-mid-body",
        "Half of the body of a task response is sent; the rest never follows.",
        _TRANSFER,
        on_response=_stalled,
    ),
    Fault(
        "wrong-length",
        "Content-Length of a task response is larger than its body.",
        _TRANSFER,
        on_response=_short,
    ),
    Fault(
        "slow",
        "The response for a succeeded task is delayed by 2 seconds.",
        ("fetch/latency",),
        on_response=_late(2.0),
        states=SUCCEEDED,
    ),
    Fault(
        "very-slow",
        "The response for a succeeded task is delayed by 12 seconds.",
        ("fetch/latency",),
        on_response=_late(12.0),
        states=SUCCEEDED,
    ),
    Fault(
        "huge-body",
        "Trailing white space makes a task response larger than 1 MB.",
        ("fetch/size",),
        on_response=_huge,
    ),
    Fault(
        "gzip-unasked",
        "Task responses are compressed with gzip regardless of Accept-Encoding.",
        ("fetch/content-encoding",),
        on_response=_zipped,
    ),
    Fault(
        "gzip-bomb",
        "A small gzip body decompresses to 16 MiB.",
        ("fetch/size", "fetch/transfer", "fetch/content-encoding"),
        on_response=_bomb,
    ),
    Fault(
        "redirect-to-other-host",
        "Task requests are redirected to another host.",
        ("fetch/redirect",),
        on_response=_redirect,
    ),
    Fault(
        "rate-limited",
        "Requests after the first five return 429 with Retry-After.",
        ("fetch/rate-limit",),
        on_response=_limited("30"),
        routes=_ALL_ROUTES,
        needs=_has_many_tasks,
    ),
    Fault(
        "retry-after-nonsense",
        "Requests after the first five return 429 with an invalid Retry-After.",
        ("fetch/retry-after",),
        on_response=_limited("in a while"),
        routes=_ALL_ROUTES,
        needs=_has_many_tasks,
    ),
    Fault(
        "overloaded",
        "The first five requests return 503 before the credential is checked.",
        ("fetch/rate-limit", "fetch/retry-after"),
        on_response=_overloaded(5),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "overloaded-always",
        "Every request returns 503 before the credential is checked.",
        ("fetch/rate-limit", "fetch/retry-after"),
        on_response=_overloaded(float("inf")),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "secret-echoed",
        "A task response contains the caller's credential.",
        ("fetch/secret",),
        on_document=_echo_in_body,
        on_response=_echo,
        needs=lambda contract: bool(contract.credentials),
    ),
    Fault(
        "secret-echoed-encoded",
        "A task response contains the caller's credential in Base64 and percent-encoded.",
        ("fetch/secret",),
        on_document=_echo_encoded,
        on_response=_echo_in_base64,
        needs=lambda contract: bool(contract.credentials),
    ),
)
