"""JSON is read alike by every decoder: the same values of the same types, or the same reason."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mjrelay.contract.loading import load_contract
from mjrelay.http import strictjson as _json
from mjrelay.http.strictjson import DEEPEST, NotJSONError, parse_json, parse_json_with

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = [
    "-0",
    "-0.0",
    "0e99999999999",
    "1E5",
    "9007199254740993",
    "9007199254740993.0",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "9" * 309,
    "9" * 400 + "e-300",
    "9" * 400 + ".0",
    "9" * 5000,
    "0." + "9" * 5000,
    "1.7976931348623158e308",
    "1.7976931348623159e308",
    "1e400",
    "-1e400",
    "1e-400",
    "2.4703282292062327e-324",
    "2.4703282292062328e-324",
    "1e99999999999999999999",
]
FRAGMENTS = [
    *(number.encode() for number in NUMBERS),
    *(
        character.encode()
        for character in '{}[]:,"\\0123456789-+.eE/ \t\r\n\x00\x1f\x7f\x0b\xa0ü😀\u2028\ufeff'
    ),
    *(b"true", b"false", b"null", b"NaN", b"-Infinity", b'"a":', b'"\\n\\/\\b"', b"/* */"),
    *(b"\\u", b"\\ud83d", b"\\ude00", b"\\ud83d\\ude00", b"\\u0000", b"\\uD8", b"\\ud83d\\u0041"),
    *(b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98"),
]


def refused(body: bytes) -> Any:
    raise LookupError(body)


def outcome(decode: Callable[[bytes], Any] | None, body: bytes) -> Any:
    """What becomes of a body: its value with all its types and the order of its names, or the reason."""
    try:
        value = parse_json_with(decode, body)
    except NotJSONError as error:
        return str(error)
    return exact(value)


def exact(value: Any) -> Any:
    if isinstance(value, dict):
        return dict, [(name, exact(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return list, [exact(inner) for inner in value]
    return type(value), repr(value)


@pytest.fixture(scope="module")
def fastest() -> Callable[[bytes], Any]:
    pytest.importorskip("msgspec", reason="the fast extra is not installed")
    decode = _json._fastest()
    assert decode is not None
    return decode


# --- one by one ---


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:30])
@pytest.mark.parametrize("frame", ["{}", "[{}]", '{{"a":{}}}', " {}\r\n"])
def test_numbers(fastest: Callable[[bytes], Any], number: str, frame: str) -> None:
    """Whole numbers keep all their digits, others are rounded alike, and too large ones are refused alike."""
    body = frame.format(number).encode()
    assert outcome(fastest, body) == outcome(None, body)


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda fragment: repr(fragment[:30]))
@pytest.mark.parametrize("frame", [b"%b", b'"%b"', b'{"%b":1}', b"[%b]", b"[1,%b]", b"{}%b", b'"\\%b"'])
def test_fragments(fastest: Callable[[bytes], Any], fragment: bytes, frame: bytes) -> None:
    """Each odd piece of JSON is one or is none with and without the extra, wherever it stands."""
    body = frame % fragment
    assert outcome(fastest, body) == outcome(None, body)


def test_repeated_names(fastest: Callable[[bytes], Any]) -> None:
    """Of members with one name the last counts, at the place of the first."""
    body = b'{"a":1,"b":2,"a":3}'
    assert outcome(fastest, body) == outcome(None, body) == exact({"a": 3, "b": 2})


def nested(depth: int, opening: bytes, innermost: bytes, closing: bytes) -> bytes:
    return opening * depth + innermost + closing * depth


@pytest.mark.parametrize("decoder", ["the extra", "the standard library"])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[1,"[{",', b"]")])
@pytest.mark.parametrize("innermost", [b"1", b'"[[{{"'])
def test_the_deepest_that_is_read(
    fastest: Callable[[bytes], Any], decoder: str, opening: bytes, closing: bytes, innermost: bytes
) -> None:
    """The limit of nesting is one number for both, and brackets that do not nest do not count."""
    decode = fastest if decoder == "the extra" else None
    assert parse_json_with(decode, nested(DEEPEST, opening, innermost, closing))
    for depth in (DEEPEST + 1, 990, 1023, 1024, 1025, 100_000):
        with pytest.raises(NotJSONError, match="nested too deeply"):
            parse_json_with(decode, nested(depth, opening, innermost, closing))


@pytest.mark.parametrize("innermost", [b"[]", b"{}", b'{"a":[]}'])
def test_an_empty_container_is_a_level_too(fastest: Callable[[bytes], Any], innermost: bytes) -> None:
    """What holds nothing counts like what holds something."""
    fits = nested(DEEPEST - innermost.count(b"[") - innermost.count(b"{"), b"[", innermost, b"]")
    for decode in (fastest, None):
        assert parse_json_with(decode, fits)
        with pytest.raises(NotJSONError, match="nested too deeply"):
            parse_json_with(decode, b"[" + fits + b"]")


@pytest.mark.parametrize("count", [DEEPEST, DEEPEST + 1, 5000])
def test_many_side_by_side(fastest: Callable[[bytes], Any], count: int) -> None:
    """Many containers that are not within one another are no nesting; nor are brackets in a text."""
    for body in (b"[" + b"{}," * count + b"0]", b'"' + b"[{" * count + b'"'):
        assert outcome(fastest, body) == outcome(None, body) == exact(json.loads(body))


def test_the_deepest_that_is_read_can_be_shown() -> None:
    """A value that was read can be written and shown without a thought to its depth."""
    value = parse_json(nested(DEEPEST, b"[", b"1", b"]"))
    assert parse_json(json.dumps(value).encode()) == value
    assert repr(value).count("[") == DEEPEST


# --- whatever comes ---

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner))
DIGITS = st.text("0123456789", min_size=1, max_size=25)
DECIMALS = st.builds("{}{}.{}e{}".format, st.sampled_from(["", "-"]), DIGITS, DIGITS, st.integers(-400, 400))
WRITTEN = (
    st.builds(json.dumps, VALUES, ensure_ascii=st.booleans(), indent=st.sampled_from([None, 1]))
    | DECIMALS
    | st.lists(DECIMALS).map(lambda numbers: f"[{','.join(numbers)}]")
).map(lambda text: text.encode("utf-8", "surrogatepass"))
PIECES = st.sampled_from(FRAGMENTS) | st.binary(max_size=2)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON, as it is or damaged at up to three places, or a heap of its pieces."""
    body = draw(WRITTEN | st.lists(PIECES, max_size=6).map(b"".join))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(PIECES) + body[place + draw(st.integers(0, 2)) :]
    return body


