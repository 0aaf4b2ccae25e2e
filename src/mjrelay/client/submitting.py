"""Decide what happens after each response to a submit. No I/O and no clock."""

from __future__ import annotations

import logging
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay.base import SettingError
from mjrelay.client.options import check_seconds
from mjrelay.client.spending import SubmitRecord, moment
from mjrelay.client.submission import (
    SUBMIT_ERRORS,
    SpendingLimitError,
    Submission,
    SubmitOutcomeUnknownError,
)
from mjrelay.client.task import (
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    WebPageError,
)
from mjrelay.contract import submit_request
from mjrelay.http import retry_after
from mjrelay.semantics import Receipt, SubmitOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.base import Clock
    from mjrelay.client.actions import SubmitCall
    from mjrelay.client.options import ClientOptions
    from mjrelay.client.requests import RequestBuilder
    from mjrelay.client.spending import SubmitLedger
    from mjrelay.client.task import Task
    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay.http import Exchange, Redactor, Request

_log = logging.getLogger("mjrelay")

SERVER_MARGIN = 5.0
"""Seconds that the client waits longer than the relay takes at most, according to its contract."""

_FIRST_PAUSE = 3.0
_LONGEST_PAUSE = 60.0

_ERRORS: dict[SubmitOutcome, type[RelayError]] = {
    **SUBMIT_ERRORS,
    SubmitOutcome.PARENT_MISSING: MissingTaskError,
    SubmitOutcome.RATE_LIMITED: RateLimitedError,
    SubmitOutcome.OVERLOADED: UnavailableError,
    SubmitOutcome.UNAUTHORIZED: UnauthorizedError,
    SubmitOutcome.FORBIDDEN: ForbiddenError,
    SubmitOutcome.ELSEWHERE: WebPageError,
}
_ADVICE = {
    SubmitOutcome.BANNED: "change the prompt",
    SubmitOutcome.BALANCE: "top up the account, or use another key",
    SubmitOutcome.BUTTON_REFUSED: "this relay does not let the button through; choose another",
    SubmitOutcome.PARENT_MISSING: "check the task's id, and that the key is the one that submitted it",
    SubmitOutcome.QUEUE_FULL: "send it again later",
    SubmitOutcome.PARENT_NOT_READY: "send it again when the parent task has succeeded",
    SubmitOutcome.RATE_LIMITED: "send it again later, at a lower rate",
    SubmitOutcome.OVERLOADED: "send it again later",
    SubmitOutcome.FAILED: "the relay gave no reason that the contract describes",
    SubmitOutcome.INVALID: "correct the arguments",
    SubmitOutcome.UNAUTHORIZED: "check the key",
    SubmitOutcome.FORBIDDEN: "check what the key is limited to",
    SubmitOutcome.ELSEWHERE: "check the base URL",
}


def new_token() -> str:
    """Return a new state token."""
    return f"mjrelay-{secrets.token_hex(8)}"


@contextmanager
def fetching_parent() -> Iterator[None]:
    """Mark an error of the fetch that precedes a submit: nothing was submitted."""
    try:
        yield
    except RelayError as error:
        error.charged, error.may_resend = "no", "now"
        error.add_note("the parent task was not fetched, so nothing was submitted")
        raise


