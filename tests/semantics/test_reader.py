"""Each form of `x-mj-task`, proven on a small document of its own."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import jsonpath_rfc9535
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from jsonpath_rfc9535.selectors import IndexSelector, NameSelector
from ruamel.yaml import YAML

from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.errors import ContractError
from mjrelay.http.exchange import Exchange, Headers
from mjrelay.semantics import paths as _jsonpath
from mjrelay.semantics.compiler import compile_reader
from mjrelay.semantics.matcher import Matcher
from mjrelay.semantics.paths import JSONPath
from mjrelay.semantics.predicate import compile_predicate, compile_scope, same_value, table
from mjrelay.semantics.reader import Button, Reader, State
from mjrelay.semantics.relation import Relation
from mjrelay.semantics.values import is_number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator


def form(text: str = "") -> dict[str, Any]:
    """An `x-mj-task` that holds what every one must, and the members written in YAML."""
    parts = YAML(typ="safe", pure=True).load(dedent(text)) or {}
    return {"version": 1, "ask": "$request.path.id", "id": "$.id", "states": {}} | parts


def reader(text: str = "") -> Reader:
    """The reader of such a form."""
    return compile_reader(form(text))


def answer(status: int | None, body: bytes = b"", content: str = "application/json") -> Exchange:
    """Return a received response."""
    headers: Headers = (("Content-Type", content),)
    return Exchange("GET", "https://relay.example/task", status=status, headers=headers, body=body)


def nested(depth: int) -> Any:
    """An object inside an object, and so on."""
    document: Any = {}
    for _ in range(depth):
        document = {"a": document}
    return document


# --- paths ---


def test_missing_and_null_are_both_unset() -> None:
    """A path that selects nothing and one that selects null read the same."""
    path = JSONPath.compile("$.a.b")
    assert path.first({}) is None
    assert path.first({"a": {"b": None}}) is None
    assert path.first({"a": [1]}) is None
    assert path.first({"a": {"b": 0}}) == 0


KEYS = ("a", "b", "", "0", "a b", "imageUrl", "\u00e9", "'", '"', "\\")
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
SIMPLE = (".a", ".b", ".imageUrl", "['a']", '["b"]', "['']", "['0']", "['a b']", "[0]", "[1]", "[*]", ".*")
OTHERS = (
    ".\u00e9",
    r"['\'']",
    r"['\u0061']",
    """['"']""",
    "[-1]",
    "[:2]",
    "[0, 1]",
    "..a",
    "[?@.a]",
    " .a",
    "[ 'a' ]",
)


def assert_like_the_library(text: str, document: Any) -> None:
    """Assert that the path selects the same values as the library."""
    path = JSONPath.compile(text)
    selected = [node.value for node in jsonpath_rfc9535.find(text, document)]
    assert [id(value) for value in path.find(document)] == [id(value) for value in selected]
    assert path.first(document) is (selected[0] if selected else None)


@given(st.lists(st.sampled_from(SIMPLE) | st.sampled_from(OTHERS), max_size=4), TREES)
def test_a_path_selects_what_the_library_selects(steps: list[str], document: Any) -> None:
    """A path that is evaluated without the library selects what RFC 9535 says."""
    text = "".join(["$", *steps])
    assume(text.count("..") <= 2)  # the limit
    assert_like_the_library(text, document)


@given(st.from_regex(_jsonpath._SIMPLE, fullmatch=True), TREES, st.data())
def test_a_path_that_needs_no_library_is_one_to_it(text: str, document: Any, data: st.DataObject) -> None:
    """A path that needs no library is valid RFC 9535, and selects the same values."""
    for step in reversed(jsonpath_rfc9535.compile(text).segments):
        [selector] = step.selectors
        others = [data.draw(TREES)]
        if isinstance(selector, NameSelector):
            document = {"other": others[0], selector.name: document}
        elif isinstance(selector, IndexSelector):
            document = [*others * min(selector.index, 3), document]
        else:
            document = data.draw(st.sampled_from([[*others, document], {"a": document, "b": others[0]}]))
    assert_like_the_library(text, document)


def packaged_paths() -> list[str]:
    """Every path in the packaged contracts' `x-mj-task`."""

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


@given(st.sampled_from(packaged_paths()), st.data())
def test_the_packaged_paths_select_what_the_library_selects(text: str, data: st.DataObject) -> None:
    """Each path of the packaged contracts means what RFC 9535 says, on documents that hold its names."""
    names = [*re.findall(r"\w+", text), "other"]
    documents = st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(names), inner, max_size=len(names))
        ),
        max_leaves=10,
    )
    assert_like_the_library(text, data.draw(documents))


def test_the_packaged_contracts_need_no_library() -> None:
    """Reading tasks costs no import of what only rare paths and zones need."""
    script = (
        "import sys\n"
        "from mjrelay.contract.loading import load_contract, relay_names\n"
        "for name in relay_names():\n"
        "    reader = load_contract(name).reader\n"
        "    assert reader.state({'status': 'x'})\n"
        "print(sorted({'jsonpath_rfc9535', 'regex', 'zoneinfo'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, encoding="utf-8", timeout=60
    )
    assert done.stdout == "[]\n"


def test_a_path_of_any_length() -> None:
    """Thousands of steps are no crash."""
    path = JSONPath.compile("$" + "[*]" * 100_000)
    assert path.find({"a": {"b": {}}}) == []


def test_a_document_nested_too_deeply_selects_nothing() -> None:
    """A hostile depth is no crash."""
    assert JSONPath.compile("$..x").find(nested(5000)) == []


def test_a_path_says_where_its_values_stand() -> None:
    """Each selected value has a location."""
    assert JSONPath.compile("$.a[*].b").locate({"a": [{"b": 1}, {}, {"b": 2}]}) == [
        ("a", 0, "b"),
        ("a", 2, "b"),
    ]


@pytest.mark.parametrize("text", ["", "a", "$.", "$[", "$.a b", "$[?" + "(" * 3000])
def test_what_is_no_path_is_refused(text: str) -> None:
    """A path that is not RFC 9535 is the contract's mistake."""
    with pytest.raises(ContractError, match="JSONPath"):
        JSONPath.compile(text)


# --- predicates ---


