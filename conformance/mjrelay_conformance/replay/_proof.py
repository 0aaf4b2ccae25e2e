"""What a recording proves: of a task, that it is there, and of each call, what it was for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay_conformance._check import Kind
from mjrelay_conformance.replay._entry import UNRECORDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay._exchange import Exchange
    from mjrelay._matcher import Matcher
    from mjrelay._reader import Reader
    from mjrelay_conformance.replay._call import Call


@frozen
class Proof:
    """
    What proves that a task is there, and a relay.

    ``named`` are the ids that the caller names, ``tasks`` those that were read; ``bases`` are the places at
    which they were, None where the caller says that every place is one.
    """

    reader: Reader
    named: frozenset[str]
    tasks: frozenset[tuple[str, str]]
    bases: frozenset[str] | None

    @classmethod
    def of(cls, calls: Iterable[Call], reader: Reader, named: Iterable[str], *, everywhere: bool) -> Proof:
        """What calls prove, with ``named`` tasks, and ``everywhere`` where all of them asked the relay."""
        tasks = frozenset(call.task for call in calls if _is_read(call, reader))
        bases = None if everywhere else frozenset(base for base, _ in tasks)
        return cls(reader, frozenset(named), tasks, bases)

    def place(self, call: Call) -> None:
        """Say of a call what it was for, as far as that is proven, or why it is not judged."""
        call.reason = call.entry.lacking or _obstacle(call)
        if call.reason is None and call.kind is None:
            call.kind = self._kind(call)
            if call.kind is None:
                status = call.entry.exchange.status
                call.reason = f"{status} for a task of which nothing else is recorded; name it with --task"

    def _kind(self, call: Call) -> Kind | None:
        exchange = call.entry.exchange
        refused = exchange.status in {401, 403} or _like(
            exchange, (*self.reader.unauthorized, *self.reader.forbidden)
        )
        if refused or call.task_id in self.named or call.task in self.tasks:
            return Kind.KNOWN
        if _like(exchange, self.reader.missing):
            return Kind.MISSING
        # What answers at a place where no relay was seen may be any web server.
        proven = self.bases is None or call.base in self.bases
        if exchange.status == 200 and (proven or not _like(exchange, self.reader.elsewhere)):
            return Kind.KNOWN
        return None


def _obstacle(call: Call) -> str | None:
    """Why a call cannot be judged, whatever came of it."""
    exchange = call.entry.exchange
    if exchange.url.startswith(UNRECORDED) and _leads_away(exchange):
        return "it redirects, and its own host was not recorded; say it with --base-url"
    if call.kind is Kind.BATCH and not call.ids:
        return "the ids that it asks for were not recorded"
    if call.kind is None and not call.task_id:
        return "it names no task"
    return None


def _is_read(call: Call, reader: Reader) -> bool:
    """Whether an answer holds the very task that was asked for."""
    exchange = call.entry.exchange
    if exchange.status != 200 or call.entry.lacking is not None or call.ids:
        return False
    document = exchange.object
    return document is not None and reader.accepts(document) and str(reader.id(document)) == call.task_id


def _like(exchange: Exchange, matchers: Iterable[Matcher]) -> bool:
    return any(matcher.matches(exchange) for matcher in matchers)


def _leads_away(exchange: Exchange) -> bool:
    target = exchange.header("location")
    return target is not None and "//" in target and 300 <= (exchange.status or 0) < 400
