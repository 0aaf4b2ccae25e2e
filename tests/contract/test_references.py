"""References that lead out of a contract: all are reported, and nothing follows one."""

from __future__ import annotations

import copy
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_codegen import single
from mjrelay_codegen.linter import lint_file
from mjrelay_conformance.drivers.cases import Cases
from ruamel.yaml import YAML

from mjrelay import ContractError, Relay
from mjrelay.contract import load_contract, read_contract, stray_references
from mjrelay.testing import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWN = Path(__file__).parents[1] / "my-relay.yaml"
DOCUMENT = load_contract(OWN).document
KEYWORDS = ["$ref", "$dynamicRef", "$recursiveRef"]
NAMES = ["value", "default", "example", "examples", "enum", "const", "x-note", "mapping", "items"]


class Silent:
    """A server that accepts connections, counts them and never sends anything."""

    def __init__(self) -> None:
        self.connections = 0
        self._held: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/schema.json"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                self._held.append(self._socket.accept()[0])
            except OSError:
                return
            self.connections += 1

    def close(self) -> None:
        # On Linux, closing alone does not end a pending accept.
        self._socket.shutdown(socket.SHUT_RDWR)
        for one in (self._socket, *self._held):
            one.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    """A silent server. The test fails if anything connects to it."""
    server = Silent()
    try:
        yield server
        assert server.connections == 0
    finally:
        server.close()


@pytest.fixture
def schema_file(tmp_path: Path) -> str:
    """The URL of a file with a schema that accepts everything."""
    (tmp_path / "schema.json").write_text("{}", encoding="utf-8")
    return (tmp_path / "schema.json").as_uri()


def plain() -> Any:
    """Return a copy of a valid contract."""
    return copy.deepcopy(DOCUMENT)


def operation(document: Any) -> Any:
    """Return the fetch operation."""
    return document["paths"]["/v2/jobs/status"]["get"]


def response(document: Any) -> Any:
    """Return its response for 200."""
    return operation(document)["responses"]["200"]


def media(document: Any) -> Any:
    """Return the media type of that response."""
    return response(document)["content"]["application/json"]


def job(document: Any) -> Any:
    """Return the schema of a task."""
    return document["components"]["schemas"]["Job"]


def parameter(document: Any) -> Any:
    """Return the parameter of the fetch operation."""
    return operation(document)["parameters"][0]


def saved(folder: Path, document: Any) -> Path:
    """Write a contract to a file."""
    path = folder / "myrelay.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(document, file)
    return path


def into(holder: Callable[[Any], Any], *steps: str, **more: Any) -> Callable[[Any, str], None]:
    """Return a function that writes a URL at a path, with ``more`` beside it."""

    def put(document: Any, url: str) -> None:
        *outer, last = steps
        node = holder(document)
        for step in outer:
            node = node.setdefault(step, {})
        node[last] = url
        node.update(more)

    return put


REFUSED: dict[str, Callable[[Any, str], None]] = {
    **{f"property {keyword}": into(job, "properties", "text", keyword) for keyword in KEYWORDS},
    **{f"property named {name}": into(job, "properties", name, "$ref") for name in NAMES},
    **{
        f"{keyword} in {keyword_of_data}": into(job, keyword_of_data, keyword)
        for keyword_of_data in ("default", "example", "x-note", "then", "$defs")
        for keyword in KEYWORDS
    },
    "in the default of a parameter": into(parameter, "schema", "default", "$ref"),
    "in an extension of a parameter's schema": into(parameter, "schema", "x-note", "$ref"),
    "beside a local reference": into(media, "schema", "$dynamicRef"),
    "path": into(lambda document: document["paths"], "/other", "$ref"),
    "path named as an extension": into(lambda document: document["paths"], "x-other", "$ref"),
    "parameter": into(parameter, "$ref"),
    "example": into(media, "examples", "other", "$ref"),
    "header": into(response, "headers", "X-Own", "$ref"),
    "header of a part": into(media, "encoding", "job", "headers", "X-Own", "$ref"),
    "link": into(response, "links", "next", "operationRef"),
    "link's reference": into(response, "links", "next", "$ref"),
    "callback": into(operation, "callbacks", "done", "{$request.body#/url}", "$ref"),
    "callback named as data": into(operation, "callbacks", "value", "value", "$ref"),
    "scheme": into(lambda document: document["components"], "securitySchemes", "other", "$ref"),
    "webhook": into(lambda document: document, "webhooks", "done", "$ref"),
    "external example": into(media, "examples", "other", "externalValue"),
    "mapping": into(job, "discriminator", "mapping", "job", propertyName="text"),
    "identifier": into(job, "$id"),
    "identifier within": into(job, "properties", "text", "$id"),
    "dialect": into(job, "$schema"),
    "dialect of all": into(lambda document: document, "jsonSchemaDialect"),
}


def test_each_reference_that_leads_out_is_reported(silent: Silent, schema_file: str) -> None:
    """Every keyword is found at every place, for a URL of a server and of a file."""
    for case, put in REFUSED.items():
        for url in (silent.url, schema_file):
            document = plain()
            put(document, url)
            assert any(url in problem for _, problem in stray_references(document)), case


