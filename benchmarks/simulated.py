"""The rows of `benchmarks.waiting`: requests and lag with simulated tasks and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.rounds import Ratio
from benchmarks.table import Row, at_most
from benchmarks.waiting import BATCH, INTERVAL, LAWS, simulate

if TYPE_CHECKING:
    from benchmarks.rounds import Effort

SEED, TASKS = 0, 1000
ALONE = {"linear": 0.5, "jumps": 0.5, "stalls": 0.75, "none": 1.0}
"""The maximum share of the requests of a fixed interval, by law of progress."""
TOGETHER = 1 / 50


def measure(_: Effort) -> list[Row]:
    """Return the rows. A simulation is deterministic, so it runs once."""
    laws = {name: LAWS[name] for name in ALONE}
    return [
        *(_row(result, ALONE[result["law"]]) for result in simulate(SEED, TASKS, laws=laws)),
        *(_row(result, TOGETHER) for result in simulate(SEED, TASKS, laws=laws, size=BATCH)),
    ]


def _row(result: dict[str, Any], bound: float) -> Row:
    how = "one by one" if result["size"] == 1 else f"by {result['size']}"
    lags = {name: (result[name], result[f"fixed_{name}"]) for name in ("median", "p95")}
    lag_text = ", ".join(
        f"{name} {ours:.2f} s (theirs {theirs:.2f} s)" for name, (ours, theirs) in lags.items()
    )
    return Row(
        what=f"requests {how}, {result['law']}, refreshed {result['relay']}, against every {INTERVAL:g} s",
        ours=result["requests"],
        theirs=result["fixed_requests"],
        unit="",
        ratio=Ratio(result["ratio"], result["ratio"], result["ratio"]),
        target=at_most(bound),
        valid=all(ours <= theirs for ours, theirs in lags.values()),
        note=f"lag {lag_text}",
    )
