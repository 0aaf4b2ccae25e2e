"""
The wire of the ``fast`` extra, over pyreqwest: an HTTP client that does its work beside the interpreter.

What it does otherwise than our own connections is pyreqwest's way:

- It reads ahead: of an answer that breaks off or stalls within its first 64 KiB, only the failure is told.
- The names of an answer's fields are in lower case, and those alike stand together; a value beyond ASCII is
  told as U+FFFD.
- A connection that dies before an answer looks like one that dies in its head. Where an earlier exchange may
  have left such a connection, a GET is sent again in both cases, once.
- Certificates that are named are trusted besides the system's, and one that may sign others is no server's.
- In a thread, Ctrl-C waits for the end of the exchange.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pyreqwest.client import ClientBuilder, SyncClientBuilder
from pyreqwest.exceptions import BuilderError, DecodeError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url
from pyreqwest.proxy import ProxyBuilder

from mjrelay.base import SettingError, __version__, read_file
from mjrelay.transport import route as _route
from mjrelay.transport.response import (
    CLOSED,
    ExchangeError,
    ResponseBuilder,
    UnsendableRequestError,
    with_encoding,
)
from mjrelay.transport.transport import LARGEST_BODY

if TYPE_CHECKING:
    import ssl
    from typing import TypeVar

    from pyreqwest.client import BaseClientBuilder, Client, SyncClient
    from pyreqwest.http import HeaderMap
    from pyreqwest.request import BaseRequestBuilder
    from pyreqwest.response import BaseResponse

    from mjrelay.http import Exchange, Headers, Request
    from mjrelay.transport.transport import TransportConfig

    B = TypeVar("B", bound=BaseClientBuilder)
    R = TypeVar("R", bound=BaseRequestBuilder)


KEPT = timedelta(seconds=60)
"""How long an idle connection is kept; what stands between forgets connections without a word."""

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""The value of a header field that pyreqwest does not hand out."""

_UNSENT = "the request cannot be sent; HTTP carries no such path or header field, check headers="
_CONNECTING, _SENDING = "client error (Connect)", "client error (SendRequest)"
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_LARGEST_BUNDLE = 16 << 20
"""Bytes of a file of certificates."""
_NUMBER = re.compile(r" \(os error \d+\)$")


class PyreqwestTransport:
    """`Transport` over pyreqwest."""

    def __init__(self, link: TransportConfig) -> None:
        self._link = link
        self._client: SyncClient | None = _made(SyncClientBuilder(), link).build()
        self._answered = False  # so that a connection may have been kept

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        answer = ResponseBuilder(self._link, request, timeout, largest)
        client = self._client  # which stays alive, if `close` is called meanwhile, until this is done
        if client is None:
            raise SettingError(CLOSED)
        try:
            try:
                self._carry(client, request, answer)
            except PyreqwestError as error:
                if not (self._answered and _may_be_repeated(request, error)):
                    raise
                self._carry(client, request, answer)
            self._answered = True
            return answer.end()
        except (ExchangeError, PyreqwestError) as error:
            return answer.failed(_reason(self._link, answer, error))

    def _carry(self, client: SyncClient, request: Request, answer: ResponseBuilder) -> None:
        url = _url(self._link, request)
        with _filled(client.request(request.method, url), request, answer).build_streamed() as response:
            _begin(answer, response)
            read = response.body_reader.read_chunk
            while (piece := read()) is not None:
                answer.take(piece.to_bytes())

    def close(self) -> None:
        self._client = None  # its own close() would cut off what is under way, and keep what is idle


class AsyncPyreqwestTransport:
    """`AsyncTransport` over pyreqwest."""

    def __init__(self, link: TransportConfig) -> None:
        self._link = link
        self._client: Client | None = _made(ClientBuilder(), link).build()
        self._answered = False

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        answer = ResponseBuilder(self._link, request, timeout, largest)
        client = self._client
        if client is None:
            raise SettingError(CLOSED)
        try:
            try:
                await self._carry(client, request, answer)
            except PyreqwestError as error:
                if not (self._answered and _may_be_repeated(request, error)):
                    raise
                await self._carry(client, request, answer)
            self._answered = True
            return answer.end()
        except (ExchangeError, PyreqwestError) as error:
            return answer.failed(_reason(self._link, answer, error))

    async def _carry(self, client: Client, request: Request, answer: ResponseBuilder) -> None:
        url = _url(self._link, request)
        async with _filled(client.request(request.method, url), request, answer).build_streamed() as response:
            _begin(answer, response)
            read = response.body_reader.read_chunk
            while (piece := await read()) is not None:
                answer.take(piece.to_bytes())

    async def close(self) -> None:
        self._client = None


