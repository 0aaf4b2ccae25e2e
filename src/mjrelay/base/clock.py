"""The time, and the passing of it, where a test can put another."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds that only ever grow, from an arbitrary moment."""
        return time.monotonic()

    def time(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Let time pass without blocking."""
        await asyncio.sleep(seconds)
