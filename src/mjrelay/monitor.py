"""
Judges what a relay answers while a program runs, by the checks of the conformance suite.

It sends nothing: a `Monitor` is given to a `Relay` or an `AsyncRelay` as ``on_exchange``, and judges in a
thread of its own what they had anyway. It takes the extra: ``pip install 'mjrelay[monitor]'``.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import re
import threading
import time
import traceback
import weakref
from collections import Counter, OrderedDict
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, Self

from attrs import define, evolve, field, frozen

from mjrelay import contract as _contract
from mjrelay import contract as _settings
from mjrelay.base import MissingExtraError, SettingError, replace_unprintable
from mjrelay.http import Redactor
from mjrelay.semantics import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike
    from types import TracebackType

    from mjrelay_conformance.judging import Check, Judgement, Observation

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange, Headers


__all__ = ["Finding", "Monitor"]

Level = Literal["must", "should", "info"]

_LEVELS = ("must", "should", "info")
_QUEUED = 1000
"""Answers that may wait to be judged."""
_QUEUED_BYTES = 32 * 1024 * 1024
"""Bytes of bodies that may wait to be judged, besides one answer of whatever size."""
_TASKS = 2000
"""Tasks whose earlier readings are kept."""
_KEPT_BYTES = 8 * 1024 * 1024
"""Bytes of bodies of earlier readings that are kept."""
_SHAPES = 20
"""Findings of one check that are told; one that has as many faces is told again and again otherwise."""
_GONE = frozenset({404, 410})
"""What HTTP says of a thing that is not there, whatever the contract says of it."""
_VARYING = re.compile(r"\S*(?:\d|://)\S*")
"""What differs from answer to answer: numbers, times, ids and URLs."""

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
        contract = _contract.overlaid(relay, overlays)
        if every < 1 or int(every) != every:
            raise SettingError(f"every is {every!r}; give a whole number above 0, 10 for one answer in ten")
        if level not in _LEVELS:
            raise SettingError(f"level is {level!r}; give one of {', '.join(_LEVELS)}")
        if isinstance(checks, str) or isinstance(secrets, str):
            raise SettingError("checks or secrets is one text; give a list of them")
        levels = frozenset(_LEVELS[: _LEVELS.index(level) + 1])
        self._judge = _Judge(
            contract=contract,
            suite=_Suite(contract, None if checks is None else tuple(checks), levels),
            secrets=(*_keys(contract, api_key), *map(_settings.checked_key, secrets)),
            levels=levels,
            tell=on_finding or _warn,
        )
        self._every = int(every)
        self._closed = False
        self._begin()
        _open.add(self)

    def __call__(self, exchange: Exchange, ids: tuple[str, ...]) -> None:
        """Take an exchange, to be judged later; it is what ``on_exchange`` calls."""
        if exchange.status is None or self._closed:
            return
        if not _due(next(self._numbers), self._every):
            return
        self._queue.offer(_Answer(exchange, ids, time.monotonic()))
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
        """Nothing waits and no thread runs: when it is made, and in a child process, which has no threads."""
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


def _begin_all() -> None:
    for monitor in list(_open):
        monitor._begin()  # noqa: SLF001 - a monitor's own


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)


@frozen
class _Answer:
    """What waits to be judged; ``ended`` is when it was had, by the monotonic clock."""

    exchange: Exchange
    ids: tuple[str, ...]
    ended: float

    @property
    def begun(self) -> float:
        return self.ended - self.exchange.elapsed


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
        size = len(answer.exchange.body)
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
        while not isinstance(item := self._items.get(), _Answer):
            if item is None:
                return None
            item.set()
        with self._lock:
            self._answers -= 1
            self._bytes -= len(item.exchange.body)
        return None if self._given_up else item


def _work(queue: _Queue, judge: _Judge) -> None:
    while (answer := queue.take()) is not None:
        judge.hear(answer)


class _Suite:
    """
    The suite's checks that are asked for, by the kind of exchange that they speak of, and the schema.

    Raises `MissingExtraError` where the extra is not installed, `SelectionError` for a glob that is no
    check's.
    """

    def __init__(self, contract: Contract, globs: Sequence[str] | None, levels: frozenset[str]) -> None:
        try:
            selection = import_module("mjrelay_conformance.checks.selection")
            check = import_module("mjrelay_conformance.judging")
            self.schema = import_module("mjrelay_conformance.judging.schema").schema_of(contract)
        except ModuleNotFoundError as error:
            raise MissingExtraError("monitor", error.name or "jsonschema-rs") from error
        self.kinds, self.outcomes, self.findings = check.Kind, check.Outcome, check.findings
        self.observation = check.Observation
        every: dict[str, Check] = check.CHECKS
        # Of the checks that are only worth knowing one may weigh more: that of the contract's own relations.
        quiet = "info" not in levels and all(one.level == "info" for one in contract.reader.relations)
        matching = set(every) if globs is None else selection.matching("checks", globs)
        self.wanted = frozenset(id_ for id_ in matching if not quiet or every[id_].level != "info")
        used = selection.needed(self.wanted)
        self.checks = {kind: tuple(one for one in used if kind in one.kinds) for kind in self.kinds}


@define
class _Readings:
    """
    The readings of one task that were tasks: the first, or the first that had ended, and the last.

    What came before the end says nothing once it has come.
    """

    first: _Answer
    last: _Answer
    ended: bool

    @property
    def size(self) -> int:
        return len(self.first.exchange.body) + len(self.last.exchange.body)


@define(eq=False)
class _Judge:
    """Judges one answer after the other; all but its counts belongs to the monitor's thread."""

    contract: Contract
    suite: _Suite
    secrets: tuple[str, ...] = field(repr=False)
    levels: frozenset[str]
    tell: Callable[[Finding], object]
    findings: Counter[str] = field(factory=Counter, init=False)
    judged: int = field(default=0, init=False)
    _redactor: Redactor = field(init=False)
    _told: dict[str, set[tuple[str, ...]]] = field(factory=dict, init=False)
    _tasks: OrderedDict[str, _Readings] = field(factory=OrderedDict, init=False)
    _kept: int = field(default=0, init=False)
    _failures: set[str] = field(factory=set, init=False)

    _seed: re.Pattern[str] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._redactor = Redactor(*self.secrets)
        self._seed = _seed(self.contract)

    def hear(self, answer: _Answer) -> None:
        """Judge an answer, and tell what is new."""
        try:
            self._hear(answer)
        except Exception:  # noqa: BLE001 - a thread that ended would judge nothing any more
            # Its text may hold what the relay echoed.
            told = self._redactor.text(traceback.format_exc())
            self._fail("judging", f"an answer could not be judged; this is told once\n{told}")

    def _hear(self, answer: _Answer) -> None:
        if self._seed is not None and self._seed.search(f"{answer.exchange.method} {answer.exchange.url}"):
            return
        # A document of its own: the caller's may be changed while it is judged.
        observation = self._observation(evolve(answer, exchange=_fresh(answer.exchange)))
        outcomes = self.suite.outcomes
        for check, judgement in self.suite.findings(observation, self.suite.checks[observation.kind]):
            if judgement.outcome is outcomes.ERROR:
                self._fail(check.id, f"{check.id}: {self._redactor.text(str(judgement.actual))}")
            elif check.id in self.suite.wanted and (judgement.level or check.level) in self.levels:
                self._found(observation, check, judgement)
        if observation.kind is self.suite.kinds.KNOWN:
            self._keep(answer, observation)
        self.judged += 1

    def _observation(self, answer: _Answer) -> Observation:
        """An answer as the suite sees it, with the earlier readings that ended before it was asked for."""
        kinds, ids = self.suite.kinds, answer.ids
        read = [readings for task_id in ids if (readings := self._tasks.get(task_id)) is not None]
        kind = kinds.KNOWN
        if len(ids) > 1:
            kind = kinds.BATCH
        elif not read and self._gone(answer.exchange):
            kind = kinds.MISSING
        before = (one for readings in read for one in dict.fromkeys((readings.first, readings.last)))
        earlier = [
            self._observed(kinds.KNOWN, one.ids, _earlier(one.exchange, answer.exchange))
            for one in before
            if one.ended <= answer.begun
        ]
        return self._observed(kind, ids, answer.exchange, tuple(earlier))

    def _observed(
        self, kind: Any, ids: tuple[str, ...], exchange: Exchange, earlier: tuple[Observation, ...] = ()
    ) -> Observation:
        observation: Observation = self.suite.observation(
            contract=self.contract,
            schema=self.suite.schema,
            kind=kind,
            task_id=ids[0] if len(ids) == 1 else "",
            exchange=exchange,
            earlier=earlier,
            secrets=self.secrets,
            ids=ids if len(ids) > 1 else (),
        )
        return observation

    def _gone(self, exchange: Exchange) -> bool:
        """Whether an answer says that there is no such task; of one never read that may well be true."""
        missing = self.contract.reader.missing
        return exchange.status in _GONE or any(matcher.matches(exchange) for matcher in missing)

    def _found(self, observation: Observation, check: Check, judgement: Judgement) -> None:
        self.findings[check.id] += 1
        shape = tuple(_VARYING.sub("#", said or "") for said in (judgement.expected, judgement.actual))
        told = self._told.setdefault(check.id, set())
        if shape in told or len(told) >= _SHAPES:
            return
        told.add(shape)
        finding = self._finding(observation, check, judgement)
        try:
            self.tell(finding)
        except Exception:  # noqa: BLE001 - it is the callback's own
            self._fail("on_finding", "on_finding failed; this is told once", exc_info=True)

    def _finding(self, observation: Observation, check: Check, judgement: Judgement) -> Finding:
        clean, exchange = self._redactor.text, observation.exchange
        return Finding(
            relay=self.contract.name,
            check=check.id,
            level=(judgement.level or check.level).value,
            expected=None if judgement.expected is None else clean(judgement.expected),
            actual=None if judgement.actual is None else clean(judgement.actual),
            clause=str(judgement.clause or check.clause(observation)),
            sentence=check.sentence,
            exchange=evolve(
                exchange,
                url=clean(exchange.url),
                request_headers=tuple(
                    (clean(name), clean(value)) for name, value in exchange.request_headers
                ),
                request_body=self._redactor.bytes(exchange.request_body),
                headers=self._cleaned(exchange.headers),
                body=self._redactor.bytes(exchange.body),
                failure=None if exchange.failure is None else clean(exchange.failure),
            ),
            task_id=clean(observation.task_id) if observation.task_id else None,
        )

    def _cleaned(self, headers: Headers) -> Headers:
        return tuple((self._redactor.text(name), self._redactor.text(value)) for name, value in headers)

    def _keep(self, answer: _Answer, observation: Observation) -> None:
        """Keep what later answers are compared with; the tasks not asked for the longest give way."""
        task_id, document, reader = observation.task_id, observation.task, self.contract.reader
        if document is None or not reader.accepts(document) or text(reader.id(document)) != task_id:
            return
        ended = reader.state(document).terminal
        before = self._tasks.pop(task_id, None)
        if before is None or (ended and not before.ended):
            readings = _Readings(answer, answer, ended)
        else:
            same = answer.exchange.body == before.first.exchange.body
            readings = _Readings(before.first, before.first if same else answer, before.ended)
        self._tasks[task_id] = readings
        self._kept += readings.size - (before.size if before else 0)
        while len(self._tasks) > _TASKS or self._kept > _KEPT_BYTES:
            self._kept -= self._tasks.popitem(last=False)[1].size

    def _fail(self, what: str, message: str, *, exc_info: bool = False) -> None:
        """Say once that something of our own, or of a callback's, failed."""
        if what not in self._failures:
            self._failures.add(what)
            _log.error("%s", message, exc_info=exc_info)


