"""The options of the commands that talk to a relay, and the relay that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mjrelay import _settings
from mjrelay._relay import Relay
from mjrelay.cli._output import keep_back

RelayArgument = Annotated[
    str, typer.Argument(help="The relay's name (see: mjrelay relays), or the file of its contract.")
]
OverlaysOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay",
        metavar="FILE",
        help="Changes to the contract, an OpenAPI Overlay; may be given several times.",
    ),
]
BaseURLOption = Annotated[
    str | None,
    typer.Option(
        "--base-url", help="Where the relay is: else MJRELAY_BASE_URL, else where its contract says."
    ),
]
SchemeOption = Annotated[
    str | None, typer.Option(help="Which of the contract's security schemes to use; else the first.")
]
KeyFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file with the key, instead of the environment.")
]
TasksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        metavar="ID[=STATE]",
        help="A task that is there, and its state in the end; may be given several times.",
    ),
]
FastOption = Annotated[bool, typer.Option("--fast", help="Use the wire that the extra 'fast' brings.")]


def reach(
    name: str,
    *,
    overlays: list[Path] | None,
    base_url: str | None,
    scheme: str | None,
    timeout: float,
    key_file: Path | None,
    fast: bool,
) -> Relay:
    """The relay by what the options say; its secrets are kept back from then on."""
    key = None if key_file is None else _settings.read_key(key_file)
    relay = Relay(
        name,
        key,
        overlays=overlays or (),
        base_url=base_url,
        scheme=scheme,
        timeout=timeout,
        fast=fast,
        user_agent="cli",
    )
    keep_back(relay._redactor)  # noqa: SLF001 - what is shown of a relay is redacted as its errors are
    return relay
