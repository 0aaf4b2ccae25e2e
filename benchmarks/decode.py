"""Decoding: from a body to a task, without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from attrs import asdict

from benchmarks import clients
from benchmarks.example import KEY, RELAY, body
from benchmarks.rounds import Contender, Effort, Timing, interleave
from benchmarks.table import Row, at_least
from mjrelay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

IN_A_ROUND = 1000
FIVE = ("id", "state", "progress", "images", "videos", "previews", "failure")
EVERY = (*FIVE, "status", "inputs", "buttons", "prompt", "kind", "submitted", "started", "finished", "relay")
"""All fields except `raw`, which is the stock client's model, and those that need no decoding."""
FIVE_READ = "bytes to Task, five fields read"
EVERY_READ = "bytes to Task, every field read"
STOCK = "the stock client's json() and from_dict"

BASE_INSTALL = """
import sys
sys.modules["orjson"] = sys.modules["msgspec"] = None
from benchmarks import decode
decode.print_timings(int(sys.argv[1]), float(sys.argv[2]))
"""


def measure(effort: Effort) -> list[Row]:
    """Return the rows of decoding, with the extra `fast` and in a process without it."""
    rows = []
    for how, timings, five, every in (
        ("", compare(effort), 4.0, 1.7),
        (", base install", _compare_base_install(effort), 1.0, None),
    ):
        stock = timings[STOCK]
        targets = (at_least(five), None if every is None else at_least(every))
        rows += [
            Row.faster(f"{name}{how}, against {STOCK}", timings[name], stock, target)
            for name, target in zip((FIVE_READ, EVERY_READ), targets, strict=True)
        ]
    return rows


def compare(effort: Effort) -> dict[str, Timing]:
    """Return the timings of decoding in this process."""
    sent = body()
    response = httpx.Response(200, content=sent)
    from_dict = clients.stock().task.from_dict
    times = effort.times(IN_A_ROUND)
    with Relay(RELAY, KEY, base_url="http://127.0.0.1:9") as relay:
        contenders = {
            FIVE_READ: _reading(relay, sent, FIVE),
            EVERY_READ: _reading(relay, sent, EVERY),
            STOCK: lambda: from_dict(response.json()),
        }
        return interleave(
            [Contender(name, _several(decode, times), times) for name, decode in contenders.items()],
            effort.rounds,
        )


def print_timings(rounds: int, share: float) -> None:
    """Write the result of `compare` to stdout, for another process."""
    timings = compare(Effort(rounds, share))
    sys.stdout.write(json.dumps([asdict(timing) for timing in timings.values()]))


def _compare_base_install(effort: Effort) -> dict[str, Timing]:
    done = subprocess.run(
        [sys.executable, "-c", BASE_INSTALL, str(effort.rounds), str(effort.share)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    timings_json = json.loads(done.stdout)
    return {timing["name"]: Timing(timing["name"], tuple(timing["rounds"])) for timing in timings_json}


def _reading(relay: Relay, sent: bytes, fields: tuple[str, ...]) -> Callable[[], object]:
    """Return a function that decodes the body and reads the fields, without a loop."""
    read = relay.read
    source = ", ".join(f"task.{field}" for field in fields)
    used: Callable[[object], object] = eval(f"lambda task: ({source})")  # noqa: S307 - trusted field names
    return lambda: used(read(sent))


def _several(decode: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            decode()

    return run
