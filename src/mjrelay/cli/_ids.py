"""The ids of the tasks that a command is about, from its arguments, a file and stdin."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mjrelay.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STDIN = "-"


def gather(given: Iterable[str], file: str | None) -> list[str]:
    """
    The ids in the order in which they are given, each once; ``-`` means those that stand on stdin.

    Raises `SettingError` where there are none, or the file cannot be read.
    """
    ids = list(dict.fromkeys(_all(given, file)))
    if not ids:
        raise SettingError("no ids: give them as arguments, with --ids-file FILE, or on stdin with -")
    return ids


def _all(given: Iterable[str], file: str | None) -> Iterator[str]:
    for one in given:
        if one == _STDIN:
            yield from _listed("stdin", sys.stdin.buffer.read())
        elif one:
            yield one
    if file == _STDIN:
        yield from _listed("stdin", sys.stdin.buffer.read())
    elif file is not None:
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            raise SettingError(
                f"{file}: the ids cannot be read ({error.strerror}); check the path"
            ) from error
        yield from _listed(file, content)


def _listed(source: str, content: bytes) -> Iterator[str]:
    """What stands between white space; a # and what follows it on its line is a comment."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingError(f"{source}: the ids are no UTF-8 text; write one on each line") from error
    for line in text.splitlines():
        yield from re.sub(r"(?:^|(?<=\s))#.*", "", line).split()
