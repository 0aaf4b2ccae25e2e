"""Decode documents with the generated models: lossless, strict about types, lenient about keys and values."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from canned import TOKEN
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_clients.runtime.types import Model
from mjrelay_clients.zhongzhuan import UNSET, AuthenticatedClient, DecodeError, Unset
from mjrelay_clients.zhongzhuan.api.task import fetch_task
from mjrelay_clients.zhongzhuan.models import Task, TaskStatus
from sampled import SEVERAL

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = Path(__file__).parents[2] / "generated" / "mjrelay_clients"


def contract(relay: str) -> Any:
    """Return the resolved contract of a client."""
    return json.loads((CLIENTS / relay / "contract.json").read_text(encoding="utf-8"))


def examples(relay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each example of a relay with the name of its schema; for an array, its items."""
    responses = [
        response
        for item in contract(relay)["paths"].values()
        for operation in item.values()
        for response in operation["responses"].values()
    ]
    for response in responses:
        for media in response.get("content", {}).values():
            for example in media.get("examples", {}).values():
                schema, value = media.get("schema", {}), example["value"]
                for document in value if "items" in schema else [value]:
                    reference = schema.get("items", schema).get("$ref")
                    if reference is not None:
                        yield reference.rpartition("/")[2], document


SUCCEEDED: dict[str, Any] = next(
    value for name, value in examples("zhongzhuan") if name == "Task" and value["status"] == "SUCCESS"
)


