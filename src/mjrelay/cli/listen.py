"""``mjrelay listen``: print the callbacks that arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mjrelay.callbacks import CallbackEndpoint, Reply
from mjrelay.cli.options import make_relay, overlays_option, relay_argument
from mjrelay.cli.output import format_option, is_pretty, json_text, load_extra, print_message, write_line
from mjrelay.client import RelayError
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@relay_argument
@click.option("--port", type=click.IntRange(0, 65535), default=8081, help="Port to listen on; 0 picks one.")
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@overlays_option
@format_option("pretty", "json")
def listen(*, relay: str, port: int, host: str, overlays: tuple[Path, ...], format_: str | None) -> None:
    """
    Print the callbacks of a relay as they arrive, until Ctrl-C.

    Every path is accepted, and no task is fetched: what is printed is what the sender claims. To receive
    callbacks in a program, use mjrelay.callbacks.
    """
    server = load_extra("mjrelay_conformance.mock", "mock")
    reader = make_relay(
        relay,
        overlays=overlays,
        base_url="http://127.0.0.1",  # nothing is sent
        scheme="none",
        timeout=30.0,
        key_file=None,
        fast=False,
    )
    pretty = is_pretty(format_)

    async def show(path: str, body: bytes) -> Reply:
        try:
            task = reader.read(body)
        except RelayError as error:
            print_message(f"{path[:200]}: {error}")
            return 400, "the body is not a task of this relay"
        if pretty:
            progress = "" if task.progress is None else f" {task.progress} %"
            write_line(printable_text(f"{path[:200]}  {task.id}  {task.state.value}{progress}"))
        else:
            write_line(json_text({"path": path, "task": task.to_dict()}))
        return 204, ""

    server.serve_mock(
        CallbackEndpoint(lambda path: path, show),
        host,
        port,
        announce=lambda url: print_message(f"listening at {url}; pass its public URL as --callback"),
    )
