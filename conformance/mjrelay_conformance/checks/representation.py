"""Whether a 200 says that it is JSON, and is."""

from __future__ import annotations

from mjrelay._exchange import NotJSONError
from mjrelay_conformance._check import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    Outcome,
    check,
    failed,
)
from mjrelay_conformance.checks import _clauses
from mjrelay_conformance.checks.status import KNOWN

JSON = "fetch/200/json"
_MEDIA_TYPE = "fetch/200/media-type"


@check(_MEDIA_TYPE, Level.MUST, on=[Kind.KNOWN], needs=[KNOWN], clause=_clauses.response(200))
def media_type(o: Observation) -> Judgement:
    """A 200 says of itself that it is what the contract documents."""
    documented = [media.lower() for media in o.contract.content(200)]
    if o.exchange.media_type in documented:
        return PASSED
    said = o.exchange.header("content-type")
    return failed(
        f"Content-Type: {' or '.join(documented)}",
        "no Content-Type" if said is None else f"Content-Type: {o.show(said)}",
    )


@check(JSON, Level.MUST, on=[Kind.KNOWN], needs=[KNOWN], clause=_clauses.document("RFC 8259 section 2"))
def json(o: Observation) -> Judgement:
    """The body of a 200 is one JSON text, in UTF-8, with nothing before, after or besides."""
    try:
        _ = o.exchange.document
    except NotJSONError as error:
        if "json" not in o.exchange.media_type and o.exchange.media_type:
            return Judgement(
                Outcome.BLOCKED, actual=f"the answer does not say that it is JSON, and it is not: {error}"
            )
        return failed("one JSON text", str(error))
    return PASSED
