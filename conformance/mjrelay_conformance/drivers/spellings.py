"""Unusual parts of requests, and other spellings of the usual ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import evolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.http import Request


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
MESSAGE_FIELDS = {
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "expect",
    "te",
}
"""Header fields that control the transfer of the message, in lower case."""
_LONG = "Mozilla/5.0 (compatible; " + "a very long name, " * 50 + "mjrelay)"

HARMLESS: tuple[tuple[str, str], ...] = (
    ("Accept", "*/*"),
    ("Accept", "application/*;q=0.9, */*;q=0.1"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept", "text/html;q=0.1, application/json"),
    ("Accept-Language", "zh-CN,zh;q=0.9,en;q=0.1"),
    ("Accept-Language", "*"),
    ("Accept-Charset", "utf-8, iso-8859-1;q=0.5"),
    ("Cache-Control", "no-cache"),
    ("Cache-Control", "max-age=0"),
    ("Pragma", "no-cache"),
    ("DNT", "1"),
    ("Priority", "u=1, i"),
    ("Origin", "null"),
    ("X-Forwarded-For", "203.0.113.7, 198.51.100.3"),
    ("X-Request-Id", "3f2c7d1e-0000-4000-8000-000000000000"),
    ("X-Requested-With", "XMLHttpRequest"),
    ("User-Agent", _LONG),
)
"""Header fields that browsers, proxies and libraries add, and that do not change the response."""
UNKNOWN_PARAMETERS = ("_", "utm_source", "cache-buster", "x[]", "mjrelay")
"""Query parameters that no contract describes."""
INVALID_KEYS = ("null", "undefined", "0", "' OR '1'='1", "Bearer", "{}", "%00", "a" * 2000)
"""API keys that no relay accepts."""
METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
INVALID_IDS = (
    "%",
    "%2",
    "%zz",
    "%u4EFB",
    "%C0%AF",
    "%FF%FE",
    "%ED%A0%80",
    "%00",
    "%0D%0AX-Odd:%201",
    "%252F",
    "%2E%2E%2F%2E%2E",
    "a%2Fb",
    "a%3Fb=c",
    "a%23b",
    "a;b=c",
    "%7Bid%7D",
    "%20",
    "*",
    "null",
    "undefined",
    "NaN",
    "-1",
    "1e308",
    "%27%20OR%20%271%27%3D%271",
    "%E4%BB%BB%E5%8A%A1-%C3%A9",
    "%EF%BC%91%EF%BC%92%EF%BC%93",
    "%F0%9F%90%99",
    "%E2%80%AE%E2%80%8B",
    "9" * 300,
    "%61" * 1000,
)
"""Spellings of invalid ids: malformed, overlong, in other scripts, or injections."""


def percent_encoded(data: bytes, digits: str = "02X") -> str:
    """Percent-encode every byte."""
    return "".join(f"%{byte:{digits}}" for byte in data)


def is_field(name: str, value: str) -> bool:
    """Whether a header field can be sent."""
    return bool(_TOKEN.fullmatch(name)) and value == value.strip() and value.isprintable()


def with_names(request: Request, spell: Callable[[str], str]) -> Request:
    """Return a request with other spellings of its header names."""
    headers = tuple((spell(name), value) for name, value in request.headers)
    shown = None if request.shown is None else with_names(request.shown, spell)
    return evolve(request, headers=headers, shown=shown)
