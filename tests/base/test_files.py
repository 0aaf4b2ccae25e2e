"""Files that the user names are bounded, and nothing waits for one that never ends."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from mjrelay.base import SettingError, lock_file, read_file
from mjrelay.cli import options
from mjrelay.contract import load_contract, read_key

if TYPE_CHECKING:
    from pathlib import Path

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")


def test_a_file_of_the_limit_is_read_whole(tmp_path: Path) -> None:
    """The limit itself is allowed, one byte more is an error that names it."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2048)
    assert len(read_file(path, 2048)) == 2048
    with pytest.raises(OSError, match="larger than 1 KiB, which is the limit"):
        read_file(path, 1024)


@needs_fifo
def test_a_pipe_is_read_where_it_is_useful(tmp_path: Path) -> None:
    """A key and ids may come from a process substitution; everything else has to be a regular file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="a pipe, not a regular file"):
        read_file(path, 1024)
    for read, text, wanted in (
        (read_key, "key-123456\n", "key-123456"),
        (lambda path: options.collect_ids([], str(path), load_contract("apiai")), "1 2\n", ["1", "2"]),
    ):
        writer = threading.Thread(target=path.write_text, args=(text,))
        writer.start()
        assert read(path) == wanted
        writer.join()


def test_devices_without_end(tmp_path: Path) -> None:
    """A device that yields bytes for ever exceeds the limit of a key and of ids."""
    device = tmp_path / "device"
    device.symlink_to("/dev/zero")
    with pytest.raises(SettingError, match="larger than 64 KiB"):
        read_key(device)
    with pytest.raises(SettingError, match="larger than 16 MiB"):
        options.collect_ids([], str(device), load_contract("apiai"))
    with pytest.raises(OSError, match="a device or a socket, not a regular file"):
        read_file(device, 1024)


def test_a_locked_file_is_locked_once(tmp_path: Path) -> None:
    """A second lock on an open file fails until the first one is closed."""
    path = tmp_path / "file"
    with path.open("wb") as first, path.open("rb") as second:
        assert lock_file(first)
        assert lock_file(second) is (os.name == "nt")
        first.close()
        assert lock_file(second.fileno())
