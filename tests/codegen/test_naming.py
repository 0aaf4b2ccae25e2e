"""Names of a contract that Python, attrs or the generated code uses too: renamed, or refused by line."""

from __future__ import annotations

import builtins
import copy
import importlib
import json
import keyword
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from mjrelay_codegen.generator import write_client
from mjrelay_codegen.output import GenerationError
from mjrelay_codegen.runtime import client, decoding, errors, types
from mjrelay_codegen.source import RelaySource

from mjrelay.contract import Contract

OVERLAYS = sorted((Path(__file__).parents[2] / "overlays" / "client").glob("*.yaml"))
TAKEN = {
    name.strip("_").replace("_", "").lower(): name
    for module in (builtins, attrs, client, decoding, errors, types, types.Model, client.Client)
    for name in (*dir(module), *keyword.kwlist)
    if name.strip("_")
} | {name: name for name in ("body", "cookies", "headers", "params", "segment", "success", "按钮")}


OPERATIONS = {*client.__all__, *errors.__all__, *types.__all__, "Any", "cast", "list", "按钮"}


def contract(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a contract with one operation and these schemas."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Named", "version": "1"},
        "paths": {
            "/jobs/{segment}": {
                "post": {
                    "operationId": "fetchJob",
                    "tags": ["job"],
                    "parameters": [
                        {"name": "segment", "in": "path", "required": True, "schema": {"type": "string"}}
                    ],
                    "responses": {"200": {"description": "A job."}},
                }
            }
        },
        "components": {"schemas": schemas},
    }


def generate(document: Any, package: Path) -> None:
    """Generate a client."""
    package.parent.mkdir(exist_ok=True)
    file = package.parent / "named.yaml"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    loaded = Contract("named", document, file)
    write_client(
        package, RelaySource("named", file.name, package.parent, (file,), loaded), OVERLAYS, "a test"
    )


def named(names: list[str]) -> dict[str, Any]:
    """Return a contract with schemas, properties, parameters, values and operations of these names."""
    reference = "#/components/schemas/"
    schemas: dict[str, Any] = {
        name: {"type": "object", "properties": {"other": {"$ref": reference + other}}}
        for name, other in zip(names, names[::-1], strict=True)
    }
    schemas["Holder"] = {
        "type": "object",
        "properties": {name: {"anyOf": [{"$ref": reference + name}, {"type": "string"}]} for name in names},
    }
    schemas["Choice"] = {"anyOf": [{"type": "string", "title": "Choice", "enum": names}]}
    document = contract(schemas)
    ((path, item),) = copy.deepcopy(document["paths"]).items()
    document["paths"][path]["post"]["parameters"] += [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in names
    ]
    for name in OPERATIONS.intersection(names):
        media = {"application/json": {"schema": {"$ref": reference + name}}}
        operation = {**item["post"], "operationId": name, "tags": [name]}
        operation["responses"] = {"200": {"description": "A job.", "content": media}}
        operation["requestBody"] = {"required": True, "content": media}
        document["paths"][f"/{name}{path}"] = {"post": operation}
    return document


def test_names_that_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schemas, properties, parameters and values may have any name of the runtime, attrs or Python."""
    monkeypatch.syspath_prepend(tmp_path)
    for package, names in {
        "one": [*TAKEN.values()],
        "two": ["UNSET", "ClassVariant"],
    }.items():  # not beside Unset
        generate(named(names), tmp_path / package / "named")
        folder = (tmp_path / package / "named").rename(tmp_path / f"named_{package}")
        for module in folder.rglob("*.py"):
            importlib.import_module(".".join(module.relative_to(tmp_path).with_suffix("").parts))
        holder = sys.modules[f"{folder.name}.models"].Holder
        values = {name: {"other": {"x": name}} for name in names}
        assert holder.from_dict(values).to_dict() == values
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "-p", "named_one", "-p", "named_two"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def enumeration(*values: str, **more: Any) -> dict[str, Any]:
    """Return the schema of an enumeration."""
    return {"Choice": {"anyOf": [{"type": "string", "title": "Choice", "enum": [*values], **more}]}}


def properties(*names: str) -> dict[str, Any]:
    """Return a schema with these properties."""
    return {"Job": {"type": "object", "properties": {name: {"type": ["string"]} for name in names}}}


@pytest.mark.parametrize(
    ("schemas", "message"),
    [
        ({"ABJob": {}, "AbJob": {}}, "the schema 'AbJob' and 'ABJob' in line {} both become ab_job"),
        ({"ModelResponse": {}, "Response": {}}, "'Response' and 'ModelResponse' in line {} both"),
        (
            properties("a-b", "a b"),
            "the property 'a b' and 'a-b' in line {} both become ab in Python; rename",
        ),
        (properties("to_dict", "to_dict_"), "'to_dict_' and 'to_dict' in line {} both become to_dict_"),
        (enumeration("IN PROGRESS", "in_progress"), "the value 'in_progress' and 'IN PROGRESS' in line {}"),
        (enumeration("a", **{"x-enum-varnames": ["1st"]}), "'a' is not a Python name"),
    ],
)
def test_names_that_collide(tmp_path: Path, schemas: dict[str, Any], message: str) -> None:
    """Names that become the same name in Python are refused by name and line, not by addresses."""
    package = tmp_path / "named"
    with pytest.raises(GenerationError) as caught:
        generate(contract(schemas), package)
    text = (tmp_path / "named.yaml").read_text(encoding="utf-8").splitlines()
    file, line, _ = str(caught.value).split(":", 2)
    assert file == str(tmp_path / "named.yaml")
    shown = re.escape(message).replace(r"\{\}", r"(\d+)")
    found = re.search(shown, str(caught.value))
    assert found, str(caught.value)
    for number, name in zip([line, *found.groups()], re.findall("'(.+?)'", message), strict=False):
        assert f'"{name}"' in text[int(number) - 1]
    assert " at 0x" not in str(caught.value)
    assert not package.exists()


def test_operations_and_parameters_that_collide(tmp_path: Path) -> None:
    """Two operations with one module, and two parameters with one name, are refused."""
    document = contract({})
    document["paths"]["/other"] = copy.deepcopy(document["paths"]["/jobs/{segment}"])
    document["paths"]["/other"]["post"] |= {"operationId": "fetch_job", "parameters": []}
    with pytest.raises(GenerationError, match=r"the operation 'fetch_job' and 'fetchJob' in line \d+ both"):
        generate(document, tmp_path / "named")
    del document["paths"]["/other"]
    document["paths"]["/jobs/{segment}"]["parameters"] = [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in ("body", "body_")
    ]
    with pytest.raises(GenerationError, match=r"the parameter 'body_' and 'body' in line \d+ both"):
        generate(document, tmp_path / "named")
