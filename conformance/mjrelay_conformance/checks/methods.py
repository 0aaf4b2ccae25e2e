"""Whether other methods than the contract's own keep to what HTTP says of them."""

from __future__ import annotations

from mjrelay_conformance.checks.helpers import below_500, standard, task_inside
from mjrelay_conformance.checks.transport import TRANSFER
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    Outcome,
    failed,
    not_applicable,
    register_check,
)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ON = [Kind.METHOD]


@register_check(
    "method/no-task", Level.MUST, on=_ON, needs=[TRANSFER], clause=standard("RFC 9110 section 9.1")
)
def no_task(o: Observation) -> Judgement:
    """
    A method that is not for reading never acts like one.

    Who deletes a task and is shown it believes that it is gone. Relays route by the path alone, whatever the
    method says.
    """
    if o.exchange.method in _READING:
        return not_applicable("the method is for reading")
    found = task_inside(o)
    if found is None:
        return PASSED
    return failed(f"no task for {o.exchange.method}", f"{o.exchange.status} with {found}")


@register_check(
    "method/no-server-error",
    Level.SHOULD,
    on=_ON,
    needs=[TRANSFER],
    clause=standard("RFC 9110 section 15.6"),
)
def no_server_error(o: Observation) -> Judgement:
    """
    A method that the relay does not know is the caller's mistake, never a server error, but for 501.

    A server error says that trying again may help, and here it never does. Relays crash where they expect a
    body or a parameter that such a request does not have.
    """
    if any((before.exchange.status or 0) >= 500 for before in o.earlier):
        return Judgement(
            Outcome.BLOCKED, actual="nothing to judge: the contract's own method fared no better"
        )
    return PASSED if o.exchange.status == 501 else below_500(o)


@register_check(
    "method/allow",
    Level.MUST,
    on=_ON,
    needs=[TRANSFER],
    clause=standard("RFC 9110 section 15.5.6"),
)
def allow(o: Observation) -> Judgement:
    """
    A relay that does not allow a method names those that it allows.

    Clients and people find the right method by it. Relays answer 405 by hand and leave Allow out.
    """
    if o.exchange.status != 405:
        return not_applicable("the answer is no 405")
    if o.exchange.header("allow") is not None:
        return PASSED
    return failed("Allow, with the methods that there are", "405 without Allow")
