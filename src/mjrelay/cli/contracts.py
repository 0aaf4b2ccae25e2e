"""``mjrelay relays``: the contracts that are known, what one says, and where two differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mjrelay.cli.options import OverlaysOption, RelayArgument
from mjrelay.cli.output import FormatOption, is_pretty, load, talk, write_json, write_line
from mjrelay.cli.report import View, ViewOption
from mjrelay.contract import (
    contract_profile,
    load_contract,
    profile_differences,
    profile_statements,
    relay_names,
)
from mjrelay.http import printable_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.contract import Term


_NOTHING = "-"
"""Stands where a contract says nothing."""

_LABELS = {"base_url": "base URL", "id": "id goes in", "open": "open without a key", "fields": ""}

relays = typer.Typer(
    name="relays",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@relays.callback()
def every(context: typer.Context, format_: FormatOption = None) -> None:
    """List the contracts that are known, how each relay is told who asks, and where it is."""
    if context.invoked_subcommand is not None:
        if format_ is not None:
            raise typer.BadParameter(f"write it behind {context.invoked_subcommand}", param_hint="--format")
        return
    contracts = [load_contract(name) for name in relay_names()]
    if not is_pretty(format_):
        write_json(
            [
                {
                    "relay": contract.name,
                    "base_url": contract.base_url,
                    "method": contract.method,
                    "path": contract.path,
                    "auth": [str(credential) for credential in contract.credentials],
                }
                for contract in contracts
            ]
        )
        return
    rows = [
        (
            contract.name,
            contract.base_url or "none; give --base-url",
            f"{contract.method} {contract.path}",
            "\n".join(map(str, contract.credentials)),
        )
        for contract in contracts
    ]
    _draw(("relay", "base URL", "fetch", "auth"), rows)


@relays.command()
def show(relay: RelayArgument, overlay: OverlaysOption = None, format_: ViewOption = None) -> None:
    """
    Show what a relay's contract says, in the terms of who writes a client for it.

    Exit codes: 0 shown, 2 wrong usage.
    """
    found = contract_profile(load_contract(relay, overlay or ()))
    if _chosen(format_) is View.JSON:
        write_json(found)
        return
    rows = [
        (_label(term), _value(term, value))
        for term, value in profile_statements(found)
        if term[-1] != "unset" or value
    ]
    _table(("term", found["relay"]), rows, format_)


@relays.command()
def compare(
    left: Annotated[str, typer.Argument(metavar="A", help="A relay's name, or the file of its contract.")],
    right: Annotated[str, typer.Argument(metavar="B", help="Another one's.")],
    format_: ViewOption = None,
) -> None:
    """
    Show where the contracts of two relays differ, in the same terms as show.

    Of words it is those that the other one does not know. Exit codes: 0 compared, whether or not they
    differ, 2 wrong usage.
    """
    ours, theirs = (contract_profile(load_contract(name)) for name in (left, right))
    found = profile_differences(ours, theirs)
    if _chosen(format_) is View.JSON:
        rows = [{"term": list(one.term), "left": one.left, "right": one.right} for one in found]
        write_json({"left": ours["relay"], "right": theirs["relay"], "differences": rows})
        return
    _table(
        ("term", ours["relay"], theirs["relay"]),
        [(_label(one.term), _value(one.term, one.left), _value(one.term, one.right)) for one in found],
        format_,
    )


def _chosen(format_: View | None) -> View:
    if format_ is None:
        return View.PRETTY if sys.stdout.isatty() else View.JSON
    return format_


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], format_: View | None) -> None:
    if _chosen(format_) is View.PRETTY:
        _draw(head, rows)
        return
    write_line(_markdown_row(head))
    write_line("|".join(["", *["---"] * len(head), ""]))
    for term, *values in rows:
        write_line(_markdown_row([term, *(value if value == _NOTHING else f"`{value}`" for value in values)]))


def _markdown_row(cells: Sequence[str]) -> str:
    shown = (printable_text(cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _draw(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in head:
        table.add_column(Text(printable_text(column)), overflow="fold")
    for row in rows:
        table.add_row(*("\n".join(map(printable_text, cell.split("\n"))) for cell in row))
    Console(markup=False, highlight=False).print(table)


def _label(term: Term) -> str:
    """What a term is called; a field by its name alone."""
    first, *rest = term
    words = [_LABELS.get(first, first), *(word for word in rest if word not in {"at", "words"})]
    return " ".join(filter(None, words))


def _value(term: Term, value: Any) -> str:
    """A value for people."""
    if value in (None, [], {}):
        return _NOTHING
    if isinstance(value, dict) and term[0] == "extra":
        return "; ".join(filter(None, (value["type"], _unset(value["unset"]))))
    if isinstance(value, dict) and term[-1] == "unset":
        return _unset(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_word, value)) if isinstance(value, list) else _word(value)


def _unset(styles: dict[str, list[str]]) -> str:
    return "; ".join(f"{style} when {', '.join(states)}" for style, states in styles.items())


def _word(value: Any) -> str:
    """A word as sent; an answer by its status, its body and what it says."""
    match value:
        case str() if value:
            return value
        case {"status": status, "body": body, "where": where}:
            said = "" if where is None else f" where {_word(where)}"
            return f"{status}{'' if body is None else f' {body}'}{said}"
        case _:
            return json.dumps(value, ensure_ascii=False)


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
    single = load("mjrelay_codegen.single", "codegen")
    contract = load_contract(relay, overlay or ())
    try:
        written = single.write(contract, output)
    except single.LintError as error:
        for violation in error.violations:
            talk(str(violation))
        talk(f"{len(error.violations)} violations; nothing was written")
        raise typer.Exit(1) from error
    if written.left:
        talk(f"not generated, and left as they are: {', '.join(written.left)}")
    write_line(printable_text(str(written.package)))
