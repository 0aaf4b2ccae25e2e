"""What the README promises, it keeps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from mjrelay_conformance.judging.verdicts import Verdict
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay.contract.loading import load_contract, relay_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCED = _FENCE.findall(README)
PROGRAMS = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
    for number, (language, text) in enumerate(_FENCE.findall(page.read_text(encoding="utf-8")))
    if language == "python" and not text.lstrip().startswith(("def test", "pytest_plugins"))
]


def test_the_first_two_commands_set_everything_up() -> None:
    """The first two fenced blocks are one line each: the main job, and the tests."""
    (_, main), (_, tests) = FENCED[:2]
    for line, session in ((main, "conformance"), (tests, "tests")):
        assert line.count("\n") == 1
        assert line.endswith(f"nox -s {session}\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_run(program: str) -> None:
    """Each program of the README and the pages runs as it stands against the mock, and prints something."""
    mock = MockRelay(load_contract("zhongzhuan"))
    program = program.replace("./my-relay.yaml", str(ROOT / "tests" / "my-relay.yaml"))
    with Server(mock) as base_url:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program.replace("http://127.0.0.1:8080", base_url)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_exit_codes_are_those_of_the_verdicts() -> None:
    """The README's table of exit codes is the code's."""
    table = dict(re.findall(r"^\| (\d) \| ([a-z-]+) \|", README, re.MULTILINE))
    assert {int(code): word for code, word in table.items()} == {one.exit_code: one.value for one in Verdict}


def test_links_lead_somewhere() -> None:
    """Every relative link of the documents is a file of the project."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_the_package_holds_what_it_needs() -> None:
    """The built package carries contracts, overlays, schemas, templates and the typing markers."""
    held = {str(path) for path in metadata.files("mjrelay") or ()}
    if any(path.endswith(".pth") for path in held):
        pytest.skip("installed in place, nothing was built")
    wanted = {f"mjrelay/openapi/{path.name}" for path in ROOT.glob("openapi/*.yaml")}
    wanted |= {f"mjrelay_clients/{name}/contract.json" for name in relay_names()}
    wanted |= {"mjrelay/x-mj-task.schema.json", "mjrelay_conformance/results.schema.json"}
    wanted |= {
        f"mjrelay/overlays/{path.relative_to(ROOT / 'overlays')}" for path in ROOT.glob("overlays/*/*.yaml")
    }
    wanted |= {
        f"{name}/py.typed"
        for name in ("mjrelay", "mjrelay_clients", "mjrelay_codegen", "mjrelay_conformance")
    }
    wanted |= {
        "mjrelay_codegen/templates/model.py.jinja",
        "mjrelay_codegen/templates/LICENSE-openapi-python-client",
    }
    assert wanted <= held


def test_the_lock_names_no_machine() -> None:
    """The lock and the contracts hold paths of the project only."""
    lock = json.loads((ROOT / "generated" / "mjrelay_clients" / "LOCK.json").read_text(encoding="utf-8"))
    for path in lock["inputs"]:
        assert (ROOT / path).is_file()
