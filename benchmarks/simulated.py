"""The rows of `benchmarks.waiting`: requests and lag of waiting, where time and tasks are simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.rounds import Ratio
from benchmarks.table import Row, at_most
from benchmarks.waiting import BATCH, INTERVAL, LAWS, simulate

if TYPE_CHECKING:
    from benchmarks.rounds import Effort

SEED, TASKS = 0, 1000
ALONE = {"linear": 0.5, "jumps": 0.5, "stalls": 0.75, "none": 1.0}
"""Of the requests that a fixed interval takes, how many may be taken at most, by law of progress."""
TOGETHER = 1 / 50


def measure(_: Effort) -> list[Row]:
    """The rows; a simulation gives the same whenever it runs, so that no round is repeated or cut short."""
    laws = {name: LAWS[name] for name in ALONE}
    return [
        *(_row(told, ALONE[told["law"]]) for told in simulate(SEED, TASKS, laws=laws)),
        *(_row(told, TOGETHER) for told in simulate(SEED, TASKS, laws=laws, size=BATCH)),
    ]


def _row(told: dict[str, Any], bound: float) -> Row:
    how = "one by one" if told["size"] == 1 else f"by {told['size']}"
    lags = {name: (told[name], told[f"fixed_{name}"]) for name in ("median", "p95")}
    said = ", ".join(f"{name} {ours:.2f} s (theirs {theirs:.2f} s)" for name, (ours, theirs) in lags.items())
    return Row(
        what=f"requests {how}, {told['law']}, refreshed {told['relay']}, against every {INTERVAL:g} s",
        ours=told["requests"],
        theirs=told["fixed_requests"],
        unit="",
        ratio=Ratio(told["ratio"], told["ratio"], told["ratio"]),
        target=at_most(bound),
        besides=all(ours <= theirs for ours, theirs in lags.values()),
        note=f"lag {said}",
    )
