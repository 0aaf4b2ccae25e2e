"""The secrets that a recorded request was sent with: finding them, and taking them out."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

from attrs import evolve

from mjrelay.http import REDACTED
from mjrelay.semantics import parse_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract
    from mjrelay.http import Credential, Exchange, Headers, Redactor


_KEY = r"authorization|api[-_]?key|secret"
_KEY_NAME = re.compile(_KEY, re.IGNORECASE)
"""Fields that hold a key, whatever the contract says."""
_PRIVATE_NAME = re.compile(
    rf"{_KEY}|auth|bearer|cookie|credential|key|passw|session|signature|token|^(?:sid|sign)$", re.IGNORECASE
)
"""Fields whose values nobody else should see."""
_PLACEHOLDER = re.compile(r"(?i:.*redacted)|[*xX•.\s-]*\Z", re.DOTALL)
_SHORTEST_KEY = 4
_SHORTEST_PRIVATE = 16
"""Characters of a private value below which it may well be a word of the answer."""
_LONGEST = 2048


def keys(contract: Contract, exchange: Exchange) -> Iterator[str]:
    """The keys that a request was sent with, wherever it held them; a placeholder is none."""
    for found in _found(contract, exchange):
        if _SHORTEST_KEY <= len(found) <= _LONGEST and not _PLACEHOLDER.match(found):
            yield found


def scheme(contract: Contract, exchange: Exchange) -> str | None:
    """The name of the contract's way of authenticating that a request used, if any."""
    return next((one.scheme for one in contract.credentials if any(_presented(one, exchange))), None)


def private_values(contract: Contract, exchange: Exchange) -> Iterator[str]:
    """
    The values that are nobody else's business and long enough to be told from other text.

    They are those of cookies, of fields whose names say so, and of query parameters that are not documented.
    """
    found = [value for _, value in _cookie_pairs(exchange.request_headers)]
    found += [
        _pair(value.partition(";")[0])[1] for name, value in exchange.headers if name.lower() == "set-cookie"
    ]
    for name, value in exchange.request_headers:
        if _is_private(name) and name.lower() != "cookie":
            word, space, rest = value.strip().partition(" ")
            found.append(rest.strip() if space and word.isalpha() else value.strip())
    found += [
        value
        for name, value in parse_qsl(urlsplit(exchange.url).query)
        if _is_private_parameter(contract, exchange, name, value)
    ]
    return (one for one in found if _SHORTEST_PRIVATE <= len(one) <= _LONGEST and not _PLACEHOLDER.match(one))


def without_secrets(exchange: Exchange, contract: Contract, redactor: Redactor) -> Exchange:
    """The exchange as a judge may keep it: what was sent is without secrets, what came is as it came."""
    fields = {one.field.lower() for one in contract.credentials}

    def value(name: str, text: str) -> str:
        if name.lower() == "referer":
            text = text.partition("?")[0]  # whose query is another site's
        if not (name.lower() in fields or _is_private(name)):
            return redactor.text(text)
        word, space, rest = text.strip().partition(" ")
        return f"{word} {REDACTED}" if space and rest and word.isalpha() else REDACTED

    parts = urlsplit(exchange.url)
    query = "&".join(
        f"{name}={quote(REDACTED, safe='')}"
        if unquote_plus(name).lower() in fields
        or _is_private_parameter(contract, exchange, unquote_plus(name), unquote_plus(text))
        else redactor.text(pair)
        for pair in parts.query.split("&")
        for name, _, text in [pair.partition("=")]
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
            word, _, rest = value.strip().partition(" ")
            yield rest.strip() or word
            if word.lower() == "basic":
                yield from _basic(rest.strip())
    parts = urlsplit(exchange.url)
    yield from (value for name, value in parse_qsl(parts.query) if _is_key(name))
    if parts.password:
        yield unquote(parts.password)


def _basic(text: str) -> Iterator[str]:
    """User and password, and the password alone; the user where there is no password, which is then a key."""
    with suppress(ValueError):
        pair = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("utf-8", "replace")
        user, _, password = pair.partition(":")
        yield pair
        yield password or user


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


def _is_private_parameter(contract: Contract, exchange: Exchange, name: str, value: str) -> bool:
    """Whether a parameter of a query is private: by its name, or as a long one that is nothing known."""
    if name in _documented(contract):
        return False
    is_id = value in unquote(urlsplit(exchange.url).path).split("/")
    return _is_private(name) or (len(value) >= _SHORTEST_PRIVATE and not is_id)


@cache
def _documented(contract: Contract) -> frozenset[str]:
    """The parameters of a query that the operations document, ids among them; no credential is one."""
    asked = {contract.location: contract.reader.ask}
    if contract.batch is not None and contract.reader.batch is not None:
        asked[contract.batch] = contract.reader.batch.ids
    names = {name for place, name in map(parse_expression, asked.values()) if place == "query"}
    for _, path, method in asked:
        item = contract.document["paths"][path]
        for one in (*item.get("parameters", ()), *item[method].get("parameters", ())):
            parameter = contract.resolve(one)
            if parameter.get("in") == "query":
                names.add(parameter["name"])
    return frozenset(names - {one.field for one in contract.credentials})


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
