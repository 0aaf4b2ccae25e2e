"""``mjrelay new``, ``mjrelay lint`` and ``mjrelay generate``: write a contract, and make a client from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mjrelay.cli.options import PATH, argument, overlays_option, relay_argument
from mjrelay.cli.output import load_extra, print_message, write_line
from mjrelay.contract import load_contract
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from collections.abc import Sized


@click.command()
@argument("name", help="Name of the relay: lower-case letters and digits.")
@click.option(
    "--extends", metavar="OTHER", help="Write an overlay over this relay or contract instead of a contract."
)
@click.option(
    "--output",
    default=Path(),
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Write NAME.yaml here.",
)
def new(*, name: str, extends: str | None, output: Path) -> None:
    """
    Write the draft of a contract for a new relay.

    The file explains each part in comments and marks what to fill in as TODO. It is never overwritten.

    Exit codes: 0 the file is written and its path printed, 2 wrong usage.
    """
    scaffolding = load_extra("mjrelay_codegen.scaffolding", "lint")
    path = scaffolding.new(output, name, extends)
    write_line(printable_text(str(path)))
    print_message(f"read it and resolve each TODO, which this lists: mjrelay lint {path}")


@click.command()
@argument("file", type=PATH, help="Path of a contract or an overlay.")
def lint(*, file: Path) -> None:
    """
    List the violations of a contract or an overlay, with file and line.

    An overlay with extends is applied first. Of an overlay without it, only the form is checked.

    Exit codes: 0 no violations, 1 violations, 2 wrong usage.
    """
    linter = load_extra("mjrelay_codegen.linter", "lint")
    violations = linter.lint_user_file(file)
    for violation in violations:
        write_line(printable_text(str(violation)))
    print_message(_count(violations))
    if violations:
        sys.exit(1)


@click.command()
@relay_argument
@click.option(
    "--output", required=True, type=PATH, metavar="DIR", help="Write the package <relay>_client here."
)
@overlays_option
def generate(*, relay: str, output: Path, overlays: tuple[Path, ...]) -> None:
    """
    Generate the typed client of a contract, as a package of its own.

    The contract is linted first. The package needs only attrs and httpx. Where Python can import it,
    task.raw returns its models.

    Exit codes: 0 the package is written and its path printed, 1 the contract has violations, 2 wrong usage or
    the contract cannot be loaded, 5 internal error.
    """
    single = load_extra("mjrelay_codegen.single", "codegen")
    contract = load_contract(relay, overlays)
    try:
        written = single.write(contract, output)
    except single.LintError as error:
        for violation in error.violations:
            print_message(str(violation))
        print_message(f"{_count(error.violations)}; fix them, nothing was written")
        sys.exit(1)
    if written.left:
        print_message(f"left unchanged, for they were not generated: {', '.join(written.left)}")
    write_line(printable_text(str(written.package)))


def _count(violations: Sized) -> str:
    return "1 violation" if len(violations) == 1 else f"{len(violations)} violations"
