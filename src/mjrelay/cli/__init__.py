"""
The command ``mjrelay``: one module for each of its commands, imported when the command is run.

Stdout is data in UTF-8, stderr is talk. Exit codes: 0 done, 1 the relay did not do what was asked, or
stdout cannot be written, 2 wrong usage, 5 a mistake of our own, 130 interrupted; ``conform`` has more.
"""

from __future__ import annotations

import inspect
import io
import sys
import traceback
import warnings
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from mjrelay.base import MjrelayError, __version__
from mjrelay.cli.output import OutputError, Stdout, talk
from mjrelay.client import RelayError
from mjrelay.http import redacted_text

_COMMANDS = {
    "relays": "contracts",
    "fetch": "tasks",
    "wait": "tasks",
    "mock": "mock",
    "conform": "conform",
    "replay": "conform",
    "report": "report",
    "generate": "contracts",
    "doctor": "doctor",
}
_CONTEXT = {"help_option_names": ["-h", "--help"]}


class _Commands(TyperGroup):
    """The commands by their names, each made when it is asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own base
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        # Of a name that is none, all are made, for the nearest of them to be offered.
        for name in (cmd_name,) if cmd_name in _COMMANDS else _COMMANDS:
            if name not in self.commands:
                self.add_command(_command(name), name)
        return super().get_command(ctx, cmd_name)


def _command(name: str) -> Any:
    function = getattr(import_module(f"mjrelay.cli.{_COMMANDS[name]}"), name)
    if isinstance(function, typer.Typer):  # which has commands of its own
        return get_command(function)
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=_CONTEXT)
    # A paragraph is a line, for typer keeps the breaks of lines.
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    one.command(name, help="\n\n".join(" ".join(lines.split()) for lines in paragraphs))(function)
    return get_command(one)


app = typer.Typer(
    cls=_Commands,
    name="mjrelay",
    help="Fetch Midjourney tasks from any relay, and judge whether a relay keeps its contract.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mjrelay {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take what stands before the command's name."""


def main() -> NoReturn:
    """Run the command; what goes wrong on purpose becomes one line on stderr."""
    sys.stdout = Stdout.instead_of(sys.stdout)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: talk(str(message))
    try:
        app()
    except (RelayError, OutputError) as error:
        talk(str(error))
        sys.exit(1)
    except MjrelayError as error:
        talk(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # noqa: BLE001 - no crash of ours may look like a verdict on a relay
        sys.stderr.write(redacted_text(traceback.format_exc()))
        sys.exit(5)
    sys.exit(0)
