"""The Celery recipe: tickets in Redis, polled by prefork workers that are killed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import redis
from cli_process import KEY
from recipes import Recipe, Running, recipe

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.services

TASKS = 200

# As on the page, but a lost message is delivered again after seconds and not after minutes.
QUICK = """
from tasks import app
app.conf.broker_transport_options = {
    "visibility_timeout": 7,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
"""


# The mock takes long for 200 submits.
ENQUEUE = """
import sys
from tasks import poll_later, relay
for task_id in sys.argv[1:]:
    poll_later(relay.ticket(task_id))
"""


def worker(written: Recipe) -> AbstractContextManager[Running]:
    """Start a worker with two processes, and without what several workers tell each other."""
    quiet = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "WARNING"]
    return written.running("-m", "celery", "-A", "quick", "worker", "--concurrency", "2", *quiet)


def stored(store: Any) -> bytes:
    """Everything in Redis: names and values."""
    read = {
        b"string": store.get,
        b"list": lambda key: store.lrange(key, 0, -1),
        b"set": store.smembers,
        b"hash": store.hgetall,
        b"zset": lambda key: store.zrange(key, 0, -1),
    }
    return repr([(key, read[store.type(key)](key)) for key in store.scan_iter()]).encode()


def has_key(content: bytes) -> bool:
    """Whether content has the API key, as it is or within Base64, as in Celery's messages."""
    shifted = [base64.b64encode(b"x" * shift + KEY.encode())[4:-4] for shift in range(3)]
    return any(form in content for form in (KEY.encode(), *shifted))


def test_a_killed_worker_loses_no_ticket(redis_url: str, tmp_path: Path) -> None:
    """A worker is killed while it polls 200 tickets: another ends all, with few polls; Redis has no key."""
    with (
        recipe(tmp_path, "tasks.py", "submit.py", REDIS_URL=redis_url) as written,
        redis.Redis.from_url(redis_url) as client,
    ):
        store: Any = client  # its types leave open whether it is asynchronous
        store.flushall()
        (tmp_path / "quick.py").write_text(QUICK, encoding="utf-8")

        def finished() -> list[Any]:
            return written.rows("results.db", "SELECT id, state FROM results")

        written.run("submit.py", "a pig --v 6.1", "a cow")
        tasks = [*written.mock.accepted, *(written.mock.submit(4.0) for _ in range(TASKS - 2))]
        written.run("-c", ENQUEUE, *tasks[2:])
        contents = [stored(store)]
        with worker(written) as first:
            first.until(lambda: len(finished()) >= TASKS // 4)
            first.kill()
        before, held = len(finished()), store.hlen("unacked")
        contents.append(stored(store))
        with worker(written) as second:
            second.until(lambda: len(finished()) == TASKS)
            second.until(lambda: not store.exists("celery", "unacked"))
            contents.append(stored(store))
    assert before < TASKS, "the worker was killed too late"
    assert held, "the killed worker held no ticket"
    assert sorted(finished()) == sorted((task_id, "succeeded") for task_id in tasks)
    # Two polls for each task. What was in flight at the kill is polled again, and may leave two messages.
    assert sum(written.mock.asks.values()) <= 2 * TASKS + 20
    assert max(written.mock.asks.values()) <= 4
    assert all(content.count(b"body") >= TASKS // 4 for content in contents[:2]), "there is little to look at"
    assert not any(map(has_key, contents))
    assert has_key(base64.b64encode(f"[[{KEY}]]".encode()))
