"""The linter: each rule reports its own kind of problem, at the right place and with a fix."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mjrelay_codegen.linter import Violation, lint_file, lint_overlay, lint_relay
from mjrelay_codegen.linter.draft import Draft, extension_schema, trusted_validator
from mjrelay_codegen.linter.linting import GATES, RULES, find_problems
from ruamel.yaml import YAML

from mjrelay.base import json_pointer
from mjrelay.errors import ContractError
from mjrelay.semantics import compile_submits
from mjrelay.semantics.compiler import compile_reader
from mjrelay.semantics.outcomes import OUTCOMES

TABLES = Path(__file__).parent / "linter"
BASE = (TABLES / "base.yaml").read_text(encoding="utf-8")
PLAIN: Any = YAML(typ="safe", pure=True).load(BASE)
CASES: dict[str, Any] = YAML(typ="safe", pure=True).load((TABLES / "cases.yaml").read_text(encoding="utf-8"))
# What only YAML can express: the old text, the new one, the rule, a part of the message and of the fix.
IN_YAML = [
    ('version: "2026-01-31"', "version: 2026-01-31", "json", "is a date in YAML", "quotes"),
    (
        'date: "2026-01-31"}\n                  value',
        "date: 2026-01-31}\n                  value",
        "json",
        "a date",
        "quotes",
    ),
    ('        "401":', "        401:", "json", "the key 401 is a number", "quotes"),
    ("code: 4, reason", "code: .nan, reason", "json", "JSON has no number nan", "delete it"),
    ("openapi: 3.1.0", "&all\nopenapi: 3.1.0\nx-all: *all", "yaml", "the alias leads back", "write it out"),
]


def edited(edits: dict[str, Any]) -> Any:
    """Return a copy of the base with the edits of a case."""
    document = copy.deepcopy(PLAIN)

    def holder(pointer: str) -> tuple[Any, Any]:
        *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
        node = document
        for step in steps:
            node = node[int(step) if isinstance(node, list) else step]
        return node, int(last) if isinstance(node, list) and last != "-" else last

    for pointer, value in edits.items():
        moved = (
            value.removeprefix("<moved>") if isinstance(value, str) and value.startswith("<moved>") else None
        )
        if moved is not None:
            source, name = holder(moved)
            value = source.pop(name)  # noqa: PLW2901 - the value that is moved
        node, key = holder(pointer)
        if value == "<removed>":
            del node[key]
        elif key == "-":
            node.append(value)
        else:
            node[key] = value
    return document


def write(folder: Path, contract: str, name: str = "relay.yaml") -> Path:
    """Write a contract into a file."""
    path = folder / name
    path.write_text(contract, encoding="utf-8")
    return path


def test_the_base_is_clean(tmp_path: Path) -> None:
    """The base of the cases has no violation; `nox -s lint` proves that for the packaged contracts."""
    assert lint_file(write(tmp_path, BASE)) == []


@pytest.mark.parametrize("rule", dict.fromkeys(name.partition("-")[0] for name in CASES))
def test_a_broken_contract_breaks_only_that_rule(rule: str) -> None:
    """Each case has one problem: its rule, its place, what is wrong and the fix."""
    for name, (edits, pointer, message) in CASES.items():
        if name.partition("-")[0] != rule:
            continue
        ((broken, problem),) = find_problems(Draft(TABLES / "base.yaml", edited(edits)))
        assert (name, broken, json_pointer(problem.location)) == (name, rule, pointer or next(iter(edits)))
        for part, found in zip(message.split("; ", 1), problem.message.split("; ", 1), strict=True):
            assert part in found, name


@pytest.mark.parametrize("case", IN_YAML)
def test_yaml_beyond_json_is_reported(case: tuple[str, str, str, str, str], tmp_path: Path) -> None:
    """Dates, keys that are numbers, NaN and cyclic aliases are reported at their lines."""
    old, new, rule, wrong, fix = case
    assert old in BASE
    (found,) = lint_file(write(tmp_path, BASE.replace(old, new, 1)))
    line = BASE.partition(old)[0].count("\n") + 1 + (2 if rule == "yaml" else 0)
    assert (found.rule, found.line) == (rule, line)
    assert wrong in found.message.partition("; ")[0]
    assert fix in found.message.partition("; ")[2]


@pytest.mark.parametrize(
    ("schema", "rules"),
    [({"type": "array", "items": {"type": "string"}}, []), ({"type": "string"}, ["batch"])],
)
def test_batch_ids_in_the_query(schema: Any, rules: list[str]) -> None:
    """A query parameter of type array holds ids; a string does not."""
    document = edited({"/paths/~1task~1{id}/get/x-mj-task/batch/ids": "$request.query.ids"})
    operation = document["paths"]["/tasks"]["post"]
    del operation["requestBody"]
    operation["parameters"] = [{"name": "ids", "in": "query", "schema": schema}]
    assert [rule for rule, _ in find_problems(Draft(TABLES / "base.yaml", document))] == rules


def test_every_rule_has_a_case() -> None:
    """Every rule has at least one case; `name` and `json` have their own tests."""
    assert {name.partition("-")[0] for name in CASES} == {*GATES, *RULES} - {"name", "json"}


@pytest.mark.parametrize(
    "name", ["Relay.yaml", "my-relay.yaml", "1relay.yaml", "relay_2.yaml", "runtime.yaml", "class.yaml"]
)
def test_an_invalid_file_name(name: str, tmp_path: Path) -> None:
    """The file name is the relay's name, so it has to be valid as a package and as an argument."""
    (violation,) = lint_file(write(tmp_path, BASE, name))
    assert (violation.rule, violation.line) == ("name", 2)
    assert "lower-case letters and digits" in violation.message


