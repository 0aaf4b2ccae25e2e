"""Start-up time: the import, and the command from start to output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from benchmarks.example import ID, KEY, RELAY, TARGET, body
from benchmarks.rounds import Contender, Effort, interleave
from benchmarks.server import serving
from benchmarks.table import Row, at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LEAST_ROUNDS = 15
IMPORT = """
import time
started = time.perf_counter()
import {}
print(time.perf_counter() - started)
"""
SCRIPT = """
import httpx, json
task = httpx.get({url!r}, headers={{"Authorization": {authorization!r}}}).json()
print(json.dumps(task))
"""
OURS, HTTPX = "from mjrelay import Relay", "import httpx"
FETCH, THEIRS, NOTHING = "mjrelay fetch", "a three-line httpx script", "python -c pass"


def measure(effort: Effort) -> list[Row]:
    """Return the rows of start-up, in separate processes with compiled bytecode."""
    rounds = max(effort.rounds, LEAST_ROUNDS) if effort.rounds > 1 else 1
    with tempfile.TemporaryDirectory(prefix="mjrelay-bench-") as cache, serving(ID, [body()]) as server:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {"PYTHONPYCACHEPREFIX": cache, "MJRELAY_API_KEY": KEY}
        script = SCRIPT.format(url=server.url + TARGET, authorization=f"Bearer {KEY}")
        command = ("-m", "mjrelay", "fetch", RELAY, ID, "--base-url", server.url)
        timings = interleave(
            [
                Contender(OURS, _self_timed(environment, "-c", IMPORT.format("mjrelay"))),
                Contender(HTTPX, _self_timed(environment, "-c", IMPORT.format("httpx"))),
                Contender(FETCH, _timed(environment, *command)),
                Contender(THEIRS, _timed(environment, "-c", script)),
                Contender(NOTHING, _timed(environment, "-c", "pass")),
            ],
            rounds,
        )
    return [
        Row.longer(f"{OURS}, against {HTTPX}", timings[OURS], timings[HTTPX], at_most(1.2)),
        Row.longer(f"{FETCH}, cold, against {THEIRS}", timings[FETCH], timings[THEIRS], at_most(1.5)),
        Row(what="the interpreter alone, contained in both", theirs=timings[NOTHING].median),
    ]


def _self_timed(environment: Mapping[str, str], *arguments: str) -> Callable[[], float]:
    """Return a run of a process that prints its own time."""
    return lambda: float(_run(environment, *arguments))


def _timed(environment: Mapping[str, str], *arguments: str) -> Callable[[], None]:
    """Return a run of a process that is timed from outside."""

    def run() -> None:
        _run(environment, *arguments)

    return run


def _run(environment: Mapping[str, str], *arguments: str) -> str:
    # The working directory is empty, so that nothing is imported from the current one.
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=environment["PYTHONPYCACHEPREFIX"],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout
