"""``mjrelay replay``: whether recorded traffic keeps a relay's contract."""

from __future__ import annotations

from typing import Annotated

import typer

from mjrelay.cli._options import KeyFileOption, OverlaysOption, RelayArgument, TasksOption
from mjrelay.cli._output import keep_back, load, talk
from mjrelay.cli._record import ViewOption, show
from mjrelay.cli.conform import BaselineFile, Checks, Excluded, ReportDir, Strict


def replay(
    relay: RelayArgument,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="HAR 1.2, JSON Lines of exchanges, or a results.json, also packed by gzip; - is stdin.",
        ),
    ],
    base_url: Annotated[
        str | None,
        typer.Option(help="Only what was asked at this URL; otherwise any host and prefix will do."),
    ] = None,
    task: TasksOption = None,
    strict: Strict = False,
    check: Checks = None,
    exclude: Excluded = None,
    baseline: BaselineFile = None,
    overlay: OverlaysOption = None,
    report_dir: ReportDir = None,
    key_file: KeyFileOption = None,
    format_: ViewOption = None,
) -> None:
    """
    Judge recorded traffic, without a single request.

    An exchange counts where its URL ends as the contract's operation does. What the recording does not prove
    is not held against the relay: refusals stay inconclusive, and a task is known where it was read or named
    with --task. Keys are found in the recording, and in no output. Exit codes are those of conform: 0
    conformant, 1 non-conformant, 2 wrong usage or an unreadable file, 3 partial (not enough was recorded), 5
    a check itself failed.
    """
    suite = load("mjrelay_conformance.replay", "conformance")
    options = suite.Options(
        relay=relay,
        file=file,
        base_url=base_url,
        tasks=tuple(task or ()),
        strict=strict,
        globs=tuple(check or ()),
        excluded=tuple(exclude or ()),
        baseline=baseline,
        overlays=tuple(overlay or ()),
        report_dir=report_dir,
        key_file=key_file,
    )
    code, record = suite.replay(options, talk)
    keep_back(record.redactor)
    show(record, format_)
    raise typer.Exit(code)
