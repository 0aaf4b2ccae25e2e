"""Time and sleep, replaceable in tests."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The system clock."""

    def now(self) -> float:
        """Return monotonic time in seconds."""
        return time.monotonic()

    def time(self) -> float:
        """Return Unix time in seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Sleep without blocking the event loop."""
        await asyncio.sleep(seconds)
