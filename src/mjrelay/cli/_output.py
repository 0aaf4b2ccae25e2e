"""What the commands share: the output format, and parts of the package that an extra brings."""

from __future__ import annotations

import importlib
import json
import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mjrelay.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, but a terminal may act upon."""


class Format(StrEnum):
    """How data is written on stdout."""

    PRETTY = "pretty"
    JSON = "json"


FormatOption = Annotated[
    Format | None, typer.Option("--format", help="How to write on stdout; pretty on a terminal, else json.")
]


def is_pretty(chosen: Format | None) -> bool:
    """Whether to write for people: as chosen, else where stdout is a terminal."""
    return sys.stdout.isatty() if chosen is None else chosen is Format.PRETTY


def write_json(document: Any) -> None:
    """One JSON document on stdout."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    sys.stdout.write(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def printable(text: str) -> str:
    """Text of a relay's without what would steer a terminal; line ends and tabs become spaces."""
    spaced = re.sub(r"[\t\r\n]+", " ", text)
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in spaced
    )


def load(module: str, extra: str) -> ModuleType:
    """A module that an extra brings; raises `MissingExtraError` where it was not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, error.name or module) from error
