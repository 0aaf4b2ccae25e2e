"""The command `wait` as a process: results, files of results, downloads and interruption."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_process import FAILED, KEY, NOWHERE, SUCCEEDED, Counting, lines, mjrelay, started, until
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.mock.server import Server

from mjrelay.cli.results import Results, ResultsError
from mjrelay.contract.loading import load_contract
from mjrelay.semantics.reader import State


def test_tasks_are_printed_as_they_end(relay: tuple[Counting, str]) -> None:
    """Each task is a line of JSON, in the order in which they end; a failed one is exit code 1."""
    app, base_url = relay
    late, soon = app.submit(1.5), app.submit(0)
    done = mjrelay("wait", "zhongzhuan", late, soon, FAILED, late, "--base-url", base_url)
    assert done.returncode == 1
    tasks = lines(done.stdout)
    assert list(tasks)[-1] == late
    assert {task["state"] for task in tasks.values()} == {"succeeded", "failed"}
    assert done.stderr == "mjrelay: 3 tasks: 1 failed, 2 succeeded\n"
    assert mjrelay("wait", "zhongzhuan", soon, "--base-url", base_url).returncode == 0
    pretty = mjrelay("wait", "zhongzhuan", soon, FAILED, "--base-url", base_url, "--format", "pretty").stdout
    assert re.search(rf"^{soon}  succeeded +http://\S+$", pretty, re.MULTILINE)
    assert re.search(rf"^{FAILED}  failed +\S+$", pretty, re.MULTILINE)


def test_one_missing_task_loses_no_other(relay: tuple[Counting, str]) -> None:
    """Missing and unfinished tasks are reported on stderr; the others are printed."""
    app, base_url = relay
    never, missing = app.submit(600), "1999999999999999"
    done = mjrelay("wait", "zhongzhuan", missing, SUCCEEDED, never, "--base-url", base_url, "--timeout", "3")
    assert done.returncode == 1
    assert set(lines(done.stdout)) == {SUCCEEDED}
    assert f"no task {missing}" in done.stderr or f"task {missing} was never fetched" in done.stderr
    assert re.search(rf"resume with: mjrelay wait .*zhongzhuan .*{never}", done.stderr)
    assert done.stderr.endswith("mjrelay: 3 tasks: 1 succeeded, 2 not fetched\n")


def test_a_refused_key_is_reported_once(relay: tuple[Counting, str]) -> None:
    """With a refused key, hundreds of ids cause one message and few requests."""
    ids = [str(1730621826060000 + n) for n in range(300)]
    done = mjrelay("wait", "zhongzhuan", *ids, "--base-url", relay[1], "--rate", "1000", key="sk-wrong")
    assert done.returncode == 1
    assert done.stderr.count("the key was refused") == 1
    assert relay[0].asked <= 50


def test_ids_come_from_a_file_or_stdin(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """Ids are separated by white space; comments are ignored; each id is fetched once, in order."""
    app, base_url = relay
    first, second, third = (app.submit(0) for _ in range(3))
    text = f"\ufeff# of today\n{second}\t{third} # the cat\r\n\n  {first}\n#{FAILED}\n{second}\n"
    (tmp_path / "ids").write_text(text, encoding="utf-8")
    for source in (["--ids-file", str(tmp_path / "ids")], ["-"], ["--ids-file", "-"]):
        options = ["--base-url", base_url, "--concurrency", "1"]
        done = mjrelay("wait", "zhongzhuan", third, *source, *options, stdin=text)
        assert done.returncode == 0, done.stderr
        assert list(lines(done.stdout)) == [third, second, first]
    assert FAILED not in app.asks


def test_files_are_downloaded_before_a_result_counts(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """A result lists its files; a failed download is an error and is retried by the next run."""
    app, base_url = relay
    out, folder = tmp_path / "out.jsonl", tmp_path / "made"
    command = ["wait", "zhongzhuan", SUCCEEDED, FAILED, "--base-url", base_url, "--out", str(out)]
    command += ["--download", str(folder)]
    app.changes = {"imageUrl": f"{base_url}/made/1.png"}
    done = mjrelay(*command)
    assert done.returncode == 1
    assert f"task {SUCCEEDED}" in done.stderr
    assert set(lines(out.read_text(encoding="utf-8"))) == {FAILED}
    assert lines(done.stdout)[SUCCEEDED]["files"] == []
    app.files["/made/1.png"] = b"\x89PNG" + bytes(1000)
    done = mjrelay(*command)
    assert "have ended already; skipped" in done.stderr
    (path,) = lines(done.stdout)[SUCCEEDED]["files"]
    assert Path(path).read_bytes() == app.files["/made/1.png"]
    assert Path(path).parent == folder
    assert lines(out.read_text(encoding="utf-8"))[SUCCEEDED]["files"] == [path]
    assert lines(out.read_text(encoding="utf-8"))[FAILED]["files"] == []
    out.unlink()
    shown = lines(mjrelay(*command, "--previews").stdout)
    assert [len(shown[task_id]["files"]) for task_id in (SUCCEEDED, FAILED)] == [1, 1]


def test_files_are_downloaded_later(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """With --download, results without files are fetched again once; the last line counts."""
    app, base_url = relay
    app.changes = {"imageUrl": f"{base_url}/made/1.png"}
    app.files["/made/1.png"] = b"\x89PNG" + bytes(1000)
    out = tmp_path / "out.jsonl"
    plain = ["wait", "zhongzhuan", SUCCEEDED, "--base-url", base_url, "--out", str(out)]
    assert mjrelay(*plain).returncode == 0
    first = out.read_bytes()
    assert "files" not in json.loads(first)
    download = [*plain, "--download", str(tmp_path / "made")]
    done = mjrelay(*download)
    assert done.returncode == 0, done.stderr
    (path,) = lines(done.stdout)[SUCCEEDED]["files"]
    assert Path(path).read_bytes() == app.files["/made/1.png"]
    assert out.read_bytes().startswith(first)
    assert lines(out.read_bytes()[len(first) :].decode()) == lines(done.stdout)
    app.asks.clear()
    for command in (plain, download):
        again = mjrelay(*command)
        assert (again.returncode, again.stdout, app.asks) == (0, "", {})
        assert "1 of 1 tasks have ended already" in again.stderr


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("moment", [0, 4, 11])
def test_a_killed_run_is_resumed(moment: int, relay: tuple[Counting, str], tmp_path: Path) -> None:
    """After SIGKILL the same command prints each id exactly once, and fetches none that had ended."""
    app, base_url = relay
    ids = [app.submit(n * 0.15) for n in range(12)]
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", *ids, "--base-url", base_url, "--out", str(out), "--rate", "100"]
    with started(*command) as process:
        until(lambda: app.asked and out.exists() and out.read_bytes().count(b"\n") >= moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        printed = process.stdout.read() if process.stdout else ""
    before = {
        json.loads(line)["id"] for line in out.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"
    }
    assert len(before) >= moment
    app.asks.clear()
    done = mjrelay(*command)
    assert done.returncode == 0, done.stderr
    assert set(lines(out.read_text(encoding="utf-8"))) == set(ids)
    assert set(lines(done.stdout)) == set(ids) - before
    assert set(app.asks) == set(ids) - before
    assert {
        json.loads(line)["id"] for line in printed.splitlines(keepends=True) if line[-1:] == "\n"
    } <= before
    app.asks.clear()
    again = mjrelay(*command)
    assert (again.returncode, again.stdout, app.asks) == (0, "", {})
    assert f"{out}: 12 of 12 tasks have ended already; skipped" in again.stderr


def test_a_failed_task_in_the_file_still_counts(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """The exit code covers all ids, also those of an earlier run, but only of this relay."""
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", FAILED, "--base-url", relay[1], "--out", str(out)]
    assert [mjrelay(*command).returncode for _ in range(2)] == [1, 1]
    assert relay[0].asks[FAILED] == 1
    out.write_text(out.read_text(encoding="utf-8").replace("zhongzhuan", "apiai"), encoding="utf-8")
    assert set(lines(mjrelay(*command).stdout)) == {FAILED}


def test_a_torn_line_is_removed(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """An incomplete last line is removed, and its task is fetched again; only a line break may be missing."""
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", SUCCEEDED, FAILED, "--base-url", relay[1], "--out", str(out)]
    mjrelay(*command)
    first, last = out.read_bytes().splitlines(keepends=True)
    for kept in (1, len(last) // 2, len(last) - 1):
        out.write_bytes(first + last[:kept])
        relay[0].asks.clear()
        done = mjrelay(*command)
        assert done.returncode == 1
        assert set(lines(out.read_text(encoding="utf-8"))) == {SUCCEEDED, FAILED}
        assert out.read_bytes().startswith(first)
        torn = kept < len(last) - 1
        assert ("removed an incomplete last line" in done.stderr) == torn
        assert len(relay[0].asks) == torn


def test_a_file_of_another_kind_is_unharmed(tmp_path: Path) -> None:
    """A file with anything but results is rejected and not changed."""
    path = tmp_path / "letter"
    for content in ("a letter", "[1]\n", '{"relay": 5}', "\x00\n"):
        path.write_text(content, encoding="utf-8")
        done = mjrelay("wait", "zhongzhuan", "1", "--base-url", NOWHERE, "--out", str(path))
        assert done.returncode == 2
        assert "name a file that this command wrote" in done.stderr
        assert path.read_text(encoding="utf-8") == content


@given(
    tasks=st.lists(st.text(min_size=1), max_size=4, unique=True),
    tail=st.binary(max_size=30)
    | st.integers(0, 80).map(lambda n: b'{"relay": "r", "id": "\\u00e4", "state": '[:n]),
)
def test_no_good_line_is_ever_lost(
    tasks: list[str], tail: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file with complete lines and any tail is refused unchanged, or its lines are kept and read."""
    path = tmp_path_factory.mktemp("results") / "out.jsonl"
    good = b"".join(
        json.dumps({"relay": "r", "id": task, "state": "failed"}).encode() + b"\n" for task in tasks
    )
    path.write_bytes(good + tail)
    try:
        with Results(path, "r") as results:
            assert list(results.ended) == tasks
            results.add({"relay": "r", "id": "one more\u2028\ud800", "state": "succeeded"})
    except ResultsError:
        assert path.read_bytes() == good + tail
    else:
        assert path.read_bytes().startswith(good)
        with Results(path, "r") as results:
            assert list(results.ended) == [*tasks, "one more\u2028\ud800"]


