"""
The ``mjrelay`` command: one module for each command, imported when the command runs.

Data goes to stdout in UTF-8, messages go to stderr. Exit codes: 0 success, 1 the relay did not return what
was requested or the disk is full, 2 wrong usage, 5 internal error, 130 interrupted. ``conform`` and
``doctor`` define more.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from mjrelay.base import MjrelayError, __version__, use_options
from mjrelay.cli.options import SETTINGS, Group
from mjrelay.cli.output import OutputError, Stdout, forgiving_stderr, print_message, write_error
from mjrelay.client import RelayError
from mjrelay.http import redacted_text

_COMMANDS = {
    "relays": "contracts",
    "fetch": "tasks",
    "wait": "tasks",
    **dict.fromkeys(("imagine", "blend", "describe", "shorten", "press", "modal", "video"), "submit"),
    **dict.fromkeys(("edits", "swap-face", "upload"), "submit"),
    "submits": "submits",
    "find": "submits",
    "mock": "mock",
    "listen": "listen",
    "durable": "durable",
    "conform": "conform",
    "replay": "conform",
    "report": "report",
    "new": "authoring",
    "lint": "authoring",
    "generate": "authoring",
    "doctor": "doctor",
}
"""The module of each command, in the order of the help."""


class _Commands(Group):
    """The commands by name, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"mjrelay.cli.{_COMMANDS[cmd_name]}"), cmd_name.replace("-", "_")
        )
        return command


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog='Shell completion: eval "$(_MJRELAY_COMPLETE=bash_source mjrelay)", or zsh_source, fish_source.',
)
@click.version_option(__version__, message="mjrelay %(version)s", help="Print the version and exit.")
def app() -> None:
    """Submit and fetch Midjourney tasks on any relay, and judge whether a relay keeps its contract."""


def main() -> NoReturn:
    """Run the command and exit. Each expected error becomes one line on stderr; Ctrl-C is raised."""
    sys.stdout = Stdout.replacing(sys.stdout)
    if sys.stderr is None:  # closed; otherwise the next file or socket has its number
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    use_options(SETTINGS)
    warnings.showwarning = _show_warning
    try:
        code = app.main(prog_name="mjrelay", standalone_mode=False)
    except click.ClickException as error:
        with forgiving_stderr():
            error.show()
        code = error.exit_code
    except (RelayError, OutputError) as error:
        print_message(str(error))
        code = 1
    except MjrelayError as error:
        print_message(str(error))
        code = 1 if _is_storage_failure(error.__cause__) else 2
    except click.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:  # noqa: BLE001 - an internal error must not look like a verdict on a relay
        if _is_storage_failure(error):
            print_message(f"a file cannot be written: {error}; make room and start again")
            sys.exit(1)
        write_error(redacted_text(traceback.format_exc()))
        code = 5
    sys.exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_message(str(message))


def _is_storage_failure(error: BaseException | None) -> bool:
    """Return whether the disk is full or faulty: that is no wrong usage."""
    return isinstance(error, OSError) and error.errno in {
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ENOSPC,
    }
