"""What a relay is used with, and what of it cannot be used."""

from __future__ import annotations

import inspect
import logging
import re
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlsplit

from attrs import define, field, frozen

from mjrelay.base import SettingError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from mjrelay.base import Clock
    from mjrelay.http import Credential, Exchange


_log = logging.getLogger("mjrelay")

_TELLING = 16
"""Characters from which on a header's value may be a secret, and is no common word."""

_LONGEST = 30 * 86_400.0
"""Seconds that a request or a wait may take; a thread cannot sleep for ever, and a month is for ever."""

_MOST_ALLOWED = 1024 * 1024 * 1024
"""Bytes that ``max_body`` may allow; a body is held in memory, several times while it is decoded."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TAKEN = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "user-agent",
}
"""Header fields that are ours to set."""


@define(eq=False)
class Hook:
    """What is told of each exchange; that it fails is logged once, and harms nobody's fetch."""

    _function: Callable[[Exchange, tuple[str, ...]], object]
    _failed: bool = field(default=False, init=False)

    def __call__(self, exchange: Exchange, ids: tuple[str, ...]) -> None:
        try:
            self._function(exchange, ids)
        except Exception:  # noqa: BLE001 - whatever it is, it is not about the task that is fetched
            if not self._failed:
                self._failed = True
                _log.exception("on_exchange failed; tasks are fetched all the same, and this is told once")


def hooked(function: object) -> Hook | None:
    """The hook that calls a function; raises `SettingError` for what cannot be called as it is."""
    if function is None or isinstance(function, Hook):
        return function
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise SettingError(
            f"on_exchange is {function!r}; give a plain function of an exchange and its ids: none is awaited"
        )
    return Hook(function)


@frozen(kw_only=True)
class ClientOptions:
    """What a relay is used with; `Relay` says what each means."""

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
    on_exchange: Hook | None = field(converter=hooked)
    clock: Clock

    def secrets(self) -> Iterator[str]:
        """What is shown nowhere: the key, a proxy's password, and header values of some length."""
        if self.api_key is not None:
            yield self.api_key
        if self.proxy is not None and (password := urlsplit(self.proxy).password):
            yield password
        yield from (value for value in self.headers.values() if len(value) >= _TELLING)

    def check(self, credential: Credential | None) -> None:
        """Raise `SettingError` for options that cannot be used."""
        check_seconds(self.timeout)
        if self.connections < 1 or self.retries < 0:
            raise SettingError("connections must be 1 or more, and retries 0 or more")
        if self.max_body is not None and not (
            type(self.max_body) is int and 0 < self.max_body <= _MOST_ALLOWED
        ):
            raise SettingError(
                f"max_body is {self.max_body!r}; give bytes as a whole number, 1 to {_MOST_ALLOWED}"
            )
        if self.client is not None and (self.fast or self.proxy or self.verify is not True):
            raise SettingError("client= brings its own connections; leave out fast, proxy and verify")
        taken = {*_TAKEN, *([credential.field.lower()] if credential and credential.place != "query" else [])}
        for name, value in self.headers.items():
            if not _NAME.fullmatch(name) or name.lower() in taken:
                raise SettingError(f"{name!r} is no header field of yours to set; the others are")
            _check_value(name, value)
        if self.user_agent is not None:
            _check_value("User-Agent", self.user_agent)


class OptionChanges(TypedDict, total=False):
    """What `with_options` can change."""

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
"""Changes that need connections of their own; the key is among them for what is kept out of logs."""


def _check_value(name: str, value: str) -> None:
    if not value or value != value.strip() or not all(" " <= character <= "~" for character in value):
        raise SettingError(f"the value of the header {name} cannot be sent; write ASCII, no space around it")


def check_seconds(timeout: float) -> None:
    """Raise `SettingError` for what is no time that can be waited for."""
    if not (timeout and 0 < timeout <= _LONGEST):  # None is no number of seconds either
        raise SettingError(f"timeout is {timeout!r}; give seconds above 0, {_LONGEST:.0f} at most")


def checked_id(task_id: str) -> str:
    """The id; raises `SettingError` for what is none."""
    if not (task_id and isinstance(task_id, str)):
        raise SettingError(f"{task_id!r} is no id of a task; give it as text, as the relay returned it")
    try:
        task_id.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SettingError("the id is no text that can be sent; give it as the relay returned it") from error
    return task_id
