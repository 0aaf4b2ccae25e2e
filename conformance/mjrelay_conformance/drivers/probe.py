"""
Send requests and receive responses without changing either.

The client's transports refuse responses that the suite has to judge, such as ``Transfer-Encoding: identity``
or NUL in a header value. `http.client` accepts them, and `_Response` reports where it would guess.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import threading
import time
from email.errors import MissingHeaderBodySeparatorDefect
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from attrs import define, field

from mjrelay.base import __version__
from mjrelay.http import CompressionError, Exchange, TruncatedError, decompress, join_url
from mjrelay.transport import ConnectError, HostPort, dial, tls_context
from mjrelay_conformance.judging import OVERLONG

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.http import Headers, Redactor, Request


LARGEST_BODY = 2 * 1024 * 1024
"""Maximum size of a response body in bytes; a task has a few kilobytes."""
_INTERIM_RESPONSES = 20
"""Maximum number of interim responses (1xx)."""
LATE = "the response did not end in time"
_LENGTH = re.compile(r"[0-9]+")


@define
class Probe:
    """
    Send requests to one relay, each once and on a new connection. Redirects are not followed.

    Secrets are redacted from the URL and the request headers of an exchange, not from the response.

    Attributes:
        base_url: Base URL of the relay. The environment's proxy is not used.
        redactor: Redacts secrets.
        deadline: Seconds for each exchange in total.
        sent: Number of requests sent.
    """

    base_url: str
    redactor: Redactor = field(repr=False)
    deadline: float = 30.0
    sent: int = 0

    def send(self, request: Request) -> Exchange:
        """Send a request and return the exchange. Network errors are reported in its ``failure``."""
        url = urlsplit(join_url(self.base_url, request.target))
        target = url.path + (f"?{url.query}" if url.query else "")
        fields = fields_of(request, url.netloc.rpartition("@")[2])
        self.sent += 1
        started = time.monotonic()
        status, headers, body, failure = self._exchange(request, target, fields)
        return Exchange(
            method=request.method,
            url=self.redactor.text(url.geturl()),
            request_headers=tuple((name, self.redactor.text(value)) for name, value in fields),
            request_body=self.redactor.bytes(request.body),
            status=status,
            headers=headers,
            body=body,
            elapsed=time.monotonic() - started,
            failure=None if failure is None else self.redactor.text(failure),
        )

    def _exchange(
        self, request: Request, target: str, fields: Headers
    ) -> tuple[int | None, Headers, bytes, str | None]:
        status: int | None = None
        headers: Headers = ()
        body = b""
        late = threading.Event()
        ends = time.monotonic() + self.deadline

        def left() -> float:
            seconds = ends - time.monotonic()
            if seconds <= 0:
                raise TimeoutError(LATE)
            return seconds

        try:
            with contextlib.closing(self._connect(left)) as connection:
                timer = threading.Timer(left(), _end, (connection.sock, late))
                timer.daemon = True
                timer.start()
                try:
                    _put(connection, request, target, fields)
                    response = cast("_Response", connection.getresponse())
                    status, headers = response.status, tuple(response.getheaders())
                    while not response.framing_error and len(body) <= LARGEST_BODY:
                        if not (piece := response.read1(65_536)):
                            break
                        body += piece
                    failure = LATE if late.is_set() else response.framing_error or _shortfall(response, body)
                    response.close()
                finally:
                    timer.cancel()
            if failure is None:
                body, failure = inflated(headers, body)
        except ConnectError as error:
            failure = _reason(error.__cause__ or error)
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            failure = LATE if late.is_set() else _reason(error)
        return status, headers, body, failure

    def _connect(self, left: Callable[[], float]) -> http.client.HTTPConnection:
        place = HostPort.of(self.base_url)
        connection = http.client.HTTPConnection(place.host, place.port)
        connection.response_class = _Response
        connection.sock = dial(place, tls_context(True) if place.tls else None, left)
        connection.sock.settimeout(self.deadline)
        return connection


def fields_of(request: Request, host: str) -> Headers:
    """Return the header fields to send: the default ones that the request does not set, and its own."""
    said = {name.lower() for name, _ in request.headers}
    usual = (
        ("Host", host),
        ("User-Agent", f"mjrelay/{__version__} conformance"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    )
    return (*((name, value) for name, value in usual if name.lower() not in said), *request.headers)


class _Lines(io.BufferedReader):
    """A buffered reader that keeps the last line."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line."""
        self.last = super().readline(size)
        return self.last


class _Response(http.client.HTTPResponse):
    """
    The final response, after interim ones (RFC 9110, section 15.2).

    Attributes:
        framing_error: Why the end of the header or the body is uncertain, or None. `http.client` would guess.
    """

    framing_error: str | None = None

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = _Lines(sock.makefile("rb", buffering=0))

    def begin(self) -> None:
        """Read status and header."""
        lines = cast("_Lines", self.fp)
        super().begin()
        said = ",".join(self.headers.get_all("content-length", ()))
        lengths = {length.strip() for length in said.split(",")} if said else set()
        if lines.last not in {b"\r\n", b"\n"}:
            self.framing_error = "the connection ended before the header did"
        elif any(isinstance(defect, MissingHeaderBodySeparatorDefect) for defect in self.headers.defects):
            self.framing_error = "the header contains a line that is not a field"
        elif not self.chunked and (len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths))):
            self.framing_error = "Content-Length is not a single number"

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_INTERIM_RESPONSES):
            version, status, reason = super()._read_status()  # type: ignore[misc]  # there is no public method
            if not 101 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {_INTERIM_RESPONSES} interim responses")


def _put(connection: http.client.HTTPConnection, request: Request, target: str, fields: Headers) -> None:
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in fields:
        connection.putheader(name, value.encode("utf-8"))
    if request.body:
        connection.putheader("Content-Length", str(len(request.body)))
    connection.endheaders(request.body or None)


def _end(connection: socket.socket, late: threading.Event) -> None:
    """Shut the connection down, which ends a blocked read in another thread."""
    late.set()
    with contextlib.suppress(OSError):
        # Not `SSLSocket.shutdown`, which drops the TLS state while the other thread reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


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


def _shortfall(response: http.client.HTTPResponse, body: bytes) -> str | None:
    missing = f"the connection ended {response.length} bytes before the body did" if response.length else None
    return _excess(body) or missing


def _excess(body: bytes) -> str | None:
    if len(body) > LARGEST_BODY:
        return OVERLONG
    return None


def _reason(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return LATE
        case http.client.IncompleteRead():
            return "the connection ended before the body did"
        case ConnectionRefusedError():
            return "connection refused: no server at this host and port"
        case socket.gaierror():
            return "the host name cannot be resolved"
        case http.client.RemoteDisconnected():
            return "the connection ended before a response arrived"
        case _:
            return f"{type(error).__name__}: {error}"
