"""``mjrelay generate``: the typed client of a contract of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mjrelay import _contract
from mjrelay.cli._options import OverlaysOption, RelayArgument
from mjrelay.cli._output import load, talk, write_line


def generate(
    relay: RelayArgument,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Where to write the package <relay>_client.")
    ],
    overlay: OverlaysOption = None,
) -> None:
    """
    Write the typed client of a contract, as a package of its own.

    The contract is linted first. The package needs attrs and httpx and nothing else; where Python can import
    it, task.raw gives its models. Exit codes: 0 it is written, and its folder printed, 1 the contract has to
    be mended first, 2 wrong usage, 5 a mistake of our own.
    """
    single = load("mjrelay_codegen._single", "codegen")
    contract = _contract.overlaid(relay, overlay or ())
    try:
        written = single.write(contract, output)
    except single.LintError as error:
        for violation in error.violations:
            talk(str(violation))
        talk(f"{len(error.violations)} violations; nothing was written")
        raise typer.Exit(1) from error
    write_line(str(written.package))
