"""The secrets that a recorded request was sent with: finding them, and taking them out."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from attrs import evolve

from mjrelay._redaction import REDACTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay._contract import Contract
    from mjrelay._credential import Credential
    from mjrelay._exchange import Exchange, Headers
    from mjrelay._redaction import Redactor

_KEY = r"authorization|api[-_]?key|secret"
_KEY_NAME = re.compile(_KEY, re.IGNORECASE)
"""Fields that hold a key, whatever the contract says."""
_PRIVATE_NAME = re.compile(rf"{_KEY}|cookie|token|passw|session|^(?:key|sid|sign|signature)$", re.IGNORECASE)
"""Fields whose values nobody else should see."""
_PLACEHOLDER = re.compile(r"(?i:.*redacted)|[*xX•.\s-]*\Z", re.DOTALL)
_SHORTEST_KEY = 4
_SHORTEST_COOKIE = 16
"""Characters of a cookie's value below which it may well be a word of the answer."""
_LONGEST = 2048


def keys(contract: Contract, exchange: Exchange) -> Iterator[str]:
    """The keys that a request was sent with, wherever it held them; a placeholder is none."""
    for found in _found(contract, exchange):
        if _SHORTEST_KEY <= len(found) <= _LONGEST and not _PLACEHOLDER.match(found):
            yield found


def scheme(contract: Contract, exchange: Exchange) -> str | None:
    """The name of the contract's way of authenticating that a request used, if any."""
    return next((one.scheme for one in contract.credentials if any(_presented(one, exchange))), None)


def cookies(exchange: Exchange) -> Iterator[str]:
    """The values of cookies that are long enough to be told from other text."""
    pairs = _cookie_pairs(exchange.request_headers)
    pairs += [
        _pair(value.partition(";")[0]) for name, value in exchange.headers if name.lower() == "set-cookie"
    ]
    return (value for _, value in pairs if _SHORTEST_COOKIE <= len(value) <= _LONGEST)


def without_secrets(exchange: Exchange, contract: Contract, redactor: Redactor) -> Exchange:
    """The exchange as a judge may keep it: what was sent is without secrets, what came is as it came."""
    fields = {one.field.lower() for one in contract.credentials}

    def private(name: str) -> bool:
        return name.lower() in fields or _is_private(name)

    def value(name: str, text: str) -> str:
        if not private(name):
            return redactor.text(text)
        word, space, rest = text.strip().partition(" ")
        return f"{word} {REDACTED}" if space and rest and word.isalpha() else REDACTED

    parts = urlsplit(exchange.url)
    query = "&".join(
        f"{name}={quote(REDACTED, safe='')}" if private(unquote(name)) else redactor.text(pair)
        for pair in parts.query.split("&")
        for name in [pair.partition("=")[0]]
    )
    netloc = parts.netloc.rpartition("@")[2]
    url = f"{parts.scheme}://{netloc}{redactor.text(parts.path)}" + (f"?{query}" if query else "")
    return evolve(
        exchange,
        url=url,
        request_headers=tuple((name, value(name, text)) for name, text in exchange.request_headers),
        request_body=redactor.bytes(exchange.request_body),
        headers=tuple((name, _without_cookie(name, text, redactor)) for name, text in exchange.headers),
        failure=None if exchange.failure is None else redactor.text(exchange.failure),
    )


def _found(contract: Contract, exchange: Exchange) -> Iterator[str]:
    for credential in contract.credentials:
        yield from _presented(credential, exchange)
    for name, value in exchange.request_headers:
        if _is_key(name):
            yield value.strip().partition(" ")[2].strip() or value.strip()
    parts = urlsplit(exchange.url)
    yield from (value for name, value in parse_qsl(parts.query) if _is_key(name))
    if parts.password:
        yield unquote(parts.password)


def _presented(credential: Credential, exchange: Exchange) -> Iterator[str]:
    """What a request holds where a credential belongs."""
    match credential.place:
        case "header":
            pairs = list(exchange.request_headers)
        case "query":
            pairs = parse_qsl(urlsplit(exchange.url).query)
        case _:
            pairs = _cookie_pairs(exchange.request_headers)
    fold = str.lower if credential.place == "header" else str
    field, prefix = fold(credential.field), credential.prefix.lower()
    for name, value in pairs:
        if fold(name) == field and value.lower().startswith(prefix):
            presented = value[len(prefix) :].strip()
            if presented:
                yield presented


@lru_cache
def _is_key(name: str) -> bool:
    return _KEY_NAME.search(name) is not None


@lru_cache
def _is_private(name: str) -> bool:
    return _PRIVATE_NAME.search(name) is not None


def _cookie_pairs(headers: Headers) -> list[tuple[str, str]]:
    return [_pair(piece) for name, value in headers if name.lower() == "cookie" for piece in value.split(";")]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    return name, value


def _without_cookie(name: str, text: str, redactor: Redactor) -> str:
    """A field of the answer; a cookie's value is left out, unless a secret came back in it."""
    if name.lower() != "set-cookie" or redactor.text(text) != text:
        return text
    pair, mark, attributes = text.partition(";")
    return f"{pair.partition('=')[0]}={REDACTED}{mark}{attributes}"
