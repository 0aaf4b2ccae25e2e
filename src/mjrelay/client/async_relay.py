"""The client for asyncio."""

from __future__ import annotations

import asyncio
import math
import threading
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self, cast

from mjrelay.client.base import BaseRelay
from mjrelay.client.events import Collector
from mjrelay.client.options import check_callback
from mjrelay.client.submission import Submission, TaskLike, id_of
from mjrelay.client.submitting import fetching_parent
from mjrelay.client.task import Task
from mjrelay.transport import AsyncTransport, connect_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from os import PathLike
    from pathlib import Path
    from types import TracebackType

    from mjrelay.client.actions import SubmitCall
    from mjrelay.client.events import EventHandler, PollResult
    from mjrelay.client.polling import Poller
    from mjrelay.client.tickets import Poll, Ticket
    from mjrelay.download import Download
    from mjrelay.http import Exchange, Request


class AsyncRelay(BaseRelay[AsyncTransport, AsyncIterator[Task], Coroutine[Any, Any, Submission]]):
    """
    A client of one relay for asyncio: `Relay` with ``await``.

    Use it as an async context manager, or call `aclose`. It belongs to one event loop at a time. The
    constructor's arguments are documented at ``__init__``.
    """

    _connect = staticmethod(connect_async)

    async def fetch(self, task_id: TaskLike) -> Task:
        """
        Fetch the current state of a task, in one request.

        Args:
            task_id: The task's id, its submission, or the task.

        Returns:
            The task.

        Raises:
            RelayError: As `Relay.fetch`.
        """
        ids = (id_of(self._contract, task_id),)
        exchange = await self._send(self._requests.tasks(ids), ids, self._options.timeout)
        return self._task(exchange, ids[0])

    async def seed(self, task_id: TaskLike) -> str:
        """
        Fetch the seed of a task's image, in one request.

        Args:
            task_id: The task's id, its submission, or the task.

        Returns:
            The seed, as opaque text.

        Raises:
            SettingError: The relay's contract has no operation for seeds.
            RelayError: As `Relay.seed`.
        """
        task_id = id_of(self._contract, task_id)
        exchange = await self._send(self._requests.seed(task_id), (task_id,), self._options.timeout)
        return self._responses.seed(exchange, task_id)

    async def find_submission(self, wanted: str) -> list[Task]:
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
        exchange = await self._send(self._requests.lookup(), (), self._options.timeout)
        return self._responses.found(exchange, wanted)

    async def wait(
        self,
        task_id: TaskLike,
        *,
        timeout: float = 600.0,
        on_progress: Callable[[Task], object] | None = None,
    ) -> Task:
        """
        Poll a task until it has ended or needs input.

        Args:
            task_id: The task's id, its submission, or the task.
            timeout: Seconds for the whole wait.
            on_progress: Called with each changed task, the last included.

        Returns:
            The task; check its ``state``.

        Raises:
            WaitTimeoutError: The task has not ended after ``timeout`` seconds; ``task`` is the last snapshot.
            RelayError: As `Relay.fetch`.
        """
        check_callback("on_progress", on_progress)
        snapshots = cast("AsyncGenerator[Task]", self.watch(task_id, timeout=timeout))
        async with aclosing(snapshots):
            async for task in snapshots:
                if on_progress is not None:
                    on_progress(task)
        return task

    async def poll(self, ticket: Ticket) -> Poll:
        """
        Poll the task of a ticket, in one request.

        Args:
            ticket: The ticket; it need not be due.

        Returns:
            The task or the error, and the next ticket.

        Raises:
            SettingError: The ticket belongs to another relay.
        """
        return (await self.poll_all([ticket], concurrency=1))[0]

    async def poll_all(self, tickets: Iterable[Ticket], *, concurrency: int = 16) -> list[Poll]:
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
        async for _ in self._run(turn, Collector(None, turn.errors.append)):
            pass
        return self._polls(tickets, turn)

    async def download(
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
        Download the images and videos of a task, in threads.

        Args:
            task: The task.
            folder: The folder to write to.
            previews: Download the previews of a task that has not succeeded. They replace older ones.
            allow_private: Allow addresses in private networks. The relay's own host is always allowed.
            timeout: Seconds for all files. The relay's ``timeout`` applies to each read.
            on_progress: Called in another thread with the state of each file as it changes.

        Returns:
            The paths of the files.

        Raises:
            DownloadError: Some files could not be downloaded; ``paths`` holds the others.
        """
        stop = threading.Event()
        downloading = asyncio.ensure_future(
            asyncio.to_thread(
                self._download,
                task,
                folder,
                previews=previews,
                allow_private=allow_private,
                timeout=timeout,
                on_progress=on_progress,
                stop=stop,
            )
        )
        try:
            return await asyncio.shield(downloading)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.gather(downloading, return_exceptions=True)  # files are unlocked when it ends
            raise

    async def aclose(self) -> None:
        """Close the connections, unless they belong to ``client`` or to another relay."""
        if self._owner and (transport := self._shared.close()) is not None:
            await transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _submit(self, call: SubmitCall) -> Submission:
        parent = None
        if (task := call.parent_to_fetch(self._contract)) is not None:
            with fetching_parent():
                parent = await self.fetch(task)
        submitter = self._submitter(call, parent)
        while True:
            sent_at = submitter.begin()
            try:
                exchange = await self._transport.send(
                    submitter.request, submitter.timeout, self._max_body(())
                )
            except BaseException as error:  # cancelled or interrupted while the request is in flight
                submitter.abandon(sent_at, error)
                raise
            step = submitter.end(exchange, sent_at, self._record)
            if isinstance(step, Submission):
                return step
            await self._options.clock.asleep(step)

    async def _send(self, request: Request, ids: tuple[str, ...], timeout: float) -> Exchange:
        exchange = await self._transport.send(request, timeout, self._max_body(ids))
        self._record(exchange, ids)
        return exchange

    async def _poll(self, ids: tuple[str, ...], timeout: float) -> PollResult:
        exchange = await self._send(self._requests.tasks(ids), ids, timeout)
        return self._responses.results(exchange, ids)

    async def _run(self, poller: Poller, handler: EventHandler) -> AsyncIterator[Task]:
        clock = self._options.clock
        in_flight: dict[asyncio.Task[PollResult], tuple[str, ...]] = {}
        try:
            while not poller.done:
                step = poller.next_request(now := clock.now())
                if isinstance(step, tuple):
                    in_flight[asyncio.create_task(self._poll(step, poller.next_timeout(now)))] = step
                elif in_flight:
                    timeout = None if math.isinf(step) else max(step - now, 0)
                    received, _ = await asyncio.wait(in_flight, timeout=timeout, return_when=FIRST_COMPLETED)
                    for sending in received:
                        poller.receive(in_flight.pop(sending), sending.result(), clock.now())
                elif step < math.inf:
                    await clock.asleep(step - now)
                for event in poller.pop_events():
                    for task in handler.handle(event):
                        yield task
            handler.finish()
        finally:
            for sending in in_flight:
                sending.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)
