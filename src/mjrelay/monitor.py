"""
Run the checks of the conformance suite on the exchanges of a running program.

A `Monitor` is passed to a `Relay` or an `AsyncRelay` as ``on_exchange``. It sends no requests, and judges in
a separate thread. It needs an extra: ``pip install '.[monitor]'`` in a clone.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
import weakref
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal, Self

from attrs import field, frozen

from mjrelay.base import MissingExtraError, SettingError, renew_after_fork, replace_unprintable
from mjrelay.contract import checked_key, key_variable, known_key, load_contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from types import TracebackType

    from mjrelay_conformance.drivers import LiveJudge

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange


__all__ = ["Finding", "Monitor"]

Level = Literal["must", "should", "info"]

_LEVELS = ("must", "should", "info")
_MAX_QUEUED = 1000
"""Maximum number of queued exchanges."""
_MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""Maximum total size of queued bodies in bytes; a single exchange may be larger."""
_log = logging.getLogger("mjrelay.monitor")


@frozen
class Finding:
    """
    A check that failed for an exchange. It holds no secrets: they are redacted in every field.

    Attributes:
        relay: The relay's name.
        check: The id of the check.
        level: ``must``, ``should`` or ``info``.
        expected: What the contract or standard requires, or None.
        actual: What the response has instead, or None.
        clause: The place in the contract or standard that requires it.
        sentence: The requirement as one sentence.
        exchange: The request and the response.
        task_id: The task's id, or None for a batch.
    """

    relay: str
    check: str
    level: Level
    expected: str | None
    actual: str | None
    clause: str
    sentence: str
    exchange: Exchange = field(repr=False)
    task_id: str | None

    def __str__(self) -> str:
        values = f" Expected: {self.expected}. Actual: {self.actual}." if self.expected else ""
        task = "" if self.task_id is None else f" for task {self.task_id}"
        failed = f"{self.relay}: check {self.check} ({self.level.upper()}) failed{task}"
        return replace_unprintable(f"{failed}: {self.sentence}{values} {self.clause}")


