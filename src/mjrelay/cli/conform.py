"""``mjrelay conform``: whether a relay keeps its contract."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mjrelay import _settings
from mjrelay.cli._output import FormatOption, is_pretty, load, write_json


class Profile(StrEnum):
    """How much of a relay is tried."""

    READ = "read"


def conform(
    relay: Annotated[
        str | None, typer.Argument(help="The relay's name; without it, the mocks of all.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="The relay to judge, or MJRELAY_BASE_URL beside a name; without either, its mock."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID[=STATE]", help="A task that is there, and its state; may be given several times."
        ),
    ] = None,
    profile: Annotated[Profile, typer.Option(help="What is tried; read asks for tasks only.")] = Profile.READ,
    fuzz: Annotated[
        bool | None,
        typer.Option(
            "--fuzz/--no-fuzz",
            help="The property-based phase; on by itself, but on a live relay only when asked.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Let every finding count, not only a broken MUST.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")
    ] = False,
    check: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only the checks whose ids match.")
    ] = None,
    report_dir: Annotated[Path | None, typer.Option(help="Where to write results.json.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="A file with the key, instead of the environment.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What random choices begin with.")] = 0,
    list_: Annotated[bool, typer.Option("--list", help="List the checks and what each says.")] = False,
    format_: FormatOption = None,
) -> None:
    """
    Judge whether a relay keeps its contract.

    Without --base-url the relay's own mock is judged. A live relay gets 12 GET requests of the fetch
    operation at most, told before they are sent. The key comes from MJRELAY_<RELAY>_API_KEY,
    MJRELAY_API_KEY or --key-file. Exit codes: 0 conformant, 1 non-conformant, 2 wrong usage, 3 partial
    (not enough was exercised), 4 unreachable, 5 a check itself failed.
    """
    suite = load("mjrelay_conformance._conform", "conformance")
    if list_:
        for known in suite.CHECKS.values():
            typer.echo(f"{known.id:32}{known.level.value:8}{known.sentence}")
        return
    options = suite.Options(
        relay=relay,
        base_url=base_url or (_settings.environment_url() if relay else None),
        profile=profile.value,
        tasks=tuple(task or ()),
        fuzz=fuzz,
        strict=strict,
        dry_run=dry_run,
        globs=tuple(check or ()),
        report_dir=report_dir,
        key_file=key_file,
        seed=seed,
    )
    talk = Console(stderr=True)
    verdict, record = suite.conform(options, talk)
    if verdict is None:
        return
    if is_pretty(format_):
        load("mjrelay_conformance._terminal", "conformance").render(record.document(), Console())
    else:
        write_json(record.document())
    if record.path is not None:
        talk.print(f"written: {record.path}")
    raise typer.Exit(verdict.exit_code)
