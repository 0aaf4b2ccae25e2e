"""Write the scaffold of a new relay: a contract or an overlay with comments and TODO marks."""

from __future__ import annotations

import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mjrelay.base import MjrelayError, did_you_mean, nearest_names
from mjrelay.contract import is_path, load_contract, relay_name, relay_names

if TYPE_CHECKING:
    from collections.abc import Iterable


_FOLDERS = ("openapi", "overlays/relays")


class ScaffoldError(MjrelayError):
    """The name of the new relay is invalid or taken, or the relay to extend does not exist."""


def add(root: Path, name: str, extends: str | None = None) -> Path:
    """
    Write the scaffold of a relay of this repository and return its path.

    Args:
        root: The root of the repository.
        name: The name of the new relay.
        extends: A relay to extend: an overlay is written instead of a contract.

    Raises:
        ScaffoldError: The name is invalid or taken, or the relay to extend does not exist.
    """
    known = {path.stem: path for folder in _FOLDERS for path in sorted((root / folder).glob("*.yaml"))}
    _check_name(name)
    if name in known:
        raise ScaffoldError(
            f"{name} exists: {known[name].relative_to(root)}; edit that file, or choose another name"
        )
    if extends is not None and extends not in known:
        raise ScaffoldError(f"there is no relay {extends} to extend; {_near(extends, known)}")
    path = root / _FOLDERS[extends is not None] / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write(path, extends, "nox -s lint")


def new(folder: Path, name: str, extends: str | None = None) -> Path:
    """
    Write the scaffold of a user's relay into an existing folder and return its path.

    Args:
        folder: The folder.
        name: The name of the new relay.
        extends: A packaged relay's name, or the path of a contract: an overlay over it is written.

    Raises:
        ScaffoldError: The name is invalid or taken, or the file cannot be written.
        UnknownRelayError: No relay with the name to extend is packaged.
        ContractError: The contract to extend cannot be used.
    """
    _check_name(name)
    if name in relay_names():
        raise ScaffoldError(f"{name} is a packaged relay; choose another name, or use --extends {name}")
    if extends is not None:
        base = load_contract(extends)
        extends = Path(os.path.relpath(extends, folder)).as_posix() if is_path(extends) else base.name
    path = folder / f"{name}.yaml"
    try:
        return _write(path, extends, f"mjrelay lint {path.name}")
    except FileExistsError as error:
        raise ScaffoldError(f"{path} exists; edit that file, or choose another name") from error
    except OSError as error:
        raise ScaffoldError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def _check_name(name: str) -> None:
    if not re.fullmatch("[a-z][a-z0-9]*", name) or name == "runtime":
        letters = re.sub("[^a-z0-9]", "", name.lower()).lstrip("0123456789")
        advice = f"; for example {letters}" if letters and letters != "runtime" else ""
        raise ScaffoldError(
            f"{name!r} is not a valid relay name: use lower-case letters and digits, a letter first, and not "
            f"runtime{advice}"
        )


def _near(name: str, known: Iterable[str]) -> str:
    return did_you_mean(nearest_names(name, known) or sorted(known))


def _write(path: Path, extends: str | None, lint: str) -> Path:
    """Write a file that does not exist. Its comments name the command that lints it."""
    kind = "contract" if extends is None else "overlay"
    text = (resources.files(__package__) / "scaffold" / f"{kind}.yaml").read_text(encoding="utf-8")
    texts = {"NAME": path.stem, "LINT": lint}
    if extends is not None:
        plain = extends if re.fullmatch(r"[\w./-]+", extends) else json.dumps(extends)
        texts |= {"extends: OTHER": f"extends: {plain}", "OTHER": relay_name(extends)}
    with path.open("x", encoding="utf-8") as file:
        file.write(re.sub(r"\b(?:extends: OTHER|OTHER|NAME|LINT)\b", lambda found: texts[found[0]], text))
    return path
