"""Any contract that the linter accepts works: six of very different kinds, in a copy of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYNTHETIC = ROOT / "tests" / "synthetic"
NAMES = sorted(path.stem for path in SYNTHETIC.rglob("*.yaml"))
PACKAGES = ("src", "codegen", "conformance", "generated")
LOOPS = (
    "tests/checks/test_task.py",
    "tests/client/test_errors.py::test_missing_and_refused_are_different_errors",
    "tests/contract/test_contract.py",
    "tests/contract/test_profile.py",
    "tests/doctor/test_addresses.py",
    "tests/doctor/test_identification.py",
    "tests/judging/test_schema.py",
    "tests/mock/test_mock.py",
    "tests/replay/test_replay.py::test_correct_relays_have_no_findings",
    "tests/semantics/test_paths.py",
)
"""The tests that loop over all relays."""


def run(root: Path, *arguments: str) -> None:
    """Run a module of the copy, and fail with its output."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(root / package) for package in PACKAGES)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.relays
def test_new_relays_pass_everything(tmp_path: Path) -> None:
    """Six new files are all that linter, self-test and the tests that loop over relays need."""
    for folder in (*PACKAGES, "openapi", "overlays", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(SYNTHETIC / "relays", tmp_path / "overlays" / "relays", dirs_exist_ok=True)
    for contract in SYNTHETIC.glob("*.yaml"):
        shutil.copy(contract, tmp_path / "openapi")
    run(tmp_path, "mjrelay_codegen", "generate")
    run(tmp_path, "mjrelay_conformance.drivers.selftest", *NAMES)
    run(
        tmp_path,
        "pytest",
        "-q",
        "-x",
        "--numprocesses=3",
        "-p",
        "no:cacheprovider",
        "--override-ini=pythonpath=. tests/support",
        *LOOPS,
    )
