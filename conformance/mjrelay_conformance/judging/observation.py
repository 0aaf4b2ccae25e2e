"""What a check is: one sentence about a relay, and how an exchange is judged by it."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay.base import cached_property
from mjrelay.http import OVERSIZE, Redactor, is_overloaded
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange
    from mjrelay.semantics import Matcher, Reader
    from mjrelay_conformance.judging.schema import Schema, SchemaViolation


_MARGIN = 4096
"""Characters that are longer than any form of a secret."""


@cache
def _redactor(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(*secrets)


def _one_of(matchers: Iterable[Matcher], exchange: Exchange) -> bool:
    return any(matcher.matches(exchange) for matcher in matchers)


OVERLONG = f"{OVERSIZE} is read"
"""Why an answer was not read to its end; it is the suite's own bound, and not the relay's fault."""


class Kind(StrEnum):
    """What an exchange was sent for."""

    KNOWN = "known"
    MISSING = "missing"
    ODD = "odd"
    METHOD = "other-method"
    BATCH = "batch"
    BAD_CREDENTIAL = "bad-credential"
    NO_CREDENTIAL = "no-credential"
    MISPLACED = "misplaced-credential"
    ALTERNATIVE = "alternative-credential"


REFUSED = frozenset({Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL, Kind.MISPLACED})
"""What a relay that wants a credential is to refuse."""


@define(frozen=True, slots=False)
class Observation:
    """
    One exchange, and all that a check may know of it.

    ``earlier`` holds the observations of the same task that came before, oldest first; for a batch those of
    every known task, and for what is to be refused those of all that was. ``ids`` are the ones that a batch
    asked for, ``credential`` names the security scheme that was used, and ``accepted`` says whether the
    caller's key got an answer before, and ``proven`` that a task was, if any was asked for: where none is,
    the relay may not be at this address at all. ``secrets`` are the caller's own, which no answer may hold.
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

    @property
    def reader(self) -> Reader:
        """What the relay's documents mean."""
        return self.contract.reader

    @cached_property
    def task(self) -> dict[str, Any] | None:
        """The document where a 200 holds a JSON object, else None."""
        return self.exchange.object if self.exchange.status == 200 else None

    @cached_property
    def state(self) -> State:
        """Where the task stands; unknown where there is none."""
        return State.UNKNOWN if self.task is None else self.reader.state(self.task)

    @cached_property
    def media(self) -> tuple[str, ...]:
        """The URLs of the task's images and videos, whatever its state."""
        return () if self.task is None else (*self.reader.images(self.task), *self.reader.videos(self.task))

    @cached_property
    def times(self) -> dict[str, tuple[Any, datetime | None]]:
        """The times of the task that are set, in the order in which they should be: as sent, and as read."""
        reader = self.reader
        named = {"submitted": reader.submitted, "started": reader.started, "finished": reader.finished}
        return {
            name: (raw, stamp.read(self.task))
            for name, stamp in named.items()
            if self.task is not None and stamp is not None and (raw := stamp.raw(self.task)) is not None
        }

    @property
    def redactor(self) -> Redactor:
        """Takes the caller's secrets out of what is shown."""
        return _redactor(self.secrets)

    def show(self, value: Any, limit: int = 200) -> str:
        """A value of the answer for people: without secrets, and then cut where it is long."""
        text = value if isinstance(value, str) else repr(value)
        shown = self.redactor.text(text[: limit + _MARGIN])
        return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(text)} characters)"

    @cached_property
    def inconclusive(self) -> str | None:
        """Why this exchange proves nothing for or against the relay, if so."""
        if self.overloaded:
            limited = self.exchange.status == 429
            why = "the relay would not answer so many requests" if limited else "the relay is overloaded"
            said = f" ({self.message})" if self.message else ""
            return f"{self.exchange.status}: {why}{said}"
        if self.refused:
            return "the relay refused the caller's own key: is it right, and may it do this?"
        read = self.kind is not Kind.KNOWN or any(before.task for before in self.earlier)
        if not read and self.missed:
            return "the relay has no such task: is the id right?"
        return None

    @property
    def overloaded(self) -> bool:
        """Whether the relay is overloaded; a response that the contract describes means something else."""
        reader = self.reader
        described = (*reader.missing, *reader.unauthorized, *reader.forbidden, *reader.elsewhere)
        return is_overloaded(self.exchange) and not _one_of(described, self.exchange)

    @property
    def message(self) -> str:
        """The relay's own message in an error response, on one line; empty for a web page."""
        document, body = self.exchange.object, self.exchange.body
        said = None if document is None else self.reader.error(document)[1]
        if said is None and "html" not in self.exchange.media_type and not body.lstrip().startswith(b"<"):
            said = body[:_MARGIN].decode("utf-8", "replace")
        return self.show(" ".join((said or "").split()))

    @property
    def missed(self) -> bool:
        """Whether the answer is what the contract says of a task that is not there."""
        return _one_of(self.reader.missing, self.exchange)

    @property
    def refused(self) -> bool:
        """Whether the caller's own key was refused, before it was ever accepted."""
        if self.kind in REFUSED or self.accepted:
            return False
        exchange, reader = self.exchange, self.reader
        bare = exchange.status in {401, 402, 403}
        return bare or _one_of(reader.unauthorized, exchange) or _one_of(reader.forbidden, exchange)

    @cached_property
    def violations(self) -> list[SchemaViolation]:
        """Where the document does not fit the contract's schema."""
        return self.schema.violations(self.exchange)
