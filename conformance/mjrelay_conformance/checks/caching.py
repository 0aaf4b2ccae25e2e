"""Whether a task may be kept on its way, and whether the relay says so."""

from __future__ import annotations

import re

from mjrelay.semantics import State
from mjrelay_conformance.checks import helpers as _clauses
from mjrelay_conformance.checks.envelope import ACCEPT
from mjrelay_conformance.checks.schema import STATUS_WORD
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    check,
    failed,
    not_applicable,
)

_DIRECTIVE = re.compile(r"""([\w-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,"]*)))?""", re.ASCII)
_FIELDS = frozenset({"cache-control", "expires", "pragma", "etag"})


@check(
    "caching/running",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[ACCEPT, STATUS_WORD],
    clause=_clauses.document("RFC 9111 section 5.2.2"),
)
def running(o: Observation) -> Judgement:
    """
    A task that has not ended is not to be kept.

    A cache between relay and client then answers in the relay's place, and the task seems to stand still.
    Networks in front of relays mark everything as public, or as good for hours.
    """
    if o.state.terminal or o.state is State.UNKNOWN:
        return not_applicable("the task has ended")
    said = ", ".join(value for name, value in o.exchange.headers if name.lower() == "cache-control")
    directives = {name.lower(): quoted or plain for name, quoted, plain in _DIRECTIVE.findall(said)}
    if directives.keys() & {"no-store", "no-cache"}:
        return PASSED
    ages = [directives[name] for name in ("max-age", "s-maxage") if name in directives]
    kept = any(age.strip("0") for age in ages) if ages else "public" in directives
    return failed("no permission to keep it", f"Cache-Control: {o.show(said)}") if kept else PASSED


@check(
    "caching/none",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[ACCEPT],
    clause=_clauses.document("RFC 9111 section 4.2.2"),
)
def said(o: Observation) -> Judgement:
    """
    The answer says whether it may be kept.

    Where nothing is said, a cache on the way may keep it as it sees fit. Most relays say nothing, and rely on
    there being no cache.
    """
    if any(name.lower() in _FIELDS for name, _ in o.exchange.headers):
        return PASSED
    return failed("Cache-Control, Expires, Pragma or ETag", "none of them")
