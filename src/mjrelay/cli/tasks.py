"""``mjrelay fetch``: one task, once."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from attrs import define, field

from mjrelay.base import SettingError
from mjrelay.cli.options import (
    BaseURLOption,
    FastOption,
    KeyFileOption,
    OverlaysOption,
    RelayArgument,
    SchemeOption,
    gather,
    reach,
)
from mjrelay.cli.output import FormatOption, OutputError, is_pretty, json_text, talk, write_json, write_line
from mjrelay.cli.results import Results
from mjrelay.client import DownloadError, Relay, RelayError, UnauthorizedError
from mjrelay.http import printable_text
from mjrelay.semantics import State

if TYPE_CHECKING:
    from mjrelay.cli.terminal import Bars
    from mjrelay.client import Task


def fetch(
    relay: RelayArgument,
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task's id.")],
    base_url: BaseURLOption = None,
    scheme: SchemeOption = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the request may take.")] = 30.0,
    key_file: KeyFileOption = None,
    fast: FastOption = False,
    overlay: OverlaysOption = None,
    format_: FormatOption = None,
) -> None:
    """
    Fetch one task and print it.

    The key comes from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file. Exit codes: 0 the task is
    printed, whatever its state, 1 the relay gave no such task, 2 wrong usage, 5 a mistake of our own, 130
    interrupted.
    """
    with reach(
        relay,
        overlays=overlay,
        base_url=base_url,
        scheme=scheme,
        timeout=timeout,
        key_file=key_file,
        fast=fast,
    ) as client:
        task = client.fetch(task_id)
    if not is_pretty(format_):
        write_json(task.to_dict())
        return
    from mjrelay.cli import terminal as _terminal  # noqa: PLC0415 - rich is slow to import

    _terminal.render(task)


_FEW = 10
"""Ids that an interrupted run names on one line."""

_DOWNLOADS = 4
"""Tasks whose files are downloaded at once; each may have several."""


def wait(
    ctx: typer.Context,
    relay: RelayArgument,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The tasks' ids; - reads them from stdin.")
    ] = None,
    ids_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A file with ids between white space, # before a comment; - is stdin."
        ),
    ] = None,
    download: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Download the images and videos into this folder.")
    ] = None,
    previews: Annotated[
        bool, typer.Option("--previews", help="Download also what a task shows that did not succeed.")
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Download from addresses of private networks as well.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Add each result to this JSON Lines file; tasks that ended in it already are left out, with "
            "--download those whose line holds files. The last line of an id counts.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for all tasks.")] = 900.0,
    request_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that one request may take.")
    ] = 30.0,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at once.")] = 16,
    rate: Annotated[float, typer.Option(help="Requests per second at most.")] = 10.0,
    base_url: BaseURLOption = None,
    scheme: SchemeOption = None,
    key_file: KeyFileOption = None,
    fast: FastOption = False,
    overlay: OverlaysOption = None,
    format_: FormatOption = None,
) -> None:
    """
    Wait until tasks are done, and print each as it ends.

    A task is asked for as seldom as its progress allows. With --out a run that was killed goes on where it
    was: run the same command again. Only what ended is kept there (succeeded, failed or cancelled, its files
    downloaded); all else is asked for again.

    The key comes from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file. Exit codes: 0 every task
    succeeded, 1 one did not, or its files were not had, 2 wrong usage, 5 a mistake of our own, 130
    interrupted: the ids that are left are then told on stderr.
    """
    wanted = gather(ids or (), ids_file)
    with ExitStack() as stack:
        client = stack.enter_context(
            reach(
                relay,
                overlays=overlay,
                base_url=base_url,
                scheme=scheme,
                timeout=request_timeout,
                key_file=key_file,
                fast=fast,
            )
        )
        results = (
            None
            if out is None
            else stack.enter_context(Results(out, client.name, files=download is not None))
        )
        folder = None if download is None else _folder(download)
        ended = {} if results is None else results.ended
        run = _Run(
            client,
            dict.fromkeys(task_id for task_id in wanted if task_id not in ended),
            results,
            lambda task: [] if folder is None else _files(client, task, folder, previews, allow_private),
            pretty=is_pretty(format_),
            downloads=folder is not None,
        )
        run.states.update(ended[task_id] for task_id in wanted if task_id in ended)
        if results is not None and results.torn:
            talk(f"{out}: cut off a last line that was broken off ({results.torn} bytes)")
        if run.states:
            talk(f"{out}: holds {run.states.total()} of {len(wanted)} tasks already; they are left out")
        logging.getLogger("mjrelay").addHandler(_Talker())
        try:
            run.go(timeout=timeout, concurrency=concurrency, rate=rate)
        except KeyboardInterrupt:
            many = len(run.left) > _FEW and (out is not None or ids_file not in {None, "-"})
            _tell_rest(client.name, relay, list(run.left), None if many else _options(ctx))
            _leave(130)
    if len(wanted) > 1:
        told = ", ".join(f"{count} {state}" for state, count in sorted(run.states.items()))
        lost = len(wanted) - run.states.total()
        talk(f"{len(wanted)} tasks: {told}" + (", " * bool(told) + f"{lost} not had" if lost else ""))
    raise typer.Exit(int(run.troubled or run.states[State.SUCCEEDED] < len(wanted)))


@define(eq=False)
class _Run:
    """
    What is done with tasks as they end: their files are downloaded, and their results kept and printed.

    ``left`` holds the ids of those that are not done with yet, and ``states`` counts how the others ended.
    """

    relay: Relay
    left: dict[str, None]
    results: Results | None
    files: Any
    pretty: bool = field(kw_only=True)
    downloads: bool = field(kw_only=True)
    states: Counter[State] = field(init=False, factory=Counter)
    troubled: bool = field(init=False, default=False)
    _met: bool = field(init=False, default=False)
    _bars: Bars | None = field(init=False, default=None)
    _crew: ThreadPoolExecutor = field(
        init=False, factory=lambda: ThreadPoolExecutor(_DOWNLOADS, "mjrelay-cli")
    )
    _at_work: list[Future[None]] = field(init=False, factory=list)
    _lock: threading.RLock = field(init=False, factory=threading.RLock)

    def go(self, *, timeout: float, concurrency: int, rate: float) -> None:
        """Wait for all of them; raises `MjrelayError` where that cannot be gone on with."""
        if not self.left:
            return
        with ExitStack() as stack:
            if sys.stderr.isatty():
                from mjrelay.cli import terminal as _terminal  # noqa: PLC0415 - rich is slow to import

                self._bars = _terminal.bars(len(self.left))
            if self._bars is not None:
                stack.enter_context(self._bars)
            stack.callback(self._crew.shutdown, wait=False, cancel_futures=True)
            tasks = self.relay.wait_all(
                tuple(self.left),
                timeout=timeout,
                concurrency=concurrency,
                rate=rate,
                on_progress=self._show,
                on_error=self._lose,
            )
            for task in tasks:
                self._take(task)
            for future in self._at_work:
                future.result()

    def _take(self, task: Task) -> None:
        """Finish a task, on the side where that may take a while."""
        if not self.downloads:
            self._finish(task)
            return
        for future in [future for future in self._at_work if future.done()]:
            future.result()  # what went wrong beside us is raised here
            self._at_work.remove(future)
        self._at_work.append(self._crew.submit(self._finish, task))

    def _finish(self, task: Task) -> None:
        result, trouble = task.to_dict(), None
        if self.downloads:
            try:
                files = self.files(task)
            except DownloadError as error:
                files, trouble = error.paths, error
            result["files"] = list(map(str, files))
        with self._lock:
            if self.results is not None and trouble is None and task.state.terminal:
                self.results.add(result)
            write_line(_line(result) if self.pretty else json_text(result))
            self.states[task.state] += 1
            if trouble is not None:
                self._lose(trouble)
            self._end(task.id)

    def _lose(self, error: RelayError) -> None:
        """Tell why a task was not had; raises the error where none will be."""
        if isinstance(error, UnauthorizedError) and not self._met:
            raise error
        message, task_id = str(error), error.task_id or ""
        talk(message if task_id in message else f"{task_id}: {message}")
        with self._lock:
            self.troubled = True
            self._end(task_id)

    def _end(self, task_id: str) -> None:
        if task_id in self.left:
            del self.left[task_id]
            if self._bars is not None:
                self._bars.end(task_id)

    def _show(self, task: Task) -> None:
        self._met = True
        if self._bars is not None:
            done = task.state.terminal and self.downloads
            self._bars.show(task.id, "downloading" if done else str(task.state), task.progress)


class _Talker(logging.Handler):
    """Lets what the package logs be said in the command's way."""

    def emit(self, record: logging.LogRecord) -> None:
        talk(record.getMessage())


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{path}: no folder can be made there ({error.strerror}); name another") from error
    return path


