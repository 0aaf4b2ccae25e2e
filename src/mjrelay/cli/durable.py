"""``mjrelay durable``: the worker of a queue of tasks."""

from __future__ import annotations

import importlib
import math
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from mjrelay.base import MjrelayError, SettingError
from mjrelay.cli.options import Group
from mjrelay.cli.output import OutputError, load_extra, print_message

if TYPE_CHECKING:
    from mjrelay.durable import Backlog


_LONGEST_END = 40.0
"""Seconds after which the process ends, whatever still runs."""


@click.group(cls=Group)
def durable() -> None:
    """Wait for tasks through a database, so that no crash and no deploy loses one."""


@durable.command()
@click.argument("queue", metavar="MODULE:QUEUE")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=10.0, help="Seconds between two lines about the queue."
)
def worker(*, queue: str, every: float) -> None:
    """
    Poll the tasks of a queue until Ctrl-C or SIGTERM, and call its on_finish.

    MODULE:QUEUE names a mjrelay.durable.TaskQueue, for example jobs:queue for the variable queue in jobs.py.
    At the end, polls and calls in progress have 30 seconds.
    """
    engine = load_extra("mjrelay.durable", "durable")
    found = _load(queue, engine.TaskQueue)
    stop, code = threading.Event(), 0
    with engine.Worker(found) as running:
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: _stop(stop))
        print_message(f"a worker of {queue} has started; stop it with Ctrl-C")
        try:
            running.run(stop, _print_backlog, every=every)
        except MjrelayError as error:
            print_message(str(error))
            code = 1
            _stop(stop)
    if not running.ended:
        print_message("a call or a poll did not end in time; the next worker repeats it")
        _end(1)
    print_message("the worker has stopped; what waits is in the database")
    sys.exit(code)


def _stop(stop: threading.Event) -> None:
    """Stop the worker; at once for a second signal, or if the database does not answer."""
    if stop.is_set():
        _end(1)
    stop.set()
    timer = threading.Timer(_LONGEST_END, _end, [1])
    timer.daemon = True
    timer.start()


def _end(code: int) -> None:
    """End the process without waiting for its threads."""
    with suppress(OSError, ValueError, OutputError):  # what on_finish has printed
        sys.stdout.flush()
    os._exit(code)


def _load(name: str, kind: type) -> Any:
    """Return the object that ``MODULE:NAME`` names; raise `SettingError`."""
    module_name, _, attribute = name.partition(":")
    if not module_name or module_name.startswith(".") or not attribute.isidentifier():
        raise SettingError(f"{name} is not MODULE:QUEUE; write for example jobs:queue")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as the interpreter does for a script
    try:
        module = importlib.import_module(module_name)
    except MjrelayError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise SettingError(
                f"there is no module {module_name} here; start the worker in its folder"
            ) from None
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise SettingError(
            f"{module_name} cannot be imported: {type(error).__name__}: {error}"
            f" ({where.filename}, line {where.lineno})"
        ) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, kind):
        names = [key for key, value in vars(module).items() if isinstance(value, kind)]
        hint = f"it has: {', '.join(names)}" if names else "make one with mjrelay.durable.TaskQueue"
        raise SettingError(f"{module_name} has no queue {attribute}; {hint}")
    return found


def _print_backlog(backlog: list[Backlog]) -> None:
    for one in backlog:
        parts = [f"{one.tasks} tasks wait in {one.batches} batches" if one.tasks else "no task waits"]
        if not math.isinf(one.due):
            late = time.time() - one.due
            parts.append(f"the first is due {f'since {late:.0f} s' if late >= 0 else f'in {-late:.0f} s'}")
        if one.calls:
            parts.append(f"{one.calls} results are to be reported")
        print_message(f"{one.relay}: {', '.join(parts)}")
