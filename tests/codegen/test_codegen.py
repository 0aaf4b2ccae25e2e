"""Generate clients from contracts and overlays, and detect drift."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from mjrelay_codegen import generator as _generator
from mjrelay_codegen.__main__ import main
from mjrelay_codegen.source import RelaySource, TemplateContext

from mjrelay.contract.overlay import Overlay
from mjrelay.contract.yaml import load_yaml, plain_yaml
from mjrelay.errors import ContractError

REPOSITORY = Path(__file__).parents[2]
RELAY = "mjrelay_clients/zhongzhuan"

# Our templates are based on these. After an upgrade, port the changes and update the hashes.
UPSTREAM = {
    "client.py.jinja": "4eac65762f21014a7fbf59e730f1be6d28c9c85ddc1c40b458b6ff5f67a64c9e",
    "endpoint_macros.py.jinja": "58edb8b4913db6ed4863c633fb39365364494398c8156c77151c6676f1b28fee",
    "endpoint_module.py.jinja": "c1b2628053eb4875ba59566baa5ae907666f9cbfafa308d93f970a4404b7cd52",
    "errors.py.jinja": "b6ba7ea79aa7d7f24b47119985d1ed20268d3da0ab70309ee138088a106b6af9",
    "int_enum.py.jinja": "cf8776855b1d826971501d5f6d5b38c3cb496aad9276684b8ece268db67918bc",
    "model.py.jinja": "fd1c79680d51c06cfbb89809ad123750ba9add98b688036c04cabbf1f8ba40a0",
    "models_init.py.jinja": "4f64a3d6e1b15a561be5573c1b7702eb928c0e4fa6b67107d20e57a74c44d51a",
    "package_init.py.jinja": "ac15907e32dc39bd9b83ea6f2002fb87514f2182b97f88231b5a9c47321f6210",
    "str_enum.py.jinja": "e4979a5e6b338351eda8bdac534017cfbeb51a809b494fd3c632db39414817fc",
    "types.py.jinja": "93df9d75883a4eafac77dd21bc6907f3ef612e3f7841e08656618dcf6c4ce494",
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one contract and its generated client."""
    root = tmp_path_factory.mktemp("repository")
    (root / "openapi").mkdir()
    (root / "pyproject.toml").touch()
    shutil.copy(REPOSITORY / "openapi" / "zhongzhuan.yaml", root / "openapi")
    shutil.copytree(REPOSITORY / "overlays" / "client", root / "overlays" / "client")
    _generator.generate(root)
    return root


@pytest.fixture
def root(generated: Path, tmp_path: Path) -> Path:
    """A copy of that repository that a test may change."""
    return shutil.copytree(generated, tmp_path / "repository")


def tree(root: Path) -> dict[str, bytes]:
    """Return every file in ``generated/`` by its path."""
    folder = root / "generated"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_generating_twice_gives_the_same_bytes(root: Path) -> None:
    """A second run into an empty tree gives the same files, without a path of this machine."""
    before = tree(root)
    shutil.rmtree(root / "generated")
    _generator.generate(root)
    assert tree(root) == before
    for path, content in before.items():
        assert not re.search(rf"{root.parent}|{tempfile.gettempdir()}".encode(), content), path