def _seed(contract: Contract) -> re.Pattern[str] | None:
    """What asks for a seed by an operation of its own, of which no check speaks: its method and URL."""
    if contract.seed is None or contract.seed == contract.location:
        return None
    _, path, method = contract.seed
    steps = re.sub(r"\\{.*?\\}", "[^/?]+", re.escape(str(path)))
    return re.compile(rf"^{str(method).upper()} .*{steps}(?:\?|$)")


def _fresh(exchange: Exchange) -> Exchange:
    """The same exchange, whose document nobody else has."""
    return evolve(exchange)


def _earlier(exchange: Exchange, later: Exchange) -> Exchange:
    """An earlier exchange, ready to be compared with a later one: what is alike is read once."""
    alike = exchange.body == later.body and later.status == exchange.status
    return later if alike else _fresh(exchange)


def _due(number: int, every: int) -> bool:
    """
    Whether it is this one of a block of ``every`` that is judged.

    Which of them changes from block to block: whoever asks for ten tasks in turn gets all ten judged.
    """
    block, place = divmod(number, every)
    return (block * 0x9E3779B1 >> 11) % every == place


def _keys(contract: Contract, api_key: str | None) -> tuple[str, ...]:
    key = api_key or _settings.known_key(contract.name)
    if key is not None:
        return (_settings.checked_key(key),)
    if contract.open:
        return ()
    raise SettingError(
        f"no key for {contract.name}, so that none could be kept out of findings: set "
        f"{_settings.key_variable(contract.name)} or MJRELAY_API_KEY, or give api_key="
    )


def _warn(finding: Finding) -> None:
    _log.warning("%s", finding)
