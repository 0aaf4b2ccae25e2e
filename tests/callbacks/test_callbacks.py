"""What the receiver of callbacks fetches, and when."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from cli_process import until
from mjrelay_conformance.mock import Server
from receivers import KEY, Receiver, Upstream, eventually, post, received
from served import document

from mjrelay import AsyncRelay, SettingError, Task, callbacks
from mjrelay.base import Clock
from mjrelay.callbacks import inbox

if TYPE_CHECKING:
    from collections.abc import Callable


def test_only_the_id_is_taken_and_the_task_is_fetched() -> None:
    """A callback's claims are ignored: the reply is an empty 204, and the task is that of the relay."""
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream)
        with Server(one.app) as own:
            url = one.app.url(f"{own}/any/prefix")
            forged = document("running", "17", imageUrl="https://evil.example/x.png", prompt="forged")
            assert post(url, forged) == (204, b"")
            until(lambda: one.tasks)
    assert one.tasks[0].id == "17"
    assert one.tasks[0].state == "succeeded"
    assert "evil" not in str(one.tasks[0].document)
    assert (upstream.asked, upstream.keys) == (["17"], {f"Bearer {KEY}"})


def test_unknown_ids_are_refused_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """``known`` decides by the id, as a plain or a coroutine function; one that fails is a 503."""

    async def known(task_id: str) -> bool:
        return {"1": True, "2": False}[task_id]

    async def main() -> list[int]:
        async with received(known=known) as one:
            statuses = [await one.post(document("running", task_id)) for task_id in "1223"]
            await one.settle()
            assert one.upstream.asked == ["1"]
        async with received(known=lambda _: False) as one:
            assert await one.post(document("running")) == 404
        return statuses

    with caplog.at_level(logging.WARNING, "mjrelay"):
        assert asyncio.run(main()) == [204, 404, 404, 503]
    assert [record.message for record in caplog.records].count(
        "a callback of main names an unknown task, 2"
    ) == 1


def test_duplicates_and_older_states_cause_no_second_fetch() -> None:
    """A task is fetched again only for a later state than the one that was fetched."""

    async def main() -> None:
        async with received() as one:
            one.upstream.states["1"] = "running"
            running = json.loads(document("running"))["progress"]
            for state in ("running", "running", "queued"):
                assert await one.post(document(state)) == 204
                await one.settle()
            assert (one.upstream.asked, running) == (["1"], one.tasks[0].document["progress"])
            assert await one.post(document("running", status="A_NEW_STATUS")) == 204  # it may be later
            await one.settle()
            assert one.upstream.asked == ["1", "1"]
            one.upstream.states["1"] = "succeeded"
            for state in ("succeeded", "succeeded", "running", "queued"):
                assert await one.post(document(state)) == 204
                await one.settle()
            assert await one.post(document("running", status="A_NEW_STATUS")) == 204
            await one.settle()
            assert one.upstream.asked == ["1", "1", "1"]
            assert [task.state for task in one.tasks] == ["running", "running", "succeeded"]

    asyncio.run(main())


def test_a_callback_during_a_fetch_is_not_lost() -> None:
    """The response in flight may be older than the callback: the task is fetched once more."""

    async def main() -> None:
        async with received() as one:
            one.upstream.states["1"], one.upstream.delay = "running", 0.1
            await one.post(document("running"))
            await eventually(lambda: one.upstream.asked)
            one.upstream.states["1"] = "succeeded"
            await one.post(document("succeeded"))
            await one.post(document("succeeded"))
            await one.settle()
            assert [task.state for task in one.tasks] == ["running", "succeeded"]

    asyncio.run(main())


def test_a_relay_that_lags_behind_its_callback_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A false or early claim costs one more fetch, duplicates none, and the real end is still fetched."""
    monkeypatch.setattr(inbox, "_LAG", 0.05)

    async def main() -> None:
        async with received() as one:
            contract = copy.copy(one.relay._contract)  # the loaded one is shared
            contract.__dict__["reader"] = evolve(contract.reader, refresh=None)
            one.relay._contract = contract
            one.upstream.states["1"] = "running"
            for _ in range(3):
                assert await one.post(document("succeeded")) == 204
                await one.settle()
            assert one.upstream.asked == ["1"]
            await asyncio.sleep(0.1)
            await one.settle()
            assert one.upstream.asked == ["1", "1"]
            one.upstream.states["1"] = "succeeded"
            assert await one.post(document("succeeded")) == 204
            await one.settle()
            assert one.tasks[-1].state == "succeeded"

    asyncio.run(main())


def test_a_full_queue_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a callback is refused; those in the queue are fetched, and then there is room."""
    monkeypatch.setattr(inbox, "MOST_QUEUED", 20)

    async def main() -> None:
        async with received() as one:
            statuses = [await one.post(document("running", str(number))) for number in range(1, 31)]
            assert statuses == [204] * 20 + [503] * 10
            assert await one.post(document("running", "20")) == 204  # it is in the queue already
            await one.settle()
            assert sorted(one.upstream.asked, key=int) == [str(number) for number in range(1, 21)]
            assert await one.post(document("running", "30")) == 204

    asyncio.run(main())


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the most recent tasks and unknown ids are remembered."""
    monkeypatch.setattr(inbox, "_MOST_REMEMBERED", 5)

    async def main() -> None:
        async with received(known=lambda task_id: int(task_id) % 2 == 0) as one:
            for number in [*range(1, 41), 38, 2]:
                await one.post(document("succeeded", str(number)))
                await one.settle()
            assert one.upstream.asked[-2:] == ["40", "2"]  # 38 is remembered, 2 is not
            assert len(one.app._unknown) == len(one.app._inboxes["main"]._fetched) == 5

    asyncio.run(main())


class Recorded(Clock):
    """A clock that moves only when it is asked to sleep."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> float:
        return self.slept

    async def asleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(0)


