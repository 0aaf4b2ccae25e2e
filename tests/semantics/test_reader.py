"""The forms of `x-mj-task`, each with a small document, and any document."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from readers import SCALARS, nested, reader, response

from mjrelay.semantics.reader import Button, Reader, State, Timestamp
from mjrelay.semantics.values import is_number, percent

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
MOMENT = datetime(2024, 11, 3, 8, 17, 6, 53000, tzinfo=UTC)


def test_status_values_become_states() -> None:
    """Listed status values have their state. All others are unknown, and a missing status is null."""
    read = reader(STATES)
    states: dict[State, list[Any]] = {
        State.QUEUED: [None, "", "SUBMITTED"],
        State.RUNNING: ["IN_PROGRESS"],
        State.NEEDS_INPUT: ["MODAL"],
        State.SUCCEEDED: ["SUCCESS"],
        State.FAILED: ["FAILURE"],
        State.CANCELLED: ["CANCEL"],
        State.UNKNOWN: ["success", "REFUNDED", 0, False, [], {"a": 1}],
    }
    for state, values in states.items():
        for value in values:
            assert read.state({"status": value}) is state, value
            assert read.status({"status": value}) == value
    without: list[Any] = [None, [], "SUCCESS", 1, {}]
    assert [read.state(document) for document in without] == [State.QUEUED] * len(without)
    assert {state for state in State if state.terminal} == {State.SUCCEEDED, State.FAILED, State.CANCELLED}


def test_status_values_of_other_types() -> None:
    """A status may be a number or a boolean, and 1 is not true."""
    read = reader(
        "{status: $.status, states: {queued: [0], running: [1], succeeded: [true], failed: [false]}}"
    )
    states = [read.state({"status": status}) for status in (0, 1, True, False)]
    assert states == [State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED]


def test_states_by_predicate() -> None:
    """Without a status, the first predicate that holds gives the state."""
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


def test_predicates_precede_status_values() -> None:
    """Predicates separate states that share a status value."""
    read = reader("""
        status: $.status
        states:
          running: [working]
          needs-input: [{where: {$.status: [working, waiting], $.ask: {present: true}}}]
    """)
    assert read.state({"status": "working"}) is State.RUNNING
    assert read.state({"status": "working", "ask": "region"}) is State.NEEDS_INPUT
    assert read.state({"status": "waiting"}) is State.UNKNOWN


def test_id_kind_and_prompt() -> None:
    """The id is returned unchanged. Kind and prompt are text or None."""
    read = reader("{id: $.data.taskId, kind: $.action, prompt: $.prompt}")
    document = {"data": {"taskId": "17"}, "action": "IMAGINE", "prompt": "a pig"}
    assert (read.id(document), read.kind(document), read.prompt(document)) == ("17", "IMAGINE", "a pig")
    unset = {"data": {"taskId": 17}, "action": "", "prompt": None}
    assert (read.id(unset), read.kind(unset), read.prompt(unset)) == (17, None, None)
    assert reader().prompt(document) is reader().kind(document) is None


def test_accept() -> None:
    """`accept` limits which documents are tasks. Without it every document is accepted."""
    read = reader("{accept: {$.code: 0}, id: $.data.id, error: {code: [$.code], message: [$.msg]}}")
    assert read.accepts({"code": 0, "data": {}})
    refused: list[Any] = [{"code": 404, "data": None}, {"code": False}, []]
    assert not any(map(read.accepts, refused))
    assert reader().accepts([])
    envelope = response(200, '{"code":404,"msg":"未找到任务","data":null}'.encode()).document
    assert not read.accepts(envelope)
    assert (read.error(envelope), read.id(envelope)) == (("404", "未找到任务"), None)


def test_progress() -> None:
    """Progress is text or a number. It is None if it is out of range or unreadable."""
    unreadable: list[Any] = ["", None, True, "fast", "Waiting to start", "31 %%", "\uff13\uff11%", [31]]
    unreadable += ["101%", "-1%", math.nan, math.inf, 10**400]
    values: dict[str, list[tuple[int | None, list[Any]]]] = {
        "percent": [
            (31, ["31%", "31", 31, " 31 % "]),
            (99, ["99.9%", 99.9]),
            (0, [0]),
            (100, ["100%"]),
            (None, unreadable),
        ],
        "fraction": [
            (0, [0]),
            (29, [0.29]),
            (57, ["0.57"]),
            (100, [1]),
            (99, [0.999]),
            (31, ["31%"]),
            (33, [str(1 / 3)]),
            (None, [1.01]),
        ],
    }
    for name, rows in values.items():
        read = reader(f"progress: {{path: $.p, format: {name}}}")
        for progress, group in rows:
            assert [read.progress({"p": value}) for value in group] == [progress] * len(group)
    assert reader("progress: {path: $.p, format: percent}").percent({"p": "185%"}) == 185
    assert percent(1.5, 100) == 150
    assert reader().percent({"p": 1}) is None


def test_numbers() -> None:
    """Booleans, text and numbers outside the range of a float are not numbers."""
    values: list[Any] = [True, False, None, "1", [], math.nan, math.inf, 10**301, -1e301]
    assert not any(map(is_number, values))


def stamp(spelling: str) -> Timestamp:
    """Return the reader of a time at `$.t`."""
    finished = reader(f"times: {{finished: $.t, {spelling}}}").finished
    assert finished is not None
    return finished


def test_times() -> None:
    """All formats of a time become the same UTC time. A zone applies only to times without an offset."""
    for spelling, *values in (
        ("format: ms", 1730621826053, "1730621826053", 1730621826053.0),
        ("format: us", 1730621826053000),
        ("format: s", 1730621826.053),
        ("format: iso8601", "2024-11-03T08:17:06.053Z", "2024-11-03 08:17:06.053000+00:00"),
        ("format: iso8601", "2024-11-03T16:17:06.053+08:00", " 2024-11-03T08:17:06.053 "),
        ('format: iso8601, zone: "+08:00"', "2024-11-03 16:17:06.053"),
        ('format: iso8601, zone: "-02:30"', "2024-11-03 05:47:06.053"),
        ("format: iso8601, zone: Asia/Shanghai", "2024-11-03 16:17:06.053", "2024-11-03T08:17:06.053Z"),
    ):
        for value in values:
            assert stamp(str(spelling)).read({"t": value}) == MOMENT, value
            assert stamp(str(spelling)).raw({"t": value}) == value
    read = reader("times: {finished: $.t, format: s}")
    assert read.submitted is read.started is reader().finished is None


def test_invalid_times() -> None:
    """An invalid time is None. Its raw value is kept."""
    values: dict[str, list[Any]] = {
        "ms": ["soon", True, [1730621826053], 10**18, 10**400, "9" * 30, "\u0661"],
        "s": [math.nan, -math.inf],
        "iso8601": ["yesterday", 1730621826053, "2024-13-01T00:00:00Z", "0001-01-01T00:00:00+08:00"],
    }
    for spelling, invalid in values.items():
        for value in invalid:
            assert stamp(f"format: {spelling}").read({"t": value}) is None
            assert stamp(f"format: {spelling}").raw({"t": value}) is value


def test_unset_times() -> None:
    """A listed value is unset in all its spellings. Other values are times, and false is not 0."""
    spellings: list[tuple[str, list[Any]]] = [
        ("ms, unset: [0]", [None, "", 0, 0.0, "0", "00"]),
        ("s, unset: [-1]", [-1, -1.0]),
        (
            'iso8601, unset: ["0001-01-01T00:00:00Z"]',
            ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000+00:00"],
        ),
        ('ms, unset: ["0001-01-01T00:00:00Z"]', ["0001-01-01T00:00:00Z"]),
    ]
    for spelling, values in spellings:
        for value in values:
            unset = stamp(f"format: {spelling}")
            assert (unset.raw({"t": value}), unset.read({"t": value})) == (None, None), value
    assert stamp("format: s").read({"t": 0}) == datetime(1970, 1, 1, tzinfo=UTC)
    assert stamp("format: s, unset: [0]").raw({"t": False}) is False


def test_media() -> None:
    """URLs are unique and in order. Unset values and other types are left out."""
    read = reader('{images: [$.url, "$.urls[*].url", "$.urls[*]"], videos: ["$.videos[*]"]}')
    document = {
        "url": "b",
        "urls": [{"url": "a"}, {"url": "b"}, {"url": None}, "c", "", 7, None],
        "videos": None,
    }
    assert read.images(document) == ("b", "a", "c")
    assert read.videos(document) == reader().images(document) == ()


def test_inputs_and_results() -> None:
    """Scopes separate the input of a video from the result of an image, also by a list of kinds."""
    read = reader("""
        images:
          - {path: $.imageUrl, unless: {$.kind: {match: "vid_.*"}}}
          - {path: $.grid, unless: {$.kind: [VIDEO, DESCRIBE]}}
        videos: [$.video_url, "$.video_urls[*]"]
        inputs: [{path: $.imageUrl, where: {$.kind: {match: "vid_.*"}}}]
    """)
    video = {"kind": "vid_1.1_i2v", "imageUrl": "in", "video_url": "v", "video_urls": ["v", "w"]}
    assert (read.images(video), read.videos(video), read.inputs(video)) == ((), ("v", "w"), ("in",))
    image = {"kind": "v7_diffusion", "imageUrl": "out"}
    assert (read.images(image), read.videos(image), read.inputs(image)) == (("out",), (), ())
    assert (read.images({"grid": "g"}), read.images({"grid": "g", "kind": "VIDEO"})) == (("g",), ())


def test_buttons() -> None:
    """A button has an id, and a label and an emoji if set. Plain text is both id and label."""
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
    assert read.buttons({"buttons": None}) == reader().buttons({"buttons": buttons}) == ()
    plain = reader('buttons: {items: "$.components[*]", id: $, label: $}')
    document = {"components": ["upsample1", "", {"a": 1}, None, "zoom"]}
    assert plain.buttons(document) == (Button("upsample1", "upsample1", None), Button("zoom", "zoom", None))


def test_a_button_is_a_value() -> None:
    """Buttons are compared and hashed by value, have a repr, and are read-only."""
    button = Button("MJ::1", "U1", None)
    other = Button(id="MJ::1", label="U1", emoji="U1")
    assert {button, Button("MJ::1", "U1", None), Button("MJ::1", "U1", "U1")} == {button, other}
    assert repr(button) == "Button(id='MJ::1', label='U1', emoji=None)"
    for name in ("id", "label", "emoji", "other"):
        with pytest.raises(AttributeError):
            setattr(button, name, "x")


def test_failures_and_errors() -> None:
    """The first path that is set gives the reason, the code and the message. A code is text or digits."""
    read = reader("failure: [$.failReason, $.error.message]")
    assert read.failure({"failReason": "", "error": {"message": "banned"}}) == "banned"
    assert read.failure({"failReason": "timeout", "error": {"message": "banned"}}) == "timeout"
    assert read.failure({"failReason": None, "error": "x"}) is None
    assert reader().failure({"failReason": "x"}) is None
    read = reader("error: {code: [$.code, $.error.code], message: [$.description, $.error.message, $.msg]}")
    assert read.error({"code": 4, "description": "task_no_found "}) == ("4", "task_no_found ")
    assert read.error({"error": {"code": "", "message": "Invalid token"}}) == (None, "Invalid token")
    assert read.error({"code": 0}) == ("0", None)
    assert read.error({"code": True, "msg": {"a": 1}}) == read.error([]) == (None, None)
    assert reader().error({"code": 4}) == (None, None)


def test_complete() -> None:
    """A part is required always, in a scope, or never."""
    read = reader("""
        complete:
          progress: true
          media: {unless: {$.action: [SHORTEN, DESCRIBE]}}
          finished: {where: {$.action: IMAGINE}}
    """)
    for document, required in (
        ({"action": "IMAGINE"}, [True, True, True]),
        ({"action": "SHORTEN"}, [True, False, False]),
        ({}, [True, True, False]),
    ):
        assert [read.completes(part, document) for part in ("progress", "media", "finished")] == required
    assert not reader().completes("media", {})


def test_refresh_batch_and_seed() -> None:
    """Refresh, batch and seed are compiled, or None."""
    read = reader("""
        refresh: 15
        batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 100}
        seed: {operation: fetchSeed, value: $.result}
    """)
    assert read.refresh == 15
    batch, seed = read.batch, read.seed
    assert batch is not None
    assert (batch.operation, batch.ids, batch.limit) == ("listTasks", "$request.body#/ids", 100)
    assert batch.items.find([{"id": "1"}, {"id": "2"}]) == [{"id": "1"}, {"id": "2"}]
    assert seed is not None
    assert (seed.operation, seed.value.first({"result": "636646138"})) == ("fetchSeed", "636646138")
    assert (reader().refresh, reader().batch, reader().seed) == (None, None, None)


NAMES = [
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
]
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


@given(st.sampled_from(READERS), DOCUMENTS | TASKS)
@example(READERS[0], {"progress": 10**400, "t": 10**400, "code": 10**4299})
@example(READERS[1], {"progress": 1e308, "t": -1e308, "buttons": [10**4299, math.nan]})
@example(READERS[3], {"t": "9999-12-31T23:59:59-23:59"})
@example(READERS[4], {"t": "9999-12-31T23:59:59"})
def test_any_document(read: Reader, document: Any) -> None:
    """For any JSON, every method returns a value of its documented type."""
    assert isinstance(read.accepts(document), bool)
    assert isinstance(read.state(document), State)
    read.id(document)
    read.status(document)
    share = read.percent(document)
    assert share is None or math.isfinite(share)
    progress = read.progress(document)
    assert progress is None or (type(progress) is int and 0 <= progress <= 100)
    for time in (read.submitted, read.started, read.finished):
        assert time is not None
        moment = time.read(document)
        assert moment is None or moment.utcoffset() == timedelta(0)
        assert moment is None or time.raw(document) not in (None, "")
    for urls in (read.images(document), read.videos(document), read.inputs(document)):
        assert isinstance(urls, tuple)
        assert {type(url) for url in urls} <= {str}
        assert "" not in urls
        assert len(set(urls)) == len(urls)
    texts = [read.kind(document), read.prompt(document), read.failure(document), *read.error(document)]
    for button in read.buttons(document):
        assert isinstance(button.id, str)
        assert button.id
        texts += [button.label, button.emoji]
    assert all(map(_is_text_or_none, texts))
    assert all(isinstance(read.completes(part, document), bool) for part in ("progress", "media", "finished"))
    for relation in read.relations:
        assert relation.breach(document) is None or relation.applies(document)


def test_a_deeply_nested_document() -> None:
    """A document nested 3,000 deep is read like any other. It is too deep for an example of Hypothesis."""
    test: Any = test_any_document
    for read in READERS:
        test.hypothesis.inner_test(read, nested(3000))


@given(st.integers(100_000, 250_000_000_000), st.integers(-1439, 1439))
def test_times_with_and_without_an_offset(second: int, minutes: int) -> None:
    """A time with an offset, or without one in a declared zone, is read unchanged."""
    moment = datetime.fromtimestamp(second, timezone(timedelta(minutes=minutes)))
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    read = stamp(f'format: iso8601, zone: "{sign}{hours:02}:{rest:02}"').read
    assert (
        read({"t": moment.isoformat()}) == read({"t": moment.replace(tzinfo=None).isoformat(" ")}) == moment
    )


@given(st.integers(0, 100))
def test_whole_percentages(value: int) -> None:
    """All spellings of a whole percentage are read exactly."""
    whole, part = (reader(f"progress: {{path: $, format: {name}}}") for name in ("percent", "fraction"))
    spellings = [whole.progress(v) for v in (value, float(value), str(value), f"{value}%", f"{value}.0 %")]
    spellings += [part.progress(v) for v in (value / 100, str(value / 100), f"{value}%")]
    assert set(spellings) == {value}


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{1,3}(\.[0-9])? ?%?"))
def test_progress_with_white_space(value: str) -> None:
    """Short spellings are cached and long ones are not. White space at the end does not change the result."""
    assert percent(value, 100) == percent(f"{value}{' ' * 50}", 100)
