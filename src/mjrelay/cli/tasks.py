"""``mjrelay fetch`` and ``mjrelay wait``: read one task, or wait for many."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import click
from attrs import define, field

from mjrelay.base import SettingError
from mjrelay.cli.options import (
    PATH,
    argument,
    base_url_option,
    collect_ids,
    fast_option,
    key_file_option,
    make_relay,
    overlays_option,
    relay_argument,
    scheme_option,
)
from mjrelay.cli.output import (
    OutputError,
    format_option,
    is_pretty,
    json_text,
    print_message,
    write_json,
    write_line,
)
from mjrelay.cli.results import Results
from mjrelay.client import (
    DownloadError,
    Relay,
    RelayError,
    UnauthorizedError,
    UnreachableError,
    WaitTimeoutError,
)
from mjrelay.contract import load_contract
from mjrelay.http import printable_text
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mjrelay.cli.terminal import Bars
    from mjrelay.client import Task


_SECONDS = click.FloatRange(min=0.1)


def _download_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a download."""
    command = click.option(
        "--allow-private", is_flag=True, help="Also download from addresses of private networks."
    )(command)
    command = click.option(
        "--previews", is_flag=True, help="Also download the previews of tasks that did not succeed."
    )(command)
    return click.option(
        "--download", type=PATH, metavar="DIR", help="Download images and videos to this directory."
    )(command)


def _relay_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `make_relay` that ``fetch`` and ``wait`` share, and ``--format``."""
    for option in (
        format_option("pretty", "json"),
        overlays_option,
        fast_option,
        key_file_option,
        scheme_option,
        base_url_option,
    ):
        command = option(command)
    return command


@click.command()
@relay_argument
@argument("task_id", metavar="ID", help="Task id.")
@_download_options
@click.option("--timeout", type=_SECONDS, default=30.0, help="Timeout of one request in seconds.")
@_relay_options
def fetch(
    *,
    relay: str,
    task_id: str,
    download: Path | None,
    previews: bool,
    allow_private: bool,
    format_: str | None,
    **options: Any,
) -> None:
    """
    Fetch one task and print it.

    The key comes from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file.

    Exit codes: 0 the task is printed, whatever its state, 1 the relay did not return the task, or its files
    could not be downloaded, 2 wrong usage, 5 internal error, 130 interrupted.
    """
    folder = None if download is None else _make_folder(download)
    with make_relay(relay, **options) as client:
        task = client.fetch(task_id)
        files = _download(client, task, folder, previews=previews, allow_private=allow_private)
    if not is_pretty(format_):
        write_json(task.to_dict() | ({"files": list(map(str, files))} if folder else {}))
        return
    from mjrelay.cli.terminal import print_task  # noqa: PLC0415 - rich is slow to import

    print_task(task)
    for path in files:
        print_message(f"downloaded {path}")


_SHOWN_IDS = 10
"""Maximum number of ids that an interrupted run prints."""

_DOWNLOADS = 4
"""Tasks whose files are downloaded concurrently; each task may have several files."""


@click.command()
@relay_argument
@argument("ids", nargs=-1, metavar="[ID]...", help="Task ids; - reads them from stdin.")
@click.option(
    "--ids-file",
    metavar="FILE",
    help="Read ids from this file, separated by white space; # starts a comment, - is stdin.",
)
@_download_options
@click.option(
    "--out",
    type=PATH,
    metavar="FILE",
    help="Append each result to this JSON Lines file. Tasks that have ended in it are skipped; with "
    "--download, only those with files. The last line of an id counts.",
)
@click.option("--timeout", type=_SECONDS, default=900.0, help="Seconds for all tasks and files.")
@click.option("--request-timeout", type=_SECONDS, default=30.0, help="Timeout of one request in seconds.")
@click.option("--concurrency", type=click.IntRange(min=1), default=16, help="Maximum concurrent requests.")
@click.option("--rate", type=float, default=10.0, help="Maximum requests per second.")
@_relay_options
@click.pass_context
def wait(
    ctx: click.Context,
    /,
    *,
    relay: str,
    ids: tuple[str, ...],
    ids_file: str | None,
    download: Path | None,
    previews: bool,
    allow_private: bool,
    out: Path | None,
    timeout: float,
    request_timeout: float,
    concurrency: int,
    rate: float,
    format_: str | None,
    **options: Any,
) -> None:
    """
    Wait until tasks are done, and print each as it ends.

    Polling adapts to the progress of a task. With --out a killed run can be resumed: run the same command
    again. The file holds only tasks that have ended (succeeded, failed or cancelled) and whose files are
    downloaded; all other tasks are fetched again.

    The key comes from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file.

    Exit codes: 0 every task succeeded, 1 a task did not succeed or could not be fetched or downloaded, 2
    wrong usage, 5 internal error, 130 interrupted (the remaining ids are printed on stderr).
    """
    wanted = collect_ids(ids, ids_file, load_contract(relay, options["overlays"]))
    started = monotonic()
    with ExitStack() as stack:
        client = stack.enter_context(make_relay(relay, timeout=request_timeout, **options))
        results = (
            None
            if out is None
            else stack.enter_context(Results(out, client.name, files=download is not None))
        )
        folder = None if download is None else _make_folder(download)
        ended = {} if results is None else results.ended
        run = _Run(
            client,
            dict.fromkeys(task_id for task_id in wanted if task_id not in ended),
            results,
            lambda task: _download(
                client,
                task,
                folder,
                previews=previews,
                allow_private=allow_private,
                # A task that ends late has time for one request.
                timeout=max(started + timeout - monotonic(), request_timeout),
            ),
            pretty=is_pretty(format_),
            downloads=folder is not None,
        )
        run.states.update(ended[task_id] for task_id in wanted if task_id in ended)
        if results is not None and results.torn:
            print_message(f"{out}: removed an incomplete last line ({results.torn} bytes)")
        if run.states:
            print_message(f"{out}: {run.states.total()} of {len(wanted)} tasks have ended already; skipped")
        log = logging.getLogger("mjrelay")
        log.addHandler(_MessageHandler())
        log.setLevel(logging.INFO)

        def print_resume(reason: str, left: list[str]) -> None:
            from_file = len(left) > _SHOWN_IDS and (out is not None or ids_file not in {None, "-"})
            again = None if from_file else [*_given_options(ctx), *_dashes(left), relay, *left]
            _print_resume(reason, client.name, left, again)

        try:
            run.run(timeout=timeout, concurrency=concurrency, rate=rate)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the message
            print_resume("interrupted; ", list(run.left))
            _exit_now(130)
        if run.late:
            print_resume("", run.late)
    if len(wanted) > 1:
        counts = [f"{count} {state}" for state, count in sorted(run.states.items())]
        if lost := len(wanted) - run.states.total():
            counts.append(f"{lost} not fetched")
        print_message(f"{len(wanted)} tasks: {', '.join(counts)}")
    sys.exit(int(run.failed or run.states[State.SUCCEEDED] < len(wanted)))


@define(eq=False)
class _Run:
    """
    Downloads, records and prints tasks as they end.

    ``left`` holds the ids that are not finished, ``late`` those that had not ended at the deadline, and
    ``states`` counts the states of the others.
    """

    relay: Relay
    left: dict[str, None]
    results: Results | None
    download: Callable[[Task], list[Path]]
    pretty: bool = field(kw_only=True)
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

    def run(self, *, timeout: float, concurrency: int, rate: float) -> None:
        """Wait for all tasks; raises `MjrelayError` if the run cannot continue."""
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
                tuple(self.left),
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
            write_line(_task_line(result) if self.pretty else json_text(result))
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


class _MessageHandler(logging.Handler):
    """Prints the package's log records as messages, and retries only when their reason changes."""

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


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"{path}: the directory cannot be created ({error.strerror}); choose another"
        ) from error
    return path


