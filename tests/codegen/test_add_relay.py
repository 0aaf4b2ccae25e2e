"""The scaffold of a relay: it explains every form, says what is left to do, and is right once it is done."""

from __future__ import annotations

import json
import re
import shutil
from importlib import resources
from pathlib import Path

import forked
import pytest
from mjrelay_codegen.__main__ import main
from mjrelay_codegen.linter.draft import task_schema
from mjrelay_codegen.linter.linting import lint_file, lint_overlay

from mjrelay.contract import loading as _contract

REPOSITORY = Path(__file__).parents[2]
MARK = re.compile(r"\s*# TODO:.*")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one relay."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "openapi").mkdir()
    shutil.copy(REPOSITORY / "openapi" / "apiai.yaml", tmp_path / "openapi")
    shutil.copytree(REPOSITORY / "overlays" / "client", tmp_path / "overlays" / "client")
    return tmp_path


def add(root: Path, *arguments: str) -> int:
    """Run the command behind ``nox -s add-relay``."""
    return main(["add", "--root", str(root), *arguments])


def finished(path: Path) -> Path:
    """The scaffold as if all its examples were right."""
    path.write_text(MARK.sub("", path.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def test_a_contract_is_begun(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written where it belongs, and the next three commands are told."""
    assert add(root, "fresh") == 0
    said = capsys.readouterr().err
    assert "written: openapi/fresh.yaml" in said
    assert re.findall(r"^  (nox -s [a-z]+(?: -- \w+)?)", said, re.MULTILINE) == [
        "nox -s lint",
        "nox -s generate",
        "nox -s conformance -- fresh",
    ]


def test_the_linter_says_what_is_left(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each mark is a violation on its line, and there is no other; nothing is generated meanwhile."""
    add(root, "fresh")
    path = root / "openapi" / "fresh.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    found = lint_file(path)
    assert {one.rule for one in found} == {"todo"}
    assert [one.line for one in found] == [n for n, line in enumerate(lines, 1) if "# TODO:" in line]
    assert "where the relay is" in " ".join(one.message for one in found)
    capsys.readouterr()
    assert main(["generate", "--root", str(root)]) == 1
    assert "nothing was generated" in capsys.readouterr().err
    assert not (root / "generated").exists()


def test_a_finished_contract_is_right(root: Path, tmp_path: Path) -> None:
    """Once nothing is left to do it lints, it is generated, and its mock keeps it."""
    add(root, "fresh")
    path = finished(root / "openapi" / "fresh.yaml")
    assert lint_file(path) == []
    assert main(["generate", "--root", str(root)]) == 0
    assert (root / "generated" / "mjrelay_clients" / "fresh" / "contract.json").is_file()
    done = forked.run(["conform", str(path), "--no-fuzz", "--format", "json"], {"PATH": "/usr/bin"})
    assert (done.returncode, json.loads(done.stdout)["footer"]["verdict"]) == (0, "conformant"), done.stderr


def test_every_form_is_explained() -> None:
    """No key of `x-mj-task` is missing from the scaffold, be it in a comment."""
    text = (resources.files("mjrelay_codegen") / "scaffold" / "contract.yaml").read_text(encoding="utf-8")
    keys = task_schema()["properties"]
    assert len(keys) > 20
    assert [key for key in keys if not re.search(rf"^\s+(# )?{key}:", text, re.MULTILINE)] == []


def test_an_overlay_is_begun(root: Path) -> None:
    """Over another relay it is a few lines, which fit that relay once the marks are gone."""
    assert add(root, "twin", "--extends", "apiai") == 0
    path = root / "overlays" / "relays" / "twin.yaml"
    assert {one.rule for one in lint_overlay(path)} == {"todo"}
    assert lint_overlay(finished(path)) == []
    contract = _contract.load_contract(path)
    assert (contract.name, contract.base_url) == ("twin", "https://relay.invalid")
    assert contract.document["info"]["title"] == "twin"
    assert contract.path == _contract.load_contract("apiai").path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["apiai"], "apiai is there: openapi/apiai.yaml"),
        (["my-relay"], "'my-relay' cannot name a relay.*; myrelay would do"),
        (["7up"], "'7up' cannot name a relay.*; up would do"),
        (["runtime"], "'runtime' cannot name a relay"),
        (["../out"], "cannot name a relay"),
        (["中转"], "cannot name a relay"),
        (["twin", "--extends", "apia"], "there is no apia to extend; did you mean apiai?"),
    ],
)
def test_a_name_that_cannot_be(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """What is there is not written over, and what is no name is refused with one that is."""
    before = {path: path.read_bytes() for path in root.rglob("*.yaml")}
    assert add(root, *arguments) == 1
    assert re.search(said, capsys.readouterr().err)
    assert {path: path.read_bytes() for path in root.rglob("*.yaml")} == before


def test_a_twin_cannot_take_a_name_either(root: Path) -> None:
    """A relay that is an overlay has its name for itself, and can be extended."""
    add(root, "twin", "--extends", "apiai")
    assert add(root, "twin") == 1
    assert add(root, "third", "--extends", "twin") == 0
