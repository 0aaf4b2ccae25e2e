"""JSONPath: simple paths are evaluated without the library, and select the same values."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonpath_rfc9535
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonpath_rfc9535.selectors import IndexSelector, NameSelector
from readers import nested

from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.errors import ContractError
from mjrelay.semantics import paths
from mjrelay.semantics.paths import JSONPath

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = ("a", "b", "", "0", "a b", "imageUrl", "\u00e9", "'", '"', "\\")
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
SIMPLE = (".a", ".b", ".imageUrl", "['a']", '["b"]', "['']", "['0']", "['a b']", "[0]", "[1]", "[*]", ".*")
QUOTED = (".\u00e9", r"['\'']", r"['\u0061']", """['"']""", " .a", "[ 'a' ]")
RARE = ("[-1]", "[:2]", "[0, 1]", "..a", "[?@.a]")


def assert_same_selection(text: str, document: Any) -> None:
    """Assert that a path selects the same values as the library."""
    path = JSONPath.compile(text)
    selected = [node.value for node in jsonpath_rfc9535.find(text, document)]
    assert [id(value) for value in path.find(document)] == [id(value) for value in selected]
    assert path.first(document) is (selected[0] if selected else None)


def packaged_paths() -> list[str]:
    """Return all paths in the packaged contracts' `x-mj-task`."""

    def texts(form: Any) -> Iterator[str]:
        match form:
            case dict():
                yield from form
                for member in form.values():
                    yield from texts(member)
            case list():
                for item in form:
                    yield from texts(item)
            case str():
                yield form

    found = {text for name in relay_names() for text in texts(load_contract(name).operation["x-mj-task"])}
    return sorted(text for text in found if re.match(r"\$(?=[.\[])", text))


@given(st.lists(st.sampled_from((*SIMPLE, *QUOTED, *RARE)), max_size=4), TREES)
def test_any_path(steps: list[str], document: Any) -> None:
    """A path selects what the library selects, with and without the fast evaluation."""
    text = "".join(["$", *steps])
    assume(text.count("..") <= 2)  # the limit
    assert_same_selection(text, document)


@given(st.from_regex(paths._SIMPLE, fullmatch=True), TREES, st.data())
def test_simple_paths(text: str, document: Any, data: st.DataObject) -> None:
    """Each path that is evaluated without the library is valid for it, and selects the same values."""
    for step in reversed(jsonpath_rfc9535.compile(text).segments):
        [selector] = step.selectors
        other = data.draw(TREES)
        if isinstance(selector, NameSelector):
            document = {"other": other, selector.name: document}
        elif isinstance(selector, IndexSelector):
            document = [*[other] * min(selector.index, 3), document]
        else:
            document = data.draw(st.sampled_from([[other, document], {"a": document, "b": other}]))
    assert_same_selection(text, document)


@given(st.sampled_from(packaged_paths()), st.data())
def test_packaged_paths(text: str, data: st.DataObject) -> None:
    """The paths of the packaged contracts select what the library selects, in documents with their names."""
    names = st.sampled_from([*re.findall(r"\w+", text), "other"])
    documents = st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=6),
        max_leaves=10,
    )
    assert_same_selection(text, data.draw(documents))


def test_packaged_contracts_do_not_import_the_library() -> None:
    """Readers of the packaged contracts import neither the JSONPath library nor time zones."""
    script = (
        "import sys\n"
        "from mjrelay.contract.loading import load_contract, relay_names\n"
        "for name in relay_names():\n"
        "    assert load_contract(name).reader.state({'status': 'x'})\n"
        "print(sorted({'jsonpath_rfc9535', 'regex', 'zoneinfo'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, encoding="utf-8", timeout=60
    )
    assert done.stdout == "[]\n"


def test_missing_and_null_are_unset() -> None:
    """`first` returns None for null and for a path that selects nothing."""
    path = JSONPath.compile("$.a.b")
    for document in ({}, {"a": {"b": None}}, {"a": [1]}):
        assert path.first(document) is None
    assert path.first({"a": {"b": 0}}) == 0


def test_locations() -> None:
    """`locate` returns the location of each selected value."""
    document = {"a": [{"b": 1}, {}, {"b": 2}]}
    assert JSONPath.compile("$.a[*].b").locate(document) == [("a", 0, "b"), ("a", 2, "b")]


def test_hostile_sizes() -> None:
    """A path of 100,000 steps and a document nested 5,000 deep select nothing, and do not crash."""
    assert JSONPath.compile("$" + "[*]" * 100_000).find({"a": {"b": {}}}) == []
    assert JSONPath.compile("$..x").find(nested(5000)) == []


def test_invalid_paths() -> None:
    """A path that is not RFC 9535 is an error in the contract."""
    for text in ("", "a", "$.", "$[", "$.a b", "$[?" + "(" * 3000):
        with pytest.raises(ContractError, match="JSONPath"):
            JSONPath.compile(text)
