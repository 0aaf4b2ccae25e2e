"""The cost of a monitor in a running program."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.example import ID, KEY, RELAY, body
from benchmarks.fetch import DEFAULT, IN_A_ROUND, used
from benchmarks.proxies import proxy_environment
from benchmarks.rounds import Contender, Effort, interleave
from benchmarks.server import serving
from benchmarks.table import Row, at_most
from mjrelay import Relay
from mjrelay.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay import Exchange

TENTH, EVERY, JUDGED = "one response in ten judged", "every response judged", "a finished task, judged"
_LONG = 60.0
"""Timeout for judging a round, in seconds."""


def measure(effort: Effort) -> list[Row]:
    """Return the rows of monitoring. The measured time includes judging the queue."""
    logging.getLogger("mjrelay.monitor").addHandler(logging.NullHandler())
    with proxy_environment(), serving(ID, [body()]) as server, ExitStack() as stack:
        times = effort.times(IN_A_ROUND)
        seen: list[Exchange] = []
        relay = stack.enter_context(Relay(RELAY, KEY, base_url=server.url))
        relay.with_options(on_exchange=lambda exchange, _: seen.append(exchange)).fetch(ID)
        tenth, every, alone = (
            stack.enter_context(Monitor(RELAY, api_key=KEY, every=share)) for share in (10, 1, 1)
        )

        def judge() -> None:
            for _ in range(times):
                alone(seen[0], (ID,))
            _finish(alone)

        timings = interleave(
            [
                Contender(DEFAULT, _fetching(relay, times), times),
                Contender(TENTH, _fetching(relay, times, tenth), times),
                Contender(EVERY, _fetching(relay, times, every), times),
                Contender(JUDGED, judge, times),
            ],
            effort.rounds,
        )
        found = sum(sum(monitor.findings.values()) for monitor in (tenth, every, alone))
    note = f"{found} findings" if found else ""
    plain = timings[DEFAULT]
    return [
        Row.longer(f"{DEFAULT}, {TENTH}, against none", timings[TENTH], plain, at_most(1.05)),
        Row.longer(f"{DEFAULT}, {EVERY}, against none", timings[EVERY], plain),
        Row(what=JUDGED, ours=timings[JUDGED].median, target=at_most(200e-6), valid=not found, note=note),
    ]


def _fetching(relay: Relay, times: int, monitor: Monitor | None = None) -> Callable[[], None]:
    relay = relay.with_options(on_exchange=monitor)

    def run() -> None:
        for _ in range(times):
            used(relay.fetch(ID))
        if monitor is not None:
            _finish(monitor)

    return run


def _finish(monitor: Monitor) -> None:
    if not monitor.flush(_LONG) or monitor.dropped:
        raise ValueError("some responses were not judged")
