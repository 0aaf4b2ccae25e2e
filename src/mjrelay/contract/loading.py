"""Load contracts: packaged ones by their relay's name, others from files, with overlays applied."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import evolve

from mjrelay.base import ContractError, SettingError, UnknownRelayError, nearest_names, setting_name
from mjrelay.contract.document import ORIGINS, Contract, Origin, data_folder
from mjrelay.contract.limits import FILES
from mjrelay.contract.pasted import is_url
from mjrelay.contract.structure import not_openapi, structural_problems
from mjrelay.contract.upgrading import upgraded
from mjrelay.contract.yaml import load_yaml, plain_yaml, yaml_line
from mjrelay.http import shown_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike


_SUFFIXES = (".yaml", ".yml", ".json")


def relay_names() -> list[str]:
    """Return the names of the packaged relays, sorted."""
    package = resources.files("mjrelay_clients")
    return sorted(entry.name for entry in package.iterdir() if (entry / "contract.json").is_file())


@cache
def packaged_contract(name: str) -> Contract:
    """
    Return the packaged contract of a relay.

    Raises:
        UnknownRelayError: No relay with this name is packaged.
    """
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
    Load and check a contract.

    Args:
        name: A packaged relay's name (case and hyphens are ignored), or the path of a contract or of an
            overlay with ``extends``. Text with a path separator, or that ends in .yaml, .yml or .json, is a
            path. A file's relay is named after the file, in lower case, without hyphens and underscores.
        overlays: Overlay files, applied in order.

    Raises:
        UnknownRelayError: No relay with this name is packaged. The message suggests similar names.
        OverlayError: An overlay does not fit the contract.
        ContractError: A file cannot be used. The message names the file and the line.
        SettingError: The name or an overlay is neither text nor a path.
    """
    _check_name(name)
    files = _paths(overlays)
    contract = _named(name)
    if not files and not is_path(name):
        return contract
    for path in files:
        contract = evolve(_overlaid(contract, path, load_yaml(path)), added=(*contract.added, path))
    contract = evolve(contract, document=upgraded(contract.document))
    for location, message in structural_problems(contract):
        clause = contract.clause(*location)
        raise ContractError(message, source=clause.file, line=clause.line)
    return contract


def _check_name(name: object) -> None:
    if not isinstance(name, str | os.PathLike):
        raise SettingError(
            f"the relay is of type {type(name).__name__}; give its name or the path of a contract"
        )
    if is_url(name):
        host = urlsplit(str(name).strip()).hostname
        known = [
            one for one in relay_names() if urlsplit(packaged_contract(one).base_url or "").hostname == host
        ]
        url = shown_url(str(name).strip())
        names = " or ".join(known) or f"find it with: mjrelay doctor {shlex.quote(url)}"
        raise SettingError(
            f"{url} is a URL, but the first argument is the relay's name; give the URL as "
            f"{setting_name('base_url')} and the name, {names}"
        )


def _paths(overlays: object) -> tuple[Path, ...]:
    if isinstance(overlays, Iterable) and not isinstance(overlays, str | os.PathLike):
        paths = tuple(overlays)
        if all(isinstance(path, str | os.PathLike) for path in paths):
            return tuple(map(Path, paths))
    raise SettingError("overlays is not a list of paths; write overlays=['fix.yaml']")


def relay_name(name: str | PathLike[str]) -> str:
    """Return a relay's name from a name or a path: lower case, without hyphens and underscores."""
    words = Path(name).stem if is_path(name) else str(name).strip()
    return words.replace("-", "").replace("_", "").lower()


def is_path(name: str | PathLike[str]) -> bool:
    """Return whether this is the path of a file, and not a packaged relay's name."""
    if not isinstance(name, str):
        return True
    return any(mark in name for mark in ("/", os.sep, os.altsep or "/")) or name.lower().endswith(_SUFFIXES)


