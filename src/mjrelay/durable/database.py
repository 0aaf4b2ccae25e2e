"""The database of a queue: where it is, and how batches of tasks are stored in it."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy
from attrs import frozen
from dbos import DBOS, DBOSClient, WorkflowSerializationFormat

from mjrelay.base import SettingError
from mjrelay.durable.leases import FileLease, Lease, SessionLease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbos import DBOSConfig, EnqueueOptions

VARIABLE = "MJRELAY_DATABASE"
"""The environment variable of the database's URL."""

_DEFAULT = "sqlite:///mjrelay.sqlite"

APPLICATION = "mjrelay"
"""The engine's name of this application, and its schema in Postgres."""

VERSION = "1"
"""The version of what is stored. Workers leave the work of another version alone."""

POLL, FINISH = "mjrelay.poll", "mjrelay.finish"
"""The names of the two workflows."""

WAITING = ["ENQUEUED", "DELAYED"]
"""The engine's states of a workflow that has not started."""


@frozen
class Waiting:
    """
    A batch of tasks of one relay that waits to be polled.

    Attributes:
        workflow: The id of its next poll.
        relay: The relay's name in the queue.
        tasks: The number of tasks.
        due: The Unix time of its next poll.
    """

    workflow: str
    relay: str
    tasks: int
    due: float


def queue_name(relay: str) -> str:
    """Return the engine's name for the queue of a relay."""
    return f"{APPLICATION}.relay.{relay}"


def poll_options(relay: str, batch: str, number: int, tasks: int, due: float) -> EnqueueOptions:
    """Return how to enqueue a poll. By its id, each poll of a batch exists once."""
    return {
        "workflow_name": POLL,
        "queue_name": queue_name(relay),
        "workflow_id": f"poll:{relay}:{batch}:{number}",
        "app_version": VERSION,
        "delay_seconds": max(due - time.time(), 0.0),
        "attributes": {"relay": relay, "tasks": tasks, "due": due},
        "serialization_type": WorkflowSerializationFormat.PORTABLE,
    }


def finish_options(relay: str, key: str, attempt: int = 0, delay: float = 0.0) -> EnqueueOptions:
    """Return how to enqueue the call for a finished task. By its id, each attempt exists once."""
    return {
        "workflow_name": FINISH,
        "queue_name": FINISH,
        "workflow_id": f"finish:{relay}:{key}:{attempt}",
        "app_version": VERSION,
        "delay_seconds": delay,
        "attributes": {"relay": relay},
        "serialization_type": WorkflowSerializationFormat.PORTABLE,
    }


class Database:
    """
    A database, by its URL. It is created or migrated when it is first used.

    Args:
        url: A URL of SQLite or Postgres, the path of a SQLite file, or None for that of the environment.

    Raises:
        SettingError: The URL is of another kind.
    """

    def __init__(self, url: str | os.PathLike[str] | None) -> None:
        text = os.environ.get(VARIABLE, _DEFAULT) if url is None else os.fspath(url)
        try:
            parsed = sqlalchemy.make_url(text if "://" in text else f"sqlite:///{text}")
        except sqlalchemy.exc.ArgumentError:
            parsed = sqlalchemy.make_url("unknown://")
        match parsed.drivername.partition("+")[0]:
            case "sqlite" if parsed.database and parsed.database != ":memory:":
                self._url = parsed.set(drivername="sqlite")
            case "postgresql" | "postgres" if parsed.database:
                self._url = parsed.set(drivername="postgresql+psycopg")
            case _:
                raise SettingError(
                    "the database is no file and no URL like sqlite:///tasks.sqlite or"
                    f" postgresql://user@host/name; pass one as database= or in {VARIABLE}"
                )

    def __str__(self) -> str:
        return self._url.render_as_string()

    def lease(self) -> Lease:
        """
        Return the identity of a new worker.

        Raises:
            SettingError: Another worker uses the SQLite file, or the database cannot be reached.
        """
        if self._url.drivername == "sqlite":
            return FileLease(Path(self._url.database or ""))
        with self._explained():
            return SessionLease(self._url)

    def config(self, executor: str) -> DBOSConfig:
        """Return the configuration of the engine."""
        return {
            "name": APPLICATION,
            "system_database_url": self._text,
            "dbos_system_schema": APPLICATION,
            "application_version": VERSION,
            "executor_id": executor,
            "log_level": "WARNING",
        }

    @cached_property
    def client(self) -> DBOSClient:
        """The engine's client, which stores and reads rows and runs nothing; raises `SettingError`."""
        with self._explained():
            DBOS.migrate(self._text, schema=APPLICATION)
            return DBOSClient(
                system_database_url=self._text, dbos_system_schema=APPLICATION, application_name=APPLICATION
            )

    def waiting(self) -> list[Waiting]:
        """Return the batches that wait."""
        rows = self.client.list_workflows(name=POLL, status=WAITING, load_input=False, load_output=False)
        return [
            Waiting(row.workflow_id, str(found["relay"]), int(found["tasks"]), float(found["due"]))
            for row in rows
            if (found := row.attributes) is not None
        ]

    def calls(self) -> list[str]:
        """Return the relay of each finished task whose call has not succeeded yet."""
        status = [*WAITING, "PENDING"]
        rows = self.client.list_workflows(name=FINISH, status=status, load_input=False, load_output=False)
        return [str(row.attributes["relay"]) for row in rows if row.attributes is not None]

    def close(self) -> None:
        """Close the connections."""
        if (client := self.__dict__.pop("client", None)) is not None:
            client.destroy()

    @property
    def _text(self) -> str:
        return self._url.render_as_string(hide_password=False)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise a `SettingError` without the password if the database cannot be reached."""
        try:
            yield
        except sqlalchemy.exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            first = next(iter(str(cause).splitlines()), type(cause).__name__)
            raise SettingError(f"{self}: {first}; check the URL, and that the server is up") from None
