"""`mjrelay new` and `mjrelay lint`: the draft of a contract, and the violations of a contract."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import forked
import pytest

from mjrelay.contract import load_contract

OWN = Path(__file__).parents[1] / "my-relay.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: str) -> tuple[int, str, str]:
    """Run the command. Return its exit code, stdout and stderr."""
    done = forked.run(list(arguments), {"PATH": "/usr/bin"})
    return done.returncode, done.stdout, done.stderr


def finish(path: Path) -> None:
    """Remove the TODO marks from a draft."""
    path.write_text(re.sub(r" *# TODO:.*", "", path.read_text(encoding="utf-8")), encoding="utf-8")


def test_a_draft(folder: Path) -> None:
    """A draft names the command that lists its TODOs. Without them it has no violations, and conforms."""
    (folder / "sub").mkdir()
    code, stdout, stderr = command("new", "fresh", "--output", "sub")
    assert (code, stdout) == (0, "sub/fresh.yaml\n")
    assert "mjrelay lint sub/fresh.yaml" in stderr
    code, stdout, stderr = command("lint", "sub/fresh.yaml")
    assert (code, set(re.findall(r"^sub/fresh\.yaml:\d+: (\w+):", stdout, re.MULTILINE))) == (1, {"todo"})
    assert stderr == f"mjrelay: {stdout.count(chr(10))} violations\n"
    assert "`mjrelay lint fresh.yaml` lists every TODO" in Path("sub/fresh.yaml").read_text(encoding="utf-8")
    finish(Path("sub/fresh.yaml"))
    assert command("lint", "sub/fresh.yaml") == (0, "", "mjrelay: 0 violations\n")
    assert command("conform", "sub/fresh.yaml", "--no-fuzz")[0] == 0


def test_a_draft_of_an_overlay(folder: Path) -> None:
    """With --extends the draft is an overlay over a packaged relay, or over a file relative to it."""
    shutil.copy(OWN, folder / "a base.yaml")
    (folder / "sub").mkdir()
    assert command("new", "one", "--extends", "api-ai")[:2] == (0, "one.yaml\n")
    assert command("new", "two", "--extends", "./a base.yaml", "--output", "sub")[0] == 2  # no relay's name
    (folder / "a base.yaml").rename(folder / "abase.yaml")
    assert command("new", "two", "--extends", "abase.yaml", "--output", "sub")[0] == 0
    for draft, base in (("one.yaml", "apiai"), ("sub/two.yaml", "abase.yaml")):
        finish(Path(draft))
        assert command("lint", draft)[0] == 0
        assert load_contract(draft).path == load_contract(base).path
        assert load_contract(draft).base_url == "https://relay.invalid"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["apiai"], "apiai is a packaged relay; choose another name, or use --extends apiai"),
        (["mine"], "mine.yaml exists; edit that file, or choose another name"),
        (["my-relay"], "'my-relay' is not a valid relay name.*; for example myrelay"),
        (["twin", "--extends", "apia"], "no relay is called 'apia'; did you mean apiai"),
        (["twin", "--extends", "./gone.yaml"], "gone.yaml: there is no such file"),
        (["twin", "--output", "gone"], "'gone' does not exist"),
    ],
)
def test_a_draft_that_is_not_written(folder: Path, arguments: list[str], message: str) -> None:
    """The error says what to change, no file is overwritten, and the exit code is 2."""
    (folder / "mine.yaml").write_text("mine", encoding="utf-8")
    code, stdout, stderr = command("new", *arguments)
    assert (code, stdout) == (2, "")
    assert re.search(message, stderr), stderr
    assert [file.read_text(encoding="utf-8") for file in folder.iterdir()] == ["mine"]


def test_lint(folder: Path) -> None:
    """Each violation has the file and line where it is written, in a contract or in an overlay over it."""
    text = OWN.read_text(encoding="utf-8")
    assert command("lint", str(OWN)) == (0, "", "mjrelay: 0 violations\n")
    base = folder / "base.yaml"
    base.write_text(text.replace("phase: waiting", "phase: dreaming"), encoding="utf-8")
    actions = (
        'overlay: 1.1.0\ninfo: {title: T, version: "1"}\nextends: base.yaml\nactions:\n'
        "  - target: $.paths.*.*['x-mj-task'].images\n    update: [$.data.nothing]\n"
        "  - target: $.components.schemas.Picture\n    update:\n      title: P\n      required: [href]\n"
    )
    (folder / "twin.yaml").write_text(actions, encoding="utf-8")
    code, stdout, _ = command("lint", "twin.yaml")
    line = text.partition("phase: waiting")[0].count("\n") + 1
    assert (code, f"base.yaml:{line}: " in stdout, "twin.yaml:6: jsonpath: " in stdout) == (1, True, True)
    assert "description" not in stdout
    contract = load_contract("twin.yaml")
    assert contract.clause("components", "schemas", "Picture", "required", 0).line == 10


def test_lint_suggests_names(folder: Path) -> None:
    """A misspelt key or state is reported with the nearest known name."""
    text = OWN.read_text(encoding="utf-8").replace("        prompt: ", "        promt: ")
    (folder / "mine.yaml").write_text(text.replace("failed: [torn]", "faild: [torn]"), encoding="utf-8")
    code, stdout, _ = command("lint", "mine.yaml")
    assert code == 1
    assert re.findall(r"extension: (.*)", stdout) == [
        "promt is unknown here; did you mean prompt or prompts?",
        (
            '"faild" is not valid here; did you mean failed? '
            "One of queued, running, needs-input, succeeded, failed and cancelled."
        ),
    ]


def test_lint_of_a_file_that_cannot_be_loaded(folder: Path) -> None:
    """Structural problems and unreadable files are violations. A missing file is wrong usage."""
    text = OWN.read_text(encoding="utf-8").replace('"#/components/schemas/Phase"', '"./a.yaml"')
    (folder / "mine.yaml").write_text(text.replace("url: https://", "url: ftp://"), encoding="utf-8")
    code, stdout, stderr = command("lint", "mine.yaml")
    assert (code, stderr) == (1, "mjrelay: 1 violation\n")
    assert re.fullmatch(r"mine\.yaml:\d+: structure: \./a\.yaml is outside this document; .*\n", stdout)
    (folder / "mine.yaml").write_text('overlay: 1.1.0\ninfo: {title: T, version: "1"}\nactions: []\n')
    assert command("lint", "mine.yaml")[:2] == (
        1,
        "mine.yaml:3: contract: actions is empty; write at least one action\n",
    )
    assert command("lint", "gone.yaml") == (
        2,
        "",
        "mjrelay: gone.yaml: there is no such file; check the path\n",
    )
