"""The ids in responses to submits that are cut or damaged: none, or the whole id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mjrelay.contract import load_contract
from mjrelay.http import Exchange, NotJSONError, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "1730621826053456"

# The relay, and the accepted response with an id.
SHAPES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "newapi": lambda task_id: {"code": 1, "result": task_id},
    "mjproxy": lambda task_id: {"code": 1, "result": task_id},
    "apimart": lambda task_id: {"code": 200, "data": [{"status": "submitted", "task_id": task_id}]},
    "ttapi": lambda task_id: {"status": "SUCCESS", "message": "", "data": {"jobId": task_id}},
}
READERS = {name: load_contract(name).submits[0].form.answer for name in SHAPES}
IDS = st.from_regex(r"[1-9][0-9]{5,17}|[0-9a-f]{8}-[0-9a-f]{4}|task_[0-9A-Z]{10}", fullmatch=True)


def ids(name: str, body: bytes, *, failure: str | None = None) -> tuple[str, ...]:
    """Return the ids in the body of a response with status 200."""
    exchange = Exchange("POST", "", status=200, body=body, failure=failure)
    receipt = READERS[name].read(exchange)
    assert failure is None or not receipt.outcome.accepted
    return receipt.ids


@st.composite
def responses(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """An accepted response: the relay, the id, the body."""
    name, task_id = draw(st.sampled_from(list(SHAPES))), draw(IDS)
    value = int(task_id) if task_id.isdecimal() and draw(st.booleans()) else task_id
    text = draw(st.text(st.characters(codec="utf-8"), max_size=4))
    document = SHAPES[name](value) | {"description": text, "properties": {"finalPrompt": text}}
    document = dict(draw(st.permutations(list(document.items()))))
    forms: list[dict[str, Any]] = [{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}]
    options = draw(st.sampled_from(forms))
    return name, task_id, json.dumps(document, **options).encode()


def is_json(body: bytes) -> bool:
    """Whether the body is JSON."""
    try:
        parse_json(body)
    except NotJSONError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(responses(), st.data())
def test_a_cut_response_has_no_part_of_an_id(response: tuple[str, str, bytes], data: st.DataObject) -> None:
    """After any byte, also if garbage follows: no id before the end, and the whole id at the end."""
    name, task_id, body = response
    cut = data.draw(st.integers(0, len(body) - 1))
    assert ids(name, body[:cut], failure="the connection was lost") == ()
    assert ids(name, body[:cut]) == ()
    garbage = data.draw(st.binary(max_size=4).filter(lambda one: not set(one) & set(b'"}]')))
    assert ids(name, body[:cut] + garbage, failure="the connection was lost") == ()
    assert ids(name, body, failure="the connection was lost") == (task_id,)


@settings(max_examples=250, deadline=None)
@given(responses(), st.data())
def test_a_damaged_byte_leaves_the_whole_id_or_none(
    response: tuple[str, str, bytes], data: st.DataObject
) -> None:
    """One inserted or changed byte. Damage inside the id that leaves valid JSON cannot be recognized."""
    name, task_id, body = response
    start = body.index(task_id.encode())
    inside = st.integers(start - 1, start + len(task_id))
    place = data.draw(st.one_of(st.integers(0, len(body) - 1), inside))
    within = start - 1 <= place <= start + len(task_id)
    failure = data.draw(st.sampled_from([None, "the connection was lost"]))
    # Drawing a response takes longer than reading it many times.
    for byte in (data.draw(st.integers(0, 255)), *b'{}[],:"\\0-.eE \n\x00'):
        for length in (0, 1):
            damaged = body[:place] + bytes([byte]) + body[place + length :]
            if not (within and is_json(damaged)):
                assert ids(name, damaged, failure=failure) in {(), (task_id,)}, damaged


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(SHAPES)),
    st.text(st.characters(codec="utf-8", exclude_characters='"{['), max_size=6),
    st.binary(max_size=6).filter(lambda one: not one.lstrip().startswith(b"{")),
    st.sampled_from([None, "the connection was lost"]),
)
@example("newapi", "\ufeff", b"", None)
@example("newapi", "<b>Warning</b>: in /x.php on line 3\n", b"\n\nOK", None)
@example("newapi", "", b"\x00\xff}}", "the connection was lost")
def test_a_whole_object_yields_its_id(name: str, before: str, after: bytes, failure: str | None) -> None:
    """Whatever is before and after the object, and whether or not the connection was lost."""
    body = json.dumps(SHAPES[name](ID)).encode()
    assert ids(name, before.encode() + body + after, failure=failure) == (ID,)


def test_other_damage() -> None:
    """Several objects, bytes of another encoding, control characters and numbers that may be cut."""
    newapi = {
        b'{"error": {"code": 1}}\n{"code": 1, "result": "17"}': ("17",),
        b'{"code": 1, "result": "17"}{"code": 1, "result": "18"}': ("17", "18"),
        b'{"code": 1, "result": "17"}{"code": 1, "result": "1': ("17",),
        b'{"code": 1, "result": "17"}{"code": 1}' * 99: ("17",),
        b'{"code": 1, "description": "\xcc\xe1\xbd\xbb", "result": "17"}': ("17",),
        b'{"code": 1, "description": "a\nb", "result": "17"}': ("17",),
        b'{"code": 1, "description": "\\ud83d", "result": "17"}': ("17",),
        b'{"code": 1, "properties": {"x": NaN}, "result": 17}': ("17",),
        b'{"code": 1, "result": "17\xe98"}': (),
        b'{"code": 1, "result": "17\xef\xbf\xbd8"}': (),
        b'{"code": 1, "result": "17\n8"}': (),
        b'{"code": 1, "result": "17\x008"}': (),
        b'{"code": 1, "result": 17}8}': (),
        b'{"code": 1, "result": 17}}': (),
        b'{"code": 1, "result": 17}\n}': (),
        b'{"code": 1, "result": 17}<br>': ("17",),
        b'X"code": 1, "result": "17", "properties": {"result": "18"}}': (),
        b'"code": 1, "properties": {"code": 1, "result": "18"}}': (),
        b"[" * 100_000: (),
        b'{"a":' * 100_000: (),
        b'{"code": 1, "result": "17", "x": ' + b"9" * 5000 + b"}": (),
    }
    for body, expected in newapi.items():
        assert ids("newapi", body) == expected, body[:80]
    assert ids("newapi", b"17", failure="the connection was lost") == ()
