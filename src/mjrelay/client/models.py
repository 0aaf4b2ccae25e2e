"""Find the generated client of a contract, which decodes a task's document into a typed model."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mjrelay.base import MjrelayError, UnknownRelayError
from mjrelay.contract import contract_arguments, load_contract, operation_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.contract import Contract


def is_packaged(contract: Contract) -> bool:
    try:
        return load_contract(contract.name) is contract
    except UnknownRelayError:
        return False


@lru_cache(64)  # walking packages takes longer than decoding
def model_decoder(contract: Contract) -> tuple[Callable[[bytes], Any], type[Exception]]:
    """
    Return the decoder of a task in the relay's generated client, and the exception that it raises.

    The module is found by its operation, because the generator chooses the names of modules and classes.
    """
    import pkgutil  # noqa: PLC0415 - needed only for a model

    client = import_module(_client(contract))
    api = import_module(f"{client.__name__}.api")
    operation = _letters(operation_name(contract.location, contract.operation))
    for found in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        if not found.ispkg and _letters(found.name.rpartition(".")[2]) == operation:
            for first, last, decode in import_module(found.name)._RESPONSES:  # noqa: SLF001 - generated here
                if first <= 200 <= last and decode is not None:
                    return decode, client.DecodeError
    raise MjrelayError(
        f"the generated client of {contract.name} has no model of a task; use .document instead of .raw"
    )


def _client(contract: Contract) -> str:
    """Return the name of the package generated from this contract; raise `MjrelayError`."""
    if is_packaged(contract):
        return f"mjrelay_clients.{contract.name}"
    package = f"{contract.name}_client"
    found = _generated_from(package)
    if found == contract.document:
        return package
    reason = "has no generated client" if found is None else f"is not what {package} was generated from"
    raise MjrelayError(
        f"{contract.name} {reason}, so there is no model; generate one with: mjrelay generate "
        f"{contract_arguments(contract)} --output DIR, where DIR is in sys.path"
    )


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _generated_from(package: str) -> Any:
    """Return the contract that a package was generated from, or None without such a package."""
    try:
        found = find_spec(package)
    except ValueError:
        return None
    for folder in (found and found.submodule_search_locations) or ():
        with suppress(OSError, ValueError):
            return json.loads((Path(folder) / "contract.json").read_text(encoding="utf-8"))
    return None