@pytest.mark.parametrize(
    ("conditions", "document", "holds"),
    [
        ({}, {}, True),
        ({"$.a": 0}, {"a": 0}, True),
        ({"$.a": 0}, {"a": 0.0}, True),
        ({"$.a": 0}, {"a": False}, False),
        ({"$.a": False}, {"a": 0}, False),
        ({"$.a": True}, {"a": True}, True),
        ({"$.a": 1}, {"a": "1"}, False),
        ({"$.a": None}, {"a": None}, True),
        ({"$.a": ["x", 2]}, {"a": 2}, True),
        ({"$.a": ["x", 2]}, {"a": 3}, False),
        ({"$.a": []}, {"a": 3}, False),
        ({"$.a": {"match": "v_.*"}}, {"a": "v_1"}, True),
        ({"$.a": {"match": "v_"}}, {"a": "v_1"}, False),
        ({"$.a": {"match": ".*"}}, {"a": 1}, False),
        ({"$.a": {"present": True}}, {"a": 0}, True),
        ({"$.a": {"present": True}}, {}, False),
        ({"$.a": {"present": False}}, {}, True),
        ({"$.a": {"present": False}}, {"a": "x"}, False),
        ({"$.a[*]": 2}, {"a": [1, 2]}, True),
        ({"$.a": 1, "$.b": 2}, {"a": 1, "b": 2}, True),
        ({"$.a": 1, "$.b": 2}, {"a": 1, "b": 3}, False),
    ],
)
def test_predicates(conditions: dict[str, Any], document: Any, *, holds: bool) -> None:
    """Every condition must hold, by JSON type; of several values one is enough."""
    assert compile_predicate(conditions)(document) is holds


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"match": 1},
        {"match": "a", "present": True},
        {"present": 1},
        {"like": "a"},
        [{"match": "a"}],
        [[1]],
    ],
)
def test_what_is_no_condition_is_refused(condition: Any) -> None:
    """A condition of another shape is the contract's mistake, and never one that silently fails to hold."""
    with pytest.raises(ContractError, match="is not a condition"):
        compile_predicate({"$.a": condition})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a regular expression"),
        ("a{99999999999999}", "99,999,999,999,999 elements"),
        ("(a{1000}){1000}", "1,000,000 elements"),
        ("(" * 5000, "5,000 characters"),
        ("(" * 90 + "a" + ")" * 90, "deeper than 50"),
        ("(?x) a b", "flag x"),
    ],
)
def test_what_is_no_regular_expression_is_refused(pattern: str, message: str) -> None:
    """A pattern that is malformed or too large is a mistake of the contract."""
    with pytest.raises(ContractError, match=message):
        compile_predicate({"$.a": {"match": pattern}})


def test_scopes() -> None:
    """A scope is a predicate that must hold, one that must not, or both."""
    both = compile_scope({"where": {"$.a": 1}, "unless": {"$.b": 1}})
    assert both({"a": 1})
    assert not both({"a": 1, "b": 1})
    assert not both({"b": 2})
    assert compile_scope(True)({})


@pytest.mark.parametrize("scope", [{}, False, None, "x", {"when": {}}, {"where": {}, "unles": {}}])
def test_what_limits_nothing_is_refused(scope: Any) -> None:
    """A scope with another key would silently limit nothing."""
    with pytest.raises(ContractError, match="is not a scope"):
        compile_scope(scope)


# --- states ---

STATES = """
    status: $.status
    states:
      queued: [null, "", NOT_START, SUBMITTED]
      running: [IN_PROGRESS]
      needs-input: [MODAL]
      succeeded: [SUCCESS]
      failed: [FAILURE]
      cancelled: [CANCEL]
"""


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (None, State.QUEUED),
        ("", State.QUEUED),
        ("SUBMITTED", State.QUEUED),
        ("IN_PROGRESS", State.RUNNING),
        ("MODAL", State.NEEDS_INPUT),
        ("SUCCESS", State.SUCCEEDED),
        ("FAILURE", State.FAILED),
        ("CANCEL", State.CANCELLED),
        ("success", State.UNKNOWN),
        ("REFUNDED", State.UNKNOWN),
        (0, State.UNKNOWN),
        (False, State.UNKNOWN),
        ([], State.UNKNOWN),
        ({"a": 1}, State.UNKNOWN),
    ],
)
def test_a_relays_words_become_states(status: Any, state: State) -> None:
    """Their words mean ours; every other word is unknown."""
    assert reader(STATES).state({"status": status}) is state
    assert reader(STATES).status({"status": status}) == status


@pytest.mark.parametrize("document", [None, [], "SUCCESS", 1, {}])
def test_a_document_without_a_status_has_the_state_of_null(document: Any) -> None:
    """Missing is unset, as null is."""
    assert reader(STATES).state(document) is State.QUEUED


def test_states_as_predicates() -> None:
    """Where no word says the state, what the document holds does; the first that holds counts."""
    read = reader("""
        states:
          succeeded: [{where: {$.url: {match: "https?://.+"}}}]
          failed: [{where: {$.error: {present: true}}}]
          running: [{where: {$.done: false}}]
    """)
    assert read.state({"url": "https://cdn.example/1.png", "done": False}) is State.SUCCEEDED
    assert read.state({"url": "", "error": {}}) is State.FAILED
    assert read.state({"done": False}) is State.RUNNING
    assert read.state({"done": 0}) is State.UNKNOWN
    assert read.status({"status": "SUCCESS"}) is None


def test_predicates_go_before_words() -> None:
    """Predicates separate states that share a status."""
    read = reader("""
        status: $.status
        states:
          running: [working]
          needs-input: [{where: {$.status: [working, waiting], $.ask: {present: true}}}]
    """)
    assert read.state({"status": "working"}) is State.RUNNING
    assert read.state({"status": "working", "ask": "region"}) is State.NEEDS_INPUT
    assert read.state({"status": "waiting"}) is State.UNKNOWN


def test_words_of_other_types() -> None:
    """A status may be a number or a boolean; 1 is not true."""
    read = reader(
        "{status: $.status, states: {queued: [0], running: [1], succeeded: [true], failed: [false]}}"
    )
    states = [read.state({"status": status}) for status in (0, 1, True, False)]
    assert states == [State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED]


def test_terminal_states() -> None:
    """Nothing comes after these three; all else may still change."""
    assert {state for state in State if state.terminal} == {State.SUCCEEDED, State.FAILED, State.CANCELLED}


