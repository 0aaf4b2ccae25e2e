"""Overlays: what the specification says of each action, and what a malformed document is told."""

from __future__ import annotations

import copy
import json
import re
from contextlib import suppress
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import jsonpath_rfc9535 as jsonpath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay.contract.overlay import Action, Copy, Overlay, Remove, Update
from mjrelay.contract.yaml import load_yaml, plain_yaml
from mjrelay.errors import ContractError, OverlayError


class Bench:
    """Writes contracts and overlays as files, as a user has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def contract(self, text: str) -> Any:
        path = self.folder / "contract.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return plain_yaml(load_yaml(path))

    def raw(self, text: str) -> Overlay:
        path = self.folder / "overlay.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return Overlay.load(path)

    def overlay(self, actions: str, version: str = "1.1.0") -> Overlay:
        head = f"overlay: {version}\ninfo:\n  title: T\n  version: '1'\nactions:\n"
        return self.raw(head + indent(dedent(actions).strip("\n"), "  ") + "\n")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A folder for one test's files."""
    return Bench(tmp_path)


# Each: version, contract, actions, what comes of it.
GOLDEN = {
    "an object is merged, recursively, and new names come last": (
        "1.0.0",
        "a:\n  b: 1\n  c:\n    d: 2\n",
        "- target: $.a\n  update: {c: {e: 3}, f: [4], b: 5}",
        "a:\n  b: 5\n  c:\n    d: 2\n    e: 3\n  f:\n  - 4\n",
    ),
    "the root is merged": (
        "1.0.0",
        "a: 1\n",
        "- target: $\n  update: {b: 2}",
        "a: 1\nb: 2\n",
    ),
    "1.0 appends to an array whatever it is given, an array as one item": (
        "1.0.0",
        "a:\n- 1\n",
        "- target: $.a\n  update: {x: 1}\n- target: $.a\n  update: [2, 3]\n- target: $.a\n  update: 4",
        "a:\n- 1\n- x: 1\n- - 2\n  - 3\n- 4\n",
    ),
    "1.1 concatenates an array with an array, and appends anything else": (
        "1.1.0",
        "a:\n- 1\n",
        "- target: $.a\n  update: [2, [3]]\n- target: $.a\n  update: {x: 1}\n- target: $.a\n  update: null",
        "a:\n- 1\n- 2\n- - 3\n- x: 1\n- \n",
    ),
    "arrays inside a merged object are concatenated": (
        "1.0.0",
        "a:\n  b:\n  - 1\n",
        "- target: $\n  update: {a: {b: [1, 2]}}",
        "a:\n  b:\n  - 1\n  - 1\n  - 2\n",
    ),
    "1.0 applies one update to objects and arrays alike": (
        "1.0.0",
        "a: {x: 1}\nb: []\n",
        "- target: $.*\n  update: {y: 2}",
        "a: {x: 1, y: 2}\nb:\n- y: 2\n",
    ),
    "a primitive is replaced, in an object": (
        "1.1.0",
        "a:\n  b: old\n  c: 1\n",
        "- target: $.a.b\n  update: new",
        "a:\n  b: new\n  c: 1\n",
    ),
    "a primitive is replaced, in an array": (
        "1.1.0",
        "a: [1, 2, 3]\n",
        "- target: $.a[1]\n  update: two\n- target: $.a[-1]\n  update: 4",
        "a: [1, two, 4]\n",
    ),
    "null, false, 0 and an empty text are values like others": (
        "1.1.0",
        "a: 1\nb: 1\nc: 1\nd: 1\ne:\n",
        """\
        - {target: $.a, update: null}
        - {target: $.b, update: false}
        - {target: $.c, update: 0}
        - {target: $.d, update: ''}
        - {target: $.e, update: 1}
        """,
        "a:\nb: false\nc: 0\nd: ''\ne: 1\n",
    ),
    "several items of an array are removed by filter": (
        "1.0.0",
        "a:\n- {k: 1}\n- {k: 2}\n- {k: 1}\n- {k: 1}\n- {k: 3}\n",
        "- target: $.a[?@.k == 1]\n  remove: true",
        "a:\n- {k: 2}\n- {k: 3}\n",
    ),
    "several items of an array are removed by index": (
        "1.1.0",
        "a: [1, 2, 3, 4]\n",
        "- target: $.a[0,1,-1,0]\n  remove: true",
        "a: [3]\n",
    ),
    "a node is removed together with its selected descendants": (
        "1.0.0",
        "a:\n  x: {x: {x: 1}, y: {}}\n  b:\n  - x: [1]\nc: 1\n",
        "- target: $..[?@.x, ?@.y, ?@[0]]\n  remove: true",
        "c: 1\n",
    ),
    "removing the last of an object leaves an empty object": (
        "1.1.0",
        "a:\n  b: 1\nc: 1\n",
        "- target: $.a.b\n  remove: true",
        "a: {}\nc: 1\n",
    ),
    "in 1.0 remove wins over update": (
        "1.0.0",
        "a: {}\nb: {}\n",
        "- {target: $.a, update: {x: 1}, remove: true}\n- {target: $.b, update: {x: 1}, remove: false}",
        "b:\n  x: 1\n",
    ),
    "each action sees what those before it did": (
        "1.1.0",
        "a:\n- 1\n",
        "- {target: $.a, remove: true}\n- {target: $, update: {a: [2]}}\n- {target: '$.a[0]', update: 3}",
        "a:\n- 3\n",
    ),
    "a node that is selected twice is changed once": (
        "1.1.0",
        "a:\n- 1\n",
        "- target: $['a','a']\n  update: 2",
        "a:\n- 1\n- 2\n",
    ),
    "copy merges an object": (
        "1.1.0",
        "a:\n  get:\n    ok: true\nb:\n  put: 1\n",
        "- target: $.b\n  copy: $.a",
        "a:\n  get:\n    ok: true\nb:\n  put: 1\n  get:\n    ok: true\n",
    ),
    "copy concatenates arrays, appends other nodes, and reaches each target": (
        "1.1.0",
        "a: [1]\nb: [[2], [3]]\nc: {k: 4}\n",
        "- {target: '$.b[*]', copy: $.a}\n- {target: '$.b[*]', copy: $.c}\n- {target: $.a, copy: $.c.k}",
        "a: [1, 4]\nb: [[2, 1, k: 4], [3, 1, k: 4]]\nc: {k: 4}\n",
    ),
    "copy replaces primitives": (
        "1.1.0",
        "a: 1\nb: 2\nc: 3\n",
        "- target: $['b','c']\n  copy: $.a",
        "a: 1\nb: 1\nc: 1\n",
    ),
    "copying a node that holds the target takes it as it was": (
        "1.1.0",
        "a:\n  b:\n    c: 1\n",
        "- target: $.a.b\n  copy: $",
        "a:\n  b:\n    c: 1\n    a:\n      b:\n        c: 1\n",
    ),
    "a node is moved": (
        "1.1.0",
        "a:\n  x: 1\nc: 2\n",
        "- {target: $, update: {b: {}}}\n- {target: $.b, copy: $.a}\n- {target: $.a, remove: true}",
        "c: 2\nb:\n  x: 1\n",
    ),
    "an optional action that selects nothing is passed over": (
        "1.1.0",
        "a: 1\n",
        "- {target: $.b, remove: true, x-optional: true}\n- {target: $.a, copy: $.b, x-optional: true}",
        "a: 1\n",
    ),
    "a number as a YAML key is the text that JSON sees": (
        "1.1.0",
        "200: {a: 1}\n404: {a: 1}\n1.5: x\n",
        """\
        - {target: $, update: {'200': {b: 2}}}
        - {target: "$['404']", remove: true}
        - {target: "$['1.5']", update: y}
        """,
        "200: {a: 1, b: 2}\n1.5: y\n",
    ),
    "an alias is a node of its own": (
        "1.1.0",
        "a: &a\n  k: &k 1\nb: *a\nc:\n  <<: *a\n  l: 2\nd: *k\n",
        "- {target: $.a, update: {m: 3}}\n- {target: $.b.k, update: 4}\n- {target: $.c.k, remove: true}",
        "a:\n  k: &k 1\n  m: 3\nb:\n  k: 4\nc:\n  l: 2\nd: *k\n",
    ),
}


