"""``mjrelay fetch``: one task, once."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mjrelay._relay import Relay
from mjrelay.cli._output import FormatOption, is_pretty, printable, write_json


def fetch(
    relay: Annotated[str, typer.Argument(help="The relay's name; see: mjrelay relays.")],
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task's id.")],
    base_url: Annotated[
        str | None, typer.Option(help="Where the relay is, if not where its contract says.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the request may take.")] = 30.0,
    format_: FormatOption = None,
) -> None:
    """
    Fetch one task and print it.

    The key comes from MJRELAY_<RELAY>_API_KEY or MJRELAY_API_KEY. Exit code 1: the relay gave no such task.
    """
    with Relay(relay, base_url=base_url, timeout=timeout) as client:
        task = client.fetch(task_id)
    if not is_pretty(format_):
        write_json(task.to_dict())
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in task.to_dict().items():
        if value not in (None, [], ""):
            lines = [button["label"] or button["emoji"] for button in value] if name == "buttons" else value
            several = lines if isinstance(lines, list) else [lines]
            shown = "\n".join(printable(str(line)) for line in several)
            table.add_row(Text(name, style="bold"), Text(shown, overflow="fold"))
    Console().print(table)