def _files(relay: Relay, task: Task, folder: Path, previews: bool, allow_private: bool) -> list[Path]:
    """The files of a task, downloaded; none where it has nothing that is wanted."""
    if not (task.images or task.videos or (previews and task.previews)):
        return []
    return relay.download(task, folder, previews=previews, allow_private=allow_private)


def _line(result: dict[str, Any]) -> str:
    """A task as a line for people: what it made, or why it made nothing."""
    made = result.get("files") or [*result["images"], *result["videos"]] or [result["failure"] or ""]
    return printable_text(f"{result['id']}  {result['state']:11}  {'  '.join(made)}".rstrip())


def _options(ctx: typer.Context) -> list[str]:
    """The options as they were given, but for where the ids come from."""
    words = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if (
            parameter.param_type_name == "option"
            and name != "ids_file"
            and getattr(source, "name", "") == "COMMANDLINE"
        ):
            value = ctx.params[name]
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0]] if one is True else [parameter.opts[0], str(one)]
    return words


def _tell_rest(name: str, given: str, left: list[str], options: list[str] | None) -> None:
    """Tell of the tasks that go on without us, and how to wait on: with these options, else as before."""
    shown = " ".join(left[:_FEW]) + (f" and {len(left) - _FEW} more" if len(left) > _FEW else "")
    go = "task goes" if len(left) == 1 else "tasks go"
    talk(f"interrupted; {len(left)} {go} on at {name}: {shown}")
    if options is None:
        talk(f"go on waiting with the same command: {shlex.join(['mjrelay', *sys.argv[1:]])}")
    else:
        dashes = ["--"] if any(task_id.startswith("-") for task_id in left) else []
        talk(f"go on waiting with: {shlex.join(['mjrelay', 'wait', *options, *dashes, given, *left])}")


def _leave(code: int) -> NoReturn:
    """End at once: threads that hang in a request are not waited for."""
    with suppress(OSError, OutputError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
