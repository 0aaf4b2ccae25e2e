"""Requests that a contract describes: ids and constants at their places, in the types of the schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placed import contract_text

from mjrelay.contract import build_request, load_contract, read_contract, request_problem
from mjrelay.errors import ContractError, SettingError
from mjrelay.http import Request
from mjrelay.semantics import body_with, parse_expression

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay.contract import Contract

ACCEPT = ("Accept", "application/json")
JSON = ("Content-Type", "application/json")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def contract(folder: Path, place: str, *edits: tuple[str, str]) -> Contract:
    """Return a contract that takes the id in a place, after edits of its text."""
    text = contract_text(place)
    for before, after in edits:
        assert before in text
        text = text.replace(before, after, 1)
    (folder / f"{place}.yaml").write_text(text, encoding="utf-8")
    return read_contract(folder / f"{place}.yaml")


def test_the_id_is_in_its_place() -> None:
    """The id is a path segment, a query parameter, a header field or a value in a JSON body."""
    request = load_contract("zhongzhuan").request("17/../18 ü")
    assert request == Request("GET", "/mj/task/17%2F..%2F18%20%C3%BC/fetch", (ACCEPT,))
    assert build_request("GET", "/fetch", {"$request.query.jobId": "a&b"}).target == "/fetch?jobId=a%26b"
    assert build_request("GET", "/fetch", {"$request.header.X-Id": "17"}).headers == (ACCEPT, ("X-Id", "17"))
    request = build_request("POST", "/fetch", {"$request.body#/data/task~1id": "17"})
    assert (request.target, request.headers) == ("/fetch", (ACCEPT, JSON))
    assert json.loads(request.body) == {"data": {"task/id": "17"}}
    for dots in (".", "..", "..."):
        target = build_request("GET", "/task/{id}", {"$request.path.id": dots}).target
        assert "." not in target
        assert unquote(target) == f"/task/{dots}"


@given(TEXTS, st.lists(TEXTS))
def test_any_text_comes_back_out_of_its_request(task_id: str, ids: list[str]) -> None:
    """A request carries exactly the ids, in order, and nothing leaves its place."""
    path = build_request("GET", "/mj/task/{id}/fetch", {"$request.path.id": task_id}).target
    assert path.isascii()
    assert (path.count("/"), unquote(path)) == (4, f"/mj/task/{task_id}/fetch")
    query = build_request("GET", "/fetch?all=0", {"$request.query.id": ids}).target
    assert query.isascii()
    assert parse_qsl(urlsplit(query).query, keep_blank_values=True)[1:] == [("id", one) for one in ids]
    body = build_request("POST", "/fetch", {"$request.body#/a/ids": ids, "$request.body#/b": task_id}).body
    assert json.loads(body) == {"a": {"ids": ids}, "b": task_id}


def test_what_is_no_place() -> None:
    """Other expressions are rejected, and named."""
    wrong = ("", "id", "$request.path", "$request.path.", "$request.cookie.id", "$response.body#/id", "$url")
    for expression in (*wrong, "$request.body", "$request.body#", "$request.body#id", "$request.body#//x"):
        with pytest.raises(ContractError, match="is not an OpenAPI runtime expression"):
            parse_expression(expression)


@pytest.mark.parametrize(
    ("path", "values", "message"),
    [
        ("/task/{taskId}", {"$request.path.id": "1"}, "does not fill"),
        ("/{mode}/task/{id}", {"$request.path.id": "1"}, "does not fill"),
        ("/{mode}/task", {"$request.query.id": "1"}, "does not fill"),
        ("/list/{ids}", {"$request.path.ids": ["1"]}, "one id only"),
        ("/list", {"$request.header.X-Ids": ["1"]}, "one id only"),
        ("/list", {"$request.body#/ids": ["1", "\ud800"]}, "not text that UTF-8 can encode"),
        ("/list", {"$request.query.id": "\ud800"}, "not text that UTF-8 can encode"),
        ("/list", {"$request.body#/a": "1", "$request.body#/a/b": "2"}, "leads through '1'"),
    ],
)
def test_a_request_that_cannot_be_built(path: str, values: dict[str, Any], message: str) -> None:
    """A template that is not filled, a list in a single place and text that is no text are rejected."""
    with pytest.raises((ContractError, SettingError), match=message):
        build_request("POST", path, values)


def test_batches_and_seeds() -> None:
    """The ids are a list in the body, the seed's id goes where `ask` says, and both paths can be replaced."""
    relay = load_contract("zhongzhuan")
    request = relay.batch_request(["2", "1"])
    assert (request.method, request.target) == ("POST", relay.batch_path)
    assert json.loads(request.body) == {"ids": ["2", "1"]}
    assert relay.batch_request(["1"], "/fast/mj/list").target == "/fast/mj/list"
    assert relay.seed_path == "/mj/task/{id}/image-seed"
    assert relay.seed_request("a/b").target == "/mj/task/a%2Fb/image-seed"
    assert relay.seed_request("1", "/fast/{id}/seed").target == "/fast/1/seed"
    neither = load_contract("ttapi")
    assert (neither.batch_path, neither.seed_path) == (None, None)
    for call, message in ((neither.batch_request, "no batch; fetch"), (neither.seed_request, "no seed")):
        with pytest.raises(ContractError, match=message):
            call("1")


