"""Ctrl-C and full disks: exit codes, and what the command prints to start again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_process import FAILED, KEY, SUCCEEDED, Counting, environment, lines, mjrelay, started, until
from mjrelay_conformance.mock.server import Server

from mjrelay.contract.loading import load_contract
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and limits")

AT_IMPORT = """
import os, runpy, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.argv = ["mjrelay", *{arguments!r}]
runpy.run_module("mjrelay", run_name="__main__", alter_sys=True)
"""
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
sys.argv = ["mjrelay", *sys.argv[1:]]
runpy.run_module("mjrelay", run_name="__main__", alter_sys=True)
"""


def python(
    program: str, *arguments: str, measured: bool = True, **options: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with the command's environment; coverage is not measured unless ``measured``."""
    variables = environment(KEY, **options)
    if not measured:
        coverage = ("COVERAGE_", "COV_CORE_")
        variables = {name: value for name, value in variables.items() if not name.startswith(coverage)}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=variables,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_ctrl_c_during_start_up() -> None:
    """During any import: exit 130, no traceback, and the command with its ids to start again."""
    arguments = ["wait", "zhongzhuan", "17", "18", "--out", "my results.jsonl"]
    for module in (
        "mjrelay.cli",
        "attrs",
        "click",
        "mjrelay.client.relay",
        "mjrelay.http",
        "mjrelay.cli.tasks",
    ):
        done = python(AT_IMPORT.format(module=module, arguments=arguments))
        expected = f"mjrelay: interrupted; start again with: {shlex.join(['mjrelay', *arguments])}\n"
        assert (done.returncode, done.stdout, done.stderr.lstrip()) == (130, "", expected), module


def test_a_full_disk_is_no_wrong_usage(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """Each command that writes a file: exit 1, the file and the reason, no traceback, and no torn file."""
    (tmp_path / "old.jsonl").write_bytes(b"")
    mjrelay("conform", "apiai", "--no-fuzz", "--report-dir", str(tmp_path / "run"))
    record, report = str(tmp_path / "run"), str(tmp_path / "report")
    app, base_url = relay
    app.changes = {"imageUrl": f"{base_url}/made/1.png"}
    app.files["/made/1.png"] = b"\x89PNG" + bytes(1000)
    wait = ["wait", "zhongzhuan", SUCCEEDED, "--base-url", base_url]
    commands: Sequence[tuple[Path, list[str]]] = (
        (tmp_path / "old.jsonl", [*wait, "--out", str(tmp_path / "old.jsonl")]),
        (tmp_path / SUCCEEDED, [*wait, "--download", str(tmp_path)]),
        *(
            (tmp_path / "report", ["report", kind, record, "-o", report])
            for kind in ("html", "junit", "markdown")
        ),
        (tmp_path / "report", ["report", "schema", "-o", report]),
        (tmp_path / "new", ["conform", "apiai", "--no-fuzz", "--report-dir", str(tmp_path / "new")]),
        (Path("zhongzhuan.yaml"), ["generate", "zhongzhuan", "--output", str(tmp_path)]),
    )
    for path, command in commands:
        # The limit would hold for coverage's own file too.
        done = python(LIMITED, *command, measured=False, PYTHONDONTWRITEBYTECODE="1")
        assert done.returncode == 1, (command, done.stderr)
        assert "File too large" in done.stderr, command
        assert str(path) in done.stderr, (command, done.stderr)
        assert "Traceback" not in done.stderr, command
    assert (tmp_path / "old.jsonl").read_bytes() == b""
    assert not list(tmp_path.glob("*.png"))


def test_a_wait_that_times_out_prints_how_to_resume(tmp_path: Path) -> None:
    """One command at the end has the file, the overlays, the options and the ids that had not ended."""
    own, fix = tmp_path / "myrelay.yaml", tmp_path / "fix.yaml"
    own.write_text(
        (Path(__file__).parent.parent / "my-relay.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    fix.write_text(
        "overlay: 1.0.0\ninfo: {title: Fix, version: '1'}\nactions:\n"
        "  - {target: $.info, description: Nothing., update: {x-fixed: true}}\n",
        encoding="utf-8",
    )
    app = Counting(load_contract(own), key=KEY)
    slow = [app.submit(600), app.submit(600)]
    with Server(app) as base_url:
        given = ["--overlay", str(fix), "--timeout", "1.0", "--base-url", base_url]
        done = mjrelay("wait", *given, str(own), app.known[State.SUCCEEDED], *slow)
    assert done.returncode == 1
    (command,) = [line for line in done.stderr.splitlines() if "resume with: " in line]
    words = shlex.split(command.partition("resume with: ")[2])
    assert words[:2] == ["mjrelay", "wait"]
    assert words[-3:] == [str(own), *slow]
    for option in given:
        assert option in words
    assert "wait(" not in done.stderr
    assert done.stderr.count("mjrelay wait") == 1


def test_messages_name_the_commands_options(relay: tuple[Counting, str]) -> None:
    """Messages of the command name its options, not Python's arguments."""
    _, base_url = relay
    fetch = ["fetch", "zhongzhuan", SUCCEEDED, "--base-url", base_url]
    said = [
        mjrelay(*fetch, key=None),
        mjrelay(*fetch, key="sk-wrong"),
        mjrelay(*fetch, "--scheme", "none", key=None),
        mjrelay("fetch", "apiai", "1"),
        mjrelay("fetch", "https://api.zhongzhuan.chat", "1"),
        mjrelay("conform", "zhongzhuan", "--base-url", base_url, key=None),
    ]
    for done in said:
        assert done.returncode in {1, 2}
        assert not set(done.stderr.replace("(", " ").split()) & {"api_key=", "base_url=", "scheme='secret'"}
        assert "--" in done.stderr
    assert "(--scheme secret)" in said[1].stderr


def test_pasted_values_are_taken_as_meant(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """URLs of tasks are ids, also in a file of ids, and the key may be copied with its header field."""
    app, base_url = relay
    url = f"{base_url}/mj/task/{{}}/fetch"
    (tmp_path / "ids").write_text(f"{url.format(FAILED)}\r\n{FAILED}\n", encoding="utf-8")
    (tmp_path / "key").write_text(f"Authorization: Bearer {KEY}\n", encoding="utf-8")
    options = ["--base-url", url.format(SUCCEEDED), "--key-file", str(tmp_path / "key")]
    command = ["wait", "zhongzhuan", url.format(SUCCEEDED), "--ids-file", str(tmp_path / "ids"), *options]
    done = mjrelay(*command, key=None)
    assert set(lines(done.stdout)) == {SUCCEEDED, FAILED}
    assert "3 tasks" not in done.stderr
    assert app.asks[FAILED] <= 2
    assert mjrelay("fetch", "zhongzhuan", url.format(SUCCEEDED), *options, key=None).returncode == 0


@pytest.mark.parametrize("options", [[], ["--concurrency", "1"]])
def test_ctrl_c_prints_the_remaining_ids(options: list[str]) -> None:
    """Ctrl-C ends the command even while a request hangs: exit 130, the ids, and how to resume."""
    app = Counting(load_contract("mjdjourney"), key=KEY)
    ended, hangs, runs = app.known[State.SUCCEEDED], app.submit(0), app.submit(600)
    app.hanging.add(hangs)
    with Server(app) as base_url:
        given = ["--base-url", base_url, "--format", "json", "--previews", *options]
        with started("wait", "mjdjourney", ended, hangs, runs, *given) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            until(lambda: app.asks[hangs])
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            process.wait()
            assert time.monotonic() - begun < 3
            stderr = process.stderr.read()
        assert process.returncode == 130
        assert "Traceback" not in stderr
        assert f"2 tasks remain at mjdjourney: {hangs} {runs}\n" in stderr
        command = shlex.split(stderr.split("resume with: ")[1])
        assert command[0] == "mjrelay"
        assert command[-3:] == ["mjdjourney", hangs, runs]
        app.hanging.clear()
        assert set(lines(mjrelay(*command[1:], "--timeout", "2").stdout)) == {hangs}


def test_ctrl_c_on_many_ids_prints_the_same_command(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """If a file has the ids or the results, ten ids and the command itself are printed."""
    app, base_url = relay
    ids = [app.submit(600) for _ in range(40)]
    (tmp_path / "ids of today").write_text("\n".join(ids), encoding="utf-8")
    command = ["wait", "zhongzhuan", "--ids-file", str(tmp_path / "ids of today"), "--base-url", base_url]
    with started(*command) as process:
        until(lambda: app.asked > 1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
    assert process.returncode == 130
    assert f"40 tasks remain at zhongzhuan: {' '.join(ids[:10])} and 30 more\n" in stderr
    assert shlex.split(stderr.split("with the same command: ")[1]) == ["mjrelay", *command]
    assert ids[10] not in stderr


def test_ctrl_c_ends_a_fetch(relay: tuple[Counting, str]) -> None:
    """Ctrl-C ends a fetch that hangs: exit 130, and no traceback."""
    relay[0].hanging.add(SUCCEEDED)
    with started("fetch", "zhongzhuan", SUCCEEDED, "--base-url", relay[1]) as process:
        until(lambda: relay[0].asked)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, stderr = process.communicate()
        assert time.monotonic() - begun < 3
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert f"start again with: mjrelay fetch zhongzhuan {SUCCEEDED}" in stderr
