"""``mjrelay listen``: print the callbacks that arrive."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import click

from mjrelay.base import SettingError
from mjrelay.callbacks import CallbackEndpoint, Reply
from mjrelay.cli.options import PATH, make_relay, overlays_option, relay_argument
from mjrelay.cli.output import (
    OutputError,
    format_option,
    is_pretty,
    json_text,
    load_extra,
    print_message,
    write_line,
)
from mjrelay.client import RelayError
from mjrelay.contract import load_contract
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay.contract import Contract


@click.command()
@relay_argument
@click.option("--port", type=click.IntRange(0, 65535), default=8081, help="Port to listen on; 0 picks one.")
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@click.option("--record", type=PATH, metavar="FILE", help="Append what arrives, for mjrelay replay.")
@overlays_option
@format_option("pretty", "json")
def listen(
    *,
    relay: str,
    port: int,
    host: str,
    record: Path | None,
    overlays: tuple[Path, ...],
    format_: str | None,
) -> None:
    """
    Print the callbacks of a relay as they arrive, until Ctrl-C.

    Every path is accepted, and no task is fetched: what is printed is what the sender claims. To receive
    callbacks in a program, use mjrelay.callbacks.

    In the record each body is the response to a fetch, so that mjrelay replay judges it as one.
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
    contract, pretty = load_contract(relay, overlays), is_pretty(format_)
    try:
        opened = nullcontext() if record is None else record.open("a", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{record}: it cannot be written ({error.strerror}); check the path") from error
    failures: list[Exception] = []
    with opened as file:

        async def show(path: str, body: bytes) -> Reply:
            try:
                task = reader.read(body)
            except RelayError as error:
                print_message(f"{path[:200]}: {error}")
                return 400, "the body is not a task of this relay"
            try:
                if file is not None:
                    _record(file, contract, task.id, body)
                if pretty:
                    progress = "" if task.progress is None else f" {task.progress} %"
                    write_line(printable_text(f"{path[:200]}  {task.id}  {task.state.value}{progress}"))
                else:
                    write_line(json_text({"path": path, "task": task.to_dict()}))
            except (OSError, OutputError) as error:  # the server would swallow it
                failures.append(error)
                signal.raise_signal(signal.SIGINT)
                return 503, "the output cannot be written"
            return 204, ""

        server.serve_mock(
            CallbackEndpoint(lambda path: path, show),
            host,
            port,
            announce=lambda url: print_message(f"listening at {url}; pass its public URL as --callback"),
        )
    if failures:
        raise failures[0]


def _record(file: IO[str], contract: Contract, task_id: str, body: bytes) -> None:
    request = contract.request(task_id)
    exchange = {
        "method": request.method,
        "target": request.target,
        "request_headers": request.headers,
        "request_body": request.body.decode(),
        "started": datetime.now(UTC).isoformat(),
        "elapsed_ms": 0,
        "status": 200,
        "headers": [],  # those of a callback are not those of a response, and are not judged
        "body": {"text": body.decode()},
    }
    file.write(json_text(exchange) + "\n")
    file.flush()
