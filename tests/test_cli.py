"""The command as a process of its own: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from mjrelay_conformance.mock import MockRelay, Server

from mjrelay._contract import contract, relays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-never-to-be-seen-4711"
SUCCEEDED = "1730621826053455"
FAILED = "1730621826053458"
# A name that RFC 6761 keeps from ever resolving: a relay that is not loopback, and that nobody reaches.
NOWHERE = "http://relay.invalid"


def mjrelay(*arguments: str, key: str | None = KEY, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a clean environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MJRELAY_")}
    given = {} if key is None else {"MJRELAY_API_KEY": key}
    return subprocess.run(
        [sys.executable, "-m", "mjrelay", *arguments],
        env={**kept, **given, "COLUMNS": "100", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


class Counting(MockRelay):
    """A mock that counts what it is asked."""

    asked = 0

    def answer(self, *request: Any) -> Any:
        """The mock's answer."""
        self.asked += 1
        return super().answer(*request)


@pytest.fixture
def relay(request: pytest.FixtureRequest) -> Iterator[tuple[Counting, str]]:
    """A mock of one relay on loopback, with the faults of the test's parameter, and its base URL."""
    app = Counting(contract("zhongzhuan"), key=KEY, faults=getattr(request, "param", ()))
    with Server(app) as base_url:
        yield app, base_url


def test_the_main_job_on_the_embedded_mocks(tmp_path: Path) -> None:
    """Without arguments the mocks of all relays are judged, recorded as published, and conformant."""
    done = mjrelay("conform", "--report-dir", str(tmp_path / "new"), key=None)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    written = json.loads((tmp_path / "new" / "results.json").read_text(encoding="utf-8"))
    assert written == printed
    assert [one["relay"] for one in written["relays"]] == relays()
    assert {one["verdict"] for one in written["relays"]} == {"conformant"}
    assert all(one["fuzz"]["cases"] for one in written["relays"])
    assert written["footer"]["exit_code"] == 0
    schema = json.loads(
        (resources.files("mjrelay_conformance") / "results.schema.json").read_text(encoding="utf-8")
    )
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(written)
    assert not list((tmp_path / "new").glob("*.partial"))


