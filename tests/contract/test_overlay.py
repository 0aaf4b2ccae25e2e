"""Overlays: the changes that the specification defines, malformed overlays, and properties of any change."""

from __future__ import annotations

import copy
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonpath_rfc9535 as jsonpath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay.contract.overlay import Action, Copy, Overlay, Remove, Update
from mjrelay.contract.yaml import load_yaml, plain_yaml
from mjrelay.errors import ContractError, OverlayError

TRIPLES = plain_yaml(load_yaml(Path(__file__).with_name("overlays.yaml")))


def read(folder: Path, text: str) -> Overlay:
    """Return the overlay with this text, as a file in a folder."""
    path = folder / "overlay.yaml"
    path.write_text(text, encoding="utf-8")
    return Overlay.load(path)


def overlay(folder: Path, version: str, actions: Any) -> Overlay:
    """Return an overlay whose actions begin in line 8."""
    return read(folder, json.dumps(GOOD | {"overlay": version, "actions": actions}, indent=1))


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_triples(tmp_path: Path, version: str) -> None:
    """Each overlay has the documented result, in key order, or error, and leaves the document unchanged."""
    triples = [triple for triple in TRIPLES if version in triple.get("versions", ["1.1.0"])]
    assert len(triples) > 20
    for triple in triples:
        base, case = triple["base"], triple["case"]
        before, one = copy.deepcopy(base), overlay(tmp_path, version, triple["actions"])
        if "error" in triple:
            with pytest.raises(OverlayError, match=triple["error"]) as caught:
                one.apply(base)
            assert (caught.value.source, caught.value.line) == (str(one.source), 8), case
        else:
            assert json.dumps(one.apply(base)) == json.dumps(triple["result"]), case
        assert base == before, case


GOOD = {
    "overlay": "1.1.0",
    "info": {"title": "T", "version": "1"},
    "actions": [{"target": "$.a", "remove": True}],
}


def changed(*path: str | int, to: Any = ...) -> str:
    """Return `GOOD` as JSON with a line for each value and one value replaced, or removed."""
    changed: Any = copy.deepcopy(GOOD)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    if to is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = to
    return json.dumps(changed, indent=1)


def acting(version: str = "1.1.0", **fields: Any) -> str:
    """Return an overlay with one action as JSON, with a line for each value."""
    return json.dumps(GOOD | {"overlay": version, "actions": [fields]}, indent=1)


INFO = {"title": "T", "version": "1", "description": "D"}
TWICE = [{"target": "$", "update": {}}, {"update": {}, "target": "$"}]
# The overlay, and the line and a part of the message.
MALFORMED = [
    ("", 1, "is not a supported overlay"),
    ("- 1", 1, "is not a supported overlay"),
    (changed("overlay"), 1, 'begin it with overlay: "1.0.0"'),
    (changed("overlay", to="1.2.0"), 1, "begin it with overlay"),
    (changed("overlay", to=1.0), 1, "begin it with overlay"),
    (changed("overlay", to="1.0.0\n"), 1, "begin it with overlay"),
    (changed("info"), 1, "info is missing from overlay"),
    (changed("info", to="T"), 3, "info must be an object"),
    (changed("info", "title"), 3, "title is missing from info"),
    (changed("info", "title", to=1), 4, "title must be text"),
    (changed("info", "version"), 3, "version is missing from info"),
    (changed("info", "version", to=1.0), 5, "version must be text, in quotes"),
    (changed("info", "name", to="T"), 6, "name is not a known field"),
    (changed("info", "description", to=1), 6, "must be text"),
    (json.dumps(GOOD | {"overlay": "1.0.0", "info": INFO}), 1, "description needs Overlay 1.1"),
    (changed("extends", to=["a"]), 13, "extends must be text"),
    (changed("action", to=[]), 13, "action is not a known field"),
    (changed("actions"), 1, "actions is missing from overlay"),
    (changed("actions", to={}), 7, "actions must be an array"),
    (changed("actions", to=[]), 7, "actions is empty"),
    (changed("actions", 0, to="$"), 8, "each of actions must be an object"),
    (changed("actions", to=TWICE), 12, "line 8 has the same action"),
    (changed("actions", 0, "target"), 8, "target is missing from an action"),
    (changed("actions", 0, "target", to=["$"]), 9, "target must be text"),
    (changed("actions", 0, "target", to="a.b"), 9, "'a.b' is not a JSONPath"),
    (changed("actions", 0, "target", to="$.a[?(@.x-y == 1)]"), 9, "RFC 9535"),
    (changed("actions", 0, "description", to=1), 11, "must be text"),
    (changed("actions", 0, "replace", to=1), 11, "replace is not a known field"),
    (changed("actions", 0, "remove", to=1), 10, "remove must be true or false"),
    (changed("actions", 0, "x-optional", to="yes"), 11, "x-optional must be true or false"),
    (acting(target="$", update={}, copy="$.a"), 8, "not update and copy"),
    (acting("1.0.0", target="$", copy="$.a"), 10, "copy needs Overlay 1.1"),
    (acting(target="$", copy={}), 10, "copy must be text"),
    (acting(target="$", copy="$["), 10, "not a JSONPath"),
]


