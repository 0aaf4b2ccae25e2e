"""The receiver of callbacks, over sockets: what it fetches, what it refuses, and that it stays bounded."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import random
import tracemalloc
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from cli_process import until
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_conformance.mock import Server
from served import document

from mjrelay import AsyncRelay, SettingError, Task, callbacks
from mjrelay.base import Clock
from mjrelay.callbacks import inbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = "sk-never-to-be-seen-4711"
JSON = {"Content-Type": "application/json"}


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    pytest.fail("it never came")


class Upstream:
    """A relay that has every task in the state that ``states`` names; the default is succeeded."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self.delay = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task_id = scope["path"].split("/")[-2]
        self.asked.append(task_id)
        self.keys.add(dict(scope["headers"]).get(b"authorization", b"").decode())
        body = document(self.states.get(task_id, "succeeded"), task_id)
        await asyncio.sleep(self.delay)
        fields = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})


class Receiver:
    """A receiver with its upstream and a record of what it handed over. Nothing waits for the rate."""

    def __init__(self, base_url: str, upstream: Upstream, **options: Any) -> None:
        self.upstream, self.tasks = upstream, list[Task]()
        self.relay = AsyncRelay("zhongzhuan", KEY, base_url=base_url)
        options = {"on_task": self.tasks.append, "rate": None} | options
        self.app = callbacks.app({"main": self.relay}, **options)

    def path(self) -> str:
        return urlsplit(self.app.url("http://127.0.0.1/hooks")).path

    async def post(self, body: bytes, path: str | None = None, **scope: Any) -> int:
        """Send a request without a socket; return the status."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        fields = {"type": "http", "method": "POST", "path": path or self.path(), "headers": []}
        await self.app({**fields, **scope}, receive, send)
        return int(sent[0]["status"])

    async def settle(self) -> None:
        """Wait until no fetch is due or in flight."""
        await eventually(lambda: not any(one._workers for one in self.app._inboxes.values()))


@asynccontextmanager
async def received(**options: Any) -> AsyncIterator[Receiver]:
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream, **options)
        try:
            yield one
        finally:
            await one.app.aclose()
            await one.relay.aclose()


def post(url: str, body: Any, headers: dict[str, str] = JSON, method: str = "POST") -> tuple[int, bytes]:
    """Send a request over a socket; return the status and the body."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before the body was sent
            connection.request(method, parts.path, body, headers, encode_chunked=not isinstance(body, bytes))
        response = connection.getresponse()
        return response.status, response.read()


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


def test_refusals() -> None:
    """Wrong paths, methods, media types, sizes and bodies are refused and cause no fetch."""
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream)
        with Server(one.app) as own:
            url, good = one.app.url(own), document("running")
            large = b" " * (1 << 20) + good
            gzip = JSON | {"Content-Encoding": "gzip"}
            refused: dict[int, list[tuple[Any, ...]]] = {
                404: [(f"{own}/", good), (f"{url}x", good), (url[:-1], good), (f"{url}/", good)],
                405: [(url, b"", {}, "GET"), (url, b"", {}, "HEAD"), (url, good, JSON, "PUT")],
                415: [
                    (url, good, {"Content-Type": "text/plain"}),
                    (url, good, gzip),
                ],
                413: [(url, iter([large[:-1], large]), JSON)],
                400: [
                    *((url, body) for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"id": null}')),
                    (url, b"[" * 1000 + b"]" * 1000),
                    (url, document("running", "")),
                    (url, document("running", "9" * 201)),
                ],
                204: [(url, good, {}), (url, good, {"Content-Type": "application/hal+json; charset=utf-8"})],
            }
            for status, sent in refused.items():
                for arguments in sent:
                    found, body = post(*arguments)
                    assert found == status, arguments
                    assert KEY.encode() not in body
            until(lambda: one.tasks)
    assert set(upstream.asked) == {"1"}


def test_a_declared_size_beyond_the_limit_is_refused_before_the_body() -> None:
    """A Content-Length above 1 MiB is a 413 although no byte of the body was sent."""
    upstream = Upstream()
    with Server(upstream) as base_url:
        one = Receiver(base_url, upstream)
        with Server(one.app) as own:
            status, _ = post(one.app.url(own), b"", JSON | {"Content-Length": str((1 << 20) + 1)})
    assert status == 413