def test_a_contract_without_x_mj_task(tmp_path: Path) -> None:
    """One operation has to have x-mj-task."""
    start, end = BASE.index("      x-mj-task:"), BASE.index("      responses:")
    path = write(tmp_path, BASE[:start] + BASE[end:])
    (violation,) = lint_file(path)
    assert (violation.rule, violation.pointer) == ("structure", "/paths")
    assert "write it on the one that fetches a task" in violation.message


def test_a_violation_has_the_form_of_a_compiler_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A violation prints the relative file, the line, the rule and the message; it has a JSON Pointer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openapi").mkdir()
    path = write(tmp_path / "openapi", BASE.replace("kind: $.action", "kind: $.acton"))
    (violation,) = lint_file(path)
    assert violation.pointer == "/paths/~1task~1{id}/get/x-mj-task/kind"
    assert str(violation) == (
        "openapi/relay.yaml:30: jsonpath: $.acton selects nothing in any of its examples; "
        "correct it, or add an example"
    )


def test_violations_are_sorted_by_line(tmp_path: Path) -> None:
    """The order is that of the lines, not of the rules."""
    text = BASE.replace("kind: $.action", "kind: $.acton").replace("title: Word", "title: Wort")
    text = text.replace("tags: [task]", "tags: []", 1).replace("reason: none", "reason: 1")
    found = [(violation.line, violation.rule) for violation in lint_file(write(tmp_path, text))]
    assert found == [(14, "operation"), (30, "jsonpath"), (74, "example"), (227, "convention")]


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("openapi: [", "yaml", 1),
        ("openapi: 3.1.0\ninfo: {}\ninfo: {}\n", "yaml", 3),
        ("", "json", 1),
        ("- openapi\n", "json", 1),
        ("openapi: 3.1.0\ninfo: {title: A, version: '1'}\npaths: []\n", "openapi", 3),
        ("openapi: 3.1.0\ninfo: {title: A, version: '1'}\npaths: {}\n", "structure", 3),
        (
            "openapi: 3.1.0\ninfo: {title: A, version: '1'}\ncomponents: {schemas: 3}\npaths: {}\n",
            "openapi",
            3,
        ),
    ],
)
def test_a_file_that_is_not_a_contract(text: str, rule: str, line: int, tmp_path: Path) -> None:
    """Any text has violations and raises nothing."""
    violations = lint_file(write(tmp_path, text))
    assert [(violation.rule, violation.line) for violation in violations] == [(rule, line)]


