"""HTTP/1.1 without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import h11

from mjrelay.transport.response import ExchangeError, UnsendableRequestError

if TYPE_CHECKING:
    from mjrelay.http import Headers


LARGEST_HEAD = 100 * 1024
"""Maximum size of a response head, or of a line between chunks, in bytes."""


MOST_INTERIM = 20
"""Maximum number of interim responses (1xx)."""

CUT = "the TLS connection was cut (no close_notify), so that the response may be incomplete"


class ResponseListener(Protocol):
    """Receives the parts of a response. An error that it raises ends the exchange."""

    def begin(self, status: int, headers: Headers) -> None:
        """Handle the status and the header."""

    def add(self, piece: bytes) -> None:
        """Handle a piece of the body."""


class ClientProtocol:
    """
    The client's side of one connection.

    Attributes:
        awaiting_response: No byte of the current response has been received.
    """

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._engine = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
        self.awaiting_response = True
        self._interim = 0

    def request_bytes(
        self, method: str, target: str, headers: Headers, body: bytes, encoding: str = "ascii"
    ) -> bytes:
        """
        Return the bytes of a request; raise `UnsendableRequestError` if it is not valid in HTTP.

        ``encoding`` is that of the values of header fields.
        """
        fields = list(headers)
        if "host" not in {name.lower() for name, _ in fields}:
            fields.insert(0, ("Host", self._authority))
        if body or method not in {"GET", "HEAD", "CONNECT"}:
            fields.append(("Content-Length", str(len(body))))
        send = self._engine.send
        try:
            raw = [(name.encode("ascii"), value.encode(encoding)) for name, value in fields]
            head = send(h11.Request(method=method, target=target, headers=raw)) or b""
            return head + (send(h11.Data(body)) or b"" if body else b"") + (send(h11.EndOfMessage()) or b"")
        except (h11.LocalProtocolError, UnicodeEncodeError):
            # The original error shows the value, which may be the key.
            raise UnsendableRequestError(
                "the request cannot be sent: its path or a header field is not valid in HTTP; check headers="
            ) from None

    def receive(self, data: bytes | None, listener: ResponseListener) -> bool:
        """
        Feed received bytes. Return True when the response is complete.

        Args:
            data: The bytes; ``b""`` is EOF, and None is the EOF of TLS without close_notify.
            listener: Receives the parts of the response.

        Raises:
            ExchangeError: The response is not valid HTTP, or is truncated.
        """
        engine = self._engine
        if data:
            self.awaiting_response = False
        elif engine.their_state is h11.SEND_RESPONSE:
            raise ExchangeError("the connection was closed before a response arrived")
        try:
            engine.receive_data(data or b"")
            while (event := engine.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    listener.add(event.data)
                elif isinstance(event, h11.Response):
                    fields = event.headers.raw_items()
                    pairs = ((str(name, "latin-1"), str(value, "latin-1")) for name, value in fields)
                    listener.begin(event.status_code, tuple(pairs))
                elif isinstance(event, h11.InformationalResponse):
                    self._interim += 1
                    if self._interim > MOST_INTERIM:
                        raise ExchangeError(f"more than {MOST_INTERIM} interim responses (1xx)")
                elif data is None and isinstance(event, h11.EndOfMessage):
                    raise ExchangeError(CUT)
                else:
                    return isinstance(event, h11.EndOfMessage)
        except h11.RemoteProtocolError as error:
            raise ExchangeError(f"the response is not valid HTTP ({error})") from error
        return False

    def start_next(self) -> bool:
        """Prepare for another request. Return False if the connection cannot be reused."""
        engine = self._engine
        if engine.our_state is not h11.DONE or engine.their_state is not h11.DONE or engine.trailing_data[0]:
            return False
        engine.start_next_cycle()
        self.awaiting_response, self._interim = True, 0
        return True