def test_slow_and_many_bodies_are_bounded() -> None:
    """A body that stops is a 408, and all bodies in progress together have a limit."""

    async def main() -> None:
        async with received() as one:
            one.app._timeout = 0.05
            started, stopped = asyncio.Event(), list[int]()

            def slow(piece: bytes) -> Any:
                turn = iter([{"type": "http.request", "body": piece, "more_body": True}])

                async def receive() -> Any:
                    for message in turn:
                        return message
                    started.set()
                    return await asyncio.Event().wait()

                async def send(message: Any) -> None:
                    stopped.extend([message["status"]] if "status" in message else [])

                return one.app(
                    {"type": "http", "method": "POST", "path": one.path(), "headers": []}, receive, send
                )

            await asyncio.gather(*(slow(b"x" * (1 << 20)) for _ in range(40)))
            assert sorted(stopped) == [408] * 32 + [503] * 8
            assert await one.post(document("succeeded")) == 204  # all is given back
            await one.settle()

    asyncio.run(main())


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
            object.__setattr__(one.relay._contract.reader, "refresh", None)
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


def test_lifespan() -> None:
    """Served alone, the app confirms the start and the end, and stops its fetches."""

    async def main() -> None:
        async with received() as one:
            kinds = iter(["lifespan.startup", "lifespan.shutdown"])
            sent: list[str] = []

            async def receive() -> Any:
                return {"type": next(kinds)}

            async def send(message: Any) -> None:
                sent.append(message["type"])

            await one.post(document("running"))
            await one.app({"type": "lifespan"}, receive, send)
            assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
            assert not one.app._inboxes["main"]._workers
            with pytest.raises(ValueError, match="websocket"):
                await one.app({"type": "websocket"}, receive, send)

    asyncio.run(main())


VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda one: st.dictionaries(st.text(), one))
ANY = Receiver("http://127.0.0.1:9", Upstream())


@settings(deadline=None)
@given(
    body=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps({"id": value, "status": value}).encode()),
    path=st.text(max_size=50),
)
def test_any_body_and_path(body: bytes, path: str) -> None:
    """Foreign bytes never raise: the reply is one of the documented ones."""

    async def main() -> None:
        assert await ANY.post(body, path or "/") == 404
        assert await ANY.post(body) in {204, 400}
        await ANY.app.aclose()

    asyncio.run(main())


async def attack(url: str, kind: str, body: bytes) -> int | None:
    """Send one request of a kind; return the status, or None if the server has closed the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    path = parts.path + ("x" if kind == "path" else "")
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        if kind == "slow":
            writer.write(body[:20])
            await asyncio.sleep(0.5)
            return None
        writer.write(body)
        await writer.drain()
        line = await reader.readline()
        return int(line.split()[1]) if line else None
    except ConnectionError:
        return None
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.stress)])
def test_a_burst(count: int, caplog: pytest.LogCaptureFixture) -> None:
    """Duplicates, reordering, wrong ids, 2 MiB bodies, slow clients and wrong paths: bounded, none missed."""
    chance, upstream, elsewhere = random.Random(7), Upstream(), Upstream()
    own = [str(10**15 + number) for number in range(count // 4)]
    large = b" " * (2 << 20)
    link = "http://127.0.0.1:{port}/elsewhere.png"
    stages = [(state, task_id) for task_id in own for state in ("running", "succeeded")]
    sent = [("good", document(state, task_id, imageUrl=link)) for state, task_id in stages]
    sent += [("good", body) for _, body in chance.choices(sent, k=count // 4)]
    for kind, body in (("wrong", b""), ("large", large), ("slow", sent[0][1]), ("path", sent[0][1])):
        sent += [(kind, body or document("running", str(number))) for number in range(1, count // 16 + 1)]
    chance.shuffle(sent)
    statuses: dict[str, set[int | None]] = {}

    async def main(url: str) -> None:
        slots = asyncio.Semaphore(100)

        async def one(kind: str, body: bytes) -> None:
            async with slots:
                statuses.setdefault(kind, set()).add(await attack(url, kind, body))

        await asyncio.gather(*(one(*item) for item in sent))

    with Server(elsewhere) as trap, Server(upstream) as base_url:
        port = trap.rpartition(":")[2].encode()
        sent = [(kind, body.replace(b"{port}", port)) for kind, body in sent]
        receiver = Receiver(base_url, upstream, known=set(own).__contains__, rate=300.0)
        with caplog.at_level(logging.CRITICAL), Server(receiver.app) as served:
            tracemalloc.start()
            asyncio.run(main(receiver.app.url(served)))
            until(lambda: not receiver.app._inboxes["main"]._workers)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        fetched = {task.id for task in receiver.tasks}
        assert (upstream.keys, elsewhere.asked) == ({f"Bearer {KEY}"}, [])
        assert len(upstream.asked) <= 2 * len(own)

        async def poll() -> set[str]:
            async with AsyncRelay("zhongzhuan", KEY, base_url=base_url) as relay:
                left = sorted(set(own) - fetched)
                return {(await relay.fetch(task_id)).id for task_id in left}

        assert fetched | asyncio.run(poll()) == set(own)
    assert statuses["good"] <= {204, 503}
    assert statuses["wrong"] == statuses["path"] == {404}
    assert statuses["large"] <= {413, None}
    assert peak < 100 << 20, peak
