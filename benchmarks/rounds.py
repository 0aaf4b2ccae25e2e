"""
Time contenders side by side.

Contenders take turns in rounds with rotating order, so that a slow phase of the machine affects all of them.
Ratios are computed within each round; the result is their median.
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@frozen
class Effort:
    """The number of rounds, and the share of a full round's operations."""

    rounds: int = 15
    share: float = 1.0

    def times(self, operations: int) -> int:
        """Scale the number of operations in a round."""
        return max(1, round(operations * self.share))


FULL, QUICK, LEAST = Effort(), Effort(rounds=5, share=0.2), Effort(rounds=1, share=0.001)


@frozen
class Contender:
    """
    A function to time. ``run`` performs ``operations`` operations.

    If ``run`` returns seconds, they are used as its time.
    """

    name: str
    run: Callable[[], float | None]
    operations: int = 1


@frozen
class Timing:
    """Seconds per operation, for each round."""

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@frozen
class Ratio:
    """The median and the quartiles of the rounds' ratios."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, one: Timing, other: Timing) -> Ratio:
        """Return the ratio of two timings."""
        ratios = [a / b for a, b in zip(one.rounds, other.rounds, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        return cls(median, low, high)


def interleave(
    contenders: Sequence[Contender], rounds: int, timer: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """Time the contenders, after one warm-up run each."""
    for contender in contenders:
        contender.run()
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        first = turn % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            gc.collect()
            started = timer()
            returned = contender.run()
            taken = timer() - started if returned is None else returned
            seconds[contender.name].append(taken / contender.operations)
    return {name: Timing(name, tuple(taken)) for name, taken in seconds.items()}