# --- what a task says of itself ---


def test_identity_kind_and_prompt() -> None:
    """The id is as sent, kind and prompt are text or None."""
    read = reader("{id: $.data.taskId, kind: $.action, prompt: $.prompt}")
    document = {"data": {"taskId": "17"}, "action": "IMAGINE", "prompt": "a pig"}
    assert (read.id(document), read.kind(document), read.prompt(document)) == ("17", "IMAGINE", "a pig")
    unset = {"data": {"taskId": 17}, "action": "", "prompt": None}
    assert (read.id(unset), read.kind(unset), read.prompt(unset)) == (17, None, None)
    assert reader().prompt(document) is None
    assert reader().kind(document) is None


def test_accept() -> None:
    """An envelope says whether a 200 is one; without the form every document is taken."""
    read = reader("accept: {$.code: 0}")
    assert read.accepts({"code": 0, "data": {}})
    assert not read.accepts({"code": 404, "data": None})
    assert not read.accepts({"code": False})
    assert not read.accepts([])
    assert reader().accepts([])


@pytest.mark.parametrize(
    ("value", "progress"),
    [
        ("31%", 31),
        ("31", 31),
        (31, 31),
        (" 31 % ", 31),
        ("99.9%", 99),
        (99.9, 99),
        (0, 0),
        ("100%", 100),
        ("101%", None),
        ("-1%", None),
        ("", None),
        (None, None),
        (True, None),
        ("fast", None),
        ("Waiting to start", None),
        ("31 %%", None),
        ("\uff13\uff11%", None),
        ([31], None),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
    ],
)
def test_progress_in_percent(value: Any, progress: int | None) -> None:
    """A percentage is text or a number. Anything else, or out of range, is None."""
    assert reader("progress: {path: $.p, format: percent}").progress({"p": value}) == progress


@pytest.mark.parametrize(
    ("value", "progress"),
    [(0, 0), (0.29, 29), ("0.57", 57), (1, 100), (0.999, 99), ("31%", 31), (1.01, None), (str(1 / 3), 33)],
)
def test_progress_as_a_fraction(value: Any, progress: int | None) -> None:
    """A fraction is a hundredth of itself in no case; a percent sign wins over the format."""
    assert reader("progress: {path: $.p, format: fraction}").progress({"p": value}) == progress


def test_percent_is_what_the_relay_means() -> None:
    """The raw percentage keeps what is out of range, for the suite to judge."""
    assert reader("progress: {path: $.p, format: percent}").percent({"p": "185%"}) == 185
    assert percent(1.5, 100) == 150
    assert reader().percent({"p": 1}) is None


@pytest.mark.parametrize("value", [True, False, None, "1", [], math.nan, math.inf, 10**301, -1e301])
def test_what_is_no_number(value: Any) -> None:
    """Arithmetic on these would raise, or would mean nothing."""
    assert not is_number(value)


# --- times ---

MOMENT = datetime(2024, 11, 3, 8, 17, 6, 53000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("format: ms", 1730621826053),
        ("format: ms", "1730621826053"),
        ("format: ms", 1730621826053.0),
        ("format: us", 1730621826053000),
        ("format: s", 1730621826.053),
        ("format: iso8601", "2024-11-03T08:17:06.053Z"),
        ("format: iso8601", "2024-11-03 08:17:06.053000+00:00"),
        ("format: iso8601", "2024-11-03T16:17:06.053+08:00"),
        ("format: iso8601", " 2024-11-03T08:17:06.053 "),
        ('format: iso8601, zone: "+08:00"', "2024-11-03 16:17:06.053"),
        ('format: iso8601, zone: "-02:30"', "2024-11-03 05:47:06.053"),
        ("format: iso8601, zone: Asia/Shanghai", "2024-11-03 16:17:06.053"),
        ("format: iso8601, zone: Asia/Shanghai", "2024-11-03T08:17:06.053Z"),
    ],
)
def test_times(spelling: str, value: Any) -> None:
    """However a relay writes a moment, it is the same one, in UTC; a zone is for the naive alone."""
    stamp = reader(f"times: {{finished: $.t, {spelling}}}").finished
    assert stamp is not None
    assert stamp.read({"t": value}) == MOMENT
    assert stamp.raw({"t": value}) == value


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("ms", "soon"),
        ("ms", True),
        ("ms", [1730621826053]),
        ("ms", 10**18),
        ("ms", 10**400),
        ("ms", "9" * 30),
        ("ms", "\u0661"),
        ("s", math.nan),
        ("s", -math.inf),
        ("iso8601", "yesterday"),
        ("iso8601", 1730621826053),
        ("iso8601", "2024-13-01T00:00:00Z"),
        ("iso8601", "0001-01-01T00:00:00+08:00"),
    ],
)
def test_times_that_cannot_be_read(spelling: str, value: Any) -> None:
    """An invalid time is None. The raw value is kept for the conformance suite."""
    stamp = reader(f"times: {{started: $.t, format: {spelling}}}").started
    assert stamp is not None
    assert stamp.read({"t": value}) is None
    assert stamp.raw({"t": value}) is value


