"""
The clients every relay's own two classes extend: how a request leaves, and what becomes of its answer.

Redirects are never followed: a credential in a header of the relay's own would go along to another host.
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
"""The default: seconds to connect, and to wait for each further sign of life."""

LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=100)
"""As many kept alive as open: httpx closes the surplus under the hands of threads that share a client."""

LARGEST_BODY: Final = 16 * 1024 * 1024
"""Bytes of a body, after decompression, that are read before the answer is given up."""

Responses = tuple[tuple[int, int, BodyDecoder | None], ...]
"""The documented statuses, first and last of each range, with what decodes the body, if there is one."""

Security = tuple[str | None, ...]
"""The names of the security schemes one operation takes, the preferred first; None where it takes none."""


@frozen
class Scheme:
    """Where a relay wants to find the credential."""

    place: Literal["header", "query", "cookie"]
    name: str
    prefix: str = ""


def _seconds(value: httpx.Timeout | float) -> httpx.Timeout:
    timeout = httpx.Timeout(value)
    if None in timeout.as_dict().values():
        raise ValueError("timeout has no end; give seconds, or an httpx.Timeout with all four parts")
    return timeout


def _check_base_url(value: str) -> None:
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL as error:
        raise ValueError("base_url is no URL; give scheme and host, as in https://relay.example") from error
    if url.userinfo:
        raise ValueError("base_url holds a user name or password; give the credential as token")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"base_url {value!r} lacks http(s):// or a host, as in https://relay.example")


def _check_token(_client: object, _attribute: Attribute[str], value: str) -> None:
    # Checked here because the HTTP library would repeat a token it cannot send in its own message.
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("token is empty or holds white space or a character beyond ASCII; copy it once more")


def _check_httpx_args(_client: object, _attribute: Attribute[Any], value: Mapping[str, Any]) -> None:
    taken = {"base_url", "headers", "timeout", "verify", "follow_redirects", "auth"} & value.keys()
    if taken:
        raise ValueError(
            f"httpx_args cannot set {', '.join(sorted(taken))}: redirects are never followed,"
            " the credential is the token, and the others are arguments of the client itself"
        )


@define(kw_only=True, eq=False)
class Client:
    """
    Sends requests without a credential.

    ``base_url`` may have a path, which is put before the contract's. ``timeout`` is finite, in seconds or
    as an `httpx.Timeout`. ``httpx_args`` go to `httpx.Client` and `httpx.AsyncClient`, whose connections
    are kept until `close` or `aclose`, or the end of a ``with`` block. Threads may share a client, event
    loops may not.
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
        # No validator of the field: a relay's own class declares it anew, with the contract's server.
        _check_base_url(self.base_url)

    def get_httpx_client(self) -> httpx.Client:
        """The `httpx.Client` beneath, made on first use."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(**self._arguments())
            return self._client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """The `httpx.AsyncClient` beneath, made on first use."""
        with self._lock:
            if self._async_client is None:
                self._async_client = httpx.AsyncClient(**self._arguments())
            return self._async_client

    def close(self) -> None:
        """Close the connections of the synchronous side; the client may be used again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the connections of the asynchronous side; the client may be used again."""
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
        """Send one request of a generated operation and decode its answer; raises `DecodeError`."""
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
        """Do what `request` does, without blocking."""
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
    Sends requests with a credential, where the contract says it goes.

    ``scheme`` chooses among the contract's alternatives; without it, each operation's first is used.
    """

    token: str = field(repr=False, validator=_check_token)
    scheme: str | None = None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.scheme is not None and self.scheme not in self.schemes:
            known = ", ".join(self.schemes) or "none"
            raise ValueError(f"there is no security scheme {self.scheme!r}; the contract knows: {known}")

    def _credential(self, security: Security) -> tuple[Scheme, str] | None:
        names = [name for name in security if name is not None]
        if not names:
            return None
        if self.scheme is not None and self.scheme not in names:
            raise ValueError(f"this operation takes {', '.join(names)}, not {self.scheme!r}; choose one")
        return self.schemes[self.scheme or names[0]], self.token

    def _secret(self) -> str:
        return self.token


def segment(value: object) -> str:
    """One path parameter, quoted; raises `ValueError` for those that a URL cannot hold as one segment."""
    text = str(value)
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} cannot be a part of a path; give the id as the relay returned it")
    return quote(text, safe="")


def success(response: Response[Any], responses: Responses) -> Any:
    """What a documented 2xx gives; raises `UnexpectedStatus` for every other status."""
    status = response.status_code
    if not 200 <= status <= 299 or _documented(status, responses) is None:
        raise UnexpectedStatus(status, response.content, response.parsed)
    return response.parsed


def _documented(status: int, responses: Responses) -> tuple[int, int, BodyDecoder | None] | None:
    return next((entry for entry in responses if entry[0] <= status <= entry[1]), None)


def _check_coding(response: httpx.Response) -> None:
    if "," in response.headers.get("content-encoding", ""):  # a few bytes may become gigabytes
        raise httpx.DecodingError("compressed more than once")


def _grow(body: bytearray, piece: bytes, response: httpx.Response) -> None:
    body += piece
    if len(body) > LARGEST_BODY:
        error = DecodeError(f"a body of at most {LARGEST_BODY} bytes", "a larger one")
        raise error.of(response.status_code, b"")


def _incompressible(response: httpx.Response) -> DecodeError:
    return DecodeError("a body compressed as its headers say", "something else").of(response.status_code, b"")


__all__ = ["AuthenticatedClient", "Client", "Responses", "Scheme", "Security", "segment", "success"]