def _made(builder: B, link: TransportConfig) -> B:
    """
    The settings of a client that does nothing but what is asked, and leaves packed bodies packed.

    Raises `SettingError` for a proxy or certificates that cannot be used.
    """
    builder = (
        builder.gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .follow_redirects(False)
        .referer(False)
        .default_headers(with_encoding(()))
        .user_agent(f"mjrelay/{__version__}")
        .max_connections(link.connections)
        .pool_max_idle_per_host(link.connections)
        .pool_idle_timeout(KEPT)
        .connect_timeout(timedelta(seconds=_route.CONNECT))
    )
    proxy = _route.proxy(link.origin, link.proxy)
    builder = builder.no_proxy() if proxy is None else builder.proxy(_proxy(proxy))
    if link.verify is False:
        return builder.danger_accept_invalid_certs(True)
    return builder.add_root_certificate_pem(_certificates(link.verify))


def _proxy(url: str) -> ProxyBuilder:
    with suppress(ValueError):  # which may show the proxy's password
        if urlsplit(url).scheme in {"http", "https", "socks5", "socks5h"}:
            return ProxyBuilder.all(url)
    raise SettingError("the proxy cannot be used; write http://host:port")


def _certificates(verify: bool | str | ssl.SSLContext) -> bytes:
    """The certificates to trust besides the system's; there are always some, for the system may have none."""
    if not isinstance(verify, bool | str):
        raise SettingError(
            "fast takes no SSL context; give verify= a file of certificates, or leave fast out"
        )
    trusted = verify if isinstance(verify, str) else _named_by_environment()
    path = Path(trusted)
    try:
        files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
        found = b"\n".join(data for file in files if _BEGIN in (data := read_file(file, _LARGEST_BUNDLE)))
        SyncClientBuilder().add_root_certificate_pem(found).build()
    except (OSError, BuilderError) as error:
        raise SettingError(
            f"no certificates can be read from {trusted!r} ({error}); check verify= and SSL_CERT_FILE"
        ) from error
    if not found:
        raise SettingError(f"{trusted!r} holds no certificates in PEM; check verify= and SSL_CERT_FILE")
    return found


def _named_by_environment() -> str:
    named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if named:
        return named
    import certifi  # noqa: PLC0415 - only needed here

    return certifi.where()


def _url(link: TransportConfig, request: Request) -> Url:
    try:
        url = Url(link.origin + request.target)
    except ValueError:
        raise UnsendableRequestError(
            _UNSENT
        ) from None  # what was raised shows the value, which may be the key
    if not str(url).endswith(request.target):  # even encoded, two dots climb out of a path
        raise UnsendableRequestError("the request cannot be sent as it is; leave fast out for this path")
    return url


def _filled(builder: R, request: Request, answer: ResponseBuilder) -> R:
    fields = request.headers
    if request.body:
        builder = builder.body_bytes(request.body)
    elif request.method not in {"GET", "HEAD"}:
        fields = (*fields, ("Content-Length", "0"))
    try:
        return builder.headers(fields).timeout(timedelta(seconds=answer.left()))
    except ValueError:
        raise UnsendableRequestError(_UNSENT) from None


def _begin(answer: ResponseBuilder, response: BaseResponse) -> None:
    status = response.status
    if status < 200:
        raise ExchangeError(f"the answer is not HTTP as it should be (status {status})")
    answer.begin(status, _fields(response.headers))


def _fields(headers: HeaderMap) -> Headers:
    try:
        return tuple(headers.items())
    except ValueError:
        return tuple((name, _taken(headers, name)) for name in list(headers))


def _taken(headers: HeaderMap, name: str) -> str:
    """The first value of this name that is left, taken out whether or not it can be read."""
    try:
        return headers.pop(name)
    except ValueError:
        return UNREADABLE


def _causes(error: PyreqwestError) -> list[str]:
    details = getattr(error, "details", None) or {}
    return [cause["message"] for cause in details.get("causes") or ()]


def _may_be_repeated(request: Request, error: PyreqwestError) -> bool:
    """Whether a GET may have met with a connection that was kept, and was dead."""
    if request.method != "GET" or isinstance(error, DecodeError | RequestTimeoutError):
        return False
    return _SENDING in _causes(error)


def _reason(link: TransportConfig, answer: ResponseBuilder, error: Exception) -> str | Exception:
    if not isinstance(error, PyreqwestError):
        return error
    if isinstance(error, RequestTimeoutError) and time.monotonic() >= answer.deadline:
        return answer.late
    causes = _causes(error)
    last = _NUMBER.sub("", (causes or [error.message])[-1])
    if isinstance(error, RequestTimeoutError) or _CONNECTING in causes:
        return _route.unreachable(_route.HostPort.of(link.origin), OSError(last))
    if last == "connection closed before message completed":
        return "the connection was closed before an answer came"
    if isinstance(error, DecodeError) or "error decoding response body" in causes:
        return f"the answer is not HTTP as it should be ({last})"
    return last
