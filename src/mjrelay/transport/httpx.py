"""
The transport over httpx, for proxies and for clients that users pass.

httpx and httpcore log URLs and header fields. Secrets are redacted from these logs.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import ssl
import threading
import time
import weakref
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx

from mjrelay.base import SettingError, close_after_fork, renew_after_fork
from mjrelay.http import Redactor
from mjrelay.transport import route as _route
from mjrelay.transport.failures import causes, connect_error, proxy_error, proxy_status_error
from mjrelay.transport.protocol import ClientProtocol
from mjrelay.transport.response import (
    CLOSED,
    ExchangeError,
    ResponseBuilder,
    UnsendableRequestError,
    with_encoding,
)
from mjrelay.transport.transport import LARGEST_BODY, warn_unclosed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.http import Exchange, Headers, Request
    from mjrelay.transport.transport import TransportConfig


_LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))

_NEARLY = 0.01
"""Seconds before the deadline at which the timeouts of httpx may already have expired."""


class _LogRedaction(logging.Filter):
    """Redact the secrets of all transports from the logs of httpx and httpcore."""

    def __init__(self) -> None:
        super().__init__()
        self._unlock()
        renew_after_fork(self, _LogRedaction._unlock)
        self._redactors: weakref.WeakSet[Redactor] = weakref.WeakSet()

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def add(self, redactor: Redactor) -> None:
        """Use another redactor for as long as it exists."""
        with self._lock:
            self._redactors.add(redactor)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)  # a second call has no effect

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        with self._lock:
            redactors = list(self._redactors)
        for redactor in redactors:
            text = redactor.text(text)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (shown := self.text(message)) != message:
            record.msg, record.args = shown, None
        return True


_log_redaction = _LogRedaction()


class _Watch:
    """
    Watches the steps of httpcore for one request, through all attempts of a client that repeats it itself.

    With ``own``, each new connection is closed in child processes.
    """

    def __init__(self, *, own: bool) -> None:
        self._own, self._tried, self._sent = own, False, False

    @property
    def unsent(self) -> bool:
        """Whether a connection was tried, and certainly no byte of the request was sent."""
        return self._tried and not self._sent

    def __call__(self, event: str, info: dict[str, Any]) -> None:
        self._tried = self._tried or ".connect_" in event
        if event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self._sent = True
        if self._own and event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            close_after_fork(info["return_value"].get_extra_info("socket"))

    async def asynchronous(self, event: str, info: dict[str, Any]) -> None:
        """The same for an asynchronous client."""
        self(event, info)


class HTTPXTransport:
    """
    `Transport` over an httpx client. Its own timeouts apply if they are shorter.

    httpx has a timeout for each read but none for the exchange, so that each exchange runs in a thread.
    """

    _proxy = ""

    def __init__(self, config: TransportConfig, client: httpx.Client) -> None:
        if not isinstance(client, httpx.Client):
            raise SettingError(f"client= must be an httpx.Client here, not {type(client).__name__}")
        self._config, self._client, self._closed = config, client, False
        _log_redaction.add(config.redactor)

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        _check_open(self._client, closed=self._closed)
        builder = ResponseBuilder(self._config, request, timeout, largest)
        exchanges: SimpleQueue[Exchange] = SimpleQueue()
        watch = _Watch(own=bool(self._proxy))
        try:
            sent = _build_request(self._client, self._config, request, builder, watch)
            args = (self._exchange, sent, builder, exchanges, watch)
            del sent
            thread = threading.Thread(target=contextvars.copy_context().run, args=args, daemon=True)
            del args  # the URL may hold the key, and a traceback could show it
        except ExchangeError as error:
            return builder.fail(error)
        thread.start()
        try:
            return exchanges.get(timeout=max(0.0, timeout))
        except Empty:
            return builder.fail(builder.late)

    def _exchange(
        self,
        sent: httpx.Request,
        builder: ResponseBuilder,
        exchanges: SimpleQueue[Exchange],
        watch: _Watch,
    ) -> None:
        try:
            response = self._client.send(sent, stream=True, auth=None, follow_redirects=False)
            try:
                if _begin(builder, response, self._proxy):
                    builder.add(response.content)
                else:
                    for piece in response.iter_raw():
                        builder.add(piece)
            finally:
                response.close()
            exchange = builder.finish()
        except Exception as error:  # noqa: BLE001 - the client may have a transport that raises anything
            reason = _reason(self._config, self._proxy, builder, error)
            exchange = builder.fail(reason, unsent=watch.unsent)
        exchanges.put(exchange)

    def close(self) -> None:
        """Send no more requests. The client stays open; its owner closes it."""
        self._closed = True


class AsyncHTTPXTransport:
    """`AsyncTransport` over an httpx client."""

    _proxy = ""

    def __init__(self, config: TransportConfig, client: httpx.AsyncClient) -> None:
        if not isinstance(client, httpx.AsyncClient):
            raise SettingError(f"client= must be an httpx.AsyncClient here, not {type(client).__name__}")
        self._config, self._client, self._closed = config, client, False
        _log_redaction.add(config.redactor)

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        _check_open(self._client, closed=self._closed)
        builder = ResponseBuilder(self._config, request, timeout, largest)
        watch = _Watch(own=False)
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.send(
                    _build_request(self._client, self._config, request, builder, watch.asynchronous),
                    stream=True,
                    auth=None,
                    follow_redirects=False,
                )
                try:
                    if _begin(builder, response, self._proxy):
                        builder.add(response.content)
                    else:
                        async for piece in response.aiter_raw():
                            builder.add(piece)
                finally:
                    await response.aclose()
            return builder.finish()
        except Exception as error:  # noqa: BLE001 - the client may have a transport that raises anything
            return builder.fail(_reason(self._config, self._proxy, builder, error), unsent=watch.unsent)

    async def close(self) -> None:
        """Send no more requests. The client stays open; its owner closes it."""
        self._closed = True


class ProxyTransport(HTTPXTransport):
    """`Transport` through a proxy."""

    def __init__(self, config: TransportConfig) -> None:
        self._proxy = _route.proxy(config.origin, config.proxy) or ""
        self._hidden, options = _proxy_options(self._proxy, config.verify, config.connections)
        super().__init__(config, httpx.Client(**options))

    def close(self) -> None:
        super().close()
        self._client.close()


class AsyncProxyTransport(AsyncHTTPXTransport):
    """`AsyncTransport` through a proxy."""

    def __init__(self, config: TransportConfig) -> None:
        self._proxy = _route.proxy(config.origin, config.proxy) or ""
        self._hidden, self._options = _proxy_options(self._proxy, config.verify, config.connections)
        super().__init__(config, httpx.AsyncClient(**self._options))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()

    def __del__(self) -> None:
        # `_loop` is only set once a request was sent.
        if getattr(self, "_loop", None) and not self._closed and self._process == os.getpid():
            warn_unclosed(self, self._config.origin)

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:  # connections belong to one event loop
            self._client = httpx.AsyncClient(**self._options)
        self._loop = loop
        return await super().send(request, timeout, largest)

    async def close(self) -> None:
        await super().close()
        if self._loop in {None, asyncio.get_running_loop()}:
            await self._client.aclose()


@contextmanager
def download(
    url: str, headers: Headers, *, timeout: float, proxy: str, verify: bool | str | ssl.SSLContext
) -> Iterator[tuple[int, Headers, Iterator[bytes]]]:
    """Yield status, header fields and body pieces of a GET through a proxy; raise `ExchangeError`."""
    _hidden, options = _proxy_options(proxy, verify, 1)  # keeps the redactor alive
    with httpx.Client(**{**options, "timeout": timeout}) as client:
        with _converted_errors():
            trace = {"trace": _Watch(own=True)}
            sent = client.build_request("GET", url, headers=list(headers), extensions=trace)
            response = client.send(sent, stream=True, follow_redirects=False)
        try:
            yield response.status_code, _fields(response), _pieces(response)
        finally:
            response.close()


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    with _converted_errors():
        yield from response.iter_raw()


@contextmanager
def _converted_errors() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ExchangeError(_log_redaction.text(str(error) or type(error).__name__)) from error


def _proxy_options(
    proxy: str, verify: bool | str | ssl.SSLContext, connections: int
) -> tuple[Redactor, dict[str, Any]]:
    """
    Return a redactor for the credentials of the proxy, and the options of an httpx client.

    The credentials are redacted from logs while the redactor exists.

    Raises:
        SettingError: The proxy cannot be used.
    """
    context = _route.tls_context(verify)
    try:
        parts = urlsplit(proxy)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        made = httpx.Proxy(proxy)
        httpx.HTTPTransport(
            proxy=made, verify=context, trust_env=False
        ).close()  # raises for an unsupported proxy
    except (ValueError, ImportError, httpx.InvalidURL):
        raise SettingError(
            "the proxy cannot be used; write http://host:port (for socks5:// install httpx[socks])"
        ) from None  # the original error may show the password
    hidden = Redactor(password or user, f"{user}:{password}")
    _log_redaction.add(hidden)
    return hidden, {
        "proxy": made,
        "verify": context,
        "trust_env": False,
        "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        "timeout": httpx.Timeout(None, connect=_route.CONNECT),
    }


def _build_request(
    client: httpx.Client | httpx.AsyncClient,
    config: TransportConfig,
    request: Request,
    builder: ResponseBuilder,
    trace: Callable[..., object],
) -> httpx.Request:
    # Refuse what the default transport refuses.
    ClientProtocol("").request_bytes(request.method, request.target, with_encoding(request.headers), b"")
    left = builder.left()
    bounds = {wait: min(left, bound or left) for wait, bound in client.timeout.as_dict().items()}
    try:
        return client.build_request(
            request.method,
            config.origin + request.target,
            headers=list(with_encoding(request.headers)),
            content=request.body or None,
            timeout=httpx.Timeout(**bounds),
            extensions={"trace": trace},
        )
    except (httpx.InvalidURL, ValueError) as error:
        raise UnsendableRequestError(f"the request cannot be sent ({error})") from None


def _check_open(client: httpx.Client | httpx.AsyncClient, *, closed: bool) -> None:
    if closed:
        raise SettingError(CLOSED)
    if client.is_closed:
        raise SettingError("the client passed as client= is closed; pass an open one")


def _begin(builder: ResponseBuilder, response: httpx.Response, proxy: str) -> bool:
    """Handle the head. Return True if the body is already read, as with a mock transport."""
    if proxy and response.status_code == 407:  # only a proxy returns it
        raise proxy_status_error(proxy, 407)
    builder.begin(response.status_code, _fields(response), decompressed=response.is_stream_consumed)
    return response.is_stream_consumed


def _fields(response: httpx.Response) -> Headers:
    return tuple((str(name, "latin-1"), str(value, "latin-1")) for name, value in response.headers.raw)


def _reason(
    config: TransportConfig, proxy: str, builder: ResponseBuilder, error: Exception
) -> str | Exception:
    if isinstance(error, (ExchangeError, TimeoutError)):
        return error
    if isinstance(error, httpx.TimeoutException) and builder.deadline - time.monotonic() < _NEARLY:
        return builder.late
    if isinstance(error, httpx.ProxyError):
        status = str(error).partition(" ")[0]
        return proxy_status_error(proxy, int(status)) if status.isdigit() else proxy_error(proxy, "SOCKS")
    if isinstance(error, httpx.ConnectError):
        *_, origin = error, *(one for one in causes(error) if isinstance(one, OSError))
        if proxy and not isinstance(origin, ssl.SSLError):
            return proxy_error(proxy, origin)
        return connect_error(_route.HostPort.of(config.origin).authority, origin)
    return _log_redaction.text(str(error) or type(error).__name__)
