"""The one place where secrets are taken out of what is shown or written."""

from __future__ import annotations

import base64
import html
import json
import re

REDACTED = "[redacted]"

_SEARCHED = 100_000
"""Characters of a foreign text of which only the beginning is to be shown."""


class Redactor:
    """
    Replaces the values of secrets, whatever field they stand in, in the forms that they travel in.

    Each character may stand for itself or be escaped, for a URL, for JSON or for HTML, also more than once;
    the whole may be in Base64, alone or amid other bytes. Relays strip what stands before a hyphen or a space
    in a key, so a long part is a secret too. Secrets of fewer than four characters are not looked for: they
    would tear words apart.
    """

    def __init__(self, *secrets: str) -> None:
        parts = {part for secret in secrets for part in re.split(r"[\s-]", secret) if len(part) >= 16}
        self._secrets = sorted({*filter(_long, secrets), *parts}, key=lambda secret: (-len(secret), secret))
        forms = [b"".join(map(_character, secret)) for secret in self._secrets]
        forms += [form for secret in self._secrets for form in _base64(secret)]
        self._pattern = re.compile(b"|".join(forms)) if forms else None

    def text(self, text: str) -> str:
        """The text without the secrets."""
        return self.bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def bytes(self, data: bytes) -> bytes:
        """The bytes without the secrets."""
        return data if self._pattern is None else self._pattern.sub(REDACTED.encode(), data)

    def excerpt(self, text: str, length: int) -> str:
        """The beginning of a text without the secrets; what is too long to be searched is not shown."""
        return self.text(text)[:length] if len(text) <= _SEARCHED else f"({len(text)} characters)"

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"


def _long(secret: str) -> bool:
    return len(secret) >= 4


def _character(character: str) -> bytes:
    """A pattern of all that can stand for a character."""
    raw, point = character.encode("utf-8", "surrogatepass"), ord(character)
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


def _base64(secret: str) -> list[bytes]:
    """Patterns of a secret in Base64, at each of the three places where it can begin within a group."""
    data, forms = secret.encode("utf-8", "surrogatepass"), []
    for shift in range(3):
        # What a neighbour's bits share is no fixed character: a part at the end is taken along as it comes.
        fixed = slice(-(-shift * 8 // 6), (shift + len(data)) * 8 // 6)
        text = base64.b64encode(bytes(shift) + data).decode()[fixed]
        rest = b"[\\w+/-]?={0,2}" if (shift + len(data)) % 3 else b""
        forms += [re.escape(text.encode()) + rest, re.escape(text.translate(_URL_SAFE).encode()) + rest]
    return forms


_URL_SAFE = str.maketrans("+/", "-_")
