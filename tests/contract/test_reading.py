"""Contract files: JSON is read as JSON, packaged files are plain YAML, and OpenAPI 3.0 becomes 3.1."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.judging.schema import schema_of

from mjrelay.contract import load_contract, load_yaml, plain_yaml, yaml_line
from mjrelay.contract.composing import compose_json
from mjrelay.contract.upgrading import upgraded
from mjrelay.errors import ContractError
from mjrelay.http.exchange import Exchange

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests" / "my-relay.yaml"


def test_packaged_files_are_plain_yaml() -> None:
    """PyYAML, which reads YAML 1.1, reads every contract and overlay as mjrelay does."""
    files = [OWN, *ROOT.glob("openapi/*.yaml"), *ROOT.glob("overlays/*/*.yaml")]
    assert len(files) > 15
    for file in files:
        assert yaml.safe_load(file.read_text(encoding="utf-8")) == plain_yaml(load_yaml(file)), file


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    ).filter(lambda value: isinstance(value, dict)),
    st.booleans(),
)
def test_json_is_read_as_json(document: dict[str, Any], ascii_only: bool) -> None:
    """Any JSON object is read as the standard library reads it, and each key has its own line."""
    try:
        text = json.dumps(document, indent=1, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:  # infinite
        return
    read = compose_json(text)
    assert json.dumps(plain_yaml(read)) == json.dumps(json.loads(text))
    lines = text.split("\n")
    for key in document:
        assert lines[yaml_line(read, (key,)) - 1].startswith(" " + json.dumps(key, ensure_ascii=ascii_only))


def test_json_contracts(tmp_path: Path) -> None:
    """Long keys and surrogate pairs are read in any file that is JSON, and clauses cite the right lines."""
    document = load_contract(OWN).document
    document = document | {"info": document["info"] | {"title": "\U0001f58c", "x-" + "k" * 2000: 1}}
    text = json.dumps(document, indent=2)
    assert "\\ud83d" in text
    lines = text.split("\n")
    for name in ("mine.json", "mine.yaml"):
        (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
        contract = load_contract(tmp_path / name)
        assert contract.document == document
        for key in ("states", "times", "batch"):
            clause = contract.clause(*contract.location, "x-mj-task", key)
            assert (clause.file, f'"{key}"' in lines[clause.line - 1]) == (str(tmp_path / name), True)
    flow = json.dumps(load_contract(OWN).document).replace('"openapi"', "openapi")
    (tmp_path / "flow.yaml").write_text(flow, encoding="utf-8")
    assert load_contract(tmp_path / "flow.yaml").path == contract.path


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"a": 1,\n "a": 2}', 2, 'is not JSON: found duplicate key "a"'),
        ('{"a": 1,\n b: 2}', 2, "is not JSON: Expecting property name"),
        ('{"a":\n' + "1" * 200 + "}", 2, "a number has 200 characters"),
        ('{"a": "\\ud800"}', None, "is not JSON: contains half a surrogate pair"),
        ("[" * 60 + "]" * 60, 1, "has more than 50 levels"),
        ("openapi: 3.1.0", 1, "is not JSON: Expecting value"),
    ],
)
def test_malformed_json(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    """A file that ends in .json and is not JSON is an error with the line. The limits of YAML apply."""
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=re.escape(message)) as caught:
        load_contract(path)
    assert (caught.value.source, caught.value.line) == (str(path), line)


NULL = {"type": "null"}
REFERENCE = {"$ref": "#/components/schemas/A"}
# A schema of OpenAPI 3.0, and what it is in 3.1.
UPGRADES: list[tuple[Any, Any]] = [
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    ({"type": "string", "nullable": False}, {"type": "string"}),
    ({"nullable": True, "description": "Any."}, {"description": "Any."}),
    (
        {"type": "string", "enum": ["a"], "nullable": True, "description": "A."},
        {"description": "A.", "anyOf": [{"type": "string", "enum": ["a"]}, NULL]},
    ),
    ({"allOf": [REFERENCE], "nullable": True}, {"anyOf": [{"allOf": [REFERENCE]}, NULL]}),
    (REFERENCE | {"nullable": True}, {"anyOf": [REFERENCE, NULL]}),
    (REFERENCE | {"description": "Ignored.", "type": "string"}, REFERENCE),
    ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
    ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
    ({"type": "integer", "example": 1}, {"type": "integer", "examples": [1]}),
    (
        {"properties": {"nullable": {"type": "string", "nullable": True}, "example": {"example": 1}}},
        {"properties": {"nullable": {"type": ["string", "null"]}, "example": {"examples": [1]}}},
    ),
    (
        {"type": "array", "items": {"oneOf": [{"type": "integer", "nullable": True}]}},
        {"type": "array", "items": {"oneOf": [{"type": ["integer", "null"]}]}},
    ),
    (
        {"enum": [{"nullable": True}], "x-a": {"nullable": True}},
        {"enum": [{"nullable": True}], "x-a": {"nullable": True}},
    ),
]


def test_openapi_3_0_is_upgraded() -> None:
    """Schemas are upgraded wherever OpenAPI has one. Data, parameters and media types keep their keys."""

    def document(version: str, schema: Any) -> dict[str, Any]:
        media = {"application/json": {"schema": schema, "example": {"nullable": True, "example": 1}}}
        parameter = {"name": "a", "in": "query", "schema": schema, "example": 1}
        responses = {"200": {"headers": {"schema": {"schema": schema}}, "content": media}}
        return {
            "openapi": version,
            "paths": {"/a": {"parameters": [parameter], "post": {"requestBody": {"content": media}}}},
            "components": {"schemas": {"A": schema}, "responses": responses},
        }

    for before, after in UPGRADES:
        result = upgraded(document("3.0.1", before))
        assert result == document("3.1.0", after), before
        assert upgraded(result) is result
    get = {"openapi": "3.0.3", "paths": {"/a": {"get": {"requestBody": {}, "responses": {}}}}}
    assert upgraded(get)["paths"] == {"/a": {"get": {"responses": {}}}}


def test_an_openapi_3_0_contract(tmp_path: Path) -> None:
    """A null that `nullable` allows is valid, any other is not, also where an overlay wrote `nullable`."""
    text = OWN.read_text(encoding="utf-8").replace("openapi: 3.1.0", "openapi: 3.0.1")
    text = text.replace("why: {type: [string]}", "why: {type: string, nullable: true}")
    (tmp_path / "old.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        'overlay: 1.1.0\ninfo: {title: M, version: "1"}\nextends: old.yaml\nactions:\n'
        "  - {target: $.components.schemas.Picture.properties.href, update: {nullable: true}}\n",
        encoding="utf-8",
    )
    contract = load_contract(tmp_path / "mine.yaml")
    for change, wrong in (
        ({"why": None}, False),
        ({"pictures": [{"href": None}]}, False),
        ({"text": None}, True),
    ):
        task = contract.examples["succeeded"]
        body = json.dumps(task | {"data": task["data"] | change}).encode()
        headers = (("Content-Type", "application/json"),)
        found = schema_of(contract).violations(
            Exchange("GET", "http://relay.test/", status=200, headers=headers, body=body)
        )
        assert bool(found) is wrong, change
