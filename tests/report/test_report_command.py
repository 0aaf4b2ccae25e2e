"""`mjrelay report`: outputs, exit codes and messages."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import forked
import pytest
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from mjrelay_conformance.report import index
from mjrelay_conformance.report.reading import read_record
from records import FAILS, Page, record, row, write

from mjrelay import State
from mjrelay.contract.loading import load_contract

if TYPE_CHECKING:
    from pathlib import Path


KEY = "sk-of-the-tests-4711"


class Signalling(MockRelay):
    """A mock that waits in its third response until the client was interrupted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.third, self.interrupted, self.count = threading.Event(), threading.Event(), 0

    def answer(self, *request: Any) -> Any:
        """The mock's response."""
        self.count += 1
        if self.count == 3:
            self.third.set()
            self.interrupted.wait(60)
        return super().answer(*request)


def mjrelay(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return forked.run([*map(str, arguments)], {**os.environ, **environment})


def report(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a report command."""
    return mjrelay("report", *arguments)


def test_every_command_refuses_a_truncated_record(tmp_path: Path) -> None:
    """No command makes a report from a truncated record."""
    whole = write(tmp_path / "whole.json", record(row()))
    half = tmp_path / "results.json"
    half.write_bytes(whole.read_bytes()[:-5])
    single = [(name, half) for name in ("show", "html", "junit", "markdown", "badge")]
    for arguments in (*single, ("diff", whole, half), ("diff", half, whole)):
        done = report(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "cut off" in done.stderr
    assert "cut off" in index.render(index.collect(tmp_path))


def test_the_command_shows_and_converts(real: Path, tmp_path: Path) -> None:
    """Reports go to stdout or to the file of ``--output``, and the exit code is 0."""
    done = report("show", real, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == read_record(real)
    done = report("junit", real, "--output", tmp_path / "junit.xml")
    assert (done.returncode, done.stdout) == (0, "")
    assert ET.parse(tmp_path / "junit.xml").getroot().tag == "testsuites"  # noqa: S314 - our own
    for arguments, start in (
        (["merge"], "MUST apiai fetch/200/times"),
        (["show"], "MUST apiai fetch/200/times"),
        (["markdown"], "### Conformance"),
        (["badge"], '{"schemaVersion": 1'),
        (["html"], "<!doctype html>"),
        (["show", "--format", "pretty"], "MUST"),
        (["show", "--format", "markdown"], "### Conformance"),
    ):
        done = report(*arguments, real)
        assert done.returncode == 0
        assert done.stdout.lower().startswith(start.lower())
    assert json.loads(report("schema").stdout)["$id"] == "urn:mjrelay:results:1"


def test_an_incomplete_record_has_its_own_returncode(tmp_path: Path) -> None:
    """A report of a run that was cut short is done, with exit code 3 and a message on stderr."""
    path = write(tmp_path / "results.json", record(row(**FAILS), footer=None))
    for arguments in (["show", "--format", "pretty"], ["html"], ["junit"], ["markdown"], ["badge"]):
        done = report(*arguments, path)
        assert done.returncode == 3
        assert re.search("incomplete|cut short", done.stdout, re.IGNORECASE)
        assert done.stderr


def test_the_returncode_of_a_diff(real: Path, tmp_path: Path) -> None:
    """The exit code is 1 for a new finding, 0 for none, and 2 for an unreadable record."""
    clean = copy.deepcopy(read_record(real))
    clean["rows"] = [one | {"outcome": "pass"} for one in clean["rows"]]
    write(tmp_path / "results.json", clean)
    done = report("diff", tmp_path, real)
    assert done.returncode == 1
    assert {change["kind"] for change in json.loads(done.stdout)["changes"]} == {"new"}
    assert report("diff", real, tmp_path).returncode == 0
    done = report("diff", tmp_path / "absent", real)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("mjrelay: ")


def test_an_unwritable_output_is_one_line(real: Path, tmp_path: Path) -> None:
    """A report that cannot be written ends with one line and exit code 2; the record is kept."""
    done = report("markdown", real, "--output", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("mjrelay: --output")
    (tmp_path / "report.html").mkdir()
    run = ("conform", "zhongzhuan", "--no-fuzz", "--profile", "read", "--check", "fetch/200/json")
    done = mjrelay(*run, "--report-dir", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("mjrelay: --report-dir")
    assert read_record(tmp_path)["footer"]["verdict"] == "partial"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for processes")
@pytest.mark.parametrize("kept", [True, False])
def test_an_interrupted_run_shows_its_findings(tmp_path: Path, kept: bool) -> None:
    """Ctrl-C exits with 130 and prints the findings so far, and the command that shows a kept record."""
    mock = Signalling(load_contract("zhongzhuan"), key=KEY, faults=("seconds-not-ms",))
    with Server(mock) as base_url:
        command = [sys.executable, "-m", "mjrelay", "conform", "zhongzhuan", "--base-url", base_url]
        task = f"--task={mock.known[State.SUCCEEDED]}=succeeded"
        process = subprocess.Popen(
            [*command, task, *(("--report-dir", str(tmp_path)) if kept else ())],
            env={**os.environ, "MJRELAY_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        mock.third.wait(60)
        process.send_signal(signal.SIGINT)
        mock.interrupted.set()
        shown, output = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "MUST zhongzhuan fetch/200/times" in shown
    assert "INCOMPLETE" in shown
    assert "mjrelay: zhongzhuan: incomplete; findings: 1 MUST" in output
    assert (f"mjrelay report show {tmp_path}" in output) is kept
    if kept:
        assert read_record(tmp_path)["footer"] is None
        assert "cut short" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_help_is_not_truncated() -> None:
    """On a terminal of 80 columns no option is truncated, and no default is read as markup."""
    done = mjrelay("conform", "--help", COLUMNS="80", NO_COLOR="1")
    assert "--i-operate-this-relay" in done.stdout
    assert re.search(r"\b50\b", done.stdout)


def test_the_command_makes_an_index(real: Path, tmp_path: Path) -> None:
    """The links of the index are relative to its file; without a readable record the exit code is 2."""
    assert report("index", real, "--output", tmp_path / "index.html").returncode == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    links = {str(value) for name, value in Page(page).attributes if name == "href"}
    assert all((tmp_path / link).is_file() for link in links)
    (tmp_path / "results.json").write_text("{")
    assert report("index", tmp_path).returncode == 2
