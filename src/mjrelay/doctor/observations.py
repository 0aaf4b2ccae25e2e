"""What was sent to a URL, what came back, and what each answer is, before anybody says whose it is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.http import NotJSONError, is_overloaded
from mjrelay.semantics import scalar_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.contract import Contract
    from mjrelay.doctor.addresses import Endpoint
    from mjrelay.http import Credential, Exchange
    from mjrelay.semantics import Matcher


LARGEST = 1024 * 1024
"""Bytes of a body that are looked into; a task is a few kilobytes."""

_CHALLENGES = (b"captcha", b"challenge", b"just a moment", b"enable javascript", b"verify you are human")


class Purpose(StrEnum):
    """What a request is to find out."""

    TASK = "the task"
    FAMILY = "a task that is not there"
    MISSING = "a task that is not there, with the key that was accepted"
    STRANGER = "what a stranger is told"
    NOWHERE = "a path that leads nowhere"
    BATCH = "several tasks at once"


class ResponseKind(StrEnum):
    """What an answer is."""

    TASK = "task"
    OTHER_TASK = "another-task"
    MISSING = "missing"
    REFUSED = "refused"
    FORBIDDEN = "forbidden"
    DOCUMENT = "document"
    EMPTY = "empty"
    ABSENT = "absent"
    PAGE = "page"
    CHALLENGE = "challenge"
    REDIRECT = "redirect"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"
    GARBLED = "garbled"
    SILENT = "silent"

    @property
    def strength(self) -> int:
        """How much it says for it that the path is a relay's: 3 settles it."""
        return _STRENGTHS.get(self, 0)

    @property
    def admits(self) -> bool:
        """Whether the credential was accepted, or none was wanted."""
        return self in {
            ResponseKind.TASK,
            ResponseKind.OTHER_TASK,
            ResponseKind.MISSING,
            ResponseKind.EMPTY,
            ResponseKind.DOCUMENT,
        }


_STRENGTHS = {
    ResponseKind.TASK: 4,
    ResponseKind.OTHER_TASK: 3,
    ResponseKind.MISSING: 3,
    ResponseKind.REFUSED: 3,
    ResponseKind.FORBIDDEN: 3,
    ResponseKind.EMPTY: 2,
    ResponseKind.DOCUMENT: 2,
    ResponseKind.ABSENT: 1,
}


@frozen
class Attempt:
    """One exchange, and what it was for; ``way`` says how the key was sent, None where it was not."""

    purpose: Purpose
    endpoint: Endpoint
    task_id: str
    way: Credential | None
    exchange: Exchange
    outcome: ResponseKind

    @property
    def unserved(self) -> bool:
        """Whether nothing here was reached that a further request, with the key, would reach."""
        return self.outcome in {
            ResponseKind.SILENT,
            ResponseKind.LIMITED,
            ResponseKind.CHALLENGE,
        } or is_overloaded(self.exchange)

    @property
    def refuses(self) -> bool:
        """Whether the credential is refused, or that there is none; some say 403 to strangers."""
        return self.outcome is ResponseKind.REFUSED or (
            self.outcome is ResponseKind.FORBIDDEN and self.way is None
        )


@frozen
class Observations:
    """
    All that was seen at a URL.

    ``endpoint`` is where a relay answers, None where none was found, and ``way`` how the key is accepted
    there. ``named`` is the task that the caller asked about. ``ways`` and ``endpoints`` were not tried.
    """

    origin: str
    pasted: str
    named: str | None
    keyed: bool
    observations: tuple[Attempt, ...] = field(repr=False)
    endpoint: Endpoint | None
    way: Credential | None
    ways: tuple[Credential, ...]
    endpoints: tuple[Endpoint, ...]
    batch: str | None = None

    def of(self, *purposes: Purpose) -> list[Attempt]:
        """What was seen at the relay's endpoint for these purposes."""
        return [one for one in self.observations if one.purpose in purposes and one.endpoint == self.endpoint]

    @property
    def task(self) -> Attempt | None:
        """The first observation of the named task, or of another one in its place."""
        seen = (
            one for one in self.observations if one.outcome in {ResponseKind.TASK, ResponseKind.OTHER_TASK}
        )
        return next((one for one in seen if one.purpose is not Purpose.BATCH), None)

    @property
    def missing(self) -> Attempt | None:
        """The answer to an id that is not there."""
        seen = self.of(Purpose.TASK, Purpose.FAMILY, Purpose.MISSING)
        if not seen and self.named is None:
            seen = self.of(Purpose.STRANGER)
        kinds = {
            ResponseKind.MISSING,
            ResponseKind.EMPTY,
            ResponseKind.DOCUMENT,
            ResponseKind.ABSENT,
            ResponseKind.GARBLED,
        }
        return next((one for one in reversed(seen) if one.outcome in kinds), None)

    @property
    def refused(self) -> Attempt | None:
        """The answer to a caller without a credential, or with one that was not accepted."""
        seen = self.of(Purpose.STRANGER, Purpose.TASK, Purpose.FAMILY)
        return next((one for one in seen if one.refuses), None)

    @property
    def forbidden(self) -> Attempt | None:
        """The answer to a key that may not do this."""
        seen = (one for one in self.observations if one.outcome is ResponseKind.FORBIDDEN)
        return next((one for one in seen if not one.refuses), None)

    @property
    def open(self) -> bool | None:
        """Whether a caller without a key is served; None where nobody looked."""
        strangers = [one for one in self.observations if one.way is None and one.endpoint == self.endpoint]
        asked = [one for one in strangers if one.purpose not in {Purpose.NOWHERE, Purpose.BATCH}]
        if not asked:
            return None
        return any(one.outcome.admits for one in asked)

    @property
    def nowhere(self) -> Attempt | None:
        """The answer at a path that leads nowhere."""
        kinds = {
            ResponseKind.PAGE,
            ResponseKind.ABSENT,
            ResponseKind.DOCUMENT,
            ResponseKind.REDIRECT,
            ResponseKind.EMPTY,
        }
        seen = (one for one in self.observations if one.outcome in kinds)
        return next(
            (one for one in seen if one.purpose is Purpose.NOWHERE or one.endpoint != self.endpoint), None
        )


