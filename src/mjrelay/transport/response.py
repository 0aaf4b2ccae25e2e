"""An exchange in the making, so that every wire gives the same account of the same bytes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mjrelay.base import SettingError
from mjrelay.http import OVERSIZE, CompressionError, Decompressor, Exchange
from mjrelay.transport.transport import LARGEST_BODY

if TYPE_CHECKING:
    from mjrelay.http import Headers, Request
    from mjrelay.transport.transport import TransportConfig


CLOSED = "this relay was closed; make another one"
"""What `SettingError` says where a wire is used after its `close`."""

_GZIP_ONLY = ("Accept-Encoding", "gzip")


class ExchangeError(Exception):
    """An exchange is not read to its end, for the reason given."""


class UnsendableRequestError(ExchangeError):
    """The request itself is at fault, so that no other time is better for it."""


def with_encoding(headers: Headers) -> Headers:
    """The fields of a request and the compression that a wire undoes, unless the caller asks for another."""
    for name, _ in headers:
        if name.lower() == "accept-encoding":
            return headers
    return (*headers, _GZIP_ONLY)


class ResponseBuilder:
    """
    Takes an answer piece by piece and makes the exchange of it.

    ``timeout`` seconds are counted from the making of this object. A body has ``largest`` bytes at most, as
    sent and decompressed. It may be compressed once, with gzip; what follows the compressed part is ignored,
    as browsers do, for its checksum says that it is whole.
    """

    __slots__ = (
        "_body",
        "_largest",
        "_link",
        "_request",
        "_size",
        "_unpacking",
        "deadline",
        "headers",
        "started",
        "status",
        "timeout",
    )

    def __init__(
        self, link: TransportConfig, request: Request, timeout: float, largest: int = LARGEST_BODY
    ) -> None:
        self._link, self._request, self._largest = link, request, largest
        self.timeout, self.started = timeout, time.monotonic()
        self.deadline = self.started + timeout
        self.status: int | None = None
        self.headers: Headers = ()
        self._body: bytes | bytearray = b""
        self._size = 0
        self._unpacking: Decompressor | None = None

    def left(self) -> float:
        """Seconds until the deadline; raises `ExchangeError` when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ExchangeError(self.late)
        return left

    @property
    def late(self) -> str:
        """What to say where the deadline has passed."""
        return f"no complete answer within {self.timeout:g} seconds"

    def begin(self, status: int, headers: Headers, *, unpacked: bool = False) -> None:
        """
        The head has come; ``unpacked`` says that somebody else undoes the compression.

        Raises `ExchangeError` where the body is encoded in a way not asked for.
        """
        self.status, self.headers = status, headers
        self._body, self._size, self._unpacking = b"", 0, None
        said = [value for name, value in headers if name.lower() == "content-encoding"]
        parts = (part.strip().lower() for part in ",".join(said).split(",")) if said else ()
        codings = [coding for coding in parts if coding not in {"", "identity"}]
        if not codings:
            return
        if codings not in (["gzip"], ["x-gzip"]):
            raise ExchangeError(f"the body is encoded as {', '.join(codings)}; only gzip was asked for")
        if not unpacked:
            self._unpacking = Decompressor(self._largest)

    def take(self, piece: bytes) -> None:
        """A piece of the body has come; raises `ExchangeError` where it is too large, too late or garbled."""
        self.left()
        self._size += len(piece)
        if self._unpacking is not None:
            try:
                piece = self._unpacking.feed(piece)
            except CompressionError as error:
                raise ExchangeError(f"the body is not gzip as its header says ({error})") from error
        if not self._body:
            self._body = piece  # and mostly there is no other, so that it need not be copied
        elif isinstance(self._body, bytearray):
            self._body += piece
        else:
            self._body = bytearray(self._body) + piece
        if self._size > self._largest or len(self._body) > self._largest:
            raise ExchangeError(f"{OVERSIZE} {self._largest} bytes")

    def end(self) -> Exchange:
        """The body has come to its end."""
        if self._unpacking is not None and self._size and not self._unpacking.complete:
            return self.failed("the compressed body breaks off")
        return self._exchange(None)

    def failed(self, reason: str | BaseException) -> Exchange:
        """
        Nothing more will come; what had come is kept.

        Raises `SettingError` where the reason is the request itself.
        """
        if isinstance(reason, UnsendableRequestError):
            raise SettingError(self._link.redactor.text(str(reason))) from None
        if isinstance(reason, TimeoutError) and reason.errno is None:  # ours; the system's has a number
            reason = self.late
        text = reason if isinstance(reason, str) else str(reason) or type(reason).__name__
        return self._exchange(self._link.redactor.text(text))

    def _exchange(self, failure: str | None) -> Exchange:
        seen = self._request.shown or self._request
        body: bytes | bytearray | memoryview = self._body
        if len(body) > self._largest:
            body = memoryview(body)[: self._largest]
        return Exchange(
            method=seen.method,
            url=self._link.origin + seen.target,
            request_headers=with_encoding(seen.headers),
            request_body=seen.body,
            status=self.status,
            headers=self.headers,
            body=bytes(body),
            elapsed=time.monotonic() - self.started,
            failure=failure,
        )