@given(bodies() | st.binary())
@example(b"")
@example(b" \r\n")
@example(b"\xef\xbb\xbf{}")
@example(b"\xef\xbb\xbf\xff")
@example("{}".encode("utf-16"))
@settings(max_examples=200)
def test_any_bytes_are_read_alike(fastest: Callable[[bytes], Any], body: bytes) -> None:
    """Whatever comes, the value and its types, or else the reason, are alike with and without the extra."""
    assert outcome(fastest, body) == outcome(None, body)


@given(WRITTEN)
def test_what_a_decoder_refuses_the_standard_library_judges(body: bytes) -> None:
    """A decoder that fails in its own way neither adds a failure nor hides one."""
    assert outcome(refused, body) == outcome(None, body)


# --- what is used ---


def test_the_extra_is_used_where_installed(fastest: Callable[[bytes], Any]) -> None:
    """Parsing goes through the decoder of the extra, and its import waits until then."""
    assert type(fastest).__name__ == "builtin_function_or_method"
    code = (
        "import sys; from mjrelay.http.strictjson import parse_json; assert 'msgspec' not in sys.modules;"
        "parse_json(b'1'); assert 'msgspec' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_extra() -> None:
    """Where the extra is missing, the standard library alone reads."""
    code = (
        "import sys; sys.modules['msgspec'] = None; from mjrelay.http.strictjson import parse_json, _fastest;"
        "assert parse_json(b'[18446744073709551616]') == [2**64]; assert _fastest() is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads() -> None:
    """Several threads read at once, each its own body."""
    texts = [json.dumps({"n": [n, n / 7, {"k" * n: str(n)}] * 50}) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for text, value in zip(
            texts * 5, pool.map(lambda text: parse_json(text.encode()), texts * 5), strict=True
        ):
            assert value == json.loads(text)


@pytest.mark.parametrize("name", ["zhongzhuan"])
def test_the_relays_own_examples(fastest: Callable[[bytes], Any], name: str) -> None:
    """A contract's whole document, with all its examples, is read alike as well."""
    body = json.dumps(load_contract(name).document, ensure_ascii=False, default=str).encode()
    assert outcome(fastest, body) == outcome(None, body) == exact(json.loads(body))
