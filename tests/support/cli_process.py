"""Run the command against a mock relay."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import forked
from attrs import evolve
from mjrelay_conformance.mock.relay import MockRelay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "sk-never-to-be-seen-4711"
SUCCEEDED = "1730621826053455"
FAILED = "1730621826053458"
# A name that RFC 6761 keeps from ever resolving: a relay that is neither loopback nor reachable.
NOWHERE = "http://relay.invalid"


def environment(key: str | None, **env: str) -> dict[str, str]:
    """A clean environment with a key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MJRELAY_")}
    keyed = {} if key is None else {"MJRELAY_API_KEY": key}
    return {**kept, **keyed, "COLUMNS": "100", **env}


def mjrelay(
    *arguments: str, key: str | None = KEY, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with a clean environment."""
    return forked.run(list(arguments), environment(key, **env), stdin or "")


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start the command; it is killed at the end."""
    command = [*forked.COMMAND, *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen(command, env=environment(KEY), text=True, encoding="utf-8", **options) as process:
        timer = threading.Timer(60, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


class Counting(MockRelay):
    """
    A mock that counts its requests, in total and per id.

    Requests for the ids in ``hanging`` get no response. The fields of ``changes`` replace those of each task.
    Its clock starts with the first request, so that the start of a process does not count.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.made, self.begun = time.time(), 0.0
        super().__init__(*arguments, clock=self.time, **options)
        self.asked, self.asks = 0, Counter[str]()
        self.hanging: set[str] = set()
        self.changes: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def time(self) -> float:
        """The mock's time."""
        return self.made + (time.monotonic() - self.begun if self.begun else 0.0)

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """The mock's answer."""
        self.begun = self.begun or time.monotonic()
        self.asked += 1
        self.asks.update(known for known in self._tasks if known in target or known.encode() in body)
        answer = super().answer(method, target, headers, body)
        if target in self.files:
            return type(answer)(200, (("content-type", "image/png"),), self.files[target])
        if self.changes and answer.status == 200:
            document = json.loads(answer.body)
            for one in document if isinstance(document, list) else [document]:
                one.update(self.changes)
            answer = evolve(answer, body=json.dumps(document).encode())
        return evolve(answer, delay=60.0) if any(one in target for one in self.hanging) else answer


def lines(text: str) -> dict[str, dict[str, Any]]:
    """Parse JSON Lines into tasks by id; each id occurs once."""
    tasks = [json.loads(line) for line in text.splitlines()]
    found = {task["id"]: task for task in tasks}
    assert len(found) == len(tasks)
    return found
