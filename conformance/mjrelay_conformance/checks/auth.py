"""Whether a credential that is wrong is refused, as the contract says."""

from __future__ import annotations

from mjrelay_conformance._check import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    check,
    failed,
)
from mjrelay_conformance.checks import _answers, _clauses
from mjrelay_conformance.checks.transport import REDIRECT, TRANSFER

_REFUSED = "auth/wrong/refused"
_NO_SERVER_ERROR = "auth/wrong/no-server-error"
_ON = [Kind.BAD_CREDENTIAL]


@check(_REFUSED, Level.MUST, on=_ON, needs=[TRANSFER], clause=_clauses.security)
def refused(o: Observation) -> Judgement:
    """A wrong credential never gets to see a task."""
    found = _answers.task_inside(o)
    return PASSED if found is None else failed("a refusal", f"{o.exchange.status} with {found}")


@check(
    _NO_SERVER_ERROR, Level.MUST, on=_ON, needs=[TRANSFER], clause=_clauses.document("RFC 9110 section 15.6")
)
def no_server_error(o: Observation) -> Judgement:
    """A wrong credential is the caller's mistake, never a server error."""
    return _answers.below_500(o)


@check(
    "auth/wrong/answer",
    Level.MUST,
    on=_ON,
    needs=[_REFUSED, _NO_SERVER_ERROR, REDIRECT],
    clause=_clauses.extension("unauthorized"),
)
def answer(o: Observation) -> Judgement:
    """A wrong credential is refused as the contract says."""
    return _answers.as_described(o, o.reader.unauthorized)
