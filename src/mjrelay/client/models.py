"""One task, the same for every relay."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mjrelay.base import MjrelayError, UnknownRelayError
from mjrelay.contract import contract_arguments, load_contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.contract import Contract


def _packaged(contract: Contract) -> bool:
    try:
        return load_contract(contract.name) is contract
    except UnknownRelayError:
        return False


def _decoder(contract: Contract) -> tuple[Callable[[bytes], Any], type[Exception]]:
    """
    What the relay's generated client decodes a 200 with, and what that raises.

    The client is searched for the fetch operation: how modules and classes are named is its own business.
    """
    import pkgutil  # noqa: PLC0415 - as the client itself, only for those who ask for a model

    client = import_module(_client(contract))
    api = import_module(f"{client.__name__}.api")
    operation = _letters(str(contract.operation.get("operationId")))
    for found in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        if not found.ispkg and _letters(found.name.rpartition(".")[2]) == operation:
            for first, last, decode in import_module(found.name)._RESPONSES:  # noqa: SLF001 - a client of our own
                if first <= 200 <= last and decode is not None:
                    return decode, client.DecodeError
    raise MjrelayError(
        f"the generated client of {contract.name} has no model of a task; document has it as sent"
    )


def _client(contract: Contract) -> str:
    """The package of the generated client that was made of this very contract; `MjrelayError` without one."""
    if _packaged(contract):
        return f"mjrelay_clients.{contract.name}"
    package = f"{contract.name}_client"
    found = made(package)
    if found == contract.document:
        return package
    lack = "has no generated client" if found is None else f"is not what {package} was generated from"
    raise MjrelayError(
        f"{contract.name} {lack}, so there is no model; write one with: mjrelay generate "
        f"{contract_arguments(contract)} --output DIR, where DIR is on the path that Python imports from"
    )


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def made(package: str) -> Any:
    """The contract that a generated client was made of; None where there is no such package."""
    try:
        found = find_spec(package)
    except ValueError:
        return None
    for folder in (found and found.submodule_search_locations) or ():
        with suppress(OSError, ValueError):
            return json.loads((Path(folder) / "contract.json").read_text(encoding="utf-8"))
    return None
