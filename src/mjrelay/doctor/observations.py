"""The requests sent to a URL and their responses, each with its kind."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.http import NotJSONError, is_challenge, is_overloaded, is_web_page
from mjrelay.semantics import scalar_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.contract import Contract
    from mjrelay.doctor.addresses import Endpoint
    from mjrelay.http import Credential, Exchange
    from mjrelay.semantics import Matcher


BODY_LIMIT = 512 * 1024
"""Maximum bytes of a body. Redaction reads all of it, and a task has a few kilobytes."""


class Purpose(StrEnum):
    """What a request tests."""

    TASK = "the task"
    FAMILY = "a missing task"
    MISSING = "a missing task, with the accepted key"
    STRANGER = "a request without a key"
    NOWHERE = "a path that does not exist"
    BATCH = "several tasks in one request"


class ResponseKind(StrEnum):
    """The kind of a response."""

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
    NO_RESPONSE = "silent"

    @property
    def strength(self) -> int:
        """How strongly it suggests that the path belongs to a relay; 3 is conclusive."""
        return _STRENGTHS.get(self, 0)

    @property
    def authorized(self) -> bool:
        """Whether the credential was accepted, or none was required."""
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
    """One exchange and its purpose; ``credential`` is how the key was sent, None without a key."""

    purpose: Purpose
    endpoint: Endpoint
    task_id: str
    credential: Credential | None
    exchange: Exchange
    kind: ResponseKind

    @property
    def ends_examination(self) -> bool:
        """Whether no further request, nor the key, is sent after this response."""
        return self.kind in {
            ResponseKind.NO_RESPONSE,
            ResponseKind.LIMITED,
            ResponseKind.CHALLENGE,
        } or is_overloaded(self.exchange)

    @property
    def refuses(self) -> bool:
        """Whether the credential, or a request without one, was refused; some relays use 403 then."""
        return self.kind is ResponseKind.REFUSED or (
            self.kind is ResponseKind.FORBIDDEN and self.credential is None
        )


@frozen
class Observations:
    """
    All attempts at a URL.

    ``endpoint`` is the relay's endpoint, and ``credential`` how it accepts the key; None if not found.
    ``task_id`` is the requested task. ``untried`` credentials and ``untried_endpoints`` were not used.
    """

    origin: str
    pasted: str
    task_id: str | None
    keyed: bool
    attempts: tuple[Attempt, ...] = field(repr=False)
    endpoint: Endpoint | None
    credential: Credential | None
    untried: tuple[Credential, ...]
    untried_endpoints: tuple[Endpoint, ...]
    batch: str | None = None

    def of(self, *purposes: Purpose) -> list[Attempt]:
        """Return the attempts at the relay's endpoint for these purposes."""
        return [one for one in self.attempts if one.purpose in purposes and one.endpoint == self.endpoint]

    @property
    def task(self) -> Attempt | None:
        """The first attempt that returned the requested task, or another one instead."""
        seen = (one for one in self.attempts if one.kind in {ResponseKind.TASK, ResponseKind.OTHER_TASK})
        return next((one for one in seen if one.purpose is not Purpose.BATCH), None)

    @property
    def missing(self) -> Attempt | None:
        """The response for a missing task."""
        seen = self.of(Purpose.TASK, Purpose.FAMILY, Purpose.MISSING)
        if not seen and self.task_id is None:
            seen = self.of(Purpose.STRANGER)
        kinds = {
            ResponseKind.MISSING,
            ResponseKind.EMPTY,
            ResponseKind.DOCUMENT,
            ResponseKind.ABSENT,
            ResponseKind.GARBLED,
        }
        return next((one for one in reversed(seen) if one.kind in kinds), None)

    @property
    def refused(self) -> Attempt | None:
        """The response to a missing or refused credential."""
        seen = self.of(Purpose.STRANGER, Purpose.TASK, Purpose.FAMILY)
        return next((one for one in seen if one.refuses), None)

    @property
    def forbidden(self) -> Attempt | None:
        """The response to a key without permission."""
        seen = (one for one in self.attempts if one.kind is ResponseKind.FORBIDDEN)
        return next((one for one in seen if not one.refuses), None)

    @property
    def open(self) -> bool | None:
        """Whether the relay serves requests without a key; None if not tested."""
        attempts = [one for one in self.of(*Purpose) if one.credential is None]
        tested = [one for one in attempts if one.purpose not in {Purpose.NOWHERE, Purpose.BATCH}]
        if not tested:
            return None
        return any(one.kind.authorized for one in tested)

    @property
    def nowhere(self) -> Attempt | None:
        """The response at a path that does not exist."""
        kinds = {
            ResponseKind.PAGE,
            ResponseKind.ABSENT,
            ResponseKind.DOCUMENT,
            ResponseKind.REDIRECT,
            ResponseKind.EMPTY,
        }
        seen = (one for one in self.attempts if one.kind in kinds)
        return next(
            (one for one in seen if one.purpose is Purpose.NOWHERE or one.endpoint != self.endpoint), None
        )


