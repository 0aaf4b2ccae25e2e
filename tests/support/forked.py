"""
Run the command in a separate process, without the time to import its modules.

Each process is forked from a server process that has imported the modules, read the contracts that most
commands are run with, and run nothing. `cold` starts a new interpreter instead, as a user does.
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
TIMEOUT = 120.0
"""Seconds after which a process is killed."""

_LATE = (
    "jsonpath_rfc9535",
    "mjrelay.cli.terminal",
    "mjrelay.contract.composing",
    "mjrelay.semantics.queries",
    "mjrelay.transport.h11",
    "mjrelay_codegen.generator",
    "mjrelay_codegen.linter",
    "mjrelay_conformance.drivers",
    "mjrelay_conformance.mock.server",
    "mjrelay_conformance.report.badge",
    "msgspec.json",
    "regex",
    "uvicorn.protocols.http.h11_impl",
)
"""Modules that commands import late."""
_READ = ("apiai", "zhongzhuan")
"""Relays whose YAML the server reads, which takes longer than judging them."""


def run(
    arguments: list[str], environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command in a forked process. Return its exit code and its output as text."""
    if not hasattr(os, "fork"):
        return cold(arguments, environment, stdin)
    with TemporaryDirectory() as name:
        files = [Path(name, str(number)) for number in range(3)]
        files[0].write_text(stdin, encoding="utf-8")
        request = {
            "arguments": arguments,
            "environment": environment,
            "folder": os.getcwd(),  # noqa: PTH109 - sent as JSON
            "files": list(map(str, files)),
        }
        code = _server().run(request)
        stdout, stderr = (file.read_text(encoding="utf-8") for file in files[1:])
    return subprocess.CompletedProcess([*COMMAND, *arguments], code, stdout, stderr)


def cold(
    arguments: list[str], environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command in a new interpreter."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


class _Server:
    """The process from which commands are forked, one at a time. It ends with this process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self._end)

    def run(self, request: object) -> int:
        """Run a command in a fork of the server, and return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(TIMEOUT, self._kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not code:
            _server.cache_clear()
            raise TimeoutError("the command exceeded the timeout, or the fork server ended")
        return int(code)

    def _kill(self) -> None:
        """Kill the server and its forks."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> None:
        """End the server, so that it writes its coverage data."""
        try:
            self._process.communicate(timeout=TIMEOUT)
        except (OSError, subprocess.TimeoutExpired):
            self._kill()


_server = cache(_Server)


def _serve() -> None:
    """Read requests as lines of JSON, run each in a fork, and print its exit code."""
    from mjrelay.cli import _COMMANDS  # noqa: PLC0415 - only the server needs it
    from mjrelay.contract import load_contract, load_yaml  # noqa: PLC0415

    for module in (*(f"mjrelay.cli.{name}" for name in _COMMANDS.values()), *_LATE):
        import_module(module)
    for name in _READ:
        load_yaml(load_contract(name).source)
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    gc.freeze()  # forks then skip imported objects when they collect garbage at exit
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            _execute(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the response


def _execute(arguments: list[str], environment: dict[str, str], folder: str, files: list[str]) -> None:
    """Run the command in this process with its arguments, environment and files. Never returns."""
    for descriptor, file in enumerate(files):
        opened = os.open(file, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["mjrelay", *arguments]
    runpy.run_module("mjrelay", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    _serve()
