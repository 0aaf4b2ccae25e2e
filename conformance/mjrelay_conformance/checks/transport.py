"""Whether the answer arrives, whole, from the host that was asked."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from mjrelay_conformance._check import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    check,
    failed,
    not_applicable,
)
from mjrelay_conformance.checks import _clauses

TRANSFER = "fetch/transfer"
REDIRECT = "fetch/redirect"
SHORTEST = 8
"""Characters of a secret below which it may well be a word of the answer."""


@check(TRANSFER, Level.MUST, on=Kind, clause=_clauses.document("RFC 9112 section 8"))
def transfer(o: Observation) -> Judgement:
    """The answer arrives whole, as its headers say."""
    if o.exchange.failure is not None:
        return failed("a complete answer", o.exchange.failure)
    return PASSED


@check(
    "fetch/rate-limit", Level.INFO, on=Kind, needs=[TRANSFER], clause=_clauses.document("RFC 6585 section 4")
)
def rate_limit(o: Observation) -> Judgement:
    """The relay answers as many requests as one run sends."""
    if o.exchange.status != 429:
        return PASSED
    after = o.exchange.header("retry-after")
    return failed("an answer", "429 Too Many Requests" + (f", Retry-After: {o.show(after)}" if after else ""))


@check(REDIRECT, Level.MUST, on=Kind, needs=[TRANSFER], clause=_clauses.operation)
def redirect(o: Observation) -> Judgement:
    """No redirect leads to another host; a client that follows one would hand its credential over."""
    target = o.exchange.header("location")
    if o.exchange.status is None or not 300 <= o.exchange.status < 400 or target is None:
        return PASSED
    try:
        if _origin(urljoin(o.exchange.url, target)) == _origin(o.exchange.url):
            return PASSED
    except ValueError:
        return failed(
            "an answer from the relay itself", f"{o.exchange.status} to what is no URL: {o.show(target)}"
        )
    return failed("an answer from the relay itself", f"{o.exchange.status} to {o.show(target)}")


@check(
    "fetch/secret", Level.MUST, on=Kind, needs=[TRANSFER], clause=_clauses.document("RFC 9110 section 17.9")
)
def secret(o: Observation) -> Judgement:
    """The caller's secret is never in an answer."""
    if not o.secrets:
        return not_applicable("no secret was sent")
    if all(len(secret) < SHORTEST for secret in o.secrets):
        return not_applicable("the secret is too short to be told from other text")
    places = [
        o.redactor.text(name)
        for name, value in o.exchange.headers
        if o.redactor.text(f"{name}: {value}") != f"{name}: {value}"
    ]
    if o.redactor.bytes(o.exchange.body) != o.exchange.body:
        places.append("the body")
    if places:
        return failed("an answer without the credential", f"it stands in {', '.join(places)}")
    return PASSED


def _origin(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
