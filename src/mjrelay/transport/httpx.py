"""
The wire over httpx, for what it does and our own connections do not: proxies, and clients that users bring.

It logs URLs and header fields, in which a relay may echo the key: they are taken out of what it logs.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
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
from mjrelay.transport.protocol import ClientProtocol
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
    from collections.abc import Iterator

    from mjrelay.http import Exchange, Headers, Request
    from mjrelay.transport.transport import TransportConfig


_LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))

_NEARLY = 0.01
"""Seconds before the deadline at which httpx's own clocks may already have run out."""


class _Discretion(logging.Filter):
    """Takes the secrets of all living links out of what httpx and httpcore log."""

    def __init__(self) -> None:
        super().__init__()
        self._unlock()
        renew_after_fork(self, _Discretion._unlock)
        self._redactors: weakref.WeakSet[Redactor] = weakref.WeakSet()

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def heed(self, redactor: Redactor) -> None:
        """Take the secrets of this one out too, as long as it lives."""
        with self._lock:
            self._redactors.add(redactor)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)  # once; adding it again does nothing

    def text(self, text: str) -> str:
        """The text without the secrets."""
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


_discretion = _Discretion()


class HTTPXTransport:
    """
    `Transport` over an httpx client, within its own timeouts where they are shorter.

    httpx bounds each wait but not their sum, so each exchange has a thread, which is not waited for longer
    than the time that the exchange has.
    """

    def __init__(self, link: TransportConfig, client: httpx.Client) -> None:
        if not isinstance(client, httpx.Client):
            raise SettingError(f"client= wants an httpx.Client here, not {type(client).__name__}")
        self._link, self._client, self._closed = link, client, False
        _discretion.heed(link.redactor)

    def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        _check_open(self._client, closed=self._closed)
        answer = ResponseBuilder(self._link, request, timeout, largest)
        exchanges: SimpleQueue[Exchange] = SimpleQueue()
        try:
            args = (self._carry, _built(self._client, self._link, request, answer), answer, exchanges)
            thread = threading.Thread(target=contextvars.copy_context().run, args=args, daemon=True)
            del args  # the URL may hold the key, and a traceback could show it
        except ExchangeError as error:
            return answer.failed(error)
        thread.start()
        try:
            return exchanges.get(timeout=max(0.0, timeout))
        except Empty:
            return answer.failed(answer.late)

    def _carry(self, sent: httpx.Request, answer: ResponseBuilder, exchanges: SimpleQueue[Exchange]) -> None:
        try:
            response = self._client.send(sent, stream=True, auth=None, follow_redirects=False)
            try:
                if _begun(answer, response):
                    answer.take(response.content)
                else:
                    for piece in response.iter_raw():
                        answer.take(piece)
            finally:
                response.close()
            exchange = answer.end()
        except Exception as error:  # noqa: BLE001 - the transport of somebody's client may raise anything
            exchange = answer.failed(_reason(answer, error))
        exchanges.put(exchange)

    def close(self) -> None:
        """Send no more; the client is left open, for it is its owner's."""
        self._closed = True


class AsyncHTTPXTransport:
    """The twin of `HTTPXTransport`."""

    def __init__(self, link: TransportConfig, client: httpx.AsyncClient) -> None:
        if not isinstance(client, httpx.AsyncClient):
            raise SettingError(f"client= wants an httpx.AsyncClient here, not {type(client).__name__}")
        self._link, self._client, self._closed = link, client, False
        _discretion.heed(link.redactor)

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        _check_open(self._client, closed=self._closed)
        answer = ResponseBuilder(self._link, request, timeout, largest)
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.send(
                    _built(self._client, self._link, request, answer),
                    stream=True,
                    auth=None,
                    follow_redirects=False,
                )
                try:
                    if _begun(answer, response):
                        answer.take(response.content)
                    else:
                        async for piece in response.aiter_raw():
                            answer.take(piece)
                finally:
                    await response.aclose()
            return answer.end()
        except Exception as error:  # noqa: BLE001 - the transport of somebody's client may raise anything
            return answer.failed(_reason(answer, error))

    async def close(self) -> None:
        """Send no more; the client is left open, for it is its owner's."""
        self._closed = True


class ProxyTransport(HTTPXTransport):
    """`Transport` through a proxy."""

    def __init__(self, link: TransportConfig) -> None:
        self._hidden, options = _through(link.origin, link.proxy, link.verify, link.connections)
        super().__init__(link, httpx.Client(**options, event_hooks=_HOOKS))

    def close(self) -> None:
        super().close()
        self._client.close()


