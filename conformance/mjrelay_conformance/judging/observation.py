"""An observation: one exchange, with everything that a check may use to judge it."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay.base import cached_property
from mjrelay.http import OVERSIZE, Redactor, is_overloaded
from mjrelay.semantics import State, SubmitOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay.http import Exchange
    from mjrelay.semantics import Matcher, Reader, Receipt
    from mjrelay_conformance.judging.schema import Schema, SchemaViolation


_MARGIN = 4096
"""Characters that are longer than any form of a secret."""


_ABSENT = {404, 405, 501}
_NONE = {SubmitOutcome.UNKNOWN, SubmitOutcome.ELSEWHERE}
_OVERLOADED = {SubmitOutcome.RATE_LIMITED, SubmitOutcome.OVERLOADED}


@cache
def _redactor(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(*secrets)


def _one_of(matchers: Iterable[Matcher], exchange: Exchange) -> bool:
    return any(matcher.matches(exchange) for matcher in matchers)


OVERLONG = f"{OVERSIZE} is read"
"""The failure of an exchange whose body exceeds the suite's limit, which is no finding."""


class Kind(StrEnum):
    """The purpose of an exchange."""

    KNOWN = "known"
    MISSING = "missing"
    ODD = "odd"
    METHOD = "other-method"
    BATCH = "batch"
    BAD_CREDENTIAL = "bad-credential"
    NO_CREDENTIAL = "no-credential"
    MISPLACED = "misplaced-credential"
    ALTERNATIVE = "alternative-credential"
    SUBMIT = "submit"
    SUBMITTED = "submitted"
    LISTED = "listed-submits"
    BAD_SUBMIT = "submit-bad-credential"
    INVALID_SUBMIT = "invalid-submit"


SUBMITS = frozenset({Kind.SUBMIT, Kind.BAD_SUBMIT, Kind.INVALID_SUBMIT})
"""The kinds of requests to an operation that submits."""

REFUSED = frozenset({Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL, Kind.MISPLACED, Kind.BAD_SUBMIT})
"""The kinds of requests that a relay must reject if its contract requires an API key."""

UNUSUAL = frozenset({Kind.ODD, Kind.METHOD})
"""The kinds of requests that a web site may receive in place of the API behind it."""


