"""
The one way in which things are timed here: side by side.

The contenders take turns, in rounds whose order rotates, so that a machine that slows down slows them all. A
ratio is taken within each round, and the median of the rounds is what is told.
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
    """How much is done for a figure: the rounds, and the share of a full round's operations."""

    rounds: int = 15
    share: float = 1.0

    def times(self, operations: int) -> int:
        """What is done in a round instead of so many operations."""
        return max(1, round(operations * self.share))


FULL, QUICK, LEAST = Effort(), Effort(rounds=5, share=0.2), Effort(rounds=1, share=0.001)


@frozen
class Contender:
    """
    Something to be timed. ``run`` does ``operations`` of it.

    Where ``run`` returns seconds, those are taken for its time.
    """

    name: str
    run: Callable[[], float | None]
    operations: int = 1


@frozen
class Timing:
    """Seconds per operation, one figure for each round."""

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@frozen
class Ratio:
    """The median of the rounds' ratios, and the quartiles between which half of them lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, one: Timing, other: Timing) -> Ratio:
        """How many times the other the one takes."""
        ratios = [a / b for a, b in zip(one.rounds, other.rounds, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        return cls(median, low, high)


def interleave(
    contenders: Sequence[Contender], rounds: int, timer: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """The timings of the contenders by name; each runs once before, uncounted."""
    for contender in contenders:
        contender.run()
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        first = turn % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            gc.collect()
            started = timer()
            told = contender.run()
            taken = timer() - started if told is None else told
            seconds[contender.name].append(taken / contender.operations)
    return {name: Timing(name, tuple(taken)) for name, taken in seconds.items()}
