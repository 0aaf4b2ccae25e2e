"""The commands that continue after an interruption: ``mjrelay wait`` and ``mjrelay find``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from mjrelay.cli.output import print_message

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

_SHOWN_IDS = 10
"""Maximum number of ids that an interrupted run prints."""
_RELAY_OPTIONS = frozenset({"overlays", "base_url", "scheme", "key_file", "fast"})
"""Options of every command that uses a relay. None of them holds a key."""
_WAIT_OPTIONS = _RELAY_OPTIONS | {"download", "allow_private", "out", "timeout", "format_"}
"""Options that a submit and ``wait`` share."""


def print_remaining(ctx: click.Context, name: str, left: list[str], reason: str = "") -> None:
    """Print the remaining ids at a relay, and the command that resumes."""
    shown = " ".join(left[:_SHOWN_IDS])
    if len(left) > _SHOWN_IDS:
        shown += f" and {len(left) - _SHOWN_IDS} more"
    remain = "task remains" if len(left) == 1 else "tasks remain"
    print_message(f"{reason}{len(left)} {remain} at {name}: {shown}")
    # With a file of ids or results, the same command continues, however many ids remain.
    in_file = ctx.params["out"] is not None or ctx.params["ids_file"] not in {None, "-"}
    if len(left) > _SHOWN_IDS and in_file:
        print_message(f"resume with the same command: {shlex.join(['mjrelay', *sys.argv[1:]])}")
    else:
        options = {parameter.name for parameter in ctx.command.params} - {"ids_file"}
        print_message(f"resume with: {_command(ctx, 'wait', options, left)}")


def wait_command(ctx: click.Context, ids: Sequence[str]) -> str:
    """Return the command that waits for the tasks of a submit, with the options of the submit."""
    return _command(ctx, "wait", _WAIT_OPTIONS, ids)


def find_command(ctx: click.Context, wanted: str) -> str:
    """Return the command that looks for a submit by its state token or prompt."""
    return _command(ctx, "find", _RELAY_OPTIONS, [wanted])


def _command(ctx: click.Context, name: str, options: Container[str | None], arguments: Sequence[str]) -> str:
    dashes = ["--"] if any(argument.startswith("-") for argument in arguments) else []
    given = _given_options(ctx, options)
    return shlex.join(["mjrelay", name, *given, *dashes, ctx.params["relay"], *arguments])


def _given_options(ctx: click.Context, names: Container[str | None]) -> list[str]:
    """Return the options of these names that are on the command line."""
    words = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if (
            isinstance(parameter, click.Option)
            and name in names
            and source is click.core.ParameterSource.COMMANDLINE
        ):
            value = ctx.params[name]
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0]] if one is True else [parameter.opts[0], str(one)]
    return words
