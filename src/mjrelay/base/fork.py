"""
Handle forks: close sockets and locked files, and replace locks, in the child process.

Only the thread that calls ``fork`` exists in the child. A lock of another thread is never released there,
and sockets and file locks are shared by both processes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable


O = TypeVar("O")  # noqa: E741 - an owner


class File(Protocol):
    """An open file or socket."""

    def fileno(self) -> int:
        """The descriptor, negative once closed."""

    def close(self) -> object:
        """Close the descriptor without sending data."""


_files: WeakSet[File] = WeakSet()
_renewals: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()


def close_after_fork(file: File) -> None:
    """Close a file or socket in each child process. Nothing is sent, and the parent keeps it open."""
    _files.add(file)


def renew_after_fork(owner: O, renew: Callable[[O], object]) -> None:
    """Call ``renew(owner)`` in each child process, to replace locks and shared objects."""
    _renewals[owner] = renew


def _renew_all() -> None:
    ended: int | None
    try:
        ended, other = os.pipe()
        os.close(other)
    except OSError:  # no free descriptor
        ended = None
    for file in list(_files):
        with suppress(OSError, ValueError):
            if ended is not None:
                # An event loop may still close or unregister this number. It must not refer to a descriptor
                # of the parent, or to a file that the child opens later.
                os.dup2(ended, file.fileno(), inheritable=False)
            file.close()
    if ended is not None:
        os.close(ended)
    for owner, renew in list(_renewals.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
