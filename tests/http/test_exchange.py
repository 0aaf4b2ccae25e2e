"""What came back, read strictly; and secrets, taken out of it."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import REDACTED, Redactor
from mjrelay.http.strictjson import NotJSONError, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

# --- JSON ---


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b"\xef\xbb\xbf{}", {}),
        (b" [1, 2.5, -0, 1e3]\r\n\t", [1, 2.5, 0, 1000.0]),
        (b"null", None),
        (b'"\\u00fc\\ud83d\\ude00\\\\ud800"', "ü😀\\ud800"),
        ('"ü😀"'.encode(), "ü😀"),
        (b'"\\u0000"', "\x00"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"9007199254740993", 9007199254740993),
        (b"1e-400", 0.0),
    ],
)
def test_json(body: bytes, value: Any) -> None:
    """One JSON text in UTF-8 is its value; large whole numbers keep their digits."""
    assert parse_json(body) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b" \r\n", "the body is empty"),
        (b"<!doctype html>", "at line 1, column 1"),
        (b"{} {}", "Extra data"),
        (b'{"a": 1,}', "at line 1"),
        (b"{'a': 1}", "at line 1"),
        (b"// x\n1", "at line 1"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "at line 1"),
        ('{"a": 1}'.encode("utf-16"), "byte 0 is not UTF-8"),
        (b'"\xe9"', "byte 1 is not UTF-8"),
        (b'"\xed\xa0\x80"', "byte 1 is not UTF-8"),
        (b'"\x01"', "Invalid control character"),
        (b'"\\ud83d"', "half a surrogate pair"),
        (b'{"\\ude00\\ud83d": 1}', "half a surrogate pair"),
        (b"\xc2\xa01", "at line 1"),
        (b"\x0b1", "at line 1"),
        (b"NaN", "NaN is not a JSON value"),
        (b"[-Infinity]", "-Infinity is not a JSON value"),
        (b"[1e999]", "a number that is too large"),
        (b"01", "Extra data"),
        (b"+1", "at line 1"),
        (b"9" * 5000, "too many digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
    ],
)
def test_what_is_not_json(body: bytes, reason: str) -> None:
    """What a lenient parser would let pass is refused, with the reason."""
    with pytest.raises(NotJSONError, match=reason):
        parse_json(body)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner))
PIECES = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"1",
        b"e9",
        b"999",
        b"-",
        b"NaN",
        b"null",
        b"\\u",
        b"d83d",
        b"\\ude00",
    ]
)
BODIES = (
    st.binary()
    | st.lists(PIECES | st.binary(max_size=2)).map(b"".join)
    | JSON.map(json.dumps).map(str.encode)
)


@given(BODIES)
@example(b'"\\ud83d"')
@example(b"1e999")
def test_any_bytes_are_json_or_are_not(body: bytes) -> None:
    """Whatever comes, it is a value that can be written again as strict JSON in UTF-8, or one error."""
    try:
        value = parse_json(body)
    except NotJSONError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, and this one must say why
    else:
        again = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
        assert parse_json(again) == value


@given(JSON, st.booleans())
def test_json_survives(value: Any, ascii_only: bool) -> None:
    """Every JSON value is read as itself, however its text is escaped."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        body = text.encode("utf-8")
    except UnicodeEncodeError:
        body = json.dumps(value).encode()
    if "\\ud" not in text:
        assert parse_json(body) == value


# --- exchanges ---


def test_header_fields() -> None:
    """Names are compared without case; of repeated fields the first counts."""
    exchange = Exchange(
        "GET", "https://h/", headers=(("X-A", "1"), ("x-a", "2"), ("Content-Type", "Text/HTML; x=y"))
    )
    assert exchange.header("x-A") == "1"
    assert exchange.header("x-b") is None
    assert exchange.media_type == "text/html"


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        ((), ""),
        ((("content-type", ""),), ""),
        ((("content-type", " application/json ;charset=utf-8"),), "application/json"),
    ],
)
def test_media_types(headers: tuple[tuple[str, str], ...], media_type: str) -> None:
    """Parameters and blanks are no part of a media type; none at all is the empty one."""
    assert Exchange("GET", "https://h/", headers=headers).media_type == media_type


def test_documents() -> None:
    """A body is read on demand; only an object is an object."""
    assert Exchange("GET", "https://h/", status=200, body=b'{"id": "1"}').object == {"id": "1"}
    listed = Exchange("GET", "https://h/", status=200, body=b"[1]")
    assert (listed.document, listed.object) == ([1], None)
    page = Exchange("GET", "https://h/", status=200, body=b"<html>")
    assert page.object is None
    with pytest.raises(NotJSONError):
        _ = page.document


