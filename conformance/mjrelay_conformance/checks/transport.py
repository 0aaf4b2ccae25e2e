"""Checks of the transfer: the response is complete, and comes from the requested host."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from mjrelay.http import retry_after
from mjrelay_conformance.checks.helpers import operation, standard
from mjrelay_conformance.judging import (
    PASSED,
    SUBMITS,
    UNUSUAL,
    Judgement,
    Kind,
    Level,
    Observation,
    blocked,
    define_check,
    failed,
    not_applicable,
)

SHORTEST = 8
"""Minimum characters of a secret; a shorter one may be an ordinary word of the response."""
SLOW, SLOWEST = 1.0, 10.0
"""Seconds after which users notice the delay, and after which clients give up."""
LARGE, LARGEST = 256 * 1024, 1024 * 1024
"""Bytes that are many for one task, and too many."""
_API = [kind for kind in Kind if kind not in UNUSUAL]
"""A limit of a web site says nothing about its API."""
_LENGTH = re.compile(r"[0-9]{1,18}")


@define_check(
    "fetch/transfer",
    Level.MUST,
    on=Kind,
    clause=standard("RFC 9112 section 8"),
    judges_inconclusive=True,
)
def transfer(o: Observation) -> Judgement:
    """
    The response is complete, as its headers announce it.

    A client that takes half a response for the whole one returns wrong data. Proxies in front of relays reset
    connections, and bodies stall when the upstream stalls.
    """
    if o.exchange.failure is None:
        return PASSED
    if o.exchange.oversize:
        return blocked(o.exchange.failure)
    return failed("a complete response", o.exchange.failure)


@define_check(
    "fetch/rate-limit",
    Level.INFO,
    on=_API,
    needs=[transfer],
    clause=standard("RFC 6585 section 4"),
    judges_inconclusive=True,
)
def rate_limit(o: Observation) -> Judgement:
    """
    The relay serves as many requests as one run sends.

    Clients that wait for a task poll every few seconds. Relays and their proxies limit the rate of a key or
    an address and seldom document the limit. Overloaded relays reject requests too.
    """
    if not o.overloaded:
        return PASSED
    after = o.exchange.header("retry-after")
    message = f": {o.message}" if o.message else ""
    return failed(
        "a response", f"{o.exchange.status}{message}" + (f", Retry-After: {o.show(after)}" if after else "")
    )


@define_check(
    "fetch/retry-after",
    Level.INFO,
    on=_API,
    needs=[transfer],
    clause=standard("RFC 9110 section 10.2.3"),
    judges_inconclusive=True,
    judges_headers=True,
)
def retry(o: Observation) -> Judgement:
    """
    A 429 or 503 response has a valid Retry-After.

    Without it clients guess, and retry too early or much too late. Relays omit the header or write free text
    into it.
    """
    if o.exchange.status not in {429, 503}:
        return not_applicable("the status is not 429 or 503")
    if retry_after(o.exchange, 0.0) is not None:
        return PASSED
    value = o.exchange.header("retry-after")
    return failed(
        "Retry-After, in seconds or as an HTTP date",
        "no Retry-After" if value is None else f"Retry-After: {o.show(value)}",
    )


@define_check(
    "fetch/latency",
    Level.SHOULD,
    on=[kind for kind in Kind if kind not in SUBMITS],
    needs=[transfer],
    clause=operation,
    judges_inconclusive=True,
)
def latency(o: Observation) -> Judgement:
    """
    The response is complete within ten seconds, and better within one.

    Clients that poll every few seconds pile up requests, and many time out after ten seconds. Relays query
    their upstream while the client waits, or a database without an index.
    """
    if o.exchange.elapsed <= SLOW:
        return PASSED
    late = o.exchange.elapsed > SLOWEST
    return failed(
        f"a response within {SLOWEST if late else SLOW:.0f} s",
        f"it took {o.exchange.elapsed:.1f} s",
        level=Level.SHOULD if late else Level.INFO,
    )


@define_check(
    "fetch/size",
    Level.SHOULD,
    on=Kind,
    clause=standard("RFC 9110 section 8.6"),
    judges_inconclusive=True,
)
def size(o: Observation) -> Judgement:
    """
    The body is at most 1 MiB, and better at most 256 KiB.

    A task is a few kilobytes and is polled every few seconds, often from a phone. Relays embed whole images
    in Base64, or return every task they have.
    """
    announced = o.exchange.header("content-length") or ""
    length = int(announced) if _LENGTH.fullmatch(announced.strip()) else 0
    length = max(len(o.exchange.body), length)
    if length <= LARGE:
        return PASSED
    huge = length > LARGEST
    return failed(
        f"at most {LARGEST if huge else LARGE} bytes",
        f"{length} bytes",
        level=Level.SHOULD if huge else Level.INFO,
    )


@define_check(
    "fetch/content-encoding",
    Level.SHOULD,
    on=Kind,
    needs=[transfer],
    clause=standard("RFC 9110 section 12.5.3"),
    judges_inconclusive=True,
    judges_headers=True,
)
def content_encoding(o: Observation) -> Judgement:
    """
    A request with `Accept-Encoding: identity` gets an uncompressed response.

    A client that accepts only identity cannot decode anything else. Relays cache compressed responses, or
    forward those of their upstream regardless of the request.
    """
    codings = [value.strip() for name, value in o.exchange.headers if name.lower() == "content-encoding"]
    coded = [coding for coding in codings if coding.lower() not in {"", "identity"}]
    if not coded:
        return PASSED
    wanted = [value for name, value in o.exchange.request_headers if name.lower() == "accept-encoding"]
    if [value.strip().lower() for value in wanted] != ["identity"]:
        return not_applicable("the request accepts other encodings than identity")
    return failed("no Content-Encoding", f"Content-Encoding: {o.show(', '.join(coded))}")


@define_check(
    "fetch/redirect",
    Level.MUST,
    on=Kind,
    needs=[transfer],
    clause=operation,
    judges_inconclusive=True,
    judges_headers=True,
)
def redirect(o: Observation) -> Judgement:
    """
    No redirect leads to another host.

    A client that follows such a redirect sends its API key to that host. Relays that have moved, or whose
    domain has expired, redirect to the pages of others.
    """
    target = o.exchange.header("location")
    if o.exchange.status is None or not 300 <= o.exchange.status < 400 or target is None:
        return PASSED
    try:
        if _origin(urljoin(o.exchange.url, target)) == _origin(o.exchange.url):
            return PASSED
    except ValueError:
        return failed(
            "a response of the relay itself",
            f"{o.exchange.status} to {o.show(target)}, which is not a valid URL",
        )
    return failed("a response of the relay itself", f"{o.exchange.status} to {o.show(target)}")


@define_check(
    "fetch/secret",
    Level.MUST,
    on=Kind,
    needs=[transfer],
    clause=standard("RFC 9110 section 17.9"),
    judges_inconclusive=True,
)
def secret(o: Observation) -> Judgement:
    """
    The response never contains the caller's API key.

    Responses are logged, cached and pasted into issues. Relays repeat the key in error messages, or echo the
    request headers for debugging. A redirect that repeats the URL with the key, or a cookie that is set
    again, is only informational.
    """
    if not o.secrets:
        return not_applicable("no secret was sent")
    if all(len(secret) < SHORTEST for secret in o.secrets):
        return not_applicable(f"the secret has fewer than {SHORTEST} characters and may be an ordinary word")
    fields = [f"{name}: {value}" for name, value in o.exchange.headers]
    whole = "\n".join(fields).encode("utf-8", "surrogatepass") + b"\n" + o.exchange.body
    if o.redactor.bytes(whole) == whole:  # one search for the usual case, in which there is no secret
        return PASSED
    found = [field for field in fields if o.redactor.text(field) != field]
    places = [o.redactor.text(field.partition(":")[0]) for field in found]
    if o.redactor.bytes(o.exchange.body) != o.exchange.body:
        places.append("the body")
    if places:
        level = Level.INFO if _returned(o, places) else None
        return failed("a response without the API key", f"the key is in {', '.join(places)}", level=level)
    return PASSED


CHECKS = (transfer, rate_limit, retry, latency, size, content_encoding, redirect, secret)


def _returned(o: Observation, places: list[str]) -> bool:
    """Whether the key is only where HTTP repeats the request: the URL of a redirect, or its own cookie."""
    one = next((one for one in o.contract.credentials if one.scheme == o.credential), None)
    if one is None:
        return False
    if one.place == "cookie":
        return {place.lower() for place in places} == {"set-cookie"}
    return one.place == "query" and 300 <= (o.exchange.status or 0) < 400


def _origin(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
