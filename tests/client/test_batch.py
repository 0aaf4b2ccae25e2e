"""Several tasks in one request, for each form of ids and envelopes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from mjrelay_codegen.linter.linting import lint_file
from mjrelay_conformance.checks.registry import select_checks
from mjrelay_conformance.drivers.pace import Pace
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from twins import Async, Sync, UVLoop

from mjrelay import EnvelopeError, Exchange, MissingTaskError, RelayError, State, Task
from mjrelay.base import Clock
from mjrelay.client.responses import ResponseReader
from mjrelay.contract import Contract, load_contract
from mjrelay.errors import ContractError
from mjrelay.http import Redactor
from mjrelay.semantics import compile_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from twins import Twin

KEY = "sk-never-to-be-seen-4711"

# The envelope of one task, that of a list, the root of a task, and the batch in x-mj-task.
SHAPES: dict[str, tuple[Callable[[Any], Any], Callable[[list[Any]], Any], str, dict[str, str]]] = {
    "plain": (lambda task: task, lambda tasks: tasks, "$", {"items": "$[*]"}),
    "list-in-an-envelope": (
        lambda task: task,
        lambda tasks: {"code": 0, "data": {"total": 2, "list": tasks}},
        "$",
        {"items": "$.data.list[*]"},
    ),
    "items-in-envelopes": (
        lambda task: task,
        lambda tasks: [{"found": True, "task": task} for task in tasks],
        "$",
        {"items": "$[*].task"},
    ),
    "one-in-an-envelope": (
        lambda task: {"code": 0, "data": task},
        lambda tasks: tasks,
        "$.data",
        {"items": "$[*]", "as": "$.data"},
    ),
    "both-in-an-envelope": (
        lambda task: {"code": 0, "data": task},
        lambda tasks: {"code": 0, "data": tasks},
        "$.data",
        {"items": "$.data[*]", "as": "$.data"},
    ),
    "one-is-a-list-of-one": (
        lambda task: {"code": 0, "data": [task]},
        lambda tasks: {"code": 0, "page": 1, "result": {"items": tasks}},
        "$.data[0]",
        {"items": "$.result.items[*]", "as": "$.data[0]"},
    ),
}
PLACES = [("get", "$request.query.ids"), ("post", "$request.query.ids"), ("post", "$request.body#/by/ids")]
SHAPED = pytest.mark.parametrize("shape", SHAPES)


def schema_of(example: Any) -> dict[str, Any]:
    """A schema that fits an example and everything like it."""
    match example:
        case dict():
            members = {name: schema_of(value) for name, value in example.items()}
            return {"type": "object", "required": list(members), "properties": members}
        case list():
            return {"type": "array", "items": schema_of(example[0]) if example else {}}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case _:
            return {"type": "string"}


def made(shape: str, method: str = "post", ids: str = "$request.body#/by/ids", **changes: Any) -> Contract:
    """A small contract whose tasks come in a shape; ``changes`` are of its batch."""
    one, many, root, batch = SHAPES[shape]
    tasks = {
        "queued": {"id": 100001, "word": "new", "image": "", "text": "pig"},
        "running": {"id": 100002, "word": "busy", "image": "", "text": "pig"},
        "succeeded": {"id": 100003, "word": "done", "image": "https://cdn.example/100003.png", "text": "pig"},
        "failed": {"id": 100004, "word": "bad", "image": "", "text": "pig"},
    }
    texts = {"type": "array", "items": {"type": "string"}}
    listing: dict[str, Any] = {"operationId": "listTasks", "security": [{"bearer": []}]}
    if "query" in ids:
        listing["parameters"] = [{"name": "ids", "in": "query", "schema": texts}]
    else:
        by = {"type": "object", "properties": {"ids": texts}}
        body = {"type": "object", "properties": {"by": by}}
        listing["requestBody"] = {"content": {"application/json": {"schema": body}}}
    shown = many([tasks["queued"], tasks["succeeded"]])
    listing["responses"] = {"200": response({"two": shown}), "401": {"description": "Refused."}}
    form = {
        "version": 1,
        "ask": "$request.query.id",
        "id": f"{root}.id",
        "prompt": f"{root}.text",
        "status": f"{root}.word",
        "states": {"queued": ["new"], "running": ["busy"], "succeeded": ["done"], "failed": ["bad"]},
        "images": [f"{root}.image"],
        "missing": [{"status": 404}],
        "unauthorized": [{"status": 401}],
        "batch": {"operation": "listTasks", "ids": ids, "limit": 2, **batch, **changes},
    }
    if root != "$":
        form["accept"] = {"$.code": 0}
    fetching = {
        "operationId": "fetchTask",
        "security": [{"bearer": []}],
        "parameters": [{"name": "id", "in": "query", "required": True, "schema": {"type": "string"}}],
        "x-mj-task": form,
        "responses": {
            "200": response({state: one(task) for state, task in tasks.items()}),
            "401": {"description": "Refused."},
            "404": {"description": "No such task."},
        },
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": shape, "version": "1"},
        "paths": {"/task": {"get": fetching}, "/tasks": {method: listing}},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }
    return Contract("made", document, Path("made.yaml"))


def response(examples: dict[str, Any]) -> dict[str, Any]:
    """A Response Object with examples."""
    schema = schema_of(next(iter(examples.values())))
    shown = {name: {"value": value} for name, value in examples.items()}
    return {"description": "Done.", "content": {"application/json": {"schema": schema, "examples": shown}}}


@SHAPED
@pytest.mark.parametrize(
    ("method", "ids", "twin"), [(*PLACES[0], Sync), (*PLACES[1], UVLoop), (*PLACES[2], Async)]
)
def test_batches_of_each_shape(
    shape: str, method: str, ids: str, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task is returned once, as `fetch` returns it; the limit is kept, and a missing id is an error."""
    contract = made(shape, method, ids)
    monkeypatch.setattr("mjrelay.contract.loading.packaged_contract", lambda _: contract)
    mock = MockRelay(contract, key=KEY)
    requested: list[list[str]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        event = await receive()
        if scope["path"] == "/tasks":
            assert scope["method"] == method.upper()
            if "query" in ids:
                requested.append([value for _, value in parse_qsl(scope["query_string"].decode())])
            else:
                requested.append(json.loads(event["body"])["by"]["ids"])

        async def again() -> Any:
            return event

        await mock(scope, again, send)

    wanted = [*mock.known.values(), "999999999999"]
    lost: list[RelayError] = []
    with Server(application) as base_url, twin("made", KEY, base_url=base_url) as relay:
        found = {task.id: task for task in relay.fetch_all(wanted, on_error=lost.append)}
        alone = {task_id: relay.fetch(task_id) for task_id in mock.known.values()}
    assert {task.state: task.id for task in found.values()} == mock.known
    assert {task_id: task.images for task_id, task in found.items()} == {
        task_id: task.images for task_id, task in alone.items()
    }
    assert [(type(error), error.task_id) for error in lost] == [(MissingTaskError, "999999999999")]
    assert all(len(some) == 2 and all(isinstance(one, str) for one in some) for some in requested)
    assert {one for some in requested for one in some} >= set(mock.known.values())


def found_in(contract: Contract, *faults: str) -> set[str]:
    """The checks of the suite that find something in the contract's own mock."""
    mock = MockRelay(contract, key=KEY, faults=faults)
    known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
    judge = Judge(contract, Record(None, Redactor(KEY)), select_checks(()), (KEY,))

    class NoWaiting(Clock):
        def sleep(self, seconds: float) -> None:
            """Do not wait."""

    Runner(Direct(mock), judge, Pace(clock=NoWaiting())).run(
        plan(contract, known, KEY, profile="all"), cases=0
    )
    passed = {row.check for row in judge.rows if row.outcome == "pass"}
    assert faults or {"batch/like-single", "batch/missing-omitted", "batch/schema"} <= passed
    return {row.check for row in judge.rows if row.finding}


@SHAPED
def test_the_suite_judges_each_shape(shape: str) -> None:
    """A mock of each shape has no finding; another text, another task or null is one."""
    contract = made(shape)
    assert found_in(contract) == set()
    assert "batch/like-single" in found_in(contract, "batch-differs")
    assert "batch/only-asked" in found_in(contract, "batch-other-task")
    assert {"batch/missing-omitted", "batch/schema"} & found_in(contract, "batch-null-for-missing")


@SHAPED
def test_the_linter_reads_each_shape(shape: str, tmp_path: Path) -> None:
    """The paths of a batch are checked in its own examples, its place in those of one task."""
    assert about_the_batch(tmp_path, made(shape)) == set()
    assert about_the_batch(tmp_path, made(shape, items="$.nothing[*]")) == {"jsonpath"}
    wrong = about_the_batch(tmp_path, made(shape, **{"as": "$.nothing"}))
    assert wrong == {"jsonpath", "batch"}


def test_the_linter_asks_whether_a_task_is_accepted(tmp_path: Path) -> None:
    """The linter reports an example of a list that accept refuses."""
    contract = made("both-in-an-envelope")
    examples = contract.document["paths"]["/tasks"]["post"]["responses"]["200"]["content"]["application/json"]
    examples["examples"]["two"]["value"]["code"] = 7
    assert about_the_batch(tmp_path, contract) == {"batch"}


def about_the_batch(folder: Path, contract: Contract) -> set[str]:
    """The rules about operations and paths that a contract breaks."""
    path = folder / "made.yaml"
    path.write_text(json.dumps(contract.document), encoding="utf-8")
    return {one.rule for one in lint_file(path)} & {"batch", "jsonpath", "extension"}


def results(contract: Contract, body: Any) -> dict[str, type]:
    """The class of the result of two ids, from a response."""
    exchange = Exchange("POST", "https://relay.example/tasks", status=200, body=json.dumps(body).encode())
    reader = ResponseReader(contract, Redactor(KEY), None)
    return {task_id: type(one) for task_id, one in reader.tasks(exchange, ("100003", "5")).items()}


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("plain", []),
        ("list-in-an-envelope", {"code": 0, "data": {"total": 0, "list": []}}),
        ("list-in-an-envelope", {"code": 0, "data": {"total": 0, "list": None}}),
        ("one-in-an-envelope", []),
        ("both-in-an-envelope", {"code": 0, "data": []}),
        ("both-in-an-envelope", {"code": 0, "data": None}),
    ],
)
def test_an_empty_list_means_missing_tasks(shape: str, body: Any) -> None:
    """With an empty list, or null for it, all tasks are missing, in any envelope."""
    assert results(made(shape), body) == {"100003": MissingTaskError, "5": MissingTaskError}


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("plain", {}),
        ("list-in-an-envelope", {"code": 24, "message": "banned"}),
        ("both-in-an-envelope", {"code": 24, "data": []}),
        ("both-in-an-envelope", {"code": 24, "data": [{"id": 100003, "word": "done"}]}),
        ("both-in-an-envelope", {"code": 0, "data": ["100003", None]}),
        ("one-in-an-envelope", {"code": 0, "data": {"id": 100003, "word": "done"}}),
        ("one-is-a-list-of-one", {"code": 0, "result": 5}),
    ],
)
def test_an_error_document_is_no_list(shape: str, body: Any) -> None:
    """Anything but a list of tasks in an envelope that accept matches is an `EnvelopeError`."""
    with pytest.raises(EnvelopeError, match="a 200 without a list of tasks"):
        results(made(shape), body)


