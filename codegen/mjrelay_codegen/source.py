"""The input of the generator: the files of a relay, and the settings that the generator drops."""

from __future__ import annotations

import os
import re
from keyword import iskeyword
from pathlib import Path
from typing import Any

from attrs import frozen

from mjrelay.base import ContractError
from mjrelay.contract import METHODS, ORIGINS, Contract, read_contract
from mjrelay.http import Credential


def is_relay_name(name: str) -> bool:
    """Return whether a name can be a package in `mjrelay_clients` and an argument of the command."""
    return bool(re.fullmatch("[a-z][a-z0-9]*", name)) and name != "runtime" and not iskeyword(name)


@frozen
class RelaySource:
    """
    The source files of a relay: a contract, or overlays over the contract of another relay.

    Attributes:
        name: The name of the relay and of its package.
        label: The name of its file in the headers of generated modules.
        root: The parent of the folder with the contracts.
        files: The overlays and the contract: the relay's own file first, the contract last.
        contract: The contract with the overlays applied.
    """

    name: str
    label: str
    root: Path
    files: tuple[Path, ...]
    contract: Contract

    @classmethod
    def load(cls, path: Path, label: str, contracts: Path) -> RelaySource:
        """
        Load a relay from a file and name it after the file.

        Args:
            path: A contract, or an overlay with `extends`.
            label: The name of the file in the headers of generated modules.
            contracts: The folder in which the bare name of another relay is looked up.

        Raises:
            ContractError: The file, or one that it extends, is invalid.
        """
        if not is_relay_name(path.stem):
            raise ContractError(
                f"{path.stem} is not a valid relay name; rename the file to lower-case letters and digits, a "
                "letter first, and neither runtime nor a Python keyword",
                source=path,
            )
        contract = read_contract(path, lambda name: contracts / f"{name}.yaml")
        return cls(path.stem, label, contracts.parent, tuple(contract.outside)[::-1], contract)

    def origins(self) -> dict[str, Any]:
        """Return the file of each overlaid part, relative to the root; empty without overlays."""
        if len(self.files) == 1:
            return {}
        names = {file: Path(os.path.relpath(file, self.root)).as_posix() for file in self.files}
        changes = [
            {"at": location, "file": names[origin.file], "from": origin.location}
            for location, origin in self.contract.origins.items()
        ]
        return {ORIGINS: {"source": names[self.contract.source], "changes": changes}}


@frozen
class TemplateContext:
    """Variables of the templates that the generator does not provide: server, schemes and security."""

    server: str | None
    schemes: tuple[dict[str, str], ...]
    operations: dict[str, list[str | None]]

    @classmethod
    def of(cls, document: dict[str, Any], source: Path) -> TemplateContext:
        """Read the variables from a contract; raises `ContractError` for security that needs two keys."""
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
            f"one alternative requires {both}; a client has one token, so write two alternatives",
            source=source,
        )
    name = next(iter(requirement), None)
    if name is not None and name not in schemes:
        raise ContractError(
            f"securitySchemes has no {name}, which security names; add it there", source=source
        )
    return name


def _operation_id(operation: dict[str, Any], path: str, source: Path) -> str:
    name = operation.get("operationId")
    if not isinstance(name, str):
        raise ContractError(
            f"an operation of {path} has no operationId; add one, it names the function", source=source
        )
    return name
