"""The face's only way to the network: bytes in, bytes out. Nothing else in it imports httpx."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
from attrs import define, field

from mjrelay import _request
from mjrelay._exchange import Exchange
from mjrelay._version import __version__

if TYPE_CHECKING:
    from mjrelay._exchange import Headers
    from mjrelay._redaction import Redactor
    from mjrelay._request import Request

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of a body that are read before the exchange is given up."""


@define
class Wire:
    """
    Sends requests to one base URL and never follows a redirect.

    ``timeout`` bounds a whole exchange in seconds, a body that trickles included.
    """

    base_url: str
    redactor: Redactor = field(repr=False)
    timeout: float = 30.0
    _client: httpx.Client = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        timeout = httpx.Timeout(self.timeout, connect=min(5.0, self.timeout))
        self._client = httpx.Client(follow_redirects=False, limits=limits, timeout=timeout)

    def send(self, request: Request) -> Exchange:
        """The exchange; trouble on the way is in it, not raised."""
        url = _request.join(self.base_url, request.target)
        fields: Headers = (
            ("User-Agent", f"mjrelay/{__version__}"),
            ("Accept-Encoding", "gzip"),
            *request.headers,
        )
        started = time.monotonic()
        status: int | None = None
        headers: Headers = ()
        body = bytearray()
        failure: str | None = None
        try:
            with self._client.stream(
                request.method, url, headers=fields, content=request.body or None
            ) as response:
                status = response.status_code
                headers = tuple(response.headers.multi_items())
                if "," in response.headers.get("content-encoding", ""):  # a few bytes may become gigabytes
                    raise httpx.DecodingError("compressed more than once")
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > LARGEST_BODY:
                        failure = f"the body is larger than {LARGEST_BODY} bytes"
                        break
                    if time.monotonic() - started > self.timeout:
                        failure = f"the answer did not end within {self.timeout:g} seconds"
                        break
        except httpx.TimeoutException:
            failure = f"no complete answer within {self.timeout:g} seconds"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            failure = self.redactor.text(str(error) or type(error).__name__)
        return Exchange(
            method=request.method,
            url=self.redactor.text(url),
            request_headers=tuple((name, self.redactor.text(value)) for name, value in fields),
            request_body=self.redactor.bytes(request.body),
            status=status,
            headers=headers,
            body=bytes(body),
            elapsed=time.monotonic() - started,
            failure=failure,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
