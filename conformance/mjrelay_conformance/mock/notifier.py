"""Callbacks that a mock relay sends when its tasks change."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from mjrelay.http import Redactor, Request
from mjrelay.transport import TransportConfig, connect

if TYPE_CHECKING:
    from types import TracebackType

    from mjrelay.semantics import State
    from mjrelay_conformance.mock.relay import MockRelay


_HEADERS = (("Content-Type", "application/json; charset=utf-8"),)


class Notifier:
    """
    Sends the document of each task that changes to a URL, as the open-source servers do.

    Callbacks of a task are in order. The last one is sent twice, because servers repeat equal ones. A
    callback that fails is not sent again. No key is sent, and only to this URL, whatever a submit names.
    A context manager: while it is open, a thread looks for changes.

    Args:
        relay: The mock relay.
        url: The URL to send to.
        interval: Seconds between two looks.
    """

    def __init__(self, relay: MockRelay, url: str, *, interval: float = 1.0) -> None:
        parts = urlsplit(url)
        origin, self._target = f"{parts.scheme}://{parts.netloc}", parts.path or "/"
        self._relay, self._interval = relay, interval
        self._config = TransportConfig(origin, Redactor(), proxy="")
        self._sent: dict[str, tuple[State, int | None]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mjrelay-notifier", daemon=True)

    def send_changes(self) -> int:
        """Send a callback for each task that has changed; return how many were sent."""
        count = 0
        for task_id, state, document in self._relay.changing():
            seen = state, self._relay.contract.reader.progress(document)
            if self._sent.get(task_id) != seen:
                self._sent[task_id] = seen
                for _ in range(2 if state.terminal else 1):
                    self._send(json.dumps(document, ensure_ascii=False).encode())
                    count += 1
        return count

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.send_changes()

    def _send(self, body: bytes) -> None:
        transport = connect(self._config)  # a new connection each time, because a POST is not sent again
        try:
            transport.send(Request("POST", self._target, _HEADERS, body), 5.0)
        finally:
            transport.close()