def test_malformed(tmp_path: Path) -> None:
    """A malformed overlay is an error with the file, the line and the correction."""
    for text, line, message in MALFORMED:
        with pytest.raises(OverlayError, match=message) as caught:
            read(tmp_path, text)
        assert (caught.value.source, caught.value.line) == (str(tmp_path / "overlay.yaml"), line), message


def test_not_yaml(tmp_path: Path) -> None:
    """A missing file, and one that is not YAML, are errors like those of contracts."""
    with pytest.raises(ContractError, match="no such file"):
        Overlay.load(tmp_path / "none.yaml")
    with pytest.raises(ContractError, match=r"overlay\.yaml:1: is not YAML"):
        read(tmp_path, "a: [")


LOADED = """\
overlay: 1.1.3
info: {title: Opens the enums, version: "2", description: D, x-a: 1}
extends: ../some.yaml
x-more: [1]
actions:
- target: $.a
  description: The relay's page lists it.
  update: &shared {x: 1}
- target: $.b
  copy: $.c
  x-evidence: {source: page}
  x-optional: true
- target: $.d
  remove: &yes true
- {target: $.e, update: *shared}
"""


def test_load(tmp_path: Path) -> None:
    """A loaded overlay has its title, version, base and actions, each with its line."""
    one = read(tmp_path, LOADED)
    assert one.source == tmp_path / "overlay.yaml"
    assert (one.title, one.version, one.extends) == ("Opens the enums", "1.1.3", "../some.yaml")
    update, copied, removed, aliased = one.actions
    assert (update.target, update.does, update.line) == ("$.a", Update({"x": 1}), 6)
    assert (update.description, update.optional) == ("The relay's page lists it.", False)
    assert isinstance(copied.does, Copy)
    assert (copied.does.source, copied.optional, copied.line) == ("$.c", True, 9)
    assert removed.does == Remove()
    assert aliased.does == update.does
    assert overlay(tmp_path, "1.0.7", [{"target": "$"}]).extends is None


def test_targets_share_nothing(tmp_path: Path) -> None:
    """A value that is copied to two places, or into two documents, is separate in each."""
    actions = [{"target": "$.*", "update": {"k": {"l": [1]}}}, {"target": "$.a", "copy": "$.b"}]
    one = overlay(tmp_path, "1.1.0", actions)
    document: dict[str, Any] = {"a": {}, "b": {}}
    first = one.apply(document)
    first["a"]["k"]["l"].append(2)
    assert first["b"] == {"k": {"l": [1]}}
    assert one.apply(document) == {"a": {"k": {"l": [1, 1]}}, "b": {"k": {"l": [1]}}}


# There are few names, so that paths select something.
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
    """Return an overlay with these actions, each optional."""
    actions = tuple(
        Action(target, jsonpath.compile(target), does, line=1, optional=True) for target, does in steps
    )
    return Overlay(Path("overlay.yaml"), "T", "1.1.0", None, actions)


@given(DOCUMENTS, st.lists(st.tuples(TARGETS, DOES), max_size=3))
def test_the_document_is_left_alone(
    document: dict[str, Any], steps: list[tuple[str, Remove | Update]]
) -> None:
    """An overlay that is applied, or fails, does not change the original document."""
    original = copy.deepcopy(document)
    with suppress(OverlayError):
        acts(*steps).apply(document)
    assert document == original


# Not the root, which cannot be removed, nor indices, which then select the next items.
@given(DOCUMENTS, TARGETS.filter(lambda target: not re.search(r"^\$$|\[0|\[-1", target)))
def test_remove_leaves_none(document: dict[str, Any], target: str) -> None:
    """After a removal the target selects nothing. A target that selects nothing changes nothing."""
    left = acts((target, Remove())).apply(document)
    assert not jsonpath.find(target, left)
    if not jsonpath.find(target, document):
        assert left == document


@given(DOCUMENTS)
def test_update_with_nothing(document: dict[str, Any]) -> None:
    """An empty update changes nothing, and the result is a separate document."""
    result = acts(("$", Update({}))).apply(document)
    assert result == document
    assert result is not document
