"""Client options and their validation."""

from __future__ import annotations

import inspect
import logging
import re
import warnings
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlsplit

from attrs import define, field, frozen

from mjrelay.base import PlainHTTPWarning, SettingError
from mjrelay.http import is_loopback_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from mjrelay.base import Clock
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


def as_hook(function: object) -> Hook | None:
    """Return the function as a hook; raise `SettingError` for anything but a plain function."""
    if function is None or isinstance(function, Hook):
        return function
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise SettingError(
            f"on_exchange is {function!r}; give a plain function of an exchange and its ids, not a coroutine"
        )
    return Hook(function)


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
    max_body: int | None
    on_exchange: Hook | None = field(converter=as_hook)
    clock: Clock

    def secrets(self) -> Iterator[str]:
        """Yield what to redact: the key, the proxy's password and long header values."""
        if self.api_key is not None:
            yield self.api_key
        if self.proxy is not None and (password := urlsplit(self.proxy).password):
            yield password
        yield from (value for value in self.headers.values() if len(value) >= _SECRET_LENGTH)

    def check(self, credential: Credential | None) -> None:
        """Raise `SettingError` for invalid options."""
        check_seconds(self.timeout)
        if self.connections < 1 or self.retries < 0:
            raise SettingError("connections must be at least 1, and retries at least 0")
        if self.max_body is not None and not (
            type(self.max_body) is int and 0 < self.max_body <= _MAX_MAX_BODY
        ):
            raise SettingError(
                f"max_body is {self.max_body!r}; give a whole number from 1 to {_MAX_MAX_BODY}"
            )
        if self.client is not None and (self.fast or self.proxy or self.verify is not True):
            raise SettingError("client= has its own connections; leave out fast, proxy and verify")
        reserved = {
            *_RESERVED,
            *([credential.field.lower()] if credential and credential.place != "query" else []),
        }
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in reserved:
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
    max_body: int | None
    on_exchange: Callable[[Exchange, tuple[str, ...]], object] | None


CONNECTION_OPTIONS = {"base_url", "api_key", "proxy", "verify", "fast", "connections"}
"""Options that need a new transport; the key does too, because the transport redacts it."""


def _check_value(name: str, value: str) -> None:
    if not value or value != value.strip() or not all(" " <= character <= "~" for character in value):
        raise SettingError(f"the value of the header {name} is invalid; use ASCII without surrounding spaces")


def check_seconds(timeout: float) -> None:
    """Raise `SettingError` for an invalid timeout."""
    if not (timeout and 0 < timeout <= _MAX_TIMEOUT):  # None is not a timeout
        raise SettingError(f"timeout is {timeout!r}; give seconds above 0, at most {_MAX_TIMEOUT:.0f}")


def checked_id(task_id: str) -> str:
    """Return the id; raise `SettingError` for anything but a non-empty string."""
    if not (task_id and isinstance(task_id, str)):
        raise SettingError(f"{task_id!r} is not a task id; pass a string, as the relay returned it")
    try:
        task_id.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SettingError("the id cannot be encoded as UTF-8; pass it as the relay returned it") from error
    return task_id


_warned: set[str] = set()


def warn_of_plain_http(origin: str) -> None:
    """Warn once of a key that is sent unencrypted to another machine."""
    if origin.startswith("http:") and not is_loopback_url(origin) and origin not in _warned:
        _warned.add(origin)
        message = f"the key is sent unencrypted to {origin}; use https:// if the relay supports it"
        warnings.warn(message, PlainHTTPWarning, stacklevel=4)
