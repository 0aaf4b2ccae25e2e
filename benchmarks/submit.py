"""One submit: `Relay.imagine` compared with a hand-written POST."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx

from benchmarks.example import ID, KEY, RELAY
from benchmarks.peers import AUTHORIZATION
from benchmarks.proxies import proxy_environment
from benchmarks.rounds import Contender, Effort, interleave
from benchmarks.server import serving
from benchmarks.table import Row
from mjrelay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

IN_A_ROUND = 200
DEFAULT, FAST = "Relay.imagine", "Relay.imagine, fast"
HTTPX = "httpx.Client.post and json.loads"
PROMPT = "a pig in the snow --v 6.1"
ANSWER = json.dumps({"code": 1, "description": "ok", "result": ID, "properties": {}}).encode()


def measure(effort: Effort) -> list[Row]:
    """Return the rows of sequential submits."""
    with proxy_environment(), serving(ID, [ANSWER]) as server, ExitStack() as stack:
        submits = {
            DEFAULT: _ours(server.url, stack, fast=False),
            FAST: _ours(server.url, stack, fast=True),
            HTTPX: _raw_httpx(server.url, stack),
        }
        times = effort.times(IN_A_ROUND)
        timings = interleave(
            [Contender(name, _several(submit, times), times) for name, submit in submits.items()],
            effort.rounds,
        )
    return [Row.faster(f"{name} against {HTTPX}", timings[name], timings[HTTPX]) for name in (DEFAULT, FAST)]


def _ours(url: str, stack: ExitStack, *, fast: bool) -> Callable[[], str]:
    relay = stack.enter_context(Relay(RELAY, KEY, base_url=url, fast=fast))
    return lambda: relay.imagine(PROMPT).id


def _raw_httpx(url: str, stack: ExitStack) -> Callable[[], str]:
    client = stack.enter_context(httpx.Client(headers=AUTHORIZATION))
    address = f"{url}/mj/submit/imagine"

    def submit() -> str:
        response = client.post(address, json={"prompt": PROMPT})
        return str(json.loads(response.content)["result"])

    return submit


def _several(submit: Callable[[], str], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            if submit() != ID:
                raise ValueError("that is another task")

    return run
