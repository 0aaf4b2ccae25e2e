"""`Task`: an immutable view of a document, the same for every relay."""

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
    *("prompt", "prompts", "kind", "submitted", "started", "finished", "failure"),
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
    """Return the task of a packaged contract's example, with changes."""
    return Task(load_contract(relay), load_contract(relay).examples[example] | changes, EXCHANGE)


def own(folder: Path, document: Any, operation: str = "fetchTask", name: str = "mine") -> Task:
    """Return a task whose contract is a user's file."""
    path = folder / f"{name}.yaml"
    path.write_text(OWN.replace("OPERATION", operation), encoding="utf-8")
    return Task(read_contract(path), document)


# --- fields ---


def test_a_task_that_succeeded() -> None:
    """All fields of a succeeded task are read."""
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


def test_the_image_of_a_running_task_is_a_preview() -> None:
    """It is not in ``images``, and missing fields are None or empty."""
    running = task("zhongzhuan", "running")
    assert (running.state, running.progress) == (State.RUNNING, 31)
    assert running.previews == (running.document["imageUrl"],)
    assert (running.images, running.videos, running.buttons) == ((), (), ())
    assert (running.finished, running.failure) == (None, None)


def test_only_a_succeeded_task_has_results() -> None:
    """Media of a task that has not succeeded, or has an unknown status, are previews."""
    for status in ("FAILURE", "CANCEL", "MODAL", "REFUNDED", None, 7, ["SUCCESS"]):
        other = task("zhongzhuan", "succeeded", status=status, failReason="banned")
        assert other.images == ()
        assert len(other.previews) == 1
        assert other.status == status
        assert other.failure == "banned", "the reason is shown whatever the state"


def test_a_users_contract_is_read(tmp_path: Path) -> None:
    """Only the paths of the contract are read; fields without a path are None or empty."""
    document = {"job": 17, "phase": 2, "share": 0.5, "picture": "p", "films": ["f", "p"], "id": "other"}
    done = own(tmp_path, document)
    assert (done.relay, done.id, done.state, done.progress) == ("mine", "17", State.SUCCEEDED, 50)
    assert (done.images, done.videos) == (("p",), ("f", "p"))
    assert own(tmp_path, document | {"phase": 1}).previews == ("p", "f")
    assert (done.prompt, done.kind, done.submitted, done.started, done.finished) == (None,) * 5
    assert (done.inputs, done.buttons) == ((), ())


def test_an_id_is_text() -> None:
    """Numbers are converted to digits; other values are no id."""
    for sent, read in (("17", "17"), (17, "17"), ("", ""), (None, ""), ([1], ""), (10**400, ""), (True, "")):
        assert task("zhongzhuan", "running", id=sent).id == read


def test_plain_data() -> None:
    """`to_dict` returns JSON data: all fields but the document, and times as RFC 3339."""
    done = task("zhongzhuan", "succeeded")
    plain = json.loads(json.dumps(done.to_dict()))
    assert set(plain) == set(FIELDS)
    assert plain["state"] == "succeeded"
    assert plain["images"] == list(done.images)
    assert plain["buttons"][4] == {"id": done.buttons[4].id, "label": None, "emoji": "🔄"}
    assert datetime.fromisoformat(plain["finished"]) == done.finished
    assert task("zhongzhuan", "queued").to_dict()["started"] is None


# --- equality, repr and copies ---


def test_a_task_is_frozen() -> None:
    """No field can be assigned or deleted, and none can be added."""
    one = task("zhongzhuan", "running")
    for name in (*FIELDS, "raw", "document", "exchange", "other"):
        with pytest.raises(AttributeError):
            setattr(one, name, "x")
        with pytest.raises(AttributeError):
            delattr(one, name)


