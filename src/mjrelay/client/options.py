"""Client options and their validation."""

from __future__ import annotations

import inspect
import logging
import math
import re
import reprlib
import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from os import PathLike
from typing import TYPE_CHECKING, Any, TypedDict, TypeGuard
from urllib.parse import urlsplit

from attrs import define, field, frozen

from mjrelay.base import Clock, PlainHTTPWarning, SettingError, did_you_mean, nearest_names
from mjrelay.http import is_loopback_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from mjrelay.client.spending import SubmitRecord
    from mjrelay.http import Credential, Exchange


_log = logging.getLogger("mjrelay")

_SECRET_LENGTH = 16
"""Minimum length of a header value that is redacted; shorter ones are usually common words."""

_MAX_TIMEOUT = 30 * 86_400.0
"""Maximum timeout in seconds; threads cannot sleep arbitrarily long."""

_MAX_MAX_BODY = 1024 * 1024 * 1024
"""Maximum of ``max_body`` in bytes; decoding holds several copies of a body in memory."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "user-agent",
}
"""Header fields that the client sets."""


@define(eq=False)
class Hook:
    """Calls ``on_exchange``; its exceptions are ignored, and the first is logged."""

    _function: Callable[[Exchange, tuple[str, ...]], object]
    _failed: bool = field(default=False, init=False)

    def __call__(self, exchange: Exchange, ids: tuple[str, ...]) -> None:
        try:
            self._function(exchange, ids)
        except Exception:  # noqa: BLE001 - a faulty callback must not break a fetch
            if not self._failed:
                self._failed = True
                _log.exception("on_exchange failed; this is logged once")


def as_hook(function: Any) -> Hook | None:
    """Return the function as a hook; raise `SettingError` for anything but a plain function."""
    check_callback("on_exchange", function)
    return function if function is None or isinstance(function, Hook) else Hook(function)


def check_callback(name: str, function: object) -> None:
    """Raise `SettingError` for anything but None or a plain function."""
    if function is not None and not callable(function):
        raise _invalid(name, function, "a plain function")
    if inspect.iscoroutinefunction(function):
        raise SettingError(f"{name} is a coroutine function, which is not awaited; give a plain function")


def _invalid(name: str, value: object, wanted: str) -> SettingError:
    return SettingError(f"{name} is {reprlib.repr(value)}; give {wanted}")


@frozen(kw_only=True)
class ClientOptions:
    """The options of a client; see `mjrelay.Relay`."""

    api_key: str | None = field(repr=False)
    base_url: str
    scheme: str | None
    timeout: float
    headers: Mapping[str, str] = field(repr=False)
    user_agent: str | None
    proxy: str | None = field(repr=False)
    verify: bool | str | ssl.SSLContext
    client: Any
    fast: bool
    connections: int
    retries: int
    connect_grace: float
    max_body: int | None
    on_exchange: Hook | None = field(converter=as_hook)
    clock: Clock
    max_submits: int | None
    submit_retries: int
    submit_log: str | PathLike[str] | None
    log_prompts: bool
    on_submit: Callable[[SubmitRecord], object] | None

    def secrets(self) -> Iterator[str]:
        """Yield what to redact: the key, the proxy's password and long header values."""
        if self.api_key is not None:
            yield self.api_key
        if self.proxy is not None and (password := urlsplit(self.proxy).password):
            yield password
        yield from (value for value in self.headers.values() if len(value) >= _SECRET_LENGTH)

    def check(self, credential: Credential | None) -> None:
        """Raise `SettingError` for invalid options."""
        check_seconds("timeout", self.timeout)
        check_count("connections", self.connections)
        check_count("retries", self.retries, least=0)
        check_count("submit_retries", self.submit_retries, least=0)
        if self.max_submits is not None:
            check_count("max_submits", self.max_submits, least=0)
        check_callback("on_submit", self.on_submit)
        if not _is_number(self.connect_grace) or not self.connect_grace >= 0:
            raise _invalid("connect_grace", self.connect_grace, "seconds, 0 or more")
        if self.max_body is not None:
            check_count("max_body", self.max_body, most=_MAX_MAX_BODY)
        if not isinstance(self.fast, bool):
            raise _invalid("fast", self.fast, "True or False")
        if not (isinstance(self.verify, bool | str | PathLike) and self.verify != "") and not (
            hasattr(self.verify, "wrap_socket")  # an SSLContext, without importing ssl
        ):
            raise _invalid("verify", self.verify, "True, False, a CA file or an ssl.SSLContext")
        if self.proxy not in (None, "") and not _is_proxy(self.proxy):
            raise SettingError("proxy is not a URL with a host; write http://host:port")
        if not isinstance(self.clock, Clock):
            raise _invalid("clock", self.clock, "a Clock of mjrelay.testing")
        if self.client is not None and (self.fast or self.proxy or self.verify is not True):
            raise SettingError("client= has its own connections; leave out fast, proxy and verify")
        self._check_headers(credential)

    def _check_headers(self, credential: Credential | None) -> None:
        if not isinstance(self.headers, Mapping):
            raise SettingError(f"headers is of type {type(self.headers).__name__}; give a dict of strings")
        own = {credential.field.lower()} if credential and credential.place != "query" else set()
        fields: Mapping[Any, Any] = self.headers
        for name, value in fields.items():
            if (
                not isinstance(name, str)
                or not _HEADER_NAME.fullmatch(name)
                or name.lower() in _RESERVED | own
            ):
                raise SettingError(
                    f"headers has {name!r}, which is reserved or not a valid name; leave it out"
                )
            _check_value(name, value)
        if self.user_agent is not None:
            _check_value("User-Agent", self.user_agent)


