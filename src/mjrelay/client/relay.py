"""The synchronous client."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from mjrelay.client.base import BaseRelay
from mjrelay.client.events import Collector
from mjrelay.client.options import check_callback
from mjrelay.client.submission import Submission, TaskLike, id_of
from mjrelay.client.submitting import fetching_parent
from mjrelay.client.task import RelayError, Task
from mjrelay.transport import Transport, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike
    from pathlib import Path
    from types import TracebackType

    from mjrelay.client.actions import SubmitCall
    from mjrelay.client.events import EventHandler, PollResult
    from mjrelay.client.polling import Poller
    from mjrelay.client.tickets import Poll, Ticket
    from mjrelay.download import Download
    from mjrelay.http import Exchange, Request


class Relay(BaseRelay[Transport, Iterator[Task], Submission]):
    """
    A client of one relay. Threads may share it.

    Use it as a context manager, or call `close`. The constructor's arguments are documented at ``__init__``.
    """

    _connect = staticmethod(connect)

    def fetch(self, task_id: TaskLike) -> Task:
        """
        Fetch the current state of a task, in one request.

        Args:
            task_id: The task's id, its submission, or the task.

        Returns:
            The task.

        Raises:
            TransportError: No complete response arrived.
            UnauthorizedError: The relay refused the key.
            ForbiddenError: The key may not do this.
            RateLimitedError: Too many requests.
            UnavailableError: A 5xx response.
            MissingTaskError: The relay has no such task.
            AnswerError: The response holds no such task.
        """
        ids = (id_of(self._contract, task_id),)
        exchange = self._send(self._requests.tasks(ids), ids, self._options.timeout)
        return self._task(exchange, ids[0])

    def seed(self, task_id: TaskLike) -> str:
        """
        Fetch the seed of a task's image, in one request.

        Args:
            task_id: The task's id, its submission, or the task.

        Returns:
            The seed, as opaque text.

        Raises:
            SettingError: The relay's contract has no operation for seeds.
            EnvelopeError: The response has no seed, for example because the task has not ended.
            RelayError: As in `fetch`.
        """
        task_id = id_of(self._contract, task_id)
        exchange = self._send(self._requests.seed(task_id), (task_id,), self._options.timeout)
        return self._responses.seed(exchange, task_id)

    def find_submission(self, wanted: str) -> list[Task]:
        """
        Look for the tasks of a submit whose outcome is unknown, in one request.

        Args:
            wanted: The state token of the submit, or its prompt where the relay repeats no token.

        Returns:
            The tasks; empty if the relay lists none.

        Raises:
            SettingError: The relay's contract has no list of tasks.
            RelayError: As in `fetch`.
        """
        exchange = self._send(self._requests.lookup(), (), self._options.timeout)
        return self._responses.found(exchange, wanted)

    def wait(
        self,
        task_id: TaskLike,
        *,
        timeout: float = 600.0,
        on_progress: Callable[[Task], object] | None = None,
    ) -> Task:
        """
        Poll a task until it has ended or needs input.

        Transient errors are retried up to ``retries`` times in a row, and Retry-After is honoured.

        Args:
            task_id: The task's id, its submission, or the task.
            timeout: Seconds for the whole wait.
            on_progress: Called with each changed task, the last included.

        Returns:
            The task; check its ``state``.

        Raises:
            WaitTimeoutError: The task has not ended after ``timeout`` seconds; ``task`` is the last snapshot.
            RelayError: As in `fetch`.
        """
        check_callback("on_progress", on_progress)
        try:
            for task in self.watch(task_id, timeout=timeout):
                if on_progress is not None:
                    on_progress(task)
        except KeyboardInterrupt as interrupt:
            task_id = id_of(self._contract, task_id)
            interrupt.add_note(
                f"task {task_id} was not cancelled at {self.name}; resume with wait({task_id!r})"
            )
            raise
        return task

    def poll(self, ticket: Ticket) -> Poll:
        """
        Poll the task of a ticket, in one request.

        It never sleeps. Errors of the relay are in the result, not raised.

        Args:
            ticket: The ticket; it need not be due.

        Returns:
            The task or the error, and the next ticket.

        Raises:
            SettingError: The ticket belongs to another relay.
        """
        return self.poll_all([ticket], concurrency=1)[0]

    def poll_all(self, tickets: Iterable[Ticket], *, concurrency: int = 16) -> list[Poll]:
        """
        Poll the tasks of several tickets once each, in batches if the contract has an endpoint for them.

        Args:
            tickets: The tickets; several tickets of one task are polled once, as the first of them.
            concurrency: Maximum number of requests in flight.

        Returns:
            The result of each ticket, in their order.

        Raises:
            SettingError: A ticket belongs to another relay; nothing was sent.
        """
        tickets, turn = self._round(tickets, concurrency)
        for _ in self._run(turn, Collector(None, turn.errors.append)):
            pass
        return self._polls(tickets, turn)

    def download(
        self,
        task: Task,
        folder: str | PathLike[str],
        *,
        previews: bool = False,
        allow_private: bool = False,
        timeout: float = 3600.0,
        on_progress: Callable[[Download], object] | None = None,
    ) -> list[Path]:
        """
        Download the images and videos of a task.

        Files are named ``<id>@<relay>-<number>``; an existing file is skipped. Partial downloads are resumed,
        and writes are atomic. The key is not sent.

        Args:
            task: The task.
            folder: The folder to write to.
            previews: Download the previews of a task that has not succeeded. They replace older ones.
            allow_private: Allow addresses in private networks. The relay's own host is always allowed.
            timeout: Seconds for all files. The relay's ``timeout`` applies to each read.
            on_progress: Called with the state of each file as it changes.

        Returns:
            The paths of the files.

        Raises:
            DownloadError: Some files could not be downloaded; ``paths`` holds the others.
        """
        return self._download(
            task,
            folder,
            previews=previews,
            allow_private=allow_private,
            timeout=timeout,
            on_progress=on_progress,
        )

    def close(self) -> None:
        """Close the connections, unless they belong to ``client`` or to another relay."""
        if self._owner and (transport := self._shared.close()) is not None:
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, call: SubmitCall) -> Submission:
        parent = None
        if (task := call.parent_to_fetch(self._contract)) is not None:
            with fetching_parent():
                parent = self.fetch(task)
        submitter = self._submitter(call, parent)
        while True:
            sent_at = submitter.begin()
            try:
                exchange = self._transport.send(submitter.request, submitter.timeout, self._max_body(()))
            except BaseException as error:  # cancelled or interrupted while the request is in flight
                submitter.abandon(sent_at, error)
                raise
            step = submitter.end(exchange, sent_at, self._record)
            if isinstance(step, Submission):
                return step
            self._options.clock.sleep(step)

    def _send(self, request: Request, ids: tuple[str, ...], timeout: float) -> Exchange:
        exchange = self._transport.send(request, timeout, self._max_body(ids))
        self._record(exchange, ids)
        return exchange

    def _run(self, poller: Poller, handler: EventHandler) -> Iterator[Task]:
        clock = self._options.clock

        def poll(ids: tuple[str, ...]) -> PollResult:
            exchange = self._send(self._requests.tasks(ids), ids, poller.next_timeout(clock.now()))
            return self._responses.results(exchange, ids)

        in_flight = _InFlight(poll, threads=poller.concurrency > 1)
        while not poller.done:
            step = poller.next_request(now := clock.now())
            if isinstance(step, tuple):
                in_flight.start(step)
            elif in_flight.requests:
                if (received := in_flight.get(None if math.isinf(step) else max(step - now, 0))) is not None:
                    poller.receive(*received, clock.now())
            elif step < math.inf:
                clock.sleep(step - now)
            for event in poller.pop_events():
                yield from handler.handle(event)
        handler.finish()


class _InFlight:
    """
    The requests in flight, each in a thread if several may be.

    The threads of a parent do not run in a forked child: the child sends its requests again.
    """

    def __init__(self, poll: Callable[[tuple[str, ...]], PollResult], *, threads: bool) -> None:
        self.requests: list[tuple[str, ...]] = []
        self._poll, self._threads, self._process = poll, threads, os.getpid()
        self._results: SimpleQueue[tuple[tuple[str, ...], PollResult | Exception]] = SimpleQueue()

    def start(self, ids: tuple[str, ...]) -> None:
        """Send a request."""
        self._resume_after_fork()
        self.requests.append(ids)
        self._send(ids)

    def get(self, timeout: float | None) -> tuple[tuple[str, ...], PollResult] | None:
        """Return the ids and the result of a request, or None after ``timeout`` seconds."""
        self._resume_after_fork()
        try:
            ids, result = self._results.get(timeout=timeout)
        except Empty:
            return None
        self.requests.remove(ids)
        if isinstance(result, Exception) and not isinstance(result, RelayError):
            raise result
        return ids, result

    def _resume_after_fork(self) -> None:
        if self._process != os.getpid():
            self._process, self._results = os.getpid(), SimpleQueue()
            for ids in self.requests:
                self._send(ids)

    def _send(self, ids: tuple[str, ...]) -> None:
        if self._threads:  # not an executor: the interpreter would wait for its threads at exit
            threading.Thread(target=self._work, args=(ids,), name="mjrelay", daemon=True).start()
        else:
            self._work(ids)

    def _work(self, ids: tuple[str, ...]) -> None:
        try:
            self._results.put((ids, self._poll(ids)))
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            self._results.put((ids, error))
