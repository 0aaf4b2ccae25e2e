"""What the suite finds in responses that break the rules of HTTP/1.1."""

from __future__ import annotations

from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.drivers.probe import Probe
from mjrelay_conformance.judging import Kind, Observation, Outcome, judge_observation, schema_of
from peers import Peer, always

from mjrelay.contract import load_contract, relay_names
from mjrelay.http import Exchange, Redactor, Request

LENGTH = b"Content-Length: 2\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = HEAD + LENGTH + b"\r\n{}"

ENDED = "the connection ended before the body did"
NO_FIELD = "the header contains a line that is not a field"
NO_NUMBER = "Content-Length is not a single number"
NO_STATUS = "the response does not start with a status line of HTTP/1: "
NO_CHUNKS = "the chunks of the body are not valid"

ACCEPTED = {
    "well-formed": WHOLE,
    "equal lengths": HEAD + LENGTH + LENGTH + b"\r\n{}",
    "list of equal lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "length and chunks": HEAD + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "identity transfer coding": HEAD + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n{}",
    "unknown transfer coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "bare line feeds": WHOLE.replace(b"\r\n", b"\n"),
    "no reason phrase": WHOLE.replace(b" OK", b""),
    "NUL in a header value": HEAD + b"X-A: a\0b\r\n" + LENGTH + b"\r\n{}",
    "folded header line": HEAD + b"X-A: a\r\n b\r\n" + LENGTH + b"\r\n{}",
    "bytes behind the body": WHOLE + b"{}",
}
"""Responses that have a status, a header and a complete body all the same."""

BROKEN: dict[str, tuple[bytes, int | None, bytes, str]] = {
    "header name with a space": (HEAD + b"X Y: 1\r\n" + LENGTH + b"\r\n{}", 200, b"", NO_FIELD),
    "space before the colon": (HEAD + b"Content-Length : 2\r\n\r\n{}", 200, b"", NO_FIELD),
    "header line without a colon": (HEAD + b"nonsense\r\n" + LENGTH + b"\r\n{}", 200, b"", NO_FIELD),
    "two lengths": (HEAD + LENGTH + b"Content-Length: 3\r\n\r\n{}", 200, b"", NO_NUMBER),
    "negative length": (HEAD + b"Content-Length: -2\r\n\r\n{}", 200, b"", NO_NUMBER),
    "length with a sign": (HEAD + b"Content-Length: +2\r\n\r\n{}", 200, b"", NO_NUMBER),
    "HTTP/0.9": (b"{}", None, b"", NO_STATUS + "'{}'"),
    "HTTP/3.0": (WHOLE.replace(b"1.1", b"3.0"), None, b"", NO_STATUS + "'HTTP/3.0 200 OK'"),
    "status of two digits": (WHOLE.replace(b"200", b"20"), None, b"", NO_STATUS + "'HTTP/1.1 20 OK'"),
    "endless interim responses": (
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + WHOLE,
        None,
        b"",
        "more than 20 interim responses (1xx)",
    ),
    "large head": (
        HEAD + b"X-A: " + b"a" * 70_000 + b"\r\n" + LENGTH + b"\r\n{}",
        200,
        b"",
        "the header is larger than 65536 bytes",
    ),
    "many header fields": (
        HEAD + b"X-A: a\r\n" * 200 + LENGTH + b"\r\n{}",
        200,
        b"",
        "the header has more than 100 fields",
    ),
    "chunk size that is no number": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", 200, b"", NO_CHUNKS),
    "negative chunk size": (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", 200, b"", NO_CHUNKS),
    "truncated chunk": (CHUNKED + b"5\r\n{}", 200, b"{}", ENDED),
    "no last chunk": (CHUNKED + b"2\r\n{}\r\n", 200, b"{}", ENDED),
    "no blank line": (HEAD + LENGTH, 200, b"", "the connection ended before the header did"),
    "truncated body": (
        HEAD + b"Content-Length: 9\r\n\r\n{}",
        200,
        b"{}",
        "the connection ended 7 bytes before the body did",
    ),
    "no bytes": (b"", None, b"", "the connection ended before a response arrived"),
}
"""Responses that cannot be read to their end: status, body and failure of the exchange."""

BODILESS = {
    "204 with a body": ("GET", 204, WHOLE.replace(b"200 OK", b"204 No Content")),
    "304 with a length": ("GET", 304, HEAD.replace(b"200 OK", b"304 Not Modified") + LENGTH + b"\r\n"),
    "HEAD with a body": ("HEAD", 200, WHOLE),
}


def exchange_with(data: bytes, method: str = "GET") -> Exchange:
    """Send one request to a server that returns these bytes and closes."""
    with Peer(always(data, close=True)) as peer:
        return Probe(peer.origin, Redactor(), deadline=5.0).send(Request(method, "/mj/task/1/fetch"))


def findings(exchange: Exchange) -> set[str]:
    """Return the ids of the checks that a response fails."""
    contract = load_contract(relay_names()[0])
    observation = Observation(contract, schema_of(contract), Kind.KNOWN, "1", exchange)
    rows = judge_observation(observation, 1, CHECKS.values())
    return {row.check for row in rows if row.outcome is Outcome.FAIL}


def test_tolerable_responses_are_judged_by_their_content() -> None:
    """A response whose end is certain has the findings of a well-formed one."""
    usual = findings(exchange_with(WHOLE))
    for name, response in ACCEPTED.items():
        exchange = exchange_with(response)
        assert (exchange.status, exchange.body, exchange.failure) == (200, b"{}", None), name
        assert findings(exchange) == usual, name


def test_unreadable_responses_fail_the_transfer_check() -> None:
    """A response whose end is uncertain fails one check, with status, body and reason as far as received."""
    for name, (response, *expected) in BROKEN.items():
        exchange = exchange_with(response)
        assert [exchange.status, exchange.body, exchange.failure] == expected, name
        assert "fetch/transfer" in findings(exchange), name


def test_responses_without_a_body_end_with_their_header() -> None:
    """No body is read after 204, 304 and HEAD, whatever the header announces."""
    for name, (method, status, response) in BODILESS.items():
        exchange = exchange_with(response, method)
        assert (exchange.status, exchange.body, exchange.failure) == (status, b"", None), name
        assert "fetch/transfer" not in findings(exchange), name
