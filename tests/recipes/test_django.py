"""The Django recipe: a table of tickets, polled by commands that are killed."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from cli_process import KEY
from recipes import Recipe, recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.services

FILES = ("gallery/models.py", "gallery/submit.py", "gallery/management/commands/poll_pictures.py")
TICKETS = 50

# The part of a project that the page leaves out.
MANAGE = """
import json
import os
import sys

from django.conf import settings

settings.configure(
    DATABASES={"default": json.loads(os.environ["DATABASE"])},
    INSTALLED_APPS=["gallery"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""

# The mock takes long for many submits.
SUBMIT = """
import os
from gallery.models import Picture
from gallery.submit import submit
from mjrelay import Relay

with Relay("zhongzhuan") as relay:
    submit(relay, "a pig --v 6.1")
    for task_id in os.environ["TASKS"].split():
        ticket = relay.ticket(task_id)
        Picture.objects.create(id=ticket.id, due=ticket.due, ticket=ticket.to_json())
"""


def prepare(stack: ExitStack, folder: Path, database: dict[str, Any], durations: Sequence[float]) -> Recipe:
    """Make a project with tickets of tasks that end after these seconds, and with one that it submits."""
    written = stack.enter_context(
        recipe(folder, *FILES, duration=max(durations), DATABASE=json.dumps(database))
    )
    (folder / "manage.py").write_text(MANAGE, encoding="utf-8")
    (folder / "submit_all.py").write_text(SUBMIT, encoding="utf-8")
    written.variables["TASKS"] = " ".join(map(written.mock.submit, durations))
    written.run("manage.py", "migrate", "--run-syncdb", "--verbosity", "0")
    written.run("manage.py", "shell", "--command", "import submit_all")
    return written


def test_a_killed_command_loses_no_ticket(tmp_path: Path) -> None:
    """SQLite: a command is killed in a poll of 50 tickets. After their lease the next command ends all."""
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "pictures.db"),
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
    with ExitStack() as stack:
        durations = [4.0 * (number % 2) for number in range(TICKETS - 1)]
        written = prepare(stack, tmp_path, database, durations)

        def succeeded() -> int:
            query = "SELECT count(*) FROM gallery_picture WHERE state = 'succeeded'"
            return int(written.rows("pictures.db", query)[0][0])

        with written.running("manage.py", "poll_pictures") as command:
            written.mock.on_poll = lambda number: command.kill() if number == 2 else None
            command.wait()
        assert succeeded() == TICKETS // 2
        leased = written.rows("pictures.db", "SELECT id FROM gallery_picture WHERE due > ?", time.time() + 60)
        assert leased, "the command was not killed in a poll"
        with closing(sqlite3.connect(tmp_path / "pictures.db")) as store, store:
            store.execute("UPDATE gallery_picture SET due = due - 120")  # the lease ends
        with written.running("manage.py", "poll_pictures") as command:
            command.until(lambda: succeeded() == TICKETS)
        assert KEY not in repr(written.rows("pictures.db", "SELECT * FROM gallery_picture"))
    assert max(written.mock.asks.values()) <= 4


def test_commands_share_tickets(postgres_url: str, tmp_path: Path) -> None:
    """Postgres: two commands poll each of 50 tickets once, and skip those that another process has locked."""
    url = urlsplit(postgres_url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "recipes",
        "HOST": url.hostname,
        "PORT": url.port,
        "USER": url.username,
        "PASSWORD": url.password,
    }
    with ExitStack() as stack:
        server = stack.enter_context(psycopg.connect(postgres_url, autocommit=True))
        server.execute("CREATE DATABASE recipes")
        stack.callback(server.execute, "DROP DATABASE recipes WITH (FORCE)")
        written = prepare(stack, tmp_path, database, [0.0] * (TICKETS - 1))
        store = stack.enter_context(psycopg.connect(postgres_url, dbname="recipes", autocommit=True))
        locking = stack.enter_context(psycopg.connect(postgres_url, dbname="recipes"))

        def pending() -> set[str]:
            rows = store.execute("SELECT id FROM gallery_picture WHERE state = 'pending'").fetchall()
            return {task_id for (task_id,) in rows}

        rows = locking.execute("SELECT id FROM gallery_picture LIMIT 10 FOR UPDATE").fetchall()
        locked = {task_id for (task_id,) in rows}
        with written.running("manage.py", "poll_pictures") as one:
            with written.running("manage.py", "poll_pictures") as other:
                one.until(lambda: pending() == locked)
                assert not locked & written.mock.asks.keys()
                locking.rollback()
                other.until(lambda: not pending())
                assert one.process.poll() is None, one.output
    assert set(written.mock.asks.values()) == {1}
