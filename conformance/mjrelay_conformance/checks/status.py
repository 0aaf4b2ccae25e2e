"""Whether the relay answers each kind of question with the status that says so."""

from __future__ import annotations

from mjrelay_conformance.checks.helpers import (
    as_described,
    below_500,
    came,
    extension,
    response,
    standard,
    task_inside,
)
from mjrelay_conformance.checks.transport import REDIRECT, TRANSFER
from mjrelay_conformance.judging import PASSED, Judgement, Kind, Level, Observation, failed, register_check

KNOWN = "fetch/known/status"
_UNKNOWN = (Kind.MISSING, Kind.ODD)
_NO_SERVER_ERROR = "fetch/unknown/no-server-error"
_NO_TASK = "fetch/unknown/no-task"


@register_check(KNOWN, Level.MUST, on=[Kind.KNOWN], needs=[TRANSFER, REDIRECT], clause=response(200))
def known(o: Observation) -> Judgement:
    """
    A task that is there is answered with 200.

    Clients poll as long as they see 200. Overloaded relays answer 500 or 502 now and then, and others forget
    tasks after a restart, which some of them say with an empty 200.
    """
    if o.exchange.status == 200 and not o.missed:
        return PASSED
    return failed("200" if o.exchange.status != 200 else "200 with the task", came(o))


@register_check(
    _NO_SERVER_ERROR,
    Level.MUST,
    on=_UNKNOWN,
    needs=[TRANSFER],
    clause=standard("RFC 9110 section 15.6"),
)
def no_server_error(o: Observation) -> Judgement:
    """
    An id that nobody has is the caller's mistake, never a server error.

    Clients try again after a server error, here for ever. Relays crash on ids that are too long, hold letters
    beyond ASCII, or are not in their database.
    """
    return below_500(o)


@register_check(_NO_TASK, Level.MUST, on=_UNKNOWN, needs=[TRANSFER], clause=extension("id"))
def no_task(o: Observation) -> Judgement:
    """
    An id that nobody has never yields a task, least of all somebody else's.

    A picture that is somebody else's is a leak, and a wrong result. Relays that look ids up loosely, by
    prefix or in a cache without the user, hand out whatever they find. A task with the very id that was asked
    for is not somebody else's: some relays keep the caller's refused submissions under an empty id.
    """
    found = task_inside(o, o.task_id)
    return PASSED if found is None else failed("no task", f"{o.exchange.status} with {found}")


@register_check(
    "fetch/missing/answer",
    Level.MUST,
    on=[Kind.MISSING],
    needs=[_NO_SERVER_ERROR, _NO_TASK, REDIRECT],
    clause=extension("missing"),
)
def missing(o: Observation) -> Judgement:
    """
    A task that is not there is answered as the contract says.

    A client must tell a lost task from one that still runs. Servers answer so differently (an empty 200, 204,
    400, 404) that the relay's own words are all there is to go by.
    """
    return as_described(o, o.reader.missing)
