"""A contract may take the id in any place of the request, and every command works with it."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

import forked
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_codegen.linter import lint_contract, lint_file
from mjrelay_conformance.drivers import ConformOptions, judge_relays
from mjrelay_conformance.drivers.fuzz import run as run_fuzz
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.replay.entries import Entry
from mjrelay_conformance.replay.recording import recorded_call
from placed import KEY, PLACES, contract_text
from rich.console import Console

from mjrelay import ContractError, Exchange, MissingTaskError, Relay, State
from mjrelay.contract import load_contract
from mjrelay.monitor import Finding, Monitor
from mjrelay.testing import mock

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from mjrelay.contract import Contract
    from mjrelay.http import Request

EACH = pytest.mark.parametrize("place", PLACES)
IN_BODY = pytest.mark.parametrize("place", ["body", "nested", "integer"])


def written(folder: Path, place: str, before: str = "", after: str = "") -> Path:
    """Write the contract to a file, after one edit."""
    text = contract_text(place)
    assert before in text
    path = folder / f"{place}.yaml"
    path.write_text(text.replace(before, after, 1) if before else text, encoding="utf-8")
    return path


def command(*arguments: object, **variables: str) -> CompletedProcess[str]:
    """Run the command. A traceback fails the test whatever the exit code is."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "200"} | measured | variables
    done = forked.run([str(one) for one in arguments], environment)
    assert "Traceback" not in done.stdout + done.stderr
    return done


@EACH
def test_it_is_clean_and_described(place: str, tmp_path: Path) -> None:
    """Both linters accept the contract, and relays show names the location of the id."""
    path = written(tmp_path, place)
    assert lint_file(path) == []
    assert lint_contract(load_contract(path)) == []
    shown = command("relays", "show", path, "--format", "json")
    assert (shown.returncode, json.loads(shown.stdout)["id"].partition(" ")[0]) == (
        0,
        {"nested": "body", "integer": "body"}.get(place, place),
    )
    if place == "nested":
        assert command("relays", "compare", path, "newapi").returncode == 0
        planned = command("conform", path, "--dry-run", "--profile", "all")
        assert (planned.returncode, "1700000000000003" in planned.stdout) == (0, True)


@EACH
def test_tasks_are_fetched_and_downloaded(place: str, tmp_path: Path) -> None:
    """Fetch, wait, its download and conform work against a mock, each with its exit code."""
    path = written(tmp_path, place)
    with mock(path, key=KEY) as served:
        image_url = f"{served.base_url}/1.png"
        ids = [served.known[state] for state in (State.SUCCEEDED, State.FAILED)]
        variables = {"MJRELAY_API_KEY": KEY, "MJRELAY_BASE_URL": served.base_url}
        fetched = command("fetch", path, ids[0], **variables)
        assert (fetched.returncode, json.loads(fetched.stdout)["images"]) == (0, [image_url])
        missing = command("fetch", path, "1234567890123456", **variables)
        assert missing.returncode == 1
        assert "1234567890123456" in missing.stderr
        assert command("wait", path, *ids, **variables).returncode == 1  # one of them failed
        folder = tmp_path / "files"
        waited = command("wait", path, ids[0], "--download", folder, **variables)
        assert waited.returncode == 0, waited.stderr
        assert [one.read_bytes()[:4] for one in folder.rglob("*.png")] == [b"\x89PNG"]
        if place == "nested":
            judged = command(
                *("conform", path, "--base-url", served.base_url, "--task", f"{ids[0]}=succeeded"),
                *("--profile", "all", "--fuzz", "--cases", "10", "--format", "json"),
                **variables,
            )
            assert (judged.returncode, json.loads(judged.stdout)["footer"]["verdict"]) == (0, "conformant")


@EACH
def test_doctor_recognizes_it(place: str, tmp_path: Path) -> None:
    """A user's contract is recognised wherever the id goes, and its mock is healthy."""
    path = written(tmp_path, place)
    with mock(path, key=KEY) as served:
        given = ("--contract", path, "--task", served.known[State.SUCCEEDED], "--json")
        done = command("doctor", f"{served.base_url}/jobs", *given, MJRELAY_API_KEY=KEY)
    assert (done.returncode, json.loads(done.stdout)["relay"]) == (0, place), done.stderr