def test_repr_shows_no_secret() -> None:
    """Whatever an exchange carries in fields and bodies, its repr shows none of it."""
    secret = "sk-0123456789"
    exchange = Exchange(
        "POST",
        "https://h/task",
        request_headers=(("Authorization", f"Bearer {secret}"),),
        request_body=secret.encode(),
        status=401,
        headers=(("X-Echo", secret),),
        body=f'{{"message": "{secret}"}}'.encode(),
    )
    assert exchange.object == {"message": secret}
    assert secret not in repr(exchange)
    assert "401" in repr(exchange)
    assert secret not in repr(Redactor(secret))


# --- redaction ---

NAMED = {"+": "&plus;", "/": "&sol;", "_": "&lowbar;", "=": "&equals;", "&": "&amp;", "<": "&LT;"}
SECRET = "sk-\"a\\b/c&d<e>' +%ü😀~-0123456789abcdef"

FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda secret: secret,
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded in lower case": lambda secret: _lower(quote(secret, safe=""), "%", 2),
    "percent-encoded but for slashes": quote,
    "percent-encoded twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "percent-encoded throughout": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "a form field": quote_plus,
    "JSON": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON in ASCII": lambda secret: json.dumps(secret)[1:-1],
    "JSON with slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON in capitals": lambda secret: json.dumps(secret)[1:-1].replace("\\ud83d", "\\uD83D"),
    "JSON safe for HTML": lambda secret: (
        json.dumps(secret)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003E")
    ),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "HTML": html.escape,
    "HTML by number": lambda secret: "".join(f"&#{ord(c)};" for c in secret),
    "HTML by hexadecimal number": lambda secret: "".join(f"&#x{ord(c):04x};" for c in secret),
    "Base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "Base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "Base64 without padding": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "hexadecimal digits": lambda secret: secret.encode().hex(),
    "hexadecimal digits in capitals": lambda secret: secret.encode().hex().upper(),
    "Base32": lambda secret: base64.b32encode(secret.encode()).decode(),
    "Base32 without padding": lambda secret: base64.b32encode(secret.encode()).decode().rstrip("="),
    "Base64 twice": lambda secret: base64.b64encode(base64.b64encode(secret.encode())).decode(),
    "Base64 for URLs twice": lambda secret: (
        base64.urlsafe_b64encode(base64.urlsafe_b64encode(secret.encode())).decode().rstrip("=")
    ),
    "Base64, percent-encoded": lambda secret: quote(base64.b64encode(secret.encode()).rstrip(b"="), safe=""),
    "Base64 in JSON": lambda secret: (
        base64.b64encode(secret.encode()).decode().rstrip("=").replace("+", "\\u002B").replace("/", "\\/")
    ),
    "HTML by name": lambda secret: "".join(NAMED.get(one, one) for one in secret),
    "JavaScript": lambda secret: "".join(f"\\x{ord(one):02x}" if one.isascii() else one for one in secret),
}
CASES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "lower": str.lower,
    "upper": str.upper,
    "mixed": str.swapcase,
    "title": str.title,
}


def _lower(text: str, mark: str, digits: int) -> str:
    first, *rest = text.split(mark)
    return mark.join([first, *(part[:digits].lower() + part[digits:] for part in rest)])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_a_secret_travels_in(form: str) -> None:
    """In text and in bytes the secret is gone, and what stands around it is still there."""
    text = f"before «{FORMS[form](SECRET)}» after"
    assert Redactor(SECRET).text(text) == f"before «{REDACTED}» after"
    assert Redactor(SECRET).bytes(text.encode()) == f"before «{REDACTED}» after".encode()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be"])
def test_a_secret_in_wide_characters(encoding: str) -> None:
    """In UTF-16 and UTF-32 it is gone too, and what stands around it can still be read."""
    body = '{"key": "sk-0123456789abcdefXYZ", "of": "猫"}'.encode(encoding)
    redactor = Redactor("sk-0123456789abcdefXYZ")
    assert redactor.bytes(body).decode(encoding) == f'{{"key": "{REDACTED}", "of": "猫"}}'
    text = body.decode("latin-1")
    assert REDACTED in redactor.text(text).replace("\0", "")


@pytest.mark.parametrize("name", ["u", "ue", "use"])
@pytest.mark.parametrize("after", ["", "!", "!!", "!!!"])
def test_a_secret_within_base64(name: str, after: str) -> None:
    """Wherever in a group the secret begins and ends, nothing is left of it but a few bits at its edges."""
    secret = "0123456789-key"
    text = base64.b64encode(f"{name}:{secret}{after}".encode()).decode()
    left = Redactor(secret).text(text)
    assert REDACTED in left
    gone = len(text) - len(left.replace(REDACTED, ""))
    assert 6 * gone >= 8 * len(secret) - 10


