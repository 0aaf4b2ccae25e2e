"""The commands that submit: they ask, log, and never pay for what was not confirmed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import forked
import pytest
from attrs import evolve
from cli_process import KEY, environment, mjrelay, started, until
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.mock.server import Server
from paid import PaidServer, accepted, refused

from mjrelay.contract import load_contract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from paid import Answer

PROMPT = "a pig with an unusual hat"
posix = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal or POSIX signals")


@pytest.fixture
def paid() -> Iterator[PaidServer]:
    """A server that accepts each submit."""
    with PaidServer(lambda *_: accepted()) as server:
        yield server


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state directory. Return the path of the log in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "mjrelay" / "submits.jsonl"


def imagine(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ``mjrelay imagine`` with the prompt."""
    return mjrelay("imagine", "newapi", PROMPT, "--base-url", url, *options)


def records(log: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_without_a_terminal_it_needs_yes(paid: PaidServer, state: Path) -> None:
    """Without --yes the request is shown, and nothing is sent or logged; with it the id is printed."""
    refused = imagine(paid.url)
    assert (refused.returncode, refused.stdout, paid.received) == (2, "", [])
    assert "repeat the command with --yes" in refused.stderr
    assert not state.exists() or not state.read_text(encoding="utf-8")
    done = imagine(paid.url, "--yes")
    assert (done.returncode, len(paid.received)) == (0, 1), done.stderr
    assert json.loads(done.stdout)["ids"] == ["1795649371135651"]


@posix
def test_on_a_terminal_it_asks(paid: PaidServer, state: Path) -> None:
    """Method, URL and body are shown without the key. Nothing is sent on n; y submits once."""
    for answer, code, sent in (("n", 2, 0), ("y", 0, 1)):
        ours, theirs = os.openpty()
        os.write(ours, f"{answer}\n".encode())
        with started("imagine", "newapi", PROMPT, "--base-url", paid.url, stdin=theirs) as process:
            _, shown = process.communicate()
        os.close(ours)
        os.close(theirs)
        assert (process.returncode, len(paid.received)) == (code, sent), shown
        assert f"POST {paid.url}/mj/submit/imagine" in shown
        assert f'prompt: "{PROMPT}"' in shown
        assert "Send it?" in shown
        assert KEY not in shown
    assert len(records(state)) == 2


def test_the_log_is_always_written(paid: PaidServer, state: Path, tmp_path: Path) -> None:
    """The log has two lines for each submit, never the key, and the prompt only with --log-prompts."""
    assert imagine(paid.url, "--yes").returncode == 0
    assert [one["event"] for one in records(state)] == ["sending", "answered"]
    text = state.read_text(encoding="utf-8")
    assert KEY not in text
    assert PROMPT not in text
    other = tmp_path / "other.jsonl"
    assert imagine(paid.url, "--yes", "--log", str(other), "--log-prompts").returncode == 0
    assert records(other)[0]["prompt"] == PROMPT
    assert KEY not in other.read_text(encoding="utf-8")
    assert state.read_text(encoding="utf-8") == text


def test_submits_lists_a_log(state: Path) -> None:
    """Accepted, refused and unknown submits are listed; the exit code is 1 only if one is unknown."""
    answers: list[Answer] = [accepted(), refused(200, 24, "banned"), (504, None, {})]
    with PaidServer(lambda number, _: answers[number - 1]) as server:
        for expected, verdicts in (
            (0, ["accepted"]),
            (0, ["accepted", "refused"]),
            (1, ["accepted", "refused", "unknown"]),
        ):
            imagine(server.url, "--yes")
            done = mjrelay("submits", str(state))
            assert done.returncode == expected
            assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == verdicts
    pretty = mjrelay("submits", "--format", "pretty")
    assert pretty.returncode == 1
    assert "accepted  newapi  imagine  1795649371135651" in pretty.stdout
    with state.open("a", encoding="utf-8") as file:
        file.write('{"torn')
    torn = mjrelay("submits")
    assert (torn.returncode, len(torn.stdout.splitlines())) == (1, 3)
    assert "were skipped: 1" in torn.stderr


SENT = b'{"time": "2026-11-26T08:00:00+00:00", "event": "sending", "submit": "a-1", "relay": "newapi"'
CUT = b'{"time": "2026-11-26T08:00:00+00:00", "ev\n'


@pytest.mark.parametrize(
    ("content", "code", "verdicts", "message"),
    [
        pytest.param(b"", 0, [], "0 submits", id="empty"),
        pytest.param(b"\n \r\n\n", 0, [], "0 submits", id="blank"),
        pytest.param(None, 2, [], "cannot be read", id="missing"),
        pytest.param(b"a letter\nto a friend\n", 2, [], "no record of a submit", id="text"),
        pytest.param(bytes(range(256)) * 40, 2, [], "no record of a submit", id="binary"),
        pytest.param(b"[" * 100_000, 2, [], "no record of a submit", id="nested"),
        pytest.param(b'[1]\n"x"\n5\nnull\n{"submit": []}\n{"a": 1}\n', 2, [], "no record", id="other JSON"),
        pytest.param(SENT + b"}\n", 1, ["unknown"], "1 submits, 1 with", id="sent"),
        pytest.param(CUT + SENT + b"}\n", 1, ["unknown"], "were skipped: 1", id="a cut line"),
        pytest.param(SENT + b"}\n\xff\x00" + CUT, 1, ["unknown"], "were skipped: 1", id="damaged"),
        pytest.param(
            SENT + b', "ids": [5], "links": 7, "outcome": [], "state": {}, "time": 5}\n',
            1,
            ["unknown"],
            "1 submits, 1 with",
            id="other types",
        ),
        pytest.param(
            SENT + b"}\n" + b'{"submit": "a-1", "event": "answered", "outcome": "of a later version"}\n',
            1,
            ["unknown"],
            "1 submits, 1 with",
            id="an unknown outcome",
        ),
        pytest.param(
            b'{"submit": "a-1", "event": "answered", "outcome": "unknown", "links": ["https://x"]}\n',
            0,
            ["accepted"],
            "1 submits, 0 with",
            id="a link",
        ),
        pytest.param(
            b'{"submit": "a-1", "event": "answered", "outcome": "rate-limited", "charged": "unknown"}\n',
            1,
            ["unknown"],
            "1 submits, 1 with",
            id="a refusal that may cost money",
        ),
    ],
)
def test_submits_reads_any_file(
    content: bytes | None, code: int, verdicts: list[str], message: str, tmp_path: Path
) -> None:
    """Lines that are no records are skipped and counted; without any record the file is no log."""
    log = tmp_path / "log.jsonl"
    if content is not None:
        log.write_bytes(content)
    for format_ in ("json", "pretty"):
        done = mjrelay("submits", str(log), "--format", format_)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert message in done.stderr
        assert len(done.stdout.splitlines()) == len(verdicts)
        if format_ == "json":
            assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == verdicts


def without(stream: int, how: str, *arguments: str, stdin: int | None = None) -> tuple[int, str]:
    """Run the command with a stream that is closed, full, or a pipe whose reader is gone."""
    command = [*forked.COMMAND, *arguments]
    reader, writer = os.pipe()
    os.close(reader)
    streams: dict[str, Any] = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    name = ("stdin", "stdout", "stderr")[stream]
    if how == "closed":
        command = ["sh", "-c", f'exec "$@" {stream}>&-', "sh", *command]
    elif how == "full":
        streams[name] = os.open("/dev/full", os.O_WRONLY)
    else:
        streams[name] = writer
    done = subprocess.run(command, env=environment(KEY), timeout=60, check=False, **streams)
    os.close(writer)
    if how == "full":
        os.close(streams[name])
    return done.returncode, ((done.stderr if stream == 1 else done.stdout) or b"").decode()


LOST = [
    "closed",
    pytest.param("full", marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")),  # noqa: PTH110
    "gone",
]


@posix
@pytest.mark.parametrize("how", LOST)
def test_without_stderr_the_id_is_printed(how: str, paid: PaidServer, state: Path, tmp_path: Path) -> None:
    """A stderr that cannot be written stops no submit: exit 0, the id on stdout and in the log."""
    common = ["imagine", "newapi", PROMPT, "--base-url", paid.url]
    code, stdout = without(2, how, *common, "--yes", "--format", "pretty")
    assert (code, stdout, len(paid.received)) == (0, "1795649371135651\n", 1)
    assert records(state)[1]["ids"] == ["1795649371135651"]
    assert without(2, how, "submits", str(state), "--format", "pretty")[0] == 0
    assert without(2, how, "imagin")[0] == 2
    with Server(MockRelay(load_contract("newapi"), key=KEY, duration=0.0)) as url:
        again = ["imagine", "newapi", PROMPT, "--base-url", url, "--yes", "--wait", "--format", "json"]
        code, stdout = without(2, how, *again, "--out", str(tmp_path / "out"))
        task_id = json.loads(stdout)["id"]
        assert code == 0
        code, stdout = without(2, how, "wait", "newapi", task_id, "--base-url", url, "--format", "json")
        assert (code, json.loads(stdout)["id"]) == (0, task_id)


@posix
@pytest.mark.parametrize("how", LOST)
def test_without_stdout_the_id_is_in_the_log(how: str, paid: PaidServer, state: Path) -> None:
    """A stdout that cannot be written: the exit code is not 0, and the id is in the log and on stderr."""
    for format_ in ("pretty", "json"):
        common = ["imagine", "newapi", PROMPT, "--base-url", paid.url, "--yes", "--format", format_]
        code, stderr = without(1, how, *common)
        assert (code, "submitted: 1795649371135651" in stderr) == (1, True), stderr
        assert "Traceback" not in stderr
    assert [one.get("ids") for one in records(state)] == [None, ["1795649371135651"]] * 2


@posix
def test_it_asks_only_where_it_can(paid: PaidServer, state: Path) -> None:
    """Without stdin, or with a stderr on which the request cannot be shown, nothing is sent."""
    common = ["imagine", "newapi", PROMPT, "--base-url", paid.url]
    assert without(0, "closed", *common)[0] == 2
    for how in ("closed", "gone"):
        ours, theirs = os.openpty()
        os.write(ours, b"y\n")
        assert without(2, how, *common, stdin=theirs)[0] in {1, 2}
        os.close(ours)
        os.close(theirs)
    assert not paid.received
    assert not state.exists() or not state.read_text(encoding="utf-8")


def test_wait_out_and_download(state: Path, tmp_path: Path) -> None:
    """With --wait --out --download the ended task is printed, appended to the file and downloaded."""
    out, folder = tmp_path / "out.jsonl", tmp_path / "images"
    with Server(MockRelay(load_contract("newapi"), key=KEY, duration=0.0)) as url:
        done = imagine(url, "--yes", "--wait", "--out", str(out), "--download", str(folder))
    assert done.returncode == 0, done.stderr
    task = json.loads(done.stdout)
    assert (task["state"], task["id"]) == ("succeeded", records(state)[1]["ids"][0])
    assert json.loads(out.read_text(encoding="utf-8")) == task
    assert sorted(task["files"]) == sorted(str(path) for path in folder.rglob("*") if path.is_file())


def test_typos_get_help(paid: PaidServer, state: Path) -> None:
    """A wrong command, option, speed, field or missing argument exits with 2; nothing is sent."""
    for arguments, message in (
        (["imagin", "newapi", PROMPT], "did you mean imagine"),
        (["imagine", "newapi", PROMPT, "--aspct", "1:1"], "--aspect"),
        (["imagine", "newapi"], "Missing argument"),
        (["imagine", "newap", PROMPT, "--yes"], "did you mean newapi"),
        (["imagine", "mjproxy", PROMPT, "--yes", "--speed", "fats"], "must be one of fast"),
        (["imagine", "newapi", PROMPT, "--yes", "--field", "version"], "write NAME=JSON"),
        (["imagine", "newapi", PROMPT, "--yes", "--bot", "nijji"], "bot is 'nijji', and must be one of"),
        (["shorten", "mjproxy", PROMPT, "--yes"], "its contract has: imagine"),
    ):
        done = mjrelay(*arguments, MJRELAY_BASE_URL=paid.url)
        assert (done.returncode, done.stdout) == (2, ""), (arguments, done.stderr)
        assert message in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert not paid.received


@posix
def test_ctrl_c_in_flight(state: Path) -> None:
    """Exit 130 without a traceback or the advice to start again; the log says that the outcome is unknown."""
    release = threading.Event()

    def late(*_: Any) -> Any:
        release.wait(30)
        return accepted()

    with PaidServer(late, locked=False) as server:
        try:
            with started("imagine", "newapi", PROMPT, "--yes", "--base-url", server.url) as process:
                until(lambda: server.received)
                process.send_signal(signal.SIGINT)
                stdout, stderr = process.communicate()
        finally:
            release.set()
    assert (process.returncode, stdout) == (130, ""), stderr
    assert "Traceback" not in stderr
    assert "start again with" not in stderr
    first, second = records(state)
    assert f"the outcome of this imagine is unknown; it was sent at {first['time'][:16]}" in stderr
    assert (first["event"], second["outcome"], second["charged"]) == ("sending", "unknown", "unknown")
    assert first["state"] in stderr
    assert mjrelay("submits").returncode == 1


def test_find_looks_for_a_lost_submit(state: Path) -> None:
    """An unknown outcome names the command that finds its task by the token; `submits` names it too."""
    app = Losing(load_contract("mjproxy"), key=KEY)
    with Server(app) as url:
        common = ["--base-url", url, "--format", "json"]
        lost = mjrelay("imagine", "mjproxy", PROMPT, "--yes", *common)
        assert (lost.returncode, lost.stdout) == (1, "")
        words = shlex.split(lost.stderr.partition("look for it with: ")[2])
        token = records(state)[0]["state"]
        assert words == ["mjrelay", "find", "--base-url", url, "mjproxy", token]
        found = mjrelay(*words[1:])
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["prompt"] == PROMPT
        pretty = mjrelay("find", "mjproxy", token, "--base-url", url, "--format", "pretty")
        assert pretty.stdout.startswith(json.loads(found.stdout)["id"])
        none = mjrelay("find", "mjproxy", "another", *common)
        assert (none.returncode, none.stdout) == (1, "")
        assert "lists no task" in none.stderr
    listed = mjrelay("submits", str(state))
    assert listed.returncode == 1
    assert f"look for it with: mjrelay find mjproxy {token}\n" in listed.stderr
    without = mjrelay("find", "newapi", "token", "--base-url", "http://127.0.0.1:9")
    assert (without.returncode, without.stdout) == (2, "")
    assert "has no find in x-mj-task" in without.stderr


class Losing(MockRelay):
    """A mock that takes each submit and answers with 504."""

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """The mock's answer."""
        answer = super().answer(method, target, headers, body)
        return evolve(answer, status=504, body=b"") if "/submit/" in target else answer
