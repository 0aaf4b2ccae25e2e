"""HTTP/1.1 without the I/O: what to send on a connection, and what to make of what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import h11

from mjrelay.transport.response import ExchangeError, UnsendableRequestError

if TYPE_CHECKING:
    from mjrelay.http import Headers


LARGEST_HEAD = 100 * 1024
"""Bytes of an answer's head, or of the lines between its parts, that are read before it is given up."""


class ResponseListener(Protocol):
    """Whoever is told the answer while it comes; what it raises ends the talk."""

    def begin(self, status: int, headers: Headers) -> None:
        """The head has come."""

    def take(self, piece: bytes) -> None:
        """A piece of the body has come."""


class ClientProtocol:
    """
    One request after another on one connection.

    ``silent`` says that no byte of the present answer has come.
    """

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._engine = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
        self.silent = True

    def ask(self, method: str, target: str, headers: Headers, body: bytes) -> bytes:
        """The bytes of a request; raises `UnsendableRequestError` for one that HTTP cannot carry."""
        named = {name.lower() for name, _ in headers}
        fields = list(headers)
        if "host" not in named:
            fields.insert(0, ("Host", self._authority))
        if body or method not in {"GET", "HEAD"}:
            fields.append(("Content-Length", str(len(body))))
        send = self._engine.send
        try:
            head = send(h11.Request(method=method, target=target, headers=fields)) or b""
            return head + (send(h11.Data(body)) or b"" if body else b"") + (send(h11.EndOfMessage()) or b"")
        except (h11.LocalProtocolError, UnicodeEncodeError):
            # What was raised shows the value, which may be the key.
            raise UnsendableRequestError(
                "the request cannot be sent; HTTP carries no such path or header field, check headers="
            ) from None

    def hear(self, data: bytes, listener: ResponseListener) -> bool:
        """
        Whether the answer is complete with these bytes; none at all mean that the connection has ended.

        Raises `ExchangeError` for what is no HTTP or breaks off, and whatever the listener raises.
        """
        engine = self._engine
        if data:
            self.silent = False
        elif engine.their_state is h11.SEND_RESPONSE:
            raise ExchangeError("the connection was closed before an answer came")
        try:
            engine.receive_data(data)
            while (event := engine.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    listener.take(event.data)
                elif isinstance(event, h11.Response):
                    fields = event.headers.raw_items()
                    pairs = ((str(name, "latin-1"), str(value, "latin-1")) for name, value in fields)
                    listener.begin(event.status_code, tuple(pairs))
                elif not isinstance(event, h11.InformationalResponse):
                    return isinstance(event, h11.EndOfMessage)
        except h11.RemoteProtocolError as error:
            raise ExchangeError(f"the answer is not HTTP as it should be ({error})") from error
        return False

    def renew(self) -> bool:
        """Whether the connection can carry another request: both sides are done, and nothing was added."""
        engine = self._engine
        if engine.our_state is not h11.DONE or engine.their_state is not h11.DONE or engine.trailing_data[0]:
            return False
        engine.start_next_cycle()
        self.silent = True
        return True
