"""The face: a relay by its name, and the tasks on it."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from mjrelay.client.base import BaseRelay, Collector, expected
from mjrelay.client.options import checked_id
from mjrelay.client.polling import PollRequest, TaskLost
from mjrelay.transport import Transport, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from os import PathLike
    from types import TracebackType

    from mjrelay.client.base import PollResult
    from mjrelay.client.polling import Event, Polling
    from mjrelay.client.task import RelayError, Task
    from mjrelay.download import Download
    from mjrelay.http import Exchange


class Relay(BaseRelay[Transport]):
    """
    One relay, by the name of its contract, or by the file of one of your own. Threads may share it.

    ``overlays`` are files with changes to the contract. The key comes from ``MJRELAY_<RELAY>_API_KEY`` or
    ``MJRELAY_API_KEY`` where ``api_key`` is not given, the base URL from ``MJRELAY_BASE_URL`` or the
    contract; a path in it is put before the contract's. To a host that only a file of your own names,
    ``MJRELAY_API_KEY`` is not sent, unless the base URL is given. ``scheme`` chooses among the contract's
    ways to authenticate. ``timeout`` bounds one request in seconds, its answer included. ``headers`` go with
    each request, ``user_agent`` ("app/3") behind our own. ``proxy`` is a URL, else the environment's;
    ``verify`` is a file of certificates, an `ssl.SSLContext`, or False. ``client`` is an `httpx.Client` to
    use instead of connections of our own, ``fast`` takes those of the extra of that name. ``retries`` is how
    many troubles in a row are borne while waiting. ``max_body`` is the largest body in bytes that is read,
    decompressed; by default 4 MiB for one task and 16 MiB for several. ``on_exchange`` is called with each
    exchange and the ids that it asked for, in the thread that had it, before its answer is read; what it
    raises is logged once.

    Raises `UnknownRelayError`, `ContractError`, `SettingError` and `MissingExtraError`.
    """

    _connect = staticmethod(connect)

    def fetch(self, task_id: str) -> Task:
        """
        The task as it stands now; one request.

        Raises a `RelayError`: `TransportError`, `UnauthorizedError`, `ForbiddenError`, `RateLimitedError`,
        `UnavailableError`, `MissingTaskError` or `AnswerError`, or one of their kinds.
        """
        exchange = self._send((checked_id(task_id),), self._options.timeout)
        if (hook := self._options.on_exchange) is not None:
            hook(exchange, (task_id,))
        return self._answers.task(exchange, task_id)

    def seed(self, task_id: str) -> str:
        """
        The seed of a task's image, opaque text; one request.

        Raises `SettingError` where the relay's contract has no operation for it, and what `fetch` raises:
        `EnvelopeError`, with what the relay says, for an answer without a seed.
        """
        request, largest = self._asking_for_seed(task_id), self._largest((task_id,))
        exchange = self._transport.send(request, self._options.timeout, largest)
        return self._told_of_seed(exchange, task_id)

    def wait(
        self, task_id: str, *, timeout: float = 600.0, on_progress: Callable[[Task], object] | None = None
    ) -> Task:
        """
        The task once it has succeeded, failed or was cancelled, or needs input: look at its ``state``.

        It is asked for at once, then as seldom as its progress allows. ``on_progress`` gets each change, the
        last one too. Troubles that may pass are borne, up to ``retries`` in a row. Raises `WaitTimeoutError`
        after ``timeout`` seconds, with the task as it was last seen, and what `fetch` raises.
        """
        try:
            for task in self.watch(task_id, timeout=timeout):
                if on_progress is not None:
                    on_progress(task)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"task {task_id} goes on at {self.name}; go on waiting with wait({task_id!r})")
            raise
        return task

    def watch(self, task_id: str, *, timeout: float = 600.0) -> Iterator[Task]:
        """The task whenever it was seen to have changed, as it ended last; raises what `wait` raises."""
        for event in self._run(self._waiting([task_id], timeout)):
            if isinstance(event, TaskLost):
                raise event.error
            yield event.task

    def wait_all(
        self,
        ids: Iterable[str],
        *,
        timeout: float = 900.0,
        concurrency: int = 16,
        rate: float | None = 10.0,
        on_progress: Callable[[Task], object] | None = None,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> Iterator[Task]:
        """
        The tasks as they end, each id once, as `wait` gives them; thousands of ids are fine.

        Several are asked for in one request where the relay's contract knows how. ``rate`` bounds requests
        per second, ``concurrency`` those in flight. A task that is not had never loses the others: its error
        goes to ``on_error``, else `SomeTasksError` is raised once the others have ended.
        """
        waiting = self._waiting(ids, timeout, concurrency=concurrency, rate=rate, batch=True)
        return self._collected(waiting, Collector(on_progress, on_error))

    def fetch_all(
        self,
        ids: Iterable[str],
        *,
        timeout: float = 900.0,
        concurrency: int = 16,
        rate: float | None = 10.0,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> Iterator[Task]:
        """The tasks as they stand now, in the order in which they come; otherwise as `wait_all`."""
        waiting = self._waiting(ids, timeout, concurrency=concurrency, rate=rate, batch=True, once=True)
        return self._collected(waiting, Collector(None, on_error))

    def download(
        self,
        task: Task,
        folder: str | PathLike[str],
        *,
        previews: bool = False,
        allow_private: bool = False,
        on_progress: Callable[[Download], object] | None = None,
    ) -> list[Path]:
        """
        Download the images and videos of a task into a folder; the paths of the files.

        A file that is there is kept, one that broke off is gone on with where its server allows. The key is
        not sent. Addresses within private networks are refused unless ``allow_private``, other than the
        relay's own. Raises `DownloadError`, which holds the files that were had.
        """
        media = self._media(task, previews=previews)
        downloader = self._downloader(allow_private=allow_private)
        return self._download(downloader, task, media, Path(folder), on_progress=on_progress)

    def close(self) -> None:
        """Close the connections, unless they are somebody else's."""
        if self._owner and (wire := self._shared.close()) is not None:
            wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, ids: tuple[str, ...], timeout: float) -> Exchange:
        return self._transport.send(self._asking(ids), timeout, self._largest(ids))

    def _collected(self, waiting: Polling, collector: Collector) -> Iterator[Task]:
        for event in self._run(waiting):
            yield from collector.take(event)
        collector.finish()

    def _run(self, waiting: Polling) -> Generator[Event]:
        """Send and sleep as the machine says; where it asks for several at once, in threads."""
        clock = self._options.clock

        def ask(step: PollRequest) -> PollResult:
            try:
                return self._told(step, self._send(step.ids, self._patience(waiting)))
            except Exception as error:  # noqa: BLE001 - raised again where the caller sees it
                return error

        flight = _Flight(ask, threads=waiting.concurrency > 1)
        while not waiting.done:
            step = waiting.next(now := clock.now())
            if isinstance(step, PollRequest):
                flight.start(step)
            elif flight.steps:
                with suppress(Empty):
                    asked, answer = flight.land(None if math.isinf(step) else max(step - now, 0))
                    waiting.answered(asked, expected(answer), clock.now())
            elif step < math.inf:
                clock.sleep(step - now)
            yield from waiting.events()


