"""
Replace generated files in a folder that may also have other files.

Only files that an earlier run wrote are changed or deleted. The lock in the folder lists them.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay.base import MjrelayError, read_file
from mjrelay.http import NotJSONError, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable


_CACHE = "__pycache__"
_LARGEST_LOCK = 16 * 1024 * 1024


class GenerationError(MjrelayError):
    """The clients cannot be generated; earlier generated files are unchanged."""


@frozen
class Difference:
    """A file that differs from the generated one: ``what`` is missing, extra or different."""

    what: str
    path: str

    def __str__(self) -> str:
        return f"{self.what}: {self.path}"


@frozen
class Replacement:
    """The result of `replace`: the changed files, and the foreign files that were left."""

    changes: tuple[Difference, ...]
    left: tuple[str, ...]


def compare(wanted: Path, actual: Path) -> list[Difference]:
    """Return the differences between the wanted and the actual tree; a symbolic link always differs."""
    wants, has = files_of(wanted), files_of(actual)
    return [
        Difference("missing" if path not in has else "extra" if path not in wants else "different", path)
        for path in sorted(wants.keys() | has.keys())
        if path not in has or path not in wants or not _same(wants[path], has[path])
    ]


def files_of(tree: Path) -> dict[str, Path]:
    """Return the files of a tree by relative path, without bytecode."""
    found = (
        (path.relative_to(tree), path) for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return {inner.as_posix(): path for inner, path in found if _CACHE not in inner.parts}


def replace(wanted: Path, actual: Path, lock: str) -> Replacement:
    """
    Replace an earlier tree by a new one, completely or not at all. Foreign files are left unchanged.

    Args:
        wanted: The new tree.
        actual: The earlier tree; it may not exist yet.
        lock: The relative path of the lock in both. The lock lists the generated files.

    Raises:
        GenerationError: A foreign file or a symbolic link is in the way. Nothing was changed.
    """
    known = _known(actual, lock)
    differences = compare(wanted, actual)
    changes = [one for one in differences if one.what != "extra" or one.path in known]
    for change in changes:
        _check(change, actual, known)
    if changes:
        _write(changes, wanted, actual, lock)
    foreign = [one.path for one in differences if one.what == "extra" and one.path not in known]
    return Replacement(tuple(changes), tuple(_grouped(foreign, files_of(wanted))))


def _same(one: Path, other: Path) -> bool:
    return not other.is_symlink() and one.read_bytes() == other.read_bytes()


def _known(actual: Path, lock: str) -> frozenset[str]:
    """Return the files that earlier runs wrote, from the lock; empty for a new folder."""
    if actual.is_symlink() or (actual.exists() and not actual.is_dir()):
        raise GenerationError(f"{actual} is not a folder; move it, or choose another one")
    package = (actual / lock).parent
    if not files_of(package):
        return frozenset()
    try:
        names = parse_json(read_file(actual / lock, _LARGEST_LOCK))["files"]
        paths = [PurePosixPath(name) for name in names]
    except (OSError, NotJSONError, TypeError, KeyError) as error:
        raise GenerationError(
            f"{package} exists, and its {Path(lock).name} does not list the generated files: another program "
            "or an older version wrote it; move or delete the folder, then generate again"
        ) from error
    for path in paths:
        if path.is_absolute() or ".." in path.parts or "\0" in str(path):
            raise GenerationError(
                f"{actual / lock} lists {path}, which is outside the folder; delete that line"
            )
    return frozenset({*map(str, paths), lock})


def _check(change: Difference, actual: Path, known: frozenset[str]) -> None:
    target = actual / change.path
    inner = [actual.joinpath(*parts) for parts in _prefixes(change.path)]
    for folder in inner[:-1]:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise GenerationError(f"{folder} is not a folder; move it, then generate again")
    if target.is_symlink():
        raise GenerationError(f"{target} is a symbolic link; move it, then generate again")
    if target.is_dir():
        raise GenerationError(f"{target} is a folder; move it, then generate again")
    if target.exists() and change.path not in known:
        raise GenerationError(f"{target} exists and was not generated; move it, then generate again")


def _prefixes(path: str) -> list[tuple[str, ...]]:
    parts = PurePosixPath(path).parts
    return [parts[:length] for length in range(1, len(parts) + 1)]


def _write(changes: Iterable[Difference], wanted: Path, actual: Path, lock: str) -> None:
    # Write the lock first and delete last, so that the lock lists every file even if the run is killed.
    ordered = sorted(changes, key=lambda one: (one.what == "extra", one.path != lock))
    try:
        actual.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".mjrelay-", dir=actual.parent) as folder:
            new, old = Path(folder, "new"), Path(folder, "old")
            for change in ordered:  # fail here if there is no space or permission
                if change.what != "extra":
                    _copy(wanted / change.path, new / change.path)
                if change.what != "missing":
                    _copy(actual / change.path, old / change.path)
            _commit(ordered, new, old, actual)
    except OSError as error:
        raise GenerationError(f"cannot write {actual}: {error}; it is unchanged") from error
    for change in ordered:
        if change.what == "extra":
            _remove_leftovers(actual, actual / change.path)


def _commit(changes: Iterable[Difference], new: Path, old: Path, actual: Path) -> None:
    done: list[Difference] = []
    made: list[Path] = []
    try:
        for change in changes:
            target = actual / change.path
            missing = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                made.append(folder)
            done.append(change)
            if change.what == "extra":
                target.unlink()
            else:
                (new / change.path).replace(target)
    except BaseException:
        for change in reversed(done):
            target = actual / change.path
            if change.what == "missing":
                target.unlink(missing_ok=True)
            else:
                (old / change.path).replace(target)
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _remove_leftovers(actual: Path, file: Path) -> None:
    """Delete the bytecode of a deleted module, and empty folders."""
    with suppress(OSError):  # only tidiness
        for compiled in (file.parent / _CACHE).glob(f"{file.stem}.*.pyc"):
            compiled.unlink()
        for folder in (file.parent / _CACHE, *file.parents):
            if folder == actual:
                break
            if folder.is_dir():
                folder.rmdir()


def _grouped(paths: Iterable[str], wants: Iterable[str]) -> list[str]:
    """Return foreign files; a folder that has only foreign files stands for them."""
    shared = {parts for path in wants for parts in _prefixes(path)}
    shown: dict[str, None] = {}
    for path in paths:
        prefixes = _prefixes(path)
        own = next(parts for parts in prefixes if parts not in shared)
        shown["/".join(own) + ("" if own == prefixes[-1] else "/")] = None
    return list(shown)
