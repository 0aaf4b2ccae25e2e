"""Arguments and options that several commands share, and the relay and task ids that they describe."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mjrelay.base import SettingError, did_you_mean, nearest_names, read_file
from mjrelay.cli.output import format_option
from mjrelay.client import Relay
from mjrelay.contract import checked_id, read_key
from mjrelay.http import set_redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mjrelay.contract import Contract


SETTINGS = {
    "api_key": "--key-file",
    "base_url": "--base-url",
    "fast": "--fast",
    "overlays": "--overlay",
    "scheme": "--scheme",
}
"""The settings of a relay that are options of the command."""


class Group(click.Group):
    """Commands in the order of their definition. An unknown name suggests the nearest command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = did_you_mean(nearest_names(args[0], self.list_commands(ctx)))
            ctx.fail(f"No such command '{args[0]}'; {near or f'list them with: {ctx.command_path} --help'}")
        return super().resolve_command(ctx, args)


def argument(name: str, *, help: str, **settings: Any) -> Callable[[Any], Any]:  # noqa: A002 - click's name
    """Like `click.argument`. Before click 8.5 an argument has no help."""
    if "help" in click.Argument.__init__.__annotations__:
        settings["help"] = help
    return click.argument(name, **settings)


PATH = click.Path(path_type=Path)

relay_argument = argument("relay", help="Relay name (see: mjrelay relays) or path of a contract.")
overlays_option = click.option(
    "--overlay",
    "overlays",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="OpenAPI Overlay to apply to the contract; repeatable.",
)
base_url_option = click.option(
    "--base-url",
    metavar="URL",
    help="Base URL. Falls back to MJRELAY_BASE_URL, then to the contract's server.",
)
scheme_option = click.option(
    "--scheme", metavar="NAME", help="Security scheme of the contract. Default: the first one."
)
key_file_option = click.option(
    "--key-file", type=PATH, metavar="FILE", help="Read the API key from this file, not the environment."
)
tasks_option = click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="ID[=STATE]",
    help="An existing task and its final state; repeatable.",
)
allow_private_option = click.option(
    "--allow-private", is_flag=True, help="Also download from addresses of private networks."
)
fast_option = click.option("--fast", is_flag=True, help="Use the transport of the extra 'fast'.")
seed_option = click.option("--seed", type=int, default=0, metavar="N", help="Random seed.")


def relay_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `make_relay` that commands about tasks share, and ``--format``."""
    for option in (
        format_option("pretty", "json"),
        overlays_option,
        fast_option,
        key_file_option,
        scheme_option,
        base_url_option,
    ):
        command = option(command)
    return command


def make_relay(
    name: str,
    *,
    overlays: Iterable[Path],
    base_url: str | None,
    scheme: str | None,
    timeout: float,
    key_file: Path | None,
    fast: bool,
    kind: type[Relay] = Relay,
    **submits: Any,
) -> Relay:
    """
    Return the relay that the options describe. From then on all output is redacted for its key.

    ``kind`` is its class, and ``submits`` are its options for submits.
    """
    relay = kind(
        name,
        None if key_file is None else read_key(key_file),
        overlays=tuple(overlays),
        base_url=base_url,
        scheme=scheme,
        timeout=timeout,
        fast=fast,
        user_agent="cli",
        **submits,
    )
    set_redactor(relay._redactor)  # noqa: SLF001 - output is redacted in the same way as errors
    return relay


_STDIN = "-"
_IDS_LIMIT = 16 << 20
"""Maximum size of a list of ids, in bytes."""


def collect_ids(arguments: Iterable[str], file: str | None, contract: Contract) -> list[str]:
    """
    Return the distinct task ids of the arguments and a file, in order. ``-`` stands for stdin.

    The URL of a task of the contract stands for the id in it.

    Raises:
        SettingError: There are no ids, or the file cannot be read.

    """
    ids = list(dict.fromkeys(checked_id(contract, one) for one in _all_ids(arguments, file)))
    if not ids:
        raise SettingError("no ids: give them as arguments, with --ids-file FILE, or on stdin with -")
    return ids


def _all_ids(arguments: Iterable[str], file: str | None) -> Iterator[str]:
    for task_id in arguments:
        if task_id == _STDIN:
            yield from _parse_ids("stdin", _read_stdin())
        elif task_id.strip():
            yield task_id
    if file == _STDIN:
        yield from _parse_ids("stdin", _read_stdin())
    elif file is not None:
        try:
            content = read_file(file, _IDS_LIMIT, pipe=True)
        except OSError as error:
            raise SettingError(
                f"{file}: the ids cannot be read ({error.strerror}); check the path"
            ) from error
        yield from _parse_ids(file, content)


def _read_stdin() -> bytes:
    content = sys.stdin.buffer.read(_IDS_LIMIT + 1)
    if len(content) > _IDS_LIMIT:
        raise SettingError(
            f"stdin: the ids are larger than the limit of {_IDS_LIMIT >> 20} MiB; split the list"
        )
    return content


def _parse_ids(source: str, content: bytes) -> Iterator[str]:
    """Yield the words between white space. ``#`` starts a comment."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingError(f"{source}: the ids are not UTF-8 text; write one id per line") from error
    for line in text.splitlines():
        yield from re.sub(r"(?:^|(?<=\s))#.*", "", line).split()
