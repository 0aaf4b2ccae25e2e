"""``mjrelay relays``: the contracts that are known."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mjrelay import _contract
from mjrelay.cli._output import FormatOption, is_pretty, write_json


def relays(format_: FormatOption = None) -> None:
    """List the contracts that are known, how each relay is told who asks, and where it is."""
    contracts = [_contract.contract(name) for name in _contract.relays()]
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
    table = Table(box=None, pad_edge=False)
    for column in ("relay", "base URL", "fetch", "auth"):
        table.add_column(column)
    for contract in contracts:
        auth = "\n".join(map(str, contract.credentials))
        base_url = contract.base_url or "none; give --base-url"
        table.add_row(contract.name, base_url, f"{contract.method} {contract.path}", auth)
    Console().print(table)