@pytest.mark.parametrize(
    ("form", "unset", "values"),
    [
        ("ms", 0, [None, "", 0, 0.0, "0", "00"]),
        ("s", -1, [-1, -1.0]),
        ("iso8601", '"0001-01-01T00:00:00Z"', ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000+00:00"]),
        ("ms", '"0001-01-01T00:00:00Z"', ["0001-01-01T00:00:00Z"]),
    ],
)
def test_times_that_are_unset(form: str, unset: Any, values: list[Any]) -> None:
    """A listed value is unset however it is written: as text, as a fraction, with another offset."""
    stamp = reader(f"times: {{submitted: $.t, format: {form}, unset: [{unset}]}}").submitted
    assert stamp is not None
    for value in values:
        assert (stamp.raw({"t": value}), stamp.read({"t": value})) == (None, None), value


def test_zero_is_a_moment_unless_the_contract_says_otherwise() -> None:
    """The list of unset values is the contract's; false is not 0."""
    stamp = reader("times: {submitted: $.t, format: s}").submitted
    assert stamp is not None
    assert stamp.read({"t": 0}) == datetime(1970, 1, 1, tzinfo=UTC)
    unset = reader("times: {submitted: $.t, format: s, unset: [0]}").submitted
    assert unset is not None
    assert unset.raw({"t": False}) is False


def test_times_that_a_relay_does_not_send() -> None:
    """Moments that the contract leaves out are None, and so are all without the form."""
    read = reader("times: {finished: $.t, format: s}")
    assert read.submitted is read.started is None
    assert reader().finished is None


# --- media ---


def test_media_come_once_and_in_order() -> None:
    """The same URL in two places is one image; unset and other types are none."""
    read = reader('{images: [$.url, "$.urls[*].url", "$.urls[*]"], videos: ["$.videos[*]"]}')
    document = {
        "url": "b",
        "urls": [{"url": "a"}, {"url": "b"}, {"url": None}, "c", "", 7, None],
        "videos": None,
    }
    assert read.images(document) == ("b", "a", "c")
    assert read.videos(document) == ()
    assert reader().images(document) == ()


def test_what_went_in_is_told_from_what_came_out() -> None:
    """A video job's picture is an input, another job's is the result."""
    read = reader("""
        images: [{path: $.data.imageUrl, unless: {$.data.job_type: {match: "vid_.*"}}}]
        videos: [$.data.video_url, "$.data.video_urls[*]"]
        inputs: [{path: $.data.imageUrl, where: {$.data.job_type: {match: "vid_.*"}}}]
    """)
    video = {
        "data": {"job_type": "vid_1.1_i2v", "imageUrl": "in", "video_url": "v", "video_urls": ["v", "w"]}
    }
    assert (read.images(video), read.videos(video), read.inputs(video)) == ((), ("v", "w"), ("in",))
    image = {"data": {"job_type": "v7_diffusion", "imageUrl": "out"}}
    assert (read.images(image), read.videos(image), read.inputs(image)) == (("out",), (), ())


def test_images_unless() -> None:
    """A list of kinds leaves an image out."""
    read = reader("images: [{path: $.imageUrl, unless: {$.action: [VIDEO, DESCRIBE]}}]")
    assert read.images({"imageUrl": "u", "action": "IMAGINE"}) == ("u",)
    assert read.images({"imageUrl": "u"}) == ("u",)
    assert read.images({"imageUrl": "u", "action": "VIDEO"}) == ()


# --- buttons ---


def test_buttons_from_objects() -> None:
    """A button has an id and, if set, a label and an emoji. Plain text is both, and no id is no button."""
    read = reader('buttons: {items: "$.buttons[*]", id: customId, label: label, emoji: emoji}')
    buttons = [
        {"customId": "MJ::1", "label": "U1", "emoji": ""},
        {"customId": "", "label": "U2"},
        {"label": "U3"},
        {"customId": 4, "emoji": "x"},
        "U5",
        "",
        None,
    ]
    assert read.buttons({"buttons": buttons}) == (
        Button("MJ::1", "U1", None),
        Button("4", None, "x"),
        Button("U5", "U5", None),
    )
    assert read.buttons({"buttons": None}) == ()
    assert reader().buttons({"buttons": buttons}) == ()


def test_a_button_is_a_value() -> None:
    """Two alike are one in a set, what it shows is what it holds, and none of it can be assigned."""
    button = Button("MJ::1", "U1", None)
    assert {button, Button("MJ::1", "U1", None), Button("MJ::1", "U1", "U1")} == {
        button,
        Button(id="MJ::1", label="U1", emoji="U1"),
    }
    assert repr(button) == "Button(id='MJ::1', label='U1', emoji=None)"
    for name in ("id", "label", "emoji", "other"):
        with pytest.raises(AttributeError):
            setattr(button, name, "x")


def test_buttons_from_plain_text() -> None:
    """Where a button is only a text, the text is its id."""
    read = reader('buttons: {items: "$.data.components[*]", id: $, label: $}')
    document = {"data": {"components": ["upsample1", "", {"a": 1}, None, "zoom"]}}
    assert read.buttons(document) == (Button("upsample1", "upsample1", None), Button("zoom", "zoom", None))


# --- failures and errors ---


def test_the_first_reason_that_is_set() -> None:
    """Several places may say why; the first that says anything does."""
    read = reader("failure: [$.failReason, $.error.message]")
    assert read.failure({"failReason": "", "error": {"message": "banned"}}) == "banned"
    assert read.failure({"failReason": "timeout", "error": {"message": "banned"}}) == "timeout"
    assert read.failure({"failReason": None, "error": "x"}) is None
    assert reader().failure({"failReason": "x"}) is None


def test_errors_of_several_kinds() -> None:
    """Codes are text or digits; one relay may have several error documents."""
    read = reader("error: {code: [$.code, $.error.code], message: [$.description, $.error.message, $.msg]}")
    assert read.error({"code": 4, "description": "task_no_found "}) == ("4", "task_no_found ")
    assert read.error({"error": {"code": "", "message": "Invalid token"}}) == (None, "Invalid token")
    assert read.error({"code": 0}) == ("0", None)
    assert read.error({"code": True, "msg": {"a": 1}}) == (None, None)
    assert read.error([]) == (None, None)
    assert reader().error({"code": 4}) == (None, None)


# --- what a succeeded task must have ---


def test_complete() -> None:
    """A part is due always, in a scope, or never."""
    read = reader("""
        complete:
          progress: true
          media: {unless: {$.action: [SHORTEN, DESCRIBE]}}
          finished: {where: {$.action: IMAGINE}}
    """)
    parts = ("progress", "media", "finished")
    assert [read.completes(part, {"action": "IMAGINE"}) for part in parts] == [True, True, True]
    assert [read.completes(part, {"action": "SHORTEN"}) for part in parts] == [True, False, False]
    assert [read.completes(part, {}) for part in parts] == [True, True, False]
    assert not reader().completes("media", {})


# --- answers ---

ANSWERS = """
    missing:
      - {status: 400, where: {$.code: 4, $.description: {match: "task_no_found ?"}}}
      - {status: 200, body: empty}
      - {status: 204}
    unauthorized: [{status: 401}]
    forbidden: {status: 403}
    elsewhere: {status: 200, content: Text/HTML}
"""


@pytest.mark.parametrize(
    ("exchange", "missing"),
    [
        (answer(400, b'{"code":4,"description":"task_no_found "}'), True),
        (answer(400, b'{"code":4,"description":"task_no_found"}', "text/plain; charset=utf-8"), True),
        (answer(400, b'{"code":4,"description":"do_request_failed "}'), False),
        (answer(400, b'{"code":"4","description":"task_no_found"}'), False),
        (answer(400, b""), False),
        (answer(400, b"<html>"), False),
        (answer(404, b'{"code":4,"description":"task_no_found"}'), False),
        (answer(200, b""), True),
        (answer(200, b"\n"), True),
        (answer(200, b"null"), False),
        (answer(204), True),
        (answer(None), False),
    ],
)
def test_no_such_task(exchange: Exchange, *, missing: bool) -> None:
    """Status, emptiness and what the document says tell that there is no such task."""
    assert any(matcher.matches(exchange) for matcher in reader(ANSWERS).missing) is missing


def test_other_answers() -> None:
    """One matcher or a list of them; media types are compared without case and parameters."""
    read = reader(ANSWERS)
    assert [matcher.matches(answer(401)) for matcher in read.unauthorized] == [True]
    assert [matcher.matches(answer(403)) for matcher in read.forbidden] == [True]
    page = answer(200, b"<!doctype html>", "TEXT/html; charset=utf-8")
    assert [matcher.matches(page) for matcher in read.elsewhere] == [True]
    assert [matcher.matches(answer(200, b"{}")) for matcher in read.elsewhere] == [False]
    assert reader().missing == reader().elsewhere == ()


def test_a_matcher_says_what_it_looks_for() -> None:
    """Reports show a matcher in words."""
    words = [str(matcher) for matcher in (*reader(ANSWERS).missing[:2], *reader(ANSWERS).elsewhere)]
    assert words == [
        "400 where $.code is 4 and $.description matches task_no_found ?",
        "200 with an empty body",
        "200 Text/HTML",
    ]
    where = {"$.a": "b", "$.c": [None, ""], "$.d": {"present": False}, "$.e": {"present": True}}
    text = '$.a is "b" and $.c is null or "" and $.d is missing and $.e is present'
    assert str(Matcher.compile({"status": 401, "where": where})) == f"401 where {text}"


# --- relations ---


def relation(text: str) -> Relation:
    """The relation written in YAML."""
    return Relation.compile(YAML(typ="safe", pure=True).load(dedent(text)))


def test_equal_within_a_tolerance() -> None:
    """A captured hexadecimal, scaled, lies near a number; near enough is no breach."""
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
    """A side may be moved by a constant."""
    day = relation("""
        id: a-day-later
        description: The link dies a day later.
        level: should
        left: {path: $.dies, base: 10}
        equals: {path: $.made, plus: 86400}
    """)
    assert day.breach({"dies": "86401", "made": 1}) is None
    assert day.breach({"dies": "86402", "made": 1}) == (86402, 86401)
    assert day.level == "should"


def test_counts() -> None:
    """As many values as a number says; nothing at all counts as 0."""
    fill = relation('{id: batch, left: {count: "$.urls[*]"}, equals: {path: $.size}}')
    assert fill.breach({"urls": ["a", "b"], "size": 2}) is None
    assert fill.breach({"size": 4}) == (0, 4)
    assert fill.breach({"urls": []}) is None


def test_contains() -> None:
    """Every value on the left carries the text on the right."""
    named = relation('{id: named, left: {path: "$.urls[*]"}, contains: {path: $.id}}')
    assert named.breach({"urls": ["x/17/0.mp4", "x/17/1.mp4"], "id": "17"}) is None
    assert named.breach({"urls": ["x/17/0.mp4", "x/18/1.mp4"], "id": "17"}) == ("x/18/1.mp4", "17")
    assert named.breach({"urls": [17], "id": "17"}) == (17, "17")


@pytest.mark.parametrize(
    "document",
    [{}, {"a": 1}, {"b": "1"}, {"a": None, "b": "1"}, {"a": "", "b": "1"}, {"a": "x", "b": "1"}, []],
)
def test_a_relation_needs_both_its_sides(document: Any) -> None:
    """Where a side is unset, or its capture finds nothing, there is nothing to judge."""
    equal = relation('{id: r, left: {path: $.a, capture: "([0-9])"}, equals: {path: $.b}}')
    assert not equal.applies(document)
    assert equal.breach(document) is None


def test_a_relation_may_be_limited() -> None:
    """A task that the relation's own scope leaves out is not judged."""
    equal = relation("""
        {id: r, left: {path: $.a}, equals: {path: $.b}, where: {$.kind: IMAGINE}, unless: {$.old: true}}
    """)
    assert equal.breach({"a": 1, "b": 2, "kind": "IMAGINE"}) == (1, 2)
    for document in ({"a": 1, "b": 2}, {"a": 1, "b": 2, "kind": "IMAGINE", "old": True}):
        assert not equal.applies(document)
        assert equal.breach(document) is None


def test_relations_survive_any_number() -> None:
    """Numbers that no arithmetic can hold are compared as they are."""
    equal = relation(
        "{id: r, left: {path: $.a, base: 36, times: 1.5}, equals: {path: $.b, plus: 1}, within: 0.5}"
    )
    assert equal.breach({"a": 10**400, "b": 1.5}) == (10**400, 2.5)
    assert equal.breach({"a": "z" * 5000, "b": 1}) is None
    assert equal.breach({"a": 1, "b": math.inf}) == (1.5, math.inf)
    assert equal.breach({"a": True, "b": 1}) == (True, 2)


def test_deep_values_are_not_equal() -> None:
    """Two hostile depths cannot be compared; they are taken to differ."""
    assert not same_value(nested(100_000), nested(100_000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{left: {path: $.a}, equals: {path: $.b}}", "not a relation"),
        ("{id: r, equals: {path: $.b}}", "not a relation"),
        ("{id: r, left: {path: $.a}}", "not a relation"),
        ("{id: r, left: {path: $.a}, equals: {path: $.b}, contains: {path: $.b}}", "not a relation"),
        ("{id: r, left: {path: $.a}, equals: {path: $.b}, witin: 3}", "not a relation"),
        ("{id: r, left: {path: $.a}, equals: {path: $.b}, within: near}", "within"),
        ("{id: r, left: {path: $.a}, equals: {path: $.b}, level: MUST}", "level"),
        ("{id: r, left: {path: $.a}, equals: 3}", "not an operand"),
        ("{id: r, left: {path: $.a, mul: 3}, equals: {path: $.b}}", "not an operand"),
        ('{id: r, left: {count: "$.a[*]", times: 3}, equals: {path: $.b}}', "not an operand"),
        ("{id: r, left: {path: $.a, capture: x}, equals: {path: $.b}}", "one group"),
        ('{id: r, left: {path: $.a, capture: "(x)(y)"}, equals: {path: $.b}}', "one group"),
        ("{id: r, left: {path: $.a, base: 99}, equals: {path: $.b}}", "base"),
        ('{id: r, left: {path: $.a, times: "3"}, equals: {path: $.b}}', "times"),
        ("{id: r, left: {path: $.a, plus: true}, equals: {path: $.b}}", "plus"),
    ],
)
def test_malformed_relations(text: str, message: str) -> None:
    """A relation of another shape is refused, with what is wrong."""
    with pytest.raises(ContractError, match=message):
        relation(text)


# --- the rest ---


def test_refresh_batch_and_seed() -> None:
    """Refresh, batch and seed are read."""
    read = reader("""
        refresh: 15
        batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 100}
        seed: {operation: fetchSeed, value: $.result}
    """)
    assert read.refresh == 15
    assert read.batch is not None
    assert (read.batch.operation, read.batch.ids, read.batch.limit) == (
        "listTasks",
        "$request.body#/ids",
        100,
    )
    assert read.batch.items.find([{"id": "1"}, {"id": "2"}]) == [{"id": "1"}, {"id": "2"}]
    assert read.seed is not None
    assert (read.seed.operation, read.seed.value.first({"result": "636646138"})) == ("fetchSeed", "636646138")
    assert (reader().refresh, reader().batch, reader().seed) == (None, None, None)


# --- what a contract may get wrong ---


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("version: 2", "version"),
        ("version: true", "version"),
        ("version: null", "version"),
        ("stauts: $.status", "stauts"),
        ("7: $.status", "7"),
        ("ask: id", "ask"),
        ("ask: 7", "ask"),
        ("id: id", "id"),
        ("id: 7", "id"),
        ("accept: [0]", "accept"),
        ("accept: {code: 0}", "accept"),
        ("accept: {$.code: {is: 0}}", "accept"),
        ("kind: action", "kind"),
        ("prompt: [$.prompt]", "prompt"),
        ("status: status", "status"),
        ("states: {finished: [SUCCESS]}", "states"),
        ("states: {unknown: [x]}", "states"),
        ("{status: $.s, states: {queued: SUBMITTED}}", "states"),
        ("{status: $.s, states: {queued: null}}", "states"),
        ("states: {running: [{when: {$.a: 1}}]}", "states"),
        ("states: {running: [{where: {$.a: 1}, until: {$.b: 1}}]}", "states"),
        ("states: [queued]", "states"),
        ("{status: $.s, states: {queued: [[SUBMITTED]]}}", "states"),
        ("states: {queued: [SUBMITTED]}", "status"),
        ("progress: $.progress", "progress"),
        ("progress: {path: $.p}", "progress"),
        ("progress: {format: percent}", "progress"),
        ("progress: {path: $.p, format: permille}", "progress"),
        ("progress: {path: $.p, format: percent, scale: 2}", "progress"),
        ("times: {finished: $.t}", "times"),
        ("times: {finished: $.t, format: rfc2822}", "times"),
        ("times: {finish: $.t, format: ms}", "times"),
        ("times: {finished: $.t, format: ms, unset: 0}", "times"),
        ("times: {finished: $.t, format: ms, unset: [[0]]}", "times"),
        ("times: {finished: $.t, format: iso8601, zone: Moon/Sea}", "times"),
        ('times: {finished: $.t, format: iso8601, zone: "+25:00"}', "times"),
        ("times: {finished: $.t, format: iso8601, zone: ../etc}", "times"),
        ('times: {finished: $.t, format: iso8601, zone: ""}', "times"),
        ("times: {finished: $.t, format: iso8601, zone: 8}", "times"),
        ("images: $.imageUrl", "images"),
        ("images: [{where: {$.a: 1}}]", "images"),
        ("images: [{path: $.a, when: {$.a: 1}}]", "images"),
        ("videos: [7]", "videos"),
        ("inputs: [{path: a}]", "inputs"),
        ('buttons: "$.buttons[*]"', "buttons"),
        ("buttons: {id: customId}", "buttons"),
        ('buttons: {items: "$.b[*]"}', "buttons"),
        ('buttons: {items: "$.b[*]", id: customId, text: label}', "buttons"),
        ('buttons: {items: "$.b[*]", id: 0}', "buttons"),
        ("failure: $.failReason", "failure"),
        ("error: [$.code]", "error"),
        ("error: {code: $.code}", "error"),
        ("error: {text: [$.msg]}", "error"),
        ("complete: [media]", "complete"),
        ("complete: {media: false}", "complete"),
        ("complete: {medium: true}", "complete"),
        ("missing: [400]", "missing"),
        ("missing: {where: {$.code: 4}}", "missing"),
        ("missing: {status: 200, body: none}", "missing"),
        ("unauthorized: {status: '401'}", "unauthorized"),
        ("forbidden: {status: 403, when: {}}", "forbidden"),
        ("forbidden: {status: 403, where: []}", "forbidden"),
        ("elsewhere: {status: 200, content: 7}", "elsewhere"),
        ("relations: {id: r}", "relations"),
        ("relations: [r]", "relations"),
        ("refresh: often", "refresh"),
        ("refresh: 0", "refresh"),
        ("batch: listTasks", "batch"),
        ("batch: {operation: a, ids: $request.body#/ids}", "batch"),
        ('batch: {operation: a, ids: ids, items: "$[*]"}', "batch"),
        ('batch: {operation: a, ids: $request.body#/ids, items: "$[*]", limit: -1}', "batch"),
        ('batch: {operation: a, ids: $request.body#/ids, items: "$[*]", max: 1}', "batch"),
        ("seed: {operation: a}", "seed"),
        ("seed: {operation: a, value: $.v, unset: 0}", "seed"),
    ],
)
def test_malformed_forms_are_refused(text: str, key: str) -> None:
    """What cannot be compiled is the contract's mistake, and the message names the key."""
    with pytest.raises(ContractError, match=rf"^x-mj-task: (unknown key '?)?{key}\b"):
        reader(text)


