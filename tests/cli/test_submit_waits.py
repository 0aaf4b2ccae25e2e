"""Commands that submit and wait: retries are shown, and no interruption loses the id or the way back."""

from __future__ import annotations

import json
import os
import shlex
import signal
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import KEY, Counting, mjrelay, started, until
from mjrelay_conformance.mock.server import Server
from paid import PaidServer, accepted

from mjrelay.contract import load_contract
from mjrelay.semantics import State

if TYPE_CHECKING:
    from pathlib import Path

    from paid import Answer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
PROMPT = "a pig with an unusual hat"
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def resumed(stderr: str) -> list[str]:
    """The arguments of the command that resumes."""
    assert KEY not in stderr
    (line,) = [one for one in stderr.splitlines() if "resume with: " in one]
    words = shlex.split(line.partition("resume with: ")[2])
    assert words[0] == "mjrelay"
    return words[1:]


@posix
@pytest.mark.parametrize("format_", ["json", "pretty"])
def test_ctrl_c_prints_the_command_that_resumes(format_: str, tmp_path: Path) -> None:
    """After Ctrl-C stdout has the id, and the printed command waits and downloads as the submit would."""
    app = Counting(load_contract("newapi"), key=KEY, duration=600.0)
    folder, out = tmp_path / "two words", tmp_path / "out.jsonl"
    given = ["--download", str(folder), "--out", str(out), "--allow-private", "--format", format_]
    with Server(app) as url:
        options = ["--yes", "--base-url", url, *given]
        with started("imagine", "newapi", PROMPT, *options, "--request-timeout", "9") as process:
            until(lambda: app.asked >= 2)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate()
        assert process.returncode == 130, stderr
        assert "start again with" not in stderr
        assert "Traceback" not in stderr
        (task_id,) = json.loads(stdout)["ids"] if format_ == "json" else stdout.splitlines()
        words = resumed(stderr)
        assert (words[0], words[-2:]) == ("wait", ["newapi", task_id])
        assert sorted(words[1:-2]) == sorted(["--base-url", url, *given])
        app.begun -= 3600  # the mock's clock: the task ends
        done = mjrelay(*words)
        assert done.returncode == 0, done.stderr
        assert [path for path in folder.rglob("*") if path.is_file()]
        assert json.loads(out.read_text(encoding="utf-8"))["id"] == task_id


def test_a_failed_wait_keeps_the_id(tmp_path: Path) -> None:
    """A timeout, a refused key and a failed download exit with 1, the id on stdout, and how to resume."""
    mock = Counting(load_contract("newapi"), key=KEY, duration=600.0)
    common = ["imagine", "newapi", PROMPT, "--yes", "--format", "json"]
    with Server(mock) as url:
        late = mjrelay(*common, "--base-url", url, "--timeout", "0.5", "--wait")
    with PaidServer(lambda *_: accepted()) as server:  # answers no GET
        broken = mjrelay(*common, "--base-url", server.url, "--timeout", "1", "--wait")
    for done in (late, broken):
        assert done.returncode == 1, done.stderr
        assert resumed(done.stderr)[-1:] == json.loads(done.stdout)["ids"]
    mock = Counting(load_contract("newapi"), key=KEY, duration=0.0)
    with Server(mock) as url:
        mock.changes = {"imageUrl": f"{url}/gone.png"}
        done = mjrelay(*common, "--base-url", url, "--download", str(tmp_path / "images"))
    task = json.loads(done.stdout)
    assert (done.returncode, task["state"], task["files"]) == (1, "succeeded", [])
    assert resumed(done.stderr)[-1] == task["id"]


def test_several_tasks_of_one_submit() -> None:
    """All tasks of a response are waited for; the command that resumes names them all."""
    with PaidServer(lambda *_: accepted("17956,17957")) as server:
        common = ["imagine", "newapi", PROMPT, "--yes", "--base-url", server.url, "--timeout", "0.5"]
        done = mjrelay(*common, "--wait", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["ids"]) == (1, ["17956", "17957"])
    assert resumed(done.stderr)[-2:] == ["17956", "17957"]


def test_allow_private(tmp_path: Path) -> None:
    """Files in private networks are downloaded only with --allow-private."""
    mock = Counting(load_contract("newapi"), key=KEY, duration=0.0)
    media = Counting(load_contract("newapi"), key=KEY)
    media.files = {"/pig.png": PNG}
    with Server(mock) as url, Server(media) as other:
        mock.changes = {"imageUrl": f"{other}/pig.png"}
        common = ["imagine", "newapi", PROMPT, "--yes", "--base-url", url, "--format", "json"]
        refused = mjrelay(*common, "--download", str(tmp_path / "no"))
        assert refused.returncode == 1
        assert "--allow-private" in refused.stderr
        done = mjrelay(*common, "--download", str(tmp_path / "yes"), "--allow-private")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["files"]


SOON = {"Retry-After": "0"}
REPEATABLE: dict[str, Answer] = {
    "queue full": (200, {"code": 23, "description": "full"}, SOON),
    "parent not ready": (400, {"code": 4, "description": "task_status_not_success "}, SOON),
    "rate limited": (429, {"code": 30}, SOON),
    "overloaded": (503, {"error": {"message": "none"}}, SOON),
}


@pytest.mark.parametrize("name", REPEATABLE)
def test_repeats_are_shown(name: str) -> None:
    """While a submit waits for its repeat, stderr has the reason, the pause and the attempt of each."""

    def answer(number: int, _: dict[str, Any]) -> Answer:
        return REPEATABLE[name] if number < 3 else accepted()

    with PaidServer(answer) as server:
        done = mjrelay("imagine", "newapi", PROMPT, "--yes", "--base-url", server.url)
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stderr.splitlines() if "sending it again in " in line]
    assert len(shown) == 2
    for attempt, line in enumerate(shown, 2):
        assert name in line
        assert f"sending it again in 0.0 s (attempt {attempt})" in line


class Unready(Counting):
    """A mock that does not have the parent of the first press as succeeded yet."""

    presses = 0

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """The mock's answer."""
        answer = super().answer(method, target, headers, body)
        if target.endswith("/mj/submit/action"):
            self.presses += 1
            if self.presses == 1:
                refusal = json.dumps({"code": 4, "description": "task_status_not_success "})
                return type(answer)(400, (("retry-after", "1"),), refusal.encode())
        return answer


def test_a_press_on_a_task_that_is_not_ready_is_not_silent() -> None:
    """A press that waits until the relay has its parent as succeeded shows the reason and the pause."""
    app = Unready(load_contract("newapi"), key=KEY)
    with Server(app) as url:
        done = mjrelay("press", "newapi", app.known[State.SUCCEEDED], "U1", "--yes", "--base-url", url)
    assert (done.returncode, app.presses) == (0, 2), done.stderr
    assert "press: parent not ready, status 400" in done.stderr
    assert "; sending it again in 1.0 s (attempt 2)" in done.stderr
