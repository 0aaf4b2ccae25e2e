"""
The transport of the ``fast`` extra, over pyreqwest, an HTTP client in Rust.

Differences from the default transport:

- It reads ahead, unless the request has a body. If a response is truncated or stalls within its first 64 KiB,
  only the failure is reported.
- Names of response header fields are in lower case, and equal names are grouped. A value that is not ASCII is
  reported as U+FFFD.
- A connection that is closed before the response looks like one that is closed within the head. If a previous
  exchange may have left such a connection, a GET is sent again, once, in both cases.
- Given certificates are trusted in addition to those of the system. A CA certificate is not accepted as that
  of a server.
- In a thread, Ctrl-C waits for the end of the exchange.
- A proxy that refuses a tunnel is reported without its status, except for 407, and as a transient error.
- Its pool may open a connection for a request that then takes an idle one. So that the pool still has no more
  than the allowed number of connections, a fifth of them is kept free.
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

from mjrelay.base import SettingError, __version__, read_file, setting_name
from mjrelay.http import FailureKind
from mjrelay.transport import route as _route
from mjrelay.transport.failures import (
    ConnectError,
    proxy_error,
    proxy_name,
    proxy_status_error,
    tls_refused,
    untrusted,
)
from mjrelay.transport.response import (
    CLOSED,
    ExchangeError,
    ResponseBuilder,
    UnsendableRequestError,
    may_be_repeated,
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


IDLE_SECONDS = timedelta(seconds=60)
"""How long an idle connection is kept. Firewalls drop idle connections without closing them."""

_SPARE = 5
"""One of so many connections is left to the pool, which may open more than it has requests."""

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""Value of a header field that pyreqwest cannot decode."""

_UNSENT = "the request cannot be sent: its path or a header field is not valid in HTTP; check headers="
_CONNECTING, _SENDING = "client error (Connect)", "client error (SendRequest)"
_TLS_REFUSED = (
    "peer is incompatible",
    "received corrupt message",
    "received fatal alert: HandshakeFailure",
    "received fatal alert: ProtocolVersion",
)
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_LARGEST_BUNDLE = 16 << 20
"""Maximum size of a file of certificates, in bytes."""
_NUMBER = re.compile(r" \(os error \d+\)$")


class PyreqwestTransport:
    """`Transport` over pyreqwest."""

    def __init__(self, config: TransportConfig) -> None:
        self._config = config
        self._client: SyncClient | None = _configured(SyncClientBuilder(), config).build()
        self._connected = False  # so that an idle connection may exist

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        builder = ResponseBuilder(self._config, request, timeout, largest)
        client = self._client  # keeps it open if `close` is called in another thread
        if client is None:
            raise SettingError(CLOSED)
        try:
            try:
                self._exchange(client, request, builder)
            except PyreqwestError as error:
                if not (self._connected and _may_be_retried(request, error)):
                    raise
                self._exchange(client, request, builder)
            self._connected = True
            return builder.finish()
        except (ExchangeError, PyreqwestError) as error:
            return builder.fail(_reason(self._config, builder, error))

    def _exchange(self, client: SyncClient, request: Request, builder: ResponseBuilder) -> None:
        url = _url(self._config, request)
        with _with_request(
            client.request(request.method, url), request, builder
        ).build_streamed() as response:
            _begin(self._config, builder, response)
            read = response.body_reader.read_chunk
            while (piece := read()) is not None:
                builder.add(piece.to_bytes())

    def close(self) -> None:
        self._client = None  # its own close() would abort exchanges, and keep idle connections


class AsyncPyreqwestTransport:
    """`AsyncTransport` over pyreqwest."""

    def __init__(self, config: TransportConfig) -> None:
        self._config = config
        self._client: Client | None = _configured(ClientBuilder(), config).build()
        self._connected = False

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        builder = ResponseBuilder(self._config, request, timeout, largest)
        client = self._client
        if client is None:
            raise SettingError(CLOSED)
        try:
            try:
                await self._exchange(client, request, builder)
            except PyreqwestError as error:
                if not (self._connected and _may_be_retried(request, error)):
                    raise
                await self._exchange(client, request, builder)
            self._connected = True
            return builder.finish()
        except (ExchangeError, PyreqwestError) as error:
            return builder.fail(_reason(self._config, builder, error))

    async def _exchange(self, client: Client, request: Request, builder: ResponseBuilder) -> None:
        url = _url(self._config, request)
        async with _with_request(
            client.request(request.method, url), request, builder
        ).build_streamed() as response:
            _begin(self._config, builder, response)
            read = response.body_reader.read_chunk
            while (piece := await read()) is not None:
                builder.add(piece.to_bytes())

    async def close(self) -> None:
        self._client = None


def _configured(builder: B, config: TransportConfig) -> B:
    """
    Return the builder with our settings: no redirects, no extra headers, no decompression.

    Raises:
        SettingError: The proxy or the certificates cannot be used.
    """
    most = config.connections - config.connections // _SPARE
    builder = (
        builder.gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .follow_redirects(False)
        .referer(False)
        .default_headers(with_encoding(()))
        .user_agent(f"mjrelay/{__version__}")
        .max_connections(most)
        .pool_max_idle_per_host(most)
        .pool_idle_timeout(IDLE_SECONDS)
        .connect_timeout(timedelta(seconds=_route.CONNECT))
    )
    proxy = _route.proxy(config.origin, config.proxy)
    builder = builder.no_proxy() if proxy is None else builder.proxy(_proxy(proxy))
    if config.verify is False:
        return builder.danger_accept_invalid_certs(True)
    return builder.add_root_certificate_pem(_certificates(config.verify))