@pytest.mark.parametrize("key", ["ask", "id", "states"])
def test_what_every_form_must_hold(key: str) -> None:
    """Where to put the id, where to find it, and what the states are, is never guessed."""
    parts = form()
    del parts[key]
    with pytest.raises(ContractError, match=f"x-mj-task: {key}: '{key}' is missing"):
        compile_reader(parts)


@pytest.mark.parametrize("parts", [None, [], "x", 1])
def test_a_form_is_a_mapping(parts: Any) -> None:
    """Any value other than an object is an error."""
    with pytest.raises(ContractError, match=r"x-mj-task: .* is not an object"):
        compile_reader(parts)


# --- relays of other kinds ---


def test_a_relay_with_a_job_in_data() -> None:
    """In the manner of TTAPI: the id in the query, progress without a sign, buttons and images plain text."""
    read = reader("""
        ask: $request.query.jobId
        id: $.jobId
        kind: $.data.action
        prompt: $.data.prompt
        status: $.status
        states: {queued: [PENDING_QUEUE], running: [ON_QUEUE], succeeded: [SUCCESS], failed: [FAILED]}
        progress: {path: $.data.progress, format: percent}
        images: ["$.data.images[*]", $.data.cdnImage]
        buttons: {items: "$.data.components[*]", id: $}
        failure: [$.message]
    """)
    document = {
        "status": "SUCCESS",
        "message": "",
        "jobId": "afa774a3",
        "data": {
            "action": "imagine",
            "progress": "100",
            "prompt": "a cat",
            "cdnImage": "https://cdn.example/grid.png",
            "components": ["upsample1", "variation1"],
            "images": ["https://cdn.example/1.png", "https://cdn.example/2.png"],
        },
    }
    assert read.id(document) == "afa774a3"
    assert read.state(document) is State.SUCCEEDED
    assert read.progress(document) == 100
    assert read.images(document)[::2] == ("https://cdn.example/1.png", "https://cdn.example/grid.png")
    assert [button.id for button in read.buttons(document)] == ["upsample1", "variation1"]
    failed = {"status": "FAILED", "message": "banned prompt", "jobId": "afa774a3", "data": None}
    assert (read.state(failed), read.failure(failed)) == (State.FAILED, "banned prompt")
    assert (read.progress(failed), read.images(failed), read.buttons(failed)) == (None, (), ())


