"""The transport of a relay, shared by the relays that `with_options` makes from it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mjrelay.base import SettingError, renew_after_fork
from mjrelay.transport import CLOSED

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")

_inherited: list[Any] = []
"""Transports of the parent: finalizing one could disturb the parent's event loop or wait for its threads."""


class SharedTransport(Generic[T]):
    """A transport; a forked child makes its own on first use, except with the caller's ``client``."""

    def __init__(self, make: Callable[[], T], *, client: bool) -> None:
        self._make, self._client, self._closed = make, client, False
        self._lock = threading.Lock()
        self._transport: T | None = make()
        renew_after_fork(self, SharedTransport._leave_to_parent)

    def get(self) -> T:
        """
        Return the transport of this process.

        Raise `SettingError` after `close`, and for a client that was created in another process.
        """
        if (transport := self._transport) is not None:
            return transport
        with self._lock:
            if self._closed:
                raise SettingError(CLOSED)
            if self._client:
                raise SettingError(
                    "client= was created before this process was forked, so both processes would read from "
                    "the same connections; create the client and the Relay after fork"
                )
            if self._transport is None:
                self._transport = self._make()
            return self._transport

    def close(self) -> T | None:
        """Return the transport for the caller to close, or None if this process has none."""
        self._closed = True
        return self._transport

    def _leave_to_parent(self) -> None:
        _inherited.append(self._transport)
        self._transport, self._lock = None, threading.Lock()
