"""Recognise web pages: something in front of a relay, such as a proxy, sends them instead of its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mjrelay.http.strictjson import NotJSONError

if TYPE_CHECKING:
    from mjrelay.http.exchange import Exchange

_START = 65_536
"""Bytes of a page that are searched."""

_CHALLENGES = (b"captcha", b"challenge", b"just a moment", b"enable javascript", b"verify you are human")


def is_web_page(exchange: Exchange) -> bool:
    """Return whether the body is a web page. Some relays label JSON as HTML: that is none."""
    start = exchange.body[:100].lstrip()
    if start.startswith(b"<") or not start or "html" not in exchange.media_type:
        return start.startswith(b"<")
    try:
        _ = exchange.document
    except NotJSONError:
        return True
    return False


def is_challenge(exchange: Exchange) -> bool:
    """Return whether a web page asks for a browser: Cloudflare's header, or a typical word."""
    start = exchange.body[:_START].lower()
    return exchange.header("cf-mitigated") is not None or any(word in start for word in _CHALLENGES)
