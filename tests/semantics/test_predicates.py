"""Predicates, scopes and matchers, and equality by JSON type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readers import SCALARS, nested, reader, response

from mjrelay.errors import ContractError
from mjrelay.semantics.matcher import Matcher
from mjrelay.semantics.predicate import compile_predicate, compile_scope, same_value, table

MATCHERS = """
    missing:
      - {status: 400, where: {$.code: 4, $.description: {match: "task_no_found ?"}}}
      - {status: 200, body: empty}
      - {status: 204}
    unauthorized: [{status: 401}]
    forbidden: {status: 403}
    elsewhere: {status: 200, content: Text/HTML}
"""


def test_conditions() -> None:
    """A condition holds by JSON type: a scalar, one of a list, a pattern for the whole text, or presence."""
    for condition, matching, others in (
        (0, [0, 0.0], [False, None]),
        (False, [False], [0]),
        (True, [True], [1]),
        (1, [1], ["1", True]),
        (None, [None], [0, ""]),
        (["x", 2], ["x", 2], [3]),
        ([], [], [3]),
        ({"match": "v_.*"}, ["v_1"], ["_v_1"]),
        ({"match": "v_"}, ["v_"], ["v_1"]),
        ({"match": ".*"}, ["1"], [1]),
        ({"present": True}, [0], []),
        ({"present": False}, [], ["x"]),
    ):
        holds = compile_predicate({"$.a": condition})
        assert [holds({"a": value}) for value in matching] == [True] * len(matching), condition
        assert [holds({"a": value}) for value in others] == [False] * len(others), condition
    assert not compile_predicate({"$.a": {"present": True}})({})
    assert compile_predicate({"$.a": {"present": False}})({})


def test_predicates() -> None:
    """Every condition must hold. One value of several is enough."""
    assert compile_predicate({})({})
    assert compile_predicate({"$.a[*]": 2})({"a": [1, 2]})
    both = compile_predicate({"$.a": 1, "$.b": 2})
    assert both({"a": 1, "b": 2})
    assert not both({"a": 1, "b": 3})


def test_invalid_conditions() -> None:
    """A condition of another shape is an error, not a condition that never holds."""
    mixed = {"match": "a", "present": True}
    for condition in ({}, {"match": 1}, mixed, {"present": 1}, {"like": "a"}, [{"match": "a"}], [[1]]):
        with pytest.raises(ContractError, match="is not a condition"):
            compile_predicate({"$.a": condition})


def test_invalid_patterns() -> None:
    """A malformed or too large pattern is an error that shows the reason."""
    for pattern, message in (
        ("(", "not a regular expression"),
        ("a{99999999999999}", "99,999,999,999,999 elements"),
        ("(a{1000}){1000}", "1,000,000 elements"),
        ("(" * 5000, "5,000 characters"),
        ("(" * 90 + "a" + ")" * 90, "deeper than 50"),
        ("(?x) a b", "flag x"),
    ):
        with pytest.raises(ContractError, match=message):
            compile_predicate({"$.a": {"match": pattern}})


def test_scopes() -> None:
    """A scope has a predicate that must hold, one that must not, or both. Other keys are errors."""
    both = compile_scope({"where": {"$.a": 1}, "unless": {"$.b": 1}})
    assert [both(document) for document in ({"a": 1}, {"a": 1, "b": 1}, {"b": 2})] == [True, False, False]
    assert compile_scope(True)({})
    invalid: list[Any] = [{}, False, None, "x", {"when": {}}, {"where": {}, "unles": {}}]
    for scope in invalid:
        with pytest.raises(ContractError, match="is not a scope"):
            compile_scope(scope)


def test_responses_for_a_missing_task() -> None:
    """A matcher compares the status, an empty body and the document, with any media type."""
    body = b'{"code":4,"description":"task_no_found"}'
    for exchange, missing in (
        (response(400, body.replace(b'found"', b'found "')), True),
        (response(400, body, "text/plain; charset=utf-8"), True),
        (response(400, body.replace(b"task_no_found", b"do_request_failed ")), False),
        (response(400, body.replace(b"4", b'"4"')), False),
        (response(400, b""), False),
        (response(400, b"<html>"), False),
        (response(404, body), False),
        (response(200, b""), True),
        (response(200, b"\n"), True),
        (response(200, b"null"), False),
        (response(204), True),
        (response(None), False),
    ):
        assert any(matcher.matches(exchange) for matcher in reader(MATCHERS).missing) is missing, exchange


def test_other_matchers() -> None:
    """One matcher or a list is allowed. Media types are compared without case and parameters."""
    read = reader(MATCHERS)
    assert [matcher.matches(response(401)) for matcher in read.unauthorized] == [True]
    assert [matcher.matches(response(403)) for matcher in read.forbidden] == [True]
    page = response(200, b"<!doctype html>", "TEXT/html; charset=utf-8")
    assert [matcher.matches(page) for matcher in read.elsewhere] == [True]
    assert [matcher.matches(response(200, b"{}")) for matcher in read.elsewhere] == [False]
    assert reader().missing == reader().elsewhere == ()
    assert [str(matcher) for matcher in (*read.missing[:2], *read.elsewhere)] == [
        "400 where $.code is 4 and $.description matches task_no_found ?",
        "200 with an empty body",
        "200 Text/HTML",
    ]
    where = {"$.a": "b", "$.c": [None, ""], "$.d": {"present": False}, "$.e": {"present": True}}
    text = '$.a is "b" and $.c is null or "" and $.d is missing and $.e is present'
    assert str(Matcher.compile({"status": 401, "where": where})) == f"401 where {text}"


@given(SCALARS, SCALARS)
def test_equality(left: Any, right: Any) -> None:
    """Equality is symmetric, and a boolean equals only a boolean."""
    assert same_value(left, right) == same_value(right, left)
    if isinstance(left, bool) != isinstance(right, bool):
        assert not same_value(left, right)


def test_deep_values_are_not_equal() -> None:
    """Values nested too deeply to compare are different."""
    assert not same_value(nested(100_000), nested(100_000))


@given(
    st.lists(st.none() | st.booleans() | st.integers(-1, 2) | st.floats(-1, 2) | st.text("ab", max_size=1)),
    SCALARS | st.integers(-1, 2) | st.text("ab", max_size=1) | st.lists(SCALARS),
)
def test_a_table(scalars: list[Any], value: Any) -> None:
    """A lookup in a table returns the first entry with the same value."""
    first = next((index for index, scalar in enumerate(scalars) if same_value(scalar, value)), None)
    assert table((scalar, index) for index, scalar in enumerate(scalars))(value) == first
