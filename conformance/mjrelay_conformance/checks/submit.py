"""Checks of submits: what a response means, and that one request makes one task, which can be fetched."""

from __future__ import annotations

from mjrelay.semantics import SubmitOutcome, scalar_text
from mjrelay_conformance.checks.helpers import (
    as_described,
    evidence,
    extension,
    received,
    submission,
)
from mjrelay_conformance.checks.transport import redirect, transfer
from mjrelay_conformance.judging import (
    PASSED,
    SUBMITS,
    Judgement,
    Kind,
    Level,
    Observation,
    blocked,
    define_check,
    failed,
    inconclusive,
    not_applicable,
)

_SUBMIT = [Kind.SUBMIT]
_REFUSED = [Kind.BAD_SUBMIT, Kind.INVALID_SUBMIT]
_UNCONFIRMED = {SubmitOutcome.PARENT_MISSING, SubmitOutcome.INVALID, SubmitOutcome.FAILED}
_NO_SUBMIT = not_applicable("the request is no submit of this contract")
_NOT_ACCEPTED = not_applicable("the submit was not accepted")


@define_check(
    "submit/schema", Level.MUST, on=SUBMITS, needs=[transfer, redirect], clause=submission("responses")
)
def schema(o: Observation) -> Judgement:
    """
    The response to a submit matches the contract's schema for its status.

    Typed clients fail on a code as text or an id as a number, after the task was paid for. Gateways pass on
    whatever the server behind them returns.
    """
    if o.submit is None:
        return _NO_SUBMIT
    if not o.exchange.body and o.receipt and o.receipt.outcome is not SubmitOutcome.UNKNOWN:
        return not_applicable("the contract describes a response without a body")
    violations = o.schema.violations(o.exchange, o.submit.location)
    if not violations:
        return PASSED
    first = violations[0]
    return failed(
        first.expected,
        f"{first.pointer} {o.show(first.message)}",
        level=_level(o),
        clause=o.contract.clause(*first.schema),
    )


@define_check("submit/outcome", Level.MUST, on=_SUBMIT, needs=[schema], clause=submission("x-mj-submit"))
def outcome(o: Observation) -> Judgement:
    """
    The response to a submit shows whether the task was accepted, and holds its id if it was.

    After any other response the caller does not know whether the task runs and costs money. Gateways return
    an empty 200 or a 504 after the server behind them accepted the task.
    """
    if o.submit is None or o.receipt is None:
        return _NO_SUBMIT
    if o.receipt.outcome not in {SubmitOutcome.UNKNOWN, SubmitOutcome.ELSEWHERE}:
        return PASSED
    described = (one for kind, one, _ in o.submit.form.answer.outcomes if kind is SubmitOutcome.UNKNOWN)
    if any(matcher.matches(o.exchange) for matcher in described):
        return inconclusive(f"the relay does not know the outcome either ({received(o)})")
    listed = o.contract.response(o.exchange.status or 0, o.submit.location) is not None
    return failed(
        "a documented outcome, with an id if the task is accepted",
        received(o),
        level=_level(o) if listed else max(_level(o), Level.SHOULD, key=list(Level).index),
    )


@define_check(
    "submit/media-type",
    Level.SHOULD,
    on=_SUBMIT,
    needs=[schema],
    clause=submission("responses"),
    judges_headers=True,
)
def media_type(o: Observation) -> Judgement:
    """
    The response to an accepted submit has the documented media type.

    Clients that parse only what is labelled as documented lose the id of a paid task. Gateways set no type,
    and their library guesses one.
    """
    if o.submit is None or o.receipt is None or not o.receipt.outcome.accepted:
        return _NOT_ACCEPTED
    content = o.contract.content(o.exchange.status or 0, o.submit.location)
    if not content:
        return not_applicable("the contract has no media type for this response")
    documented = {name.partition(";")[0].strip().lower() for name in content}
    if o.exchange.media_type in documented or any("*" in name for name in documented):
        return PASSED
    found = o.exchange.media_type or "no Content-Type"
    level = max(_level(o), Level.SHOULD, key=list(Level).index)
    return failed(" or ".join(sorted(documented)), o.show(found), level=level)


@define_check(
    "submit/one-task",
    Level.MUST,
    on=[Kind.SUBMIT, Kind.LISTED],
    needs=[transfer, outcome],
    clause=submission("x-mj-submit", "answer", "ids"),
)
def one_task(o: Observation) -> Judgement:
    """
    One submit makes one task, unless the contract reads several ids from its response.

    Each task costs money. Relays send a request again to the server behind them after a timeout, and store a
    row for each attempt.
    """
    if o.kind is Kind.SUBMIT:
        if o.submit is None or o.receipt is None or not o.receipt.outcome.accepted:
            return _NOT_ACCEPTED
        if len(o.receipt.ids) > 1 and not o.submit.form.answer.several:
            return failed("one id", o.show(", ".join(o.receipt.ids)))
        return PASSED
    lookup = o.reader.lookup
    if lookup is None or lookup.by != "state" or o.token is None or o.exchange.status != 200:
        return not_applicable("the tasks were not listed, or the submit had no state token")
    listed = [one for one in lookup.documents(o.exchange.document) if o.reader.token(one) == o.token]
    others = {scalar_text(o.reader.id(one)) for one in listed} - {*o.ids, None}
    if not others:
        return PASSED
    return failed(
        f"only {o.show(', '.join(o.ids))} with this state token",
        f"also {o.show(', '.join(map(str, others)))}",
    )