@pytest.mark.parametrize("case", ["property $dynamicRef", "path", "external example", "mapping"])
def test_loader_linter_and_fuzzing_refuse_it(tmp_path: Path, silent: Silent, case: str) -> None:
    """All three name the reference, and retrieve nothing."""
    document = plain()
    REFUSED[case](document, silent.url)
    path = saved(tmp_path, document)
    with pytest.raises(ContractError, match=silent.url):
        Relay(path, "sk-key")
    violations = lint_file(path)
    assert {violation.rule for violation in violations} == {"reference"}, violations
    with pytest.raises(ContractError, match=silent.url):
        _ = Cases(read_contract(path), ("7003",), "sk-key")._operation


@pytest.mark.parametrize(
    "lead", ["x-note", "x-evidence/more/0", "responses/200/content/application~1json/examples/queued/value"]
)
def test_the_target_of_a_reference_is_checked(silent: Silent, lead: str) -> None:
    """A schema inside an extension or an example is checked once a reference leads to it."""
    document = plain()
    held: Any = {"properties": {"a": {"$ref": silent.url}}}
    operation(document).update({"x-note": held, "x-evidence": {"more": [held]}})
    media(document)["examples"]["queued"]["value"] = held
    assert list(stray_references(document)) == []
    job(document)["properties"]["text"] = {"$ref": f"#/paths/~1v2~1jobs~1status/get/{lead}"}
    [(location, problem)] = stray_references(document)
    assert (location[-3:], silent.url in problem) == (("properties", "a", "$ref"), True)


def test_a_reference_in_data_is_data(tmp_path: Path, silent: Silent) -> None:
    """In examples, and in extensions outside schemas, it is accepted, and nothing follows it."""
    document = plain()
    data = {"$ref": silent.url, "externalValue": silent.url, "deep": [{"$dynamicRef": silent.url}]}
    media(document)["examples"]["other"] = {"value": {"code": 0, "data": data | {"job": 1, "phase": "hung"}}}
    parameter(document)["x-note"] = data
    operation(document)["x-evidence"] = {"source": "a page", "date": "2026-01-31"} | data
    document["x-note"] = document["components"]["x-note"] = data
    path = saved(tmp_path, document)
    assert load_contract(path).document == document
    assert not {violation.rule for violation in lint_file(path)} & {"reference", "openapi", "example"}
    with mock(path) as served, served.relay() as relay:
        assert relay.fetch("7003").id == "7003"
    assert Cases(load_contract(path), ("7003",), "sk-key")._operation is not None


def test_names_are_not_keywords(tmp_path: Path) -> None:
    """A property may have the name of a keyword. Local references and mappings are accepted."""
    document = plain()
    string = {"type": ["string"], "description": "Text."}
    job(document)["properties"] |= dict.fromkeys(
        [*KEYWORDS, "$id", "$schema", "externalValue", "operationRef", "discriminator"], string
    )
    job(document)["discriminator"] = {
        "propertyName": "text",
        "mapping": {"a": "Picture", "b": "#/components/schemas/Picture"},
    }
    response(document)["links"] = {"next": {"operationRef": "#/paths/~1v2~1jobs~1list/post"}}
    document["jsonSchemaDialect"] = "https://json-schema.org/draft/2020-12/schema"
    assert list(stray_references(document)) == []
    assert load_contract(saved(tmp_path, document)).document == document


def command(*arguments: str) -> tuple[int, str]:
    """Run the command. Return its exit code and its output."""
    done = forked.run(list(arguments), {"PATH": os.environ["PATH"], "COLUMNS": "200"})
    return done.returncode, done.stdout + done.stderr


def test_no_command_follows_a_reference(tmp_path: Path, silent: Silent) -> None:
    """Every command exits with code 2 and names the reference. None connects."""
    traffic = tmp_path / "traffic.jsonl"
    traffic.touch()
    document = plain()
    REFUSED["$ref in default"](document, silent.url)
    path = str(saved(tmp_path, document))
    for arguments in (
        ("generate", path, "--output", str(tmp_path / "out")),
        ("conform", path),
        ("mock", path),
        ("replay", path, str(traffic)),
        ("doctor", "http://127.0.0.1:9", "--contract", path),
        ("relays", "show", path),
    ):
        code, output = command(*arguments)
        assert (code, f"{silent.url} is outside this document" in output) == (2, True), (arguments, output)
    assert not (tmp_path / "out").exists()


def test_the_linter_and_the_generator_retrieve_nothing(
    tmp_path: Path, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even without the check of references, their validators retrieve nothing."""
    document = plain()
    job(document)["properties"]["text"] = {"$ref": silent.url, "default": {"$ref": silent.url}}
    path = saved(tmp_path, document)
    monkeypatch.setattr("mjrelay.contract.structure.stray_references", lambda _: ())
    monkeypatch.setattr("mjrelay_codegen.linter.linting.GATES", {})
    with pytest.raises(ContractError, match="refers to nothing in this document"):
        single.write(load_contract(path), tmp_path / "out")


@given(
    st.recursive(
        st.sampled_from(["#", "#/", "#/paths", "#a", "", "http://x.example", "#/a/0", "Job"])
        | st.integers()
        | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [*KEYWORDS, *NAMES, "paths", "components", "schemas", "get", "discriminator", "a"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_document_is_walked(document: Any) -> None:
    """The walk ends on any document, and reports locations that exist."""
    for location, problem in stray_references(document):
        node = document
        for step in location:
            node = node[step]
        assert isinstance(node, str), problem
