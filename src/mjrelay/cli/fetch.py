"""``mjrelay fetch``: one task, once."""

from __future__ import annotations

from typing import Annotated

import typer

from mjrelay.cli._options import (
    BaseURLOption,
    FastOption,
    KeyFileOption,
    OverlaysOption,
    RelayArgument,
    SchemeOption,
    reach,
)
from mjrelay.cli._output import FormatOption, is_pretty, write_json


def fetch(
    relay: RelayArgument,
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task's id.")],
    base_url: BaseURLOption = None,
    scheme: SchemeOption = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the request may take.")] = 30.0,
    key_file: KeyFileOption = None,
    fast: FastOption = False,
    overlay: OverlaysOption = None,
    format_: FormatOption = None,
) -> None:
    """
    Fetch one task and print it.

    The key comes from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file. Exit codes: 0 the task is
    printed, whatever its state, 1 the relay gave no such task, 2 wrong usage, 5 a mistake of our own, 130
    interrupted.
    """
    with reach(
        relay,
        overlays=overlay,
        base_url=base_url,
        scheme=scheme,
        timeout=timeout,
        key_file=key_file,
        fast=fast,
    ) as client:
        task = client.fetch(task_id)
    if not is_pretty(format_):
        write_json(task.to_dict())
        return
    from mjrelay.cli import _terminal  # noqa: PLC0415 - rich is slow to import

    _terminal.render(task)