@define(kw_only=True)
class Submitter:
    """
    One submit: its request, and what follows from each response.

    Attributes:
        relay: The relay's name.
        operation: The chosen operation.
        request: The request, with the key.
        state: The state token, or None.
        prompt: The prompt for the audit log, or None.
        wanted: What `find_submission` finds the task by, or None if it cannot.
        retries: Maximum number of repeats.
        timeout: Seconds for one request.
        last_start: No repeat starts after this moment of the clock.
        finder: What looks for the task, for messages.
    """

    relay: str
    operation: SubmitOperation
    request: Request = field(repr=False)
    state: str | None
    prompt: str | None = field(repr=False)
    wanted: str | None = field(repr=False)
    retries: int
    timeout: float
    last_start: float
    finder: str = field(default="relay.find_submission", init=False)
    _clock: Clock = field(repr=False)
    _ledger: SubmitLedger = field(repr=False)
    _redactor: Redactor = field(repr=False)
    _attempt: int = field(default=0, init=False)
    _name: str = field(factory=lambda: secrets.token_hex(8), init=False)

    @classmethod
    def of(
        cls,
        contract: Contract,
        call: SubmitCall,
        parent: Task | None,
        *,
        requests: RequestBuilder,
        options: ClientOptions,
        ledger: SubmitLedger,
        redactor: Redactor,
    ) -> Submitter:
        """Choose the operation of a submit and build its request; raise `SettingError`."""
        arguments, reader = call.complete(contract, parent), contract.reader
        token = new_token() if reader.echoes_token and "state" not in arguments else None
        operation, request = submit_request(contract, call.action, arguments, call.fields, token=token)
        timeout = call.timeout
        if timeout is None:
            timeout = max(options.timeout, (operation.form.timeout or 0.0) + SERVER_MARGIN)
        check_seconds("timeout", timeout)
        state = arguments.get("state", token) if "state" in operation.form.arguments else None
        by = None if reader.lookup is None else reader.lookup.by
        return cls(
            relay=contract.name,
            operation=operation,
            request=requests.submit(request),
            state=state,
            prompt=arguments.get("prompt") if options.log_prompts else None,
            wanted={"state": state, "prompt": arguments.get("prompt")}.get(by or ""),
            retries=options.submit_retries,
            timeout=timeout,
            last_start=options.clock.now() + timeout,
            clock=options.clock,
            ledger=ledger,
            redactor=redactor,
        )

    def begin(self) -> float:
        """
        Count and record the next request, before it is sent. Return the Unix time.

        Raises:
            SpendingLimitError: ``max_submits`` is reached.
            SettingError: The log cannot be written.
        """
        self._attempt += 1
        unix = self._clock.time()
        if not self._ledger.open(self._record("sending", unix, prompt=self.prompt)):
            raise SpendingLimitError(
                f"max_submits is {self._ledger.most}, and so many submits were sent; nothing was sent now",
                relay=self.relay,
                charged="no",
                may_resend="never",
                state=self.state,
            )
        return unix

    def end(
        self, exchange: Exchange, sent_at: float, hook: Callable[[Exchange, tuple[str, ...]], None]
    ) -> Submission | float:
        """
        Record the outcome. Return the submission, or the seconds until the request is sent again.

        Args:
            exchange: The response.
            sent_at: When the request was sent, in Unix time.
            hook: Called with the exchange and no ids, after the outcome was recorded.

        Raises:
            RelayError: The relay refused the submit, or its outcome is unknown.
        """
        receipt = Receipt(SubmitOutcome.UNKNOWN, "unknown")
        try:
            receipt = self.operation.form.answer.read(exchange)
            if exchange.unsent:
                receipt = Receipt(SubmitOutcome.FAILED, "no")
                self._ledger.release()
            self._close(receipt)
            hook(exchange, ())
        except BaseException as error:  # of a hook, a full disk, or Ctrl-C
            action = self.operation.form.action
            if named := (*receipt.ids, *receipt.links):
                error.add_note(f"this {action} was answered: {', '.join(named)}")
            elif receipt.outcome is SubmitOutcome.UNKNOWN:
                error.add_note(f"the outcome of this {action} is unknown; {self._look(sent_at)}")
            raise
        return self._decide(exchange, receipt, self._clock.now(), sent_at)

    def abandon(self, sent_at: float, error: BaseException) -> None:
        """Record a request whose sending was interrupted, and add a note to the exception."""
        if isinstance(error, SettingError):  # the request itself is invalid, so nothing was sent
            self._ledger.release()
            self._close(Receipt(SubmitOutcome.FAILED, "no"))
            return
        action = self.operation.form.action
        error.add_note(f"the outcome of this {action} is unknown; {self._look(sent_at)}")
        self._close(Receipt(SubmitOutcome.UNKNOWN, "unknown"))

    def _close(self, receipt: Receipt) -> None:
        found: dict[str, Any] = {"outcome": receipt.outcome, "ids": receipt.ids, "links": receipt.links}
        found["charged"] = receipt.charged
        self._ledger.close(self._record("answered", self._clock.time(), **found))

    def _decide(self, exchange: Exchange, receipt: Receipt, now: float, sent_at: float) -> Submission | float:
        found = receipt.ids or receipt.links
        if receipt.outcome.accepted or (receipt.outcome is SubmitOutcome.UNKNOWN and found):
            return self._submission(exchange, receipt)
        pause = self._pause(exchange, receipt, now)
        error = self._error(exchange, receipt, sent_at)
        if pause is None:
            raise error
        reason = str(error).removesuffix(f"; {_ADVICE[receipt.outcome]}")
        _log.info("%s; sending it again in %.1f s (attempt %d)", reason, pause, self._attempt + 1)
        return pause

    def _pause(self, exchange: Exchange, receipt: Receipt, now: float) -> float | None:
        """Return the seconds until a repeat that cannot be paid twice, or None."""
        if not (exchange.unsent or receipt.may_resend == "later") or self._attempt > self.retries:
            return None
        pause = retry_after(exchange)
        if pause is None:
            pause = min(_FIRST_PAUSE * 2 ** (self._attempt - 1), _LONGEST_PAUSE)
        return pause if now + pause <= self.last_start else None

    def _submission(self, exchange: Exchange, receipt: Receipt) -> Submission:
        return Submission(
            relay=self.relay,
            action=self.operation.form.action,
            ids=receipt.ids,
            links=receipt.links,
            needs_modal=receipt.outcome is SubmitOutcome.NEEDS_MODAL,
            position=receipt.position,
            prompt=receipt.prompt,
            code=receipt.code,
            description=receipt.description,
            state=self.state,
            charged=receipt.charged,
            passes=self.operation.form.meanwhile,
            exchange=exchange,
        )

    def _error(self, exchange: Exchange, receipt: Receipt, sent_at: float) -> RelayError:
        said = ": ".join(filter(None, (receipt.code, receipt.description)))
        detail = f" ({self._redactor.excerpt(said, 200)})" if said else ""
        kind, action = _ERRORS[receipt.outcome], self.operation.form.action
        if exchange.unsent:
            kind, message = TransportError, f"{exchange.failure}; nothing was sent"
        elif receipt.outcome is SubmitOutcome.UNKNOWN:
            returned = exchange.failure or f"returned {exchange.status}{detail}{_hint(exchange)}"
            message = f"the outcome of this {action} is unknown: {returned}; {self._look(sent_at)}"
        else:
            what, advice = receipt.outcome.value.replace("-", " "), _ADVICE[receipt.outcome]
            if receipt.ids:  # a refusal that names a task contradicts itself
                named = self._redactor.excerpt(", ".join(receipt.ids), 200)
                advice = f"but the response names task {named}; fetch it before you submit again"
            message = f"{action}: {what}, status {exchange.status}{detail}; {advice}"
        error = kind(
            message,
            relay=self.relay,
            task_id=receipt.ids[0] if receipt.ids else None,
            exchange=exchange,
            retry_after=retry_after(exchange),
            charged=receipt.charged,
            may_resend="now" if exchange.unsent else receipt.may_resend,
            state=self.state,
        )
        if isinstance(error, SubmitOutcomeUnknownError):
            error.sent_at = sent_at
        return error

    def _look(self, sent_at: float) -> str:
        sent = f"it was sent at {moment(sent_at)}"
        token = f" with the state token {self.state}" if self.state else ""
        where = "in the relay's own list" if self.wanted is None else f"with: {self.finder}"
        return f"{sent}{token}; before you send it again, look for it {where}"

    def _record(self, event: str, unix: float, **members: Any) -> SubmitRecord:
        return SubmitRecord(
            time=moment(unix),
            event=event,
            submit=f"{self._name}-{self._attempt}",
            relay=self.relay,
            action=self.operation.form.action,
            state=self.state,
            **members,
        )


def _hint(exchange: Exchange) -> str:
    """Return why a response with this status may not be the relay's own, for a message."""
    status = exchange.status or 0
    if 300 <= status < 400:
        return ", a redirect, which is not followed; check the base URL"
    if status in {404, 405}:
        return ", so check the base URL"
    page = status == 200 and exchange.media_type == "text/html"
    return ", a web page, so check the base URL too" if page else ""
