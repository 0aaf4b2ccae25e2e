"""The one place where secrets are taken out of what is shown or written."""

from __future__ import annotations

import base64
import html
import json
import re
from functools import lru_cache
from itertools import zip_longest

from mjrelay.base import replace_unprintable

REDACTED = "[redacted]"
_REDACTED = [b"%c" % character for character in REDACTED.encode()]

_SEARCHED = 100_000
"""Characters of a foreign text of which only the beginning is to be shown."""


class Redactor:
    """
    Replaces the values of secrets, whatever field they stand in, in the forms that they travel in.

    Each character may stand for itself or be escaped, for a URL, for JSON or for HTML, also more than once;
    the whole may be in Base64 or in hexadecimal digits, alone or amid other bytes, and a secret in ASCII also
    in UTF-16 or UTF-32. Relays strip what stands before a hyphen or a space
    in a key, so a long part is a secret too. Secrets of fewer than four characters are not looked for: they
    would tear words apart.
    """

    def __init__(self, *secrets: str) -> None:
        parts = {part for secret in secrets for part in re.split(r"[\s-]", secret) if len(part) >= 16}
        self._secrets = sorted({*filter(_long, secrets), *parts}, key=lambda secret: (-len(secret), secret))
        encoded = [form for secret in self._secrets for form in _base64(secret)]
        forms = [b"".join(map(_character, secret)) for secret in self._secrets]
        forms += [re.escape(text) + rest for text, rest in encoded]
        digits = [_raw(secret).hex().encode() for secret in self._secrets]
        forms += [b"(?i:%s)" % text for text in digits]
        self._pattern = re.compile(b"|".join(forms)) if forms else None
        plain = [*map(_raw, self._secrets), *(text for text, _ in encoded)]
        self._plain = _shortest([*plain, *digits, *map(bytes.upper, digits)])
        self._wide = _wide(self._secrets)
        self._escaped = _escaped(self._secrets)

    def text(self, text: str) -> str:
        """The text without the secrets."""
        return self.bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def bytes(self, data: bytes) -> bytes:
        """The bytes without the secrets."""
        if self._pattern is None:
            return data
        if b"\0" in data:
            for gap, secrets in self._wide:
                for secret in secrets:
                    data = data.replace(secret, gap.join(_REDACTED))
        # Where no character of a secret is escaped, it can only stand there as it is: much quicker to find.
        for text in self._plain:
            if text in data:
                return self._pattern.sub(REDACTED.encode(), data)
        for escaped in self._escaped:
            if escaped.search(data):
                return self._pattern.sub(REDACTED.encode(), data)
        return data

    def excerpt(self, text: str, length: int) -> str:
        """The beginning of a text without the secrets; what is too long to be searched is not shown."""
        return self.text(text)[:length] if len(text) <= _SEARCHED else f"({len(text)} characters)"

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"


def _long(secret: str) -> bool:
    return len(secret) >= 4


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@lru_cache(256)
def _character(character: str) -> bytes:
    """A pattern of all that can stand for a character."""
    raw, point = _raw(character), ord(character)
    halves = character.encode("utf-16-be", "surrogatepass").hex()
    forms = [
        b"\\\\{0,8}" + re.escape(raw),
        b"".join(b"%%(?:25){0,3}(?i:%02x)" % byte for byte in raw),
        b"".join(b"\\\\{1,8}u(?i:%s)" % halves[i : i + 4].encode() for i in range(0, len(halves), 4)),
        b"&(?:amp;){0,3}#(?:0{0,6}%d|[xX]0{0,6}(?i:%x));" % (point, point),
    ]
    if character in "\b\f\n\r\t":
        forms.append(b"\\\\{1,8}" + json.dumps(character)[2:-1].encode())
    if (named := html.escape(character)) != character:
        forms.append(b"&(?:amp;){0,3}" + named.removeprefix("&").encode())
    if character == " ":
        forms.append(b"\\+")
    return b"(?:" + b"|".join(forms) + b")"