@EACH
def test_a_generated_client_reads_its_tasks(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generated package can be imported, and task.raw returns its models."""
    path = written(tmp_path, place)
    done = command("generate", path, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    models = import_module(f"{place}_client.models")
    with mock(path, key=KEY) as served:
        raw = served.relay().fetch(served.known[State.SUCCEEDED]).raw
    assert isinstance(raw, models.Task)
    assert raw.task_id == served.known[State.SUCCEEDED]
    for name in [name for name in sys.modules if name.startswith(f"{place}_client")]:
        del sys.modules[name]


@pytest.mark.parametrize(("place", "form"), list(zip(PLACES, ("har", "jsonl") * 3, strict=True)))
def test_recorded_traffic_is_recognized(place: str, form: str, tmp_path: Path) -> None:
    """Traffic of a client has no findings, live or recorded, and each exchange's task is recognised."""
    path = written(tmp_path, place)
    exchanges: list[Exchange] = []
    found: list[Finding] = []
    with (
        mock(path, key=KEY) as served,
        Monitor(path, on_finding=found.append, api_key=KEY) as watching,
        Relay(path, KEY, base_url=served.base_url, clock=served.clock) as relay,
    ):

        def hook(exchange: Exchange, ids: tuple[str, ...]) -> None:
            watching(exchange, ids)
            exchanges.append(exchange)

        other = relay.with_options(on_exchange=hook)
        states = {other.fetch(task_id).state for task_id in served.known.values()}
        assert other.wait(served.submit(20)).state is State.SUCCEEDED
        with pytest.raises(MissingTaskError):
            other.fetch("1234567890123456")
    assert (found, states) == ([], set(served.known))
    traffic = tmp_path / f"traffic.{form}"
    traffic.write_text(har(exchanges) if form == "har" else lines(exchanges), encoding="utf-8")
    done = command("replay", path, traffic, "--format", "json")
    record = json.loads(done.stdout)
    assert (done.returncode, record["footer"]["verdict"]) == (3, "partial")  # no refusal was recorded
    assert {*served.known.values()} < {one["task"] for one in record["exchanges"]}
    assert len(record["exchanges"]) == len(exchanges)
    assert not [row for row in record["rows"] if row["outcome"] in {"fail", "error"}]


def har(exchanges: list[Exchange]) -> str:
    """A recording as browsers export it."""
    entries = [
        {
            "startedDateTime": datetime.fromtimestamp(1767312000 + number, UTC).isoformat(),
            "time": 3,
            "request": {
                "method": one.method,
                "url": one.url,
                "headers": [{"name": name, "value": value} for name, value in one.request_headers],
                "postData": {"mimeType": "application/json", "text": one.request_body.decode()},
            },
            "response": {
                "status": one.status,
                "headers": [{"name": name, "value": value} for name, value in one.headers],
                "content": {"size": len(one.body), "text": one.body.decode()},
            },
        }
        for number, one in enumerate(exchanges)
    ]
    return json.dumps({"log": {"version": "1.2", "creator": {}, "entries": entries}})


def lines(exchanges: list[Exchange]) -> str:
    """A recording as JSON Lines."""
    return "".join(
        json.dumps(
            {
                "method": one.method,
                "url": one.url,
                "request_headers": one.request_headers,
                "request_body": one.request_body.decode(),
                "status": one.status,
                "headers": one.headers,
                "body": one.body.decode(),
            }
        )
        + "\n"
        for one in exchanges
    )


@EACH
def test_the_mock_is_conformant(place: str, tmp_path: Path) -> None:
    """The whole suite, generated requests included, judges the mock conformant."""
    options = ConformOptions(relay=str(written(tmp_path, place)), profile="all", cases=15, seed=2)
    code, _ = judge_relays(options, Console(stderr=True))
    assert code == 0


LOOKUP = '            schema: {$ref: "#/components/schemas/Lookup"}\n'
FORM = "          multipart/form-data: {schema: {properties: {file: {type: string, format: binary}}}}\n"
EDITS = {
    "anything": (LOOKUP, "            schema: {}\n"),
    "multipart": ("          application/json:\n", f"{FORM}          application/json:\n"),
    "undeclared": ("      requestBody:", "      x-body:"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_body_of_any_shape_is_generated(edit: str, tmp_path: Path) -> None:
    """Fuzzing works if the body may be anything, is not declared, or has a second media type."""
    phase(load_contract(written(tmp_path, "body", *EDITS[edit])), "full")


@pytest.mark.parametrize("place", ["query", "header"])
def test_a_parameter_that_is_not_declared_is_generated(place: str, tmp_path: Path) -> None:
    """The id's parameter is generated even if the contract does not declare it."""
    path = written(tmp_path, place, "      parameters:", "      x-parameters:")
    phase(load_contract(path), "full")


def phase(contract: Contract, mode: str, *, cases: int = 25) -> None:
    """Send generated requests to the mock. Some of them must reach a task."""
    relay = MockRelay(contract, key=KEY)
    reached = []

    def judge(_kind: object, _task_id: str, exchange: Exchange) -> list[str]:
        reached.append(exchange.status)
        return []

    def credential(request: Request) -> Request:
        return request.authenticated(contract.credentials[0], KEY)

    sent = run_fuzz(
        contract,
        Direct(relay).send,
        judge,
        ids=sorted(relay.known.values()),
        credential=credential,
        secret=KEY,
        cases=cases,
        seed=4,
        mode=mode,
        may_send=lambda _: True,
        stopped=lambda: False,
    )
    assert sent == len(reached) > cases // 2
    assert {200, 404} <= set(reached)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["task_id", "query", "x"]), inner)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Contract]:
    """The contracts with the id in the body."""
    folder = tmp_path_factory.mktemp("contracts")
    return {place: load_contract(written(folder, place)) for place in ("body", "nested", "integer")}


@IN_BODY
@given(body=st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_answered_and_recognized(place: str, body: bytes, contracts: dict[str, Contract]) -> None:
    """Any body, JSON or not, is handled by the mock and by the replay."""
    contract = contracts[place]
    headers = (("Content-Type", "application/json"), ("x-api-key", KEY))
    answer = MockRelay(contract, key=KEY).answer("POST", "/jobs", headers, body)
    assert answer.status in {200, 400, 404}
    exchange = Exchange("POST", "https://relay.example/jobs", headers, body, status=404)
    found = recorded_call(Entry("entry 1", exchange), contract, None)
    assert found is not None
    assert isinstance(found.task_id, str)


def test_a_cookie_is_an_error(tmp_path: Path) -> None:
    """A cookie is an error with the line and the alternatives, because OpenAPI has no expression for it."""
    path = written(tmp_path, "cookie")
    with pytest.raises(
        ContractError, match=r"cookie\.yaml:20: .*write \$request\.path\.id, .*none for a cookie"
    ):
        load_contract(path)
    assert ["cookie.yaml" in one.file and one.rule for one in lint_file(path)] == ["extension"]
    for arguments in (
        ["relays", "show", path],
        ["fetch", path, "1"],
        ["conform", path],
        ["generate", path, "--output", tmp_path],
    ):
        done = command(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
