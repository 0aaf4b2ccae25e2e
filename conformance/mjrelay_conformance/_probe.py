"""
The suite's own HTTP, close to the wire: what was sent is what was asked for, and bytes stay bytes.

A client library would decode, follow, retry and tidy up; a judge must not.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import define, field

from mjrelay import _request
from mjrelay._exchange import Exchange
from mjrelay._version import __version__

if TYPE_CHECKING:
    from mjrelay._exchange import Headers
    from mjrelay._redaction import Redactor
    from mjrelay._request import Request

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes of a body that are read; a relay's answer is a few kilobytes."""


@define
class Probe:
    """
    Sends requests to one relay, one after another on one connection, and never follows a redirect.

    ``deadline`` bounds each exchange in seconds, a body that trickles included. Exchanges come back with
    the secrets taken out of URL and request headers; status, headers and body are as they came.
    """

    base_url: str
    redactor: Redactor = field(repr=False)
    deadline: float = 30.0
    sent: int = 0
    _connection: http.client.HTTPConnection | None = field(default=None, init=False, repr=False)

    def send(self, request: Request) -> Exchange:
        """The exchange that a request leads to; trouble on the way is in it, not raised."""
        url = urlsplit(_request.join(self.base_url, request.target))
        target = url.path + (f"?{url.query}" if url.query else "")
        fields: Headers = (
            ("Host", url.netloc.rpartition("@")[2]),
            ("User-Agent", f"mjrelay/{__version__} conformance"),
            ("Accept-Encoding", "identity"),
            *request.headers,
        )
        started = time.monotonic()
        status, headers, body, failure = self._exchange(request, target, fields, started + self.deadline)
        self.sent += 1
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

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, request: Request, target: str, fields: Headers, until: float
    ) -> tuple[int | None, Headers, bytes, str | None]:
        fresh = self._connection is None
        status: int | None = None
        headers: Headers = ()
        body = b""
        try:
            connection = self._connect(until)
            connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in fields:
                connection.putheader(name, value.encode("utf-8"))
            if request.body:
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body or None)
            response = connection.getresponse()
            status, headers = response.status, tuple(response.getheaders())
            while len(body) <= LARGEST_BODY:
                _arm(connection, until)
                piece = response.read1(65_536)
                if not piece:
                    break
                body += piece
            failure = _shortfall(response, body)
            response.close()  # http.client leaves one that was read in pieces open
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not fresh and status is None:  # the relay had closed an idle connection, which it may
                return self._exchange(request, target, fields, until)
            return status, headers, body, _reason(error)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return status, headers, body, _reason(error)
        if failure is not None or response.will_close:
            self.close()
        return status, headers, body, failure

    def _connect(self, until: float) -> http.client.HTTPConnection:
        if self._connection is None:
            url = urlsplit(self.base_url)
            host, port = url.hostname or "", url.port
            timeout = max(0.001, until - time.monotonic())
            if url.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=timeout)
            self._connection.connect()
        _arm(self._connection, until)
        return self._connection


def _arm(connection: http.client.HTTPConnection, until: float) -> None:
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the answer did not end in time")
    if connection.sock is not None:
        connection.sock.settimeout(remaining)


def _shortfall(response: http.client.HTTPResponse, body: bytes) -> str | None:
    if len(body) > LARGEST_BODY:
        return f"the body is larger than {LARGEST_BODY} bytes; the rest was not read"
    if response.length:
        return f"the connection ended {response.length} bytes before the body did"
    return None


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "the answer did not end in time"
        case http.client.IncompleteRead():
            return "the connection ended before the body did"
        case ConnectionRefusedError():
            return "nothing listens at this host and port"
        case socket.gaierror():
            return "the host's name cannot be resolved"
        case http.client.RemoteDisconnected():
            return "the connection ended before an answer came"
        case _:
            return f"{type(error).__name__}: {error}"
