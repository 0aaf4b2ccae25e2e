"""A foreign contract cannot hang the process or exhaust its memory, in whatever way it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
import httpx
import mjrelay_conformance.checks  # noqa: F401 - registers the checks
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_codegen.linter import lint_file
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.judging import Kind, Observation, Outcome, judge_observation, schema_of

from mjrelay import AnswerError, AsyncRelay, Relay
from mjrelay.base import ContractError, OverlayError
from mjrelay.contract import load_contract, origins, read_contract, relay_names
from mjrelay.contract.limits import CHARACTERS, DEEPEST, LARGEST, NODES, SUBSCHEMAS, Size
from mjrelay.contract.schemas import schema_problems
from mjrelay.http import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the limits of a process are POSIX's")

OWN = Path(__file__).parents[1] / "my-relay.yaml"
TEXT = OWN.read_text(encoding="utf-8")

# Every file is loaded by a process of its own, whose memory and processor time are limited. They are forked
# from one that has imported the modules. The limits only stop it: a load that ends has passed.
_LOADER = """
import json, os, resource, sys
from mjrelay import Relay, MjrelayError
from mjrelay.contract import load_contract
for line in sys.stdin:
    name, overlays = json.loads(line)
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        try:
            load_contract(name, overlays)
            said = ["loaded", None, None, ""]
        except MjrelayError as error:
            place = [getattr(error, name, None) for name in ("source", "line")]
            said = [type(error).__name__, *place, str(error)]
        except BaseException as error:
            said = ["crashed", None, None, type(error).__name__]
        print(json.dumps(said), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(json.dumps(["killed", None, None, ""]), flush=True)
"""


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[..., list[Any]]]:
    """Load a contract in a limited process; return the error's class, file, line and message."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LOADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def one(path: Path, *overlays: Path) -> list[Any]:
        process.stdin.write(json.dumps([str(path), list(map(str, overlays))]) + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        said: list[Any] = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        return said

    yield one
    process.stdin.close()
    process.wait()
    process.stdout.close()


def _bomb() -> str:
    lines = ["x-0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines)


def _schemas(text: str) -> str:
    return TEXT.replace("  schemas:\n", f"  schemas:\n{text}\n")


def _each(count: int, form: str) -> str:
    return "\n".join(f"    A{n}: {form.replace('NEXT', f'A{n + 1}')}" for n in range(count))


_REF = "$ref: '#/components/schemas/NEXT'"
_END = "\n    A{}: {{type: string}}"

SHAPES: dict[str, tuple[str, str]] = {
    "aliases of aliases": (_bomb(), f"more than {NODES:,} values and names"),
    "aliases of a long text": (
        f"x-a: &a {'x' * 100_000}\nx-b: [{', '.join(['*a'] * 100)}]",
        "more than 4,194,304 characters",
    ),
    "merge keys of merge keys": (
        "\n".join(f"x-{n}: &a{n} {{<<: *a{n - 1}, k{n}: 1}}" if n else "x-0: &a0 {k: 1}" for n in range(400)),
        "more than 50 levels",
    ),
    "an anchor within itself": ("x-a: &a {b: [*a]}", "leads back to a node that contains it"),
    "nested flow": ("x-a: " + "[" * 100_000, "more than 50 levels"),
    "nested block": ("- " * 100_000 + "a", "more than 50 levels"),
    "many items": ("x-a: [" + "1," * 200_000 + "]", f"more than {NODES:,} values and names"),
    "a large file": ("# " + "x" * LARGEST + f"\n{TEXT}", "larger than 1 MiB"),
    "a huge integer": ("x-a: " + "9" * 100_000, "a number has 100,000 characters, the limit is 100"),
    "a huge hexadecimal": ("x-a: 0x" + "f" * 100_000, "a number has 100,002 characters"),
    "a huge fraction": ("x-a: 0." + "9" * 100_000, "a number has 100,002 characters"),
    "a long text": (f"x-a: {'x' * 900_000}", "no paths"),
    "a key twice": ("paths: {}\npaths: {}", "is not YAML"),
    "a Python object": (f"x-a: !!python/object/apply:os.system [ls]\n{TEXT}", ""),
    "a date": (f"x-a: 2001-01-01\n{TEXT}", "JSON does not have"),
    "a date that is none": (f"x-a: 2001-99-99\n{TEXT}", "is not YAML"),
    "sexagesimal": ("%YAML 1.1\n---\nx-a: 190:20:30\n", "no paths"),
    "an empty integer": ('x-a: !!int ""', "is not YAML"),
    "an odd boolean": ("x-a: !!bool foo", "is not YAML"),
    "a set": (f"x-a: !!set {{a, b}}\n{TEXT}", "JSON does not have"),
    "references of references": (
        _schemas(_each(300, f"{{{_REF}}}") + _END.format(300)),
        "more than 32 references",
    ),
    "a circle of references": (_schemas("    A0: {$ref: '#/components/schemas/A0'}"), "refers to itself"),
    "schemas in a long row": (
        _schemas(_each(300, f"{{properties: {{a: {{{_REF}}}}}}}") + _END.format(300)),
        "more than 200 schemas are nested in one another",
    ),
    "branches of branches": (
        _schemas(_each(40, f"{{anyOf: [{{{_REF}}}, {{{_REF}}}]}}") + _END.format(40)),
        "more than 10,000 parts",
    ),
    "branches of members": (
        _schemas(
            _each(40, f"{{properties: {{a: {{anyOf: [{{{_REF}}}, {{{_REF}}}]}}}}}}") + _END.format(40)
        ),
        "more than 10,000 parts",
    ),
    "a schema that applies itself": (
        _schemas("    A0: {allOf: [{$ref: '#/components/schemas/A0'}]}"),
        "applies itself to the same value",
    ),
    "a schema that applies itself twice": (
        _schemas(
            "    A0: {properties: {a: {anyOf: [{$ref: '#/components/schemas/A0'}, "
            "{$ref: '#/components/schemas/A0'}]}}}"
        ),
        "twice to the same part",
    ),
    "a dynamic reference": (_schemas("    A0: {$dynamicRef: '#A'}"), "$dynamicRef is not supported"),
    "a pattern that grows": (
        _schemas("    A0: {type: string, pattern: '((a{100}){100}){100}'}"),
        "1,000,000 elements",
    ),
    "a pattern that is long": (_schemas(f"    A0: {{pattern: {'a' * 2000}}}"), "2,000 characters"),
    "a match that takes long on an example": (
        TEXT.replace("accept: {$.code: 0}", "accept: {$.data.text: {match: '(a|aa)+'}}").replace(
            "text: a cat, phase: waiting", f"text: {'a' * 80}b, phase: waiting"
        ),
        "takes longer than allowed on a text of 81 characters",
    ),
    "a search that takes long on an example": (
        TEXT.replace("prompt: $.data.text", "prompt: \"$.data[?search(@, '^(a|aa)+$')]\"").replace(
            "accept: {$.code: 0}", "accept: {\"$.data[?search(@, '^(a|aa)+$')]\": {present: true}}"
        ).replace("text: a cat, phase: waiting", f"text: {'a' * 80}b, phase: waiting"),
        "takes longer than allowed",
    ),
    "a path of descents": (TEXT.replace("$.data.text", "$..*..*..*"), "has .. 3 times"),
    "a path of copies": (TEXT.replace("$.data.text", "$" + "[*,*]" * 30), "a node 1,073,741,824 times"),
    "a path that searches the document for each node": (
        TEXT.replace("$.data.text", "$..[?count($..*) > 1]"),
        "make it select a single value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hostile_contract_is_refused(shape: str, tmp_path: Path, load: Callable[..., list[Any]]) -> None:
    """Each shape is an error that names the limit and the file, or loads."""
    text, message = SHAPES[shape]
    path = tmp_path / "hostile.yaml"
    path.write_text(text, encoding="utf-8")
    kind, source, _, said = load(path)
    assert kind == ("ContractError" if message else "loaded"), said
    assert message in said
    assert source == (str(path) if message else None)


@pytest.mark.parametrize("special", ["fifo", "/dev/zero", "/dev/tty", "folder"])
@pytest.mark.parametrize("role", ["contract", "overlay", "extends"])
def test_only_regular_files_are_read(
    special: str, role: str, tmp_path: Path, load: Callable[..., list[Any]]
) -> None:
    """A FIFO without a writer, a device and a folder are errors, wherever a contract names them."""
    path = tmp_path / "special.yaml"
    match special:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case device:
            path.symlink_to(device)
    over = tmp_path / "over.yaml"
    over.write_text(
        f'overlay: "1.0.0"\ninfo: {{title: t, version: "1"}}\nextends: {path}\nactions: []\n'.replace(
            "[]", "[{target: $.info, update: {x-a: 1}}]"
        ),
        encoding="utf-8",
    )
    kind, _, _, said = {
        "contract": lambda: load(path),
        "overlay": lambda: load(OWN, path),
        "extends": lambda: load(over),
    }[role]()
    assert kind == "ContractError"
    assert "special.yaml" in said
    assert "not a regular file" in said or "directory" in said or special == "/dev/tty"


def _overlay(extends: str, *actions: str) -> str:
    listed = "".join(f"\n  - {action}" for action in actions)
    return f'overlay: "1.1.0"\ninfo: {{title: t, version: "1"}}\nextends: {extends}\nactions:{listed}\n'


def test_a_chain_of_files_has_an_end(tmp_path: Path, load: Callable[..., list[Any]]) -> None:
    """The eleventh file of a chain of extends is an error that names it."""
    action = "{target: $.info, update: {x-a: 1}}"
    for number in range(15):
        text = _overlay(f"c{number + 1}.yaml", action)
        (tmp_path / f"c{number}.yaml").write_text(text, encoding="utf-8")
    kind, source, _, said = load(tmp_path / "c0.yaml")
    assert (kind, source) == ("ContractError", str(tmp_path / "c10.yaml"))
    assert "more than 10 files extend one another" in said


ACTIONS = {
    "a copy that doubles": (
        [f"{{target: $.info, copy: $, description: step {n}}}" for n in range(40)],
        "the document has more than",
    ),
    "a large value at every node": (
        [f"{{target: '$..[?@.type]', update: {{x-a: [{', '.join('1' * 3000)}]}}}}"],
        f"the document has more than {NODES:,} values and names",
    ),
    "a target of descents": (["{target: '$..*..*..*', remove: true}"], "has .. 3 times"),
    "a target that takes long": (
        [
            f"{{target: $.info, update: {{x-a: {'a' * 80}b}}}}",
            "{target: \"$.info[?match(@, '(a|aa)+')]\", remove: true}",
        ],
        "takes longer than allowed",
    ),
}


@pytest.mark.parametrize("shape", ACTIONS)
def test_an_overlay_is_applied_in_bounded_time(
    shape: str, tmp_path: Path, load: Callable[..., list[Any]]
) -> None:
    """What an overlay selects, copies and adds is limited. The error names the action's line."""
    actions, message = ACTIONS[shape]
    path = tmp_path / "hostile.yaml"
    path.write_text(_overlay(str(OWN), *actions), encoding="utf-8")
    kind, source, line, said = load(path)
    assert (kind, source) == ("OverlayError", str(path)), said
    assert message in said
    assert line >= 5


def test_the_actions_of_an_overlay_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All actions together read a limited number of nodes. The error names the first action beyond it."""
    monkeypatch.setattr(origins, "WORK", 2_000)
    path = tmp_path / "hostile.yaml"
    actions = [f"{{target: $.info, update: {{x-{n}: {n}}}}}" for n in range(20)]
    path.write_text(_overlay(str(OWN), *actions), encoding="utf-8")
    with pytest.raises(OverlayError, match="its 20 actions read more than 2,000 nodes") as raised:
        load_contract(path, ())
    assert raised.value.line is not None


def test_every_command_refuses_it(tmp_path: Path) -> None:
    """The client, the linter and each command that loads a contract end with the same error."""
    path = tmp_path / "bomb.yaml"
    path.write_text(_bomb(), encoding="utf-8")
    traffic = tmp_path / "traffic.har"
    traffic.write_text('{"log": {"entries": []}}', encoding="utf-8")
    for client in (Relay, AsyncRelay):
        with pytest.raises(ContractError, match=f"more than {NODES:,}"):
            client(path, "key-123456")
    assert [f"more than {NODES:,}" in violation.message for violation in lint_file(path)] == [True]
    url, out = "http://127.0.0.1:1", str(tmp_path / "out")
    for arguments in (
        ["fetch", str(path), "1"],
        ["wait", str(path), "1"],
        ["relays", "show", str(path)],
        ["mock", str(path)],
        ["generate", str(path), "--output", out],
        ["conform", str(path), "--base-url", url],
        ["replay", str(path), str(traffic)],
        ["doctor", url, "--contract", str(path)],
        ["fetch", "mjproxy", "1", "--overlay", str(path)],
    ):
        done = forked.run(arguments, {"PATH": os.environ["PATH"], "MJRELAY_API_KEY": "key-123456"})
        assert done.returncode != 0, arguments
        assert f"more than {NODES:,} values and names" in done.stderr.replace("\n", " "), (
            arguments,
            done.stderr,
        )


SLOW = TEXT.replace("accept: {$.code: 0}", "accept: {$.data.text: {match: '(a|aa)*[ a-z]*'}}")
"""A contract whose pattern matches its own examples fast, and other texts very slowly."""


def test_a_slow_pattern_on_a_response_is_an_error_of_the_relay(tmp_path: Path) -> None:
    """A match that does not end is an `AnswerError`, which does not show the text."""
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW, encoding="utf-8")
    document = {"code": 0, "data": {"job": 7003, "text": "a" * 80 + "B", "phase": "hung"}}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=document)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        with Relay(path, "key-123456", client=client, timeout=2) as relay:
            with pytest.raises(AnswerError, match="the contract's patterns failed") as raised:
                relay.fetch("7003")
            with pytest.raises(AnswerError, match="takes longer"):
                relay.read(json.dumps(document).encode())
    assert "a" * 80 not in str(raised.value)
    assert not raised.value.transient


@pytest.mark.parametrize(
    ("text", "check", "why"),
    [
        (SLOW, "fetch/200/accept", "takes longer than allowed"),
        (
            TEXT.replace("text: {type", "text: {pattern: '^(?:(?!x)(?:a|aa))+$', type"),
            "fetch/200/schema",
            "a pattern takes too many steps",
        ),
    ],
)
def test_a_slow_pattern_is_inconclusive_in_the_suite(text: str, check: str, why: str, tmp_path: Path) -> None:
    """If a pattern exceeds its limit, the check is inconclusive."""
    path = tmp_path / "slow.yaml"
    path.write_text(text, encoding="utf-8")
    contract = load_contract(path)
    body = json.dumps({"code": 0, "data": {"job": 7003, "text": "a" * 80 + "B", "phase": "hung"}}).encode()
    exchange = Exchange(
        "GET", "http://relay.test/", status=200, headers=(("Content-Type", "application/json"),), body=body
    )
    observation = Observation(contract, schema_of(contract), Kind.KNOWN, "7003", exchange)
    rows = [row for row in judge_observation(observation, 1, CHECKS.values()) if why in (row.actual or "")]
    assert check in {row.check for row in rows}
    assert {row.outcome for row in rows} == {Outcome.INCONCLUSIVE}


def test_the_linter_gives_up_a_pattern_too(tmp_path: Path) -> None:
    """A schema's pattern that never ends on an example breaks the linter's rules that match it."""
    path = tmp_path / "slow.yaml"
    text = TEXT.replace("text: a cat, phase: waiting", f"text: {'a' * 80}B, phase: waiting")
    assert "text: {type" in text
    path.write_text(text.replace("text: {type", "text: {pattern: '^(a|aa)+$', type"), encoding="utf-8")
    found = [violation for violation in lint_file(path) if "takes longer" in violation.message]
    assert {violation.rule for violation in found} == {"example", "key"}


def test_packaged_contracts_use_a_fifth_of_each_limit() -> None:
    """The limits are at least three to five times what the largest packaged contract needs."""
    for contract in map(load_contract, relay_names()):
        size = Size.of(contract.document)
        assert size.nodes * 5 < NODES
        assert size.characters * 5 < CHARACTERS
        assert size.depth * 3 < DEEPEST
        assert contract.source.stat().st_size * 5 < LARGEST
        assert not list(schema_problems(contract))


def test_recursive_schemas_are_legal(tmp_path: Path, load: Callable[..., list[Any]]) -> None:
    """A schema may refer to itself once for each part of a value."""
    path = tmp_path / "tree.yaml"
    path.write_text(
        _schemas(
            "    Tree: {properties: {left: {$ref: '#/components/schemas/Tree'}, "
            "right: {$ref: '#/components/schemas/Tree'}, "
            "all: {items: {$ref: '#/components/schemas/Tree'}}}}\n"
            "    Any: {anyOf: [{type: string}, {items: {$ref: '#/components/schemas/Any'}}, "
            "{additionalProperties: {$ref: '#/components/schemas/Any'}}]}"
        ),
        encoding="utf-8",
    )
    assert load(path)[0] == "loaded"
    assert SUBSCHEMAS > 1000


@given(st.text(st.sampled_from("ab:-?[]{},&*!|>'\"%#<0x1.e_~ \n\t\\"), max_size=60))
def test_no_text_makes_the_loader_crash(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Loading any text succeeds or raises `ContractError`."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError):
        read_contract(path)