def test_a_missing_file_is_a_violation(tmp_path: Path) -> None:
    """The message does not repeat the path."""
    (violation,) = lint_file(tmp_path / "relay.yaml")
    assert violation == Violation(
        str(tmp_path / "relay.yaml"), 1, "", "yaml", "there is no such file; check the path"
    )


def locations(value: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return every location in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, item in items for place in locations(item, (*here, key)))]


def changed(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy with one value replaced, or removed if the value is ``...``."""
    document = copy.deepcopy(document)
    if not place:
        return document if value is ... else value
    holder = document
    for step in place[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return document


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [..., None, True, 0, 3.5, "", "junk", [], ["junk"], [{}], {}, {"junk": 1}, {"$.a": {}}]
)


@settings(max_examples=30)  # a lint takes 0.1 seconds
@given(place=st.sampled_from(locations(PLAIN)), value=JUNK)
def test_no_value_makes_the_linter_crash(place: tuple[str | int, ...], value: Any) -> None:
    """With any value at any place, the linter returns problems, each with a fix."""
    draft = Draft(TABLES / "base.yaml", changed(PLAIN, place, value))
    assert all(";" in problem.message for _, problem in find_problems(draft))


# Every form of x-mj-task once.
FULL: dict[str, Any] = {
    "version": 1,
    "ask": "$request.body#/task/id",
    "set": {"$request.body#/action": "retrieve", "$request.header.X-Full": True},
    "accept": {"$.code": 0},
    "id": "$.id",
    "kind": "$.kind",
    "prompt": "$.prompt",
    "status": "$.status",
    "states": {
        "queued": [None, "", "NEW"],
        "running": [{"where": {"$.status": ["a", 1]}, "unless": {"$.c": "d"}}],
        "needs-input": ["ASK"],
        "succeeded": [2, True],
        "failed": ["NO"],
        "cancelled": ["OFF"],
    },
    "progress": {"path": "$.progress", "format": "fraction"},
    "times": {
        "submitted": "$.a",
        "started": "$.b",
        "finished": {"path": "$.c", "where": {"$.status": 2}},
        "format": "iso8601",
        "zone": "+08:00",
        "unset": [0, "-"],
    },
    "images": ["$.image", {"path": "$.image", "where": {"$.a": {"match": "b.*"}}, "unless": {"$.c": "d"}}],
    "videos": ["$.videos[*].url"],
    "inputs": [{"path": "$.image", "where": {"$.a": {"present": True}}}],
    "ignored": {"$.images[*].thumbnail": "A smaller copy."},
    "buttons": {"items": "$.buttons[*]", "id": "$", "label": "label", "emoji": "emoji"},
    "failure": ["$.reason"],
    "error": {"code": ["$.code"], "message": ["$.message", "$.error.message"]},
    "complete": {
        "progress": True,
        "media": {"unless": {"$.kind": ["TEXT"]}},
        "finished": {"where": {"$.kind": "DRAW"}},
    },
    "missing": [{"status": 404, "content": "application/json", "where": {"$.code": 4}}, {"status": 400}],
    "unauthorized": {"status": 401},
    "forbidden": [{"status": 403}],
    "elsewhere": {"status": 200, "content": "text/html", "body": "empty"},
    "refresh": 15,
    "batch": {
        "operation": "listTasks",
        "ids": "$request.query.ids",
        "items": "$[*]",
        "as": "$.a[0]",
        "limit": 100,
    },
    "seed": {"operation": "fetchSeed", "set": {"$request.query.of": 1}, "value": "$.result"},
    "state": "$.state",
    "prompts": [
        "$.a[*]",
        {"path": "$.b", "capture": "(.+)", "where": {"$.kind": "TEXT"}, "unless": {"$.c": 1}},
    ],
    "find": {"operation": "listTasks", "items": "$[*]", "as": "$.a[0]", "by": "state"},
    "relations": [
        {
            "id": "at-finish",
            "description": "Signed then.",
            "level": "must",
            "left": {"path": "$.image", "capture": "is=([0-9a-f]+)", "base": 16, "times": 1000, "plus": 1},
            "equals": {"path": "$.c"},
            "within": 1000,
        },
        {"id": "named", "left": {"count": "$.videos[*]"}, "contains": {"path": "$.id"}},
    ],
}
SCHEMA = trusted_validator(extension_schema("x-mj-task"))


def compiles(form: Any) -> bool:
    """Return whether a form compiles."""
    try:
        compile_reader(form)
    except ContractError:
        return False
    return True


def test_the_schema_accepts_every_form() -> None:
    """The schema is valid JSON Schema, and every form of the extension is valid against it."""
    SCHEMA.check_schema(extension_schema("x-mj-task"))
    assert extension_schema("x-mj-task")["$id"] == "urn:mjrelay:x-mj-task:1"
    assert SCHEMA.is_valid(FULL)
    assert compiles(FULL)


def test_the_schema_and_the_compiler_have_the_same_keys() -> None:
    """A key that one of them rejects is also rejected by the other."""
    assert set(FULL) == set(extension_schema("x-mj-task")["properties"])
    assert not compiles(FULL | {"junk": 1})


def test_the_schema_and_the_compiler_require_the_same_keys() -> None:
    """A key is optional in both or in neither."""
    for key in FULL:
        form = {name: value for name, value in FULL.items() if name != key}
        assert SCHEMA.is_valid(form) is compiles(form), key


def test_states_by_predicate_need_no_status() -> None:
    """If every state is a predicate, `status` is optional."""
    form = changed(changed(FULL, ("states",), {"running": [{"where": {"$.a": 1}}]}), ("status",), ...)
    assert SCHEMA.is_valid(form)
    assert compiles(form)


@given(place=st.sampled_from(locations(FULL)), value=JUNK)
def test_every_form_that_is_valid_compiles(place: tuple[str | int, ...], value: Any) -> None:
    """A form that is valid against the schema compiles."""
    form = changed(FULL, place, value)
    if SCHEMA.is_valid(form):
        assert compiles(form)


def test_the_schema_is_closed() -> None:
    """An unknown key is invalid in every object."""
    for place in locations(FULL)[1:]:
        value: Any = FULL
        for step in place:
            value = value[step]
        if isinstance(value, dict):
            assert not SCHEMA.is_valid(changed(FULL, (*place, "junk"), 1)), place


def test_a_violation_names_the_file_that_caused_it(tmp_path: Path) -> None:
    """A violation names the overlay if the overlay wrote the value, and otherwise the contract."""
    base, derived = tmp_path / "base.yaml", tmp_path / "derived.yaml"
    base.write_text(BASE.replace("operationId: fetchTask", "operationId: fetch"), encoding="utf-8")
    derived.write_text(
        "overlay: 1.1.0\ninfo: {title: T, version: '1'}\nextends: ./base.yaml\nactions:\n"
        "  - target: $.components.schemas.Task.properties\n    update:\n      more: {type: [string]}\n",
        encoding="utf-8",
    )
    found = {(violation.file, violation.line, violation.rule) for violation in lint_relay(derived, tmp_path)}
    line = 1 + base.read_text(encoding="utf-8").splitlines().index("      operationId: fetch")
    assert found == {(str(base), line, "operation"), (str(derived), 7, "description")}
    derived.write_text(derived.read_text(encoding="utf-8").replace("./base", "./gone"), encoding="utf-8")
    assert [violation.rule for violation in lint_relay(derived, tmp_path)] == ["overlay"]


def test_an_invalid_overlay_is_a_violation(tmp_path: Path) -> None:
    """An error while loading an overlay is a violation with file and line."""
    path = write(tmp_path, "overlay: 1.1.0\ninfo: {title: T, version: '1'}\nactions:\n  - target: a\n")
    (violation,) = lint_overlay(path)
    assert (violation.rule, violation.line) == ("overlay", 4)
    assert violation.message.startswith("'a' is not a JSONPath")


def test_an_action_needs_a_description(tmp_path: Path) -> None:
    """Only the action without a description is reported."""
    path = write(
        tmp_path,
        "overlay: 1.1.0\ninfo: {title: T, version: '1'}\nactions:\n"
        "  - {target: $.a, remove: true, description: It is gone.}\n"
        "  - {target: $.b, remove: true, description: ' '}\n",
    )
    (violation,) = lint_overlay(path)
    assert (violation.rule, violation.line, violation.pointer) == ("overlay", 5, "/actions/1")
    assert "write its evidence there" in violation.message


# Every form of x-mj-submit once.
SUBMIT: dict[str, Any] = {
    "version": 1,
    "action": "modal",
    "arguments": {
        "prompt": "$request.body#/prompt",
        "aspect": {"after": "--ar {}"},
        "speed": {"to": "$server.mode", "values": {"fast": "mj-fast", "turbo": 2}},
        "images": {"before": "{}", "as": ["url", "data-url"]},
        "mask": {"to": "$request.body#/mask", "as": "base64"},
        "task": {"to": "$request.path.id", "from": "$.job"},
        "button": {"match": "U[1-4]"},
        "state": {"to": "$request.header.X-State"},
    },
    "set": {"$request.body#/bot": "MID", "$request.query.n": 1},
    "timeout": 60,
    "meanwhile": "needs-input",
    "answer": {
        "ids": ["$.result", {"path": "$.a", "capture": "id=(.+)", "where": {"$.b": 1}, "unless": {"$.c": 2}}],
        "links": ["$.urls[*]"],
        "position": "$.queue",
        "prompt": "$.prompt",
        "error": {"code": ["$.code"], "message": ["$.message"]},
        "outcomes": {
            **{outcome: {"status": 200, "where": {"$.code": outcome}} for outcome in OUTCOMES},
            "needs-modal": [{"status": 200, "where": {"$.code": 21}, "charged": False}, {"status": 201}],
            "unknown": {"status": 400, "content": "text/plain", "charged": "perhaps"},
            "failed": {"status": 401, "body": "empty"},
        },
    },
}
SUBMIT_SCHEMA = trusted_validator(extension_schema("x-mj-submit"))
READER = compile_reader(FULL)


def submit_compiles(form: Any) -> bool:
    """Return whether a form of `x-mj-submit` compiles."""
    try:
        compile_submits(form, READER)
    except ContractError:
        return False
    return True


def test_the_schema_of_submits_accepts_every_form() -> None:
    """The schema is valid, every form is valid against it and compiles, also in a list."""
    SUBMIT_SCHEMA.check_schema(extension_schema("x-mj-submit"))
    for form in (SUBMIT, [SUBMIT, SUBMIT]):
        assert SUBMIT_SCHEMA.is_valid(form)
        assert submit_compiles(form)
    for key in SUBMIT:
        form = {name: value for name, value in SUBMIT.items() if name != key}
        assert SUBMIT_SCHEMA.is_valid(form) is submit_compiles(form), key


@given(place=st.sampled_from(locations(SUBMIT)), value=JUNK)
def test_every_form_of_a_submit_that_is_valid_compiles(place: tuple[str | int, ...], value: Any) -> None:
    """A form that is valid against the schema compiles, and none raises anything but `ContractError`."""
    form = changed(SUBMIT, place, value)
    if submit_compiles(form) is False:
        assert not SUBMIT_SCHEMA.is_valid(form)