class _Flight:
    """
    The requests of one wait that are in flight.

    Where the caller forks between two events, the child sends them again: their threads are the parent's.
    """

    def __init__(self, ask: Callable[[PollRequest], PollResult], *, threads: bool) -> None:
        self.steps: list[PollRequest] = []
        self._ask, self._threads, self._process = ask, threads, os.getpid()
        self._answers: SimpleQueue[tuple[PollRequest, PollResult]] = SimpleQueue()

    def start(self, step: PollRequest) -> None:
        """Send a request."""
        self._resume()
        self.steps.append(step)
        self._send(step)

    def land(self, timeout: float | None) -> tuple[PollRequest, PollResult]:
        """Return the next answer; raises `Empty` after that many seconds."""
        self._resume()
        asked, answer = self._answers.get(timeout=timeout)
        self.steps.remove(asked)
        return asked, answer

    def _resume(self) -> None:
        if self._process != os.getpid():
            self._process, self._answers = os.getpid(), SimpleQueue()
            for step in self.steps:
                self._send(step)

    def _send(self, step: PollRequest) -> None:
        if self._threads:  # no pool: its threads would hold up the end of a program that lost interest
            threading.Thread(target=self._carry, args=(step,), name="mjrelay", daemon=True).start()
        else:
            self._carry(step)

    def _carry(self, step: PollRequest) -> None:
        self._answers.put((step, self._ask(step)))
