"""What `Relay` and `AsyncRelay` share: all but sending and sleeping."""

from __future__ import annotations

import math
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mjrelay.base import SettingError
from mjrelay.client.actions import Actions, S
from mjrelay.client.configured import ConfiguredRelay, T
from mjrelay.client.downloads import download_task
from mjrelay.client.events import Collector, Watcher
from mjrelay.client.options import (
    check_callback,
    check_count,
    check_list,
    check_rate,
    check_seconds,
)
from mjrelay.client.polling import Poller
from mjrelay.client.rounds import Round
from mjrelay.client.submission import id_of
from mjrelay.client.submitting import Submitter
from mjrelay.client.task import Task
from mjrelay.client.tickets import Ticket
from mjrelay.download import Downloader, source_name

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mjrelay.client.actions import SubmitCall
    from mjrelay.client.events import EventHandler
    from mjrelay.client.submission import TaskLike
    from mjrelay.client.task import RelayError
    from mjrelay.client.tickets import Poll
    from mjrelay.download import Download
    from mjrelay.http import Exchange


I = TypeVar("I")  # noqa: E741 - the iterator of tasks


class BaseRelay(ConfiguredRelay[T], Actions[S], Generic[T, I, S]):
    """A client of one relay, without the sending and the sleeping."""

    def read(self, body: bytes | str | dict[str, Any] | list[Any]) -> Task:
        """
        Parse a task from the body of a callback.

        Callbacks are not signed: treat the task as a hint, and `fetch` it.

        Args:
            body: The request body as received, or the JSON that a framework parsed from it.

        Returns:
            The task; its ``exchange`` is None.

        Raises:
            UndecodableError: The body is not JSON, or is too large.
            EnvelopeError: The body holds no task.
            SettingError: The body is neither bytes, text nor parsed JSON.
        """
        return self._responses.read(body)

    def watch(self, task_id: TaskLike, *, timeout: float = 600.0) -> I:
        """
        Yield the task each time it has changed, and last in its final state.

        Args:
            task_id: The task's id, its submission, or the task.
            timeout: Seconds for the whole wait.

        Returns:
            An iterator of snapshots (an async iterator for `AsyncRelay`).

        Raises:
            WaitTimeoutError: The task has not ended after ``timeout`` seconds.
            RelayError: As in `fetch`.
        """
        return self._run(self._poller([task_id], timeout), Watcher())

    def wait_all(
        self,
        ids: Iterable[TaskLike],
        *,
        timeout: float = 900.0,
        concurrency: int = 16,
        rate: float | None = 10.0,
        on_progress: Callable[[Task], object] | None = None,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> I:
        """
        Yield tasks in the order in which they end; each as `wait` returns it.

        Thousands of ids are fine. Batches are used if the contract has an endpoint for them.

        Args:
            ids: The task ids, submissions or tasks; duplicates are ignored.
            timeout: Seconds for the whole wait, including the time that your loop takes.
            concurrency: Maximum number of requests in flight.
            rate: Maximum number of requests per second, or None.
            on_progress: Called with each changed task.
            on_error: Called with the error of each task that could not be fetched.

        Returns:
            An iterator of tasks (an async iterator for `AsyncRelay`).

        Raises:
            SomeTasksError: Without ``on_error``, after the other tasks, if some could not be fetched.
        """
        check_callback("on_progress", on_progress)
        check_callback("on_error", on_error)
        poller = self._poller(ids, timeout, concurrency=concurrency, rate=rate, batch=True)
        return self._run(poller, Collector(on_progress, on_error))

    def fetch_all(
        self,
        ids: Iterable[TaskLike],
        *,
        timeout: float = 900.0,
        concurrency: int = 16,
        rate: float | None = 10.0,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> I:
        """
        Yield the current state of several tasks, in the order of the responses.

        Args:
            ids: The task ids, submissions or tasks; duplicates are ignored.
            timeout: Seconds for the whole call, including the time that your loop takes.
            concurrency: Maximum number of requests in flight.
            rate: Maximum number of requests per second, or None.
            on_error: Called with the error of each task that could not be fetched.

        Returns:
            An iterator of tasks (an async iterator for `AsyncRelay`).

        Raises:
            SomeTasksError: Without ``on_error``, after the other tasks, if some could not be fetched.
        """
        check_callback("on_error", on_error)
        poller = self._poller(ids, timeout, concurrency=concurrency, rate=rate, batch=True, once=True)
        return self._run(poller, Collector(None, on_error))

    def ticket(self, task: TaskLike, *, timeout: float = 900.0) -> Ticket:
        """
        Return the ticket of a task: the state of waiting for it, to be stored. No request is sent.

        Pass it to `poll` when it is due, in any process; see docs/tickets.md.

        Args:
            task: The task's id, its submission, or the task.
            timeout: Seconds for the whole wait.

        Returns:
            The ticket, which is due immediately.

        Raises:
            SettingError: An argument is invalid.
        """
        task_id = id_of(self._contract, task)
        check_seconds("timeout", timeout)
        now = self._options.clock.time()
        return Ticket(self.name, task_id, now, now + timeout, now, passes=getattr(task, "passes", None))

    def _run(self, poller: Poller, handler: EventHandler) -> I:
        """Drive the poller, and yield the handler's tasks."""
        raise NotImplementedError

    def _submitter(self, call: SubmitCall, parent: Task | None) -> Submitter:
        """Choose the operation of a submit and build its request; raise `SettingError`."""
        return Submitter.of(
            self._contract,
            call,
            parent,
            requests=self._requests,
            options=self._options,
            ledger=self._ledger,
            redactor=self._redactor,
        )

    def _task(self, exchange: Exchange, task_id: str) -> Task:
        """Return the requested task; raise a `RelayError`."""
        task = self._responses.task(exchange, task_id)
        self._refresh_model.saw_task = True
        return task

    def _poller(
        self,
        ids: Iterable[TaskLike],
        timeout: float,
        *,
        concurrency: int = 1,
        rate: float | None = None,
        batch: bool = False,
        once: bool = False,
    ) -> Poller:
        """Return the poller of these tasks; with ``once`` any state ends the polling of a task."""
        clock, options, form = self._options.clock, self._options, self._contract.reader.batch
        check_list("ids", ids)
        tasks = [(id_of(self._contract, one), getattr(one, "passes", None)) for one in ids]
        check_seconds("timeout", timeout)
        check_rate(rate)
        check_count("concurrency", concurrency)
        now = clock.now()
        poller = Poller(
            contract=self._contract,
            model=self._refresh_model,
            redactor=self._redactor,
            started=now,
            unix_offset=clock.time() - now,
            deadline=now + timeout,
            request_timeout=options.timeout,
            once=once,
            retries=options.retries,
            connect_grace=math.inf if self._responded else options.connect_grace,
            concurrency=concurrency,
            rate=rate,
            batch_size=int(form.limit or len(tasks) or 1) if batch and form else None,
        )
        for task_id, passes in tasks:
            poller.add(task_id, now, passes)
        return poller

    def _round(self, tickets: Iterable[Ticket], concurrency: int) -> tuple[list[Ticket], Round]:
        """Return the tickets, checked, and the poller that polls each of them once."""
        clock, options = self._options.clock, self._options
        check_list("tickets", tickets)
        check_count("concurrency", concurrency)
        tickets = list(tickets)
        for ticket in tickets:
            if not isinstance(ticket, Ticket):
                raise SettingError(
                    f"the ticket is of type {type(ticket).__name__}; pass a Ticket of ticket()"
                )
            if ticket.relay != self.name:
                raise SettingError(
                    f"the ticket is of the relay {ticket.relay!r}, and this is {self.name!r}; poll it with "
                    f"Relay({ticket.relay!r})"
                )
            if id_of(self._contract, ticket.id) != ticket.id:
                raise SettingError(f"the ticket has no valid task id: {ticket.id!r}")
        now = clock.now()
        turn = Round(
            contract=self._contract,
            model=self._refresh_model,
            redactor=self._redactor,
            started=now,
            unix_offset=clock.time() - now,
            request_timeout=options.timeout,
            retries=options.retries,
            concurrency=min(concurrency, max(len(tickets), 1)),
            batch_size=self._batch_size,
            unknown_statuses=self._unknown_statuses,
        )
        turn.load(tickets, now)
        return tickets, turn

    def _polls(self, tickets: list[Ticket], turn: Round) -> list[Poll]:
        """Return the outcomes of a round, in the order of the tickets."""
        clock = self._options.clock
        polls = turn.polls(clock.now(), clock.time())
        return [polls[ticket.id] for ticket in tickets]

    def _download(
        self,
        task: Task,
        folder: str | PathLike[str],
        *,
        previews: bool,
        allow_private: bool,
        timeout: float,
        on_progress: Callable[[Download], object] | None,
        stop: threading.Event | None = None,
    ) -> list[Path]:
        if not isinstance(task, Task):
            raise SettingError(f"the task is of type {type(task).__name__}; pass a Task, as fetch returns it")
        if not isinstance(folder, str | PathLike):
            raise SettingError(f"the folder is of type {type(folder).__name__}; pass a path")
        check_callback("on_progress", on_progress)
        check_seconds("timeout", timeout)
        downloader = Downloader(
            home=self._requests.origin,
            source=source_name(self.name, self.base_url, self._contract.base_url),
            redactor=self._redactor,
            allow_private=allow_private,
            proxy=self._options.proxy,
            verify=self._options.verify,
            read_timeout=self._options.timeout,
            timeout=timeout,
        )
        return download_task(downloader, task, folder, previews=previews, on_progress=on_progress, stop=stop)
