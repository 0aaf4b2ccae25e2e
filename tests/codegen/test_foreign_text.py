"""Texts of a contract and file names are never executed by generated code."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mjrelay_codegen import single
from mjrelay_codegen.generator import write_client
from mjrelay_codegen.output import GenerationError
from mjrelay_codegen.source import RelaySource

from mjrelay.contract import Contract, load_contract

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = Path(__file__).parents[1] / "my-relay.yaml"
OVERLAYS = sorted((Path(__file__).parents[2] / "overlays" / "client").glob("*.yaml"))

CODE = "open('executed', 'w')"
TEXTS = {
    "code": f"A {CODE}",
    "newline": f"A\n{CODE}\n",
    "return": f"A\r{CODE}\r\n{CODE}\n",
    "separators": f"A\u2028{CODE}\u2029\x85{CODE}\x0b\x0c{CODE}",
    "quote": f'A"; {CODE} #',
    "apostrophe": f"A'; {CODE} #",
    "closed docstring": f'A"""\n{CODE}\n"""',
    "closed call": f'A", {CODE}) #',
    "backslash": f'A\\"""\n{CODE}\n"""\\',
    "escapes": f"A\\\n{CODE}\\N{{x}}\\x\\u\\",
    "template": f"A{{{{ {CODE} }}}}{{% set a = {CODE} %}}{{# ",
    "braces": f"A{{{CODE}}}{{0}}{{",
    "nul": f"A\0\n{CODE}\x1b[2J",
}


def operation(document: Any) -> Any:
    """Return the operation that fetches a task."""
    return document["paths"]["/v2/jobs/status"]["get"]


def renamed(node: dict[str, Any], old: str, new: str) -> None:
    """Rename a key."""
    node[new] = node.pop(old)


def schemas(document: Any) -> Any:
    """Return the component schemas."""
    return document["components"]["schemas"]


def at(find: Callable[[Any], Any], key: Any, wrap: Callable[[str], Any] = str) -> Callable[[Any, str], None]:
    """Return a function that writes a text to one place of a contract."""

    def put(document: Any, text: str) -> None:
        find(document)[key] = wrap(text)

    return put


def scheme(document: Any, text: str) -> None:
    renamed(document["components"]["securitySchemes"], "studio", text)
    for path in document["paths"].values():
        for one in path.values():
            one["security"] = [{text: []}]


PLACES: dict[str, Callable[[Any, str], None]] = {
    "title": at(lambda d: d["info"], "title"),
    "version": at(lambda d: d["info"], "version"),
    "description": at(lambda d: d["info"], "description"),
    "server": at(lambda d: d["servers"][0], "url", lambda text: f"https://a.example/{text}"),
    "path": lambda d, text: renamed(d["paths"], "/v2/jobs/status", f"/v2/{text}"),
    "summary": at(operation, "summary"),
    "operation": at(operation, "description"),
    "operation and summary": lambda d, text: operation(d).update(summary=text, description=text),
    "operationId": at(operation, "operationId"),
    "tag": at(operation, "tags", lambda text: [text]),
    "word": at(lambda d: operation(d)["x-mj-task"]["states"], "queued", lambda text: [text]),
    "parameter": at(lambda d: operation(d)["parameters"][0], "name"),
    "header": lambda d, text: operation(d)["parameters"].append(
        {"name": f"H{text}", "in": "header", "description": text, "schema": {"type": "string"}}
    ),
    "parameter's description": at(lambda d: operation(d)["parameters"][0], "description"),
    "parameter's default": at(
        lambda d: operation(d)["parameters"][0], "schema", lambda text: {"type": "string", "default": text}
    ),
    "parameter's words": at(
        lambda d: operation(d)["parameters"][0],
        "schema",
        lambda text: {"type": "string", "enum": [text, "b"], "default": text},
    ),
    "status": at(lambda d: operation(d)["responses"]["200"], "description"),
    "example": at(
        lambda d: operation(d)["responses"]["200"]["content"]["application/json"]["examples"],
        "other",
        lambda text: {"summary": text, "value": {text: text}},
    ),
    "media type": lambda d, text: renamed(
        operation(d)["responses"]["200"]["content"], "application/json", f"application/json; a={text}"
    ),
    "media type of a request": lambda d, text: renamed(
        d["paths"]["/v2/jobs/list"]["post"]["requestBody"]["content"],
        "application/json",
        f"application/json; a={text}",
    ),
    "scheme's field": at(lambda d: d["components"]["securitySchemes"]["studio"], "name"),
    "scheme": scheme,
    "schema": at(schemas, "Other", lambda text: {"type": "object", "title": f"T{text}", "description": text}),
    "schema's name": lambda d, text: schemas(d).update({f"N{text}": {"type": "object"}}),
    "property": at(lambda d: schemas(d)["Job"], "description"),
    "property's name": lambda d, text: schemas(d)["Job"]["properties"].update({text: {"type": ["string"]}}),
    "property's description": at(
        lambda d: schemas(d)["Job"]["properties"],
        "text0",
        lambda text: {"type": "string", "description": text},
    ),
    "property's title": at(
        lambda d: schemas(d)["Job"]["properties"],
        "text1",
        lambda text: {"type": "object", "title": f"P{text}"},
    ),
    "default": at(
        lambda d: schemas(d)["Job"]["properties"], "text2", lambda text: {"type": "string", "default": text}
    ),
    "const": at(lambda d: schemas(d)["Job"]["properties"], "text3", lambda text: {"const": text}),
    "pattern": at(
        lambda d: schemas(d)["Job"]["properties"], "text4", lambda text: {"type": "string", "pattern": text}
    ),
    "format": at(
        lambda d: schemas(d)["Job"]["properties"], "text5", lambda text: {"type": "string", "format": text}
    ),
    "schema's example": at(lambda d: schemas(d)["Job"], "example"),
    "words": at(lambda d: schemas(d)["Phase"]["anyOf"][0], "enum", lambda text: [text, "b"]),
    "words' title": lambda d, text: schemas(d).update(
        Titled={"anyOf": [{"type": "string", "title": f"W{text}", "enum": ["a"]}]}
    ),
    "words' names": lambda d, text: schemas(d).update(
        Named={"anyOf": [{"type": "integer", "title": "Named", "enum": [1], "x-enum-varnames": [text]}]}
    ),
}


REJECTED = ["path", "parameter's words"]
"""Places where the generator rejects some of the texts."""


def generate(document: Any, package: Path) -> None:
    """Generate a client without linting, because the linter would reject many of the texts."""
    source = package.parent / "my-relay.yaml"
    relay = RelaySource(
        "myrelay", source.name, package.parent, (source,), Contract("myrelay", document, source)
    )
    write_client(package, relay, OVERLAYS, "test")


def import_all(packages: Path) -> None:
    """Import every module of every package, and check that no text was executed."""
    program = (
        "import importlib, pathlib\n"
        "for path in sorted(pathlib.Path().rglob('*.py')):\n"
        "    importlib.import_module('.'.join(path.with_suffix('').parts).removesuffix('.__init__'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-B", "-c", program],
        cwd=packages,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (packages / "executed").exists()


def test_a_text_is_never_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text at every place: the client compiles, and importing it runs nothing of the text."""
    monkeypatch.setattr("mjrelay_codegen.generator._ruff", lambda *_: None)  # the next test formats
    for number, text in enumerate(TEXTS.values()):
        document = copy.deepcopy(load_contract(OWN).document)
        for place, put in PLACES.items():
            if place not in REJECTED:
                put(document, text)
        generate(document, tmp_path / f"client{number}")
    for place in REJECTED:
        generated = 0
        for number, name in enumerate(("code", "newline", "quote", "closed docstring", "braces")):
            document = copy.deepcopy(load_contract(OWN).document)
            PLACES[place](document, TEXTS[name])
            package = tmp_path / f"{place[:4]}{number}"
            try:
                generate(document, package)
            except GenerationError:
                shutil.rmtree(package, ignore_errors=True)
            else:
                generated += 1
        assert generated
    import_all(tmp_path)


