"""The command as a process: usage, output, exit codes and secrets."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import forked
import pytest
from attrs import evolve
from cli_process import FAILED, KEY, NOWHERE, SUCCEEDED, Counting, environment, lines, mjrelay, started
from mjrelay_conformance.mock.server import Server

from mjrelay import __version__
from mjrelay.contract.loading import load_contract, relay_names

USAGE = [
    (["conform", "zhongzuan"], "did you mean zhongzhuan?"),
    (["fetch", "xyzzy", "1"], f"known are {', '.join(relay_names())}"),
    (["conform", "apiai", "--base-url", "example.org"], "write https://host"),
    (["conform", "apiai", "--base-url", "https://u:p@example.org"], "must not contain credentials"),
    (["conform", "--base-url", "http://127.0.0.1:1"], "needs the name of a relay"),
    (["conform", "apiai", "--task", "1"], "give its URL with --base-url"),
    (["conform", "apiai", "--base-url", "http://127.0.0.1:1", "--task", "1=done"], "done is not a state"),
    (["conform", "--check", "fetch/300/*"], "mjrelay conform --list"),
    (["fetch", "apiai", "1"], "pass one with --base-url"),
    (["mock", "zhongzhuan", "--fault", "second-not-ms"], "did you mean seconds-not-ms"),
    (["mock", "mjdjourney", "--fault", "progress-150"], "does not apply to the contract of mjdjourney"),
    (["conform", "--lsit"], "--list"),
    (["confrom"], "conform"),
    (["wiat", "zhongzhuan"], "wait"),
    (["wait", "zhongzuan", "1"], "did you mean zhongzhuan?"),
    (["wait", "apiai", "1"], "pass one with --base-url"),
    (["wait", "zhongzhuan"], "give them as arguments, with --ids-file FILE, or on stdin with -"),
    (["wait", "zhongzhuan", "-"], "give them as arguments, with --ids-file FILE, or on stdin with -"),
    (["wait", "zhongzhuan", "--ids-file", "/no/such"], "/no/such: the ids cannot be read"),
    (["wait", "zhongzhuan", "1", "--rate", "0"], "rate is 0.0; give requests per second above 0"),
    (["wait", "zhongzhuan", "1", "--concurrency", "0"], "concurrency"),
    (["wait", "zhongzhuan", "1", "--timeout", "nan"], "timeout"),
    (["wait", "zhongzhuan", "1", "--timeout", "99999999999999"], "timeout is 99999999999999.0; give"),
    (["wait", "zhongzhuan", "1", "--request-timeout", "99999999999999"], "timeout is 99999999999999.0"),
    (["fetch", "zhongzhuan", "1", "--timeout", "99999999999999"], "timeout is 99999999999999.0; give"),
    (["fetch", "zhongzhuan", "", "--base-url", NOWHERE], "'' is not a task id"),
    (["wait", "zhongzhuan", "1", "--out", "/no/such/file"], "/no/such/file: cannot be opened"),
    (["wait", "zhongzhuan", "1", "--out", "/"], "/: is not a regular file"),
    (["wait", "zhongzhuan", "1", "--out", "/dev/null"], "is not a regular file"),
    (["wait", "zhongzhuan", "1", "--download", "/dev/null"], "the directory cannot be created"),
    (["wait", "zhongzhuan", "1", "--base-url", "ftp://relay"], "write https://host"),
    (["wait", "zhongzhuan", "1", "--scheme", "basic"], "the contract has 'bearer', 'secret'"),
    (["fetch", "zhongzhuan", "1", "--scheme", "basic"], "the contract has 'bearer', 'secret'"),
    (["fetch", "zhongzhuan", "1", "--key-file", "/no/such"], "the key cannot be read"),
    (
        ["fetch", "zhongzhuan", "1", "--key-file", "/dev/null"],
        "holds no key; write the key on its first line",
    ),
    (["conform", "--report-dir", "/dev/null"], "choose a directory"),
]
"""Wrong command lines, and what the message of each contains."""


def test_wrong_usage_says_what_to_do() -> None:
    """Wrong usage is exit code 2 with one helpful message, never a traceback."""
    for arguments, hint in USAGE:
        done = mjrelay(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert hint in " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split()), arguments
        assert "Traceback" not in done.stderr, arguments


def test_a_missing_key_names_the_variables(relay: tuple[Counting, str]) -> None:
    """Without a key nothing is sent, and both variables and the option are named."""
    for command in (["conform", "zhongzhuan"], ["fetch", "zhongzhuan", "1"], ["wait", "zhongzhuan", "1"]):
        done = mjrelay(*command, "--base-url", relay[1], key=None)
        assert done.returncode == 2
        assert "set MJRELAY_ZHONGZHUAN_API_KEY or MJRELAY_API_KEY, or give --key-file" in done.stderr
    assert relay[0].asked == 0


def test_a_run_that_proves_little_is_partial(relay: tuple[Counting, str]) -> None:
    """Without a task, with a wrong key and with a missing task the exit code is 3, with a hint."""
    for key, options, hint in (
        (KEY, [], "name one with --task ID=succeeded"),
        ("sk-of-another-user", ["--task", f"{SUCCEEDED}=succeeded"], "the relay refused the caller's key"),
        (KEY, ["--task", "17"], "the relay has no such task; check the id"),
    ):
        command = ["conform", "zhongzhuan", "--base-url", relay[1], "--no-fuzz", "--format", "pretty"]
        done = mjrelay(*command, *options, key=key)
        assert done.returncode == 3
        assert hint in done.stdout
        assert "MUST" not in done.stdout


def test_a_live_relay_gets_few_requests() -> None:
    """Plan and property-based phase together send at most twelve requests to a live relay, all GET."""
    tasks = [part for n in range(4) for part in ("--task", f"173062182605345{n}")]
    for fuzz, count in (([], 10), (["--fuzz"], 12)):
        done = mjrelay("conform", "zhongzhuan", "--base-url", NOWHERE, *tasks, "--dry-run", *fuzz)
        planned = [line for line in done.stdout.splitlines() if line[0] not in " #"]
        more = re.search(r"# and up to (\d+) requests", done.stdout)
        assert len(planned) + (int(more[1]) if more else 0) == count
        assert {line.split()[0] for line in planned} == {"GET"}
        assert KEY not in done.stdout + done.stderr


def test_lists_and_help() -> None:
    """Contracts, the faults that apply to a contract, the version and the commands are listed."""
    assert [one["relay"] for one in json.loads(mjrelay("relays").stdout)] == relay_names()
    assert "none; give --base-url" in mjrelay("relays", "--format", "pretty").stdout
    assert "seconds-not-ms" in mjrelay("mock", "zhongzhuan", "--list-faults").stdout
    assert "seconds-not-ms" not in mjrelay("mock", "mjdjourney", "--list-faults").stdout
    assert mjrelay("--version").stdout == f"mjrelay {__version__}\n"
    shown = mjrelay("--help").stdout
    for name, line in (("relays", "List relays"), ("wait", "Wait until tasks are done"), ("mock", "Serve")):
        assert re.search(rf"{name} +{line}", shown)


def test_a_missing_extra_is_named() -> None:
    """Where a part was not installed, the command says what to install."""
    program = (
        "import sys; sys.modules['schemathesis'] = None; sys.argv = ['mjrelay', 'conform']; "
        "from mjrelay.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install '.[conformance]'" in done.stderr


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
    """A missing task and a refused key have different messages."""
    missing = mjrelay("fetch", "zhongzhuan", "1", "--base-url", relay[1])
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no task 1 " in missing.stderr
    assert "; check the id, " in missing.stderr
    refused = mjrelay("fetch", "zhongzhuan", "1", "--base-url", relay[1], key="wrong")
    assert refused.returncode == 1
    assert (
        "sent as header Authorization: Bearer …; the contract also allows header mj-api-secret"
        in refused.stderr
    )


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_the_mock_is_served_until_interrupted() -> None:
    """The mock prints its address and tasks, serves other commands, and ends on Ctrl-C."""
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


def test_an_internal_error_is_not_a_verdict() -> None:
    """An unexpected exception is exit code 5, which no response can cause."""
    program = (
        "import sys; sys.argv = ['mjrelay', 'relays']; "
        "from mjrelay.cli import contracts, main; contracts.relay_names = lambda: 1 / 0; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "ZeroDivisionError" in done.stderr


OUTPUTS = ["relays", "relays --format pretty", "--help"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_failed_write_to_stdout_is_reported() -> None:
    """A full disk or a closed stdout is exit code 1 and one line on stderr, whatever writes."""
    places = ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor"))
    for command, (place, reason) in product(OUTPUTS, places):
        done = subprocess.run(
            ["/bin/sh", "-c", f'"$0" -X dev -m mjrelay {command} {place}', sys.executable],
            env=environment(KEY),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        stderr = f"mjrelay: stdout cannot be written ({reason}); make room or write elsewhere\n"
        assert done.stderr == stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("download", [True, False])
def test_results_are_kept_if_stdout_is_full(
    download: bool, relay: tuple[Counting, str], tmp_path: Path
) -> None:
    """A wait that cannot print reports it once, with downloads too, and its file stays valid."""
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", FAILED, "--base-url", relay[1], "--out", str(out)]
    command += ["--download", str(tmp_path)] if download else []
    with open("/dev/full", "w") as full, started(*command, stdout=full) as process:  # noqa: PTH123
        _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr.startswith("mjrelay: stdout cannot be written (")
    assert stderr.count("\n") == 1
    assert set(lines(out.read_text(encoding="utf-8"))) == {FAILED}


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX pipe")
def test_a_closed_pipe_is_silent() -> None:
    """A closed pipe on stdout causes no message."""
    for command in OUTPUTS:
        reading, writing = os.pipe()
        os.close(reading)
        with started(*command.split(), stdout=writing) as process:
            os.close(writing)
            _, stderr = process.communicate()
        assert (process.returncode, stderr) == (1, "")


@pytest.mark.parametrize("format_", ["pretty", "json"])
def test_a_relay_cannot_steer_the_terminal(format_: str) -> None:
    """Escape sequences in what a relay sends reach neither stdout nor stderr, as data or as an error."""
    evil = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202egnp"
    app = Counting(load_contract("zhongzhuan"), key=KEY)
    task = {**load_contract("zhongzhuan").examples["succeeded"], "prompt": evil}
    answer = app.answer("GET", f"/mj/task/{SUCCEEDED}/fetch", {"Authorization": f"Bearer {KEY}"})
    bodies = {SUCCEEDED: (200, task), "1": (500, {"code": 1, "description": evil})}

    def answers(*request: Any) -> Any:
        status, document = bodies[request[1].split("/")[3]]
        return type(answer)(status, answer.headers, json.dumps(document).encode())

    app.answer = answers  # type: ignore[assignment,method-assign]
    with Server(app) as base_url:
        for task_id in bodies:
            done = mjrelay("fetch", "zhongzhuan", task_id, "--base-url", base_url, "--format", format_)
            assert not set("\x1b\x07\x9b\u202e") & set(done.stdout + done.stderr)
            assert "pwned" in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["relays --format pretty", "conform --lsit"])
def test_a_forked_command_is_the_command(command: str) -> None:
    """A forked command prints the same as a cold one."""
    runs = [run(command.split(), environment(KEY)) for run in (forked.run, forked.cold)]
    stderr = [(done.returncode, done.stdout, done.stderr) for done in runs]
    assert stderr[0] == stderr[1]


def test_the_shell_completes_commands_and_options() -> None:
    """The completion that the help names offers commands and options, for each shell."""
    for words, place, completed in (
        ("mjrelay rel", "1", "relays"),
        ("mjrelay wait --ids", "2", "--ids-file"),
    ):
        variables = {"_MJRELAY_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": place}
        assert mjrelay(**variables).stdout == f"plain,{completed}\n"
    for shell in ("bash", "zsh", "fish"):
        assert "mjrelay" in mjrelay(_MJRELAY_COMPLETE=f"{shell}_source").stdout


def test_a_fetch_loads_no_more_than_it_needs(relay: tuple[Counting, str]) -> None:
    """A cold fetch as JSON imports neither what draws tables nor the other commands."""
    program = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
        f"sys.argv = ['mjrelay', 'fetch', 'zhongzhuan', '{SUCCEEDED}', '--base-url', '{relay[1]}']; "
        "from mjrelay.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(KEY), capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "mjrelay.cli.tasks" in loaded
    assert not loaded & {
        "rich",
        "httpx",
        "uvicorn",
        "schemathesis",
        "mjrelay.cli.wait",
        "mjrelay.cli.conform",
    }


def test_a_fetch_takes_the_options_of_a_relay(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """The key from a file, another scheme, the other transport and a base URL from the environment work."""
    app, base_url = relay
    sent: list[dict[str, str]] = []
    answer = app.answer

    def noted(*request: Any) -> Any:
        sent.append(dict(request[2]))
        return answer(*request)

    app.answer = noted  # type: ignore[assignment,method-assign]
    (tmp_path / "key").write_text(KEY + "\n", encoding="utf-8")
    options = ["--key-file", str(tmp_path / "key"), "--scheme", "secret", "--timeout", "5"]
    done = mjrelay("fetch", "zhongzhuan", SUCCEEDED, *options, key=None, MJRELAY_BASE_URL=base_url)
    assert json.loads(done.stdout)["id"] == SUCCEEDED
    assert sent[0]["mj-api-secret"] == KEY
    assert "authorization" not in sent[0]
    assert re.match(r"mjrelay/\S+ ", sent[0]["user-agent"])
    pytest.importorskip("pyreqwest")
    done = mjrelay("fetch", "zhongzhuan", SUCCEEDED, "--fast", "--base-url", base_url)
    assert json.loads(done.stdout)["id"] == SUCCEEDED


def test_a_hanging_request_times_out(relay: tuple[Counting, str]) -> None:
    """--timeout limits the request of a fetch, and the whole of a wait."""
    relay[0].hanging.add(SUCCEEDED)
    for command in ("fetch", "wait"):
        begun = time.monotonic()
        done = mjrelay(command, "zhongzhuan", SUCCEEDED, "--base-url", relay[1], "--timeout", "1")
        assert done.returncode == 1
        assert done.stdout == ""
        assert SUCCEEDED in done.stderr or "1 s" in done.stderr
        assert time.monotonic() - begun < 20


def forms_of(key: str) -> list[str]:
    """Return the encodings of a key."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in key)
    everything = "".join(f"%{ord(character):02X}" for character in key)
    coded = [base64.b64encode((pad + f"Bearer {key}").encode()).decode() for pad in ("", "a", "ab")]
    return [key, escaped, everything, quote(key, safe=""), *coded]