@pytest.mark.parametrize(
    "text", ["[0123456789abcdefXYZ]", "Bearer 0123456789abcdefXYZ", "MDEyMzQ1Njc4OWFiY2RlZlhZWg=="]
)
def test_a_long_part_is_a_secret_too(text: str) -> None:
    """Relays strip a key's prefix and suffix, and show the rest."""
    assert "789" not in Redactor("sk-0123456789abcdefXYZ-7").text(text)
    assert "Njc4" not in Redactor("sk-0123456789abcdefXYZ-7").text(text)


def test_several_secrets() -> None:
    """The longer goes first, so that nothing of it stays; an empty or short one is not looked for."""
    assert (
        Redactor("secret", "secret-two", "", "abc").text("secret-two, secret, abc")
        == f"{REDACTED}, {REDACTED}, abc"
    )
    assert Redactor().text("secret") == "secret"
    assert Redactor("").bytes(b"secret") == b"secret"


def test_what_is_no_secret_stays() -> None:
    """Text without the secret is the same text, whatever it is made of."""
    for text in ("", "sk-0123456788", "\ud800", "SK-012345678", "sk%2D012345678", "\x00"):
        assert Redactor("sk-0123456789").text(text) == text
    assert Redactor("sk-0123456789").bytes(bytes(range(256))) == bytes(range(256))


def test_redaction_takes_its_time_from_no_text() -> None:
    """A long text of escapes is read once, not once for each of its characters."""
    redactor = Redactor(SECRET)
    for piece in ("\\", "&amp;", "%25", "%", "&#0"):
        text = piece * 100_000
        assert redactor.text(text) == text


SECRETS = st.text(min_size=4, max_size=40)
ASCII = st.characters(max_codepoint=127)
BEYOND_ASCII = st.characters(min_codepoint=128, exclude_categories=["Cs"])


@given(SECRETS, st.text(max_size=10), st.text(max_size=10), st.sampled_from(list(FORMS)))
@example("reda", "", "", "raw")
@example("\\\\\\\\", "\\", "\\", "JSON")
def test_no_secret_is_left_in_any_text(secret: str, before: str, after: str, form: str) -> None:
    """Whatever the secret, the text around it, and the form, what is left does not hold it."""
    redactor = Redactor(secret)
    found = FORMS[form](secret)
    text = before + found + after
    left = redactor.text(text)
    assert REDACTED in left
    assert not any(secret in part or found in part for part in left.split(REDACTED))
    body = redactor.bytes(text.encode())
    assert body == left.encode()


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=80),
    st.sampled_from(list(FORMS)),
    st.sampled_from(list(CASES)),
    st.sampled_from(list(CASES)),
    st.text(max_size=5),
)
@example("sk-0123456789abcdef", "raw", "as it is", "lower", "Content-Encoding: ")
def test_no_key_is_left_in_any_case(key: str, form: str, first: str, then: str, around: str) -> None:
    """A key is taken out of every form, whether its case was changed before or after it got that form."""
    if "Base" in form or "hexadecimal" in form:
        first = "as it is"  # other letters are other bits, and all of them cannot be known
    found = CASES[then](FORMS[form](CASES[first](key)))
    left = Redactor(key).text(around + found + around)
    assert REDACTED in left
    assert not any(
        one in part.lower() for part in left.split(REDACTED) for one in (key.lower(), found.lower())
    )


@pytest.mark.parametrize("name", ["", "u", "us", "use", "user"])
@pytest.mark.parametrize("form", ["Base32", "Base64 twice"])
def test_a_key_within_an_encoded_text(name: str, form: str) -> None:
    """Wherever in a group the key begins, nothing is left of it but a few bits at its edges."""
    key = "0123456789-the-key-of-a-relay"
    text = FORMS[form](f"{name}{key}!")
    left = Redactor(key).text(text)
    assert REDACTED in left
    assert len(left.replace(REDACTED, "")) <= len(FORMS[form](f"{name}!")) + 12


@given(st.text(ASCII, min_size=4), st.text(BEYOND_ASCII))
def test_a_text_without_the_secret_is_left_alone(secret: str, text: str) -> None:
    """Only what is a form of the secret is taken out, and no form of plain ASCII is beyond it."""
    assert Redactor(secret).text(text) == text


@given(st.text(st.characters()), st.text(st.characters()))
def test_redaction_never_raises(secret: str, text: str) -> None:
    """Half surrogates, in the secret or in the text, are no crash."""
    assert isinstance(Redactor(secret).text(text), str)
