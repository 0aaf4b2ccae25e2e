"""The connections of a relay, which relays made from it by `with_options` share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mjrelay.base import SettingError, renew_after_fork
from mjrelay.transport import CLOSED

if TYPE_CHECKING:
    from collections.abc import Callable


W = TypeVar("W")

_inherited: list[Any] = []
"""Wires of the parent; to finalize one could disturb the parent's event loop, or wait for its threads."""


class SharedTransport(Generic[W]):
    """A wire; a forked process makes its own when it first sends, unless it uses a client of the user."""

    def __init__(self, make: Callable[[], W], *, client: bool) -> None:
        self._make, self._client, self._closed = make, client, False
        self._lock = threading.Lock()
        self._transport: W | None = make()
        renew_after_fork(self, SharedTransport._leave_to_parent)

    def get(self) -> W:
        """
        Return the wire of this process.

        Raises `SettingError` after `close`, and for a client that was made in another process.
        """
        if (wire := self._transport) is not None:
            return wire
        with self._lock:
            if self._closed:
                raise SettingError(CLOSED)
            if self._client:
                raise SettingError(
                    "client= was made before this process was forked, so that both processes would read from "
                    "the same connections; create the client and the Relay after fork"
                )
            if self._transport is None:
                self._transport = self._make()
            return self._transport

    def close(self) -> W | None:
        """Return the wire for the caller to close, None where this process has not made one."""
        self._closed = True
        return self._transport

    def _leave_to_parent(self) -> None:
        _inherited.append(self._transport)
        self._transport, self._lock = None, threading.Lock()