def _shortest(texts: list[bytes]) -> tuple[bytes, ...]:
    """Texts of which one stands wherever any of them does: those that hold another one are left out."""
    each = dict.fromkeys(texts)
    return tuple(text for text in each if not any(one in text for one in each if one != text))


def _escaped(secrets: list[str]) -> tuple[re.Pattern[bytes], ...]:
    """
    Patterns of any character of a secret where it is escaped, as `_character` knows it.

    Each begins with the one mark of its escapes, so that a text with few of them is passed over quickly.
    """
    slashed, units, octets, references = {b"(?!)"}, set(), set(), set()
    for secret in secrets:
        for character, following in zip_longest(secret, secret[1:], fillvalue=""):
            raw, point = _raw(character), ord(character)
            # In JSON some stand behind a backslash anyway, so that only what follows tells.
            common = character in _BACKSLASHED and following
            slashed.add(re.escape(raw) + (_character(following) if common else b""))
            if character in "\b\f\n\r\t":
                slashed.add(json.dumps(character)[2:-1].encode())
            units.add(character.encode("utf-16-be", "surrogatepass")[:2].hex().encode())
            octets.add(b"%02x" % raw[0])
            references |= {b"#0{0,6}%d;" % point, b"#[xX]0{0,6}(?i:%x);" % point}
            if (named := html.escape(character)) != character:
                references.add(named.removeprefix("&").encode())
    unit, slash, octet, reference = (
        b"|".join(sorted(forms)) for forms in (units, slashed, octets, references)
    )
    patterns = [
        rb"\\(?:u(?i:%s)|%s)" % (unit, slash),
        b"%%(?:25){0,3}(?i:%s)" % octet,
        b"&(?:amp;){0,3}(?:%s)" % reference,
        *([rb"\+"] if any(" " in secret for secret in secrets) else []),
    ]
    return tuple(map(re.compile, patterns))


def _wide(secrets: list[str]) -> list[tuple[bytes, list[bytes]]]:
    """
    Secrets in ASCII as they stand in UTF-16 and UTF-32, by what lies between two of their characters.

    What lies before the first or behind the last one is left out: thus the order of the bytes is all one.
    """
    plain = [[b"%c" % byte for byte in secret.encode()] for secret in secrets if secret.isascii()]
    return [(gap, [gap.join(secret) for secret in plain]) for gap in (b"\0", b"\0\0\0")]


def _base64(secret: str) -> list[tuple[bytes, bytes]]:
    """A secret in Base64, at each of the three places in a group where it can begin, and what may end it."""
    data, forms = _raw(secret), []
    for shift in range(3):
        # What a neighbour's bits share is no fixed character: a part at the end is taken along as it comes.
        fixed = slice(-(-shift * 8 // 6), (shift + len(data)) * 8 // 6)
        text = base64.b64encode(bytes(shift) + data).decode()[fixed]
        rest = b"[\\w+/-]?={0,2}" if (shift + len(data)) % 3 else b""
        forms += [(text.encode(), rest), (text.translate(_URL_SAFE).encode(), rest)]
    return forms


_BACKSLASHED = frozenset('bfnrtu/"\\')
_URL_SAFE = str.maketrans("+/", "-_")


class _Process:
    """What a process keeps out of all that it writes; it has one, for it runs one command."""

    redactor = Redactor()


def set_redactor(redactor: Redactor) -> None:
    """From now on let nothing be written that holds these secrets, whatever relay sent it."""
    _Process.redactor = redactor


def redacted_text(text: str) -> str:
    """Text without the secrets."""
    return _Process.redactor.text(text)


def printable_text(text: str) -> str:
    """Text of a relay's without secrets, and without what would steer a terminal; it becomes one line."""
    return replace_unprintable(re.sub(r"[\t\r\n]+", " ", redacted_text(text)))
