"""Limit and record the submits of a relay object."""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from mjrelay.base import SettingError, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from mjrelay.semantics import Charged, SubmitOutcome

_log = logging.getLogger("mjrelay")


@frozen(kw_only=True)
class SubmitRecord:
    """
    What happens to a submit: one record before a request is sent, and one when its outcome is known.

    Attributes:
        time: The moment, in ISO 8601 and UTC.
        event: ``sending`` or ``answered``.
        submit: A name for this request; both records have it.
        relay: The relay's name.
        action: The action.
        state: The state token, or None.
        outcome: What the relay did, for ``answered``.
        ids: The ids of the new tasks.
        links: The URLs that an upload returned.
        charged: Whether the submit costs money, for ``answered``.
        prompt: The prompt, if ``log_prompts`` is set.
    """

    time: str
    event: str
    submit: str
    relay: str
    action: str
    state: str | None
    outcome: SubmitOutcome | None = None
    ids: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    charged: Charged | None = None
    prompt: str | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values, without unset members."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


def moment(unix: float) -> str:
    """Return Unix time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")


class SubmitLog:
    """
    An audit log in JSON Lines. Each line is on disk when `write` returns.

    Raises:
        SettingError: The file cannot be opened.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path).absolute()  # the process may change its directory
        try:
            os.close(self._open())
        except OSError as error:
            raise SettingError(f"submit_log: {self._path} cannot be written: {error.strerror}") from error

    def write(self, record: SubmitRecord) -> None:
        """Append a record. Raises `OSError` if it is not on disk."""
        line = json.dumps(record.to_dict()).encode() + b"\n"
        descriptor = self._open()
        try:
            if _is_cut(descriptor):  # by a full disk
                line = b"\n" + line
            # One write to a file opened for appending: lines of several processes do not mix.
            if os.write(descriptor, line) != len(line):
                raise OSError(f"{self._path}: the line was written in part; is the disk full?")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)


def _is_cut(descriptor: int) -> bool:
    """Return whether the last line of a file has no end."""
    size = os.fstat(descriptor).st_size
    if not size:
        return False
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) != b"\n"


class SubmitLedger:
    """
    Counts and records the submits of a relay object; those of `with_options` share it. Thread-safe.

    Args:
        most: Maximum number of submits of which a byte is sent, or None.
        log: The path of the audit log, or None.
        hook: Called with each record, or None.
    """

    def __init__(
        self,
        most: int | None,
        log: str | PathLike[str] | None,
        hook: Callable[[SubmitRecord], object] | None,
    ) -> None:
        self.most = most
        self._sent, self._lock = 0, threading.Lock()
        self._log, self._hook = None if log is None else SubmitLog(log), hook
        renew_after_fork(self, SubmitLedger._renew)

    def open(self, record: SubmitRecord) -> bool:
        """
        Count and record a request before it is sent. Return False if the limit is reached.

        Raises:
            SettingError: The log cannot be written.
        """
        with self._lock:
            if self.most is not None and self._sent >= self.most:
                return False
            self._sent += 1
        try:
            if self._log is not None:
                self._log.write(record)
        except OSError as error:
            self.release()
            raise SettingError(f"nothing was sent, because submit_log failed: {error}") from error
        self._call(record)
        return True

    def close(self, record: SubmitRecord) -> None:
        """Record an outcome. If the log cannot be written, the record goes to the logger ``mjrelay``."""
        try:
            if self._log is not None:
                self._log.write(record)
        except OSError as error:
            text = json.dumps(record.to_dict())
            _log.error("submit_log failed (%s); the record is %s", error, text)
        self._call(record)

    def release(self) -> None:
        """Take back the count of a request of which no byte was sent."""
        with self._lock:
            self._sent -= 1

    def _call(self, record: SubmitRecord) -> None:
        if self._hook is not None:
            try:
                self._hook(record)
            except Exception:  # noqa: BLE001 - a faulty hook must not lose a paid task
                _log.exception("on_submit failed")

    def _renew(self) -> None:
        self._lock = threading.Lock()