class OptionChanges(TypedDict, total=False):
    """The options that `with_options` can change."""

    api_key: str
    base_url: str
    scheme: str | None
    timeout: float
    headers: Mapping[str, str]
    user_agent: str | None
    proxy: str | None
    verify: bool | str | ssl.SSLContext
    fast: bool
    connections: int
    retries: int
    connect_grace: float
    max_body: int | None
    on_exchange: Callable[[Exchange, tuple[str, ...]], object] | None


CONNECTION_OPTIONS = {"base_url", "api_key", "proxy", "verify", "fast", "connections"}
"""Options that need a new transport; the key does too, because the transport redacts it."""


def _check_value(name: str, value: object) -> None:
    if not isinstance(value, str):
        kind = type(value).__name__
        raise SettingError(f"the value of the header {name} is of type {kind}; give a string")
    if not value or value != value.strip() or not all(" " <= character <= "~" for character in value):
        raise SettingError(f"the value of the header {name} is invalid; use ASCII without surrounding spaces")


def check_seconds(name: str, value: object) -> None:
    """Raise `SettingError` for an invalid timeout."""
    if not _is_number(value) or not 0 < value <= _MAX_TIMEOUT:
        raise _invalid(name, value, f"seconds above 0, at most {_MAX_TIMEOUT:.0f}")


def check_rate(value: object) -> None:
    """Raise `SettingError` for anything but None or a rate."""
    if value is not None and not (_is_number(value) and 0 < value < math.inf):
        raise _invalid("rate", value, "requests per second above 0, or None for no limit")


def check_count(name: str, value: Any, *, least: int = 1, most: int | None = None) -> None:
    """Raise `SettingError` for anything but a whole number in these limits."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and least <= value <= (value if most is None else most)):
        limits = f"from {least} to {most}" if most else f"of at least {least}"
        raise _invalid(name, value, f"a whole number {limits}")


def check_list(name: str, value: object) -> None:
    """Raise `SettingError` for text, and for anything that cannot be iterated over."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise SettingError(f"{name} is of type {type(value).__name__}; pass a list of {name}")


def check_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `SettingError` for names of options that do not exist."""
    known = list(known)
    for name in given:
        if name not in known:
            near = did_you_mean(nearest_names(name, known, count=1)) or f"use one of: {', '.join(known)}"
            raise SettingError(f"{name} is not an option here; {near}")


def _is_proxy(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(urlsplit(value).hostname)
    except ValueError:
        return False


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


_warned: set[str] = set()


def warn_of_plain_http(origin: str) -> None:
    """Warn once of a key that is sent unencrypted to another machine."""
    if origin.startswith("http:") and not is_loopback_url(origin) and origin not in _warned:
        _warned.add(origin)
        message = f"the key is sent unencrypted to {origin}; use https:// if the relay supports it"
        warnings.warn(message, PlainHTTPWarning, stacklevel=4)
