"""
Judges what a relay answers while a program runs, by the checks of the conformance suite.

It sends nothing: a `Monitor` is given to a `Relay` or an `AsyncRelay` as ``on_exchange``, and judges in a
thread of its own what they had anyway. It takes the extra: ``pip install 'mjrelay[monitor]'``.
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
_QUEUED = 1000
"""Answers that may wait to be judged."""
_QUEUED_BYTES = 32 * 1024 * 1024
"""Bytes of bodies that may wait to be judged, besides one answer of whatever size."""
_log = logging.getLogger("mjrelay.monitor")


@frozen
class Finding:
    """
    What a relay's answer breaks.

    ``check`` and ``sentence`` say which check of the suite it is, ``level`` is ``must``, ``should`` or
    ``info``, and ``clause`` is where the contract or a standard says so. ``task_id`` is None where several
    tasks were asked for. Nothing in it holds a secret, the exchange's body included.
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
        came = f" Expected was {self.expected}; what came is {self.actual}." if self.expected else ""
        of = "" if self.task_id is None else f" (task {self.task_id})"
        said = f"{self.relay}: {self.check}, a {self.level.upper()}, is broken{of}: {self.sentence}{came}"
        return replace_unprintable(f"{said} {self.clause}")


class Monitor:
    """
    Judges the answers of one relay; give it as ``on_exchange`` to as many clients of it as there are.

    ``relay`` and ``overlays`` name the contract, as they do for a `Relay`.
    ``on_finding`` gets each new finding, in the monitor's thread; without it they are warnings of the logger
    ``mjrelay.monitor``. A finding that is told is not told again, however often it is found: `findings`
    counts. ``every`` 10 judges one answer in ten. ``level`` is the least that is told. ``checks`` are globs
    of the ids of checks, all of them where none is given. ``api_key`` is the one that the relay is asked
    with, and ``secrets`` are others, as of clients with other keys: none is ever in a finding, and an answer
    that holds one is a finding. The key comes from the environment, as a relay's, where it is not given.

    Its callers do not wait for it: an answer is put into a bounded queue, or counted as `dropped` where that
    is full. An answer that did not come, or that refuses the key, says nothing about a contract.

    Raises `UnknownRelayError`, `ContractError`, `SettingError` and `MissingExtraError`.
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
        if isinstance(overlays, str):
            raise SettingError("overlays is one text; give a list of files")
        contract = load_contract(relay, overlays)
        if every < 1 or int(every) != every:
            raise SettingError(f"every is {every!r}; give a whole number above 0, 10 for one answer in ten")
        if level not in _LEVELS:
            raise SettingError(f"level is {level!r}; give one of {', '.join(_LEVELS)}")
        if isinstance(checks, str) or isinstance(secrets, str):
            raise SettingError("checks or secrets is one text; give a list of them")
        levels = frozenset(_LEVELS[: _LEVELS.index(level) + 1])
        tell = on_finding or _warn
        self._judge = _live_judge()(
            contract,
            None if checks is None else tuple(checks),
            secrets=(*_keys(contract, api_key), *map(checked_key, secrets)),
            levels=levels,
            report=lambda **fields: tell(Finding(relay=contract.name, **fields)),
        )
        self._every = int(every)
        self._closed = False
        self._begin()
        renew_after_fork(self, Monitor._begin)
        _open.add(self)

    def __call__(self, exchange: Exchange, ids: tuple[str, ...]) -> None:
        """Take an exchange, to be judged later; it is what ``on_exchange`` calls."""
        if exchange.status is None or self._closed:
            return
        if not _due(next(self._numbers), self._every):
            return
        self._queue.offer((exchange, ids, time.monotonic()))
        if self._thread is None:
            self._start()

    @property
    def findings(self) -> Mapping[str, int]:
        """How often each check was found broken, told or not."""
        return dict(self._judge.findings)

    @property
    def judged(self) -> int:
        """How many answers were judged."""
        return self._judge.judged

    @property
    def dropped(self) -> int:
        """How many answers were not judged because too many, or too large ones, were waiting."""
        return self._queue.dropped

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all answers had so far are judged; whether they are after that many seconds."""
        thread = self._started
        if thread is threading.current_thread():
            return False  # a callback that waited for itself would wait in vain
        if thread is None or not thread.is_alive():
            return self._queue.empty
        done = threading.Event()
        self._queue.mark(done)
        return done.wait(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Judge what is waiting, for that many seconds at most, and end; later answers are not judged."""
        self._closed = True
        _open.discard(self)
        self._queue.end()
        thread = self._started
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout)
        self._queue.give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Monitor({self._judge.contract.name!r}, judged={self.judged}, findings={self.findings})"

    def _begin(self) -> None:
        """Begin with no thread and an empty queue: when it is made, and in a child process."""
        self._judge.forget()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._queue = _Queue()
        self._thread: threading.Thread | None = None
        # The thread does not hold its monitor, and ends with it where nobody closes that.
        weakref.finalize(self, self._queue.end).atexit = False

    @property
    def _started(self) -> threading.Thread | None:
        with self._lock:  # one that is being started is as good as there
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


_Answer = tuple["Exchange", tuple[str, ...], float]
"""An exchange, the ids that it asked for, and when it ended by the monotonic clock."""


class _Queue:
    """What waits for the thread: answers within bounds, and marks, which are always taken."""

    def __init__(self) -> None:
        self._items: SimpleQueue[_Answer | threading.Event | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._answers = self._bytes = self.dropped = 0
        self._given_up = False

    @property
    def empty(self) -> bool:
        return self._items.empty()

    def offer(self, answer: _Answer) -> None:
        size = len(answer[0].body)
        with self._lock:
            full = self._answers >= _QUEUED or (self._answers and self._bytes + size > _QUEUED_BYTES)
            if full:
                self.dropped += 1
                return
            self._answers += 1
            self._bytes += size
        self._items.put(answer)

    def mark(self, mark: threading.Event) -> None:
        self._items.put(mark)

    def end(self) -> None:
        self._items.put(None)

    def give_up(self) -> None:
        self._given_up = True

    def take(self) -> _Answer | None:
        """The next answer; None where there will be no more."""
        while not isinstance(item := self._items.get(), tuple):
            if item is None:
                return None
            item.set()
        with self._lock:
            self._answers -= 1
            self._bytes -= len(item[0].body)
        return None if self._given_up else item


def _work(queue: _Queue, judge: LiveJudge) -> None:
    while (answer := queue.take()) is not None:
        judge.hear(*answer)


def _live_judge() -> type[LiveJudge]:
    """The part that takes the suite; raises `MissingExtraError` where the extra is not installed."""
    try:
        judge: type[LiveJudge] = import_module("mjrelay_conformance.drivers").LiveJudge
    except ModuleNotFoundError as error:
        raise MissingExtraError("monitor", error.name or "jsonschema-rs") from error
    return judge


def _due(number: int, every: int) -> bool:
    """
    Whether it is this one of a block of ``every`` that is judged.

    Which of them changes from block to block: whoever asks for ten tasks in turn gets all ten judged.
    """
    block, place = divmod(number, every)
    return (block * 0x9E3779B1 >> 11) % every == place


def _keys(contract: Contract, api_key: str | None) -> tuple[str, ...]:
    key = api_key or known_key(contract.name)
    if key is not None:
        return (checked_key(key),)
    if contract.open:
        return ()
    raise SettingError(
        f"no key for {contract.name}, so that none could be kept out of findings: set "
        f"{key_variable(contract.name)} or MJRELAY_API_KEY, or give api_key="
    )


def _warn(finding: Finding) -> None:
    _log.warning("%s", finding)
