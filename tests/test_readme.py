"""The README and the documentation pages: programs run, tables match the code, links exist."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import forked
import pytest
from mjrelay_conformance.drivers.plan import PROFILES
from mjrelay_conformance.judging.verdicts import Verdict
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay.contract.loading import load_contract, relay_names

ROOT = Path(__file__).parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/*.md")))
}
README = PAGES["README.md"]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = [
    pytest.param(text, id=f"{page}-{number}")
    for page, content in PAGES.items()
    for number, (language, text) in enumerate(FENCE.findall(content))
    if language == "python" and not text.lstrip().startswith(("def test", "pytest_plugins"))
]


def test_the_first_two_commands_set_everything_up() -> None:
    """The first two fenced blocks of the README are one line each: the suite, then the tests."""
    (_, main), (_, tests) = FENCE.findall(README)[:2]
    for line, session in ((main, "conformance"), (tests, "tests")):
        assert line.startswith("python3 -m venv .venv && ")
        assert line.count("\n") == 1
        assert line.endswith(f"nox -s {session}\n")


def test_the_readme_is_short() -> None:
    """The README is a landing page; details belong in docs/."""
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_run(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each Python block runs unchanged against the mock and prints something."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program"])
    program = program.replace("./my-relay.yaml", str(ROOT / "tests" / "my-relay.yaml"))
    with Server(MockRelay(load_contract("zhongzhuan"))) as base_url:
        module = {"__name__": "__main__"}
        exec(compile(program.replace("http://127.0.0.1:8080", base_url), "<page>", "exec"), module)  # noqa: S102 - our pages
    assert capsys.readouterr().out.strip()


def test_the_tables_match_the_code() -> None:
    """The documented verdicts, profiles and commands are those of the code."""
    conformance = PAGES["docs/conformance.md"]
    verdicts = re.findall(r"^\| (\d) \| ([a-z-]+) \|", conformance, re.MULTILINE)
    assert {int(code): verdict for code, verdict in verdicts} == {one.exit_code: one.value for one in Verdict}
    profiles = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \|$", conformance, re.MULTILINE)
    assert {name: int(maximum) for name, maximum in profiles} == PROFILES
    commands = re.findall(r"^\| `mjrelay (\w+)` \|", PAGES["docs/cli.md"], re.MULTILINE)
    listed = forked.run(["--help"], {**os.environ, "COLUMNS": "80"}).stdout.partition("Commands")[2]
    assert commands == re.findall(r"^[\u2502 ]{1,3}([a-z]+)  +\S", listed, re.MULTILINE)


def test_links_exist() -> None:
    """Every relative link leads to a file, and every fragment to a heading of it."""
    for page, content in PAGES.items():
        for target, fragment in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", content):
            path = (ROOT / page).parent / target if target else ROOT / page
            assert path.is_file(), f"{page}: {target}"
            if fragment:
                headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
                assert fragment in anchors, f"{page}: {target}#{fragment}"


def test_the_package_is_complete() -> None:
    """The built package contains contracts, overlays, schemas, templates and the typing markers."""
    files = {str(path) for path in metadata.files("mjrelay") or ()}
    if any(path.endswith(".pth") for path in files):
        pytest.skip("editable install: there is no built package")
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
        f"mjrelay_conformance/report/page/{name}"
        for name in ("page.html", "page.css", "record.js", "elements.js", "sections.js", "page.js")
    }
    wanted |= {
        "mjrelay_codegen/templates/model.py.jinja",
        "mjrelay_codegen/templates/LICENSE-openapi-python-client",
    }
    assert wanted <= files


def test_the_lock_lists_project_files() -> None:
    """Every input that the lock of generated/ lists is a file of the project."""
    lock = json.loads((ROOT / "generated" / "mjrelay_clients" / "LOCK.json").read_text(encoding="utf-8"))
    for path in lock["inputs"]:
        assert (ROOT / path).is_file()
