"""A burst of callbacks of every kind over sockets."""

from __future__ import annotations

import asyncio
import logging
import random
import tracemalloc
from urllib.parse import urlsplit

import pytest
from cli_process import until
from mjrelay_conformance.mock import Server
from receivers import KEY, Receiver, Upstream
from served import document

from mjrelay import AsyncRelay


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
