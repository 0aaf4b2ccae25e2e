"""The identity of a worker, which no other worker has while it runs."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import sqlalchemy
from attrs import frozen

from mjrelay.base import MjrelayError, SettingError, close_after_fork, lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_MOST_WORKERS = 1000

_LOCKS = 0x6D6A7265
"""The first half of the advisory locks in Postgres, so that they are not those of other programs."""

_MERGING = -1

_SESSION = sqlalchemy.text("SELECT pg_backend_pid()")

_PREFIX = "mjrelay-"


class LeaseLostError(MjrelayError):
    """Another worker may have the identity of this one, which must end."""


class Lease(Protocol):
    """
    Keeps an executor id for one worker.

    Attributes:
        executor: The executor id.
    """

    executor: str

    def check(self) -> None:
        """Raise `LeaseLostError` if the id may belong to another worker."""

    def taken_over(self, executor: str) -> AbstractContextManager[bool]:
        """Yield whether the worker with an executor id has ended. If so, no other gets the id meanwhile."""

    def merging(self) -> AbstractContextManager[bool]:
        """Yield whether this worker may merge batches; only one at a time may."""

    def close(self) -> None:
        """Give the id back."""


@frozen(eq=False)
class _Socket:
    """The descriptor of a connection, which belongs to its driver."""

    number: int

    def fileno(self) -> int:
        return self.number

    def close(self) -> None:
        os.close(self.number)


class FileLease:
    """The only worker of a SQLite database, by a lock on a file beside it."""

    executor = "mjrelay"

    def __init__(self, path: Path) -> None:
        lock = Path(f"{path}.lock")
        try:
            self._file = lock.open("ab")
        except OSError as error:
            raise SettingError(f"{lock}: it cannot be written ({error.strerror}); check the path") from error
        if not lock_file(self._file):
            self._file.close()
            raise SettingError(
                f"another worker uses {path}, and SQLite allows one; stop it, or use Postgres for several"
            )
        close_after_fork(self._file)

    def check(self) -> None:
        """Do nothing: the lock lasts until `close`."""

    def taken_over(self, executor: str) -> AbstractContextManager[bool]:
        """Yield False: there is no other worker, and the engine resumes the work of an earlier one."""
        del executor
        return nullcontext(enter_result=False)

    def merging(self) -> AbstractContextManager[bool]:
        """Yield True: there is no other worker."""
        return nullcontext(enter_result=True)

    def close(self) -> None:
        """Unlock the file."""
        self._file.close()


class SessionLease:
    """
    One of the workers of a Postgres database, by advisory locks of a session.

    Postgres releases them when the session ends, however the process ended. Use it in one thread.
    """

    def __init__(self, url: sqlalchemy.URL) -> None:
        self._engine = sqlalchemy.create_engine(
            url,
            poolclass=sqlalchemy.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"application_name": "mjrelay worker"},
        )
        self._session = self._engine.connect()
        self._number = self._session.scalar(_SESSION)
        # A child would keep the session open after this worker was killed.
        self._socket = _Socket(self._session.connection.dbapi_connection.fileno())  # type: ignore[union-attr]
        close_after_fork(self._socket)
        for number in range(_MOST_WORKERS):
            if self._call("pg_try_advisory_lock", number):
                self.executor = f"{_PREFIX}{number}"
                return
        self.close()
        raise SettingError(f"{_MOST_WORKERS} workers use the database; stop some")

    def check(self) -> None:
        """Raise `LeaseLostError` if the session has ended. A new connection would be another session."""
        try:
            session = self._session.scalar(_SESSION)
        except sqlalchemy.exc.SQLAlchemyError:
            session = None
        if session != self._number:
            raise LeaseLostError("the connection to the database was lost; start the worker again")

    def taken_over(self, executor: str) -> AbstractContextManager[bool]:
        """Yield whether the session of a worker has ended. If so, no other gets its id meanwhile."""
        number = executor.removeprefix(_PREFIX)
        if executor == self.executor or not number.isdecimal():
            return nullcontext(enter_result=False)
        return self._locked(int(number))

    def merging(self) -> AbstractContextManager[bool]:
        """Yield whether no other worker is merging batches."""
        return self._locked(_MERGING)

    def close(self) -> None:
        """End the session."""
        del self._socket
        self._session.close()
        self._engine.dispose()

    @contextmanager
    def _locked(self, number: int) -> Iterator[bool]:
        locked = self._call("pg_try_advisory_lock", number)
        try:
            yield locked
        finally:
            if locked:
                self._call("pg_advisory_unlock", number)

    def _call(self, function: str, number: int) -> bool:
        statement = sqlalchemy.select(getattr(sqlalchemy.func, function)(_LOCKS, number))
        return bool(self._session.execute(statement).scalar())
