"""Replace generated files in a folder that also has foreign files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mjrelay_codegen import output as _output
from mjrelay_codegen.output import GenerationError, replace

LOCK = "LOCK.json"
OLD = {"client.py": "old", "models/task.py": "old", "models/gone.py": "old", "api/job/fetch.py": "old"}
NEW = {"client.py": "new", "models/task.py": "new", "models/more.py": "new"}


def written(folder: Path, files: dict[str, str], lock: list[str] | None = None) -> Path:
    """Write a tree with these files, and a lock that lists them or the given names."""
    listed = {LOCK: json.dumps({"files": sorted(files) if lock is None else lock})}
    for name, text in {**files, **listed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a tree; a link has its target as content."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()).encode()
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def wanted(tmp_path: Path) -> Path:
    """The new tree."""
    return written(tmp_path / "wanted", NEW)


@pytest.fixture
def actual(tmp_path: Path) -> Path:
    """The tree of an earlier run."""
    return written(tmp_path / "out" / "package", OLD)


def test_generated_files_are_replaced(wanted: Path, actual: Path) -> None:
    """Changed, new and obsolete files are replaced, and bytecode of obsolete ones is deleted."""
    cache = actual / "api" / "job" / "__pycache__"
    cache.mkdir()
    (cache / "fetch.cpython-311.pyc").touch()
    done = replace(wanted, actual, LOCK)
    assert content(actual) == content(wanted)
    assert done.left == ()
    assert {str(change) for change in done.changes} == {
        "different: LOCK.json",
        "different: client.py",
        "different: models/task.py",
        "extra: api/job/fetch.py",
        "extra: models/gone.py",
        "missing: models/more.py",
    }
    assert not (actual / "api").exists()
    assert [path.name for path in actual.parent.iterdir()] == [actual.name]
    assert replace(wanted, actual, LOCK).changes == ()


def test_foreign_files_are_left(wanted: Path, actual: Path) -> None:
    """A repository, a module and a link are left and reported, also in an obsolete folder."""
    foreign = {
        ".git/HEAD": "ref",
        ".git/objects/ab/cd": "blob",
        "helpers.py": "mine",
        "api/job/own.py": "mine",
    }
    for name, text in foreign.items():
        (actual / name).parent.mkdir(parents=True, exist_ok=True)
        (actual / name).write_text(text, encoding="utf-8")
    (actual / "link.py").symlink_to("helpers.py")
    for _ in range(2):
        done = replace(wanted, actual, LOCK)
        assert sorted(done.left) == [".git/", "api/", "helpers.py", "link.py"]
    kept = {name: text.encode() for name, text in foreign.items()} | {"link.py": b"helpers.py"}
    assert content(actual) == content(wanted) | kept


@pytest.mark.parametrize("lock", [None, "", "{}", '{"files": 3}', '{"inputs": {}}', "[]"])
def test_a_folder_without_a_list_of_its_files_is_refused(
    wanted: Path, actual: Path, lock: str | None
) -> None:
    """A folder without a list in its lock is not changed, and the error says what to do."""
    (actual / LOCK).unlink() if lock is None else (actual / LOCK).write_text(lock, encoding="utf-8")
    before = content(actual)
    with pytest.raises(GenerationError, match="move or delete the folder, then generate again"):
        replace(wanted, actual, LOCK)
    assert content(actual) == before


@pytest.mark.parametrize("name", ["../../victim.txt", "/victim.txt", "models/../../../victim.txt", "a\0b"])
def test_a_lock_cannot_name_files_elsewhere(wanted: Path, tmp_path: Path, name: str) -> None:
    """A lock with a path outside the folder is rejected."""
    victim = tmp_path / "victim.txt"
    victim.touch()
    actual = written(tmp_path / "out" / "package", OLD, [*OLD, name])
    before = content(actual)
    with pytest.raises(GenerationError, match="is outside the folder"):
        replace(wanted, actual, LOCK)
    assert content(actual) == before
    assert victim.exists()


def link_file(actual: Path, victim: Path) -> None:
    (actual / "client.py").unlink()
    (actual / "client.py").symlink_to(victim / "client.py")


def link_same(actual: Path, victim: Path) -> None:
    (victim / "client.py").write_text("new", encoding="utf-8")
    link_file(actual, victim)


def link_obsolete(actual: Path, victim: Path) -> None:
    (actual / "models" / "gone.py").unlink()
    (actual / "models" / "gone.py").symlink_to(victim / "client.py")


def link_missing(actual: Path, victim: Path) -> None:
    (actual / "models" / "more.py").symlink_to(victim / "nothing.py")


def link_folder(actual: Path, victim: Path) -> None:
    shutil.rmtree(actual / "models")
    (actual / "models").symlink_to(victim)


def link_package(actual: Path, victim: Path) -> None:
    shutil.rmtree(actual)
    actual.symlink_to(victim)


def link_nowhere(actual: Path, victim: Path) -> None:
    shutil.rmtree(actual)
    actual.symlink_to(victim / "nothing")


def file_for_folder(actual: Path, _: Path) -> None:
    shutil.rmtree(actual / "models")
    (actual / "models").touch()


def folder_for_file(actual: Path, _: Path) -> None:
    (actual / "models" / "more.py").mkdir()


def foreign_file(actual: Path, _: Path) -> None:
    (actual / "models" / "more.py").write_text("mine", encoding="utf-8")


OBSTACLES = [
    *(link_file, link_same, link_obsolete, link_missing, link_folder, link_package, link_nowhere),
    *(file_for_folder, folder_for_file, foreign_file),
]


@pytest.mark.parametrize("put", OBSTACLES, ids=lambda put: put.__name__)
def test_an_obstacle_is_an_error(wanted: Path, actual: Path, tmp_path: Path, put: Any) -> None:
    """With a link, a foreign file or a folder in the way, nothing changes, and the error names it."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "client.py").write_text("precious", encoding="utf-8")
    put(actual, victim)
    before, precious = content(tmp_path), content(victim)
    with pytest.raises(GenerationError, match=r"; move it, "):
        replace(wanted, actual, LOCK)
    assert (content(tmp_path), content(victim)) == (before, precious)