def document(exchange: Exchange) -> Any:
    """Return the body as JSON; None if it is not JSON, or too large for a task."""
    if len(exchange.body) > BODY_LIMIT:
        return None
    try:
        return exchange.document
    except NotJSONError:
        return None


def classify(exchange: Exchange, task_id: str, contracts: Sequence[Contract]) -> ResponseKind:
    """Return the kind of a response, read by the contracts that may apply."""
    documented = any(contract.documents_page(exchange.status or 0) for contract in contracts)
    by_status = None if documented and is_web_page(exchange) else _by_status(exchange)
    return by_status or _by_contract(exchange, task_id, contracts) or _by_itself(exchange)


def matches_any(exchange: Exchange, matchers: Sequence[Matcher]) -> bool:
    """Return whether any of these matchers matches a response."""
    return len(exchange.body) <= BODY_LIMIT and any(matcher.matches(exchange) for matcher in matchers)


def _by_status(exchange: Exchange) -> ResponseKind | None:
    """Return the kind if the status or a web page decides it, regardless of contracts."""
    status = exchange.status or 0
    found = None if status == 401 and is_web_page(exchange) else _PLAIN.get(status)
    if found is None and 300 <= status < 400:
        found = ResponseKind.REDIRECT
    elif found is None and is_web_page(exchange):
        found = _kind_of_page(exchange)
    elif found is None and status >= 500:
        found = ResponseKind.UNAVAILABLE
    elif found is None and exchange.failure is not None:
        found = ResponseKind.GARBLED
    return found


_PLAIN = {0: ResponseKind.NO_RESPONSE, 401: ResponseKind.REFUSED, 429: ResponseKind.LIMITED}


def _kind_of_page(exchange: Exchange) -> ResponseKind:
    if exchange.status in {401, 403} or (exchange.status in {200, 202, 503} and is_challenge(exchange)):
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
    if matches_any(exchange, reader.unauthorized):
        return ResponseKind.REFUSED
    if matches_any(exchange, reader.forbidden):
        return ResponseKind.FORBIDDEN
    # A bare 404 is ambiguous: servers also return it for a path that does not exist.
    specific = [one for one in reader.missing if one.status != 404 or one.where is not None]
    return ResponseKind.MISSING if matches_any(exchange, specific) else None


def _by_itself(exchange: Exchange) -> ResponseKind:
    """Return the kind of a response that no contract describes."""
    if exchange.status == 403:
        return ResponseKind.FORBIDDEN
    if exchange.status in {404, 405, 410, 501}:
        return ResponseKind.ABSENT
    if not exchange.body.strip():
        return ResponseKind.EMPTY
    return ResponseKind.GARBLED if document(exchange) is None else ResponseKind.DOCUMENT


def sent_form(credential: Credential) -> tuple[str, str, str]:
    """Return what a credential sends, without its name in the contract; header names ignore case."""
    header = credential.place == "header"
    return credential.place, credential.field.lower() if header else credential.field, credential.prefix