def document(exchange: Exchange) -> Any:
    """The body as JSON; None where it is none, or too large to be a task."""
    if len(exchange.body) > LARGEST:
        return None
    try:
        return exchange.document
    except NotJSONError:
        return None


def outcome(exchange: Exchange, task_id: str, contracts: Sequence[Contract]) -> ResponseKind:
    """What an answer is, in the eyes of the contracts that may be the relay's."""
    return _by_status(exchange) or _by_contract(exchange, task_id, contracts) or _by_itself(exchange)


def means(exchange: Exchange, matchers: Sequence[Matcher]) -> bool:
    """Whether an answer is one that these describe."""
    return len(exchange.body) <= LARGEST and any(matcher.matches(exchange) for matcher in matchers)


def _by_status(exchange: Exchange) -> ResponseKind | None:
    """What an answer is whatever a contract says of it."""
    status = exchange.status or 0
    found = _PLAIN.get(status)
    if found is None and 300 <= status < 400:
        found = ResponseKind.REDIRECT
    elif found is None and _page(exchange):
        found = _kind_of_page(exchange)
    elif found is None and status >= 500:
        found = ResponseKind.UNAVAILABLE
    elif found is None and exchange.failure is not None:
        found = ResponseKind.GARBLED
    return found


_PLAIN = {0: ResponseKind.SILENT, 401: ResponseKind.REFUSED, 429: ResponseKind.LIMITED}


def _page(exchange: Exchange) -> bool:
    start = exchange.body[:100].lstrip().lower()
    said = "html" in exchange.media_type and document(exchange) is None
    return bool(start) and (said or start.startswith((b"<!doctype", b"<html", b"<?xml")))


def _kind_of_page(exchange: Exchange) -> ResponseKind:
    start = exchange.body[:LARGEST].lower()
    marked = exchange.header("cf-mitigated") is not None or any(word in start for word in _CHALLENGES)
    if exchange.status == 403 or (marked and exchange.status in {200, 202, 403, 503}):
        return ResponseKind.CHALLENGE
    return ResponseKind.UNAVAILABLE if (exchange.status or 0) >= 500 else ResponseKind.PAGE


def _by_contract(exchange: Exchange, task_id: str, contracts: Sequence[Contract]) -> ResponseKind | None:
    found = None
    read = document(exchange) if exchange.status == 200 else None
    for contract in contracts:
        reader = contract.reader
        if read is not None and reader.accepts(read):
            seen = reader.id(read)
            if seen == task_id or scalar_text(seen) == task_id:
                return ResponseKind.TASK
            if scalar_text(seen) and reader.state(read) != "unknown":
                found = ResponseKind.OTHER_TASK
        if found is None:
            found = _by_matchers(exchange, contract)
    return found


def _by_matchers(exchange: Exchange, contract: Contract) -> ResponseKind | None:
    reader = contract.reader
    if means(exchange, reader.unauthorized):
        return ResponseKind.REFUSED
    if means(exchange, reader.forbidden):
        return ResponseKind.FORBIDDEN
    # That a status alone says so is no more than any server says of a path it does not have.
    telling = [one for one in reader.missing if one.status != 404 or one.where is not None]
    return ResponseKind.MISSING if means(exchange, telling) else None


def _by_itself(exchange: Exchange) -> ResponseKind:
    """What an answer is that no contract knows."""
    if exchange.status == 403:
        return ResponseKind.FORBIDDEN
    if exchange.status in {404, 405, 410, 501}:
        return ResponseKind.ABSENT
    if not exchange.body.strip():
        return ResponseKind.EMPTY
    return ResponseKind.GARBLED if document(exchange) is None else ResponseKind.DOCUMENT


def form(credential: Credential) -> tuple[str, str, str]:
    """What is sent of a way of authenticating, whatever a contract calls it; case is nothing in a header."""
    header = credential.place == "header"
    return credential.place, credential.field.lower() if header else credential.field, credential.prefix
