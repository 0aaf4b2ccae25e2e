"""A run of ``mjrelay wait``, or of a submit that waits: download, record and print tasks as they end."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import define, field

from mjrelay.cli.output import OutputError, json_text, print_message, write_line
from mjrelay.client import (
    DownloadError,
    Relay,
    RelayError,
    UnauthorizedError,
    UnreachableError,
    WaitTimeoutError,
)
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mjrelay.cli.results import Results
    from mjrelay.cli.terminal import Bars
    from mjrelay.client import Submission, Task
    from mjrelay.semantics import State


_DOWNLOADS = 4
"""Tasks whose files are downloaded concurrently; each task may have several files."""


@define(eq=False)
class WaitRun:
    """
    Downloads, records and prints tasks as they end.

    ``left`` holds the ids that are not finished, ``late`` those that had not ended at the deadline, and
    ``states`` counts the states of the others. ``write`` prints a task.
    """

    relay: Relay
    left: dict[str, None]
    results: Results | None
    download: Callable[[Task], list[Path]]
    write: Callable[[Task, dict[str, Any]], None] = field(kw_only=True)
    downloads: bool = field(kw_only=True)
    states: Counter[State] = field(init=False, factory=Counter)
    failed: bool = field(init=False, default=False)
    late: list[str] = field(init=False, factory=list)
    _authorized: bool = field(init=False, default=False)
    _bars: Bars | None = field(init=False, default=None)
    _pool: ThreadPoolExecutor = field(
        init=False, factory=lambda: ThreadPoolExecutor(_DOWNLOADS, "mjrelay-cli")
    )
    _pending: list[Future[None]] = field(init=False, factory=list)
    _lock: threading.RLock = field(init=False, factory=threading.RLock)

    def run(
        self,
        *,
        timeout: float,
        concurrency: int = 16,
        rate: float = 10.0,
        submission: Submission | None = None,
    ) -> None:
        """
        Wait for all tasks; raises `MjrelayError` if the run cannot continue.

        ``submission`` is that of the only task, which may pass through a state in which others stop.
        """
        if not self.left:
            return
        with ExitStack() as stack:
            if sys.stderr.isatty():
                from mjrelay.cli.terminal import make_bars  # noqa: PLC0415 - rich is slow to import

                self._bars = make_bars(len(self.left))
            if self._bars is not None:
                stack.enter_context(self._bars)
            stack.callback(self._pool.shutdown, wait=False, cancel_futures=True)
            tasks = self.relay.wait_all(
                tuple(self.left) if submission is None else [submission],
                timeout=timeout,
                concurrency=concurrency,
                rate=rate,
                on_progress=self._show,
                on_error=self._report,
            )
            for task in tasks:
                self._accept(task)
            for future in self._pending:
                future.result()

    def _accept(self, task: Task) -> None:
        """Finish a task, in a thread if it has files to download."""
        if not self.downloads:
            self._finish(task)
            return
        for future in [future for future in self._pending if future.done()]:
            future.result()  # re-raises an exception of the thread
            self._pending.remove(future)
        self._pending.append(self._pool.submit(self._finish, task))

    def _finish(self, task: Task) -> None:
        result, error = task.to_dict(), None
        if self.downloads:
            try:
                files = self.download(task)
            except DownloadError as failed:
                files, error = failed.paths, failed
            result["files"] = list(map(str, files))
        with self._lock:
            if self.results is not None and error is None and task.state.terminal:
                self.results.add(result)
            self.write(task, result)
            self.states[task.state] += 1
            if error is not None:
                self._report(error)
            self._end(task.id)

    def _report(self, error: RelayError) -> None:
        """Report a failed task; raises the error if the key was refused before any task was fetched."""
        if isinstance(error, UnauthorizedError | UnreachableError) and not self._authorized:
            raise error
        message, task_id = str(error), error.task_id or ""
        print_message(message if task_id in message else f"{task_id}: {message}")
        with self._lock:
            self.failed = True
            self.late += [task_id] if isinstance(error, WaitTimeoutError) else []
            self._end(task_id)

    def _end(self, task_id: str) -> None:
        if task_id in self.left:
            del self.left[task_id]
            if self._bars is not None:
                self._bars.end(task_id)

    def _show(self, task: Task) -> None:
        self._authorized = True
        if self._bars is not None:
            downloading = task.state.terminal and self.downloads
            self._bars.show(task.id, "downloading" if downloading else str(task.state), task.progress)


class MessageHandler(logging.Handler):
    """Prints the package's log records as messages, and retries of polls only when their reason changes."""

    _reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if isinstance(record.args, tuple) and record.args and isinstance(error := record.args[0], RelayError):
            exchange = error.exchange
            reason = f"{type(error)} {exchange and (exchange.failure, exchange.status)}"
            if reason == self._reason:
                return
            self._reason = reason
        print_message(message)


def print_log() -> None:
    """Print the package's log, with the reason of each retry, on stderr from now on."""
    log = logging.getLogger("mjrelay")
    log.addHandler(MessageHandler())
    log.setLevel(logging.INFO)


def write_task(_: Task, result: dict[str, Any], *, pretty: bool) -> None:
    """Write a task as a line to stdout."""
    write_line(_task_line(result) if pretty else json_text(result))


def exit_now(code: int) -> NoReturn:
    """Exit without joining threads, which may hang in a request."""
    with suppress(OSError, OutputError):  # the reader may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _task_line(result: dict[str, Any]) -> str:
    """Return a task as a line for people: id, state, and its files, links or failure."""
    shown = result.get("files") or [*result["images"], *result["videos"]] or [result["failure"] or ""]
    return printable_text(f"{result['id']}  {result['state']:11}  {'  '.join(shown)}".rstrip())
