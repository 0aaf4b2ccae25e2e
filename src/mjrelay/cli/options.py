"""The options of the commands that talk to a relay, and the relay that they make."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mjrelay.base import SettingError, read_file
from mjrelay.client import Relay
from mjrelay.contract import read_key
from mjrelay.http import set_redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


RelayArgument = Annotated[
    str, typer.Argument(help="The relay's name (see: mjrelay relays), or the file of its contract.")
]
OverlaysOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay",
        metavar="FILE",
        help="Changes to the contract, an OpenAPI Overlay; may be given several times.",
    ),
]
BaseURLOption = Annotated[
    str | None,
    typer.Option(
        "--base-url", help="Where the relay is: else MJRELAY_BASE_URL, else where its contract says."
    ),
]
SchemeOption = Annotated[
    str | None, typer.Option(help="Which of the contract's security schemes to use; else the first.")
]
KeyFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file with the key, instead of the environment.")
]
TasksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        metavar="ID[=STATE]",
        help="A task that is there, and its state in the end; may be given several times.",
    ),
]
FastOption = Annotated[bool, typer.Option("--fast", help="Use the wire that the extra 'fast' brings.")]


def reach(
    name: str,
    *,
    overlays: list[Path] | None,
    base_url: str | None,
    scheme: str | None,
    timeout: float,
    key_file: Path | None,
    fast: bool,
) -> Relay:
    """The relay by what the options say; its secrets are kept back from then on."""
    key = None if key_file is None else read_key(key_file)
    relay = Relay(
        name,
        key,
        overlays=overlays or (),
        base_url=base_url,
        scheme=scheme,
        timeout=timeout,
        fast=fast,
        user_agent="cli",
    )
    set_redactor(relay._redactor)  # noqa: SLF001 - what is shown of a relay is redacted as its errors are
    return relay


_STDIN = "-"
_LARGEST_IDS = 16 << 20
"""Bytes of a list of ids."""


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
            yield from _listed("stdin", _stdin())
        elif one:
            yield one
    if file == _STDIN:
        yield from _listed("stdin", _stdin())
    elif file is not None:
        try:
            content = read_file(file, _LARGEST_IDS, pipe=True)
        except OSError as error:
            raise SettingError(
                f"{file}: the ids cannot be read ({error.strerror}); check the path"
            ) from error
        yield from _listed(file, content)


def _stdin() -> bytes:
    content = sys.stdin.buffer.read(_LARGEST_IDS + 1)
    if len(content) > _LARGEST_IDS:
        raise SettingError(
            f"stdin: the ids are larger than {_LARGEST_IDS >> 20} MiB, which is the limit; give fewer at once"
        )
    return content


def _listed(source: str, content: bytes) -> Iterator[str]:
    """What stands between white space; a # and what follows it on its line is a comment."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingError(f"{source}: the ids are no UTF-8 text; write one on each line") from error
    for line in text.splitlines():
        yield from re.sub(r"(?:^|(?<=\s))#.*", "", line).split()
