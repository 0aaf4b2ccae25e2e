"""A hundred requests in flight: `AsyncRelay.fetch` compared with alternatives."""

from __future__ import annotations

import asyncio
import selectors
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.example import ID, KEY, RELAY, TARGET, body
from benchmarks.fetch import used
from benchmarks.proxies import proxy_environment
from benchmarks.rounds import Contender, Effort, interleave
from benchmarks.server import serving
from benchmarks.table import Row, at_least
from mjrelay import AsyncRelay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.peers import AsyncFetch
    from benchmarks.server import Server

IN_FLIGHT = 100
EACH = 5
"""Fetches of each request loop per round for slow contenders; others make `MORE` times as many."""
MORE = 8
DEFAULT, FAST = "AsyncRelay.fetch", "AsyncRelay.fetch, fast"
STOCK, LIMIT = "the stock client", "pyreqwest and msgspec, the limit"
SLOW = {STOCK, DEFAULT, "raw httpx and json"}


def measure(effort: Effort) -> list[Row]:
    """Return the rows of concurrent fetches."""
    with proxy_environment(), serving(ID, [body()]) as server, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            fetches = runner.run(_open(server.url, stack))
            contenders = [_contender(name, fetch, effort, runner) for name, fetch in fetches.items()]
            before = server.cost()
            timings = interleave([*contenders, _ceiling(server, effort)], effort.rounds)
            after = server.cost()
        finally:
            runner.run(stack.aclose())
    default, fast, stock = timings[DEFAULT], timings[FAST], timings[STOCK]
    cost = (after[0] - before[0]) / (after[1] - before[1])
    return [
        Row.faster(f"{DEFAULT} against {STOCK}", default, stock, at_least(3.0)),
        Row.faster(f"{FAST} against {STOCK}", fast, stock, at_least(20.0)),
        Row.faster(f"{FAST} against {LIMIT}", fast, timings[LIMIT], at_least(0.6)),
        *(Row.faster(f"{DEFAULT} against {name}", default, timings[name]) for name in peers.ASYNC),
        *(Row.faster(f"{FAST} against {name}", fast, timings[name]) for name in peers.ASYNC),
        Row(
            what="the server alone, with bare sockets",
            theirs=timings[CEILING].median,
            note=f"{cost * 1e6:.0f} µs of CPU time per response",
        ),
    ]


async def _open(url: str, stack: AsyncExitStack) -> dict[str, AsyncFetch]:
    made: dict[str, Callable[[str, AsyncExitStack], Awaitable[AsyncFetch]]] = {
        DEFAULT: lambda url, stack: _ours(url, stack, fast=False),
        FAST: lambda url, stack: _ours(url, stack, fast=True),
        STOCK: peers.async_stock,
        LIMIT: peers.async_limit,
        **peers.ASYNC,
    }
    return {name: await make(url, stack) for name, make in made.items()}


async def _ours(url: str, stack: AsyncExitStack, *, fast: bool) -> AsyncFetch:
    relay = await stack.enter_async_context(AsyncRelay(RELAY, KEY, base_url=url, fast=fast))

    async def fetch(task_id: str) -> str:
        return used(await relay.fetch(task_id))

    return fetch


def _contender(name: str, fetch: AsyncFetch, effort: Effort, runner: asyncio.Runner) -> Contender:
    each = effort.times(EACH if name in SLOW else EACH * MORE)

    async def one() -> None:
        for _ in range(each):
            if await fetch(ID) != ID:
                raise ValueError("that is another task")

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))

    return Contender(name, lambda: runner.run(all_of_them()), each * IN_FLIGHT)


CEILING = "bare sockets"


def _ceiling(server: Server, effort: Effort) -> Contender:
    """Return the fastest possible client in Python: it sends requests and discards the responses."""
    each = effort.times(EACH * MORE)
    request = f"GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    def run() -> None:
        with selectors.DefaultSelector() as selector:
            left: dict[socket.socket, int] = {}
            for _ in range(IN_FLIGHT):
                connection = socket.create_connection(("127.0.0.1", server.port))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, connection)
                left[connection] = each
                connection.sendall(request)
            while left:
                for key, _ in selector.select():
                    connection = key.data
                    connection.recv(65536)
                    left[connection] -= 1
                    if left[connection]:
                        connection.sendall(request)
                    else:
                        selector.unregister(connection)
                        del left[connection]
                        connection.close()

    return Contender(CEILING, run, each * IN_FLIGHT)
