"""The programs of docs/recipes.md as processes that can be killed, and a mock that they poll."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define
from cli_process import KEY, Counting, environment
from mjrelay_conformance.mock.server import Server

from mjrelay.contract import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
_PROGRAM = re.compile(r'^```python title="(.+?)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
_PATIENCE = 60.0
"""Seconds that a condition may take to hold on a busy machine."""


class PolledMock(Counting):
    """
    A mock whose requests for tasks are first passed to ``on_poll``, with the number of the request.

    Its clock starts with the first of them.
    """

    def __init__(self, duration: float) -> None:
        super().__init__(load_contract("zhongzhuan"), key=KEY, duration=duration)
        self.polls = 0
        self.on_poll: Callable[[int], object] = lambda _: None

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """The mock's answer."""
        if "/submit/" not in target:
            self.polls += 1
            self.on_poll(self.polls)
        answer = super().answer(method, target, headers, body)
        if not self.polls:
            self.begun = 0.0
        return answer

    def ended(self) -> bool:
        """Whether all tasks that were submitted have ended."""
        return all(state.terminal for _, state, _ in self.changing())


@define
class Running:
    """A process in a group that is killed as a whole."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """Kill the process and its children, as ``kill -9`` or a machine without memory does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def until(self, condition: Callable[[], object], patience: float = _PATIENCE) -> None:
        """Wait until a condition holds, while the process runs."""
        end = time.monotonic() + patience
        while not condition():
            assert self.process.poll() is None, f"it has ended:\n{self.output}"
            assert time.monotonic() < end, f"the condition does not hold:\n{self.output}"
            time.sleep(0.02)

    def wait(self) -> int:
        """Wait until the process ends, and return its exit code."""
        return self.process.wait(_PATIENCE)

    @property
    def output(self) -> str:
        """What the process has printed, to either stream."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def running_python(
    folder: Path, env: Mapping[str, str], *arguments: str, **options: Any
) -> Iterator[Running]:
    """Run Python with arguments in a folder. The process is killed at the end."""
    log = folder / f"log-{secrets.token_hex(4)}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
    running = Running(process, log)
    try:
        yield running
    finally:
        running.kill()
        process.wait(_PATIENCE)


@define
class Recipe:
    """The programs of the page in a folder, and a mock of their relay."""

    folder: Path
    mock: PolledMock
    variables: dict[str, str]

    @contextlib.contextmanager
    def running(self, *arguments: str, **options: Any) -> Iterator[Running]:
        """Run Python with arguments. The process is killed at the end."""
        own = environment(KEY, PYTHONUNBUFFERED="1", PYTHONPATH=str(self.folder), **self.variables)
        with running_python(self.folder, own, *arguments, **options) as running:
            yield running

    def run(self, *arguments: str) -> str:
        """Run Python with arguments to its end, and return what it printed."""
        with self.running(*arguments) as running:
            assert running.wait() == 0, running.output
            return running.output

    def rows(self, file: str, query: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query; none before the program has made the file and the table."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.folder / file}?mode=ro", uri=True)) as store:
                return store.execute(query, parameters).fetchall()
        except sqlite3.OperationalError:
            return []


@contextlib.contextmanager
def recipe(folder: Path, *names: str, duration: float = 4.0, **variables: str) -> Iterator[Recipe]:
    """Write programs of the page into a folder, and serve a mock whose tasks take ``duration`` seconds."""
    programs = dict(_PROGRAM.findall(_PAGE.read_text(encoding="utf-8")))
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(programs[name], encoding="utf-8")
    mock = PolledMock(duration)
    with Server(mock) as base_url:
        yield Recipe(folder, mock, {"MJRELAY_BASE_URL": base_url, **variables})
