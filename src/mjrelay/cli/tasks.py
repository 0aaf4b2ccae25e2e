"""``mjrelay fetch`` and ``mjrelay wait``: fetch one task, or wait for many."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from mjrelay.base import SettingError
from mjrelay.cli.options import (
    PATH,
    allow_private_option,
    argument,
    collect_ids,
    make_relay,
    relay_argument,
    relay_options,
)
from mjrelay.cli.output import is_pretty, print_message, write_json
from mjrelay.cli.results import Results
from mjrelay.cli.resuming import print_remaining
from mjrelay.cli.waiting import WaitRun, exit_now, print_log, write_task
from mjrelay.contract import load_contract
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mjrelay.client import Relay, Task


_SECONDS = click.FloatRange(min=0.1)


def _download_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a download."""
    command = allow_private_option(command)
    command = click.option(
        "--previews", is_flag=True, help="Also download the previews of tasks that did not succeed."
    )(command)
    return click.option(
        "--download", type=PATH, metavar="DIR", help="Download images and videos to this directory."
    )(command)


@click.command()
@relay_argument
@argument("task_id", metavar="ID", help="Task id.")
@_download_options
@click.option("--timeout", type=_SECONDS, default=30.0, help="Timeout of one request in seconds.")
@relay_options
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
@relay_options
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
        run = WaitRun(
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
            write=partial(write_task, pretty=is_pretty(format_)),
            downloads=folder is not None,
        )
        run.states.update(ended[task_id] for task_id in wanted if task_id in ended)
        if results is not None and results.torn:
            print_message(f"{out}: removed an incomplete last line ({results.torn} bytes)")
        if run.states:
            print_message(f"{out}: {run.states.total()} of {len(wanted)} tasks have ended already; skipped")
        print_log()
        try:
            run.run(timeout=timeout, concurrency=concurrency, rate=rate)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the message
            print_remaining(ctx, client.name, list(run.left), "interrupted; ")
            exit_now(130)
        if run.late:
            late = set(run.late)
            print_remaining(ctx, client.name, [task_id for task_id in wanted if task_id in late])
    if len(wanted) > 1:
        counts = [f"{count} {state}" for state, count in sorted(run.states.items())]
        if lost := len(wanted) - run.states.total():
            counts.append(f"{lost} not fetched")
        print_message(f"{len(wanted)} tasks: {', '.join(counts)}")
    sys.exit(int(run.failed or run.states[State.SUCCEEDED] < len(wanted)))


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
