"""Requests are sent as given, and exchanges hold no secrets; for every transport."""

from __future__ import annotations

import subprocess
import sys
import traceback

import pytest
from peers import Peer, always, response
from senders import KEY, TARGET, Kind, MakeSender, make_request, with_uvloop

from mjrelay.errors import SettingError
from mjrelay.http.request import Request


def test_importing_is_cheap() -> None:
    """Neither the import nor a transport without a proxy loads httpx; the import alone loads no library."""
    code = (
        "import sys; from mjrelay import transport; from mjrelay.http.redaction import Redactor\n"
        "heavy = {'httpx', 'httpcore', 'anyio', 'h11', 'pyreqwest', 'asyncio'}\n"
        "print(sorted(heavy & sys.modules.keys() - {'asyncio'}))\n"
        "transport.connect(transport.TransportConfig('http://127.0.0.1:1', Redactor()))\n"
        "print(sorted({'httpx', 'httpcore', 'anyio', 'pyreqwest'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


@with_uvloop
def test_an_exchange(make: MakeSender) -> None:
    """The server receives the key; the exchange has a placeholder, the response as sent, and its duration."""
    sent = response(b'{"a": 1}', b"Content-Type: application/json", b"Set-Cookie: a", b"set-COOKIE: b\xe9")
    with Peer(always(sent)) as peer:
        exchange = make(peer.origin).send()
    head = peer.requests[0].lower()
    assert head.startswith(b"get " + TARGET.encode() + b" http/1.1\r\n")
    assert f"authorization: bearer {KEY}\r\n".encode() in head
    assert b"accept-encoding: gzip\r\n" in head
    assert f"host: 127.0.0.1:{peer.port}\r\n".encode() in head
    assert (exchange.method, exchange.url) == ("GET", peer.origin + TARGET)
    assert ("Authorization", "[redacted]") in exchange.request_headers
    assert ("Accept-Encoding", "gzip") in exchange.request_headers
    assert KEY not in str((exchange.url, exchange.request_headers, exchange.request_body))
    assert (exchange.status, exchange.body, exchange.failure) == (200, b'{"a": 1}', None)
    assert exchange.header("CONTENT-type") == "application/json"
    assert [name.lower() for name, _ in exchange.headers].count("set-cookie") == 2
    assert 0 < exchange.elapsed < 5


def test_field_names_keep_their_case(make: MakeSender, kind: Kind) -> None:
    """The default transport keeps the case of names, repeated fields, and bytes beyond ASCII."""
    if kind.fast:
        pytest.skip("pyreqwest reports names in lower case, and no value beyond ASCII")
    with Peer(always(response(b"", b"X-ODD-case: \xe9", b"x-odd-CASE: 2"))) as peer:
        exchange = make(peer.origin).send()
    assert exchange.headers[1:] == (("X-ODD-case", "\xe9"), ("x-odd-CASE", "2"))


def test_a_request_body(make: MakeSender) -> None:
    """A POST is sent with its body and length, also an empty one, and the exchange holds it."""
    with Peer(always(response())) as peer:
        sender = make(peer.origin)
        exchange = sender.send(make_request("POST", b'{"ids": ["1"]}'))
        sender.send(make_request("POST"))
    assert peer.requests[0].endswith(b'\r\n\r\n{"ids": ["1"]}')
    assert b"content-length: 0\r\n" in peer.requests[1].lower()
    assert (exchange.request_body, exchange.status) == (b'{"ids": ["1"]}', 200)


@pytest.mark.parametrize("route", ["own", "client", "proxy"])
@pytest.mark.parametrize("field", [("X-Key", f"{KEY}\r\nX-Other: 1"), ("X Key", KEY), ("X-Key", f"{KEY}猪")])
def test_an_unsendable_request(
    make_routed: MakeSender, kind: Kind, route: str, field: tuple[str, str]
) -> None:
    """A header field that is not valid in HTTP is a `SettingError` without the value."""
    if kind.fast and not field[1].isascii():
        pytest.skip("pyreqwest sends it in UTF-8")
    request = Request("GET", "/", (field,))
    with Peer(always(response())) as peer:
        sender = make_routed(peer, route)
        with pytest.raises(SettingError, match="cannot be sent") as caught:
            sender.send(request)
        assert sender.send().failure is None
    assert len(peer.requests) == 1
    assert KEY not in "".join(traceback.format_exception(caught.value))
