"""Contracts in any form are rewritten in the forms that the generator supports."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mjrelay_codegen.linter import lint_user_file
from mjrelay_codegen.normalizing import normalize
from mjrelay_codegen.single import write

from mjrelay import ContractError, State
from mjrelay.contract import Contract, load_contract, relay_names
from mjrelay.contract.schemas import schema_problems
from mjrelay.testing import mock

PLAIN = Path(__file__).with_name("plain.yaml")


def test_packaged_contracts_are_in_these_forms() -> None:
    """They come out unchanged."""
    for name in relay_names():
        document = load_contract(name).document
        normalized = normalize(document)
        assert (normalized.document, normalized.places) == (document, {}), name


def test_a_client_of_a_plain_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No form of `plain.yaml` is a violation, and its client reads and writes every documented response."""
    assert lint_user_file(PLAIN) == []
    write(load_contract(PLAIN), tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with mock(PLAIN) as served, served.relay() as relay:
            for task_id in served.known.values():
                task = relay.fetch(task_id)
                assert task.raw.to_dict() == task.document
            model = type(relay.fetch(served.known[State.SUCCEEDED]).raw)
        for change in ({"mixed": {"y": "a"}}, {"mixed": "a"}, {"any": [1]}, {"either": 1}, {"status": "new"}):
            document = {"id": "1"} | change
            assert model.from_dict(document).to_dict() == document
    finally:
        for name in [name for name in sys.modules if name.startswith("plain_client")]:
            del sys.modules[name]


def test_a_violation_in_a_new_component(tmp_path: Path) -> None:
    """A violation in an inline object is reported at its own line."""
    text = PLAIN.read_text(encoding="utf-8").replace("deep: {$ref:", "deep: {minimum: a, $ref:")
    path = tmp_path / "plain.yaml"
    path.write_text(text.replace("{label: {type: string},", "{label: {type: string, minLength: -1},"))
    lines = text.split("\n")
    assert {lines[one.line - 1].split(":")[0].strip() for one in lint_user_file(path)} == {"buttons"}


def test_references_multiply() -> None:
    """References to large components, which would fill the memory when written out, are an error."""
    levels: dict[str, Any] = {
        f"L{n}": {"anyOf": [{"type": "array", "items": {"$ref": f"#/components/schemas/L{n + 1}"}}] * 9}
        for n in range(8)
    }
    levels |= {"L8": {"type": "string"}, "Top": {"properties": {"a": {"$ref": "#/components/schemas/L0"}}}}
    document: dict[str, Any] = {"paths": {}, "components": {"schemas": levels}}
    with pytest.raises(ContractError, match="once references are written out"):
        normalize(document)
    response = {"description": "a", "content": {f"a/{n}": {} for n in range(500)}}
    get = {"responses": {str(n): {"$ref": "#/components/responses/A"} for n in range(500)}}
    document = {"paths": {"/a": {"get": get}}, "components": {"responses": {"A": response}}}
    with pytest.raises(ContractError, match="once references are written out"):
        normalize(document)


NAMES = st.sampled_from(["a", "b", "c"])
LEAVES: list[Any] = [
    *({}, True, {"type": "string"}, {"type": "integer"}, {"type": "null"}, {"type": ["string", "null"]}),
    *({"type": ["integer", "string"]}, {"type": "string", "enum": ["X", "x"], "default": "x"}),
    *({"enum": ["x", "y", None]}, {"enum": ["x", 1]}, {"enum": [True, "x"]}, {"const": "x"}, {"const": None}),
    *({"type": "object"}, {"type": "array"}, *({"$ref": f"#/components/schemas/{name}"} for name in "ABC")),
]
SCHEMAS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)},
            optional={"required": st.lists(NAMES, max_size=2), "additionalProperties": inner | st.booleans()},
        ),
        st.fixed_dictionaries({"type": st.sampled_from(["array", ["array", "null"]]), "items": inner}),
        st.lists(inner, min_size=1, max_size=3).flatmap(
            lambda parts: st.sampled_from([{key: parts} for key in ("anyOf", "oneOf", "allOf")])
        ),
        inner.map(lambda one: one | {"description": "d"} if isinstance(one, dict) else one),
    ),
    max_leaves=8,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(["x", "y", "X", 0, 1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def valid(document: dict[str, Any], value: Any) -> bool:
    """Return whether a value is valid against the schema of the response."""
    body = document["paths"]["/x"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**document, "allOf": [body]}).is_valid(value)


@given(SCHEMAS, st.fixed_dictionaries(dict.fromkeys("ABC", SCHEMAS)), st.lists(VALUES, max_size=6))
def test_any_schema(schema: Any, components: dict[str, Any], values: list[Any]) -> None:
    """What a schema accepts, its new form accepts. A second normalization changes nothing."""
    content = {"application/json": {"schema": schema}}
    get = {"operationId": "getX", "responses": {"200": {"description": "d", "content": content}}}
    document = {"paths": {"/x": {"get": get}}, "components": {"schemas": components}}
    assume(not list(schema_problems(Contract("x", document, Path("x")))))
    before = copy.deepcopy(document)
    result = normalize(document).document
    assert document == before
    assert normalize(result).document == result
    for value in values:
        assert valid(result, value) or not valid(document, value), json.dumps([document, result, value])
