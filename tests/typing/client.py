"""What a type checker must make of the face; it is checked, and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type

from mjrelay import (
    AsyncRelay,
    Button,
    DownloadError,
    Exchange,
    MissingTaskError,
    Relay,
    RelayError,
    State,
    Task,
    UnauthorizedError,
    WaitTimeoutError,
)
from mjrelay.monitor import Finding, Monitor


def the_relay(seen: list[Task], lost: list[RelayError]) -> None:
    with Relay("zhongzhuan", api_key="…", base_url="https://relay.example", timeout=5) as relay:
        assert_type(relay, Relay)
        assert_type(relay.name, str)
        assert_type(Relay(Path("mine.yaml"), overlays=["fix.yaml", Path("more.yaml")]), Relay)
        assert_type(relay.fetch("1"), Task)
        assert_type(relay.seed("1"), str)
        assert_type(relay.wait("1", timeout=60, on_progress=seen.append), Task)
        assert_type(relay.watch("1"), Iterator[Task])
        assert_type(relay.wait_all(["1", "2"], rate=None, on_error=lost.append), Iterator[Task])
        assert_type(relay.fetch_all(str(number) for number in range(3)), Iterator[Task])
        assert_type(relay.download(relay.fetch("1"), "out"), list[Path])
        assert_type(relay.read(b"{}"), Task)
        assert_type(relay.read({"id": "1"}), Task)
        assert_type(relay.with_options(timeout=1.0, headers={"X-Team": "a"}), Relay)


async def the_twin() -> None:
    async with AsyncRelay("zhongzhuan", fast=True) as relay:
        assert_type(relay, AsyncRelay)
        assert_type(await relay.fetch("1"), Task)
        assert_type(await relay.seed("1"), str)
        assert_type(await relay.wait("1", timeout=60), Task)
        assert_type(relay.watch("1"), AsyncIterator[Task])
        assert_type(relay.wait_all({"1", "2"}, concurrency=8), AsyncIterator[Task])
        assert_type(relay.fetch_all(["1"]), AsyncIterator[Task])
        assert_type(await relay.download(await relay.fetch("1"), Path("out")), list[Path])
        assert_type(relay.with_options(retries=2), AsyncRelay)


def the_task(task: Task) -> None:
    assert_type(task.relay, str)
    assert_type(task.id, str)
    assert_type(task.state, State)
    assert_type(task.state.terminal, bool)
    assert_type(task.status, Any)
    assert_type(task.progress, int | None)
    assert_type(task.images, tuple[str, ...])
    assert_type(task.videos, tuple[str, ...])
    assert_type(task.inputs, tuple[str, ...])
    assert_type(task.previews, tuple[str, ...])
    assert_type(task.buttons, tuple[Button, ...])
    assert_type(task.prompt, str | None)
    assert_type(task.kind, str | None)
    assert_type(task.submitted, datetime | None)
    assert_type(task.started, datetime | None)
    assert_type(task.finished, datetime | None)
    assert_type(task.failure, str | None)
    assert_type(task.document, Any)
    assert_type(task.raw, Any)
    assert_type(task.exchange, Exchange | None)
    assert_type(task.to_dict(), dict[str, Any])


def the_errors(relay: Relay) -> None:
    try:
        relay.wait("1")
    except (MissingTaskError, UnauthorizedError) as error:
        assert_type(error.relay, str)
        assert_type(error.task_id, str | None)
        assert_type(error.exchange, Exchange | None)
    except WaitTimeoutError as error:
        assert_type(error.task, Task | None)
    except DownloadError as error:
        assert_type(error.paths, list[Path])
        assert_type(error.failures, dict[str, str])
    except RelayError as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.transient, bool)


def the_monitor(exchanges: list[Exchange], found: list[Finding]) -> None:
    with (
        Monitor("zhongzhuan", on_finding=found.append, every=10, level="info", checks=["fetch/*"]) as monitor,
        Relay("zhongzhuan", on_exchange=monitor) as relay,
    ):
        assert_type(monitor, Monitor)
        assert_type(monitor.findings, Mapping[str, int])
        assert_type(monitor.judged, int)
        assert_type(monitor.dropped, int)
        assert_type(monitor.flush(1), bool)
        relay.with_options(on_exchange=lambda exchange, ids: exchanges.append(exchange))
        AsyncRelay("zhongzhuan", on_exchange=monitor).with_options(on_exchange=None)
    for finding in found:
        assert_type(finding.exchange, Exchange)
        assert_type(finding.level, Literal["must", "should", "info"])
        assert_type(finding.task_id, str | None)
        assert_type(finding.actual, str | None)