@pytest.mark.parametrize(("version", "contract", "actions", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_golden(bench: Bench, version: str, contract: str, actions: str, expected: str) -> None:
    """What an overlay makes of a contract, key order included; the contract itself stays as it is."""
    document = bench.contract(contract)
    changed = bench.overlay(actions, version).apply(document)
    assert json.dumps(changed) == json.dumps(bench.contract(expected))
    assert document == bench.contract(contract)


# Each: version, contract, actions, then line and words of the message.
MISFITS = {
    "a target selects nothing": (
        "1.1.0",
        "a: 1",
        "- {target: $.b, remove: true}",
        6,
        r"\$\.b selects nothing",
    ),
    "the second action's target selects nothing": (
        "1.1.0",
        "a: 1",
        "- {target: $.a, remove: true}\n# why\n- target: $.a\n  update: 1",
        8,
        "x-optional: true",
    ),
    "a copy's source selects nothing": (
        "1.1.0",
        "a: 1",
        "- {target: $.a, copy: $.b}",
        6,
        r"\$\.b selects nothing",
    ),
    "a copy's source selects two nodes": (
        "1.1.0",
        "a: 1\nb: 1",
        "- {target: $.a, copy: $.*, x-optional: true}",
        6,
        r"\$\.\* selects 2 nodes",
    ),
    "1.1 has nodes of two kinds": (
        "1.1.0",
        "a: {}\nb: []\nc: 1",
        "- {target: $.*, update: {}}",
        6,
        r"different kinds \(a primitive, an array, an object\)",
    ),
    "1.0 selects a primitive to update": (
        "1.0.0",
        "a: 1",
        "- {target: $.a, update: 2}",
        6,
        "selects a primitive",
    ),
    "1.0 selects a primitive to remove": (
        "1.0.0",
        "a: [1]",
        "- {target: '$.a[0]', remove: true}",
        6,
        "selects a primitive",
    ),
    "an object is given a primitive": (
        "1.1.0",
        "a: {}",
        "- {target: $.a, update: 2}",
        6,
        r"\$\['a'\] is an object and cannot be merged with a primitive",
    ),
    "an object is given an array": (
        "1.0.0",
        "a: {}",
        "- {target: $.a, update: []}",
        6,
        r"\$\['a'\] is an object and cannot be merged with an array",
    ),
    "a primitive is given an object": (
        "1.1.0",
        "a: 1",
        "- {target: $.a, update: {}}",
        6,
        r"\$\['a'\] is a primitive and cannot be merged with an object",
    ),
    "kinds do not fit far within": (
        "1.1.0",
        "a:\n  b:\n  - c: {200: [1]}",
        "- {target: '$.a.b[0]', update: {c: {'200': null}}}",
        6,
        r"\$\['a'\]\['b'\]\[0\]\['c'\]\['200'\] is an array and cannot be merged with a primitive",
    ),
    "the root is removed": ("1.0.0", "a: 1", "- {target: $, remove: true}", 6, "the whole document"),
}


@pytest.mark.parametrize(("version", "contract", "actions", "line", "words"), MISFITS.values(), ids=MISFITS)
def test_misfit(  # noqa: PLR0917 - pytest gives them by name
    bench: Bench, version: str, contract: str, actions: str, line: int, words: str
) -> None:
    """An action that does not fit the contract says what, in which line of which overlay."""
    overlay = bench.overlay(actions, version)
    with pytest.raises(OverlayError, match=words) as caught:
        overlay.apply(bench.contract(contract))
    assert (caught.value.source, caught.value.line) == (str(overlay.source), line)


GOOD = {
    "overlay": "1.1.0",
    "info": {"title": "T", "version": "1"},
    "actions": [{"target": "$.a", "remove": True}],
}


def changed(*path: str | int, to: Any = ...) -> str:
    """`GOOD` with one place set, or taken away, as a JSON file with a line for each value."""
    overlay: Any = copy.deepcopy(GOOD)
    holder = overlay
    for step in path[:-1]:
        holder = holder[step]
    if to is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = to
    return json.dumps(overlay, indent=1)


def acting(version: str = "1.1.0", **fields: Any) -> str:
    """An overlay whose one action holds these fields."""
    return json.dumps(GOOD | {"overlay": version, "actions": [fields]}, indent=1)


# Each: the file, then line and words of the message.
MALFORMED = {
    "an empty file": ("", 1, "is not a supported overlay"),
    "an array": ("- 1", 1, "is not a supported overlay"),
    "no overlay version": (changed("overlay"), 1, 'begin it with overlay: "1.0.0"'),
    "an unknown overlay version": (changed("overlay", to="1.2.0"), 1, "begin it with overlay"),
    "an overlay version that is a number": (changed("overlay", to=1.0), 1, "begin it with overlay"),
    "an overlay version and more": (changed("overlay", to="1.0.0\n"), 1, "begin it with overlay"),
    "no info": (changed("info"), 1, "info is missing from overlay"),
    "an info of another kind": (changed("info", to="T"), 3, "info must be an object"),
    "no title": (changed("info", "title"), 3, "title is missing from info"),
    "a title of another kind": (changed("info", "title", to=1), 4, "title must be text"),
    "no version": (changed("info", "version"), 3, "version is missing from info"),
    "a version that is a number": (changed("info", "version", to=1.0), 5, "version must be text, in quotes"),
    "an info with an unknown field": (changed("info", "name", to="T"), 6, "name is not a known field"),
    "an info's description of another kind": (changed("info", "description", to=1), 6, "must be text"),
    "an info's description in 1.0": (
        json.dumps(GOOD | {"overlay": "1.0.0", "info": {"title": "T", "version": "1", "description": "D"}}),
        1,
        "description needs Overlay 1.1",
    ),
    "an extends of another kind": (changed("extends", to=["a"]), 13, "extends must be text"),
    "an unknown field": (changed("action", to=[]), 13, "action is not a known field"),
    "no actions": (changed("actions"), 1, "actions is missing from overlay"),
    "actions of another kind": (changed("actions", to={}), 7, "actions must be an array"),
    "an empty list of actions": (changed("actions", to=[]), 7, "actions is empty"),
    "an action of another kind": (changed("actions", 0, to="$"), 8, "each of actions must be an object"),
    "an action twice": (
        changed("actions", to=[{"target": "$", "update": {}}, {"update": {}, "target": "$"}]),
        12,
        "line 8 has the same action",
    ),
    "an action without target": (changed("actions", 0, "target"), 8, "target is missing from an action"),
    "a target of another kind": (changed("actions", 0, "target", to=["$"]), 9, "target must be text"),
    "a target that is no path": (changed("actions", 0, "target", to="a.b"), 9, "'a.b' is not a JSONPath"),
    "a target of another dialect": (
        changed("actions", 0, "target", to="$.a[?(@.x-y == 1)]"),
        9,
        "RFC 9535",
    ),
    "a description of another kind": (changed("actions", 0, "description", to=1), 11, "must be text"),
    "an action with an unknown field": (
        changed("actions", 0, "replace", to=1),
        11,
        "replace is not a known field",
    ),
    "a remove of another kind": (changed("actions", 0, "remove", to=1), 10, "remove must be true or false"),
    "an x-optional of another kind": (
        changed("actions", 0, "x-optional", to="yes"),
        11,
        "x-optional must be true or false",
    ),
    "an action with nothing to do": (acting(target="$"), 8, "the action changes nothing"),
    "an action that does not remove": (acting(target="$", remove=False), 8, "the action changes nothing"),
    "update and remove in 1.1": (acting(target="$", update={}, remove=True), 8, "not update and remove"),
    "update and copy": (acting(target="$", update={}, copy="$.a"), 8, "not update and copy"),
    "copy and remove": (acting(target="$", copy="$.a", remove=True), 8, "not copy and remove"),
    "copy in 1.0": (acting("1.0.0", target="$", copy="$.a"), 10, "copy needs Overlay 1.1"),
    "a copy of another kind": (acting(target="$", copy={}), 10, "copy must be text"),
    "a copy that is no path": (acting(target="$", copy="$["), 10, "not a JSONPath"),
}


@pytest.mark.parametrize(("text", "line", "words"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(bench: Bench, text: str, line: int, words: str) -> None:
    """A malformed overlay is refused with file, line and the mend."""
    with pytest.raises(OverlayError, match=words) as caught:
        bench.raw(text)
    assert (caught.value.source, caught.value.line) == (str(bench.folder / "overlay.yaml"), line)


def test_not_yaml(bench: Bench) -> None:
    """A file that is not there, or not YAML, is refused as every contract is."""
    with pytest.raises(ContractError, match="no such file"):
        Overlay.load(bench.folder / "none.yaml")
    with pytest.raises(ContractError, match=r"overlay\.yaml:1: is not YAML"):
        bench.raw("a: [")


def test_load(bench: Bench) -> None:
    """A loaded overlay tells what it is and what it does."""
    overlay = bench.raw("""\
        overlay: 1.1.3
        info: {title: Opens the enums, version: "2", description: D, x-a: 1}
        extends: ../some.yaml
        x-more: [1]
        actions:
        - target: $.a
          description: The relay's page says so.
          update: &shared {x: 1}
        - target: $.b
          copy: $.c
          x-evidence: {source: page}
          x-optional: true
        - target: $.d
          remove: &yes true
        - {target: $.e, update: *shared}
        """)
    assert overlay.source == bench.folder / "overlay.yaml"
    assert (overlay.title, overlay.version, overlay.extends) == ("Opens the enums", "1.1.3", "../some.yaml")
    update, copied, removed, aliased = overlay.actions
    assert (update.target, update.does, update.line) == ("$.a", Update({"x": 1}), 6)
    assert (update.description, update.optional) == ("The relay's page says so.", False)
    assert isinstance(copied.does, Copy)
    assert (copied.does.source, copied.optional, copied.line) == ("$.c", True, 9)
    assert removed.does == Remove()
    assert aliased.does == update.does
    assert bench.overlay("- {target: $, update: {}}", "1.0.7").extends is None


def test_targets_share_nothing(bench: Bench) -> None:
    """A value that went to two places, and into two documents, is a value of its own in each."""
    overlay = bench.overlay("- {target: $.*, update: {k: {l: [1]}}}\n- {target: $.a, copy: $.b}")
    document = bench.contract("a: {}\nb: {}\n")
    first = overlay.apply(document)
    first["a"]["k"]["l"].append(2)
    assert first["b"] == {"k": {"l": [1]}}
    assert overlay.apply(document) == {"a": {"k": {"l": [1, 1]}}, "b": {"k": {"l": [1]}}}


# Properties. Names are few, so that paths hit.
NAMES = st.sampled_from(["a", "b", "x", "200", "x-y"])
PRIMITIVES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "1"])
NODES = st.recursive(
    PRIMITIVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4)
)
DOCUMENTS = st.dictionaries(NAMES, NODES, max_size=5)
TARGETS = st.sampled_from(
    [
        "$..[0]",
        "$..[-1]",
        "$.*.*",
        "$..*",
        "$",
        "$.*",
        "$.a",
        "$.a.*",
        "$.b[0,2]",
        "$.x[?@ == 1]",
        "$..a",
        "$..x",
        "$..[?@.a]",
        "$..[?@ == 1]",
    ]
)
DOES = st.builds(Remove) | st.builds(Update, NODES)


def acts(*steps: tuple[str, Remove | Update]) -> Overlay:
    """An overlay of these actions, each optional."""
    actions = tuple(
        Action(target, jsonpath.compile(target), does, line=1, optional=True) for target, does in steps
    )
    return Overlay(Path("overlay.yaml"), "T", "1.1.0", None, actions)


@given(DOCUMENTS, st.lists(st.tuples(TARGETS, DOES), max_size=3))
def test_the_document_is_left_alone(
    document: dict[str, Any], steps: list[tuple[str, Remove | Update]]
) -> None:
    """Whatever an overlay does, or fails to do, the document that it is applied to stays the same."""
    original = copy.deepcopy(document)
    with suppress(OverlayError):
        acts(*steps).apply(document)
    assert document == original


# Neither the root, which stays, nor indices, which then select the items that moved up.
@given(DOCUMENTS, TARGETS.filter(lambda target: not re.search(r"^\$$|\[0|\[-1", target)))
def test_remove_leaves_none(document: dict[str, Any], target: str) -> None:
    """What a name or a filter selects is not there once it was removed, and nothing else is gone."""
    left = acts((target, Remove())).apply(document)
    assert not jsonpath.find(target, left)
    if not jsonpath.find(target, document):
        assert left == document


@given(DOCUMENTS)
def test_update_with_nothing(document: dict[str, Any]) -> None:
    """Merging an empty object changes nothing, and applying it gives another document."""
    result = acts(("$", Update({}))).apply(document)
    assert result == document
    assert result is not document
