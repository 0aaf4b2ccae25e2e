"""The face for asyncio: the same relay, awaited."""

from __future__ import annotations

import asyncio
import math
import threading
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mjrelay.client.base import BaseRelay, Collector, expected
from mjrelay.client.options import checked_id
from mjrelay.client.polling import PollRequest, TaskLost
from mjrelay.transport import AsyncTransport, connect_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
    from os import PathLike
    from types import TracebackType

    from mjrelay.client.base import PollResult
    from mjrelay.client.polling import Event, Polling
    from mjrelay.client.task import RelayError, Task
    from mjrelay.download import Download
    from mjrelay.http import Exchange


class AsyncRelay(BaseRelay[AsyncTransport]):
    """
    The twin of `Relay` for asyncio: what it says there of arguments, tasks and errors holds here.

    One event loop uses it; ``client`` is an `httpx.AsyncClient`.
    """

    _connect = staticmethod(connect_async)

    async def fetch(self, task_id: str) -> Task:
        """The task as it stands now; one request. Raises what `Relay.fetch` raises."""
        exchange = await self._send((checked_id(task_id),), self._options.timeout)
        if (hook := self._options.on_exchange) is not None:
            hook(exchange, (task_id,))
        return self._answers.task(exchange, task_id)

    async def seed(self, task_id: str) -> str:
        """The seed of a task's image, opaque text; one request. Raises what `Relay.seed` raises."""
        request, largest = self._asking_for_seed(task_id), self._largest((task_id,))
        exchange = await self._transport.send(request, self._options.timeout, largest)
        return self._told_of_seed(exchange, task_id)

    async def wait(
        self, task_id: str, *, timeout: float = 600.0, on_progress: Callable[[Task], object] | None = None
    ) -> Task:
        """The task once it is done, or needs input; as `Relay.wait`."""
        async with aclosing(self._watched(task_id, timeout)) as tasks:
            async for task in tasks:
                if on_progress is not None:
                    on_progress(task)
        return task

    def watch(self, task_id: str, *, timeout: float = 600.0) -> AsyncIterator[Task]:
        """The task whenever it was seen to have changed, as it ended last; as `Relay.watch`."""
        return self._watched(task_id, timeout)

    def wait_all(
        self,
        ids: Iterable[str],
        *,
        timeout: float = 900.0,
        concurrency: int = 16,
        rate: float | None = 10.0,
        on_progress: Callable[[Task], object] | None = None,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> AsyncIterator[Task]:
        """The tasks as they end, each id once; as `Relay.wait_all`."""
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
    ) -> AsyncIterator[Task]:
        """The tasks as they stand now, in the order in which they come; as `Relay.fetch_all`."""
        waiting = self._waiting(ids, timeout, concurrency=concurrency, rate=rate, batch=True, once=True)
        return self._collected(waiting, Collector(None, on_error))

    async def download(
        self,
        task: Task,
        folder: str | PathLike[str],
        *,
        previews: bool = False,
        allow_private: bool = False,
        on_progress: Callable[[Download], object] | None = None,
    ) -> list[Path]:
        """Download the images and videos of a task into a folder, in threads; as `Relay.download`."""
        media, stop = self._media(task, previews=previews), threading.Event()
        downloader = self._downloader(allow_private=allow_private)
        try:
            return await asyncio.to_thread(
                self._download, downloader, task, media, Path(folder), on_progress=on_progress, stop=stop
            )
        finally:
            stop.set()

    async def aclose(self) -> None:
        """Close the connections, unless they are somebody else's."""
        if self._owner and (wire := self._shared.close()) is not None:
            await wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, ids: tuple[str, ...], timeout: float) -> Exchange:
        return await self._transport.send(self._asking(ids), timeout, self._largest(ids))

    async def _watched(self, task_id: str, timeout: float) -> AsyncGenerator[Task]:
        async with aclosing(self._run(self._waiting([task_id], timeout))) as events:
            async for event in events:
                if isinstance(event, TaskLost):
                    raise event.error
                yield event.task

    async def _collected(self, waiting: Polling, collector: Collector) -> AsyncGenerator[Task]:
        async with aclosing(self._run(waiting)) as events:
            async for event in events:
                for task in collector.take(event):
                    yield task
        collector.finish()

    async def _run(self, waiting: Polling) -> AsyncGenerator[Event]:
        """Send and sleep as the machine says."""
        clock, owed = self._options.clock, 0
        flying: set[asyncio.Task[None]] = set()
        answers: asyncio.Queue[tuple[PollRequest, PollResult]] = asyncio.Queue()

        async def ask(step: PollRequest, timeout: float) -> None:
            try:
                exchange = await self._send(step.ids, timeout)
                answers.put_nowait((step, self._told(step, exchange)))
            except Exception as error:  # noqa: BLE001 - raised again where the caller sees it
                answers.put_nowait((step, error))

        try:
            while not waiting.done:
                step = waiting.next(now := clock.now())
                if isinstance(step, PollRequest):
                    request = asyncio.create_task(ask(step, self._patience(waiting)))
                    flying.add(request)
                    request.add_done_callback(flying.discard)
                    owed += 1
                elif owed:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(None if math.isinf(step) else max(step - now, 0)):
                            asked, answer = await answers.get()
                        owed -= 1
                        waiting.answered(asked, expected(answer), clock.now())
                elif step < math.inf:
                    await clock.asleep(step - now)
                for event in waiting.events():
                    yield event
        finally:
            for request in flying:
                request.cancel()
            await asyncio.gather(*flying, return_exceptions=True)
