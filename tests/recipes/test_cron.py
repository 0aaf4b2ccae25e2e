"""The cron recipe: tickets in SQLite, polled by runs that are killed and that overlap."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest
from recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(sys.platform == "win32", reason="the recipe uses fcntl"),
]

PROMPTS = ("a pig --v 6.1", "a cow", "a hen")


def test_killed_and_overlapping_runs_lose_nothing(tmp_path: Path) -> None:
    """A run is killed in a poll, and the next one overlaps with a third: each task is stored once."""
    with recipe(tmp_path, "pictures.py") as written:
        written.run("pictures.py", "submit", *PROMPTS)
        with written.running("pictures.py", "poll") as killed:
            written.mock.on_poll = lambda _: killed.kill()
            killed.wait()
        assert written.rows("pictures.db", "SELECT count(*) FROM tickets") == [(len(PROMPTS),)]

        polled, answer = threading.Event(), threading.Event()

        def hold(_: int) -> None:
            polled.set()
            answer.wait(30)

        written.mock.on_poll = hold
        with written.running("pictures.py", "poll") as second:
            second.until(polled.is_set)
            written.run("pictures.py", "poll")
            assert written.mock.polls == 2, "two runs polled at once"
            answer.set()
            assert second.wait() == 0, second.output
        found = written.rows("pictures.db", "SELECT id, state, error FROM pictures")
        assert written.rows("pictures.db", "SELECT count(*) FROM tickets") == [(0,)]
    assert sorted(found) == sorted((task_id, "succeeded", None) for task_id in written.mock.accepted)
    assert written.mock.polls <= 4, "one request lost, and two for the whole batch"


def test_a_run_ends_within_its_minute(tmp_path: Path) -> None:
    """A run does not wait for a ticket that is due after its end, and leaves it to the next."""
    with recipe(tmp_path, "pictures.py") as written:
        written.run("pictures.py", "submit", *PROMPTS)
        (tmp_path / "short.py").write_text(
            (tmp_path / "pictures.py").read_text(encoding="utf-8").replace("SECONDS = 55", "SECONDS = 1"),
            encoding="utf-8",
        )
        written.run("short.py", "poll")
        assert written.rows("pictures.db", "SELECT count(*) FROM tickets") == [(len(PROMPTS),)]
    assert written.mock.polls == 1
