"""``mjrelay relays``: list, show and compare contracts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from mjrelay.cli.options import Group, argument, overlays_option, relay_argument
from mjrelay.cli.output import format_option, is_pretty, write_json, write_line
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
    from pathlib import Path

    from mjrelay.contract import Term


_NOTHING = "-"
"""Shown where a contract has no value."""

_LABELS = {"base_url": "base URL", "id": "id goes in", "open": "open without a key", "fields": ""}

_table_format_option = format_option("pretty", "json", "markdown")


@click.group(cls=Group, invoke_without_command=True)
@format_option("pretty", "json")
@click.pass_context
def relays(ctx: click.Context, /, *, format_: str | None) -> None:
    """List relays with their base URL and auth header."""
    if ctx.invoked_subcommand is not None:
        if format_ is not None:
            raise click.BadParameter(f"write it after {ctx.invoked_subcommand}", param_hint="--format")
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
    _write_table(("relay", "base URL", "fetch", "auth"), rows, "pretty")


@relays.command()
@relay_argument
@overlays_option
@_table_format_option
def show(*, relay: str, overlays: tuple[Path, ...], format_: str | None) -> None:
    """
    Show a relay's auth header, path, fields and status values.

    Exit codes: 0 success, 2 wrong usage.
    """
    profile = contract_profile(load_contract(relay, overlays))
    if _is_json(format_):
        write_json(profile)
        return
    rows = [
        (_label(term), _value(term, value))
        for term, value in profile_statements(profile)
        if term[-1] != "unset" or value
    ]
    _write_table(("term", profile["relay"]), rows, format_)


@relays.command()
@argument("left", metavar="A", help="Relay name or path of a contract.")
@argument("right", metavar="B", help="Relay name or path of another contract.")
@_table_format_option
def compare(*, left: str, right: str, format_: str | None) -> None:
    """
    Show where the contracts of two relays differ, in the terms of show.

    Of status values and errors, only those that the other relay lacks are shown. Exit codes: 0 compared,
    whether or not they differ, 2 wrong usage.
    """
    ours, theirs = (contract_profile(load_contract(name)) for name in (left, right))
    differences = profile_differences(ours, theirs)
    if _is_json(format_):
        rows = [{"term": list(one.term), "left": one.left, "right": one.right} for one in differences]
        write_json({"left": ours["relay"], "right": theirs["relay"], "differences": rows})
        return
    _write_table(
        ("term", ours["relay"], theirs["relay"]),
        [(_label(one.term), _value(one.term, one.left), _value(one.term, one.right)) for one in differences],
        format_,
    )


def _is_json(format_: str | None) -> bool:
    return not sys.stdout.isatty() if format_ is None else format_ == "json"


def _write_table(head: Sequence[str], rows: Sequence[Sequence[str]], format_: str | None) -> None:
    if format_ == "markdown":
        write_line(_markdown_row(head))
        write_line("|".join(["", *["---"] * len(head), ""]))
        for term, *values in rows:
            cells = [value if value == _NOTHING else f"`{value}`" for value in values]
            write_line(_markdown_row([term, *cells]))
        return
    from mjrelay.cli.terminal import print_table  # noqa: PLC0415 - rich is slow to import

    print_table(head, rows)


def _markdown_row(cells: Sequence[str]) -> str:
    shown = (printable_text(cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _label(term: Term) -> str:
    """Return the label of a term; for a field it is the field's name."""
    first, *rest = term
    words = [_LABELS.get(first, first), *(word for word in rest if word not in {"at", "words"})]
    return " ".join(filter(None, words))


def _value(term: Term, value: Any) -> str:
    """Return a value as text for people."""
    if value in (None, [], {}):
        return _NOTHING
    if isinstance(value, dict) and term[0] == "extra":
        return "; ".join(filter(None, (value["type"], _unset(value["unset"]))))
    if isinstance(value, dict) and term[-1] == "unset":
        return _unset(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_item, value)) if isinstance(value, list) else _item(value)


def _unset(styles: dict[str, list[str]]) -> str:
    return "; ".join(f"{style} when {', '.join(states)}" for style, states in styles.items())


def _item(value: Any) -> str:
    """Return a string as it is, a response as status, body and condition, and anything else as JSON."""
    match value:
        case str() if value:
            return value
        case {"status": status, "body": body, "where": where}:
            condition = "" if where is None else f" where {_item(where)}"
            return f"{status}{'' if body is None else f' {body}'}{condition}"
        case _:
            return json.dumps(value, ensure_ascii=False)
