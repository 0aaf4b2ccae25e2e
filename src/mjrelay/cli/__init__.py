"""
The command ``mjrelay``: one module for each of its commands.

Stdout is data in UTF-8, stderr is talk. Exit codes: 0 done, 1 the relay did not do what was asked, 2 wrong
usage, 5 a mistake of our own; ``conform`` has more, see there.
"""

from __future__ import annotations

import io
import sys
import traceback
from typing import NoReturn

import typer

from mjrelay.cli import conform, fetch, mock, relays
from mjrelay.cli._output import printable
from mjrelay.errors import MjrelayError, RelayError

app = typer.Typer(
    name="mjrelay",
    help="Fetch Midjourney tasks from any relay, and judge whether a relay keeps its contract.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("relays")(relays.relays)
app.command("fetch")(fetch.fetch)
app.command("mock")(mock.mock)
app.command("conform")(conform.conform)


def main() -> NoReturn:
    """Run the command; what goes wrong on purpose becomes one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app()
    except RelayError as error:
        sys.exit(_told(error, 1))
    except MjrelayError as error:
        sys.exit(_told(error, 2))
    except Exception:  # noqa: BLE001 - no crash of ours may look like a verdict on a relay
        traceback.print_exc()
        sys.exit(5)
    sys.exit(0)


def _told(error: MjrelayError, code: int) -> int:
    typer.echo(f"mjrelay: {printable(str(error))}", err=True)
    return code
