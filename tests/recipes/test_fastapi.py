"""The FastAPI recipe: a server with callbacks and a background loop, which is killed."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from cli_process import KEY
from mjrelay_conformance.mock.notifier import Notifier
from recipes import Recipe, Running, recipe

from mjrelay import AsyncRelay, callbacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.services


@contextmanager
def serving(written: Recipe, listener: socket.socket) -> Iterator[tuple[httpx.Client, Running]]:
    """Serve the app on a socket that stays bound, and yield a client of it."""
    number = listener.fileno()
    command = ["-m", "uvicorn", "main:app", "--fd", str(number), "--log-level", "warning"]
    with (
        written.running(*command, pass_fds=[number]) as server,
        httpx.Client(base_url=written.variables["PUBLIC_URL"], trust_env=False, timeout=30) as client,
    ):
        yield client, server


def test_a_callback_is_faster_and_polling_needs_none(tmp_path: Path) -> None:
    """A callback ends a wait before its ticket is due. Without one, a restarted server ends it by polling."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with recipe(tmp_path, "main.py", duration=2.0, PUBLIC_URL=url) as written:

            def due(task_id: str) -> float:
                rows = written.rows("tickets.db", "SELECT due FROM tickets WHERE id = ?", task_id)
                return float(rows[0][0])

            hooks = callbacks.app({"zhongzhuan": AsyncRelay("zhongzhuan", KEY)}, on_task=print)
            with serving(written, listener) as (client, server):
                first = client.post("/pictures", params={"prompt": "a pig"}).json()["id"]
                submitted = time.time()
                server.until(lambda: due(first) > submitted + 2)
                planned = due(first)
                with Notifier(written.mock, hooks.url(f"{url}/hooks"), interval=0.3):
                    server.until(lambda: client.get(f"/pictures/{first}").json()["state"] == "succeeded")
                    assert time.time() < planned, "the callback did not shorten the wait"
                second = client.post("/pictures", params={"prompt": "a cow"}).json()["id"]
                server.until(lambda: due(second) > submitted + 2)
                server.kill()
            with serving(written, listener) as (client, server):
                server.until(lambda: client.get(f"/pictures/{second}").json()["state"] == "succeeded")
                assert client.get("/pictures/missing").status_code == 404
            assert KEY not in repr(written.rows("tickets.db", "SELECT * FROM tickets"))
    assert written.mock.asks[first] <= 12, "polls, and fetches after callbacks"
    assert written.mock.asks[second] == 2
