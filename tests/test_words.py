"""The word list: listed words are reported with their replacement."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = (ROOT / "words.toml").read_text(encoding="utf-8")
PHRASE = ("is", "told")
WORD, INSTEAD = next(iter(tomllib.loads(CONFIG)["instead"].items()))


def check(folder: Path) -> tuple[int, str]:
    """Run the checker in a folder; return its exit code and output."""
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "check_words.py")],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout


def test_a_listed_word_is_found(tmp_path: Path) -> None:
    """Each word is reported with file, line and replacement, also across line breaks, except in licences."""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for name, text in (("words.toml", CONFIG), ("LICENSE", WORD), ("new.py", "The response.")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert check(tmp_path) == (0, "")
    (tmp_path / "new.py").write_text(
        f"# one\n# {WORD.title()}\n# {PHRASE[0]}\n# {PHRASE[1]}\n", encoding="utf-8"
    )
    code, output = check(tmp_path)
    assert code == 1
    assert output.splitlines() == [
        f"new.py:2: {WORD.title()}: write {INSTEAD} instead",
        f"new.py:3: {' '.join(PHRASE)}: write reported, shown, printed instead",
    ]