@pytest.mark.parametrize("format_", ["pretty", "json"])
def test_a_key_that_is_echoed_is_shown_nowhere(
    format_: str, relay: tuple[Counting, str], tmp_path: Path
) -> None:
    """A key that a relay returns, in any encoding and field, is not shown as data or in an error."""
    app, base_url = relay
    key = "sk-Never/To+Be~Seen4711"
    app.key = key
    forms = forms_of(key)
    (tmp_path / "key").write_text(key, encoding="utf-8")
    text = " ".join(f"<{form}>" for form in forms)
    app.changes = {
        "prompt": text,
        "failReason": text,
        "imageUrl": f"https://cdn.example/?token={quote(key, safe='')}",
        "action": forms[1],
        "buttons": [{"customId": forms[4], "label": forms[0], "emoji": forms[2]}],
    }
    failing = "1730621826059999"
    answer = app.answer

    def answers(*request: Any) -> Any:
        given, target = answer(*request), request[1]
        if failing not in target:
            # As JSON escapes it itself, too.
            body = given.body.replace(json.dumps(key)[1:-1].encode(), forms[1].encode())
            return evolve(given, body=body) if target.endswith("fetch") else given
        document = {"code": 4, "description": text}
        return evolve(given, status=400, body=json.dumps(document).encode())

    app.answer = answers  # type: ignore[assignment,method-assign]
    out = tmp_path / "out.jsonl"
    options = ["--base-url", base_url, "--key-file", str(tmp_path / "key"), "--format", format_]
    shown = ""
    for command in (
        ["fetch", "zhongzhuan", SUCCEEDED],
        ["fetch", "zhongzhuan", FAILED],
        ["fetch", "zhongzhuan", failing],
        ["wait", "zhongzhuan", SUCCEEDED, FAILED, failing, "--out", str(out), "--timeout", "3"],
    ):
        done = mjrelay(*command, *options, key=None, COLUMNS="1000")
        assert "Traceback" not in done.stderr
        assert "[redacted]" in done.stdout + done.stderr
        shown += done.stdout + done.stderr
    assert set(lines(out.read_text(encoding="utf-8"))) == {SUCCEEDED, FAILED}
    written = shown + out.read_text(encoding="utf-8")
    for form in forms:
        held = form.rstrip("=")[4:] if form not in forms[:4] else form
        assert held not in written
        assert json.dumps(held)[1:-1] not in written
    assert key not in json.dumps(lines(out.read_text(encoding="utf-8")))
