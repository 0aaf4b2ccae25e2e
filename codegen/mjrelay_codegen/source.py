"""One relay on its way into the generator: where it is written, and what the generator overlooks in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from attrs import frozen

from mjrelay.base import ContractError
from mjrelay.contract import METHODS, ORIGINS, Contract, read_contract
from mjrelay.http import Credential


@frozen
class RelaySource:
    """
    A relay as it is written: a contract, or overlays over another relay's.

    ``shown`` is how headers call its file, ``root`` the directory with the contracts' own; ``files`` are all
    that it is written in, its own first and the contract last.
    """

    name: str
    shown: str
    root: Path
    files: tuple[Path, ...]
    contract: Contract

    @classmethod
    def load(cls, path: Path, shown: str, contracts: Path) -> RelaySource:
        """
        The relay in a file, named after it; ``contracts`` is where the bare name of another is looked up.

        Raises `ContractError` where the file or one that it extends cannot be used.
        """
        if not re.fullmatch("[a-z][a-z0-9]*", path.stem) or path.stem == "runtime":
            raise ContractError(
                "a relay is named in small letters and digits, a letter first, and not runtime; rename it",
                source=path,
            )
        contract = read_contract(path, lambda name: contracts / f"{name}.yaml")
        return cls(path.stem, shown, contracts.parent, tuple(contract.outside)[::-1], contract)

    def origins(self) -> dict[str, Any]:
        """The files that a contract made by overlays is written in, seen from the root; else nothing."""
        if len(self.files) == 1:
            return {}
        shown = {file: Path(os.path.relpath(file, self.root)).as_posix() for file in self.files}
        changes = [
            {"at": location, "file": shown[origin.file], "from": origin.location}
            for location, origin in self.contract.origins.items()
        ]
        return {ORIGINS: {"source": shown[self.contract.source], "changes": changes}}


@frozen
class Overlooked:
    """What a contract says and the generator drops: where credentials go, and where the relay is."""

    server: str | None
    schemes: tuple[dict[str, str], ...]
    operations: dict[str, list[str | None]]

    @classmethod
    def of(cls, document: dict[str, Any], source: Path) -> Overlooked:
        """Raises `ContractError` for what a client with one token cannot do."""
        schemes = document.get("components", {}).get("securitySchemes", {})
        url = (document.get("servers") or [{}])[0].get("url", "")
        return cls(
            server=url.rstrip("/") if re.match("https?://[^{]+$", url) else None,
            schemes=tuple(_scheme(name, scheme, source) for name, scheme in schemes.items()),
            operations={
                _operation_id(operation, path, source): [
                    _alternative(requirement, schemes, source)
                    for requirement in operation.get("security", document.get("security", []))
                ]
                for path, item in document["paths"].items()
                for method, operation in item.items()
                if method in METHODS
            },
        )


def _scheme(name: str, scheme: dict[str, Any], source: Path) -> dict[str, str]:
    try:
        found = Credential.compile(name, scheme)
    except ContractError as error:
        raise ContractError(str(error), source=source) from error
    return {"key": name, "place": found.place, "name": found.field, "prefix": found.prefix}


def _alternative(requirement: dict[str, Any], schemes: dict[str, Any], source: Path) -> str | None:
    if len(requirement) > 1:
        both = " and ".join(requirement)
        raise ContractError(
            f"one alternative asks for {both}; a client has one token, write alternatives", source=source
        )
    name = next(iter(requirement), None)
    if name is not None and name not in schemes:
        raise ContractError(f"security names {name}, which securitySchemes does not have", source=source)
    return name


def _operation_id(operation: dict[str, Any], path: str, source: Path) -> str:
    name = operation.get("operationId")
    if not isinstance(name, str):
        raise ContractError(
            f"an operation of {path} has no operationId; its function would have no name", source=source
        )
    return name