def test_a_relay_with_a_grid_and_its_quarters() -> None:
    """As APIMart: another path, a grid and four images, and 403 for a foreign task."""
    read = reader("""
        ask: $request.path.task_id
        id: $.id
        kind: $.action
        status: $.status
        states: {queued: [NOT_START, SUBMITTED], running: [IN_PROGRESS], needs-input: [MODAL],
                 succeeded: [SUCCESS], failed: [FAILURE]}
        progress: {path: $.progress, format: percent}
        images: [$.grid_image_url, "$.image_urls[*]"]
        buttons: {items: "$.buttons[*]", id: customId, label: label}
        missing: {status: 404}
        forbidden: {status: 403}
        relations: [{id: four, left: {count: "$.image_urls[*]"}, equals: {path: $.batch}}]
    """)
    document = {
        "id": "task_1",
        "status": "SUCCESS",
        "progress": "100%",
        "grid_image_url": "g",
        "image_urls": ["1", "2", "3", "4"],
        "buttons": [{"customId": "MJ::JOB::upsample::1", "label": "U1"}],
    }
    assert read.state(document) is State.SUCCEEDED
    assert read.images(document) == ("g", "1", "2", "3", "4")
    assert read.buttons(document) == (Button("MJ::JOB::upsample::1", "U1", None),)
    assert read.relations[0].breach(document) is None
    assert read.relations[0].breach({**document, "batch": 2}) == (4, 2)
    assert read.missing[0].matches(answer(404))
    assert not read.missing[0].matches(answer(403))


