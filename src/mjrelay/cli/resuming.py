"""The command that resumes an interrupted ``mjrelay wait``."""

from __future__ import annotations

import shlex
import sys

import click

from mjrelay.cli.output import print_message

_SHOWN_IDS = 10
"""Maximum number of ids that an interrupted run prints."""


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
        dashes = ["--"] if any(task_id.startswith("-") for task_id in left) else []
        again = ["mjrelay", "wait", *_given_options(ctx), *dashes, ctx.params["relay"], *left]
        print_message(f"resume with: {shlex.join(again)}")


def _given_options(ctx: click.Context) -> list[str]:
    """Return the options on the command line, except for ``--ids-file``."""
    words = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if (
            isinstance(parameter, click.Option)
            and name != "ids_file"
            and source is click.core.ParameterSource.COMMANDLINE
        ):
            value = ctx.params[name]
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0]] if one is True else [parameter.opts[0], str(one)]
    return words