def test_a_foreign_file_with_the_same_content_is_adopted(wanted: Path, tmp_path: Path) -> None:
    """A file that the lock lacks but that has the generated content, as after a merge, is no obstacle."""
    actual = written(tmp_path / "out" / "package", NEW, ["client.py", "models/task.py"])
    replace(wanted, actual, LOCK)
    assert content(actual) == content(wanted)


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("after", range(6))
def test_a_failure_midway_leaves_the_old_tree(
    wanted: Path, actual: Path, monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException
) -> None:
    """If any change fails, every file is restored."""
    before, calls = content(actual.parent), iter(range(99))
    real, gone = Path.replace, Path.unlink

    def failing(path: Path, target: Path) -> Path:
        if "new" in path.parts and next(calls) == after:
            raise error
        return real(path, target)

    def unlinking(path: Path, missing_ok: bool = False) -> None:
        if not missing_ok and next(calls) == after:
            raise error
        gone(path, missing_ok)

    monkeypatch.setattr(Path, "replace", failing)
    monkeypatch.setattr(Path, "unlink", unlinking)
    with pytest.raises((GenerationError, KeyboardInterrupt)):
        replace(wanted, actual, LOCK)
    assert content(actual.parent) == before


def test_a_folder_that_cannot_be_written_is_an_error(wanted: Path, tmp_path: Path) -> None:
    """An operating system error becomes a GenerationError."""
    (tmp_path / "file").touch()
    with pytest.raises(GenerationError, match="cannot write"):
        replace(wanted, tmp_path / "file" / "package", LOCK)
    assert _output.files_of(tmp_path / "file") == {}