def test_a_relay_with_an_envelope_and_seconds() -> None:
    """In the manner of the PHP server: always 200, errors are codes in an envelope, times are in seconds."""
    read = reader("""
        ask: $request.query.taskId
        accept: {$.code: 0}
        id: $.data.id
        kind: $.data.action
        status: $.data.status
        states: {queued: [PENDING], running: [STARTED, RUNNING], succeeded: [FINISHED], failed: [FAILED]}
        times: {submitted: $.data.submitTime, finished: $.data.finishTime, format: s, unset: [0]}
        images: [$.data.imageUrl]
        failure: [$.data.failReason]
        error: {code: [$.code], message: [$.msg]}
        missing: {status: 200, where: {$.code: 404}}
    """)
    running = {"code": 0, "msg": "ok", "data": {"id": "1", "status": "RUNNING", "submitTime": 1730621826}}
    assert read.accepts(running)
    assert read.state(running) is State.RUNNING
    assert read.submitted is not None
    assert read.submitted.read(running) == MOMENT.replace(microsecond=0)
    missing = '{"code":404,"msg":"未找到任务","data":null}'
    exchange = answer(200, missing.encode())
    assert read.missing[0].matches(exchange)
    assert not read.accepts(exchange.document)
    assert read.error(exchange.document) == ("404", "未找到任务")
    assert read.id(exchange.document) is None
    assert read.state(exchange.document) is State.UNKNOWN


# --- whatever a relay sends ---

NAMES = (
    "id",
    "status",
    "progress",
    "t",
    "u",
    "urls",
    "buttons",
    "customId",
    "label",
    "reason",
    "code",
    "data",
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 2 * 10**12)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "SUCCESS", "31%", "0.5", "2024-11-03T08:17:06+14:00", "0001-01-01T00:00", "9" * 400]
    )
    | st.sampled_from([10**400, -(10**4299)])
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)
TASKS = st.dictionaries(st.sampled_from(NAMES), DOCUMENTS, max_size=len(NAMES))