def decoded(body: bytes, status: int = 200) -> Any:
    """Return the parsed body of a response, without a socket."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    with AuthenticatedClient(token=TOKEN, httpx_args={"transport": transport}) as client:
        return fetch_task.sync_detailed("1", client=client).parsed


def test_every_example_survives_the_round_trip() -> None:
    """Decoding and encoding an example of a contract gives the same document."""
    for relay in SEVERAL:
        models = importlib.import_module(f"mjrelay_clients.{relay}.models")
        documents = list(examples(relay))
        assert documents
        for name, document in documents:
            model = getattr(models, name).from_dict(document)
            assert model.to_dict() == document
            assert model.additional_properties == {}


@pytest.mark.parametrize("status", ["SUCCESS", "PAUSED", "", "success", "排队中"])
def test_any_status_is_kept(status: str) -> None:
    """An unknown status is a string, a known one an enum member; copies, pickles and encoding keep both."""
    task = Task.from_dict({**SUCCEEDED, "status": status})
    for twin in (task, copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))):  # noqa: S301
        assert twin == task
        assert twin.status == status
        assert isinstance(twin.status, TaskStatus) is (status == "SUCCESS")
        assert twin.to_dict()["status"] == status


def test_null_missing_and_unknown_keys_survive() -> None:
    """Null, a missing key and undocumented keys at any depth survive the round trip."""
    for name in SUCCEEDED:
        missing = {key: value for key, value in SUCCEEDED.items() if key != name}
        for document in (missing, missing | {name: None}):
            assert Task.from_dict(document).to_dict() == document
    document = {**SUCCEEDED, "videoUrl": "x", "self": 1, "buttons": [{"label": "U1", "new": {"a": [None]}}]}
    task = Task.from_dict(document)
    assert task.additional_properties == {"videoUrl": "x", "self": 1}
    assert task.to_dict() == document


def test_an_empty_task_has_nothing_set() -> None:
    """Every property of an empty object is UNSET, which is false and a singleton."""
    task = Task.from_dict({})
    assert isinstance(UNSET, Unset)
    assert not UNSET
    assert repr(UNSET) == "UNSET"
    for twin in (copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))):  # noqa: S301
        assert twin.status is UNSET


def test_an_integer_may_be_written_as_a_float() -> None:
    """The number 1.0 is an integer."""
    assert repr(Task.from_dict({"startTime": 1730621828024.0}).start_time) == "1730621828024"


@pytest.mark.parametrize(
    ("change", "path", "expected", "got"),
    [
        ({"buttons": [{"style": "2"}]}, "$.buttons[0].style", "integer or null", "string"),
        ({"buttons": [{}, 3]}, "$.buttons[1]", "object", "integer"),
        ({"buttons": [None]}, "$.buttons[0]", "object", "null"),
        ({"buttons": {}}, "$.buttons", "array or null", "object"),
        ({"submitTime": True}, "$.submitTime", "integer or null", "boolean"),
        ({"submitTime": 1.5}, "$.submitTime", "integer or null", "number"),
        ({"submitTime": "1730621826053"}, "$.submitTime", "integer or null", "string"),
        ({"progress": 100}, "$.progress", "string or null", "integer"),
        ({"status": 7}, "$.status", "string or null", "integer"),
        ({"status": ["SUCCESS"]}, "$.status", "string or null", "array"),
        ({"properties": "{}"}, "$.properties", "object or null", "string"),
    ],
)
def test_a_wrong_type_is_an_error(change: dict[str, Any], path: str, expected: str, got: str) -> None:
    """A wrong JSON type raises DecodeError with the path, the documented and the received type."""
    with pytest.raises(DecodeError) as caught:
        Task.from_dict({**SUCCEEDED, **change})
    error = caught.value
    assert (error.path, error.expected, error.got) == (path, expected, got)
    assert str(error) == f"{path}: expected {expected}, got {got}"
    assert (error.status_code, error.content) == (None, b"")


BAD = {
    "empty": b"",
    "blank": b" \r\n",
    "html": b"<!DOCTYPE html><title>502</title>",
    "truncated": b'{"id": "1", "status": "SUCC',
    "two documents": b"{}{}",
    "nan": b'{"startTime": NaN}',
    "infinity": b'{"other": [-Infinity]}',
    "overflow": b'{"startTime": 1e999}',
    "huge integer": b'{"startTime": ' + b"1" * 10_000 + b"}",
    "not utf-8": b'{"id": "\xff"}',
    "utf-16": '{"id": "1"}'.encode("utf-16"),
    "nested deeply": b"[" * 200_000,
    "array": b"[]",
    "string": b'"SUCCESS"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
}


@pytest.mark.parametrize("case", BAD)
def test_an_undocumented_body_is_a_decode_error(case: str) -> None:
    """Any body but a JSON object raises DecodeError with status and body, and a short message."""
    for status in (200, 401):
        with pytest.raises(DecodeError) as caught:
            decoded(BAD[case], status)
        assert caught.value.status_code == status
        assert caught.value.content == BAD[case]
        assert str(status) in str(caught.value)
        assert max(len(str(caught.value)), len(repr(caught.value))) < 300


def test_a_decode_error_survives_pickling() -> None:
    """A pickled error keeps its fields and its message, which has the start of the body."""
    body = b"<html>" + b"x" * 100_000
    with pytest.raises(DecodeError) as caught:
        decoded(body)
    twin = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (twin.path, twin.status_code, twin.content) == ("$", 200, body)
    assert str(twin) == str(caught.value)
    assert "<html>xxx" in str(twin)


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"id": "1"}', b'{"id": "\\ud800"}', b'{"id": "1", "id": "1"}', b' {"id":\t"1"}\n']
)
def test_unusual_json_is_accepted(body: bytes) -> None:
    """A byte order mark, a lone surrogate, a duplicate key and white space are accepted."""
    assert isinstance(decoded(body), Task)


@given(body=st.binary(), status=st.sampled_from([200, 400, 401, 403]))
def test_arbitrary_bytes_decode_or_raise_decode_error(body: bytes, status: int) -> None:
    """No body raises anything but DecodeError."""
    try:
        parsed = decoded(body, status)
    except DecodeError as error:
        assert error.content == body  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(parsed, Model)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SUCCEEDED, "other"]), JSON))
def test_arbitrary_documents_decode_or_raise_decode_error(document: dict[str, Any]) -> None:
    """A decoded document survives the round trip; otherwise DecodeError has a path."""
    try:
        task = Task.from_dict(document)
    except DecodeError as error:
        assert error.path.startswith("$.")  # noqa: PT017 - either outcome is right
    else:
        assert task.to_dict() == document