def _download(relay: Relay, task: Task, folder: Path | None, *, previews: bool, **options: Any) -> list[Path]:
    """Download the files of a task and return their paths."""
    if folder is None or not (task.images or task.videos or (previews and task.previews)):
        return []
    return relay.download(task, folder, previews=previews, **options)


def _task_line(result: dict[str, Any]) -> str:
    """Return a task as a line for people: id, state, and its files, links or failure."""
    shown = result.get("files") or [*result["images"], *result["videos"]] or [result["failure"] or ""]
    return printable_text(f"{result['id']}  {result['state']:11}  {'  '.join(shown)}".rstrip())


def _given_options(ctx: click.Context) -> list[str]:
    """Return the options on the command line, except for ``--ids-file``."""
    words = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if (
            isinstance(parameter, click.Option)
            and name != "ids_file"
            and source is click.core.ParameterSource.COMMANDLINE
        ):
            value = ctx.params[name]
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0]] if one is True else [parameter.opts[0], str(one)]
    return words


def _dashes(ids: list[str]) -> list[str]:
    """Return what must precede ids that look like options."""
    return ["--"] if any(task_id.startswith("-") for task_id in ids) else []


def _print_resume(reason: str, name: str, left: list[str], again: list[str] | None) -> None:
    """Print the remaining ids and the command that resumes: with these arguments, or the same command."""
    shown = " ".join(left[:_SHOWN_IDS])
    if len(left) > _SHOWN_IDS:
        shown += f" and {len(left) - _SHOWN_IDS} more"
    remain = "task remains" if len(left) == 1 else "tasks remain"
    print_message(f"{reason}{len(left)} {remain} at {name}: {shown}")
    if again is None:
        print_message(f"resume with the same command: {shlex.join(['mjrelay', *sys.argv[1:]])}")
    else:
        print_message(f"resume with: {shlex.join(['mjrelay', 'wait', *again])}")


def _exit_now(code: int) -> NoReturn:
    """Exit without joining threads, which may hang in a request."""
    with suppress(OSError, OutputError):  # the reader may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
