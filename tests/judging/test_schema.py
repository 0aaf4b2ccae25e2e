"""Validation against the contract's schemas, compared with Schemathesis."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from codecs import BOM_UTF8
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_conformance.checks.helpers import change
from mjrelay_conformance.drivers import cases as _cases
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.schema import SchemaViolation, schema_of
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mocks import request_for
from sampled import WHOLE, sampled
from schemathesis.core.failures import Failure, FailureGroup

from mjrelay.contract.document import Contract
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.errors import ContractError
from mjrelay.http.exchange import Exchange
from mjrelay.http.strictjson import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63, max_value=2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["SUCCESS", "completed", "2024-05-30 12:00:00", "100%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
EXAMPLES = [(relay, name) for relay in relay_names() for name in load_contract(relay).examples]


def answered(document: Any, status: int = 200) -> Exchange:
    """Return a response with a document or bytes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = (("Content-Type", "application/json; charset=utf-8"),)
    return Exchange("GET", "http://relay.test/", status=status, headers=headers, body=body)


@cache
def operation(relay: str) -> Any:
    """Return a relay's fetch operation as Schemathesis loads it."""
    one = load_contract(relay)
    return schemathesis.openapi.from_dict(one.document)[one.path][one.method]


def theirs(relay: str, exchange: Exchange) -> bool:
    """Whether a response is valid by Schemathesis."""
    try:
        operation(relay).validate_response(_cases.response(exchange))
    except (Failure, FailureGroup):
        return False
    return True


def ours(relay: str, exchange: Exchange) -> bool:
    """Whether a response is valid by the suite."""
    return not schema_of(load_contract(relay)).violations(exchange)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Return each container of a document with each of its keys."""
    items = list(node.items() if isinstance(node, dict) else enumerate(node))
    found = [(node, key) for key, _ in items]
    for _, child in items:
        if isinstance(child, dict | list):
            found += places(child)
    return found


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a relay, and an example of its contract with one to three values replaced, removed or added."""
    relay, name = draw(st.sampled_from(EXAMPLES))
    document = copy.deepcopy(load_contract(relay).examples[name])
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(document)))
        match draw(st.integers(0, 3)):
            case 0:
                del container[key]
            case 1 if isinstance(container, dict):
                container[draw(st.text(max_size=4))] = draw(VALUES)
            case _:
                container[key] = draw(VALUES)
        if not places(document):
            break
    return relay, document


@settings(max_examples=40)
@given(damaged())
def test_schemathesis_agrees_on_changed_examples(case: tuple[str, Any]) -> None:
    """Both validators agree on examples with random changes."""
    relay, document = case
    exchange = answered(document)
    assert ours(relay, exchange) == theirs(relay, exchange)


@given(st.sampled_from(relay_names()), st.sampled_from([200, 201, 400, 401, 404, 500]), VALUES)
def test_schemathesis_agrees_on_any_document(relay: str, status: int, document: Any) -> None:
    """Both validators agree on any document with any status."""
    exchange = answered(document, status)
    assert ours(relay, exchange) == theirs(relay, exchange)


@pytest.mark.parametrize(
    ("relay", "fault"),
    [
        (name, fault)
        for name in relay_names()
        for fault in sampled(name, FAULTS)
        if FAULTS[fault].applies(load_contract(name))
    ],
)
def test_schemathesis_agrees_on_faulty_mocks(relay: str, fault: str) -> None:
    """Both validators agree on faulty mocks, except for JSON that is not strict or has a byte order mark."""
    mock = MockRelay(load_contract(relay), key="k" * 20, faults=[fault])
    for task_id in (*mock.known.values(), "no-such-task"):
        for request in (request_for(mock.contract, task_id, key) for key in (None, mock.key)):
            answer = mock.answer(request.method, request.target, request.headers, request.body)
            exchange = evolve(answered(answer.body[: answer.cut], answer.status), headers=answer.headers)
            try:
                exchange.document  # noqa: B018 - read for its errors
            except NotJSONError:
                documented = bool(load_contract(relay).content(answer.status))
                assert ours(relay, exchange) is not documented
            else:
                unmarked = evolve(exchange, body=exchange.body.removeprefix(BOM_UTF8))
                assert ours(relay, exchange) == theirs(relay, unmarked)


