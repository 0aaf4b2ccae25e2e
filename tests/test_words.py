"""The word list: a listed word is found with its replacement, and the list of pending files only shrinks."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORD, INSTEAD = next(
    iter(tomllib.loads((ROOT / "words.toml").read_text(encoding="utf-8"))["instead"].items())
)
PHRASE = ("is", "told")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository that holds the word list, one clean file and one pending file."""
    text = (ROOT / "words.toml").read_text(encoding="utf-8").partition("[pending]")[0]
    (tmp_path / "words.toml").write_text(
        f'{text}[pending]\nfiles = [\n    "old.md",\n    "docs/b.md",\n]\n', encoding="utf-8"
    )
    (tmp_path / "docs").mkdir()
    for name in ("old.md", "docs/b.md"):
        (tmp_path / name).write_text(f"{WORD}\n", encoding="utf-8")
    (tmp_path / "new.py").write_text('"""Return the response."""\n', encoding="utf-8")
    (tmp_path / "LICENSE").write_text(f"{WORD}\n", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def check(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the checker in a folder; return its exit code and output."""
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "check_words.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout


def test_a_listed_word_is_found(copy: Path) -> None:
    """Each word is reported with file, line and replacement, across line breaks and comment signs too."""
    assert check(copy) == (0, "")
    (copy / "new.py").write_text(f"# one\n# {WORD.title()}\n# {PHRASE[0]}\n# {PHRASE[1]}\n", encoding="utf-8")
    code, output = check(copy)
    assert code == 1
    assert output.splitlines() == [
        f"new.py:2: {WORD.title()}: write {INSTEAD} instead",
        f"new.py:3: {' '.join(PHRASE)}: write reported, shown, printed instead",
    ]


def test_a_pending_file_must_not_be_clean(copy: Path) -> None:
    """A pending file without a listed word fails the check until it is removed from the list."""
    (copy / "docs/b.md").write_text("The response.\n", encoding="utf-8")
    code, output = check(copy)
    assert code == 1
    assert output.startswith("docs/b.md: pending in words.toml, but clean")
    assert check(copy, "--prune") == (0, "")
    assert tomllib.loads((copy / "words.toml").read_text(encoding="utf-8"))["pending"]["files"] == ["old.md"]
    assert check(copy) == (0, "")