def test_changed_files_are_drift(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drift lists different, missing and unknown files and writes nothing; generate keeps unknown ones."""
    strays = ["notes.txt", f"{RELAY}/models/mine.py", "mjrelay_clients/gone/client.py"]
    before = tree(root)
    for stray in strays:
        (root / "generated" / stray).parent.mkdir(exist_ok=True)
        (root / "generated" / stray).write_text("", encoding="utf-8")
    edit(root / "generated" / RELAY / "models" / "task.py", "class Task(", "class Job(")
    (root / "generated" / RELAY / "py.typed").unlink()
    changed = tree(root)
    assert main(["drift", "--root", str(root)]) == 1
    listed = set(re.findall(r"(?:different|missing|extra): \S+", capsys.readouterr().err))
    assert listed == {
        *(f"extra: {stray}" for stray in strays),
        f"different: {RELAY}/models/task.py",
        f"missing: {RELAY}/py.typed",
    }
    assert tree(root) == changed
    assert main(["generate", "--root", str(root)]) == 0
    assert tree(root) == before | dict.fromkeys(strays, b"")
    said = capsys.readouterr().err
    assert f"left unchanged: mjrelay_clients/gone/, {RELAY}/models/mine.py, notes.txt; move" in said


def test_a_client_has_its_contract_and_headers(generated: Path) -> None:
    """Each client has its contract, py.typed and a header in each module."""
    files_ = tree(generated)
    contract = json.loads(files_[f"{RELAY}/contract.json"])
    assert contract == plain_yaml(load_yaml(generated / "openapi" / "zhongzhuan.yaml"))
    assert f"{RELAY}/py.typed" in files_
    for path, content in files_.items():
        if path.endswith(".py"):
            header = content.decode().partition("\n")[0]
            assert "Generated by `nox -s generate` from " in header, path
            assert "Do not edit" in header, path
    assert b"openapi/zhongzhuan.yaml" in files_[f"{RELAY}/models/task.py"]


def test_the_lock_names_every_input(generated: Path) -> None:
    """The lock has the hash of each contract, overlay, template and setting by relative path."""
    lock = json.loads(tree(generated)["mjrelay_clients/LOCK.json"])
    contract = generated / "openapi" / "zhongzhuan.yaml"
    assert lock["inputs"]["openapi/zhongzhuan.yaml"] == hashlib.sha256(contract.read_bytes()).hexdigest()
    package = REPOSITORY / "codegen" / "mjrelay_codegen"
    expected = {
        *(f"overlays/client/{path.name}" for path in (generated / "overlays" / "client").iterdir()),
        *(f"codegen/mjrelay_codegen/templates/{path.name}" for path in (package / "templates").iterdir()),
        *(f"codegen/mjrelay_codegen/runtime/{path.name}" for path in (package / "runtime").glob("*.py")),
        "codegen/mjrelay_codegen/config.yaml",
        "openapi/zhongzhuan.yaml",
    }
    assert set(lock["inputs"]) == expected
    assert set(lock["tools"]) == {"openapi-python-client", "ruff"}


def test_a_changed_contract_is_drift(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drift lists the affected files and the command, and generate updates them."""
    edit(root / "openapi" / "zhongzhuan.yaml", "CANCEL]", "CANCEL, PAUSED]")
    capsys.readouterr()
    assert main(["drift", "--root", str(root)]) == 1
    said = capsys.readouterr().err
    assert f"different: {RELAY}/models/task_status.py" in said
    assert f"different: {RELAY}/contract.json" in said
    assert "different: mjrelay_clients/LOCK.json" in said
    assert "run: nox -s generate" in said
    assert main(["generate", "--root", str(root)]) == 0
    assert b'PAUSED = "PAUSED"' in tree(root)[f"{RELAY}/models/task_status.py"]


def test_the_client_of_a_removed_relay_is_deleted(root: Path) -> None:
    """After a contract is renamed, the files of the old name are deleted."""
    contract = root / "openapi" / "zhongzhuan.yaml"
    contract.rename(contract.with_name("other.yaml"))
    _generator.generate(root)
    assert not (root / "generated" / RELAY).exists()
    assert "mjrelay_clients/other/client.py" in tree(root)


def test_an_unsupported_contract_is_an_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A contract that the generator would drop a part of is rejected, and nothing is written."""
    before = tree(root)
    edit(
        root / "openapi" / "zhongzhuan.yaml",
        '$ref: "#/components/schemas/Button"',
        '$ref: "other.yaml#/Button"',
    )
    assert main(["generate", "--root", str(root)]) == 1
    said = capsys.readouterr().err
    assert "openapi/zhongzhuan.yaml" in said
    assert "other.yaml" in said
    assert tree(root) == before


def test_an_overlay_with_extends_is_a_relay(root: Path) -> None:
    """An overlay with extends becomes a client with the overlaid contract."""
    folder = root / "overlays" / "relays"
    folder.mkdir()
    (folder / "derived.yaml").write_text(
        "overlay: 1.1.0\n"
        "info: {title: Derived, version: 1.0.0}\n"
        "extends: zhongzhuan\n"
        "actions:\n"
        "  - target: $.components.schemas.Task.properties\n"
        "    update: {extra: {type: [string]}}\n",
        encoding="utf-8",
    )
    _generator.generate(root)
    files_ = tree(root)
    contract = json.loads(files_["mjrelay_clients/derived/contract.json"])
    assert contract["components"]["schemas"]["Task"]["properties"]["extra"] == {"type": ["string"]}
    assert b"overlays/relays/derived.yaml" in files_["mjrelay_clients/derived/models/task.py"]
    assert b'"derived"' in files_["mjrelay_clients/__init__.py"]


@pytest.mark.parametrize("name", ["Big", "with-hyphen", "1st", "runtime", "class"])
def test_an_invalid_relay_name_is_an_error(tmp_path: Path, name: str) -> None:
    """A relay name has to be valid as a package, and runtime is taken."""
    (tmp_path / f"{name}.yaml").write_text("paths: {}\n", encoding="utf-8")
    with pytest.raises(ContractError, match="rename"):
        RelaySource.load(tmp_path / f"{name}.yaml", name, tmp_path)


@pytest.mark.parametrize(
    ("scheme", "security", "message"),
    [
        ({"type": "http", "scheme": "basic"}, [{"one": []}], "one has an unsupported type"),
        ({"type": "oauth2", "flows": {}}, [{"one": []}], "one has an unsupported type"),
        ({"type": "http", "scheme": "bearer"}, [{"one": [], "two": []}], "one and two"),
        ({"type": "http", "scheme": "bearer"}, [{"two": []}], "securitySchemes has no two"),
    ],
)
def test_unsupported_credentials_are_an_error(
    scheme: dict[str, object], security: list[dict[str, list[str]]], message: str
) -> None:
    """Security that a client cannot use raises ContractError instead of being dropped."""
    document = {
        "components": {"securitySchemes": {"one": scheme}},
        "paths": {"/x": {"get": {"operationId": "fetchTask", "security": security}}},
    }
    with pytest.raises(ContractError, match=message):
        TemplateContext.of(document, Path("contract.yaml"))


def test_a_date_without_quotes_is_an_error(root: Path) -> None:
    """A YAML date raises ContractError that says to quote it, and nothing is written."""
    edit(root / "openapi" / "zhongzhuan.yaml", "info:", "x-date: 2024-05-30\ninfo:")
    before = tree(root)
    with pytest.raises(ContractError, match="put dates in quotes"):
        _generator.generate(root)
    assert tree(root) == before


def test_outside_a_repository(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The root is the nearest parent with contracts; outside a repository the error suggests --root."""
    monkeypatch.chdir(root / "overlays" / "client")
    assert _generator.find_root(Path.cwd()) == root
    monkeypatch.chdir(tmp_path)
    assert main(["drift"]) == 1
    assert "--root" in capsys.readouterr().err


def test_upstream_templates_are_unchanged() -> None:
    """An upgrade that changes the original of one of our templates fails this test."""
    theirs = files("openapi_python_client") / "templates"
    assert {name: hashlib.sha256((theirs / name).read_bytes()).hexdigest() for name in UPSTREAM} == UPSTREAM
    ours = {
        path.name for path in (REPOSITORY / "codegen" / "mjrelay_codegen" / "templates").glob("*.py.jinja")
    }
    assert ours <= set(UPSTREAM)


def test_client_overlays_open_a_closed_contract() -> None:
    """The client overlays open a closed contract; applying them twice changes nothing more."""
    closed = {
        "components": {
            "schemas": {
                "Task": {
                    "type": "object",
                    "required": ["id"],
                    "additionalProperties": False,
                    "properties": {
                        "id": {"type": ["string"], "format": "uuid"},
                        "format": {"type": ["integer", "null"]},
                        "type": {"type": ["array"], "items": {"type": "string", "format": "date-time"}},
                        "status": {"anyOf": [{"$ref": "#/components/schemas/Status"}]},
                    },
                },
                "Status": {"anyOf": [{"type": "string", "title": "Status", "enum": ["A"]}]},
                "Level": {"anyOf": [{"type": "integer", "title": "Level", "enum": [1]}]},
            }
        }
    }
    opened = {
        "components": {
            "schemas": {
                "Task": {
                    "type": "object",
                    "properties": {
                        "id": {"type": ["string", "null"]},
                        "format": {"type": ["integer", "null"]},
                        "type": {"type": ["array", "null"], "items": {"type": "string"}},
                        "status": {"anyOf": [{"$ref": "#/components/schemas/Status"}, {"type": "null"}]},
                    },
                },
                "Status": {
                    "anyOf": [{"type": "string", "title": "Status", "enum": ["A"]}, {"type": "string"}]
                },
                "Level": {"anyOf": [{"type": "integer", "title": "Level", "enum": [1]}, {"type": "integer"}]},
            }
        }
    }
    overlays = sorted((REPOSITORY / "overlays" / "client").glob("*.yaml"))
    document = closed
    for path in [*overlays, *overlays]:
        document = Overlay.load(path).apply(document)
    assert document == opened


def test_the_strict_overlay_closes_objects() -> None:
    """Objects with documented keys are closed; objects without any stay open."""
    schemas: dict[str, Any] = {
        "Task": {"type": "object", "properties": {"id": {"type": ["string"]}}},
        "Open": {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        "Free": {"type": "object"},
        "Status": {"anyOf": [{"type": "string", "title": "Status", "enum": ["A"]}]},
    }
    overlay = Overlay.load(REPOSITORY / "overlays" / "strict" / "drift.yaml")
    strict = overlay.apply({"components": {"schemas": schemas}})["components"]["schemas"]
    assert strict["Task"]["additionalProperties"] is False
    assert {name: strict[name] for name in ("Open", "Free", "Status")} == {
        name: schemas[name] for name in ("Open", "Free", "Status")
    }
