"""
Find the words that words.toml lists in the tracked text files of the current directory.

Run by ``nox -s lint``. Prints ``file:line: word: what to write instead`` and exits with 1 if it finds any.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path("words.toml")
SKIPPED = re.compile(r"generated/|words\.toml$|(.*/)?(LICENSE|NOTICE)[^/]*$")
# A space also matches a line break, with the comment sign that begins the next line.
SPACE = r"[ \t]*(?:\n[ \t]*(?:#:?|//|\*)?)?[ \t]*(?<=\s)"


def main() -> int:
    """Check the files, and return the exit code."""
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    words = {compiled(word): instead for word, instead in config["instead"].items()}
    problems = [problem for file in tracked() for problem in occurrences(file, words)]
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def compiled(word: str) -> re.Pattern[str]:
    """Return the pattern that finds a key of the list as whole words."""
    return re.compile(rf"\b(?:{word.replace(' ', SPACE)})\b", re.IGNORECASE)


def tracked() -> Iterator[str]:
    """Yield the paths that git tracks, except generated code and licences."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True)  # noqa: S607
    for file in listed.stdout.split("\0"):
        if file and not SKIPPED.match(file):
            yield file


def occurrences(file: str, words: dict[re.Pattern[str], str]) -> Iterator[str]:
    """Yield a line for each listed word in a file; a deleted or binary file has none."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return
    for word, instead in words.items():
        for match in word.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found = re.sub(r"\s+(#:?|//|\*)?\s*", " ", match[0])
            yield f"{file}:{line}: {found}: write {instead} instead"


if __name__ == "__main__":
    sys.exit(main())
