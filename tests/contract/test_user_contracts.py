"""Contracts of users: they work in the client and in every command, and keys stay safe."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
import pytest
import yaml

from mjrelay import (
    ContractError,
    MissingTaskError,
    MjrelayError,
    Relay,
    SettingError,
    State,
    UnauthorizedError,
)
from mjrelay.base import location as _contract_location
from mjrelay.contract import environment as _settings
from mjrelay.contract import loading as _contract
from mjrelay.contract import structure as _structure
from mjrelay.monitor import Monitor
from mjrelay.semantics import compile_reader
from mjrelay.testing import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.testing import Mock

OWN = Path(__file__).parents[1] / "my-relay.yaml"
TEXT = OWN.read_text(encoding="utf-8")
GENERIC, NAMED = "MJRELAY_API_KEY", "MJRELAY_MYRELAY_API_KEY"
ACTION = "  - target: {target}\n    description: Seen so.\n    {does}\n"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove keys and base URLs from the environment."""
    for name in [name for name in os.environ if name.startswith("MJRELAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the contract in it."""
    shutil.copy(OWN, tmp_path)
    return tmp_path


@pytest.fixture
def served() -> Iterator[Mock]:
    """A mock of the contract."""
    with mock(OWN) as one:
        yield one


def edited(folder: Path, before: str, after: str) -> Path:
    """Write the contract after one edit."""
    assert TEXT.count(before) == 1, before
    path = folder / "my-relay.yaml"
    path.write_text(TEXT.replace(before, after), encoding="utf-8")
    return path


def overlay(path: Path, *actions: tuple[str, str], extends: str | None = None) -> Path:
    """Write an overlay with these actions: a target and a change each."""
    message = "" if extends is None else f"extends: {extends}\n"
    head = f'overlay: "1.1.0"\ninfo: {{title: Mine, version: "1"}}\n{message}actions:\n'
    body = "".join(ACTION.format(target=target, does=does) for target, does in actions)
    path.write_text(head + body, encoding="utf-8")
    return path


DRYING = ("$.paths.*.*['x-mj-task'].states.queued", "update: [drying]")
HOST = ("$.servers[0]", "update: {url: https://elsewhere.example}")


def line(text: str, part: str) -> int:
    """Return the line of the first occurrence."""
    return text.partition(part)[0].count("\n") + 1


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command without keys and base URLs."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return forked.run(list(arguments), {"PATH": os.environ["PATH"], "COLUMNS": "200"} | measured | variables)


# --- names ---


def test_paths_and_names(tmp_path: Path) -> None:
    """A path has a separator or a known suffix, or is a `Path`. Its relay is named after the file."""
    paths = ("./mine", "mine.yaml", "mine.YML", "mine.json", Path("mine"))
    assert all(_contract.is_path(path) for path in paths)
    assert not any(map(_contract.is_path, ("zhongzhuan", "zhong-zhuan", "mine.v2")))
    for stem in ("my-relay", "my_relay", "My-Relay"):
        shutil.copy(OWN, tmp_path / f"{stem}.yaml")
        assert _contract.load_contract(tmp_path / f"{stem}.yaml").name == "myrelay"
    for stem in ("7relay", "my.relay", "中转", "-"):
        shutil.copy(OWN, tmp_path / f"{stem}.yaml")
        with pytest.raises(ContractError, match="cannot name a relay; name the file in letters and digits"):
            _contract.load_contract(tmp_path / f"{stem}.yaml")


# --- the client ---


def test_a_task_is_fetched_and_waited_for(served: Mock) -> None:
    """Both clients read another path, an envelope, seconds, a fraction and other status values as usual."""
    with served.relay() as relay:
        task = relay.wait(served.submit(30))
        states = [seen.state for seen in relay.watch(served.submit(30))]
    assert (task.relay, task.state, task.status, task.progress) == ("myrelay", State.SUCCEEDED, "hung", 100)
    assert task.images == (f"{served.base_url}/7003.png",)
    assert task.submitted is not None
    assert task.finished is not None
    assert round((task.finished - task.submitted).total_seconds()) == 30
    assert isinstance(task.document["data"]["job"], int)
    assert states[0] is State.QUEUED
    assert State.RUNNING in states
    again = pickle.loads(pickle.dumps(task))  # noqa: S301 - our own bytes
    assert (again, again.state) == (task, State.SUCCEEDED)

    async def wait() -> State:
        async with served.async_relay() as relay:
            return (await relay.wait(served.submit(5))).state

    assert asyncio.run(wait()) is State.SUCCEEDED


def test_several_tasks_are_fetched_in_one_request(served: Mock) -> None:
    """The batch follows the contract: two ids in a request, and an envelope around each task."""
    with served.relay() as relay:
        before = served.requests
        tasks = {task.id: task.state for task in relay.fetch_all([served.known[s] for s in served.known])}
    assert tasks == {task_id: state for state, task_id in served.known.items()}
    assert served.requests - before == 2


def test_refusals_are_those_of_the_contract(served: Mock) -> None:
    """A 200 with an error code is a missing task or an invalid key."""
    with served.relay() as relay, pytest.raises(MissingTaskError, match="no such job"):
        relay.fetch("99")
    with served.relay(api_key="sk-mistaken") as relay, pytest.raises(UnauthorizedError, match="wrong key"):
        relay.fetch("7003")


def test_a_monitor_judges_it(served: Mock) -> None:
    """The monitor judges by the file, and its findings cite it."""
    found: list[Any] = []
    with (
        mock(OWN, faults=["unknown-enum"]) as wrong,
        Monitor(OWN, api_key=wrong.key, on_finding=found.append) as judge,
    ):
        with wrong.relay(on_exchange=judge) as relay:
            relay.fetch("7003")
        assert judge.flush()
    assert found
    assert any(finding.clause.startswith(f"{OWN}:") for finding in found)


# --- the commands ---


def test_fetch_and_wait(served: Mock) -> None:
    """Both commands accept the file instead of a relay's name."""
    where = ("--base-url", served.base_url)
    fetched = command("fetch", str(OWN), "7003", *where, MJRELAY_API_KEY=served.key)
    assert (fetched.returncode, json.loads(fetched.stdout)["state"]) == (0, "succeeded")
    waited = command("wait", str(OWN), "7003", "7004", *where, MJRELAY_MYRELAY_API_KEY=served.key)
    assert waited.returncode == 1
    assert sorted(json.loads(one)["state"] for one in waited.stdout.splitlines()) == ["failed", "succeeded"]


def test_conform_and_replay(tmp_path: Path) -> None:
    """Its mock is conformant, and the results are replayed. Clauses cite the file."""
    judged = command("conform", str(OWN), "--no-fuzz", "--format", "json", "--report-dir", str(tmp_path))
    record = json.loads(judged.stdout)
    assert (judged.returncode, record["footer"]["verdict"]) == (0, "conformant")
    assert f"{OWN}:" in judged.stdout
    again = command("replay", str(OWN), str(tmp_path / "results.json"), "--format", "json")
    assert again.returncode in {0, 3}, again.stderr
    assert json.loads(again.stdout)["rows"]


def test_mock_lists_and_serves() -> None:
    """The mock lists the faults that apply to the contract."""
    listed = command("mock", str(OWN), "--list-faults")
    assert listed.returncode == 0
    assert "unknown-enum" in listed.stdout
    assert "buttons" not in listed.stdout.split()


# --- overlays ---


def test_an_overlay_on_the_command_line(tmp_path: Path) -> None:
    """`--overlay` changes a file's contract and a packaged one, in order."""
    files = overlay(tmp_path / "a.yaml", DRYING), overlay(tmp_path / "b.yaml", HOST)
    options = [word for file in files for word in ("--overlay", str(file))]
    refused = command("fetch", str(OWN), "1", *options, MJRELAY_API_KEY="sk-generic")
    assert refused.returncode == 2
    assert f"not sent to https://elsewhere.example, because only {files[1]} names" in refused.stderr
    for arguments in (["mock", str(OWN), "--list-faults"], ["conform", str(OWN), "--dry-run"]):
        assert command(*arguments, *options).returncode == 0
    packaged = command("mock", "apiai", "--list-faults", "--overlay", str(files[0]))
    assert packaged.returncode == 0
    missing = command(
        "wait", "apiai", "1", "--overlay", str(tmp_path / "none.yaml"), MJRELAY_API_KEY="sk-generic"
    )
    assert (missing.returncode, "there is no such file" in missing.stderr) == (2, True)


def test_overlays_of_client_mock_and_monitor(tmp_path: Path) -> None:
    """Client, mock and monitor apply overlays to a file and to a packaged relay."""
    drying = overlay(tmp_path / "drying.yaml", DRYING)
    for relay in (OWN, "apiai"):
        contract = _contract.load_contract(relay, [drying])
        assert contract.reader.state(_with_status(contract, "drying")) is State.QUEUED
        with mock(relay, overlays=[drying]) as one, one.relay() as client:
            assert client._contract.document == contract.document
        Monitor(relay, overlays=[str(drying)], api_key="sk-whatever").close()
    with pytest.raises(SettingError, match="overlays is not a list"):
        Relay("apiai", "sk-key", overlays=str(drying))
    with pytest.raises(SettingError, match="overlays is not a list"):
        Monitor("apiai", api_key="sk-key", overlays=str(drying))


def _with_status(contract: Any, status: str) -> Any:
    document = json.loads(json.dumps(contract.examples["queued"]))
    holder = document.get("data", document)
    holder["phase" if "phase" in holder else "status"] = status
    return document


def test_a_relay_that_extends(folder: Path) -> None:
    """A chain of overlays ends at a contract. The relay has the name of the last file."""
    first = overlay(folder / "first.yaml", DRYING, extends="my-relay.yaml")
    (folder / "deeper").mkdir()
    second = overlay(folder / "deeper" / "second.yaml", HOST, extends="../first.yaml")
    contract = _contract.load_contract(second)
    assert (contract.name, contract.base_url) == ("second", "https://elsewhere.example")
    assert "drying" in contract.operation["x-mj-task"]["states"]["queued"]
    packaged = _contract.load_contract(overlay(folder / "third.yaml", DRYING, extends="api-ai"))
    assert packaged.path == _contract.load_contract("apiai").path
    assert first.is_file()


def test_clauses_of_overlays(folder: Path) -> None:
    """A part that an overlay changed is cited in the overlay, by line, and any other in the contract."""
    path = overlay(folder / "twin.yaml", HOST, DRYING, extends="my-relay.yaml")
    contract = _contract.load_contract(path)
    task = (*contract.location, "x-mj-task")
    text = path.read_text(encoding="utf-8")
    last = len(contract.operation["x-mj-task"]["states"]["queued"]) - 1
    for location, file, wanted in [
        (("servers", 0, "url"), path, line(text, "update: {url")),
        ((*task, "states", "queued", last), path, line(text, "update: [drying]")),
        ((*task, "states", "failed"), folder / "my-relay.yaml", line(TEXT, "failed: [torn]")),
        (task, folder / "my-relay.yaml", line(TEXT, "x-mj-task:")),
        (("components", "nothing", "here"), folder / "my-relay.yaml", line(TEXT, "components:")),
    ]:
        clause = contract.clause(*location)
        assert (Path(clause.file), clause.line) == (file, wanted), location
        kind = str(location[0])
        above = ("actions", ["servers", "paths"].index(kind), "update") if file == path else location
        assert clause.pointer.startswith(_contract_location.json_pointer(above)), location
    over = _contract.load_contract("apiai", [overlay(folder / "over.yaml", DRYING)])
    untouched = _contract.load_contract("apiai").clause("paths")
    assert over.clause("paths") == untouched
    last = len(over.operation["x-mj-task"]["states"]["queued"]) - 1
    added = over.clause(*over.location, "x-mj-task", "states", "queued", last)
    assert added.file == str(folder / "over.yaml")


def test_an_overlay_that_extends_nothing(folder: Path) -> None:
    """The error names the overlay's file, and a circle ends."""
    for extends, message in (
        (None, "has no extends; add extends:"),
        ("unknown", "extends: no relay is called 'unknown'"),
        ("./none.yaml", "there is no such file"),
        ("https://relay.example/a.yaml", "nothing is downloaded"),
        ("./loop.yaml", "extends itself in a circle; end it at a contract"),
    ):
        path = overlay(folder / "loop.yaml", DRYING, extends=extends)
        with pytest.raises(ContractError, match=message) as raised:
            _contract.load_contract(path)
        assert str(raised.value).startswith(str(path))


# --- mistakes ---

FETCH = "tags: [job]\n      security: [{studio: []}]\n      parameters"
PHASE = '{$ref: "#/components/schemas/Phase"}'
# An edit, a part of the message, and the line that it cites.
MISTAKES = [
    ("      x-mj-task:\n", "      x-my-task:\n", "no operation has x-mj-task", "paths:"),
    ("openapi: 3.1.0", "openapi: 2", "openapi is 2; write openapi: 3.1.0", "openapi:"),
    ("        prompt: $.data.text", "        promt: $.data.text", "unknown key 'promt'", "x-mj-task:"),
    ("id: $.data.job", "id: data.job", "not a JSONPath.*for example: id: ", "id: data"),
    ("format: fraction", "format: parts", "'parts' is not a format.*for example: progress: ", "progress:"),
    ("failure: [$.data.why]", "failure: {a: b}", "is not a list; for example: failure: ", "failure:"),
    ("failed: [torn]", "broken: [torn]", "'broken' is not a state", "states:"),
    ("failed: [torn]", 'failed: ["\\ud800"]', "half a surrogate pair", "failed:"),
    ("ask: $request.query.jobId", "ask: jobId", "not an OpenAPI runtime expression", "        ask:"),
    ("  /v2/jobs/status:", "  /v2/{job}/status:", "has a parameter that", "        ask:"),
    ("operation: listJobs,", "operation: list,", "no operation has the operationId list", "batch:"),
    ("{type: apiKey,", "{type: magic,", "has an unsupported type", "studio: {type"),
    (FETCH, FETCH.replace("studio", "other"), "securitySchemes has no other; write", "security: [{other"),
    (
        FETCH,
        FETCH.replace("[]", "[], more: []", 1),
        "securitySchemes has no more",
        "security: [{studio: [], more",
    ),
    ("url: https://studio.example", "url: studio.example", "not an http or https URL", "- url: studio"),
    (PHASE, '{$ref: "#/components/schemas/Faze"}', "refers to nothing", "phase: {"),
    (PHASE, '{$ref: "./phase.yaml"}', "is outside this document; write it into", "phase: {"),
    ("servers:\n  - url:", "servers:\n    url:", "servers must be a list", "servers:"),
    ("list:\n    post:", "list:\n    put: nothing\n    post:", "put must be an object", "put:"),
    ('version: "2026-01-31"', "version: 2026-01-31", "is a date in YAML, .*; put it in quotes", "info:"),
    ("paths:\n  /v2", "paths: [\n  /v2", "is not YAML", None),
    ("paths:\n", "path:\n", "is not an OpenAPI document: it has no paths", None),
]


def test_a_mistake_raises_before_any_request(folder: Path) -> None:
    """The error names the file, the line and the correction."""
    for before, after, message, where in MISTAKES:
        path = edited(folder, before, after)
        with pytest.raises(ContractError, match=message) as raised:
            Relay(path, "sk-key")
        assert raised.value.source == str(path)
        assert where is None or raised.value.line == line(path.read_text(encoding="utf-8"), where), message


def test_two_operations_that_fetch(folder: Path) -> None:
    """A second operation with `x-mj-task` is an error."""
    path = edited(
        folder, "      operationId: listJobs\n", "      operationId: listJobs\n      x-mj-task: {}\n"
    )
    with pytest.raises(
        ContractError, match=rf"the operation in line {line(TEXT, '    get:')} has x-mj-task too; delete one"
    ):
        _contract.load_contract(path)


def test_no_such_file(tmp_path: Path) -> None:
    """A missing file and a folder are one-line errors, also on the command line."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ContractError, match=r"there is no such file; check the path|cannot be read"):
            _contract.load_contract(path)
    done = command("fetch", str(tmp_path / "none.yaml"), "1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_the_examples_in_messages_compile() -> None:
    """Each key of `x-mj-task` has an example for messages, and together they compile."""
    schema = json.loads((resources.files("mjrelay") / "x-mj-task.schema.json").read_bytes())
    assert set(_structure._FORMS) == schema["properties"].keys() - {"version"}
    forms = [form.partition(", or ")[0] for form in _structure._FORMS.values()]
    compile_reader({"version": 1} | yaml.safe_load("\n".join(forms)))


# --- the key ---


def test_the_generic_key_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generic key is not sent to a host that only the file names. The message omits the key."""
    monkeypatch.setenv(GENERIC, "sk-generic")
    with pytest.raises(SettingError) as raised:
        Relay(OWN)
    message = str(raised.value)
    assert f"{GENERIC} is not sent to https://studio.example, because only {OWN} names" in message
    assert f"set {NAMED}, give api_key=, or confirm the host with base_url=" in message
    assert "sk-generic" not in message
    done = command("fetch", str(OWN), "7003", MJRELAY_API_KEY="sk-generic")
    assert (done.returncode, f"{GENERIC} is not sent" in done.stderr) == (2, True)


def test_the_key_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The relay's own variable, an argument, or a base URL allows the key."""
    with pytest.raises(SettingError, match=f"no key for myrelay: set {NAMED} or {GENERIC}, or give api_key="):
        Relay(OWN)
    monkeypatch.setenv(GENERIC, "sk-generic")
    contract = _contract.load_contract(OWN)
    assert _settings.environment_key(contract, "https://studio.example") == "sk-generic"
    assert _settings.environment_key(contract, None) is None
    with Relay(OWN, "sk-given") as given, Relay(OWN, base_url="https://studio.example") as message:
        assert (given._options.api_key, message._options.api_key) == ("sk-given", "sk-generic")
    monkeypatch.setenv("MJRELAY_BASE_URL", "https://studio.example")
    with Relay(OWN) as relay:
        assert relay._options.api_key == "sk-generic"
    monkeypatch.delenv("MJRELAY_BASE_URL")
    monkeypatch.setenv(NAMED, "sk-named")
    with Relay(OWN) as relay:
        assert (relay._options.api_key, relay.base_url) == ("sk-named", "https://studio.example")
    without = edited(tmp_path, "servers:\n  - url: https://studio.example\n", "")
    with pytest.raises(SettingError, match="names no host"):
        Relay(without)


def test_an_overlay_cannot_redirect_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If an overlay changes a packaged relay's host, that relay's own key is not sent there."""
    monkeypatch.setenv(GENERIC, "sk-generic")
    monkeypatch.setenv("MJRELAY_ZHONGZHUAN_API_KEY", "sk-named")
    harmless = overlay(tmp_path / "drying.yaml", DRYING)
    assert _settings.environment_key(_contract.load_contract("zhongzhuan", [harmless]), None) == "sk-named"
    away = _contract.load_contract("zhongzhuan", [overlay(tmp_path / "host.yaml", HOST)])
    assert _settings.environment_key(away, None) is None
    assert "MJRELAY_ZHONGZHUAN_API_KEY is not sent to https://elsewhere.example" in _settings.missing_key(
        away
    )
    assert _settings.environment_key(away, "https://elsewhere.example") == "sk-named"
    same = tmp_path / "zhongzhuan.yaml"
    same.write_text(TEXT, encoding="utf-8")
    assert _settings.environment_key(_contract.load_contract(same), None) is None


# --- the generated client ---


def test_without_a_client_there_is_no_model(served: Mock) -> None:
    """The error names the command that generates the client."""
    with served.relay() as relay, pytest.raises(MjrelayError, match=rf"mjrelay generate {OWN} --output DIR"):
        _ = relay.fetch("7003").raw


def test_a_packaged_relay_with_overlays_has_no_model(tmp_path: Path) -> None:
    """The packaged client belongs to another contract."""
    drying = overlay(tmp_path / "drying.yaml", DRYING)
    with mock("apiai", overlays=[drying]) as one, one.relay() as relay:
        task = relay.fetch(one.known[State.SUCCEEDED])
    with pytest.raises(MjrelayError, match=rf"mjrelay generate apiai --overlay {drying} --output DIR"):
        _ = task.raw


def test_generate(folder: Path, monkeypatch: pytest.MonkeyPatch, served: Mock) -> None:
    """`raw` finds the client. It does not import mjrelay, names no local path, and is written once."""
    out = folder / "out"
    arguments = ("generate", str(folder / "my-relay.yaml"), "--output", str(out))
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (0, f"{out / 'myrelay_client'}\n"), done.stderr
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.py")}
    header = "# Generated by `mjrelay generate my-relay.yaml --output DIR` from my-relay.yaml."
    assert all(path.read_text(encoding="utf-8").startswith(header) for path in stamps)
    assert command(*arguments).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.py")} == stamps
    script = (
        "import sys, myrelay_client.api.job.fetch_job\n"
        "assert not [name for name in sys.modules if name.startswith('mjrelay')]"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=out, check=False).returncode == 0

    monkeypatch.syspath_prepend(out)
    try:
        with served.relay() as relay:
            model = relay.fetch("7003").raw
            assert (type(model).__module__.split(".")[0], model.data.job) == ("myrelay_client", 7003)
        changed = edited(folder, "title: My relay", "title: Your relay")
        with mock(changed) as one, one.relay() as relay:
            with pytest.raises(MjrelayError, match="is not what myrelay_client was generated from"):
                _ = relay.fetch("7003").raw
    finally:
        for name in [name for name in sys.modules if name.startswith("myrelay_client")]:
            del sys.modules[name]


def test_generate_lints_first(folder: Path) -> None:
    """Lint errors are reported by line, also in an overlay, and nothing is written."""
    path = edited(folder, "phase: waiting", "phase: dreaming")
    mine = overlay(
        folder / "twin.yaml",
        ("$.paths.*.*['x-mj-task'].images", "update: [$.data.no]"),
        extends="my-relay.yaml",
    )
    for file, places in ((path, [path]), (mine, [path, mine])):
        done = command("generate", str(file), "--output", str(folder / "out"))
        assert done.returncode == 1, done.stderr
        assert all(f"{place}:" in done.stderr for place in places), done.stderr
        assert f":{line(path.read_text(encoding='utf-8'), 'phase: dreaming')}: " in done.stderr
        assert "nothing was written" in done.stderr
    assert not (folder / "out").exists()


def test_generate_writes_over_nothing_else(folder: Path) -> None:
    """A foreign folder with that name is not changed."""
    (folder / "myrelay_client").mkdir()
    (folder / "myrelay_client" / "mine.py").touch()
    done = command("generate", str(OWN), "--output", str(folder))
    assert (done.returncode, "move or delete the folder" in done.stderr) == (2, True)
