"""One contract with the rarer forms of `x-mj-task`: linter, generator, mock and suite agree on it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mjrelay_codegen.linter import lint_contract
from mjrelay_conformance.drivers.selftest import run_trial, trials
from mjrelay_conformance.mock import MockRelay

from mjrelay import State
from mjrelay.contract import load_contract
from mjrelay.testing import mock

if TYPE_CHECKING:
    import pytest

FORMS = Path(__file__).parents[1] / "support" / "forms.yaml"
CONTRACT = load_contract(str(FORMS))
KEY = "a-key"


def test_the_forms_are_valid_and_generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A property that is an object or text, and one of any type, pass the linter and the generated client."""
    assert lint_contract(CONTRACT) == []
    done = subprocess.run(
        [sys.executable, "-m", "mjrelay", "generate", FORMS, "--output", tmp_path], check=False
    )
    assert done.returncode == 0
    monkeypatch.syspath_prepend(str(tmp_path))
    task = import_module("forms_client.models").Task
    for value in ({"progress": "1%"}, '{"progress": "1%"}', None):
        raw = {"task_id": "1", "properties": value, "extra": [1, {"a": None}]}
        assert task.from_dict(raw).to_dict() == raw


def test_a_correct_relay_is_clean_and_faults_are_found() -> None:
    """The self-test finds each fault, and nothing on a correct relay with any dialect."""
    assert [trial.problem for trial in map(run_trial, trials(str(FORMS))) if trial.problem] == []


def test_the_mock_validates_each_request() -> None:
    """A request without a constant, a header or a body that fits is rejected, and a valid one is not."""
    relay = MockRelay(CONTRACT, key=KEY)
    right = CONTRACT.request(relay.known[State.SUCCEEDED]).authenticated(CONTRACT.credentials[0], KEY)
    assert relay.answer(right.method, right.target, right.headers, right.body).status == 200
    body = json.loads(right.body)
    paint, number = {**body, "action": "paint"}, {**body, "task_id": 1}
    wrongs: tuple[Any, ...] = (paint, {"task_id": body["task_id"]}, number, [])
    for wrong in wrongs:
        response = relay.answer(right.method, right.target, right.headers, json.dumps(wrong).encode())
        assert response.status == 400
    bare = [(name, value) for name, value in right.headers if name != "X-Mode"]
    assert relay.answer(right.method, right.target, bare, right.body).status == 400


def test_a_client_reads_what_the_mock_simulates() -> None:
    """Progress inside a text of JSON moves, and a time outside its scope is unset."""
    with mock(FORMS, key=KEY) as served, served.relay() as relay:
        task_id = served.submit(100)
        served.clock.sleep(50)
        running = relay.fetch(task_id)
        assert (running.state, running.finished) == (State.RUNNING, None)
        assert running.progress not in {None, 0, 50}
        ended = relay.wait(task_id)
        assert (ended.state, ended.progress) == (State.SUCCEEDED, 100)
        assert ended.finished is not None


def test_states_follow_from_any_field() -> None:
    """A scope decides before the status does, and `unless` limits it."""
    for document, state in (
        ({"status": "RUNNING"}, State.RUNNING),
        ({"status": "RUNNING", "failReason": "moderation"}, State.FAILED),
        ({"status": "SUCCESS", "failReason": "moderation"}, State.SUCCEEDED),
        ({"status": "RUNNING", "failReason": ""}, State.RUNNING),
        ({"extra": None}, State.NEEDS_INPUT),
        ({}, State.UNKNOWN),
    ):
        assert CONTRACT.reader.state(document) is state


def test_a_path_leads_through_a_text_of_json() -> None:
    """A text that holds an object or array is read like it; other text has no members."""
    reader = CONTRACT.reader
    for properties, percent in (
        ({"progress": "7%"}, 7),
        ('{"progress": "7%"}', 7),
        ('{"progress": "7%"', None),
        ("7%", None),
        ('["7%"]', None),
        (" " + "[" * 1000, None),
        ("[" * 100_000, None),
        ("\ud800", None),
    ):
        assert reader.percent({"properties": properties}) == percent
