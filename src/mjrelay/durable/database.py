"""The database of a queue: where it is, and how batches of tasks are stored in it."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from attrs import frozen
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, WorkflowSerializationFormat

from mjrelay.base import SettingError, renew_after_fork
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

REPAIR = 60.0
"""Seconds until the next try after a fault of the worker or of the engine, not of the task."""

WAITING = ["ENQUEUED", "DELAYED"]
"""The engine's states of a workflow that has not started."""

_PATIENCE = {
    "connect_timeout": "10",
    "tcp_user_timeout": "15000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""How long Postgres may be silent, in seconds and milliseconds; parameters of the URL come first."""

_FAILED = ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]

_JSON = DBOSPortableJSONSerializer()
"""For the results of steps, which the engine pickles by default."""


_log = logging.getLogger("mjrelay")

_inherited: list[Any] = []
"""The connections of a parent process, kept so that nothing closes them."""

Job = tuple["EnqueueOptions", tuple[Any, ...]]
"""A workflow to enqueue: its options and its arguments."""


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


def queue_name(workflow: str, relay: str) -> str:
    """Return the engine's name for the queue of a workflow. Workers listen to those of their relays."""
    return f"{workflow}.{relay}"


def poll_options(relay: str, batch: str, number: int, tasks: int, due: float) -> EnqueueOptions:
    """Return how to enqueue a poll. By its id, each poll of a batch exists once."""
    return {
        "workflow_name": POLL,
        "queue_name": queue_name(POLL, relay),
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
        "queue_name": queue_name(FINISH, relay),
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
        if not isinstance(url, str | os.PathLike | None):
            raise SettingError(f"database is of type {type(url).__name__}; pass a path or a URL")
        text = os.environ.get(VARIABLE, _DEFAULT) if url is None else os.fspath(url)
        try:
            parsed = sqlalchemy.make_url(text if "://" in text else f"sqlite:///{text}")
        except (sqlalchemy.exc.ArgumentError, ValueError):  # not chained: it shows a part of the URL
            parsed = sqlalchemy.make_url("unknown://")
        match parsed.drivername.partition("+")[0]:
            case "sqlite" if parsed.database and parsed.database != ":memory:":
                self._url = parsed.set(drivername="sqlite")
            # A password with @ that is not encoded would be taken for a part of the host, and shown.
            case "postgresql" | "postgres" if parsed.database and "@" not in (parsed.host or ""):
                self._url = parsed.set(drivername="postgresql+psycopg").update_query_dict(
                    {**_PATIENCE, **parsed.query}
                )
            case _:
                raise SettingError(
                    "the database is no file and no URL like sqlite:///tasks.sqlite or"
                    f" postgresql://user@host/name; pass one as database= or in {VARIABLE}, and encode"
                    " special characters of the password, such as @ as %40"
                )
        renew_after_fork(self, Database._leave_to_parent)

    def __str__(self) -> str:
        """Return the URL without the password, which may also be in the query."""
        return self._url.set(query={}).render_as_string()

    def lease(self) -> Lease:
        """
        Return the identity of a new worker.

        Raises:
            SettingError: Another worker uses the SQLite file, or the database cannot be reached.
        """
        if self._is_file:
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
            "serializer": _JSON,
            "log_level": "ERROR",  # warnings show the statements that it tries again
        }

    @cached_property
    def client(self) -> DBOSClient:
        """The engine's client, which stores and reads rows and runs nothing; raises `SettingError`."""
        with self._explained():
            with self._engine.connect() as connection:  # if it cannot, the engine would log it first
                if self._is_file:
                    # Fewer writes to the disk for each transaction. The mode is stored in the file.
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            DBOS.migrate(self._text, schema=APPLICATION)
            return DBOSClient(
                system_database_url=self._text,
                dbos_system_schema=APPLICATION,
                application_name=APPLICATION,
                serializer=_JSON,
                retry_connection_errors=False,
            )

    def enqueue(self, jobs: list[Job]) -> None:
        """
        Enqueue workflows, all or none. One whose id exists is left out.

        Raises:
            SettingError: The database cannot be reached.
        """
        client = self.client
        with self._explained(), self._engine.begin() as connection:
            for options, arguments in jobs:
                client.enqueue_in_transaction(connection, options, *arguments)

    def enqueue_patiently(self, jobs: list[Job]) -> None:
        """Enqueue workflows as `enqueue` does, as soon as the database can be reached."""
        pause = 1.0
        while True:
            try:
                self.enqueue(jobs)
            except SettingError as error:
                _log.warning("%s; the next try is in %.0f s", error, pause)
            else:
                return
            time.sleep(pause)
            pause = min(2 * pause, 30.0)

    def waiting(self) -> list[Waiting]:
        """Return the batches that wait."""
        with self._explained():
            rows = self.client.list_workflows(name=POLL, status=WAITING, load_input=False, load_output=False)
        return [
            Waiting(row.workflow_id, str(found["relay"]), int(found["tasks"]), float(found["due"]))
            for row in rows
            if (found := row.attributes) is not None
        ]

    def calls(self) -> list[str]:
        """Return the relay of each finished task whose call has not succeeded yet."""
        status = [*WAITING, "PENDING"]
        with self._explained():
            rows = self.client.list_workflows(name=FINISH, status=status, load_input=False, load_output=False)
        return [str(row.attributes["relay"]) for row in rows if row.attributes is not None]

    def resume(self, executor: str) -> None:
        """Enqueue again what a worker had started that has ended, each in its own queue."""
        rows = self.client.list_workflows(
            name=[POLL, FINISH], status="PENDING", executor_id=executor, load_input=False, load_output=False
        )
        ids: dict[str, list[str]] = {}
        for row in rows:
            if row.attributes is not None:
                ids.setdefault(queue_name(row.name, row.attributes["relay"]), []).append(row.workflow_id)
        for queue, several in ids.items():
            self.client.resume_workflows(several, queue_name=queue)

    def failed(self) -> list[tuple[str, str, list[Any]]]:
        """Return the id, the name and the arguments of each workflow that the engine has given up."""
        rows = self.client.list_workflows(name=[POLL, FINISH], status=_FAILED, load_output=False)
        return [(row.workflow_id, row.name, list(row.input["args"])) for row in rows if row.input is not None]

    def close(self) -> None:
        """Close the connections."""
        if (client := self.__dict__.pop("client", None)) is not None:
            client.destroy()
            self._engine.dispose()

    def _leave_to_parent(self) -> None:
        """Forget the connections, in a forked child. They are not closed: the parent uses them."""
        _inherited.append([self.__dict__.pop(name, None) for name in ("client", "_engine")])

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        arguments = {"timeout": 30, "isolation_level": "IMMEDIATE"} if self._is_file else {}
        return sqlalchemy.create_engine(self._url, connect_args=arguments, pool_pre_ping=True)

    @property
    def _is_file(self) -> bool:
        return self._url.drivername == "sqlite"

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
            hint = (
                "the path, and that its folder can be written"
                if self._is_file
                else "the URL, and that the server is up"
            )
            raise SettingError(f"{self}: {first}; check {hint}") from None
