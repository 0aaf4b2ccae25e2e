"""A probe without sockets: the exchanges that a mock relay would have over them, at once."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

from attrs import define, field

from mjrelay import http as _request
from mjrelay.http import Exchange, Redactor
from mjrelay_conformance.drivers.probe import LARGEST_BODY, LATE, _inflated, fields_of
from mjrelay_conformance.judging import OVERLONG

if TYPE_CHECKING:
    from mjrelay.http import Headers, Request
    from mjrelay_conformance.mock import Answer, MockRelay


_LATE = 30.0


@define
class Direct:
    """
    Sends requests to a mock relay as the probe does, without a network and without waiting.

    What would take time is added to ``elapsed`` instead; more than ``deadline`` seconds are too late.
    """

    app: MockRelay = field(repr=False)
    base_url: str = "http://relay.test"
    deadline: float = _LATE
    sent: int = 0
    _redactor: Redactor = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._redactor = Redactor(self.app.key)

    def send(self, request: Request) -> Exchange:
        """The exchange that a request leads to."""
        self.sent += 1
        fields = fields_of(request, self.base_url.partition("://")[2])
        answer = self.app.answer(request.method, request.target, fields, request.body)
        status, headers, body, failure = self._received(request, answer)
        passed = answer.delay + (answer.stall if answer.broken else 0.0)
        return Exchange(
            method=request.method,
            url=self._redactor.text(_request.join_url(self.base_url, request.target)),
            request_headers=tuple((name, self._redactor.text(value)) for name, value in fields),
            request_body=self._redactor.bytes(request.body),
            status=status,
            headers=headers,
            body=body,
            elapsed=min(passed, self.deadline),
            failure=failure,
        )

    def _received(self, request: Request, answer: Answer) -> tuple[int | None, Headers, bytes, str | None]:
        """What of an answer comes in time: status, header fields, body, and what went wrong."""
        if answer.delay >= self.deadline:
            return None, (), b"", LATE
        own: Headers = (("date", formatdate(self.app.clock(), usegmt=True)), *answer.framed)
        # A header field is sent in UTF-8 and read as what HTTP takes it for.
        headers = tuple((name, value.encode().decode("latin-1")) for name, value in own)
        body = answer.body[: answer.cut]
        if request.method == "HEAD":
            return answer.status, headers, b"", None
        failure = None
        if answer.broken:
            late = answer.delay + answer.stall >= self.deadline
            left = len(answer.body) - len(body)
            failure = LATE if late else f"the connection ended {left} bytes before the body did"
        elif len(body) > LARGEST_BODY:
            failure = OVERLONG
        if failure is None:
            body, failure = _inflated(headers, body)
        return answer.status, headers, body, failure