@define_check(
    "submit/fetchable", Level.MUST, on=[Kind.SUBMITTED], needs=[transfer, redirect], clause=extension("id")
)
def fetchable(o: Observation) -> Judgement:
    """
    The id in the response to a submit can be fetched.

    Otherwise the task is paid for and lost. Gateways return an id of the server behind them that they did not
    store, and JavaScript rounds long ids that are numbers.
    """
    if not o.proven:
        return blocked("no known task can be fetched either")
    if o.task is not None and not o.missed and o.reader.accepts(o.task) and o.reader.id(o.task) is not None:
        return PASSED
    return failed(f"the task {o.show(o.task_id)}", received(o), level=_level(o))


@define_check("submit/token", Level.SHOULD, on=[Kind.SUBMITTED], needs=[fetchable], clause=extension("state"))
def token(o: Observation) -> Judgement:
    """
    A submitted task has the state token of its submit, where the contract reads one.

    After a lost response the token is the only way to find the task. Relays drop unknown keys of the request,
    or store the token only in the callback.
    """
    if o.token is None or o.reader.token_path is None or o.task is None:
        return not_applicable("the submit had no state token, or tasks have none")
    found = o.reader.token(o.task)
    if found == o.token:
        return PASSED
    if not found and not o.state.terminal:
        return not_applicable("the task has no state token yet")
    return failed(o.show(o.token), o.show(found) if found else "no state token")


@define_check("submit/refused", Level.MUST, on=_REFUSED, needs=[transfer], clause=submission("security"))
def refused(o: Observation) -> Judgement:
    """
    A submit with a wrong API key or an invalid body makes no task.

    A stranger spends the money of the operator, and an invalid body is paid for without a picture. Relays
    check the key only for fetches, and forward bodies unread.
    """
    if o.receipt is None:
        return _NO_SUBMIT
    if not o.receipt.outcome.accepted and not (o.kind is Kind.BAD_SUBMIT and o.receipt.ids):
        return PASSED
    level = None if o.kind is Kind.BAD_SUBMIT else Level.SHOULD
    return failed("a refusal", received(o), level=level)


@define_check(
    "submit/refusal",
    Level.MUST,
    on=_REFUSED,
    needs=[refused, redirect],
    clause=submission("responses"),
)
def refusal(o: Observation) -> Judgement:
    """
    A refused submit is refused as the contract describes.

    After an undocumented response the caller does not know whether the task runs. Relays crash on invalid
    bodies, and answer with the web page of a proxy.
    """
    if o.receipt is None:
        return _NO_SUBMIT
    if o.receipt.outcome is not SubmitOutcome.UNKNOWN:
        return PASSED
    if o.kind is Kind.BAD_SUBMIT:
        return as_described(o, o.reader.unauthorized)
    crashed = o.exchange.status is not None and o.exchange.status >= 500
    return failed("a documented refusal", received(o), level=Level.SHOULD if crashed else Level.INFO)


@define_check(
    "submit/window", Level.SHOULD, on=_SUBMIT, needs=[outcome], clause=submission("x-mj-submit", "answer")
)
def window(o: Observation) -> Judgement:
    """
    A task that waits for its window can be confirmed.

    The button is paid for, and without the window there is no picture. Gateways store a task under another
    id than the server behind them, and servers forget the window.
    """
    if o.receipt is None or o.submit is None or o.submit.form.action != "modal":
        return not_applicable("the request confirms no window")
    if not o.task_id:
        return not_applicable("it is not known that the task waits for its window")
    if o.receipt.outcome not in _UNCONFIRMED:
        return PASSED
    missing = o.receipt.outcome is SubmitOutcome.PARENT_MISSING
    level = max(_level(o), Level.SHOULD if missing else Level.INFO, key=list(Level).index)
    return failed(f"the task {o.show(o.task_id)} is confirmed", received(o), level=level)


CHECKS = (schema, outcome, media_type, one_task, fetchable, token, refused, refusal, window)


def _level(o: Observation) -> Level:
    """Return the level that the contract's evidence for the response allows."""
    if o.submit is None:
        return evidence(o.contract, *o.contract.location)
    return evidence(o.contract, *o.submit.location, "responses", str(o.exchange.status))
