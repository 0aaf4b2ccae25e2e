"""One relay on its way into the generator: where it is written, and what the generator overlooks in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from attrs import field, frozen

from mjrelay.base import ContractError
from mjrelay.contract import FILES, METHODS, ORIGINS, Contract, Overlay, apply_overlay, load_yaml, plain_yaml
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
    document: Any = field(repr=False)
    overlays: tuple[Overlay, ...] = field(repr=False)

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
        files = [path]
        overlays: list[Overlay] = []
        while isinstance(document := load_yaml(files[-1]), dict) and "overlay" in document:
            overlays.append(Overlay.load(files[-1]))
            if len(files) == FILES:
                raise ContractError(
                    f"more than {FILES} files extend one another, which is the limit; merge some of them",
                    source=path,
                )
            files.append(_extended(overlays[-1], contracts))
            if files[-1].resolve() in {file.resolve() for file in files[:-1]}:
                raise ContractError("extends itself in a circle; end it at a contract", source=path)
        return cls(path.stem, shown, contracts.parent, tuple(files), document, tuple(overlays))

    def resolve(self) -> Contract:
        """The contract with the relay's overlays applied, as plain JSON values; raises `ContractError`."""
        contract = Contract(self.name, plain_yaml(self.document), self.files[-1])
        for overlay in reversed(self.overlays):
            contract = apply_overlay(contract, overlay)
        document: Any = contract.document
        if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
            raise ContractError("is no OpenAPI document: it has no paths", source=self.files[-1])
        return contract

    def origins(self, contract: Contract) -> dict[str, Any]:
        """The files that a contract made by overlays is written in, seen from the root; else nothing."""
        if not self.overlays:
            return {}
        shown = {file: Path(os.path.relpath(file, self.root)).as_posix() for file in self.files}
        changes = [
            {"at": location, "file": shown[origin.file], "from": origin.location}
            for location, origin in contract.origins.items()
        ]
        return {ORIGINS: {"source": shown[contract.source], "changes": changes}}


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


def _extended(overlay: Overlay, contracts: Path) -> Path:
    if overlay.extends is None:
        raise ContractError(
            "does not say what it extends; name a relay or a contract there", source=overlay.source
        )
    if re.fullmatch(r"\w+", overlay.extends):
        return contracts / f"{overlay.extends}.yaml"
    return overlay.source.parent / overlay.extends


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