def test_a_placed_item_keeps_the_envelope() -> None:
    """Each task keeps the members beside the list, without the list itself."""
    body: dict[str, Any] = {
        "code": 0,
        "message": "ok",
        "data": [{"id": 100003, "word": "done", "image": "a"}, {"id": 7}],
    }
    exchange = Exchange("POST", "https://relay.example/tasks", status=200, body=json.dumps(body).encode())
    contract = made("both-in-an-envelope")
    task = ResponseReader(contract, Redactor(KEY), None).tasks(exchange, ["100003"])["100003"]
    assert isinstance(task, Task)
    assert task.document == {"code": 0, "message": "ok", "data": body["data"][0]}
    assert (task.state, task.images) == (State.SUCCEEDED, ("a",))


def test_matchers_of_a_missing_task_do_not_apply_to_a_list() -> None:
    """A matcher for a 200 without an id applies to one task: no list has an id at its root."""
    contract = made("plain")
    form = contract.operation["x-mj-task"]
    form["missing"] = [{"status": 200, "where": {"$.id": {"present": False}}}]
    body = [{"id": 100003, "word": "done", "image": ""}]
    assert results(contract, body) == {"100003": Task, "5": MissingTaskError}


@pytest.mark.parametrize("order", [1, -1])
def test_of_duplicates_the_furthest_counts(order: int) -> None:
    """Of two items with one id, as after a modal submission, the furthest is the task, in any order."""
    contract = load_contract("newapi")
    rows = [
        {"id": "1", "status": status, "progress": progress}
        for status, progress in (
            *(("REFUNDED", "100%"), ("MODAL", "0%"), ("SUBMITTED", "0%")),
            *(("IN_PROGRESS", "5%"), ("IN_PROGRESS", "31%"), ("FAILURE", "0%"), ("SUCCESS", "100%")),
        )
    ]
    for before, after in itertools.pairwise(rows):
        body = json.dumps([before, after][::order])
        exchange = Exchange("POST", "https://relay.example/tasks", status=200, body=body.encode())
        found = ResponseReader(contract, Redactor(KEY), None).tasks(exchange, ["1"])["1"]
        assert isinstance(found, Task)
        assert found.document == after


@pytest.mark.parametrize("place", ["$", "$[*]", "$.data[*]", "$.data[1]", "data", "$..data", "$[?@.a]"])
def test_a_place_holds_one_item(place: str) -> None:
    """``as`` is the location of one item, and the first one if it is in a list."""
    form = made("plain", **{"as": place}).operation["x-mj-task"]
    with pytest.raises(ContractError, match="x-mj-task: batch: "):
        compile_reader(form)
