"""Write the scaffold of a new relay: a contract or an overlay with comments and TODO marks."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from mjrelay.base import MjrelayError, did_you_mean, nearest_names

if TYPE_CHECKING:
    from pathlib import Path


_FOLDERS = ("openapi", "overlays/relays")


class ScaffoldError(MjrelayError):
    """The name of the new relay is invalid or taken, or the relay to extend does not exist."""


def add(root: Path, name: str, extends: str | None = None) -> Path:
    """
    Write the scaffold of a relay and return its path. Existing files are never overwritten.

    Args:
        root: The root of the repository.
        name: The name of the new relay.
        extends: A relay to extend: an overlay is written instead of a contract.

    Raises:
        ScaffoldError: The name is invalid or taken, or the relay to extend does not exist.
    """
    known = {path.stem: path for folder in _FOLDERS for path in sorted((root / folder).glob("*.yaml"))}
    if not re.fullmatch("[a-z][a-z0-9]*", name) or name == "runtime":
        letters = re.sub("[^a-z0-9]", "", name.lower()).lstrip("0123456789")
        advice = f"; for example {letters}" if letters and letters != "runtime" else ""
        raise ScaffoldError(
            f"{name!r} is not a valid relay name: use lower-case letters and digits, a letter first, and not "
            f"runtime{advice}"
        )
    if name in known:
        raise ScaffoldError(
            f"{name} exists: {known[name].relative_to(root)}; edit that file, or choose another name"
        )
    if extends is not None and extends not in known:
        near = nearest_names(extends, known) or sorted(known)
        raise ScaffoldError(f"there is no relay {extends} to extend; {did_you_mean(near)}")
    kind, folder = ("contract", _FOLDERS[0]) if extends is None else ("overlay", _FOLDERS[1])
    text = (resources.files(__package__) / "scaffold" / f"{kind}.yaml").read_text(encoding="utf-8")
    path = root / folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(re.sub(r"\bNAME\b", name, text).replace("OTHER", extends or ""))
    return path
