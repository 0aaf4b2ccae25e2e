"""Relations between two values of a task."""

from __future__ import annotations

import math
from typing import Any

import pytest
from readers import yaml

from mjrelay.errors import ContractError
from mjrelay.semantics.relation import Relation


def relation(text: str) -> Relation:
    """Compile a relation from YAML."""
    return Relation.compile(yaml(text))


def test_equal_within_a_tolerance() -> None:
    """A captured hexadecimal number is scaled, and may differ by the tolerance."""
    signed = relation("""
        id: signed-at-finish
        left: {path: $.url, capture: "[?&]is=([0-9a-f]+)", base: 16, times: 1000}
        equals: {path: $.finishTime}
        within: 1000
    """)
    url = "https://cdn.example/1.png?ex=6728b0a2&is=67275f22&hm=1&"
    finish = 0x67275F22 * 1000
    assert signed.applies({"url": url, "finishTime": finish})
    assert signed.breach({"url": url, "finishTime": finish + 1000}) is None
    assert signed.breach({"url": url, "finishTime": finish + 1001}) == (finish, finish + 1001)
    assert signed.breach({"url": url, "finishTime": "x"}) == (finish, "x")
    assert (signed.level, signed.description) == ("info", "")


def test_an_offset() -> None:
    """A constant is added to a side."""
    day = relation("{id: day, level: should, left: {path: $.a, base: 10}, equals: {path: $.b, plus: 86400}}")
    assert day.breach({"a": "86401", "b": 1}) is None
    assert day.breach({"a": "86402", "b": 1}) == (86402, 86401)
    assert day.level == "should"


def test_counts() -> None:
    """A count is the number of selected values, and 0 if the path selects nothing."""
    batch = relation('{id: batch, left: {count: "$.urls[*]"}, equals: {path: $.size}}')
    assert batch.breach({"urls": ["a", "b"], "size": 2}) is None
    assert batch.breach({"size": 4}) == (0, 4)
    assert batch.breach({"urls": []}) is None


def test_contains() -> None:
    """Every value on the left must contain the text on the right."""
    named = relation('{id: named, left: {path: "$.urls[*]"}, contains: {path: $.id}}')
    assert named.breach({"urls": ["x/17/0.mp4", "x/17/1.mp4"], "id": "17"}) is None
    assert named.breach({"urls": ["x/17/0.mp4", "x/18/1.mp4"], "id": "17"}) == ("x/18/1.mp4", "17")
    assert named.breach({"urls": [17], "id": "17"}) == (17, "17")


def test_unset_sides_and_scopes() -> None:
    """A relation does not apply if a side is unset, a capture does not match, or the task is out of scope."""
    captured = relation('{id: r, left: {path: $.a, capture: "([0-9])"}, equals: {path: $.b}}')
    unset: list[Any] = [{}, [], {"a": 1}, {"b": "1"}, {"a": None, "b": "1"}, {"a": "", "b": "1"}]
    scoped = relation("""
        {id: r, left: {path: $.a}, equals: {path: $.b}, where: {$.kind: IMAGINE}, unless: {$.old: true}}
    """)
    different = {"a": 1, "b": 2}
    assert scoped.breach({**different, "kind": "IMAGINE"}) == (1, 2)
    for equal, documents in (
        (captured, [*unset, {"a": "x", "b": "1"}]),
        (scoped, [different, {**different, "kind": "IMAGINE", "old": True}]),
    ):
        for document in documents:
            assert not equal.applies(document), document
            assert equal.breach(document) is None, document


def test_hostile_numbers() -> None:
    """Numbers that arithmetic cannot hold are compared unchanged."""
    equal = relation(
        "{id: r, left: {path: $.a, base: 36, times: 1.5}, equals: {path: $.b, plus: 1}, within: 0.5}"
    )
    assert equal.breach({"a": 10**400, "b": 1.5}) == (10**400, 2.5)
    assert equal.breach({"a": "z" * 5000, "b": 1}) is None
    assert equal.breach({"a": 1, "b": math.inf}) == (1.5, math.inf)
    assert equal.breach({"a": True, "b": 1}) == (True, 2)


def test_malformed_relations() -> None:
    """A relation of another shape is an error that shows what is wrong."""
    left, right = "left: {path: $.a}", "equals: {path: $.b}"
    for members, message in (
        (f"{left}, {right}", "not a relation"),
        (f"id: r, {right}", "not a relation"),
        (f"id: r, {left}", "not a relation"),
        (f"id: r, {left}, {right}, contains: {{path: $.b}}", "not a relation"),
        (f"id: r, {left}, {right}, witin: 3", "not a relation"),
        (f"id: r, {left}, {right}, within: near", "within"),
        (f"id: r, {left}, {right}, level: MUST", "level"),
        (f"id: r, {left}, equals: 3", "not an operand"),
    ):
        with pytest.raises(ContractError, match=message):
            relation(f"{{{members}}}")
    for operand, message in (
        ("path: $.a, mul: 3", "not an operand"),
        ('count: "$.a[*]", times: 3', "not an operand"),
        ("path: $.a, capture: x", "one group"),
        ('path: $.a, capture: "(x)(y)"', "one group"),
        ("path: $.a, base: 99", "base"),
        ('path: $.a, times: "3"', "times"),
        ("path: $.a, plus: true", "plus"),
    ):
        with pytest.raises(ContractError, match=message):
            relation(f"{{id: r, left: {{{operand}}}, {right}}}")
