"""Checks of the status: each kind of request is answered with the status that fits it."""

from __future__ import annotations

from mjrelay_conformance.checks.helpers import (
    as_described,
    below_500,
    extension,
    received,
    response,
    standard,
    task_inside,
)
from mjrelay_conformance.checks.transport import redirect, transfer
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    blocked,
    define_check,
    failed,
    not_applicable,
)

_UNKNOWN = (Kind.MISSING, Kind.ODD)
_METHOD = [Kind.METHOD]
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@define_check(
    "fetch/known/status", Level.MUST, on=[Kind.KNOWN], needs=[transfer, redirect], clause=response(200)
)
def known(o: Observation) -> Judgement:
    """
    A fetch of an existing task returns 200.

    Clients poll as long as they receive 200. Overloaded relays return 500 or 502 now and then. Others lose
    tasks in a restart, and some of them return an empty 200 then.
    """
    if o.exchange.status == 200 and not o.missed:
        return PASSED
    return failed("200" if o.exchange.status != 200 else "200 with the task", received(o))


@define_check(
    "fetch/unknown/no-server-error",
    Level.MUST,
    on=_UNKNOWN,
    needs=[transfer],
    clause=standard("RFC 9110 section 15.6"),
)
def unknown_no_server_error(o: Observation) -> Judgement:
    """
    An id that does not exist never causes a server error.

    Clients retry after a server error, here without end. Relays crash on ids that are too long, contain
    non-ASCII letters, or are not in their database.
    """
    return below_500(o)


@define_check("fetch/unknown/no-task", Level.MUST, on=_UNKNOWN, needs=[transfer], clause=extension("id"))
def unknown_no_task(o: Observation) -> Judgement:
    """
    An id that does not exist never returns a task, least of all another user's.

    Another user's task is a leak and a wrong result. Relays that match ids loosely, by prefix or in a cache
    shared between users, return whatever they find. A task with exactly the requested id is no leak: some
    relays keep the caller's refused submissions under an empty id.
    """
    found = task_inside(o, o.task_id)
    return PASSED if found is None else failed("no task", f"{o.exchange.status} with {found}")


@define_check(
    "fetch/missing/answer",
    Level.MUST,
    on=[Kind.MISSING],
    needs=[unknown_no_server_error, unknown_no_task, redirect],
    clause=extension("missing"),
)
def missing(o: Observation) -> Judgement:
    """
    A missing task is answered as the contract describes.

    A client must tell a lost task from a running one. Servers answer so differently (an empty 200, 204, 400,
    404) that only the relay's own contract defines it.
    """
    return as_described(o, o.reader.missing)


@define_check(
    "method/no-task",
    Level.MUST,
    on=_METHOD,
    needs=[transfer],
    clause=standard("RFC 9110 section 9.1"),
)
def method_no_task(o: Observation) -> Judgement:
    """
    An unsafe method never returns a task.

    A caller that deletes a task and receives it assumes that it is gone. Relays route by the path alone and
    ignore the method.
    """
    if o.exchange.method in _SAFE:
        return not_applicable("the method is safe")
    found = task_inside(o)
    if found is None:
        return PASSED
    return failed(f"no task for {o.exchange.method}", f"{o.exchange.status} with {found}")


@define_check(
    "method/no-server-error",
    Level.SHOULD,
    on=_METHOD,
    needs=[transfer],
    clause=standard("RFC 9110 section 15.6"),
)
def method_no_server_error(o: Observation) -> Judgement:
    """
    An unsupported method causes no server error, except 501.

    A server error suggests that a retry may help, which it never does here. Relays crash if the request
    lacks the body or parameter that they expect.
    """
    if any((before.exchange.status or 0) >= 500 for before in o.earlier):
        return blocked("the contract's own method returned a server error too")
    return PASSED if o.exchange.status == 501 else below_500(o)


@define_check(
    "method/allow",
    Level.MUST,
    on=_METHOD,
    needs=[transfer],
    clause=standard("RFC 9110 section 15.5.6"),
    judges_headers=True,
)
def method_allow(o: Observation) -> Judgement:
    """
    A 405 response lists the allowed methods in Allow.

    Clients and people find the right method by it. Relays build the 405 by hand and omit Allow.
    """
    if o.exchange.status != 405:
        return not_applicable("the status is not 405")
    if o.exchange.header("allow") is not None:
        return PASSED
    return failed("Allow, with the allowed methods", "405 without Allow")


CHECKS = (known, unknown_no_server_error, unknown_no_task, missing)
METHOD_CHECKS = (method_no_task, method_no_server_error, method_allow)
