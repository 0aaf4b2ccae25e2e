"""A task: one frozen view of a document, the same for every relay."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_clients.zhongzhuan.errors import DecodeError
from mjrelay_clients.zhongzhuan.models import Task as Model

from mjrelay.client.task import Task
from mjrelay.contract import read_contract
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.errors import AnswerError, MjrelayError
from mjrelay.http.exchange import Exchange
from mjrelay.semantics.reader import Button, State

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = (
    *("relay", "id", "state", "status", "progress", "images", "videos", "inputs", "previews", "buttons"),
    *("prompt", "kind", "submitted", "started", "finished", "failure"),
)
OWN = """\
openapi: 3.1.0
info: {title: Mine, version: "1"}
paths:
  /task/{id}:
    get:
      operationId: OPERATION
      x-mj-task:
        version: 1
        ask: $request.path.id
        id: $.job
        status: $.phase
        states: {running: [1], succeeded: [2], failed: [3]}
        progress: {path: $.share, format: fraction}
        images: [$.picture]
        videos: ["$.films[*]"]
        failure: [$.why]
      responses: {"200": {description: The task.}}
"""
EXCHANGE = Exchange("GET", "https://relay.example/task/17", status=200, body=b"{}")


def task(relay: str, example: str, **changes: Any) -> Task:
    """A task that a packaged contract gives as an example, and what differs from it."""
    return Task(load_contract(relay), load_contract(relay).examples[example] | changes, EXCHANGE)


def own(folder: Path, document: Any, operation: str = "fetchTask", name: str = "mine") -> Task:
    """A task on a relay whose contract is a file of one's own."""
    path = folder / f"{name}.yaml"
    path.write_text(OWN.replace("OPERATION", operation), encoding="utf-8")
    return Task(read_contract(path), document)


# --- what it says ---


def test_a_task_that_succeeded() -> None:
    """What the relay's page shows, in the words that are the same for every relay."""
    done = task("zhongzhuan", "succeeded")
    assert (done.relay, done.id, done.state) == ("zhongzhuan", "1730621826053455", State.SUCCEEDED)
    assert (done.status, done.progress, done.kind, done.prompt) == ("SUCCESS", 100, "IMAGINE", "pig --v 6.1")
    assert done.images == (done.document["imageUrl"],)
    assert (done.videos, done.inputs, done.previews) == ((), (), ())
    assert len(done.buttons) == 9
    assert done.buttons[0] == Button("MJ::JOB::upsample::1::3785da15-4f70-4034-9128-f3ff1ac634fa", "U1", None)
    assert done.submitted == datetime(2024, 11, 3, 8, 17, 6, 53000, UTC)
    assert done.started == datetime(2024, 11, 3, 8, 17, 8, 24000, UTC)
    assert done.finished == datetime(2024, 11, 3, 8, 17, 35, 817000, UTC)
    assert done.failure is None
    assert done.exchange is EXCHANGE


def test_what_a_running_task_shows_is_a_preview() -> None:
    """Its picture is in no list of results, and what it has not got yet is None or empty."""
    running = task("zhongzhuan", "running")
    assert (running.state, running.progress) == (State.RUNNING, 31)
    assert running.previews == (running.document["imageUrl"],)
    assert (running.images, running.videos, running.buttons) == ((), (), ())
    assert (running.finished, running.failure) == (None, None)


@pytest.mark.parametrize("status", ["FAILURE", "CANCEL", "MODAL", "REFUNDED", None, 7, ["SUCCESS"]])
def test_only_a_succeeded_task_has_results(status: Any) -> None:
    """Media of a task that has not succeeded, or has an unknown status, are previews."""
    other = task("zhongzhuan", "succeeded", status=status, failReason="banned")
    assert other.images == ()
    assert len(other.previews) == 1
    assert other.status == status
    assert other.failure == "banned", "the reason is shown whatever the state"


