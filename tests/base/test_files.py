"""Files that the user names: limits on size and kind, and file locks."""

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

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes need POSIX")


def test_the_limit_of_a_file(tmp_path: Path) -> None:
    """A file of exactly the limit is read. A larger file raises an error that shows the limit."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2048)
    assert len(read_file(path, 2048)) == 2048
    with pytest.raises(OSError, match="larger than 1 KiB, which is the limit"):
        read_file(path, 1024)


@needs_fifo
def test_pipes(tmp_path: Path) -> None:
    """API keys and ids may come from a named pipe. Other files must be regular files."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="a pipe, not a regular file"):
        read_file(path, 1024)
    for read, text, expected in (
        (read_key, "key-123456\n", "key-123456"),
        (lambda path: options.collect_ids([], str(path), load_contract("apiai")), "1 2\n", ["1", "2"]),
    ):
        writer = threading.Thread(target=path.write_text, args=(text,))
        writer.start()
        assert read(path) == expected
        writer.join()


def test_an_endless_device(tmp_path: Path) -> None:
    """An endless device exceeds the limit for keys and ids, and is refused elsewhere."""
    device = tmp_path / "device"
    device.symlink_to("/dev/zero")
    with pytest.raises(SettingError, match="larger than 64 KiB"):
        read_key(device)
    with pytest.raises(SettingError, match="larger than 16 MiB"):
        options.collect_ids([], str(device), load_contract("apiai"))
    with pytest.raises(OSError, match="a device or a socket, not a regular file"):
        read_file(device, 1024)


def test_file_locks_are_exclusive(tmp_path: Path) -> None:
    """A second lock on a file fails until the first file object is closed."""
    path = tmp_path / "file"
    with path.open("wb") as first, path.open("rb") as second:
        assert lock_file(first)
        assert lock_file(second) is (os.name == "nt")
        first.close()
        assert lock_file(second.fileno())
