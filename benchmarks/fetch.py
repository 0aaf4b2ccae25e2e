"""Sequential fetches: `Relay.fetch` compared with alternatives."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.clients import AbsentError
from benchmarks.example import ID, KEY, RELAY, body
from benchmarks.proxies import proxy_environment
from benchmarks.rounds import Contender, Effort, interleave
from benchmarks.server import serving
from benchmarks.table import Row, at_least
from mjrelay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers import Fetch
    from mjrelay import Task

IN_A_ROUND = 200
DEFAULT, FAST = "Relay.fetch", "Relay.fetch, fast"
HTTPX, STOCK, LIMIT = "httpx.Client.get and json.loads", "the stock client", "pyreqwest and msgspec"
PYDANTIC = "openapi-generator's client"


def used(task: Task) -> str:
    """Read the fields that a program typically needs."""
    task.state, task.progress, task.images, task.videos, task.previews, task.failure  # noqa: B018 - read lazily
    return task.id


def measure(effort: Effort) -> list[Row]:
    """Return the rows of sequential fetches."""
    note = ""
    with proxy_environment(), serving(ID, [body()]) as server, ExitStack() as stack:
        url = server.url
        fetches: dict[str, Fetch] = {
            DEFAULT: _ours(url, stack, fast=False),
            FAST: _ours(url, stack, fast=True),
            HTTPX: peers.raw_httpx(url, stack),
            STOCK: peers.stock(url, stack),
            LIMIT: peers.limit(url, stack),
        }
        try:
            fetches[PYDANTIC] = peers.pydantic(url, stack)
        except AbsentError as error:
            note = f"skipped: {error}"
        times = effort.times(IN_A_ROUND)
        timings = interleave(
            [Contender(name, _several(fetch, times), times) for name, fetch in fetches.items()], effort.rounds
        )
    default, fast = timings[DEFAULT], timings[FAST]
    rows = [
        Row.faster(f"{DEFAULT} against {HTTPX}", default, timings[HTTPX], at_least(1.3)),
        Row.faster(f"{FAST} against {STOCK}", fast, timings[STOCK], at_least(3.0)),
        Row.faster(f"{DEFAULT} against {STOCK}", default, timings[STOCK]),
        Row.faster(f"{FAST} against {LIMIT}", fast, timings[LIMIT]),
    ]
    if note:
        return [*rows, Row(what=f"{DEFAULT} against {PYDANTIC}", note=note)]
    return [
        *rows,
        Row.faster(f"{DEFAULT} against {PYDANTIC}", default, timings[PYDANTIC]),
        Row.faster(f"{FAST} against {PYDANTIC}", fast, timings[PYDANTIC]),
    ]


def _ours(url: str, stack: ExitStack, *, fast: bool) -> Fetch:
    relay = stack.enter_context(Relay(RELAY, KEY, base_url=url, fast=fast))
    return lambda task_id: used(relay.fetch(task_id))


def _several(fetch: Fetch, times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            if fetch(ID) != ID:
                raise ValueError("that is another task")

    return run