def test_the_rate_is_kept() -> None:
    """Fetches of one relay are spread by ``rate``, however many callbacks arrive at the same time."""

    async def main() -> None:
        upstream, clock, at = Upstream(), Recorded(), list[float]()
        with Server(upstream) as base_url:
            async with AsyncRelay("zhongzhuan", KEY, base_url=base_url, clock=clock) as relay:
                one = Receiver(base_url, upstream)
                one.app = callbacks.app({"main": relay}, on_task=lambda _: at.append(clock.slept), rate=4.0)
                for number in range(1, 10):
                    await one.post(document("running", str(number)))
                await one.settle()
        assert len(at) == 9
        assert clock.slept >= 8 / 4.0

    asyncio.run(main())


def test_failures_do_not_stop_the_app(caplog: pytest.LogCaptureFixture) -> None:
    """A faulty ``on_task``, sync or async, is logged, and the next callback of the task calls it again."""
    calls: list[str] = []

    async def on_task(task: Task) -> None:
        calls.append(task.id)
        if len(calls) == 1:
            raise RuntimeError("full disk")

    async def main() -> None:
        async with received(on_task=on_task) as one:
            for _ in range(3):
                await one.post(document("succeeded"))
                await one.settle()
            object.__setattr__(one.relay._options, "timeout", 0.05)
            one.upstream.delay = 0.5  # this fetch fails
            await one.post(document("succeeded", "2"))
            await one.settle()

    asyncio.run(main())
    assert calls == ["1", "1"]
    messages = [record.message for record in caplog.records]
    assert sum("on_task failed for task 1" in one for one in messages) == 1
    assert sum("was not fetched" in one for one in messages) == 1


def test_paths_are_stable_and_secret() -> None:
    """A path depends on the name and the secret alone, and never contains the key or a part of it."""
    relays = {name: AsyncRelay("zhongzhuan", KEY) for name in ("one", "two")}

    def urls(**options: Any) -> list[str]:
        app = callbacks.app(relays, on_task=print, **options)
        assert KEY not in repr(app)
        return [app.url("https://me.example/hooks/", name) for name in relays]

    assert urls() == urls()
    found = {*urls(), *urls(secret="a" * 16), *urls(secret="b" * 16)}
    assert len(found) == 6
    assert all(len(url.removeprefix("https://me.example/hooks/")) == 32 for url in found)
    assert not any(KEY[:8] in url or KEY[-4:] in url for url in found)


def test_wrong_arguments() -> None:
    """Each wrong argument is a `SettingError` before anything is served."""
    relay = AsyncRelay("zhongzhuan", KEY)
    open_relay = AsyncRelay("zhongzhuan", scheme="none")
    wrong: list[Callable[[], object]] = [
        lambda: callbacks.app({}, on_task=print),
        lambda: callbacks.app([relay], on_task=print),  # type: ignore[arg-type]
        lambda: callbacks.app({"a": "zhongzhuan"}, on_task=print),  # type: ignore[dict-item]
        lambda: callbacks.app({"a": relay}, on_task=None),  # type: ignore[arg-type]
        lambda: callbacks.app({"a": relay}, on_task=print, known=True),  # type: ignore[arg-type]
        lambda: callbacks.app({"a": relay}, on_task=print, rate=0),
        lambda: callbacks.app({"a": relay}, on_task=print, secret="short"),
        lambda: callbacks.app({"a": open_relay}, on_task=print),
        lambda: callbacks.app({"a": relay}, on_task=print).url("me.example"),
        lambda: callbacks.app({"a": relay}, on_task=print).url("https://me.example", "b"),
        lambda: callbacks.app({"a": relay, "b": relay}, on_task=print).url("https://me.example"),
    ]
    for call in wrong:
        with pytest.raises(SettingError):
            call()


def test_another_event_loop_starts_afresh() -> None:
    """What a loop that has ended left behind does not block the next one, as with a test client."""
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream)
        upstream.states["1"] = "running"

        async def lagging() -> None:
            await one.post(document("succeeded"))
            await one.settle()

        asyncio.run(lagging())
        upstream.delay = 30.0
        asyncio.run(one.post(document("succeeded", "2")))  # ends while the fetch is in flight
        upstream.delay = 0.0
        for _ in range(2):
            asyncio.run(lagging())
    assert upstream.asked[0] == "1"
    assert len(upstream.asked) >= 2
