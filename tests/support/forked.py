"""
The command as a process of its own, without the time that Python takes to import it.

Each such process is forked from one that has imported the command's modules and has run nothing. What comes
before its first line, `cold` shows: the command as people start it.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

COMMAND = [sys.executable, "-m", "mjrelay"]
PATIENCE = 120.0
"""Seconds that a process may take before it is killed."""

_SLOW = ("mjrelay.cli.terminal", "mjrelay_conformance.drivers")
"""What the commands import when they come to it."""


def run(
    arguments: list[str], environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command; its output is read as UTF-8."""
    if not hasattr(os, "fork"):
        return cold(arguments, environment, stdin)
    with TemporaryDirectory() as name:
        files = [Path(name, str(number)) for number in range(3)]
        files[0].write_text(stdin, encoding="utf-8")
        order = {
            "arguments": arguments,
            "environment": environment,
            "folder": os.getcwd(),  # noqa: PTH109 - to be written as it is
            "files": list(map(str, files)),
        }
        code = _parent().order(order)
        stdout, stderr = (file.read_text(encoding="utf-8") for file in files[1:])
    return subprocess.CompletedProcess([*COMMAND, *arguments], code, stdout, stderr)


def cold(
    arguments: list[str], environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """The same, from nothing."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


class _Parent:
    """The process that others are forked from, one after another; it leaves with us."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self._end)

    def order(self, order: object) -> int:
        """A process that ran as ordered: its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not answer:
            _parent.cache_clear()
            raise TimeoutError("it took too long, or whom it was forked from has gone")
        return int(answer)

    def _kill(self) -> None:
        """Kill it, and whoever it has forked."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> None:
        """Let it write down what it covered, and go."""
        try:
            self._process.communicate(timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired):
            self._kill()


_parent = cache(_Parent)


def _serve() -> None:
    """Fork whatever is ordered; a line of JSON each, which is answered with the exit code."""
    from mjrelay.cli import _COMMANDS  # noqa: PLC0415 - whoever orders does without

    for module in (*(f"mjrelay.cli.{name}" for name in _COMMANDS.values()), *_SLOW):
        import_module(module)
    assert threading.active_count() == 1, "what has threads cannot be forked"
    gc.freeze()  # else who ends looks once more at all that was imported
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


def _become(arguments: list[str], environment: dict[str, str], folder: str, files: list[str]) -> None:
    """Be the command, as if it had been started so; never returns."""
    for place, file in enumerate(files):
        opened = os.open(file, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, place)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["mjrelay", *arguments]
    runpy.run_module("mjrelay", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    _serve()