def test_the_terminal_names_each_verdict() -> None:
    """For people there is one line for each relay, with its verdict."""
    done = mjrelay("conform", "--no-fuzz", "--format", "pretty", key=None)
    for name in relays():
        assert re.search(rf"^{name} +conformant ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("relay", [("seconds-not-ms", "failure-without-reason")], indirect=True)
def test_a_relay_on_loopback_is_judged(relay: tuple[Counting, str]) -> None:
    """A broken MUST is exit code 1, and people are told what was expected, what came, and where it stands."""
    done = mjrelay(
        "conform",
        "zhongzhuan",
        "--base-url",
        relay[1],
        "--task",
        f"{SUCCEEDED}=succeeded",
        "--task",
        FAILED,
        "--no-fuzz",
        "--format",
        "pretty",
    )
    assert done.returncode == 1
    assert "MUST   zhongzhuan fetch/200/times" in done.stdout
    assert "submitted is 1730621826, which reads as 1970-01-21" in done.stdout
    assert "SHOULD zhongzhuan fetch/200/failed/reason" in done.stdout
    assert re.search(r"clause +openapi/zhongzhuan\.yaml:\d+", done.stdout)
    assert relay[0].asked == 6


@pytest.mark.parametrize("relay", [("failure-without-reason",)], indirect=True)
def test_strict_lets_every_finding_count(relay: tuple[Counting, str]) -> None:
    """A broken SHOULD is exit code 0, and 1 with --strict."""
    arguments = ["conform", "zhongzhuan", "--base-url", relay[1], "--no-fuzz"]
    arguments += ["--task", f"{SUCCEEDED}=succeeded", "--task", f"{FAILED}=failed"]
    assert mjrelay(*arguments).returncode == 0
    assert mjrelay(*arguments, "--strict").returncode == 1


def test_a_run_that_proves_little_is_partial(relay: tuple[Counting, str]) -> None:
    """Without a known task nothing is broken and nothing proven: exit code 3, and what to do."""
    done = mjrelay("conform", "zhongzhuan", "--base-url", relay[1], "--no-fuzz", "--format", "pretty")
    assert done.returncode == 3
    assert "name one with --task ID=succeeded" in done.stdout


def test_a_refused_key_is_not_the_relays_fault(relay: tuple[Counting, str]) -> None:
    """A key of the caller's that is wrong proves nothing: one request, exit code 3, and the question."""
    arguments = ["conform", "zhongzhuan", "--base-url", relay[1], "--task", f"{SUCCEEDED}=succeeded"]
    done = mjrelay(*arguments, "--format", "pretty", key="sk-of-somebody-else")
    assert done.returncode == 3
    assert "inconclusive: the relay refused the caller's own key: is it right" in done.stdout
    assert "MUST" not in done.stdout
    assert relay[0].asked == 1


def test_a_wrong_id_is_doubted(relay: tuple[Counting, str]) -> None:
    """A task that the relay does not know, though the caller does, proves nothing but asks about the id."""
    done = mjrelay("conform", "zhongzhuan", "--base-url", relay[1], "--task", "17", "--format", "pretty")
    assert done.returncode == 3
    assert "the relay has no such task: is the id right?" in done.stdout


def test_an_absent_relay_is_unreachable() -> None:
    """Where nothing answers the exit code is 4; a live relay's requests are counted before."""
    done = mjrelay("conform", "zhongzhuan", "--base-url", NOWHERE, "--task", f"{SUCCEEDED}=succeeded")
    assert done.returncode == 4
    assert f"sending 4 requests to {NOWHERE}, 1 s apart" in done.stderr
    (judged,) = json.loads(done.stdout)["relays"]
    assert judged["fuzz"] is None
    assert judged["requests"] == 2


def test_a_dry_run_sends_nothing(relay: tuple[Counting, str]) -> None:
    """Every request is printed without its secret, and none is sent."""
    done = mjrelay("conform", "zhongzhuan", "--base-url", relay[1], "--task", SUCCEEDED, "--dry-run")
    assert done.returncode == 0
    assert relay[0].asked == 0
    requests = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert len(requests) == 4
    assert all(line.startswith(f"GET {relay[1]}/mj/task/") for line in requests)
    assert done.stdout.count("Authorization: Bearer [redacted]") == 3
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("fuzz", [[], ["--fuzz"]])
def test_a_live_relay_gets_few_requests(fuzz: list[str]) -> None:
    """Plan and property-based phase together stay within twelve requests on a live relay."""
    tasks = [part for n in range(6) for part in ("--task", f"173062182605345{n}")]
    done = mjrelay("conform", "zhongzhuan", "--base-url", NOWHERE, *tasks, "--dry-run", *fuzz)
    planned = len([line for line in done.stdout.splitlines() if not line.startswith(" ")])
    more = re.search(r"and (\d+) cases", done.stderr)
    assert planned + (int(more[1]) if more else 0) <= 12
    assert {line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")} == {"GET"}


@pytest.mark.parametrize("relay", [("secret-echoed",)], indirect=True)
def test_the_secret_is_in_no_output(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """A relay that sends the key back is found out, and the key still stands nowhere."""
    done = mjrelay(
        "conform",
        "zhongzhuan",
        "--base-url",
        relay[1],
        "--task",
        f"{SUCCEEDED}=succeeded",
        "--report-dir",
        str(tmp_path),
    )
    assert done.returncode == 1
    found = {row["check"] for row in json.loads(done.stdout)["rows"] if row["outcome"] == "fail"}
    assert found == {"fetch/secret"}
    written = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert KEY not in done.stdout + done.stderr + written
    assert "[redacted]" in written


def test_the_key_may_stand_in_a_file(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """--key-file serves instead of the environment; an empty or missing one is a clear error."""
    path = tmp_path / "key"
    arguments = ["conform", "zhongzhuan", "--base-url", relay[1], "--task", f"{SUCCEEDED}=succeeded"]
    arguments += ["--no-fuzz", "--key-file", str(path)]
    assert "cannot be read" in mjrelay(*arguments, key=None).stderr
    path.write_text("\n", encoding="utf-8")
    assert "holds no key" in mjrelay(*arguments, key=None).stderr
    path.write_text(KEY + "\n", encoding="utf-8")
    assert mjrelay(*arguments, key=None).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["conform", "zhongzuan"], "did you mean zhongzhuan?"),
        (["fetch", "xyzzy", "1"], f"known are {', '.join(relays())}"),
        (["conform", "apiai", "--base-url", "example.org"], "write https://host"),
        (["conform", "apiai", "--base-url", "https://u:p@example.org"], "holds no credentials"),
        (["conform", "--base-url", "http://127.0.0.1:1"], "needs the name of the relay"),
        (["conform", "apiai", "--task", "1"], "say where it is with --base-url"),
        (["conform", "apiai", "--base-url", "http://127.0.0.1:1", "--task", "1=done"], "'done' is no state"),
        (["conform", "--check", "fetch/300/*"], "mjrelay conform --list"),
        (["fetch", "apiai", "1"], "give one with --base-url"),
        (["mock", "zhongzhuan", "--fault", "second-not-ms"], "did you mean seconds-not-ms"),
        (["mock", "mjdjourney", "--fault", "progress-150"], "has no place in the contract of mjdjourney"),
        (["conform", "--lsit"], "--list"),
        (["confrom"], "conform"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments: list[str], hint: str) -> None:
    """A mistake on the command line is exit code 2 and one message with the way out, never a traceback."""
    done = mjrelay(*arguments)
    assert done.returncode == 2
    assert hint in " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_missing_key_names_the_variable(relay: tuple[Counting, str]) -> None:
    """Without a key nothing is sent, and both variables are named."""
    for command in (["conform", "zhongzhuan"], ["fetch", "zhongzhuan", "1"]):
        done = mjrelay(*command, "--base-url", relay[1], key=None)
        assert done.returncode == 2
        assert "set MJRELAY_ZHONGZHUAN_API_KEY or MJRELAY_API_KEY" in done.stderr
    assert relay[0].asked == 0


def test_a_missing_extra_is_named() -> None:
    """Where a part was not installed, the command says what to install."""
    program = (
        "import sys; sys.modules['schemathesis'] = None; sys.argv = ['mjrelay', 'conform']; "
        "from mjrelay.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'mjrelay[conformance]'" in done.stderr


def test_checks_can_be_listed_and_chosen(relay: tuple[Counting, str]) -> None:
    """--list prints every check with its sentence; --check runs those and what they need."""
    listed = mjrelay("conform", "--list").stdout.splitlines()
    assert len(listed) >= 12
    assert all(re.fullmatch(r"\S+ +(must|should|info) +[A-Z].+\.", line) for line in listed)
    done = mjrelay("conform", "zhongzhuan", "--base-url", relay[1], "--task", SUCCEEDED, "--check", "auth/*")
    checks = {row["check"] for row in json.loads(done.stdout)["rows"]}
    assert done.returncode == 3
    assert "auth/wrong/answer" in checks
    assert "fetch/200/schema" not in checks


def test_a_task_is_fetched(relay: tuple[Counting, str]) -> None:
    """A task is printed as JSON for programs and as lines for people."""
    done = mjrelay("fetch", "zhongzhuan", SUCCEEDED, "--base-url", relay[1])
    assert done.returncode == 0
    task = json.loads(done.stdout)
    assert (task["state"], task["progress"], task["finished"]) == (
        "succeeded",
        100,
        "2024-11-03T08:17:35.817000+00:00",
    )
    assert (
        "pig --v 6.1"
        in mjrelay("fetch", "zhongzhuan", SUCCEEDED, "--format", "pretty", MJRELAY_BASE_URL=relay[1]).stdout
    )


def test_a_relay_that_gives_no_task_is_exit_code_1(relay: tuple[Counting, str]) -> None:
    """A missing task and a refused key are the relay's answers, each with its own message."""
    missing = mjrelay("fetch", "zhongzhuan", "1", "--base-url", relay[1])
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no task 1; check the id" in missing.stderr
    refused = mjrelay("fetch", "zhongzhuan", "1", "--base-url", relay[1], key="wrong")
    assert refused.returncode == 1
    assert (
        "sent as header Authorization: Bearer …; the contract also allows header mj-api-secret"
        in refused.stderr
    )


def test_the_relays_are_listed() -> None:
    """Every contract is listed, for programs and for people."""
    assert [one["relay"] for one in json.loads(mjrelay("relays").stdout)] == relays()
    assert "none; give --base-url" in mjrelay("relays", "--format", "pretty").stdout


def test_faults_are_listed_as_far_as_they_apply() -> None:
    """The mock lists the faults that a contract has a place for."""
    assert "seconds-not-ms" in mjrelay("mock", "zhongzhuan", "--list-faults").stdout
    assert "seconds-not-ms" not in mjrelay("mock", "mjdjourney", "--list-faults").stdout


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_the_mock_is_served_until_interrupted() -> None:
    """The mock says where it is and whom it knows, answers the other commands, and ends on Ctrl-C."""
    command = [sys.executable, "-m", "mjrelay", "mock", "zhongzhuan", "--port", "0"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "MJRELAY_API_KEY": KEY}
    ) as process:
        assert process.stderr is not None
        timer = threading.Timer(60, process.kill)
        timer.start()
        lines = [process.stderr.readline() for _ in range(8)]
        base_url = re.search(r"http://\S+?(?=/mj/)", lines[0])
        assert base_url is not None
        living = next(line.split()[0] for line in lines if "succeeded 30 s from now" in line)
        state = json.loads(mjrelay("fetch", "zhongzhuan", living, "--base-url", base_url[0]).stdout)["state"]
        process.send_signal(signal.SIGINT)
        process.wait(10)
        timer.cancel()
        assert process.returncode == 0
    assert state in {"queued", "running"}
    assert KEY not in "".join(lines)


def test_a_mistake_of_our_own_is_no_verdict() -> None:
    """An exception that nobody foresaw ends with exit code 5, which no relay's answer leads to."""
    program = (
        "import sys; sys.argv = ['mjrelay', 'relays']; "
        "from mjrelay import _contract, cli; _contract.relays = lambda: 1 / 0; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("format_", ["pretty", "json"])
def test_a_relay_cannot_steer_the_terminal(format_: str) -> None:
    """Escape sequences in what a relay sends reach neither stdout nor stderr, as data or as an error."""
    evil = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202egnp"
    app = Counting(contract("zhongzhuan"), key=KEY)
    task = {**contract("zhongzhuan").examples["succeeded"], "prompt": evil}
    answer = app.answer("GET", f"/mj/task/{SUCCEEDED}/fetch", {"Authorization": f"Bearer {KEY}"})
    bodies = {SUCCEEDED: (200, task), "1": (500, {"code": 1, "description": evil})}

    def answers(_method: str, target: str, *_: Any) -> Any:
        status, document = bodies[target.split("/")[3]]
        return type(answer)(status, answer.headers, json.dumps(document).encode())

    app.answer = answers  # type: ignore[method-assign]
    with Server(app) as base_url:
        for task_id in bodies:
            done = mjrelay("fetch", "zhongzhuan", task_id, "--base-url", base_url, "--format", format_)
            assert not set("\x1b\x07\x9b\u202e") & set(done.stdout + done.stderr)
            assert "pwned" in done.stdout + done.stderr


def test_a_report_directory_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    """Where results.json cannot be written, nothing is judged, and the option is named."""
    (tmp_path / "file").touch()
    done = mjrelay("conform", "--report-dir", str(tmp_path / "file"))
    assert done.returncode == 2
    assert "name a directory" in done.stderr
