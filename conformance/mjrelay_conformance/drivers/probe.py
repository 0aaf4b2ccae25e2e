"""
Send requests and receive responses without changing either.

The probe uses the connections of the client's transport. It sends each request once, on a new connection, and
keeps what was received of a response that h11 refuses; see `lenient`.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from typing import TYPE_CHECKING

from attrs import define, field

from mjrelay.base import __version__
from mjrelay.http import CompressionError, Exchange, TruncatedError, decompress, origin_and_target
from mjrelay.transport import ClientProtocol, ExchangeError, open_connection, receive
from mjrelay_conformance.drivers.lenient import content_lengths, read_head
from mjrelay_conformance.judging import OVERLONG

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.http import Headers, Redactor, Request
    from mjrelay.transport import OpenConnection


LARGEST_BODY = 2 * 1024 * 1024
"""Maximum size of a response body in bytes; a task has a few kilobytes."""
LARGEST_HEAD, MOST_FIELDS = 64 * 1024, 100
"""Bytes and fields of a header that common clients read; Python's own refuses more."""
LATE = "the response did not end in time"
_READ_SIZE = 64 * 1024


@define
class Probe:
    """
    Send requests to one relay, each once and on a new connection. Redirects are not followed.

    Secrets are redacted from the URL and the request headers of an exchange, not from the response.

    Attributes:
        base_url: Base URL of the relay.
        redactor: Redacts secrets.
        deadline: Seconds for each exchange in total.
        proxy: URL of an HTTP proxy, or an empty string for none. None means the environment's proxy.
        verify: Trusted certificates; see `TransportConfig`.
        sent: Number of requests sent.
    """

    base_url: str
    redactor: Redactor = field(repr=False)
    deadline: float = 30.0
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str | ssl.SSLContext = True
    sent: int = 0

    def send(self, request: Request) -> Exchange:
        """Send a request and return the exchange. Network errors are reported in its ``failure``."""
        origin, target = origin_and_target(self.base_url, request.target)
        fields = fields_of(request, origin.rpartition("@")[2].rpartition("/")[2])
        self.sent += 1
        started = time.monotonic()

        def left() -> float:
            seconds = started + self.deadline - time.monotonic()
            if seconds <= 0:
                raise ExchangeError(LATE)
            return seconds

        response, failure = _Response(request, target, fields), None
        try:
            opened = open_connection(origin, left, proxy_url=self.proxy, verify=self.verify)
            with contextlib.closing(opened.sock):
                response.receive(opened, left)
        except (ExchangeError, OSError, UnicodeError) as error:
            failure = _reason(error)
        body = bytes(response.body)
        if failure is None:
            body, failure = inflated(response.headers, body)
        return Exchange(
            method=request.method,
            url=self.redactor.text(origin + target),
            request_headers=tuple((name, self.redactor.text(value)) for name, value in fields),
            request_body=self.redactor.bytes(request.body),
            status=response.status,
            headers=response.headers,
            body=body,
            elapsed=time.monotonic() - started,
            failure=None if failure is None else self.redactor.text(failure),
        )


def fields_of(request: Request, host: str) -> Headers:
    """Return the header fields to send: the default ones that the request does not set, and its own."""
    named = {name.lower() for name, _ in request.headers}
    default = (
        ("Host", host),
        ("User-Agent", f"mjrelay/{__version__} conformance"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    )
    return (*((name, value) for name, value in default if name.lower() not in named), *request.headers)


class _Response:
    """The response to a request, as far as it was received."""

    def __init__(self, request: Request, target: str, fields: Headers) -> None:
        self.status: int | None = None
        self.headers: Headers = ()
        self.body = bytearray()
        self._head = bytearray()
        self._request, self._target, self._fields = request, target, fields

    def receive(self, opened: OpenConnection, left: Callable[[], float]) -> None:
        """Send the request and receive the response; raise `ExchangeError` if it is not complete."""
        sock, protocol = opened.sock, ClientProtocol("")
        sock.settimeout(left())
        with contextlib.suppress(ConnectionError):  # the response may have arrived before the relay closed
            sock.sendall(self._sent(protocol, opened))
        complete = False
        while not complete:
            sock.settimeout(left())
            data = receive(sock, _READ_SIZE)
            try:
                complete = self._feed(protocol, data)
            except ExchangeError as error:
                if self.status is not None or not self._head:
                    raise self._error(error, ended=not data) from error
                head = read_head(bytes(self._head), ended=not data)
                self.status, self.headers = head.status, head.headers
                if head.problem is not None:
                    raise ExchangeError(head.problem) from error
                protocol = ClientProtocol("")
                self._sent(protocol, opened)  # h11 reads a response only after a request
                complete = protocol.receive(head.rest, self) or (not data and protocol.receive(data, self))

    def begin(self, status: int, headers: Headers) -> None:
        """Keep status and header, unless h11 refused them; refuse a header that clients refuse."""
        if self.status is None:
            self.status, self.headers = status, headers
        if len(headers) > MOST_FIELDS:
            raise ExchangeError(f"the header has more than {MOST_FIELDS} fields")
        if sum(len(name) + len(value) for name, value in headers) > LARGEST_HEAD:
            raise ExchangeError(f"the header is larger than {LARGEST_HEAD} bytes")

    def add(self, piece: bytes) -> None:
        """Keep a piece of the body, up to the bound."""
        self.body += piece
        if len(self.body) > LARGEST_BODY:
            raise ExchangeError(OVERLONG)

    def _sent(self, protocol: ClientProtocol, opened: OpenConnection) -> bytes:
        request, fields = self._request, (*self._fields, *opened.headers)
        return protocol.request_bytes(
            request.method, opened.prefix + self._target, fields, request.body, "utf-8"
        )

    def _feed(self, protocol: ClientProtocol, data: bytes | None) -> bool:
        if self.status is None:
            self._head += data or b""
            if not b"HTTP/1.".startswith(self._head[:7]):
                raise ExchangeError("the response is not HTTP/1")  # h11 reads any version
        return protocol.receive(data, self)

    def _error(self, error: ExchangeError, *, ended: bool) -> ExchangeError:
        """Return the error of a body, or of no response, in words that do not depend on h11."""
        if not self._head:
            return ExchangeError("the connection ended before a response arrived")
        if not isinstance(error.__cause__, Exception):  # not h11's
            return error
        if not ended:
            return ExchangeError("the chunks of the body are not valid")
        lengths = content_lengths(self.headers)
        left = f" {int(lengths.pop()) - len(self.body)} bytes" if len(lengths) == 1 else ""
        return ExchangeError(f"the connection ended{left} before the body did")


def inflated(headers: Headers, body: bytes) -> tuple[bytes, str | None]:
    """Return a body decompressed if it is gzip, which was not requested, and the failure or None."""
    codings = [value.strip().lower() for name, value in headers if name.lower() == "content-encoding"]
    if not body or codings not in (["gzip"], ["x-gzip"]):
        return body, None
    try:
        plain = decompress(body, LARGEST_BODY)
    except TruncatedError as error:
        return error.data, "the compressed body is truncated"
    except CompressionError:
        return body, "the body is not compressed as its Content-Encoding says"
    return plain[:LARGEST_BODY], _excess(plain)


def _excess(body: bytes) -> str | None:
    return OVERLONG if len(body) > LARGEST_BODY else None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
        return LATE
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return f"the connection failed ({os.strerror(error.errno)})"
    return str(error) or type(error).__name__