@pytest.mark.skipif(os.name == "nt", reason="needs advisory locks")
def test_two_runs_do_not_write_to_one_file(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """The second run reports the first, sends nothing and changes nothing."""
    app, base_url = relay
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", FAILED, app.submit(600), "--base-url", base_url, "--out", str(out)]
    with started(*command):
        until(lambda: out.exists() and out.read_bytes().endswith(b"\n"))
        held, asked = out.read_bytes(), app.asks[FAILED]
        done = mjrelay("wait", "zhongzhuan", SUCCEEDED, "--base-url", base_url, "--out", str(out))
        assert done.returncode == 2
        assert "another process writes to it; wait until" in done.stderr
        assert out.read_bytes() == held
        assert SUCCEEDED not in app.asks
        assert app.asks[FAILED] == asked


def on_a_terminal(*command: str, stdout: Any = None) -> tuple[str, str, int]:
    """Return the command's output on a terminal, its output on another stdout, and its exit code."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    shown = b""
    with started(*command, stdin=theirs, stdout=stdout or theirs, stderr=theirs) as process:
        os.close(theirs)
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the terminal is closed
                break
            if not piece:
                break
            shown += piece
        data = process.stdout.read() if process.stdout else ""
        process.wait()
    os.close(ours)
    return shown.decode("utf-8"), data, process.returncode


def test_a_terminal_shows_progress_while_it_lasts(relay: tuple[Counting, str]) -> None:
    """Progress bars appear, and are gone at the end; results are printed above them."""
    app, base_url = relay
    ids = [SUCCEEDED, app.submit(1.2), app.submit(2.0)]
    shown, _, code = on_a_terminal("wait", "zhongzhuan", *ids, "--base-url", base_url)
    assert code == 0, shown
    assert "━" in shown
    assert "1 of 3" in shown
    assert re.search(rf"{ids[2]} .*(queued|running)", shown)
    left = shown.rpartition("\x1b[2K")[2]
    assert "━" not in left
    assert "3 tasks: 3 succeeded" in left
    for task_id in ids:
        assert len(re.findall(rf"{task_id}  succeeded +http://[^\s━]+\r\n", shown)) == 1


def test_data_stays_on_stdout_beside_a_terminal(relay: tuple[Counting, str]) -> None:
    """If stdout is not the terminal, it receives only JSON, and the terminal only the progress bars."""
    ids = [relay[0].submit(duration) for duration in (0.2, 1.0)]
    shown, data, code = on_a_terminal(
        "wait", "zhongzhuan", *ids, "--base-url", relay[1], stdout=subprocess.PIPE
    )
    assert code == 0
    assert "━" in shown
    assert "://" not in shown
    assert set(lines(data)) == set(ids)
    assert "\x1b" not in data


def test_a_task_that_needs_input_is_fetched_again(tmp_path: Path) -> None:
    """A task that needs input is printed but has not ended: the next run fetches it again."""
    app, state = Counting(load_contract("apiai"), key=KEY), State.NEEDS_INPUT
    out = tmp_path / "out.jsonl"
    with Server(app) as base_url:
        for _ in range(2):
            done = mjrelay("wait", "apiai", app.known[state], "--base-url", base_url, "--out", str(out))
            assert done.returncode == 1
            assert [task["state"] for task in lines(done.stdout).values()] == [state]
            assert out.read_bytes() == b""
