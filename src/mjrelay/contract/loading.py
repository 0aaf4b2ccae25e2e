"""A relay's contract: its OpenAPI document, and what can be read from it."""

from __future__ import annotations

import json
import os
import re
import shlex
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from mjrelay.base import ContractError, UnknownRelayError, nearest_names
from mjrelay.contract.document import ORIGINS, Contract, Origin, data_folder
from mjrelay.contract.limits import FILES
from mjrelay.contract.structure import _faults
from mjrelay.contract.yaml import load_yaml, yaml_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike


_SUFFIXES = (".yaml", ".yml", ".json")


def relay_names() -> list[str]:
    """The names of the relays whose contracts are packaged, in order."""
    package = resources.files("mjrelay_clients")
    return sorted(entry.name for entry in package.iterdir() if (entry / "contract.json").is_file())


@cache
def packaged_contract(name: str) -> Contract:
    """The packaged contract of a relay; raises `UnknownRelayError` for others."""
    known = relay_names()
    wanted = relay_name(name)
    if wanted not in known:
        raise UnknownRelayError(name, known, nearest_names(wanted, known))
    text = (resources.files("mjrelay_clients") / wanted / "contract.json").read_text(encoding="utf-8")
    document = json.loads(text)
    root, written = data_folder("openapi").parent, document.pop(ORIGINS, {})
    origins = {
        tuple(change["at"]): Origin(root / change["file"], tuple(change["from"]))
        for change in written.get("changes", ())
    }
    return Contract(wanted, document, root / written.get("source", f"openapi/{wanted}.yaml"), origins)


def load_contract(name: str | PathLike[str], overlays: Iterable[str | PathLike[str]] = ()) -> Contract:
    """
    The contract of a relay by its name, in which case and hyphens are forgiven, or by the path of a file.

    What holds a path's separator or ends in .yaml, .yml or .json is a path. Overlays are applied in order.
    Raises `UnknownRelayError` for a name that is not packaged, with the nearest ones, `ContractError` for a
    file that cannot be used, and `OverlayError` or `ContractError` where an overlay does not fit.
    """
    files = tuple(map(Path, overlays))
    if not files and not is_path(name):
        return packaged_contract(str(name))
    return load(Path(name) if is_path(name) else packaged_contract(str(name)), files)


def relay_name(name: str | PathLike[str]) -> str:
    """What a relay is called by its name or its file, in small letters and without hyphens."""
    words = Path(name).stem if is_path(name) else str(name)
    return words.replace("-", "").replace("_", "").lower()


def is_path(name: str | PathLike[str]) -> bool:
    """Whether a relay is named by a file, and not by its packaged name."""
    if not isinstance(name, str):
        return True
    return any(mark in name for mark in ("/", os.sep, os.altsep or "/")) or name.lower().endswith(_SUFFIXES)


def load(of: Path | Contract, overlays: Iterable[Path] = ()) -> Contract:
    """
    The contract in a file, or a packaged one, with overlays applied to it in order.

    The file may be a contract, or an overlay that says what it extends. The relay is called as the file is,
    without hyphens and underscores, in small letters. Raises `ContractError`, with file and line, for what
    cannot be used.
    """
    contract = of if isinstance(of, Contract) else evolve(_read(of, ()), name=_name(of))
    for path in overlays:
        contract = evolve(_over(contract, path), added=(*contract.added, path))
    for location, message in _faults(contract):
        found = contract.clause(*location)
        raise ContractError(message, source=found.file, line=found.line)
    return contract


def contract_arguments(contract: Contract, show: Callable[[Path], str] = str) -> str:
    """What names a contract on the command line: the relay or its file, and overlays over it."""
    words = [contract.name if contract.file is None else show(contract.file)]
    return shlex.join(words + [word for path in contract.added for word in ("--overlay", show(path))])


def _name(path: Path) -> str:
    name = relay_name(path)
    if not re.fullmatch("[a-z][a-z0-9]*", name):
        raise ContractError(
            f"{path.stem!r} cannot name a relay; name the file in letters and digits, a letter first "
            "(hyphens and underscores are left out of the relay's name)",
            source=path,
        )
    return name


def _read(path: Path, above: tuple[Path, ...]) -> Contract:
    """A contract with the overlays over it, from the file of the last of them."""
    here = path.resolve()
    if here in above:
        raise ContractError("extends itself in a circle; end it at a contract", source=path)
    if len(above) == FILES:
        raise ContractError(
            f"more than {FILES} files extend one another, which is the limit; merge some of them", source=path
        )
    written = load_yaml(path)
    if isinstance(written, dict) and "overlay" in written:
        return _over(_extended(path, (*above, here)), path)
    return Contract.of(path, written)


def _extended(path: Path, above: tuple[Path, ...]) -> Contract:
    """What an overlay extends: a packaged relay by its bare name, or a file that lies beside it."""
    from mjrelay.contract.overlay import Overlay  # noqa: PLC0415 - few need it, and it takes long to import

    extends = Overlay.load(path).extends
    if extends is None:
        raise ContractError(
            "does not say what it extends; write extends: and a packaged relay's name, or a contract's file",
            source=path,
        )
    if re.fullmatch(r"[\w-]+", extends):
        try:
            return packaged_contract(extends)
        except UnknownRelayError as error:
            raise _extends_nothing(path, str(error)) from error
    if "://" in extends:
        raise _extends_nothing(path, "nothing is downloaded; keep the contract in a file, and name that")
    try:
        return _read(path.parent / extends, above)
    except ContractError as error:
        if error.source == str(path.parent / extends) and not (path.parent / extends).is_file():
            raise _extends_nothing(path, str(error)) from error
        raise


def _extends_nothing(path: Path, why: str) -> ContractError:
    return ContractError(f"extends: {why}", source=path, line=yaml_line(load_yaml(path), ("extends",)))


def _over(contract: Contract, path: Path) -> Contract:
    from mjrelay.contract.origins import apply_overlay  # noqa: PLC0415 - few need it, and it takes long to import
    from mjrelay.contract.overlay import Overlay  # noqa: PLC0415

    changed = apply_overlay(contract, Overlay.load(path))
    document: Any = changed.document
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise ContractError("leaves a contract without paths; remove less of it", source=path)
    return evolve(changed, outside={**contract.outside, path: load_yaml(path)})