def test_a_contract_of_ones_own_says_where_everything_is(tmp_path: Path) -> None:
    """Nothing is read but what the contract names; what it does not name is None or empty."""
    document = {"job": 17, "phase": 2, "share": 0.5, "picture": "p", "films": ["f", "p"], "id": "other"}
    done = own(tmp_path, document)
    assert (done.relay, done.id, done.state, done.progress) == ("mine", "17", State.SUCCEEDED, 50)
    assert (done.images, done.videos) == (("p",), ("f", "p"))
    assert own(tmp_path, document | {"phase": 1}).previews == ("p", "f")
    assert (done.prompt, done.kind, done.submitted, done.started, done.finished) == (None,) * 5
    assert (done.inputs, done.buttons) == ((), ())


@pytest.mark.parametrize(
    ("sent", "read"), [("17", "17"), (17, "17"), ("", ""), (None, ""), ([1], ""), (10**400, ""), (True, "")]
)
def test_an_id_is_text(sent: Any, read: str) -> None:
    """Numbers are their digits; what is neither is no id."""
    assert task("zhongzhuan", "running", id=sent).id == read


def test_plain_data() -> None:
    """It is JSON, with times as RFC 3339 and all that the fields say; it has no copy of the document."""
    done = task("zhongzhuan", "succeeded")
    plain = json.loads(json.dumps(done.to_dict()))
    assert set(plain) == set(FIELDS)
    assert plain["state"] == "succeeded"
    assert plain["images"] == list(done.images)
    assert plain["buttons"][4] == {"id": done.buttons[4].id, "label": None, "emoji": "🔄"}
    assert datetime.fromisoformat(plain["finished"]) == done.finished
    assert task("zhongzhuan", "queued").to_dict()["started"] is None


# --- what it is ---


def test_a_task_is_frozen() -> None:
    """No field can be assigned or deleted, and none can be added."""
    one = task("zhongzhuan", "running")
    for name in (*FIELDS, "raw", "document", "exchange", "other"):
        with pytest.raises(AttributeError):
            setattr(one, name, "x")
        with pytest.raises(AttributeError):
            delattr(one, name)


def test_equal_tasks() -> None:
    """Relay and document make a task; how it came does not."""
    one = task("zhongzhuan", "running")
    alike = Task(load_contract("zhongzhuan"), copy.deepcopy(one.document))
    assert one == alike
    assert hash(one) == hash(alike)
    assert one != task("zhongzhuan", "running", progress="32%")
    assert one != Task(load_contract("apiai"), one.document)
    assert one != one.document
    assert len({one, alike, task("zhongzhuan", "running", progress="32%")}) == 2


@given(st.sampled_from([1, 1.0, True, "1"]), st.sampled_from([1, 1.0, True, "1"]))
def test_equal_tasks_have_equal_hashes(left: Any, right: Any) -> None:
    """Python takes 1, 1.0 and true for one; tasks of such ids are never equal and yet of different hashes."""
    one, other = task("zhongzhuan", "running", id=left), task("zhongzhuan", "running", id=right)
    assert one != other or hash(one) == hash(other)
    assert (one == other) is (other == one)


def test_a_repr_is_short_and_safe() -> None:
    """A log line shows which task it is and how far; nothing foreign breaks the line or fills the log."""
    assert repr(task("zhongzhuan", "running")) == (
        "Task('zhongzhuan', '1730621826053457', state='running', progress=31)"
    )
    hostile = repr(task("zhongzhuan", "running", id="\x1b[2J\n\u202e" + "9" * 10_000, status="\n"))
    assert hostile.isprintable()
    assert len(hostile) < 250
    assert "oneabc" not in hostile


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
@pytest.mark.parametrize("relay", relay_names())
def test_copies_of_a_packaged_relays_task(relay: str, twin: Any) -> None:
    """A copy is an equal task, with its exchange, that is read by the very same contract."""
    one = task(relay, "succeeded")
    assert one.state is State.SUCCEEDED
    other = twin(one)
    assert other == one
    assert other.to_dict() == one.to_dict()
    assert other.exchange == one.exchange
    assert other._contract is one._contract


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
@pytest.mark.parametrize("name", ["mine", "zhongzhuan"])
def test_copies_of_a_task_by_a_contract_of_ones_own(tmp_path: Path, name: str, twin: Any) -> None:
    """The contract goes along, whether its file is still there or not; its name makes it no packaged one."""
    one = own(tmp_path, {"job": "17", "phase": 2, "picture": "p"}, name=name)
    (tmp_path / f"{name}.yaml").unlink()
    other = twin(one)
    assert other == one
    assert (other.relay, other.images) == (name, ("p",))