READERS = [
    reader(
        STATES
        + f"""
    accept: {{$.code: [0, null]}}
    kind: $.data
    prompt: $.reason
    progress: {{path: $.progress, format: {progress}}}
    times: {{submitted: $.t, started: $.data.t, finished: "$..t", format: {times}, unset: [0]}}
    images: [$.u, "$.urls[*]", "$.urls[*].u", {{path: "$..u", unless: {{$.code: 1}}}}]
    videos: ["$[?@.code > 1].u", "$.data..*"]
    inputs: [{{path: "$..*", where: {{"$..id": {{match: ".+"}}}}}}]
    buttons: {{items: "$.buttons[*]", id: {button}, label: label, emoji: $}}
    failure: [$.reason, "$..reason"]
    error: {{code: [$.code, "$..code"], message: [$.data, $.reason]}}
    complete: {{media: {{unless: {{$.code: 0}}}}, finished: {{where: {{"$..u": {{present: true}}}}}}}}
    relations:
      - {{id: a, left: {{path: "$..t", base: 36, times: 1.5, plus: 3}}, equals: {{path: $.t}}, within: 1}}
      - {{id: b, left: {{path: "$.urls[*]", capture: "(.)", base: 10}}, contains: {{path: $.id}}}}
      - {{id: c, left: {{count: "$..*"}}, equals: {{path: $.progress, times: 7, plus: 0.1}}}}
    """
    )
    for progress, times, button in [
        ("percent", "ms", "customId"),
        ("fraction", "us", "$"),
        ("percent", "s", "label"),
        ("fraction", "iso8601, zone: Asia/Shanghai", "$"),
        ("percent", 'iso8601, zone: "-23:59"', "id"),
    ]
]


def _is_text_or_none(value: object) -> bool:
    return value is None or (isinstance(value, str) and value != "")


def test_no_depth_is_a_crash() -> None:
    """A document nested deeper than Python calls is read like any other; it is too deep to be an example."""
    inner: Any = test_no_document_is_a_crash
    for read in READERS:
        inner.hypothesis.inner_test(read, nested(3000))


@given(st.sampled_from(READERS), DOCUMENTS | TASKS)
@example(READERS[0], {"progress": 10**400, "t": 10**400, "code": 10**4299})
@example(READERS[1], {"progress": 1e308, "t": -1e308, "buttons": [10**4299, math.nan]})
@example(READERS[3], {"t": "9999-12-31T23:59:59-23:59"})
@example(READERS[4], {"t": "9999-12-31T23:59:59"})
def test_no_document_is_a_crash(read: Reader, document: Any) -> None:
    """For any JSON, every method returns a value of its documented type."""
    assert isinstance(read.accepts(document), bool)
    assert isinstance(read.state(document), State)
    read.id(document)
    read.status(document)
    assert _is_text_or_none(read.kind(document))
    assert _is_text_or_none(read.prompt(document))
    share = read.percent(document)
    assert share is None or math.isfinite(share)
    progress = read.progress(document)
    assert progress is None or (type(progress) is int and 0 <= progress <= 100)
    for stamp in (read.submitted, read.started, read.finished):
        assert stamp is not None
        moment = stamp.read(document)
        assert moment is None or moment.utcoffset() == timedelta(0)
        assert moment is None or stamp.raw(document) not in (None, "")
    for urls in (read.images(document), read.videos(document), read.inputs(document)):
        assert isinstance(urls, tuple)
        assert {type(url) for url in urls} <= {str}
        assert "" not in urls
        assert len(set(urls)) == len(urls)
    for button in read.buttons(document):
        assert isinstance(button.id, str)
        assert button.id
        assert _is_text_or_none(button.label)
        assert _is_text_or_none(button.emoji)
    assert _is_text_or_none(read.failure(document))
    assert all(_is_text_or_none(part) for part in read.error(document))
    assert all(isinstance(read.completes(part, document), bool) for part in ("progress", "media", "finished"))
    for one in read.relations:
        breach = one.breach(document)
        assert breach is None or one.applies(document)


@given(st.integers(100_000, 250_000_000_000), st.integers(-1439, 1439))
def test_a_moment_survives_its_spelling(second: int, minutes: int) -> None:
    """A moment that is written with an offset, or without one in a declared zone, is read as itself."""
    moment = datetime.fromtimestamp(second, timezone(timedelta(minutes=minutes)))
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    stamp = reader(f'times: {{finished: $.t, format: iso8601, zone: "{sign}{hours:02}:{rest:02}"}}').finished
    assert stamp is not None
    assert stamp.read({"t": moment.isoformat()}) == moment
    assert stamp.read({"t": moment.replace(tzinfo=None).isoformat(" ")}) == moment


@given(st.integers(0, 100))
def test_whole_percentages_survive_every_spelling(value: int) -> None:
    """No spelling of a whole percentage loses one on the way."""
    whole, part = (reader(f"progress: {{path: $, format: {name}}}") for name in ("percent", "fraction"))
    spellings = [whole.progress(v) for v in (value, float(value), str(value), f"{value}%", f"{value}.0 %")]
    spellings += [part.progress(v) for v in (value / 100, str(value / 100), f"{value}%")]
    assert set(spellings) == {value}


@given(SCALARS, SCALARS)
def test_equality_is_by_json_type(left: Any, right: Any) -> None:
    """A boolean equals nothing but itself, and the order of the sides never matters."""
    assert same_value(left, right) == same_value(right, left)
    if isinstance(left, bool) != isinstance(right, bool):
        assert not same_value(left, right)


@given(
    st.lists(st.none() | st.booleans() | st.integers(-1, 2) | st.floats(-1, 2) | st.text("ab", max_size=1)),
    SCALARS | st.integers(-1, 2) | st.text("ab", max_size=1) | DOCUMENTS,
)
def test_a_table_finds_the_first_that_is_the_same(scalars: list[Any], value: Any) -> None:
    """Looking a value up is comparing it with each in turn."""
    first = next((place for place, scalar in enumerate(scalars) if same_value(scalar, value)), None)
    assert table((scalar, place) for place, scalar in enumerate(scalars))(value) == first


@given(SCALARS.filter(lambda value: isinstance(value, str)) | st.from_regex(r"[0-9]{1,3}(\.[0-9])? ?%?"))
def test_a_spelling_of_progress_means_the_same_at_any_length(value: str) -> None:
    """Short spellings are remembered, long ones are not; white space around makes the one the other."""
    assert percent(value, 100) == percent(f"{value}{' ' * 50}", 100)
