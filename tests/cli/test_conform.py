"""The command `conform` as a process, against a mock over real sockets: profiles, formats, live rules."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import forked
import jsonschema_rs
import pytest
from mjrelay_conformance.drivers.plan import PROFILES
from mjrelay_conformance.judging.record import replacing_file
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay.contract.loading import load_contract
from mjrelay.errors import SettingError
from mjrelay.http.urls import checked_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-the-key-of-the-mock-4711"
LIVE = "http://relay.invalid"


class Counted(MockRelay):
    """A mock that remembers with which method it was asked."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.methods: list[str] = []

    def answer(self, method: str, *rest: Any) -> Any:
        """The mock's answer."""
        self.methods.append(method)
        return super().answer(method, *rest)


@pytest.fixture
def served() -> Iterator[Any]:
    """Serves mocks: a function from a relay and faults to the mock and its base URL."""
    servers: list[Server] = []

    def serve(relay: str, *faults: str) -> tuple[Counted, str]:
        mock = Counted(load_contract(relay), key=KEY, faults=faults)
        servers.append(Server(mock))
        return mock, servers[-1].__enter__()

    yield serve
    for server in servers:
        server.__exit__(None, None, None)


def conform(*arguments: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    """Run ``mjrelay conform`` with a clean environment; the record is on stdout."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "COLUMNS": "100"}
    if key is not None:
        environment["MJRELAY_API_KEY"] = key
    return forked.run(["conform", "--format=json", *arguments], environment | coverage())


def coverage() -> dict[str, str]:
    """What a process needs to be measured, where that is wanted."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def tasks(mock: MockRelay) -> list[str]:
    """The options that name a mock's tasks."""
    return [f"--task={task_id}={state.value}" for state, task_id in mock.known.items()]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_correct_relay_is_conformant_in_each_profile(served: Any, profile: str) -> None:
    """Whatever is tried, nothing is found; the record fits its schema and the cap is kept."""
    mock, base_url = served("zhongzhuan")
    done = conform("zhongzhuan", "--base-url", base_url, *tasks(mock), "--profile", profile, "--no-fuzz")
    assert done.returncode == 0
    assert re.fullmatch(r"mjrelay: zhongzhuan: conformant; findings: none; \d+ requests sent\n", done.stderr)
    document = json.loads(done.stdout)
    validator().validate(document)
    assert [row for row in document["rows"] if row["outcome"] in {"fail", "error"}] == []
    assert len(mock.methods) == document["relays"][0]["requests"] <= PROFILES[profile]
    if profile in {"read", "auth"}:
        assert set(mock.methods) == {"GET"}


@pytest.mark.parametrize(
    ("fault", "profile", "check"),
    [
        ("seconds-not-ms", "read", "fetch/200/times"),
        ("no-auth-accepted", "auth", "auth/none/refused"),
        ("any-method-acts", "robust", "method/no-task"),
        ("batch-other-task", "all", "batch/only-asked"),
    ],
)
def test_a_fault_is_found_over_real_sockets(served: Any, fault: str, profile: str, check: str) -> None:
    """Each profile finds what it is for, and a broken MUST decides the exit code."""
    mock, base_url = served("zhongzhuan", fault)
    done = conform("zhongzhuan", "--base-url", base_url, *tasks(mock), "--profile", profile, "--no-fuzz")
    assert done.returncode == 1
    found = {row["check"] for row in json.loads(done.stdout)["rows"] if row["outcome"] == "fail"}
    assert check in found
    assert len(found) <= 2


def test_strict_exclude_and_baseline(served: Any, tmp_path: Path) -> None:
    """A finding below MUST counts with --strict, not when it is accepted, and not when it is left out."""
    mock, base_url = served("apiai", "failure-without-reason")
    arguments = ["apiai", "--base-url", base_url, *tasks(mock), "--no-fuzz", "--profile=read", "--strict"]
    assert [conform(*arguments[:-1]).returncode, conform(*arguments).returncode] == [0, 1]
    accepted = tmp_path / "accepted.yaml"
    line = "- {relay: apiai, check: fetch/200/failed/reason, reason: known, date: 2026-11-01}\n"
    accepted.write_text(line, encoding="utf-8")
    done = conform(*arguments, "--baseline", str(accepted))
    assert done.returncode == 0
    assert json.loads(done.stdout)["relays"][0]["baseline"]["accepted"][0]["reason"] == "known"
    assert conform(*arguments, "--exclude", "fetch/200/failed/*").returncode == 3  # not all was judged
    _, base_url = served("apiai")
    arguments[2] = base_url
    gone = conform(*arguments, "--baseline", str(accepted), "--format", "pretty")
    assert gone.returncode == 1
    assert "fetch/200/failed/reason" in gone.stdout


def test_an_overlay_changes_what_is_judged(served: Any, tmp_path: Path) -> None:
    """With an overlay the relay is held to the changed contract."""
    mock, base_url = served("zhongzhuan")
    overlay = tmp_path / "other.yaml"
    overlay.write_text(
        "overlay: 1.0.0\ninfo: {title: seconds, version: '1'}\nactions:\n"
        "  - target: $.paths[*].get['x-mj-task'].times\n    update: {format: s}\n",
        encoding="utf-8",
    )
    arguments = ["zhongzhuan", "--base-url", base_url, *tasks(mock), "--no-fuzz", "--profile=read"]
    done = conform(*arguments, "--overlay", str(overlay))
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert {row["check"] for row in document["rows"] if row["outcome"] == "fail"} == {"fetch/200/times"}
    assert document["header"]["options"]["overlays"] == ["other.yaml"]


def test_a_run_is_shown_in_every_format(served: Any, tmp_path: Path) -> None:
    """Pretty for people, markdown for a pull request, a page and a record in the directory that was named."""
    mock, base_url = served("apiai", "seconds-not-ms")
    arguments = ["apiai", "--base-url", base_url, *tasks(mock), "--no-fuzz", "--report-dir", str(tmp_path)]
    pretty = conform(*arguments, "--format", "pretty")
    assert "fetch/200/times" in pretty.stdout
    assert "curl" in pretty.stdout
    assert "openapi/apiai.yaml:" in pretty.stdout
    assert (tmp_path / "report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    markdown = conform(*arguments, "--format", "markdown")
    assert f"| apiai {base_url} |" in markdown.stdout.replace("`", "")
    validator().validate(json.loads((tmp_path / "results.json").read_text(encoding="utf-8")))
    for text in (pretty.stdout, markdown.stdout, *(path.read_text("utf-8") for path in tmp_path.iterdir())):
        assert KEY not in text


def test_a_pipe_gets_a_short_summary(served: Any) -> None:
    """Without a terminal stdout has a line per finding and relay; stderr has the result in any format."""
    mock, base_url = served("zhongzhuan", "seconds-not-ms")
    arguments = [
        "conform",
        "zhongzhuan",
        "--base-url",
        base_url,
        *tasks(mock),
        "--no-fuzz",
        "--label",
        "acme",
    ]
    environment = {"PATH": os.environ["PATH"], "MJRELAY_API_KEY": KEY} | coverage()
    done = forked.run(arguments, environment)
    finding, line = done.stdout.splitlines()
    assert re.match(r"MUST acme fetch/200/times: expected .*seconds, where the contract says", finding)
    assert re.search(r"; clause openapi/zhongzhuan\.yaml:\d+: format: ms$", finding)
    assert re.match(rf"acme at {base_url}: non-conformant; passed \d+, must 1, should 0", line)
    result = r"mjrelay: acme: non-conformant; findings: 1 MUST; \d+ requests sent\n"
    for form in ("summary", "json", "pretty", "markdown"):
        assert re.fullmatch(result, forked.run([*arguments, "--format", form], environment).stderr)


def test_the_record_names_the_judged_relay(served: Any, tmp_path: Path) -> None:
    """It has the base URL and the label of the relay, and is replayed by the name of its contract."""
    mock, base_url = served("apiai")
    arguments = ["apiai", "--base-url", base_url, *tasks(mock), "--no-fuzz", "--report-dir", str(tmp_path)]
    document = json.loads(conform(*arguments, "--label", "Best Relay").stdout)
    assert document["header"]["targets"] == {"Best Relay": {"relay": "apiai", "url": base_url}}
    assert "--label 'Best Relay'" in document["header"]["reproduce"]
    for part in ("relays", "rows", "exchanges"):
        assert {one["relay"] for one in document[part]} == {"Best Relay"}
    replayed = forked.run(
        ["replay", "apiai", str(tmp_path / "results.json"), "--format", "json"], {"PATH": os.environ["PATH"]}
    )
    assert json.loads(replayed.stdout)["header"]["targets"] == {"apiai": {"relay": "apiai", "url": base_url}}
    done = conform("--label", "all")
    assert (done.returncode, "--label names one relay" in done.stderr) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_shows_the_progress(served: Any) -> None:
    """While requests are sent, stderr shows their number if it is a terminal."""
    mock, base_url = served("apiai")
    command = [*forked.COMMAND, "conform", "apiai", "--base-url", base_url, *tasks(mock), "--no-fuzz"]
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "MJRELAY_API_KEY": KEY, "TERM": "xterm"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=theirs):
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO when the process has ended
            while part := os.read(ours, 65_536):
                shown += part
    os.close(ours)
    assert re.search(rb"apiai: \d+ planned, request \d+", shown)


@pytest.mark.parametrize("fault", ["secret-echoed", "secret-echoed-encoded"])
def test_no_artefact_holds_the_key(served: Any, tmp_path: Path, fault: str) -> None:
    """A relay that shows the key in headers and body, as it is or encoded, is found out and not repeated."""
    mock, base_url = served("apiai", fault)
    arguments = ["--report-dir", str(tmp_path), "--cases", "5"]
    done = conform("apiai", "--base-url", base_url, *tasks(mock), *arguments)
    assert done.returncode == 1
    found = {row["check"] for row in json.loads(done.stdout)["rows"] if row["outcome"] == "fail"}
    assert "fetch/secret" in found
    for text in (done.stdout, done.stderr, *(path.read_text("utf-8") for path in tmp_path.iterdir())):
        assert KEY not in text
        assert "the-key-of-the-mock" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "all"], "add --yes"),
        (["--fuzz"], "--fuzz sends 12 requests to a live relay"),
        (["--rate", "5"], "--i-operate-this-relay"),
        (["--max-requests", "2"], "--max-requests allows 2"),
        (["--fuzz", "--max-requests", "6"], "name fewer tasks"),
        (["--baseline", "nowhere.yaml"], "--baseline"),
        (["--exclude", "fetch/200/tiems"], "did you mean fetch/200/times"),
        (["--overlay", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_live_relay_is_spared(arguments: list[str], message: str) -> None:
    """What would send more to a live relay than it should get, or makes no sense, is refused before."""
    known = [f"--task=17306218260534{number}=succeeded" for number in (55, 56)]
    done = conform("zhongzhuan", "--base-url", LIVE, *known, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_live_relay_is_told_before_it_is_asked() -> None:
    """The number of requests stands on stderr before the first; a host that is not there is unreachable."""
    done = conform("zhongzhuan", "--base-url", LIVE, "--task=1=succeeded", "--rate=0.9", "--spacing=0")
    assert done.returncode == 4
    assert "sending 4 requests to http://relay.invalid, 1.11" in done.stderr
    assert json.loads(done.stdout)["relays"][0]["requests"] == 2  # silent twice, and left alone


def test_a_base_url_that_is_none_is_refused() -> None:
    """An empty one does not stand for the mock, and one with white space for no other address."""
    for base_url, said in (("", "is empty"), (" ", "is empty"), ("http://relay.in valid", "white space")):
        done = conform("zhongzhuan", "--base-url", base_url)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    for base_url in ("http://relay.in\nvalid", "http://relay\t.invalid"):
        with pytest.raises(SettingError, match="white space"):
            checked_url(base_url)


def test_the_command_that_does_a_run_again(served: Any, tmp_path: Path) -> None:
    """It has all that was given and makes a difference, and no address, key or directory."""
    mock, base_url = served("apiai")
    accepted = tmp_path / "accepted.yaml"
    accepted.write_text("[]", encoding="utf-8")
    given = ["--rate=50", "--spacing=0.5", "--max-requests=30", "--max-time=90", "--yes"]
    given += [
        "--i-operate-this-relay",
        "--baseline",
        str(accepted),
        "--profile=read",
        "--no-fuzz",
        *tasks(mock),
    ]
    done = conform("apiai", "--base-url", base_url, *given)
    said = json.loads(done.stdout)["header"]["reproduce"]
    known = " ".join(option.replace("=", " ", 1) for option in tasks(mock))
    assert said == (
        f'mjrelay conform apiai --base-url "$MJRELAY_BASE_URL" {known} --baseline accepted.yaml '
        "--profile read --no-fuzz --rate 50 --spacing 0.5 --max-requests 30 --max-time 90 --yes "
        "--i-operate-this-relay --seed 0"
    )


def test_two_runs_may_write_to_one_directory(tmp_path: Path) -> None:
    """Each has a draft of its own: the record is one of theirs, whole, and nothing else is left."""
    arguments = ["conform", "apiai", "--no-fuzz", "--profile=read", "--report-dir", str(tmp_path)]
    environment = {"PATH": os.environ["PATH"]} | coverage()
    runs = [
        subprocess.Popen([*forked.COMMAND, *arguments], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    validator().validate(json.loads((tmp_path / "results.json").read_text(encoding="utf-8")))
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "report.html"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_report_is_not_written_through_a_link(tmp_path: Path) -> None:
    """Links in the directory are replaced; their targets stay unchanged."""
    precious, reports = tmp_path / "precious", tmp_path / "reports"
    precious.write_text("mine", encoding="utf-8")
    reports.mkdir()
    for name in ("results.json", "results.partial", "report.html"):
        (reports / name).symlink_to(precious)
    done = conform("apiai", "--no-fuzz", "--profile=read", "--report-dir", str(reports), key=None)
    assert done.returncode == 0
    assert precious.read_text(encoding="utf-8") == "mine"
    assert json.loads((reports / "results.json").read_text(encoding="utf-8"))["footer"]["exit_code"] == 0


def test_a_draft_that_fails_is_gone(tmp_path: Path) -> None:
    """What was there before stays, and nothing beside it."""
    path = tmp_path / "results.json"
    path.write_text("before", encoding="utf-8")
    with suppress(KeyboardInterrupt), replacing_file(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert [one.read_text(encoding="utf-8") for one in tmp_path.iterdir()] == ["before"]


def test_both_commands_print_the_schema() -> None:
    """There is one schema, whichever command is asked for it."""
    environment = {"PATH": os.environ["PATH"]} | coverage()
    assert conform("--schema").stdout == forked.run(["report", "schema"], environment).stdout


def test_a_dry_run_prints_each_request_of_a_profile() -> None:
    """Every request of every profile can be seen before, and none is sent."""
    known = ["--task=1730621826053455=succeeded", "--task=1730621826053456=failed"]
    done = conform("zhongzhuan", "--base-url", LIVE, *known, "--profile=all", "--dry-run")
    assert done.returncode == 0
    assert KEY not in done.stdout
    lines = done.stdout.splitlines()
    sent = [line for line in lines if line.split()[0].isupper() and line.split()[0].isalpha()]
    assert f"# {len(sent)} requests" in lines
    assert any(line.startswith("POST http://relay.invalid/mj/task/list-by-condition") for line in sent)
    assert any('"ids"' in line for line in lines)


def test_a_live_relay_gets_the_key_in_a_url_only_on_request() -> None:
    """Access logs keep URLs. A server on this machine gets it without the option."""
    auth = ("--task=1730621826053455", "--profile=auth", "--dry-run")
    for url, options, sent in (
        (LIVE, (), False),
        (LIVE, ("--key-in-url",), True),
        ("http://127.0.0.1:9", (), True),
    ):
        done = conform("zhongzhuan", "--base-url", url, *auth, *options)
        assert ("?token=[redacted]" in done.stdout) is sent, done.stderr
        assert KEY not in done.stdout


def test_a_check_is_listed_and_explained() -> None:
    """--list names each check with its clause, --explain says why, a misspelt id gets the nearest."""
    listed = conform("zhongzhuan", "--list", "--check", "fetch/200/*").stdout
    assert "fetch/200/id " in listed
    assert "openapi/zhongzhuan.yaml:" in listed
    explained = conform("--explain", "fetch/200/times").stdout
    assert "must" in explained
    assert len(explained.split("\n\n")) >= 4
    wrong = conform("--explain", "fetch/200/time")
    assert wrong.returncode == 2
    assert "did you mean fetch/200/times" in wrong.stderr


def test_a_run_that_is_killed_leaves_a_record_that_says_so(served: Any, tmp_path: Path) -> None:
    """What was seen until then can be read, and the record has no footer."""
    mock, base_url = served("zhongzhuan", "slow")
    command = [*forked.COMMAND, "conform", "zhongzhuan", "--base-url", base_url, *tasks(mock)]
    environment = {"PATH": os.environ["PATH"], "MJRELAY_API_KEY": KEY}
    with subprocess.Popen(
        [*command, "--report-dir", str(tmp_path), "--max-time", "60"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        path = tmp_path / "results.json"
        until = time.monotonic() + 30
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    document = json.loads(path.read_text(encoding="utf-8"))
    validator().validate(document)
    assert document["footer"] is None
    assert document["exchanges"]
    shown = forked.run(["report", "show", str(path)], environment | coverage())
    assert shown.returncode == 3
    assert "the run was interrupted" in shown.stdout + shown.stderr


@cache
def validator() -> Any:
    """The published schema of a record, as the command prints it."""
    return jsonschema_rs.Draft202012Validator(json.loads(conform("--schema").stdout), validate_formats=True)
