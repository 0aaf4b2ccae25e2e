"""The command as a process of its own: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import forked
import jsonschema_rs
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay import __version__
from mjrelay.cli.results import Results, ResultsError
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "sk-never-to-be-seen-4711"
SUCCEEDED = "1730621826053455"
FAILED = "1730621826053458"
# A name that RFC 6761 keeps from ever resolving: a relay that is not loopback, and that nobody reaches.
NOWHERE = "http://relay.invalid"


def environment(key: str | None, **env: str) -> dict[str, str]:
    """A clean environment with a key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MJRELAY_")}
    keyed = {} if key is None else {"MJRELAY_API_KEY": key}
    return {**kept, **keyed, "COLUMNS": "100", **env}


def mjrelay(
    *arguments: str, key: str | None = KEY, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with a clean environment."""
    return forked.run(list(arguments), environment(key, **env), stdin or "")


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command as it runs; it is killed at the end."""
    command = [*forked.COMMAND, *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen(command, env=environment(KEY), text=True, encoding="utf-8", **options) as process:
        timer = threading.Timer(60, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


class Counting(MockRelay):
    """
    A mock that counts what it is asked, in all and for each id.

    It never answers for the ids in ``hanging``, and puts the fields of ``changes`` into each task. Its time
    begins with the first request, however long a process takes to start.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.made, self.begun = time.time(), 0.0
        super().__init__(*arguments, clock=self.time, **options)
        self.asked, self.asks = 0, Counter[str]()
        self.hanging: set[str] = set()
        self.changes: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def time(self) -> float:
        """The mock's time."""
        return self.made + (time.monotonic() - self.begun if self.begun else 0.0)

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """The mock's answer."""
        self.begun = self.begun or time.monotonic()
        self.asked += 1
        self.asks.update(known for known in self._tasks if known in target or known.encode() in body)
        answer = super().answer(method, target, headers, body)
        if target in self.files:
            return type(answer)(200, (("content-type", "image/png"),), self.files[target])
        if self.changes and answer.status == 200:
            document = json.loads(answer.body)
            for one in document if isinstance(document, list) else [document]:
                one.update(self.changes)
            answer = evolve(answer, body=json.dumps(document).encode())
        return evolve(answer, delay=60.0) if any(one in target for one in self.hanging) else answer


@pytest.fixture
def relay(request: pytest.FixtureRequest) -> Iterator[tuple[Counting, str]]:
    """A mock of one relay on loopback, with the faults of the test's parameter, and its base URL."""
    app = Counting(load_contract("zhongzhuan"), key=KEY, faults=getattr(request, "param", ()))
    with Server(app) as base_url:
        yield app, base_url


def test_the_main_job_on_the_embedded_mocks(tmp_path: Path) -> None:
    """Without arguments the mocks of all relays are judged, recorded, conformant, and shown per line."""
    done = mjrelay("conform", "--report-dir", str(tmp_path / "new"), "--cases", "2", key=None)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    written = json.loads((tmp_path / "new" / "results.json").read_text(encoding="utf-8"))
    assert written == printed
    assert [one["relay"] for one in written["relays"]] == relay_names()
    assert {one["verdict"] for one in written["relays"]} == {"conformant"}
    assert all(one["fuzz"]["cases"] for one in written["relays"])
    assert written["footer"]["exit_code"] == 0
    schema = json.loads(
        (resources.files("mjrelay_conformance") / "results.schema.json").read_text(encoding="utf-8")
    )
    jsonschema_rs.meta.validate(schema)
    Draft202012Validator(schema, validate_formats=True).validate(written)
    assert not list((tmp_path / "new").glob("*.partial"))
    shown = mjrelay("report", "show", str(tmp_path / "new"), "--format", "pretty", key=None).stdout
    for name in relay_names():
        assert re.search(rf"^{name} +conformant ", shown, re.MULTILINE)


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
        "--profile",
        "read",
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
    arguments = ["conform", "zhongzhuan", "--base-url", relay[1], "--task", "17", "--no-fuzz"]
    done = mjrelay(*arguments, "--format", "pretty")
    assert done.returncode == 3
    assert "the relay has no such task: is the id right?" in done.stdout


def test_a_dry_run_sends_nothing(relay: tuple[Counting, str]) -> None:
    """Every request is printed without its secret, and none is sent."""
    arguments = ["conform", "zhongzhuan", "--base-url", relay[1], "--task", SUCCEEDED, "--profile", "read"]
    done = mjrelay(*arguments, "--dry-run")
    assert done.returncode == 0
    assert relay[0].asked == 0
    requests = [line for line in done.stdout.splitlines() if line[0] not in " #"]
    assert len(requests) == 4
    assert all(line.startswith(f"GET {relay[1]}/mj/task/") for line in requests)
    assert done.stdout.count("Authorization: Bearer [redacted]") == 3
    assert "# 4 requests" in done.stdout
    assert "# and up to 50 of the property-based phase" in done.stdout
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("fuzz", [[], ["--fuzz"]])
def test_a_live_relay_gets_few_requests(fuzz: list[str]) -> None:
    """Plan and property-based phase together stay within twelve requests on a live relay."""
    tasks = [part for n in range(4) for part in ("--task", f"173062182605345{n}")]
    done = mjrelay("conform", "zhongzhuan", "--base-url", NOWHERE, *tasks, "--dry-run", *fuzz)
    planned = [line for line in done.stdout.splitlines() if line[0] not in " #"]
    more = re.search(r"# and up to (\d+) of", done.stdout)
    assert len(planned) + (int(more[1]) if more else 0) == (12 if fuzz else 10)
    assert {line.split()[0] for line in planned} == {"GET"}


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
        (["fetch", "xyzzy", "1"], f"known are {', '.join(relay_names())}"),
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
        (["wiat", "zhongzhuan"], "wait"),
        (["wait", "zhongzuan", "1"], "did you mean zhongzhuan?"),
        (["wait", "apiai", "1"], "give one with --base-url"),
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
        (["wait", "zhongzhuan", "1", "--scheme", "basic"], "the contract knows 'bearer', 'secret'"),
        (["fetch", "zhongzhuan", "1", "--scheme", "basic"], "the contract knows 'bearer', 'secret'"),
        (["fetch", "zhongzhuan", "1", "--key-file", "/no/such"], "the key cannot be read"),
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
    for command in (["conform", "zhongzhuan"], ["fetch", "zhongzhuan", "1"], ["wait", "zhongzhuan", "1"]):
        done = mjrelay(*command, "--base-url", relay[1], key=None)
        assert done.returncode == 2
        assert "set MJRELAY_ZHONGZHUAN_API_KEY or MJRELAY_API_KEY" in done.stderr
        assert "api_key=" not in done.stderr
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
    assert all(re.fullmatch(r"\S+ +(must|should|info) +[A-Z].+\.  \[.+\]", line) for line in listed)
    arguments = ["conform", "zhongzhuan", "--base-url", relay[1], "--task", SUCCEEDED, "--no-fuzz"]
    done = mjrelay(*arguments, "--check", "auth/*")
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
    assert "there is no task 1 " in missing.stderr
    assert "; check the id, " in missing.stderr
    refused = mjrelay("fetch", "zhongzhuan", "1", "--base-url", relay[1], key="wrong")
    assert refused.returncode == 1
    assert (
        "sent as header Authorization: Bearer …; the contract also allows header mj-api-secret"
        in refused.stderr
    )


def test_the_relays_are_listed() -> None:
    """Every contract is listed, for programs and for people."""
    assert [one["relay"] for one in json.loads(mjrelay("relays").stdout)] == relay_names()
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
        "from mjrelay.cli import contracts, main; contracts.relay_names = lambda: 1 / 0; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "ZeroDivisionError" in done.stderr


OUTPUTS = ["relays", "relays --format pretty", "--help"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("command", OUTPUTS)
def test_a_stdout_that_cannot_be_written_is_told(command: str) -> None:
    """A full disk or a closed stdout is exit code 1 and one line on stderr, whatever writes."""
    for place, reason in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
        done = subprocess.run(
            ["/bin/sh", "-c", f'"$0" -X dev -m mjrelay {command} {place}', sys.executable],
            env=environment(KEY),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        told = f"mjrelay: stdout cannot be written ({reason}); make room or write elsewhere\n"
        assert done.stderr == told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("download", [True, False])
def test_what_was_kept_is_there_though_stdout_is_full(
    download: bool, relay: tuple[Counting, str], tmp_path: Path
) -> None:
    """A wait that cannot print is told so once, also by those who download, and its file stays in order."""
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", FAILED, "--base-url", relay[1], "--out", str(out)]
    command += ["--download", str(tmp_path)] if download else []
    with open("/dev/full", "w") as full, started(*command, stdout=full) as process:  # noqa: PTH123
        _, told = process.communicate()
    assert process.returncode == 1
    assert told.startswith("mjrelay: stdout cannot be written (")
    assert told.count("\n") == 1
    assert set(lines(out.read_text(encoding="utf-8"))) == {FAILED}


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX pipe")
@pytest.mark.parametrize("command", OUTPUTS)
def test_a_reader_that_left_is_no_news(command: str) -> None:
    """Where nobody reads stdout any more, nothing is said."""
    reading, writing = os.pipe()
    os.close(reading)
    with started(*command.split(), stdout=writing) as process:
        os.close(writing)
        _, told = process.communicate()
    assert (process.returncode, told) == (1, "")


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


def test_a_report_directory_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    """Where results.json cannot be written, nothing is judged, and the option is named."""
    (tmp_path / "file").touch()
    done = mjrelay("conform", "--report-dir", str(tmp_path / "file"))
    assert done.returncode == 2
    assert "name a directory" in done.stderr


@pytest.mark.parametrize("command", ["relays --format pretty", "conform --lsit"])
def test_a_forked_command_is_the_command(command: str) -> None:
    """What most of these tests run says what the command says that is started from nothing."""
    runs = [run(command.split(), environment(KEY)) for run in (forked.run, forked.cold)]
    told = [(done.returncode, done.stdout, done.stderr) for done in runs]
    assert told[0] == told[1]


def test_the_version_and_the_commands_are_told() -> None:
    """--version prints the version; --help lists every command with what it does."""
    assert mjrelay("--version").stdout == f"mjrelay {__version__}\n"
    shown = mjrelay("--help").stdout
    for name, line in (
        ("relays", "List relays"),
        ("wait", "Wait until tasks are done"),
        ("mock", "Serve"),
    ):
        assert re.search(rf"{name} +{line}", shown)


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
    """The key from a file, another scheme, the other wire and a base URL of the environment all serve."""
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


def test_a_relay_that_hangs_is_given_up(relay: tuple[Counting, str]) -> None:
    """--timeout bounds the one request of a fetch, and the whole of a wait, however a request hangs."""
    relay[0].hanging.add(SUCCEEDED)
    for command in ("fetch", "wait"):
        begun = time.monotonic()
        done = mjrelay(command, "zhongzhuan", SUCCEEDED, "--base-url", relay[1], "--timeout", "1")
        assert done.returncode == 1
        assert done.stdout == ""
        assert SUCCEEDED in done.stderr or "1 s" in done.stderr
        assert time.monotonic() - begun < 20


def lines(text: str) -> dict[str, dict[str, Any]]:
    """Tasks by their ids, from JSON Lines in which each stands once."""
    tasks = [json.loads(line) for line in text.splitlines()]
    found = {task["id"]: task for task in tasks}
    assert len(found) == len(tasks)
    return found


def test_tasks_are_printed_as_they_end(relay: tuple[Counting, str]) -> None:
    """Each task is a line of JSON, the first to end first; a failed one is exit code 1, talk is on stderr."""
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
    assert re.search(rf"^{soon}  succeeded +https://\S+$", pretty, re.MULTILINE)
    assert re.search(rf"^{FAILED}  failed +\S+$", pretty, re.MULTILINE)


def test_one_missing_task_loses_no_other(relay: tuple[Counting, str]) -> None:
    """What is not there, or does not end in time, goes to stderr with its id; the others are printed."""
    app, base_url = relay
    never, missing = app.submit(600), "1999999999999999"
    done = mjrelay("wait", "zhongzhuan", missing, SUCCEEDED, never, "--base-url", base_url, "--timeout", "3")
    assert done.returncode == 1
    assert set(lines(done.stdout)) == {SUCCEEDED}
    assert f"no task {missing}" in done.stderr or f"task {missing} was never fetched" in done.stderr
    assert f"resume with wait('{never}') or: mjrelay wait zhongzhuan {never}" in done.stderr
    assert done.stderr.endswith("mjrelay: 3 tasks: 1 succeeded, 2 not fetched\n")


def test_a_refused_key_is_told_once(relay: tuple[Counting, str]) -> None:
    """With a key that the relay refuses, hundreds of ids are one message, and not hundreds of requests."""
    ids = [str(1730621826060000 + n) for n in range(300)]
    done = mjrelay("wait", "zhongzhuan", *ids, "--base-url", relay[1], "--rate", "1000", key="sk-wrong")
    assert done.returncode == 1
    assert done.stderr.count("the key was refused") == 1
    assert relay[0].asked <= 50


@pytest.mark.parametrize("source", ["file", "-", "--ids-file -"])
def test_ids_come_from_a_file_or_stdin(source: str, relay: tuple[Counting, str], tmp_path: Path) -> None:
    """Ids stand between white space, comments are left out, each id is asked for once, in order."""
    app, base_url = relay
    first, second, third = (app.submit(0) for _ in range(3))
    text = f"\ufeff# of today\n{second}\t{third} # the cat\r\n\n  {first}\n#{FAILED}\n{second}\n"
    (tmp_path / "ids").write_text(text, encoding="utf-8")
    arguments = ["--ids-file", str(tmp_path / "ids")] if source == "file" else source.split()
    options = ["--base-url", base_url, "--concurrency", "1"]
    done = mjrelay("wait", "zhongzhuan", third, *arguments, *options, stdin=text)
    assert done.returncode == 0, done.stderr
    assert list(lines(done.stdout)) == [third, second, first]
    assert FAILED not in app.asks


def test_files_are_downloaded_before_a_result_counts(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """A result holds its files; one whose files were not had is an error, and asked for again next time."""
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


def test_files_are_had_later(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """What ended in a file without files is had again once, with --download; its last line counts."""
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
def test_a_killed_run_goes_on_where_it_was(moment: int, relay: tuple[Counting, str], tmp_path: Path) -> None:
    """After SIGKILL the same command gives each id exactly once, and asks for none that had ended."""
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
    """The exit code is about all ids, those that ended in an earlier run too, but of this relay alone."""
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", FAILED, "--base-url", relay[1], "--out", str(out)]
    assert [mjrelay(*command).returncode for _ in range(2)] == [1, 1]
    assert relay[0].asks[FAILED] == 1
    out.write_text(out.read_text(encoding="utf-8").replace("zhongzhuan", "apiai"), encoding="utf-8")
    assert set(lines(mjrelay(*command).stdout)) == {FAILED}


@pytest.mark.parametrize("cut", [1, 0.5, -1])
def test_a_torn_line_is_cut_off(cut: float, relay: tuple[Counting, str], tmp_path: Path) -> None:
    """However a last line was broken off, the lines before it stand, and its task is had again, once."""
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", SUCCEEDED, FAILED, "--base-url", relay[1], "--out", str(out)]
    mjrelay(*command)
    first, last = out.read_bytes().splitlines(keepends=True)
    place = int(len(last) * cut) if cut == 0.5 else int(cut)
    out.write_bytes(first + last[:place])
    relay[0].asks.clear()
    done = mjrelay(*command)
    assert done.returncode == 1
    assert set(lines(out.read_text(encoding="utf-8"))) == {SUCCEEDED, FAILED}
    assert out.read_bytes().startswith(first)
    # But for the line's end, -1 is all of it: nothing is lost.
    assert ("removed an incomplete last line" in done.stderr) == (cut != -1)
    assert len(relay[0].asks) == (cut != -1)


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
    """Whatever follows good lines in a file, it is refused as it is, or those lines stand and are known."""
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
    """The second run is told whom to wait for, asks for nothing and harms nothing."""
    app, base_url = relay
    out = tmp_path / "out.jsonl"
    command = ["wait", "zhongzhuan", FAILED, app.submit(600), "--base-url", base_url, "--out", str(out)]
    with started(*command) as process:
        until(lambda: out.exists() and out.read_bytes().endswith(b"\n"))
        held, asked = out.read_bytes(), app.asks[FAILED]
        done = mjrelay("wait", "zhongzhuan", SUCCEEDED, "--base-url", base_url, "--out", str(out))
        assert done.returncode == 2
        assert re.search(rf"(process {process.pid}|another process) writes to it; wait until", done.stderr)
        assert out.read_bytes() == held
        assert SUCCEEDED not in app.asks
        assert app.asks[FAILED] == asked


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("options", [[], ["--concurrency", "1"]])
def test_ctrl_c_tells_what_is_left(options: list[str]) -> None:
    """Ctrl-C ends at once though a request hangs, with 130, the ids, and a command that goes on."""
    app = Counting(load_contract("mjdjourney"), key=KEY)
    done, hangs, runs = app.known[State.SUCCEEDED], app.submit(0), app.submit(600)
    app.hanging.add(hangs)
    with Server(app) as base_url:
        interrupt(app, base_url, (done, hangs, runs), options)


def interrupt(app: Counting, base_url: str, ids: tuple[str, str, str], options: list[str]) -> None:
    """Wait for a task that is done, one that hangs and one that runs, and press Ctrl-C."""
    ended, hangs, runs = ids
    given = ["--base-url", base_url, "--format", "json", "--previews", *options]
    with started("wait", "mjdjourney", ended, hangs, runs, *given) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["id"] == ended
        until(lambda: app.asks[hangs])
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        process.wait()
        assert time.monotonic() - begun < 3
        told = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in told
    assert f"2 tasks remain at mjdjourney: {hangs} {runs}\n" in told
    command = shlex.split(told.split("resume with: ")[1])
    assert command[0] == "mjrelay"
    assert command[-3:] == ["mjdjourney", hangs, runs]
    app.hanging.clear()
    done = mjrelay(*command[1:], "--timeout", "2")
    assert set(lines(done.stdout)) == {hangs}


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_on_many_ids_names_the_same_command(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """Where a file holds the ids or the results, a few ids and the command itself say how to go on."""
    app, base_url = relay
    ids = [app.submit(600) for _ in range(40)]
    (tmp_path / "ids of today").write_text("\n".join(ids), encoding="utf-8")
    command = ["wait", "zhongzhuan", "--ids-file", str(tmp_path / "ids of today"), "--base-url", base_url]
    with started(*command) as process:
        until(lambda: app.asked > 1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    assert f"40 tasks remain at zhongzhuan: {' '.join(ids[:10])} and 30 more\n" in told
    assert shlex.split(told.split("with the same command: ")[1]) == ["mjrelay", *command]
    assert ids[10] not in told


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_ends_a_fetch(relay: tuple[Counting, str]) -> None:
    """A fetch that hangs is ended by Ctrl-C with 130, and no traceback."""
    relay[0].hanging.add(SUCCEEDED)
    with started("fetch", "zhongzhuan", SUCCEEDED, "--base-url", relay[1]) as process:
        until(lambda: relay[0].asked)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, told = process.communicate()
        assert time.monotonic() - begun < 3
    assert process.returncode == 130
    assert "Traceback" not in told


def on_a_terminal(*command: str, stdout: Any = None) -> tuple[str, str, int]:
    """What the command shows on a terminal, what it writes to another stdout, and its exit code."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    shown = b""
    with started(*command, stdin=theirs, stdout=stdout or theirs, stderr=theirs) as process:
        os.close(theirs)
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how a terminal says that nobody is there any more
                break
            if not piece:
                break
            shown += piece
        data = process.stdout.read() if process.stdout else ""
        process.wait()
    os.close(ours)
    return shown.decode("utf-8"), data, process.returncode


def test_a_terminal_shows_progress_while_it_lasts(relay: tuple[Counting, str]) -> None:
    """Bars appear for the tasks and for all, and are gone at the end; lines for people stand above them."""
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
        assert len(re.findall(rf"{task_id}  succeeded +https://[^\s━]+\r\n", shown)) == 1


def test_data_stays_on_stdout_beside_a_terminal(relay: tuple[Counting, str]) -> None:
    """With stdout elsewhere the bars are on the terminal, and the JSON is whole where it belongs."""
    ids = [relay[0].submit(duration) for duration in (0.2, 1.0)]
    shown, data, code = on_a_terminal(
        "wait", "zhongzhuan", *ids, "--base-url", relay[1], stdout=subprocess.PIPE
    )
    assert code == 0
    assert "━" in shown
    assert "https://" not in shown
    assert set(lines(data)) == set(ids)
    assert "\x1b" not in data


def forms_of(key: str) -> list[str]:
    """Ways in which a key travels."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in key)
    everything = "".join(f"%{ord(character):02X}" for character in key)
    coded = [base64.b64encode((pad + f"Bearer {key}").encode()).decode() for pad in ("", "a", "ab")]
    return [key, escaped, everything, quote(key, safe=""), *coded]


@pytest.mark.parametrize("format_", ["pretty", "json"])
def test_a_key_that_is_echoed_is_shown_nowhere(
    format_: str, relay: tuple[Counting, str], tmp_path: Path
) -> None:
    """In whatever form and field a relay sends the key back, as data or as an error, it is not shown."""
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


def test_the_process_list_shows_no_key(relay: tuple[Counting, str], tmp_path: Path) -> None:
    """Whoever lists the processes of the machine sees the command, and not the key."""
    app, base_url = relay
    (tmp_path / "key").write_text(KEY, encoding="utf-8")
    options = ["--base-url", base_url, "--key-file", str(tmp_path / "key")]
    with started("wait", "zhongzhuan", app.submit(600), *options):
        until(lambda: app.asked)
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
        ).stdout
    assert base_url in listed
    assert KEY not in listed


@pytest.mark.parametrize("state", [State.NEEDS_INPUT])
def test_what_needs_input_is_asked_for_again(state: State, tmp_path: Path) -> None:
    """A task that stops until somebody acts is printed, but has not ended: the next run asks for it."""
    app = Counting(load_contract("apiai"), key=KEY)
    out = tmp_path / "out.jsonl"
    with Server(app) as base_url:
        for _ in range(2):
            done = mjrelay("wait", "apiai", app.known[state], "--base-url", base_url, "--out", str(out))
            assert done.returncode == 1
            assert [task["state"] for task in lines(done.stdout).values()] == [state]
            assert out.read_bytes() == b""
