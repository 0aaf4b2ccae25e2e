"""Build an exchange from a response, in the same way for every transport."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mjrelay.base import SettingError
from mjrelay.http import OVERSIZE, CompressionError, Decompressor, Exchange
from mjrelay.transport.transport import LARGEST_BODY

if TYPE_CHECKING:
    from mjrelay.http import FailureKind, Headers, Request
    from mjrelay.transport.transport import TransportConfig


CLOSED = "this relay is closed; create a new one"
"""Message of the `SettingError` for use after `close`."""

_QUOTED = 64 * 1024
"""Bytes that are kept of a body that is too large, for error messages."""
_COMPRESSED_STEP = 1024
"""Compressed bytes per step, which become at most about a megabyte."""
_GZIP_ONLY = ("Accept-Encoding", "gzip")


class ExchangeError(Exception):
    """
    A response cannot be read to its end.

    ``kind`` is that of the exchange. ``unsent`` is true if certainly no byte of the request was sent.
    """

    unsent = False

    def __init__(self, message: str, kind: FailureKind | None = None) -> None:
        self.kind = kind
        super().__init__(message)


class UnsendableRequestError(ExchangeError):
    """The request is not valid, so that a retry would fail as well."""


def with_encoding(headers: Headers) -> Headers:
    """Return the header fields with ``Accept-Encoding: gzip``, unless the caller sets this field."""
    for name, _ in headers:
        if name.lower() == "accept-encoding":
            return headers
    return (*headers, _GZIP_ONLY)


def may_be_repeated(request: Request) -> bool:
    """Return whether a request may be sent again if its idle connection was closed. A submit has a body."""
    return request.method == "GET" and not request.body


class ResponseBuilder:
    """
    Collect a response and build the exchange.

    Only gzip is decompressed, once; see `Decompressor`.

    Args:
        config: Settings of the relay.
        request: The request.
        timeout: Seconds until the deadline, from now.
        largest: Maximum size of the body in bytes, compressed and decompressed.
    """

    __slots__ = (
        "_body",
        "_config",
        "_decompressor",
        "_largest",
        "_request",
        "_size",
        "deadline",
        "headers",
        "started",
        "status",
        "timeout",
    )

    def __init__(
        self, config: TransportConfig, request: Request, timeout: float, largest: int = LARGEST_BODY
    ) -> None:
        self._config, self._request, self._largest = config, request, largest
        self.timeout, self.started = timeout, time.monotonic()
        self.deadline = self.started + timeout
        self.status: int | None = None
        self.headers: Headers = ()
        self._body: bytes | bytearray = b""
        self._size = 0
        self._decompressor: Decompressor | None = None

    def left(self) -> float:
        """Return the seconds until the deadline; raise `ExchangeError` after it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ExchangeError(self.late)
        return left

    @property
    def late(self) -> str:
        """The error message for a passed deadline."""
        return f"no complete response within {self.timeout:g} seconds"

    def begin(self, status: int, headers: Headers, *, decompressed: bool = False) -> None:
        """
        Handle the status and the header.

        Args:
            status: Status code.
            headers: Header fields.
            decompressed: The pieces of the body are already decompressed.

        Raises:
            ExchangeError: The body has an encoding that was not requested.
        """
        self.status, self.headers = status, headers
        self._body, self._size, self._decompressor = b"", 0, None
        said = [value for name, value in headers if name.lower() == "content-encoding"]
        parts = (part.strip().lower() for part in ",".join(said).split(",")) if said else ()
        codings = [coding for coding in parts if coding not in {"", "identity"}]
        if not codings:
            return
        if codings not in (["gzip"], ["x-gzip"]):
            raise ExchangeError(f"the body is encoded as {', '.join(codings)}; only gzip was requested")
        if not decompressed:
            self._decompressor = Decompressor(self._largest)

    def add(self, piece: bytes) -> None:
        """Handle a piece of the body; raise `ExchangeError` if it is too large, too late or not gzip."""
        self.left()
        self._size += len(piece)
        if self._decompressor is None:
            self._append(piece)
            return
        for start in range(0, len(piece), _COMPRESSED_STEP):
            try:
                plain = self._decompressor.feed(piece[start : start + _COMPRESSED_STEP])
            except CompressionError as error:
                if not self._body:  # a proxy may have decompressed it, and kept the header field
                    self._append(piece)
                raise ExchangeError(f"the body is not gzip as its header says ({error})") from error
            self._append(plain)

    def _append(self, piece: bytes) -> None:
        if not self._body:
            self._body = piece  # usually the only one, which is not copied
        else:
            if not isinstance(self._body, bytearray):
                self._body = bytearray(self._body)
            self._body += piece
        if self._size > self._largest or len(self._body) > self._largest:
            self._body = bytes(self._body[: min(_QUOTED, self._largest)])  # many requests may be in flight
            raise ExchangeError(f"{OVERSIZE} {self._largest} bytes")

    def finish(self) -> Exchange:
        """Return the exchange at the end of the body."""
        if self._decompressor is not None and self._size and not self._decompressor.complete:
            return self.fail("the compressed body is truncated")
        return self._exchange(None)

    def fail(self, reason: str | BaseException, *, unsent: bool | None = None) -> Exchange:
        """
        Return the exchange after an error, with the part of the response that was received.

        Args:
            reason: The error, or its message.
            unsent: Whether certainly no byte of the request was sent. Default: that of an `ExchangeError`.

        Raises:
            SettingError: The request itself is not valid.
        """
        if isinstance(reason, UnsendableRequestError):
            raise SettingError(self._config.redactor.text(str(reason))) from None
        if (
            isinstance(reason, TimeoutError) and reason.errno is None
        ):  # from asyncio; one of the operating system has a number
            reason = self.late
        text = reason if isinstance(reason, str) else str(reason) or type(reason).__name__
        kind, default = (reason.kind, reason.unsent) if isinstance(reason, ExchangeError) else (None, False)
        return self._exchange(
            self._config.redactor.text(text), kind, unsent=default if unsent is None else unsent
        )

    def _exchange(
        self, failure: str | None, kind: FailureKind | None = None, *, unsent: bool = False
    ) -> Exchange:
        seen = self._request.shown or self._request
        body: bytes | bytearray | memoryview = self._body
        if len(body) > self._largest:
            body = memoryview(body)[: self._largest]
        return Exchange(
            method=seen.method,
            url=self._config.origin + seen.target,
            request_headers=with_encoding(seen.headers),
            request_body=seen.body,
            status=self.status,
            headers=self.headers,
            body=bytes(body),
            elapsed=time.monotonic() - self.started,
            failure=failure,
            failure_kind=kind,
            unsent=unsent,
        )
