"""Find and redact the secrets in recorded exchanges."""

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
"""Names of headers and query parameters that contain an API key, in any contract."""
_PRIVATE_NAME = re.compile(
    rf"{_KEY}|auth|bearer|cookie|credential|key|passw|session|signature|token|^(?:sid|sign)$", re.IGNORECASE
)
"""Names of headers and query parameters with private values."""
_PLACEHOLDER = re.compile(r"(?i:.*redacted)|[*xX•.\s-]*\Z", re.DOTALL)
_SHORTEST_KEY = 4
_SHORTEST_PRIVATE = 16
"""Length below which a private value is redacted in its own field only: it may be an ordinary word."""
_LONGEST = 2048


def sent_keys(contract: Contract, exchange: Exchange) -> Iterator[str]:
    """Yield the API keys of a request, from any place; placeholders are skipped."""
    for found in _credential_values(contract, exchange):
        if _SHORTEST_KEY <= len(found) <= _LONGEST and not _PLACEHOLDER.match(found):
            yield found


def used_scheme(contract: Contract, exchange: Exchange) -> str | None:
    """Return the name of the security scheme that a request used, if any."""
    return next((one.scheme for one in contract.credentials if any(_presented(one, exchange))), None)


def private_values(contract: Contract, exchange: Exchange) -> Iterator[str]:
    """
    Yield private values that are long enough to be redacted everywhere.

    They come from cookies, from fields with a private name and from undocumented query parameters.
    """
    found = [value for _, value in _cookie_pairs(exchange.request_headers)]
    found += [
        _pair(value.partition(";")[0])[1] for name, value in exchange.headers if name.lower() == "set-cookie"
    ]
    for name, value in exchange.request_headers:
        if _is_private(name) and name.lower() != "cookie":
            scheme, space, rest = value.strip().partition(" ")
            found.append(rest.strip() if space and scheme.isalpha() else value.strip())
    found += [
        value
        for name, value in parse_qsl(urlsplit(exchange.url).query)
        if _is_private_parameter(contract, exchange, name, value)
    ]
    return (one for one in found if _SHORTEST_PRIVATE <= len(one) <= _LONGEST and not _PLACEHOLDER.match(one))


def redact_exchange(exchange: Exchange, contract: Contract, redactor: Redactor) -> Exchange:
    """Redact the request of an exchange and the cookies that the response sets; the rest stays as it is."""
    fields = {one.field.lower() for one in contract.credentials}

    def value(name: str, text: str) -> str:
        if name.lower() == "referer":
            text = text.partition("?")[0]  # the query belongs to another site
        if not (name.lower() in fields or _is_private(name)):
            return redactor.text(text)
        scheme, space, rest = text.strip().partition(" ")
        return f"{scheme} {REDACTED}" if space and rest and scheme.isalpha() else REDACTED

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
        headers=tuple((name, _redact_cookie(name, text, redactor)) for name, text in exchange.headers),
        failure=None if exchange.failure is None else redactor.text(exchange.failure),
    )


def _credential_values(contract: Contract, exchange: Exchange) -> Iterator[str]:
    for credential in contract.credentials:
        yield from _presented(credential, exchange)
    for name, value in exchange.request_headers:
        if _is_key(name):
            scheme, _, rest = value.strip().partition(" ")
            yield rest.strip() or scheme
            if scheme.lower() == "basic":
                yield from _basic(rest.strip())
    parts = urlsplit(exchange.url)
    yield from (value for name, value in parse_qsl(parts.query) if _is_key(name))
    if parts.password:
        yield unquote(parts.password)


def _basic(text: str) -> Iterator[str]:
    """Yield the user with the password, and the password alone, or the user if the password is empty."""
    with suppress(ValueError):
        pair = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("utf-8", "replace")
        user, _, password = pair.partition(":")
        yield pair
        yield password or user


def _presented(credential: Credential, exchange: Exchange) -> Iterator[str]:
    """Yield the secrets in the place of a documented credential."""
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
    """Whether a query parameter is private: by its name, or because it is long and undocumented."""
    if name in _documented(contract):
        return False
    is_id = value in unquote(urlsplit(exchange.url).path).split("/")
    return _is_private(name) or (len(value) >= _SHORTEST_PRIVATE and not is_id)


@cache
def _documented(contract: Contract) -> frozenset[str]:
    """Return the documented query parameters of the operations, except credentials."""
    asked = {contract.location: contract.reader.ask}
    if contract.batch is not None and contract.reader.batch is not None:
        asked[contract.batch] = contract.reader.batch.ids
    names = {name for place, name in map(parse_expression, asked.values()) if place == "query"}
    for operation in asked:
        names |= {one["name"] for one in contract.parameters(operation) if one.get("in") == "query"}
    return frozenset(names - {one.field for one in contract.credentials})


def _cookie_pairs(headers: Headers) -> list[tuple[str, str]]:
    return [_pair(piece) for name, value in headers if name.lower() == "cookie" for piece in value.split(";")]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    return name, value


def _redact_cookie(name: str, text: str, redactor: Redactor) -> str:
    """Redact the value of a Set-Cookie header, unless it contains a secret: that is a finding."""
    if name.lower() != "set-cookie" or redactor.text(text) != text:
        return text
    pair, mark, attributes = text.partition(";")
    return f"{pair.partition('=')[0]}={REDACTED}{mark}{attributes}"
