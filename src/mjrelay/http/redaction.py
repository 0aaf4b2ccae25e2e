"""Redact secrets from all output."""

from __future__ import annotations

import base64
import html.entities
import json
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import evolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mjrelay.http.exchange import Exchange, Headers


from mjrelay.base import replace_unprintable

REDACTED = "[redacted]"
_REDACTED = [b"%c" % character for character in REDACTED.encode()]

_SEARCHED = 100_000
"""Maximum length of a text that `Redactor.excerpt` searches."""


class Redactor:
    """
    Replace secrets in any encoding in which they may appear.

    Case is ignored, because proxies and libraries change the case of header fields. Each character may be
    escaped for a URL, JSON or HTML, also repeatedly. The secret may be in hexadecimal, Base32, or Base64
    (once or twice), also inside a longer encoded text. ASCII secrets are also found in UTF-16 and UTF-32.
    Relays strip prefixes of a key at a hyphen or a space, so each long part is a secret too. Secrets of fewer
    than four characters are ignored, because they would match parts of words.
    """

    def __init__(self, *secrets: str) -> None:
        parts = {part for secret in secrets for part in re.split(r"[\s-]", secret) if len(part) >= 16}
        self._secrets = sorted({*filter(_long, secrets), *parts}, key=lambda secret: (-len(secret), secret))
        encoded = list(dict.fromkeys(form for secret in self._secrets for form in _encoded(secret)))
        forms = [b"".join(map(_character, secret)) for secret in self._secrets]
        forms += [b"".join(map(_digit, text)) + rest for text, rest in encoded]
        self._pattern = re.compile(b"|".join(forms), re.IGNORECASE) if forms else None
        # In encoded text only letters and digits are never escaped.
        runs = [_longest(re.split("[^0-9A-Za-z]", text)) for text, _ in encoded]
        self._plain = _Sieve([*map(_fixed, self._secrets), *runs])
        self._wide = _wide(self._secrets)
        self._escaped = _escaped(self._secrets)

    def text(self, text: str) -> str:
        """Return text with secrets redacted."""
        return self.bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def bytes(self, data: bytes) -> bytes:
        """Return bytes with secrets redacted."""
        if self._pattern is None:
            return data
        if b"\0" in data:
            for gap, pattern in self._wide:
                data = pattern.sub(gap.join(_REDACTED), data)
        # Most data contains no secret, and this check is much faster than the pattern.
        folded = data.lower()
        if self._plain.any_in(folded):
            return self._pattern.sub(REDACTED.encode(), data)
        for escaped in self._escaped:
            if escaped.search(folded):
                return self._pattern.sub(REDACTED.encode(), data)
        return data

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return an exchange with secrets redacted in request and response."""
        return evolve(
            exchange,
            url=self.text(exchange.url),
            request_headers=self._fields(exchange.request_headers),
            request_body=self.bytes(exchange.request_body),
            headers=self._fields(exchange.headers),
            body=self.bytes(exchange.body),
            failure=None if exchange.failure is None else self.text(exchange.failure),
        )

    def _fields(self, headers: Headers) -> Headers:
        return tuple((self.text(name), self.text(value)) for name, value in headers)

    def excerpt(self, text: str, length: int) -> str:
        """Return the start of a text with secrets redacted. A text too long to search is not shown."""
        return self.text(text)[:length] if len(text) <= _SEARCHED else f"({len(text)} characters)"

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"


_LONG = 15
"""Length in bytes from which a text contains an aligned integer of eight bytes at any offset."""


class _Sieve:
    """
    Search for many texts at once.

    Long texts are excluded together, by comparing one integer of eight bytes per step of the data. A step is
    so short that each text contains such an integer at any offset.
    """

    def __init__(self, texts: Iterable[bytes]) -> None:
        each = dict.fromkeys(texts)
        # A text that contains a shorter one is found with it.
        shortest = [text for text in each if not any(one in text for one in each if one != text)]
        self._short = [text for text in shortest if len(text) < _LONG]
        self._long = [text for text in shortest if len(text) >= _LONG]
        self._steps = min((len(text) - 7 for text in self._long), default=_LONG) // 8
        pieces = (text[i : i + 8] for text in self._long for i in range(8 * self._steps))
        self._integers = {int.from_bytes(piece, sys.byteorder) for piece in pieces}

    def any_in(self, data: bytes) -> bool:
        """Return whether the data contains one of the texts."""
        for text in self._short:
            if text in data:
                return True
        integers = memoryview(data + bytes(-len(data) % 8)).cast("Q")
        if self._integers.isdisjoint(integers[:: self._steps]):
            return False
        return any(text in data for text in self._long)


def _long(secret: str) -> bool:
    return len(secret) >= 4


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _cases(character: str) -> list[str]:
    """Return a character in upper and lower case; the upper case of a few has several characters."""
    return sorted({character, character.lower(), character.upper(), character.title()})


def _fixed(secret: str) -> bytes:
    """Return the longest part of a secret that does not change with case, with ASCII in lower case."""
    kept = "".join(one if one.isascii() or len(_cases(one)) == 1 else "\0" for one in secret)
    return _longest(kept.split("\0"))


def _longest(texts: Iterable[str]) -> bytes:
    return _raw(max(texts, key=len)).lower()


@lru_cache(256)
def _character(character: str) -> bytes:
    """Return a pattern of all forms of a character, in lower case."""
    forms: dict[bytes, None] = {}
    for one in _cases(character):
        forms |= dict.fromkeys(_forms(one) if len(one) == 1 else [b"".join(map(_character, one))])
    return b"(?:" + b"|".join(forms) + b")"


def _forms(character: str) -> Iterator[bytes]:
    """Yield patterns of a character in one case."""
    raw, point = _raw(character), ord(character)
    yield b"\\\\{0,8}" + re.escape(raw.lower())
    yield b"".join(b"(?:%%(?:25){0,3}|\\\\{1,8}x)%02x" % byte for byte in raw)
    yield b"".join(b"\\\\{1,8}u" + unit for unit in _units(character))
    yield b"&(?:amp;){0,3}#(?:0{0,6}%d|x0{0,6}%x);" % (point, point)
    if character in "\b\f\n\r\t":
        yield b"\\\\{1,8}" + json.dumps(character)[2:-1].encode()
    for name in _NAMED.get(character, ()):
        yield b"&(?:amp;){0,3}" + name
    if character == " ":
        yield b"\\+"


def _units(character: str) -> list[bytes]:
    """Return the UTF-16 units of a character in hexadecimal."""
    digits = character.encode("utf-16-be", "surrogatepass").hex().encode()
    return [digits[i : i + 4] for i in range(0, len(digits), 4)]


@lru_cache(256)
def _digit(digit: str) -> bytes:
    """Return a pattern of all forms of a character of an encoded text."""
    if digit.isalnum():
        return digit.encode()
    return b"(?:" + b"|".join(map(_character, _ALPHABETS[digit])) + b")"


_ALPHABETS = {"+": "+-", "-": "+-", "/": "/_", "_": "/_"}
"""Characters that differ between the two alphabets of Base64."""


def _escaped(secrets: list[str]) -> tuple[re.Pattern[bytes], ...]:
    """
    Return patterns of any escaped character of a secret, as in `_character`, in lower case.

    Each starts with the mark of its escapes, so that a text with few of them is searched quickly.
    """
    slashed, units, octets, points, names = (set[bytes]() for _ in range(5))
    for secret in secrets:
        for index, character in enumerate(secret):
            for one, after in _each_case(character, secret[index + 1 :][:3]):
                raw = _raw(one)
                # In JSON some follow a backslash anyway, so that the next characters decide.
                common = one.lower() in _BACKSLASHED and after
                slashed.add(re.escape(raw.lower()) + (b"".join(map(_character, after)) if common else b""))
                if one in "\b\f\n\r\t":
                    slashed.add(json.dumps(one)[2:-1].encode())
                units.add(_units(one)[0])
                octets.add(b"%02x" % raw[0])
                points |= {b"%d" % ord(one), b"x0{0,6}%x" % ord(one)}
                names |= {*_NAMED.get(one, ())}
    unit, slash, octet, point, name = (
        b"|".join(sorted(forms)) for forms in (units, slashed, octets, points, names or {b"(?!)"})
    )
    patterns = [
        rb"\\(?:u(?:%s)|x(?:%s)|%s)" % (unit, octet, slash),
        b"%%(?:25){0,3}(?:%s)" % octet,
        b"&(?:amp;){0,3}(?:#0{0,6}(?:%s);|%s)" % (point, name),
        *([rb"\+"] if any(" " in secret for secret in secrets) else []),
    ]
    return tuple(map(re.compile, patterns))


def _each_case(character: str, following: str) -> Iterator[tuple[str, str]]:
    """Yield each case of a character, and the following text if it is certain."""
    for case in _cases(character):
        yield from ((one, following if len(case) == 1 else "") for one in case)


def _wide(secrets: list[str]) -> list[tuple[bytes, re.Pattern[bytes]]]:
    """
    Return patterns of ASCII secrets in UTF-16 and UTF-32, each with the bytes between two characters.

    The zero bytes at both ends are not part of it, so that the byte order does not matter.
    """
    plain = [[re.escape(b"%c" % byte) for byte in secret.encode()] for secret in secrets if secret.isascii()]
    gaps = (b"\0", b"\0\0\0") if plain else ()
    return [(gap, re.compile(b"|".join(gap.join(secret) for secret in plain), re.IGNORECASE)) for gap in gaps]


def _encoded(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield the encoded forms of a secret, each with a pattern of its possible ends."""
    data = _raw(secret)
    yield data.hex(), b""
    for text, whole in _aligned(data, base64.b32encode, 5):
        yield text, b"" if whole else b"\\w?={0,6}"
    for text, whole in _aligned(data, base64.b64encode, 3):
        yield text, b"" if whole else b"[\\w+/-]?={0,2}"
        for inner in {text, text.translate(_URL_SAFE)}:
            for outer, _ in _aligned(inner.encode(), base64.b64encode, 3):
                yield outer, b"[\\w+/-]{0,5}={0,2}"


