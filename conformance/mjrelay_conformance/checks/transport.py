"""Whether the answer arrives, whole, from the host that was asked."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from mjrelay.http import retry_after
from mjrelay_conformance.checks.helpers import operation, standard
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    Outcome,
    failed,
    not_applicable,
    register_check,
)

TRANSFER = "fetch/transfer"
SECRET = "fetch/secret"  # noqa: S105 - no password
REDIRECT = "fetch/redirect"
SHORTEST = 8
"""Characters of a secret below which it may well be a word of the answer."""
SLOW, SLOWEST = 1.0, 10.0
"""Seconds after which a user notices, and after which clients give up."""
LARGE, LARGEST = 256 * 1024, 1024 * 1024
"""Bytes that are many for one task, and too many."""
_LENGTH = re.compile(r"[0-9]{1,18}")


@register_check(TRANSFER, Level.MUST, on=Kind, clause=standard("RFC 9112 section 8"))
def transfer(o: Observation) -> Judgement:
    """
    The answer arrives whole, as its headers say.

    A client that takes half an answer for all of it reports nonsense. Connections are reset by proxies
    in front of relays, and bodies stall when the upstream does.
    """
    if o.exchange.failure is not None and o.exchange.oversize:
        return Judgement(Outcome.BLOCKED, actual=f"nothing to judge: {o.exchange.failure}")
    if o.exchange.failure is not None:
        return failed("a complete answer", o.exchange.failure)
    return PASSED


@register_check(
    "fetch/rate-limit", Level.INFO, on=Kind, needs=[TRANSFER], clause=standard("RFC 6585 section 4")
)
def rate_limit(o: Observation) -> Judgement:
    """
    The relay answers as many requests as one run sends.

    Who polls for a picture asks every few seconds. Relays, and the shields in front of them, limit how often
    a key or an address may ask, and seldom say how often that is. Others turn requests away while they are
    overloaded.
    """
    if not o.overloaded:
        return PASSED
    after = o.exchange.header("retry-after")
    said = f": {o.message}" if o.message else ""
    return failed(
        "an answer", f"{o.exchange.status}{said}" + (f", Retry-After: {o.show(after)}" if after else "")
    )


@register_check(
    "fetch/retry-after",
    Level.INFO,
    on=Kind,
    needs=[TRANSFER],
    clause=standard("RFC 9110 section 10.2.3"),
)
def retry(o: Observation) -> Judgement:
    """
    A relay that wants to be left alone for a while says for how long.

    Without it clients guess, and ask again too early or much too late. Relays leave Retry-After out of a 429
    or 503, or write it in words of their own.
    """
    if o.exchange.status not in {429, 503}:
        return not_applicable("the relay did not ask to be left alone")
    if retry_after(o.exchange, 0.0) is not None:
        return PASSED
    said = o.exchange.header("retry-after")
    return failed(
        "Retry-After, in seconds or as an HTTP date",
        "no Retry-After" if said is None else f"Retry-After: {o.show(said)}",
    )


@register_check("fetch/latency", Level.SHOULD, on=Kind, needs=[TRANSFER], clause=operation)
def latency(o: Observation) -> Judgement:
    """
    The answer is there within ten seconds, and better within one.

    Clients that ask every few seconds pile requests up, and many give up after ten. Relays ask their upstream
    while the caller waits, or have a database without an index.
    """
    if o.exchange.elapsed <= SLOW:
        return PASSED
    late = o.exchange.elapsed > SLOWEST
    return failed(
        f"an answer within {SLOWEST if late else SLOW:.0f} s",
        f"it took {o.exchange.elapsed:.1f} s",
        level=Level.SHOULD if late else Level.INFO,
    )


@register_check("fetch/size", Level.SHOULD, on=Kind, clause=standard("RFC 9110 section 8.6"))
def size(o: Observation) -> Judgement:
    """
    The answer is no larger than a mebibyte, and better not than a quarter of one.

    A task is a few kilobytes and is read every few seconds, often on a telephone. Relays put whole pictures
    into it in Base64, or send every task they have.
    """
    said = o.exchange.header("content-length") or ""
    announced = int(said) if _LENGTH.fullmatch(said.strip()) else 0
    length = max(len(o.exchange.body), announced)
    if length <= LARGE:
        return PASSED
    huge = length > LARGEST
    return failed(
        f"at most {LARGEST if huge else LARGE} bytes",
        f"{length} bytes",
        level=Level.SHOULD if huge else Level.INFO,
    )


@register_check(
    "fetch/content-encoding",
    Level.SHOULD,
    on=Kind,
    needs=[TRANSFER],
    clause=standard("RFC 9110 section 12.5.3"),
)
def content_encoding(o: Observation) -> Judgement:
    """
    The answer is not compressed where the request wants it as it is.

    A client that asks for identity cannot read anything else. Relays keep compressed answers in a cache, or
    hand on those of their upstream, whatever was asked for.
    """
    codings = [value.strip() for name, value in o.exchange.headers if name.lower() == "content-encoding"]
    coded = [coding for coding in codings if coding.lower() not in {"", "identity"}]
    if not coded:
        return PASSED
    wanted = [value for name, value in o.exchange.request_headers if name.lower() == "accept-encoding"]
    if [value.strip().lower() for value in wanted] != ["identity"]:
        return not_applicable("the request did not ask for identity alone")
    return failed("no Content-Encoding", f"Content-Encoding: {o.show(', '.join(coded))}")


@register_check(REDIRECT, Level.MUST, on=Kind, needs=[TRANSFER], clause=operation)
def redirect(o: Observation) -> Judgement:
    """
    No redirect leads to another host; a client that follows one would hand its credential over.

    Relays that have moved, or whose domain has lapsed, redirect to pages of others. Clients that follow send
    the key along.
    """
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


@register_check(SECRET, Level.MUST, on=Kind, needs=[TRANSFER], clause=standard("RFC 9110 section 17.9"))
def secret(o: Observation) -> Judgement:
    """
    The caller's secret is never in an answer.

    Answers are logged, cached and pasted into issues. Relays repeat the key in error messages, or echo the
    request's fields for debugging. A redirect that repeats the URL with the key, and a cookie that is set
    anew, are no more than worth knowing.
    """
    if not o.secrets:
        return not_applicable("no secret was sent")
    if all(len(secret) < SHORTEST for secret in o.secrets):
        return not_applicable("the secret is too short to be told from other text")
    fields = [f"{name}: {value}" for name, value in o.exchange.headers]
    whole = "\n".join(fields).encode("utf-8", "surrogatepass") + b"\n" + o.exchange.body
    if o.redactor.bytes(whole) == whole:  # one look at everything, for next to never is there anything
        return PASSED
    found = [field for field in fields if o.redactor.text(field) != field]
    places = [o.redactor.text(field.partition(":")[0]) for field in found]
    if o.redactor.bytes(o.exchange.body) != o.exchange.body:
        places.append("the body")
    if places:
        level = Level.INFO if _returned(o, places) else None
        return failed("an answer without the credential", f"it stands in {', '.join(places)}", level=level)
    return PASSED


def _returned(o: Observation, places: list[str]) -> bool:
    """Whether a secret stands only where HTTP repeats the request: its URL in a redirect, or its cookie."""
    one = next((one for one in o.contract.credentials if one.scheme == o.credential), None)
    if one is None:
        return False
    if one.place == "cookie":
        return {place.lower() for place in places} == {"set-cookie"}
    return one.place == "query" and 300 <= (o.exchange.status or 0) < 400


def _origin(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