@pytest.mark.parametrize("name", ["code", "closed docstring"])
def test_a_formatted_text_is_never_code(tmp_path: Path, name: str) -> None:
    """Formatting and sorting imports keeps a text a text."""
    document = copy.deepcopy(load_contract(OWN).document)
    for place, put in PLACES.items():
        if place not in REJECTED:
            put(document, TEXTS[name])
    generate(document, tmp_path / "client")
    import_all(tmp_path)


def test_a_file_name_is_never_code(tmp_path: Path) -> None:
    """The header of each module names the contract and the overlays on one line, as a comment."""
    texts = [text for text in TEXTS.values() if not {"/", "\0"} & set(text)]
    overlays = []
    for number, text in enumerate(texts):
        folder = tmp_path / f"{number}{text}"
        folder.mkdir()
        overlays.append(folder / f"{text}.yaml")
        overlays[-1].write_text(
            'overlay: "1.1.0"\ninfo: {title: Mine, version: "1"}\nactions:\n'
            "  - {target: $.info, description: Reason., update: {title: Other}}\n",
            encoding="utf-8",
        )
    path = overlays[-1].parent / f"myrelay.{texts[0]}"
    path.write_text(OWN.read_text(encoding="utf-8"), encoding="utf-8")
    done = single.write(load_contract(path, overlays), tmp_path / "out")
    for module in done.package.rglob("*.py"):
        header = module.read_text(encoding="utf-8").partition("\n")[0]
        assert header.startswith("# Generated by `mjrelay generate ")
        assert header.isprintable()
    import_all(tmp_path / "out")