def _aligned(data: bytes, encode: Callable[[bytes], bytes], group: int) -> Iterator[tuple[str, bool]]:
    """
    Yield the characters that encode only the data, for each offset in a ``group`` of bytes.

    The flag is false if the last bits share a character with the next byte; the caller adds that one.
    """
    bits = 5 if group == 5 else 6
    for shift in range(group):
        text = encode(bytes(shift) + data).decode()
        end = (shift + len(data)) * 8
        yield text[-(-shift * 8 // bits) : end // bits], end % bits == 0


_BACKSLASHED = frozenset('bfnrtu/"\\')
_URL_SAFE = str.maketrans("+/", "-_")
_NAMED: dict[str, list[bytes]] = {}
"""HTML entity names of a character, in lower case with the semicolon."""
for _name, _value in html.entities.html5.items():
    if _name.endswith(";"):
        _NAMED.setdefault(_value, []).append(_name.lower().encode())


class _Process:
    """The redactor of the process, which runs one command."""

    redactor = Redactor()


def set_redactor(redactor: Redactor) -> None:
    """Set the redactor for all output of the process."""
    _Process.redactor = redactor


def redacted_text(text: str) -> str:
    """Return text with the secrets of the process redacted."""
    return _Process.redactor.text(text)


def printable_text(text: str) -> str:
    """Return text as one line without secrets and control characters."""
    return replace_unprintable(redacted_text(text))