def test_the_schema_types_the_id(tmp_path: Path) -> None:
    """An id that the body declares as an integer is sent as one, and another text is not sent."""
    relay = contract(tmp_path, "integer")
    assert relay.request("17").body == b'{"task_id": 17}'
    for wrong in ("abc", "007", "1.0", "NaN", "", "-", "9" * 5000):
        with pytest.raises(SettingError, match="task_id is string, expected integer"):
            relay.request(wrong)
    either = contract(tmp_path, "integer", ("{type: [integer]", "{type: [integer, string]"))
    assert either.request("17").body == b'{"task_id": "17"}'


def test_constants_are_in_each_request(tmp_path: Path) -> None:
    """`set` puts JSON values into body, query and headers, beside the id."""
    places = "{$request.body#/action: retrieve, $request.body#/page/size: 1, $request.query.v: 2}"
    relay = contract(tmp_path, "body", ("version: 1", f"version: 1\n        set: {places}"))
    request = relay.request("17")
    assert request.target.endswith("?v=2")
    assert json.loads(request.body) == {"task_id": "17", "action": "retrieve", "page": {"size": 1}}
    flag = "{$request.header.X-Full: true}"
    relay = contract(tmp_path, "path", ("version: 1", f"version: 1\n        set: {flag}"))
    assert relay.request("17").headers == (ACCEPT, ("X-Full", "true"))


@pytest.mark.parametrize(
    ("constant", "message"),
    [
        ("$request.path.mode: fast", "write the value into the path"),
        ("$request.body#/task_id: x", "another value has this place"),
        ("$request.body#/task_id/x: x", "another value has this place"),
        ("$request.query.v: [1]", "is not text, a number, true or false"),
        ('$request.header.X-Line: "a\\r\\nb"', "is not the value of a header"),
        ("$request.header.host: a", "the client sends this header itself"),
        ("$request.header.AUTHORIZATION: a", "the client sends this header itself"),
        ("cookie: a", "is not an OpenAPI runtime expression"),
    ],
)
def test_constants_that_no_request_can_carry(tmp_path: Path, constant: str, message: str) -> None:
    """A constant neither replaces the id or the credential nor breaks out of its place."""
    with pytest.raises(ContractError, match=message):
        _ = contract(tmp_path, "body", ("version: 1", f"version: 1\n        set: {{{constant}}}")).reader


@given(st.dictionaries(TEXTS, TEXTS), st.lists(TEXTS, min_size=1, max_size=3))
def test_a_body_keeps_what_is_beside_a_value(beside: dict[str, str], steps: list[str]) -> None:
    """A value is added at its pointer, and neither another member nor the given body changes."""
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    body = {key: value for key, value in beside.items() if key != steps[0]}
    copy = dict(body)
    built: Any = body_with({pointer: 1}, body)
    assert body == copy
    assert {key: value for key, value in built.items() if key != steps[0]} == body
    for step in steps:
        built = built[step]
    assert built == 1


def test_requests_that_an_operation_does_not_accept(tmp_path: Path) -> None:
    """A missing parameter or body, another type and a value outside an enumeration are named."""
    relay = contract(tmp_path, "integer")

    def problem(body: bytes, content_type: str = "application/json") -> str | None:
        return request_problem(relay, relay.location, "", [("content-type", content_type)], body)

    assert problem(relay.request("17").body) is None
    assert problem(b"") == "the body is missing"
    assert problem(b"{}") == "the body needs task_id"
    assert problem(b'{"task_id": "17"}') == "/task_id is string, expected integer"
    assert str(problem(b"[")).startswith("the body is not JSON")
    assert problem(b"task_id=17", "text/plain") == "the body is text/plain, expected application/json"
    relay = contract(tmp_path, "query", ("schema: {type: string}", "schema: {type: integer, enum: [1, 2]}"))
    for query, expected in (
        ("task_id=1", None),
        ("", "the query parameter task_id is missing"),
        ("task_id=x", "the query parameter task_id is string, expected integer"),
        ("task_id=3", "the query parameter task_id is not one of 1, 2"),
    ):
        assert request_problem(relay, relay.location, query, [], b"") == expected