class Monitor:
    """
    Judges the exchanges of one relay; pass it as ``on_exchange`` to any number of its clients.

    Callers do not wait: exchanges are put into a bounded queue. Exchanges without a response and refused keys
    are not judged.

    Args:
        relay: A relay's name, or the path of your own contract.
        overlays: Paths of overlays to apply to the contract.
        on_finding: Called with each new finding, in the monitor's thread. Default: log a warning to
            ``mjrelay.monitor``. Repetitions are counted in `findings`, not reported.
        every: Judge one exchange in this many.
        level: The lowest level to report.
        checks: Globs of check ids. Default: all checks.
        api_key: The key of the clients. Default: from the environment.
        secrets: Other secrets to redact, such as the keys of other clients. A response that holds one is a
            finding.

    Raises:
        UnknownRelayError: No contract has this name.
        ContractError: The contract or an overlay is invalid.
        SettingError: An argument is invalid, or the key is missing.
        MissingExtraError: The extra ``monitor`` is not installed.
    """

    def __init__(
        self,
        relay: str | PathLike[str],
        *,
        overlays: Iterable[str | PathLike[str]] = (),
        on_finding: Callable[[Finding], object] | None = None,
        every: int = 1,
        level: Level = "should",
        checks: Iterable[str] | None = None,
        api_key: str | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        contract = load_contract(relay, overlays)
        if type(every) is not int or every < 1:
            raise SettingError(f"every is {every!r}; give a whole number above 0")
        if level not in _LEVELS:
            raise SettingError(f"level is {level!r}; give one of {', '.join(_LEVELS)}")
        if isinstance(checks, str) or isinstance(secrets, str):
            raise SettingError("checks or secrets is a string; pass a list of strings")
        levels = frozenset(_LEVELS[: _LEVELS.index(level) + 1])
        report = on_finding or _warn
        self._judge = _live_judge()(
            contract,
            None if checks is None else tuple(checks),
            secrets=(*_keys(contract, api_key), *map(checked_key, secrets)),
            levels=levels,
            report=lambda **fields: report(Finding(relay=contract.name, **fields)),
        )
        self._every = int(every)
        self._closed = False
        self._reset()
        renew_after_fork(self, Monitor._reset)
        _open.add(self)

    def __call__(self, exchange: Exchange, ids: tuple[str, ...]) -> None:
        """
        Queue an exchange; this is what ``on_exchange`` calls.

        Args:
            exchange: The request and the response.
            ids: The requested task ids.
        """
        if exchange.status is None or self._closed:
            return
        if not _due(next(self._numbers), self._every):
            return
        self._queue.put((exchange, ids, time.monotonic()))
        if self._thread is None:
            self._start()

    @property
    def findings(self) -> Mapping[str, int]:
        """The number of failures of each check, reported or not."""
        return dict(self._judge.findings)

    @property
    def judged(self) -> int:
        """The number of exchanges judged."""
        return self._judge.judged

    @property
    def dropped(self) -> int:
        """The number of exchanges not judged because the queue was full."""
        return self._queue.dropped

    def flush(self, timeout: float = 5.0) -> bool:
        """
        Wait until all queued exchanges are judged.

        Args:
            timeout: Maximum seconds to wait.

        Returns:
            Whether all are judged.
        """
        thread = self._started
        if thread is threading.current_thread():
            return False  # called by on_finding: waiting for the own thread would deadlock
        if thread is None or not thread.is_alive():
            return self._queue.empty
        done = threading.Event()
        self._queue.put_event(done)
        return done.wait(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """
        Judge the queued exchanges and stop. Later exchanges are ignored.

        Args:
            timeout: Maximum seconds to wait.
        """
        self._closed = True
        _open.discard(self)
        self._queue.end()
        thread = self._started
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout)
        self._queue.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Monitor({self._judge.contract.name!r}, judged={self.judged}, findings={self.findings})"

    def _reset(self) -> None:
        """Start without a thread and with an empty queue: on creation, and in a forked child."""
        self._judge.forget()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._queue = _Queue()
        self._thread: threading.Thread | None = None
        # The thread holds no reference to its monitor, and ends when that is garbage collected.
        weakref.finalize(self, self._queue.end).atexit = False

    @property
    def _started(self) -> threading.Thread | None:
        with self._lock:  # wait for a thread that is being started
            return self._thread

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                target, arguments = _work, (self._queue, self._judge)
                thread = threading.Thread(target=target, args=arguments, name="mjrelay-monitor", daemon=True)
                thread.start()
                self._thread = thread


_open: weakref.WeakSet[Monitor] = weakref.WeakSet()


def _close_all() -> None:
    for monitor in list(_open):
        monitor.close(2.0)


atexit.register(_close_all)


_Item = tuple["Exchange", tuple[str, ...], float]
"""An exchange, the requested ids, and the monotonic time at which it ended."""


class _Queue:
    """A bounded queue of exchanges, and of events to set when the exchanges before them are judged."""

    def __init__(self) -> None:
        self._items: SimpleQueue[_Item | threading.Event | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._size = self._bytes = self.dropped = 0
        self._discarded = False

    @property
    def empty(self) -> bool:
        return self._items.empty()

    def put(self, item: _Item) -> None:
        length = len(item[0].body)
        with self._lock:
            full = self._size >= _MAX_QUEUED or (self._size and self._bytes + length > _MAX_QUEUED_BYTES)
            if full:
                self.dropped += 1
                return
            self._size += 1
            self._bytes += length
        self._items.put(item)

    def put_event(self, event: threading.Event) -> None:
        self._items.put(event)

    def end(self) -> None:
        self._items.put(None)

    def discard(self) -> None:
        self._discarded = True

    def get(self) -> _Item | None:
        """Return the next exchange, or None at the end."""
        while not isinstance(item := self._items.get(), tuple):
            if item is None:
                return None
            item.set()
        with self._lock:
            self._size -= 1
            self._bytes -= len(item[0].body)
        return None if self._discarded else item


def _work(queue: _Queue, judge: LiveJudge) -> None:
    while (item := queue.get()) is not None:
        judge.judge(*item)


def _live_judge() -> type[LiveJudge]:
    """Import the suite's part; raise `MissingExtraError` without the extra."""
    try:
        judge: type[LiveJudge] = import_module("mjrelay_conformance.drivers").LiveJudge
    except ModuleNotFoundError as error:
        raise MissingExtraError("monitor", error.name or "jsonschema-rs") from error
    return judge


def _due(number: int, every: int) -> bool:
    """
    Return whether to judge this exchange, one in each block of ``every``.

    The place changes from block to block, so that each of ten tasks that are polled in turn is judged.
    """
    block, place = divmod(number, every)
    return (block * 0x9E3779B1 >> 11) % every == place


def _keys(contract: Contract, api_key: str | None) -> tuple[str, ...]:
    key = known_key(contract.name) if api_key is None else api_key
    if key is not None:
        return (checked_key(key),)
    if contract.open:
        return ()
    raise SettingError(
        f"no key for {contract.name}, so it cannot be redacted from findings: set "
        f"{key_variable(contract.name)} or MJRELAY_API_KEY, or pass api_key="
    )


def _warn(finding: Finding) -> None:
    _log.warning("%s", finding)
