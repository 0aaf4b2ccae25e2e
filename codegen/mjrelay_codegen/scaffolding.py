"""The beginning of another relay's contract, to be filled in by whoever reads the relay's page."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from mjrelay.base import MjrelayError, did_you_mean, nearest_names

if TYPE_CHECKING:
    from pathlib import Path


_FOLDERS = ("openapi", "overlays/relays")


class ScaffoldError(MjrelayError):
    """There is no room for a relay of this name, or nothing that it could extend."""


def add(root: Path, name: str, extends: str | None = None) -> Path:
    """
    Write the scaffold of a relay into a repository: a contract, or an overlay over another relay's; its path.

    Raises `ScaffoldError` for a name that is taken or cannot be one; nothing is ever written over.
    """
    known = {path.stem: path for folder in _FOLDERS for path in sorted((root / folder).glob("*.yaml"))}
    if not re.fullmatch("[a-z][a-z0-9]*", name) or name == "runtime":
        letters = re.sub("[^a-z0-9]", "", name.lower()).lstrip("0123456789")
        advice = f"; {letters} would do" if letters and letters != "runtime" else ""
        raise ScaffoldError(
            f"{name!r} cannot name a relay: write small letters and digits, a letter first, and not runtime"
            + advice
        )
    if name in known:
        raise ScaffoldError(
            f"{name} is there: {known[name].relative_to(root)}; change that, or take another name"
        )
    if extends is not None and extends not in known:
        near = nearest_names(extends, known) or sorted(known)
        raise ScaffoldError(f"there is no {extends} to extend; {did_you_mean(near)}")
    kind, folder = ("contract", _FOLDERS[0]) if extends is None else ("overlay", _FOLDERS[1])
    text = (resources.files(__package__) / "scaffold" / f"{kind}.yaml").read_text(encoding="utf-8")
    path = root / folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(re.sub(r"\bNAME\b", name, text).replace("OTHER", extends or ""))
    return path
