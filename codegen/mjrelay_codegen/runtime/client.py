"""
The base clients: send a request and decode the response.

Redirects are never followed, because httpx would send a credential in a custom header to the other host.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self
from urllib.parse import quote

import httpx
from attrs import Attribute, define, field, frozen

from .decoding import BodyDecoder
from .errors import DecodeError, UnexpectedStatus
from .types import Response

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
"""The default timeouts in seconds: 5 to connect, 30 for each read or write."""

LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=100)
"""Every connection may stay idle: httpx closes surplus ones while other threads use them."""

LARGEST_BODY: Final = 16 * 1024 * 1024
"""Maximum size of a response body in bytes, after decompression."""

Responses = tuple[tuple[int, int, BodyDecoder | None], ...]
"""The documented status codes: first and last of each range, and the decoder of the body or None."""

Security = tuple[str | None, ...]
"""The names of the security schemes of an operation, the preferred first; None means no credential."""


@frozen
class Scheme:
    """The place, name and prefix of a credential in a request."""

    place: Literal["header", "query", "cookie"]
    name: str
    prefix: str = ""


def _seconds(value: httpx.Timeout | float) -> httpx.Timeout:
    timeout = httpx.Timeout(value)
    if None in timeout.as_dict().values():
        raise ValueError("timeout is infinite; pass seconds, or an httpx.Timeout with all four values")
    return timeout


def _check_base_url(value: str) -> None:
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL as error:
        raise ValueError(
            "base_url is not a URL; pass scheme and host, as in https://relay.example"
        ) from error
    if url.userinfo:
        raise ValueError("base_url has a user name or password; pass the credential as token")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"base_url {value!r} lacks http(s):// or a host, as in https://relay.example")


def _check_token(_client: object, _attribute: Attribute[str], value: str) -> None:
    # The HTTP library would print an invalid token in its error message.
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("token is empty or has white space or non-ASCII characters; copy it again")


def _check_httpx_args(_client: object, _attribute: Attribute[Any], value: Mapping[str, Any]) -> None:
    taken = {"base_url", "headers", "timeout", "verify", "follow_redirects", "auth"} & value.keys()
    if taken:
        raise ValueError(
            f"httpx_args cannot set {', '.join(sorted(taken))}: redirects are never followed,"
            " the credential is token, and the others are arguments of the client"
        )


@define(kw_only=True, eq=False)
class Client:
    """
    A client that sends requests without a credential.

    Connections stay open until `close`, `aclose` or the end of a ``with`` block. Threads may share a client,
    event loops may not.

    Args:
        base_url: The URL of the relay. Its path is put before the paths of the contract.
        timeout: Seconds or an `httpx.Timeout`; it has to be finite.
        headers: Additional request headers.
        verify: As for `httpx.Client`.
        httpx_args: Further arguments for `httpx.Client` and `httpx.AsyncClient`.
    """

    schemes: ClassVar[Mapping[str, Scheme]] = {}

    base_url: str
    timeout: httpx.Timeout = field(default=TIMEOUT, converter=_seconds)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    verify: ssl.SSLContext | bool = True
    httpx_args: Mapping[str, Any] = field(factory=dict, repr=False, validator=_check_httpx_args)
    _lock: Lock = field(init=False, repr=False, factory=Lock)
    _client: httpx.Client | None = field(init=False, repr=False, default=None)
    _async_client: httpx.AsyncClient | None = field(init=False, repr=False, default=None)

    def __attrs_post_init__(self) -> None:
        # Not a validator of the field: the class of a relay redefines the field with a default.
        _check_base_url(self.base_url)

    def get_httpx_client(self) -> httpx.Client:
        """Return the underlying `httpx.Client`; it is created on first use."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(**self._arguments())
            return self._client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the underlying `httpx.AsyncClient`; it is created on first use."""
        with self._lock:
            if self._async_client is None:
                self._async_client = httpx.AsyncClient(**self._arguments())
            return self._async_client

    def close(self) -> None:
        """Close the synchronous connections; the client can be used again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the asynchronous connections; the client can be used again."""
        client, self._async_client = self._async_client, None
        if client is not None:
            await client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def request(self, kwargs: dict[str, Any], responses: Responses, security: Security) -> Response[Any]:
        """Send the request of an operation and decode the response; raises `DecodeError`."""
        client = self.get_httpx_client()
        request = client.build_request(**self._prepared(kwargs, security))
        response = client.send(request, stream=True, follow_redirects=False)
        body = bytearray()
        try:
            _check_coding(response)
            for piece in response.iter_bytes():
                _grow(body, piece, response)
        except httpx.DecodingError as error:
            raise _incompressible(response) from error
        finally:
            response.close()
        return self._answer(response, bytes(body), responses)

    async def request_async(
        self, kwargs: dict[str, Any], responses: Responses, security: Security
    ) -> Response[Any]:
        """Send a request as `request` does, asynchronously."""
        client = self.get_async_httpx_client()
        request = client.build_request(**self._prepared(kwargs, security))
        response = await client.send(request, stream=True, follow_redirects=False)
        body = bytearray()
        try:
            _check_coding(response)
            async for piece in response.aiter_bytes():
                _grow(body, piece, response)
        except httpx.DecodingError as error:
            raise _incompressible(response) from error
        finally:
            await response.aclose()
        return self._answer(response, bytes(body), responses)

    def _credential(self, _security: Security) -> tuple[Scheme, str] | None:
        return None

    def _secret(self) -> str:
        return ""

    def _arguments(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "timeout": self.timeout,
            "headers": {"Accept-Encoding": "gzip", **self.headers},
            "verify": self.verify,
            "limits": LIMITS,
            **self.httpx_args,
        }

    def _prepared(self, kwargs: dict[str, Any], security: Security) -> dict[str, Any]:
        headers = dict(kwargs.get("headers", {}))
        params = dict(kwargs.get("params", {}))
        cookies = dict(kwargs.get("cookies", {}))
        credential = self._credential(security)
        if credential is not None:
            scheme, token = credential
            target = {"header": headers, "query": params, "cookie": cookies}[scheme.place]
            target[scheme.name] = f"{scheme.prefix}{token}"
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        others = {name: value for name, value in kwargs.items() if name != "cookies"}
        return {**others, "headers": headers, "params": params or None}

    def _answer(self, response: httpx.Response, content: bytes, responses: Responses) -> Response[Any]:
        documented = _documented(response.status_code, responses)
        decode = None if documented is None else documented[2]
        try:
            parsed = None if decode is None else decode(content)
        except DecodeError as error:
            raise error.of(response.status_code, content, secret=self._secret()) from None
        return Response(
            status_code=response.status_code,
            content=content,
            headers=response.headers,
            parsed=parsed,
        )


@define(kw_only=True, eq=False)
class AuthenticatedClient(Client):
    """
    A client that sends requests with a credential.

    Args:
        token: The credential.
        scheme: The name of a security scheme of the contract; default: the first one of each operation.
    """

    token: str = field(repr=False, validator=_check_token)
    scheme: str | None = None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.scheme is not None and self.scheme not in self.schemes:
            known = ", ".join(self.schemes) or "none"
            raise ValueError(f"there is no security scheme {self.scheme!r}; the contract has: {known}")

    def _credential(self, security: Security) -> tuple[Scheme, str] | None:
        names = [name for name in security if name is not None]
        if not names:
            return None
        if self.scheme is not None and self.scheme not in names:
            raise ValueError(
                f"this operation takes {', '.join(names)}, not {self.scheme!r}; choose one of them"
            )
        return self.schemes[self.scheme or names[0]], self.token

    def _secret(self) -> str:
        return self.token


def segment(value: object) -> str:
    """Quote a path parameter; raises `ValueError` if it cannot be one segment of a path."""
    text = str(value)
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} cannot be part of a path; pass the id as the relay returned it")
    return quote(text, safe="")


def success(response: Response[Any], responses: Responses) -> Any:
    """Return the body of a documented 2xx; raises `UnexpectedStatus` for every other status."""
    status = response.status_code
    if not 200 <= status <= 299 or _documented(status, responses) is None:
        raise UnexpectedStatus(status, response.content, response.parsed)
    return response.parsed


def _documented(status: int, responses: Responses) -> tuple[int, int, BodyDecoder | None] | None:
    return next((entry for entry in responses if entry[0] <= status <= entry[1]), None)


def _check_coding(response: httpx.Response) -> None:
    if "," in response.headers.get("content-encoding", ""):  # a few bytes can expand to gigabytes
        raise httpx.DecodingError("compressed more than once")


def _grow(body: bytearray, piece: bytes, response: httpx.Response) -> None:
    body += piece
    if len(body) > LARGEST_BODY:
        error = DecodeError(f"a body of at most {LARGEST_BODY} bytes", "a larger one")
        raise error.of(response.status_code, b"")


def _incompressible(response: httpx.Response) -> DecodeError:
    return DecodeError("a body compressed as its headers say", "something else").of(response.status_code, b"")


__all__ = ["AuthenticatedClient", "Client", "Responses", "Scheme", "Security", "segment", "success"]