class AsyncProxyTransport(AsyncHTTPXTransport):
    """The twin of `ProxyTransport`."""

    def __init__(self, link: TransportConfig) -> None:
        self._hidden, self._options = _through(link.origin, link.proxy, link.verify, link.connections)
        super().__init__(link, httpx.AsyncClient(**self._options))
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Request, timeout: float, largest: int = LARGEST_BODY) -> Exchange:
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:  # the connections of one event loop fail in another
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
    """Status, header fields and the pieces of a body that comes through a proxy; raises `ExchangeError`."""
    _hidden, options = _through(url, proxy, verify, 1)  # the name keeps it alive
    with httpx.Client(**{**options, "timeout": timeout}, event_hooks=_HOOKS) as client:
        with _told():
            sent = client.build_request("GET", url, headers=list(headers))
            response = client.send(sent, stream=True, follow_redirects=False)
        try:
            yield response.status_code, _fields(response), _pieces(response)
        finally:
            response.close()


def _traced(request: httpx.Request) -> None:
    request.extensions["trace"] = _leave_to_parent


def _leave_to_parent(event: str, info: dict[str, Any]) -> None:
    """Close each new connection in every child process."""
    if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
        close_after_fork(info["return_value"].get_extra_info("socket"))


_HOOKS: Any = {"request": [_traced]}


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    with _told():
        yield from response.iter_raw()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ExchangeError(_discretion.text(str(error) or type(error).__name__)) from error


def _through(
    url: str, given: str | None, verify: bool | str | ssl.SSLContext, connections: int
) -> tuple[Redactor, dict[str, Any]]:
    """
    What keeps a proxy's credentials out of logs and texts while it lives, and a client's options.

    Raises `SettingError` for a proxy that cannot be used.
    """
    proxy, context = _route.proxy(url, given) or "", _route.tls_context(verify)
    try:
        parts = urlsplit(proxy)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        made = httpx.Proxy(proxy)
        httpx.HTTPTransport(proxy=made, verify=context, trust_env=False).close()  # says what it cannot do
    except (ValueError, ImportError, httpx.InvalidURL):
        raise SettingError(
            "the proxy cannot be used; write http://host:port (for socks5:// install httpx[socks])"
        ) from None  # what was raised may show its password
    hidden = Redactor(password or user, f"{user}:{password}")
    _discretion.heed(hidden)
    return hidden, {
        "proxy": made,
        "verify": context,
        "trust_env": False,
        "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        "timeout": httpx.Timeout(None, connect=_route.CONNECT),
    }


def _built(
    client: httpx.Client | httpx.AsyncClient, link: TransportConfig, request: Request, answer: ResponseBuilder
) -> httpx.Request:
    # What our own connections refuse is refused here too, whatever the client would make of it.
    ClientProtocol("").ask(request.method, request.target, with_encoding(request.headers), b"")
    left = answer.left()
    bounds = {wait: min(left, bound or left) for wait, bound in client.timeout.as_dict().items()}
    try:
        return client.build_request(
            request.method,
            link.origin + request.target,
            headers=list(with_encoding(request.headers)),
            content=request.body or None,
            timeout=httpx.Timeout(**bounds),
        )
    except (httpx.InvalidURL, ValueError) as error:
        raise UnsendableRequestError(f"the request cannot be sent ({error})") from None


def _check_open(client: httpx.Client | httpx.AsyncClient, *, closed: bool) -> None:
    if closed:
        raise SettingError(CLOSED)
    if client.is_closed:
        raise SettingError("the client that was given with client= is closed; make a relay with another one")


def _begun(answer: ResponseBuilder, response: httpx.Response) -> bool:
    """Tell the head; whether the body is there already, unpacked, as from a transport made for tests."""
    answer.begin(response.status_code, _fields(response), unpacked=response.is_stream_consumed)
    return response.is_stream_consumed


def _fields(response: httpx.Response) -> Headers:
    return tuple((str(name, "latin-1"), str(value, "latin-1")) for name, value in response.headers.raw)


def _reason(answer: ResponseBuilder, error: Exception) -> str | Exception:
    if isinstance(error, (ExchangeError, TimeoutError)):
        return error
    if isinstance(error, httpx.TimeoutException) and answer.deadline - time.monotonic() < _NEARLY:
        return answer.late
    return _discretion.text(str(error) or type(error).__name__)