# --- the generated model ---


@pytest.mark.parametrize("relay", relay_names())
def test_the_generated_model(relay: str) -> None:
    """Each example of each packaged relay has a model that stands for the same document."""
    for example in load_contract(relay).examples:
        one = task(relay, example)
        assert type(one.raw).__module__.startswith(f"mjrelay_clients.{relay}.models.")
        assert one.raw.to_dict() == one.document


def test_the_model_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first access, `raw` does not search the generated package again."""
    one = task("zhongzhuan", "succeeded")
    assert isinstance(one.raw, Model)
    monkeypatch.setattr("pkgutil.walk_packages", None)
    assert isinstance(one.raw, Model)


def test_the_model_is_a_copy() -> None:
    """A model can be changed; the task stays as it was, and says so the next time."""
    one = task("zhongzhuan", "running", undocumented={"a": [1]})
    model = one.raw
    assert isinstance(model, Model)
    model.prompt = "another"
    model.additional_properties["undocumented"]["a"].append(2)
    assert one.document["undocumented"] == {"a": [1]}
    assert one.raw.prompt == "pig --v 6.1"


def test_a_document_that_contradicts_the_contract_has_no_model() -> None:
    """It is an error of the family, which says where, and comes from the generated client's own."""
    odd = task("zhongzhuan", "running", submitTime="yesterday")
    with pytest.raises(AnswerError, match=r"\$\.submitTime: expected integer or null, got string") as caught:
        _ = odd.raw
    assert isinstance(caught.value.__cause__, DecodeError)
    error = caught.value
    assert (error.relay, error.task_id, error.exchange) == ("zhongzhuan", odd.id, EXCHANGE)


@pytest.mark.parametrize("kind", ["long", "nan", "deep"])
def test_a_document_that_is_no_json_has_no_model(kind: str) -> None:
    """What no relay can have sent, and what is nested too deeply, is the same error."""
    value: Any = {"long": 10**5000, "nan": float("nan"), "deep": []}[kind]
    for _ in range(100_000 if kind == "deep" else 0):
        value = [value]
    with pytest.raises(AnswerError, match=r"use \.document instead"):
        _ = task("zhongzhuan", "running", other=value).raw


def test_a_relay_without_a_generated_client(tmp_path: Path) -> None:
    """The message says how to get one."""
    with pytest.raises(MjrelayError, match=r"mine has no generated client.*mjrelay generate .*mine\.yaml"):
        _ = own(tmp_path, {"job": "17"}).raw


@pytest.mark.parametrize("operation", ["other", "runtime"])
def test_a_generated_client_without_the_operation(tmp_path: Path, operation: str) -> None:
    """A client that was generated from another contract, of the same name at that, is not made to fit."""
    with pytest.raises(MjrelayError, match="zhongzhuan has no generated client"):
        _ = own(tmp_path, {"job": "17"}, operation, "zhongzhuan").raw


# --- whatever a relay sends ---

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                sorted({*load_contract("zhongzhuan").examples["succeeded"], "data", "job_type", "emoji"})
            ),
            inner,
            max_size=9,
        )
    ),
    max_leaves=20,
)


@given(
    st.sampled_from(relay_names()),
    DOCUMENTS,
    st.sampled_from(["SUCCESS", "FAILURE", "completed", 3, "", None]),
)
def test_no_document_is_a_crash(relay: str, document: Any, status: Any) -> None:
    """Every field answers, in a form that JSON can hold; there is a model, or an error of the family."""
    if isinstance(document, dict):
        document = {**document, "status": status, "data": {**document, "status": status}}
    one = Task(load_contract(relay), document)
    plain = one.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert not (one.previews and (one.images or one.videos))
    assert repr(one).isprintable()
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301
    assert hash(one) == hash(copy.copy(one))
    try:
        model = one.raw
    except AnswerError as error:
        assert error.task_id == one.id  # noqa: PT017 - either outcome is right
    else:
        assert model.to_dict() == document
