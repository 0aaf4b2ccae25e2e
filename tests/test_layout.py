"""The import directions: the project keeps them, and each kind of forbidden import is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "mjrelay": "src/mjrelay",
    "mjrelay_conformance": "conformance/mjrelay_conformance",
    "mjrelay_codegen": "codegen/mjrelay_codegen",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the hand-written packages and their configuration, to plant imports in."""
    for name, folder in PACKAGES.items():
        shutil.copytree(ROOT / folder, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.j*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> tuple[int, str]:
    """The exit code and the output of the import linter, run on the packages in a folder."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_directions_are_kept(copy: Path) -> None:
    """The project as it is has no forbidden import."""
    code, output = lint_imports(copy)
    assert (code, " 0 broken" in output) == (0, True), output


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        pytest.param(
            "mjrelay/http/urls.py",
            "import mjrelay.contract",
            "mjrelay: each package imports only from those below it",
            id="upwards",
        ),
        pytest.param(
            "mjrelay/client/task.py",
            "import mjrelay.doctor",
            "mjrelay: each package imports only from those below it",
            id="sideways",
        ),
        pytest.param(
            "mjrelay/odd.py",
            "",
            "mjrelay: each package imports only from those below it",
            id="a module without a place",
        ),
        pytest.param(
            "mjrelay_conformance/judging/schema.py",
            "import mjrelay_conformance.checks",
            "suite: each package imports only from those below it",
            id="upwards in the suite",
        ),
        pytest.param(
            "mjrelay_codegen/source.py",
            "import mjrelay_codegen.generator",
            "generator: each package imports only from those below it",
            id="upwards in the generator",
        ),
        pytest.param(
            "mjrelay_conformance/judging/schema.py",
            "import mjrelay.client",
            "the suite and the generator do not import the client",
            id="the client, by the suite",
        ),
        pytest.param(
            "mjrelay/doctor/plan.py",
            "import mjrelay_conformance.checks",
            "only the command, testing and monitor import the suite",
            id="the suite, by the doctor",
        ),
        pytest.param(
            "mjrelay/http/exchange.py",
            "if TYPE_CHECKING:\n    from mjrelay.http import request",
            "no import cycles, type-checking imports included",
            id="a cycle for a type",
        ),
        pytest.param(
            "mjrelay/client/base.py",
            "def late() -> None:\n    from mjrelay.http.urls import Address",
            "mjrelay.http: imported from its __init__ only",
            id="past the __init__, inside a function",
        ),
        pytest.param(
            "mjrelay/doctor/plan.py",
            "import httpx",
            "HTTP libraries are imported by mjrelay.transport only",
            id="an HTTP library",
        ),
    ],
)
def test_a_forbidden_import_is_found(copy: Path, file: str, line: str, contract: str) -> None:
    """A planted import breaks the contract of its kind, and the output names the file that has it."""
    with (copy / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{line}\n")
    code, output = lint_imports(copy)
    assert code == 1
    assert f"{contract} BROKEN" in output
    assert f".{Path(file).stem}" in output