def contract_arguments(contract: Contract, show: Callable[[Path], str] = str) -> str:
    """Return the command-line arguments that name a contract: the relay or its file, and its overlays."""
    words = [contract.name if contract.file is None else show(contract.file)]
    return shlex.join(words + [word for path in contract.added for word in ("--overlay", show(path))])


def read_contract(path: Path, find: Callable[[str], Path | Contract] = packaged_contract) -> Contract:
    """
    Read a contract file, or an overlay file with all that it extends, without the structural checks.

    Overlays change an OpenAPI 3.0 document as it is written. It is upgraded to 3.1 afterwards.

    Args:
        path: The file. The contract is named after it as it is written.
        find: Returns the file or the contract for a bare name in ``extends``.

    Raises:
        ContractError: A file cannot be read is not a contract, or extends itself in a circle.
        OverlayError: An overlay does not fit the contract that it extends.
    """
    contract = _read(path, (), find)
    return evolve(contract, name=path.stem, document=upgraded(contract.document))


def _named(name: str | PathLike[str]) -> Contract:
    if not is_path(name):
        return packaged_contract(str(name))
    path, relay = Path(name), relay_name(name)
    if not re.fullmatch("[a-z][a-z0-9]*", relay):
        raise ContractError(
            f"{path.stem!r} cannot name a relay; name the file in letters and digits, a letter first "
            "(hyphens and underscores are left out of the relay's name)",
            source=path,
        )
    return evolve(_read(path, (), packaged_contract), name=relay)


def _read(path: Path, above: tuple[Path, ...], find: Callable[[str], Path | Contract]) -> Contract:
    """Read a file that the files ``above`` extend, the nearest of them last."""
    here = path.resolve()
    if here in above:
        raise ContractError("extends itself in a circle; end it at a contract", source=path)
    if len(above) == FILES:
        raise ContractError(
            f"more than {FILES} files extend one another, which is the limit; merge some of them", source=path
        )
    written = load_yaml(path)
    if isinstance(written, dict) and "overlay" in written:
        return _overlaid(_extended(path, written, (*above, here), find), path, written)
    document = plain_yaml(written)
    if problem := not_openapi(document):
        raise ContractError(problem, source=path)
    return Contract(path.stem, document, path, outside={path: written})


def _extended(
    path: Path, written: Any, above: tuple[Path, ...], find: Callable[[str], Path | Contract]
) -> Contract:
    """Return the contract that an overlay file extends."""
    from mjrelay.contract.overlay import Overlay  # noqa: PLC0415 - slow to import, and rarely needed

    def error(problem: object) -> ContractError:
        return ContractError(f"extends: {problem}", source=path, line=yaml_line(written, ("extends",)))

    extends = Overlay.read(path, written).extends
    if extends is None:
        raise ContractError(
            "has no extends; add extends: and a packaged relay's name, or the path of a contract", source=path
        )
    base: Path | Contract = path.parent / extends
    if re.fullmatch(r"[\w-]+", extends):
        try:
            base = find(extends)
        except UnknownRelayError as unknown:
            raise error(unknown) from unknown
    elif "://" in extends:
        raise error("nothing is downloaded; save the contract as a file, and write its path")
    if isinstance(base, Contract):
        return base
    try:
        return _read(base, above, find)
    except ContractError as missing:
        if missing.source == str(base) and not base.is_file():
            raise error(missing) from missing
        raise


def _overlaid(contract: Contract, path: Path, written: Any) -> Contract:
    """Apply the overlay in a file that was loaded as ``written``."""
    from mjrelay.contract.origins import apply_overlay  # noqa: PLC0415 - slow to import, and rarely needed
    from mjrelay.contract.overlay import Overlay  # noqa: PLC0415

    changed = apply_overlay(contract, Overlay.read(path, written))
    if not_openapi(changed.document):
        raise ContractError("leaves a contract without paths; remove less of it", source=path)
    return evolve(changed, outside={**contract.outside, path: written})
