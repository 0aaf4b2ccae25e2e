"""The README and the documentation pages: programs run, tables match the code, links exist."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
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
BLOCK = re.compile(r"^```(python|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")
"""The first line of a block that is a file for the later ones."""
RELAYS = {"docs/contracts.md": "./my-relay.yaml", "docs/replay.md": "apiai"}
"""The relays of pages that are not about the usual one."""
HOST = re.compile(r"https://(?:api\.zhongzhuan\.chat|relay\.example(?:\.com)?)|http://127\.0\.0\.1:8080")
CODES = {
    "mjrelay mock": {0, 124},
    "mjrelay listen": {0, 124},
    "mjrelay durable worker": {0, 124},
    "mjrelay wait": {0, 1},
    "mjrelay doctor": {0, 1},
    "mjrelay conform": {0, 3},
    "mjrelay lint": {0, 1},
    "mjrelay replay": {0, 3},
}
"""Exit codes of commands that report on the mock's tasks, and of one that is stopped."""
INSTALLS = re.compile(r"pip install |python3 -m venv ")
"""Commands that need the network; the gate runs them."""


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


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with every warning of Python an error."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"MJRELAY_API_KEY": "mock-key", "PATH": path, "PYTHONWARNINGS": "error", **variables}
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def run_python(text: str, cwd: Path) -> None:
    """Run a block alone in a fresh interpreter; tests run under pytest."""
    if text.startswith("pytest_plugins"):
        (cwd / "conftest.py").write_text(text, encoding="utf-8")
        return
    if named := FILE.match(text):
        (cwd / named[1]).write_text(text, encoding="utf-8")
        return
    (cwd / "test_block.py").write_text(text, encoding="utf-8")
    if "def test_" in text:
        command = ["-m", "pytest", "-q", "-pno:schemathesis", "-pno:cacheprovider", "test_block.py"]
    else:
        command = ["test_block.py"]
    done = run(sys.executable, *command, cwd=cwd)
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    assert done.stdout.strip(), text


def run_shell(text: str, cwd: Path, base_url: str) -> None:
    """Run the commands of a block; a mock is stopped when it serves."""
    for line in re.sub(r"\\\n *", "", text).splitlines():
        command = line.removeprefix("$ ").partition(" #")[0].strip()
        if not command or INSTALLS.match(command):
            continue
        if command.startswith(("mjrelay mock", "mjrelay listen")):
            command = f"timeout -s INT 4 {command} --port 0"
        if command.startswith("mjrelay durable worker"):
            command = f"timeout -s INT 4 {command}"
        done = run("sh", "-c", command, cwd=cwd, MJRELAY_BASE_URL=base_url)
        codes = next((codes for name, codes in CODES.items() if name in command), {0})
        assert done.returncode in codes, f"{command}\n{done.stdout}{done.stderr}"
        assert done.stdout + done.stderr


@pytest.mark.parametrize("page", [page for page, content in PAGES.items() if BLOCK.search(content)])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    """Each Python block runs alone, and each shell command: unchanged, but against a mock for the host."""
    name = RELAYS.get(page, "zhongzhuan")
    shutil.copy(ROOT / "tests" / "my-relay.yaml", tmp_path)
    if "traffic.har" in PAGES[page] or "old/results.json" in PAGES[page]:
        made = run(
            "mjrelay", "conform", name, "--profile", "read", "--no-fuzz", "--report-dir", "old", cwd=tmp_path
        )
        assert made.returncode == 0, made.stderr
        for copied in ("new", "archive/1"):
            shutil.copytree(tmp_path / "old", tmp_path / copied)
        record = (tmp_path / "old" / "results.json").read_bytes()
        (tmp_path / "traffic.har").write_bytes(record)
        (tmp_path / "monday.jsonl.gz").write_bytes(gzip.compress(record))
    contract = load_contract(tmp_path / name if name.endswith(".yaml") else name)
    with Server(MockRelay(contract, duration=0.2)) as base_url:
        for language, text in BLOCK.findall(PAGES[page]):
            block = HOST.sub(base_url, text)
            run_python(block, tmp_path) if language == "python" else run_shell(block, tmp_path, base_url)


def test_the_tables_match_the_code() -> None:
    """The documented verdicts, profiles and commands are those of the code."""
    conformance = PAGES["docs/conformance.md"]
    verdicts = re.findall(r"^\| (\d) \| ([a-z-]+) \|", conformance, re.MULTILINE)
    assert {int(code): verdict for code, verdict in verdicts} == {one.exit_code: one.value for one in Verdict}
    profiles = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \|$", conformance, re.MULTILINE)
    assert {name: int(maximum) for name, maximum in profiles} == PROFILES
    commands = re.findall(r"^\| `mjrelay ([\w-]+)` \|", PAGES["docs/cli.md"], re.MULTILINE)
    listed = forked.run(["--help"], {**os.environ, "COLUMNS": "80"}).stdout.partition("Commands")[2]
    assert commands == re.findall(r"^[\u2502 ]{1,3}([a-z-]+)  +\S", listed, re.MULTILINE)


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