@define(frozen=True, slots=False)
class Observation:
    """
    One exchange, with everything that a check may use to judge it.

    Attributes:
        contract: The contract of the relay.
        schema: The contract's schemas.
        kind: The purpose of the exchange.
        task_id: The requested task id; for a batch see ``ids``.
        exchange: The request and the response.
        expected: The state of the task that the caller gave with ``--task``.
        earlier: Earlier observations, oldest first: of the same task; for a batch, of every known task; for
            a request that must be rejected, of all such requests, and of batches if it is one.
        accepted: Whether the relay accepted the caller's API key before.
        secrets: The caller's secrets, which no response may contain.
        proven: Whether a known task was fetched before, if any was requested. If not, the base URL may be
            wrong.
        ids: The task ids of a batch request, or those that a submit returned.
        credential: The name of the security scheme that was used.
        recorded: Whether the exchange comes from a recording, which may lack parts of it.
        submit: The operation of a submit.
        token: The state token of the submit that the exchange is about.
    """

    contract: Contract
    schema: Schema
    kind: Kind
    task_id: str
    exchange: Exchange
    expected: State | None = None
    earlier: tuple[Observation, ...] = ()
    accepted: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    proven: bool = True
    ids: tuple[str, ...] = ()
    credential: str | None = None
    recorded: bool = False
    submit: SubmitOperation | None = None
    token: str | None = None

    @property
    def reader(self) -> Reader:
        """The reader of the relay's documents."""
        return self.contract.reader

    @cached_property
    def task(self) -> dict[str, Any] | None:
        """The document if the response is a 200 with a JSON object, else None."""
        return self.exchange.object if self.exchange.status == 200 else None

    @cached_property
    def receipt(self) -> Receipt | None:
        """The response to a submit, as the contract describes it; None for other requests."""
        if self.submit is None or self.kind not in SUBMITS:
            return None
        return self.submit.form.answer.read(self.exchange)

    @cached_property
    def state(self) -> State:
        """The state of the task; unknown without a task."""
        return State.UNKNOWN if self.task is None else self.reader.state(self.task)

    @cached_property
    def media(self) -> tuple[str, ...]:
        """The URLs of the task's images and videos in any state."""
        return () if self.task is None else (*self.reader.images(self.task), *self.reader.videos(self.task))

    @cached_property
    def times(self) -> dict[str, tuple[Any, datetime | None]]:
        """The timestamps of the task by name, in their expected order: the raw value and the parsed one."""
        reader = self.reader
        named = {"submitted": reader.submitted, "started": reader.started, "finished": reader.finished}
        return {
            name: (raw, stamp.read(self.task))
            for name, stamp in named.items()
            if self.task is not None and stamp is not None and (raw := stamp.raw(self.task)) is not None
        }

    @property
    def headers_recorded(self) -> bool:
        """Whether the header fields of the response are known."""
        return not self.recorded or bool(self.exchange.headers)

    @property
    def redactor(self) -> Redactor:
        """The redactor of the caller's secrets."""
        return _redactor(self.secrets)

    def show(self, value: Any, limit: int = 200) -> str:
        """Return a JSON value as text for people, without secrets and shortened to ``limit`` characters."""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        shown = self.redactor.text(text[: limit + _MARGIN])
        return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(text)} characters)"

    @cached_property
    def inconclusive(self) -> str | None:
        """The reason why this exchange proves nothing for or against the relay; None if it does."""
        if self.overloaded:
            limited = self.exchange.status == 429
            why = "the relay limits the rate of requests" if limited else "the relay is overloaded"
            message = f" ({self.message})" if self.message else ""
            return f"{self.exchange.status}: {why}{message}"
        if self.absent:
            return "the relay does not have this operation; check the base URL"
        if self.refused:
            return "the relay rejected the API key; check that it is valid and has permission"
        fetched = self.kind is not Kind.KNOWN or any(before.task for before in self.earlier)
        if not fetched and self.missed:
            return "the relay has no such task; check the id"
        return None

    @property
    def overloaded(self) -> bool:
        """Whether the relay is overloaded, unless the contract describes the response otherwise."""
        if self.receipt is not None and self.receipt.outcome is not SubmitOutcome.UNKNOWN:
            return self.receipt.outcome in _OVERLOADED
        reader = self.reader
        described = (*reader.missing, *reader.unauthorized, *reader.forbidden, *reader.elsewhere)
        return is_overloaded(self.exchange) and not _one_of(described, self.exchange)

    @property
    def absent(self) -> bool:
        """Whether the response to a submit is that of a path which the relay may not have."""
        if self.receipt is None or self.receipt.outcome not in _NONE:
            return False
        return self.exchange.status in _ABSENT or not self.proven

    @property
    def message(self) -> str:
        """The error message of the response on one line; empty for a web page."""
        document, body = self.exchange.object, self.exchange.body
        message = None if document is None else self.reader.error(document)[1]
        if message is None and "html" not in self.exchange.media_type and not body.lstrip().startswith(b"<"):
            message = body[:_MARGIN].decode("utf-8", "replace")
        return self.show(" ".join((message or "").split()))

    @property
    def missed(self) -> bool:
        """Whether the response is the one that the contract describes for a missing task."""
        return _one_of(self.reader.missing, self.exchange)

    @property
    def refused(self) -> bool:
        """Whether the relay rejected the caller's API key without having accepted it before."""
        if self.kind in REFUSED or self.accepted:
            return False
        exchange, reader = self.exchange, self.reader
        rejected = exchange.status in {401, 402, 403}
        return rejected or _one_of(reader.unauthorized, exchange) or _one_of(reader.forbidden, exchange)

    @cached_property
    def violations(self) -> list[SchemaViolation]:
        """The violations of the contract's schema."""
        return self.schema.violations(self.exchange)