def test_equal_tasks() -> None:
    """Tasks are equal if relay and document are; the exchange does not count."""
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
    """In Python 1, 1.0 and True are equal; equal tasks still have equal hashes."""
    one, other = task("zhongzhuan", "running", id=left), task("zhongzhuan", "running", id=right)
    assert one != other or hash(one) == hash(other)
    assert (one == other) is (other == one)


def test_a_repr_is_short_and_safe() -> None:
    """A repr is one short printable line with relay, id, state and progress."""
    assert repr(task("zhongzhuan", "running")) == (
        "Task('zhongzhuan', '1730621826053457', state='running', progress=31)"
    )
    hostile = repr(task("zhongzhuan", "running", id="\x1b[2J\n\u202e" + "9" * 10_000, status="\n"))
    assert hostile.isprintable()
    assert len(hostile) < 250
    assert "oneabc" not in hostile


COPIES: tuple[Any, ...] = (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)))  # noqa: S301


def test_copies_of_a_packaged_relays_task() -> None:
    """A copy is an equal task with its exchange and the same contract."""
    for relay in relay_names():
        one = task(relay, "succeeded")
        assert one.state is State.SUCCEEDED
        for copied in (make(one) for make in COPIES):
            assert copied == one
            assert copied.to_dict() == one.to_dict()
            assert copied.exchange == one.exchange
            assert copied._contract is one._contract


def test_copies_of_a_task_of_a_users_contract(tmp_path: Path) -> None:
    """A copy includes the contract: its file may be gone, and a packaged relay's name makes no difference."""
    for name in ("mine", "zhongzhuan"):
        one = own(tmp_path, {"job": "17", "phase": 2, "picture": "p"}, name=name)
        (tmp_path / f"{name}.yaml").unlink()
        for copied in (make(one) for make in COPIES):
            assert copied == one
            assert (copied.relay, copied.images) == (name, ("p",))


# --- the generated model ---


def test_the_generated_model() -> None:
    """Each example of each packaged relay has a model of the same document."""
    for relay in relay_names():
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
    """Changing a model does not change the task."""
    one = task("zhongzhuan", "running", undocumented={"a": [1]})
    model = one.raw
    assert isinstance(model, Model)
    model.prompt = "another"
    model.additional_properties["undocumented"]["a"].append(2)
    assert one.document["undocumented"] == {"a": [1]}
    assert one.raw.prompt == "pig --v 6.1"


def test_a_document_that_contradicts_the_contract_has_no_model() -> None:
    """It raises `AnswerError` with the location, caused by the generated client's error."""
    odd = task("zhongzhuan", "running", submitTime="yesterday")
    with pytest.raises(AnswerError, match=r"\$\.submitTime: expected integer or null, got string") as caught:
        _ = odd.raw
    assert isinstance(caught.value.__cause__, DecodeError)
    error = caught.value
    assert (error.relay, error.task_id, error.exchange) == ("zhongzhuan", odd.id, EXCHANGE)


def test_a_document_that_is_no_json_has_no_model() -> None:
    """A value that JSON cannot hold, and one nested too deeply, raise the same error."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (10**5000, float("nan"), deep):
        with pytest.raises(AnswerError, match=r"use \.document instead"):
            _ = task("zhongzhuan", "running", other=value).raw


def test_a_relay_without_a_generated_client(tmp_path: Path) -> None:
    """The message has the command that generates it."""
    with pytest.raises(MjrelayError, match=r"mine has no generated client.*mjrelay generate .*mine\.yaml"):
        _ = own(tmp_path, {"job": "17"}).raw


def test_a_generated_client_without_the_operation(tmp_path: Path) -> None:
    """The client of a packaged relay is not used for another contract of its name."""
    for operation in ("other", "runtime"):
        with pytest.raises(MjrelayError, match="zhongzhuan has no generated client"):
            _ = own(tmp_path, {"job": "17"}, operation, "zhongzhuan").raw


# --- any document ---

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
    """No field raises, all are JSON data, and ``raw`` returns a model or raises `AnswerError`."""
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
