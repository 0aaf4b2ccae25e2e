"""The scaffold of a relay: it explains every form, lists TODOs, and is valid once they are resolved."""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path

import pytest
from mjrelay_codegen.__main__ import main
from mjrelay_codegen.linter.draft import extension_schema
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
    """Remove the TODO marks from a scaffold."""
    path.write_text(MARK.sub("", path.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def test_add_writes_a_contract(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The contract is written to openapi/, and the output lists the next three commands."""
    assert add(root, "fresh") == 0
    said = capsys.readouterr().err
    assert "written: openapi/fresh.yaml" in said
    assert re.findall(r"^  (nox -s [a-z]+(?: -- \w+)?)", said, re.MULTILINE) == [
        "nox -s lint",
        "nox -s generate",
        "nox -s conformance -- fresh",
    ]


def test_the_linter_reports_todos(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each TODO is a violation at its line, there is no other violation, and nothing is generated."""
    add(root, "fresh")
    path = root / "openapi" / "fresh.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    found = lint_file(path)
    assert {one.rule for one in found} == {"todo"}
    assert [one.line for one in found] == [n for n, line in enumerate(lines, 1) if "# TODO:" in line]
    assert "the relay's host" in " ".join(one.message for one in found)
    capsys.readouterr()
    assert main(["generate", "--root", str(root)]) == 1
    assert "nothing was generated" in capsys.readouterr().err
    assert not (root / "generated").exists()


def test_a_finished_scaffold_is_generated(root: Path) -> None:
    """Without TODOs the scaffold has no violations, and a client is generated."""
    add(root, "fresh")
    path = finished(root / "openapi" / "fresh.yaml")
    assert lint_file(path) == []
    assert main(["generate", "--root", str(root)]) == 0
    assert (root / "generated" / "mjrelay_clients" / "fresh" / "contract.json").is_file()


def test_every_form_is_explained() -> None:
    """The scaffold has every key of `x-mj-task`, some of them in comments."""
    text = (resources.files("mjrelay_codegen") / "scaffold" / "contract.yaml").read_text(encoding="utf-8")
    keys = extension_schema("x-mj-task")["properties"]
    assert len(keys) > 20
    assert [key for key in keys if not re.search(rf"^\s+(# )?{key}:", text, re.MULTILINE)] == []


def test_add_writes_an_overlay(root: Path) -> None:
    """With --extends an overlay is written that applies to the other relay."""
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
        (["apiai"], "apiai exists: openapi/apiai.yaml"),
        (["my-relay"], "'my-relay' is not a valid relay name.*; for example myrelay"),
        (["7up"], "'7up' is not a valid relay name.*; for example up"),
        (["runtime"], "'runtime' is not a valid relay name"),
        (["../out"], "is not a valid relay name"),
        (["中转"], "is not a valid relay name"),
        (["twin", "--extends", "apia"], "there is no relay apia to extend; did you mean apiai?"),
    ],
)
def test_an_invalid_or_taken_name(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """An existing file is not overwritten, and an invalid name is rejected with a suggestion."""
    before = {path: path.read_bytes() for path in root.rglob("*.yaml")}
    assert add(root, *arguments) == 1
    assert re.search(said, capsys.readouterr().err)
    assert {path: path.read_bytes() for path in root.rglob("*.yaml")} == before


def test_an_overlay_is_a_relay(root: Path) -> None:
    """The name of an overlay is taken, too, and another overlay can extend it."""
    add(root, "twin", "--extends", "apiai")
    assert add(root, "twin") == 1
    assert add(root, "third", "--extends", "twin") == 0
