"""
Read the head of a response that h11 refuses.

The suite judges such a response by its status and its body, because many clients read it: for example
``Transfer-Encoding: identity``, an unknown transfer coding, or NUL in a header value. h11 reads its body,
after a head that only shows where the body ends. An uncertain end of the head or the body is a problem.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from mjrelay.http import Headers


_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] +([1-9][0-9]{2})(?: [^\r\n]*)?\r?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\r?", re.DOTALL)
_INCOMPLETE = "the connection ended before the header did"
_MOST_INTERIM = 20
_LENGTH = re.compile(r"[0-9]+")


@frozen
class Head:
    """
    A head.

    Attributes:
        status: The status code, or None if the first line is no status line of HTTP/1.
        headers: The header fields up to the problem.
        problem: Why the body cannot be read, or None.
        rest: A head that h11 accepts, and what was received after the head.
    """

    status: int | None
    headers: Headers = ()
    problem: str | None = None
    rest: bytes = b""


def read_head(data: bytes, *, ended: bool) -> Head:
    """Return the head of the final response; ``ended`` means that no bytes follow."""
    for _ in range(_MOST_INTERIM + 1):
        line, _, data = data.partition(b"\n")
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            shown = line[:100].decode("latin-1").strip()
            return Head(None, (), f"the response does not start with a status line of HTTP/1: {shown!r}")
        status = int(match[1])
        headers, problem, data = _fields(data)
        if status >= 200 or status == 101 or problem is not None:
            break
    else:
        return Head(None, (), f"more than {_MOST_INTERIM} interim responses (1xx)")
    if problem is _INCOMPLETE and not ended:
        problem = "the header is larger than is read"
    problem = problem or _length_problem(headers)
    if problem is not None:
        return Head(status, headers, problem)
    if status == 101:
        return Head(status, headers, rest=b"HTTP/1.1 204 \r\n\r\n")
    return Head(status, headers, rest=b"HTTP/1.1 %d \r\n%b\r\n%b" % (status, _framing(headers), data))


def _fields(data: bytes) -> tuple[Headers, str | None, bytes]:
    """Return the fields, the problem of a line, and the bytes after the head."""
    found: list[tuple[str, str]] = []
    while True:
        line, end, data = data.partition(b"\n")
        if not end:
            return tuple(found), _INCOMPLETE, b""
        if line in {b"", b"\r"}:
            return tuple(found), None, data
        if line[:1] in b" \t" and found:
            name, value = found.pop()
            found.append((name, f"{value} {line.strip().decode('latin-1')}"))
        elif (match := _FIELD.fullmatch(line)) is None:
            return tuple(found), "the header contains a line that is not a field", b""
        else:
            found.append((match[1].decode("latin-1"), match[2].decode("latin-1")))


def _values(headers: Headers, wanted: str) -> list[str]:
    return [value for name, value in headers if name.lower() == wanted]


def _is_chunked(headers: Headers) -> bool:
    return [value.strip().lower() for value in _values(headers, "transfer-encoding")][:1] == ["chunked"]


def content_lengths(headers: Headers) -> set[str]:
    """Return the different values of Content-Length."""
    return {part.strip() for value in _values(headers, "content-length") for part in value.split(",")}


def _length_problem(headers: Headers) -> str | None:
    lengths = set() if _is_chunked(headers) else content_lengths(headers)
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        return "Content-Length is not a single number"
    return None


def _framing(headers: Headers) -> bytes:
    """Return the field that shows h11 where the body ends; nothing if the connection's end does."""
    if _is_chunked(headers):
        return b"Transfer-Encoding: chunked\r\n"
    for length in content_lengths(headers):
        return b"Content-Length: %b\r\n" % length.encode()
    return b""