def _proxy(url: str) -> ProxyBuilder:
    with suppress(ValueError):  # the error may show the password
        if urlsplit(url).scheme in {"http", "https", "socks5", "socks5h"}:
            return ProxyBuilder.all(url)
    raise SettingError("the proxy cannot be used; write http://host:port")


def _certificates(verify: bool | str | ssl.SSLContext) -> bytes:
    """Return trusted certificates in PEM. There are always some, because the system may have none."""
    if not isinstance(verify, bool | str):
        raise SettingError(
            "fast=True does not support an SSL context; pass a certificate file as verify=, or use fast=False"
        )
    trusted = verify if isinstance(verify, str) else _default_bundle()
    path = Path(trusted)
    try:
        files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
        found = b"\n".join(data for file in files if _BEGIN in (data := read_file(file, _LARGEST_BUNDLE)))
        SyncClientBuilder().add_root_certificate_pem(found).build()
    except (OSError, BuilderError) as error:
        raise SettingError(
            f"cannot read certificates from {trusted!r} ({error}); check verify= and SSL_CERT_FILE"
        ) from error
    if not found:
        raise SettingError(f"{trusted!r} contains no certificates in PEM; check verify= and SSL_CERT_FILE")
    return found


def _default_bundle() -> str:
    named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if named:
        return named
    import certifi  # noqa: PLC0415 - only needed here

    return certifi.where()


def _url(config: TransportConfig, request: Request) -> Url:
    try:
        url = Url(config.origin + request.target)
    except ValueError:
        raise UnsendableRequestError(
            _UNSENT
        ) from None  # the original error shows the value, which may be the key
    if not str(url).endswith(request.target):  # pyreqwest resolves "..", even percent-encoded
        raise UnsendableRequestError(
            f"the request cannot be sent: pyreqwest would change its path; omit {setting_name('fast')}"
        )
    return url


def _with_request(outgoing: R, request: Request, builder: ResponseBuilder) -> R:
    fields = request.headers
    if request.body:
        # A submit may be paid for, and its id may be in the part of the response that arrived.
        outgoing = outgoing.body_bytes(request.body).streamed_read_buffer_limit(0)
    elif request.method not in {"GET", "HEAD"}:
        fields = (*fields, ("Content-Length", "0"))
    try:
        return outgoing.headers(fields).timeout(timedelta(seconds=builder.left()))
    except ValueError:
        raise UnsendableRequestError(_UNSENT) from None


def _begin(config: TransportConfig, builder: ResponseBuilder, response: BaseResponse) -> None:
    status = response.status
    if status == 407 and (proxy := _route.proxy(config.origin, config.proxy)):
        raise proxy_status_error(proxy, status, unsent=False)
    if status < 200:
        raise ExchangeError(f"the response is not valid HTTP (status {status})")
    builder.begin(status, _fields(response.headers))


def _fields(headers: HeaderMap) -> Headers:
    try:
        return tuple(headers.items())
    except ValueError:
        return tuple((name, _pop_value(headers, name)) for name in list(headers))


def _pop_value(headers: HeaderMap, name: str) -> str:
    """Remove and return the first value of this name, decoded or not."""
    try:
        return headers.pop(name)
    except ValueError:
        return UNREADABLE


def _causes(error: PyreqwestError) -> list[str]:
    details = getattr(error, "details", None) or {}
    return [cause["message"] for cause in details.get("causes") or ()]


def _may_be_retried(request: Request, error: PyreqwestError) -> bool:
    """Return whether a GET may have failed on an idle connection that was closed."""
    if not may_be_repeated(request) or isinstance(error, DecodeError | RequestTimeoutError):
        return False
    return _SENDING in _causes(error)


def _connect_error(config: TransportConfig, causes: list[str], reason: str) -> ExchangeError:
    authority, proxy = _route.HostPort.of(config.origin).authority, _route.proxy(config.origin, config.proxy)
    if reason.startswith("invalid peer certificate"):
        return untrusted(authority, reason)
    if reason.startswith(_TLS_REFUSED):
        return tls_refused(authority, reason)
    if proxy is not None and reason == "tunnel error: proxy authorization required":
        return proxy_status_error(proxy, 407)
    if proxy is not None and "tcp connect error" in causes and "operation timed out" not in causes:
        return proxy_error(proxy, reason)
    unreachable = reason == "Connection refused" or "dns error" in causes
    kind = FailureKind.UNREACHABLE if unreachable else None
    through = "" if proxy is None else f" through the proxy {proxy_name(proxy)}"
    return ConnectError(f"no connection to {authority}{through} ({reason})", kind)


def _reason(config: TransportConfig, builder: ResponseBuilder, error: Exception) -> str | Exception:
    if not isinstance(error, PyreqwestError):
        return error
    if isinstance(error, RequestTimeoutError) and time.monotonic() >= builder.deadline:
        return builder.late
    causes = _causes(error)
    last = _NUMBER.sub("", (causes or [error.message])[-1])
    if isinstance(error, RequestTimeoutError) or _CONNECTING in causes:
        failed = _connect_error(config, causes, last)
        failed.unsent = _CONNECTING in causes  # a timeout may also come after the request was sent
        return failed
    if last == "connection closed before message completed":
        return "the connection was closed before a response arrived"
    if isinstance(error, DecodeError) or "error decoding response body" in causes:
        return f"the response is not valid HTTP ({last})"
    return last
