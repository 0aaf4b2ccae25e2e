"""Read files of a bounded size, and lock files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def open_file(path: str | PathLike[str], *, pipe: bool = False) -> IO[bytes]:
    """
    Open a regular file for reading. Opening a FIFO, a device or a socket raises `OSError` and never blocks.

    Args:
        path: The file.
        pipe: Accept any readable file, such as the pipe of a process substitution. The caller must limit how
            much it reads.
    """
    if not pipe:
        _check(path, Path(path).stat().st_mode)  # before it is opened: opening a device can have effects
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | (0 if pipe else getattr(os, "O_NONBLOCK", 0))
    stream = os.fdopen(os.open(path, flags), "rb")
    try:
        if not pipe:
            _check(path, os.fstat(stream.fileno()).st_mode)  # the path may be another file now
    except OSError:
        stream.close()
        raise
    return stream


def read_file(path: str | PathLike[str], largest: int, *, pipe: bool = False) -> bytes:
    """
    Return the content of a file; see `open_file`.

    Raises:
        OSError: The file cannot be read, or has more than ``largest`` bytes.
    """
    with open_file(path, pipe=pipe) as stream:
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise OSError(errno.E2BIG, f"larger than {_size(largest)}, which is the limit", os.fspath(path))
    return data


def lock_file(file: int | IO[bytes]) -> bool:
    """
    Lock an open file until it is closed. Return False if another process holds the lock.

    The lock is advisory. Without support by the operating system the result is True.

    Raises:
        OSError: The file system does not support locks.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _check(path: str | PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
        raise OSError(errno.EINVAL, f"{kind}, not a regular file", os.fspath(path))


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"