def test_a_violation_has_both_locations() -> None:
    """A violation has the location of the value and of its schema, and the enum if there is one."""
    task = load_contract("apiai").examples["succeeded"]
    found = schema_of(load_contract("apiai")).violations(
        answered({**task, "status": "DONE", "submitTime": "now"})
    )
    schema = "components", "schemas", "Task", "properties"
    assert {one.location: one.schema[:4] for one in found} == {("status",): schema, ("submitTime",): schema}
    enums = {one.location: one.enum for one in found}
    assert "SUCCESS" in enums["status",]
    assert enums["submitTime",] == ()
    assert all(one.message for one in found)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"width": "1024"}, ("/data/width", "integer or null", 'is "1024" (text)')),
        ({"width": {}}, ("/data/width", "integer or null", "is an object")),
        ({"buttons": [{"customId": 7}]}, ("/data/buttons/0/customId", "text", "is 7 (integer)")),
        ({"id": ...}, ("/data", "a property id", "has no property id")),
    ],
)
def test_the_deepest_cause_is_named(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    """Inside an envelope, and inside anyOf, the violation is that of the value and not of its container."""
    one = enveloped()
    task = {name: value for name, value in {"id": "1", "status": "A", **changes}.items() if value is not ...}
    (found,) = schema_of(one).violations(answered({"code": 1, "data": task}))
    assert (found.pointer, found.expected, found.message) == expected


def test_an_unknown_status_in_an_envelope_breaks_the_enum() -> None:
    """A value of an open anyOf is compared with its enum at any depth."""
    violations = schema_of(enveloped()).violations(answered({"code": 1, "data": {"id": "1", "status": "B"}}))
    assert [(one.pointer, one.enum) for one in violations] == [("/data/status", ("A",))]
    (nothing,) = schema_of(enveloped()).violations(answered({"code": 1, "data": 3}))
    assert (nothing.expected, nothing.message) == ("object or null", "is 3 (integer)")


def enveloped() -> Contract:
    """Return a contract whose task is wrapped in an object, or null."""
    plain = load_contract("apiai")
    document = copy.deepcopy(plain.document)
    status = {"anyOf": [{"enum": ["A"]}, {"type": "null"}]}
    button = {"type": "object", "properties": {"customId": {"type": "string"}}}
    task = {
        "type": "object",
        "required": ["id"],
        "properties": {
            "status": status,
            "width": {"type": ["integer", "null"]},
            "buttons": {"anyOf": [{"type": "array", "items": button}, {"type": "null"}]},
        },
    }
    document["components"]["schemas"]["Task"] = {
        "type": "object",
        "properties": {"data": {"anyOf": [task, {"type": "null"}]}},
    }
    return Contract("enveloped", document, plain.source)


def test_another_operation_has_its_own_schemas() -> None:
    """A batch response is validated against the schema of the batch operation."""
    one = load_contract("zhongzhuan")
    task = one.examples["succeeded"]
    schema = schema_of(one)
    assert schema.violations(answered([task, task]), one.batch) == []
    assert [v.location for v in schema.violations(answered([task, {**task, "buttons": 5}]), one.batch)] == [
        (1, "buttons")
    ]
    assert schema.violations(answered(task), one.batch)
    assert schema.violations(answered([task]))


@pytest.mark.parametrize("depth", [250, 256, 480])
@pytest.mark.parametrize("relay", WHOLE)
def test_a_deeply_nested_value_is_a_violation(relay: str, depth: int) -> None:
    """A nested value in place of a string is a violation at any depth."""
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    found = schema_of(load_contract(relay)).violations(answered(deep))
    assert [one.location for one in found] == [()]
    for name in (
        key for key, value in load_contract(relay).examples["succeeded"].items() if value == "SUCCESS"
    ):
        task = {**load_contract(relay).examples["succeeded"], name: deep}
        assert schema_of(load_contract(relay)).violations(answered(task))


def test_the_number_of_violations_is_limited() -> None:
    """A document with very many violations yields the first ones only."""
    found = schema_of(load_contract("zhongzhuan")).violations(
        answered([{"id": n} for n in range(50_000)]), load_contract("zhongzhuan").batch
    )
    assert len(found) == 20


def test_invalid_json_is_a_violation() -> None:
    """A body that is not JSON is one violation if the contract describes a document."""
    schema = schema_of(load_contract("apiai"))
    (one,) = schema.violations(answered(b'{"id": NaN}'))
    assert isinstance(one, SchemaViolation)
    assert one.location == ()
    assert "NaN" in one.message
    assert schema.violations(answered(b"<html>", 500)) == []
    assert schema.violations(Exchange("GET", "http://relay.test/", failure="nothing came")) == []


def test_an_unresolved_reference_is_an_error() -> None:
    """The error of an unresolved reference names the line of the schema."""
    one = load_contract("apiai")
    document = copy.deepcopy(one.document)
    next(iter(document["paths"][one.path]["get"]["responses"]["200"]["content"].values()))["schema"] = {
        "properties": {"id": {"$ref": "#/components/schemas/Nothing"}}
    }
    broken = Contract("apiai", document, one.source)
    with pytest.raises(ContractError, match=r"apiai\.yaml:"):
        schema_of(broken).violations(answered({"id": "1"}))


def test_nothing_is_fetched_for_a_schema() -> None:
    """A remote reference is an error and sends no request."""
    one = load_contract("apiai")
    document = copy.deepcopy(one.document)
    next(iter(document["paths"][one.path]["get"]["responses"]["200"]["content"].values()))["schema"] = {
        "properties": {"id": {"$ref": "http://127.0.0.1:9/schema.json"}}
    }
    with pytest.raises(ContractError, match=r"apiai\.yaml:"):
        schema_of(Contract("apiai", document, one.source)).violations(answered({"id": "1"}))


def test_judging_does_not_import_schemathesis() -> None:
    """The plan and the checks do not import what only the property-based phase needs."""
    code = (
        "import sys, mjrelay_conformance.checks, mjrelay_conformance.drivers.runner; "
        "import mjrelay_conformance.judging; "
        "print([name for name in ('schemathesis', 'hypothesis') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_documented_locations() -> None:
    """A location is documented if it has a schema of its own."""
    schema = schema_of(load_contract("zhongzhuan"))
    root = schema.root(200)
    assert root is not None
    assert schema.children(root)("buttons") is not None
    assert schema.children(root)("made-up") is None
    assert schema.root(599) is None


class Key(str):
    """A key whose comparisons are calls of Python, so that they are counted."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)


def calls(action: Callable[[], object]) -> int:
    """Return how many functions an action calls, builtins included."""
    count, before = 0, sys.getprofile()

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


def test_many_changed_values_cost_little() -> None:
    """The work of comparing readings is linear in their undocumented keys, and walks the schema once."""
    one = load_contract("zhongzhuan")
    reading = Observation(one, schema_of(one), Kind.KNOWN, "1", answered({"id": "1"}))

    def work(size: int) -> int:
        keys = [Key(f"k{number}") for number in range(size)]
        before, after = ({key: number for number, key in enumerate(keys, first)} for first in (0, 1))
        assert change(reading, before, after) is None
        return calls(lambda: change(reading, before, after))

    few, many = work(250), work(1_000)
    assert many <= 4 * few
    assert many < 30 * 1_000
