"""`Relay` and `AsyncRelay` behind one set of names, so that a test of one is a test of both on every loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from mjrelay import AsyncRelay, Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mjrelay import Task


def runner(*, uvloop: bool = False) -> asyncio.Runner:
    """A runner with an event loop of asyncio or of uvloop; skips the test where uvloop is not installed."""
    if not uvloop:
        return asyncio.Runner()
    module = pytest.importorskip("uvloop", reason="uvloop is not installed")
    return asyncio.Runner(loop_factory=module.new_event_loop)


class Sync:
    """A `Relay`; what comes one by one is a list."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.client: Any = Relay(*args, **options)

    def fetch(self, task_id: str) -> Task:
        return cast("Task", self.client.fetch(task_id))

    def seed(self, task_id: str) -> str:
        return cast("str", self.client.seed(task_id))

    def wait(self, task_id: str, **options: Any) -> Task:
        return cast("Task", self.client.wait(task_id, **options))

    def watch(self, task_id: str, **options: Any) -> list[Task]:
        return list(self.client.watch(task_id, **options))

    def wait_all(self, ids: Any, **options: Any) -> list[Task]:
        return list(self.client.wait_all(ids, **options))

    def fetch_all(self, ids: Any, **options: Any) -> list[Task]:
        return list(self.client.fetch_all(ids, **options))

    def download(self, task: Task, folder: Path, **options: Any) -> list[Path]:
        return cast("list[Path]", self.client.download(task, folder, **options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


class Async:
    """An `AsyncRelay` on a loop of its own, looked at from outside."""

    uvloop = False

    def __init__(self, *args: Any, **options: Any) -> None:
        self.runner = runner(uvloop=self.uvloop)
        self.client: Any = AsyncRelay(*args, **options)

    def fetch(self, task_id: str) -> Task:
        return cast("Task", self.runner.run(self.client.fetch(task_id)))

    def seed(self, task_id: str) -> str:
        return cast("str", self.runner.run(self.client.seed(task_id)))

    def wait(self, task_id: str, **options: Any) -> Task:
        return cast("Task", self.runner.run(self.client.wait(task_id, **options)))

    def watch(self, task_id: str, **options: Any) -> list[Task]:
        return self.runner.run(_all(self.client.watch(task_id, **options)))

    def wait_all(self, ids: Any, **options: Any) -> list[Task]:
        return self.runner.run(_all(self.client.wait_all(ids, **options)))

    def fetch_all(self, ids: Any, **options: Any) -> list[Task]:
        return self.runner.run(_all(self.client.fetch_all(ids, **options)))

    def download(self, task: Task, folder: Path, **options: Any) -> list[Path]:
        return self.runner.run(self.client.download(task, folder, **options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()


class UVLoop(Async):
    """An `AsyncRelay` on a loop of uvloop."""

    uvloop = True


async def _all(tasks: AsyncIterator[Task]) -> list[Task]:
    return [task async for task in tasks]


Twin = type[Sync | Async]
TWINS = pytest.mark.parametrize("twin", [Sync, Async, UVLoop])
