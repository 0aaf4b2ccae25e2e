"""Checks of authentication: wrong, missing or misplaced credentials are rejected, documented ones work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from mjrelay.http import NotJSONError
from mjrelay_conformance.checks.helpers import (
    as_described,
    below_500,
    evidence,
    extension,
    received,
    scheme,
    security,
    similar_responses,
    standard,
    task_inside,
)
from mjrelay_conformance.checks.transport import redirect, transfer
from mjrelay_conformance.judging import (
    PASSED,
    REFUSED,
    Check,
    Judgement,
    Kind,
    Level,
    Observation,
    Outcome,
    blocked,
    define_check,
    failed,
    inconclusive,
    not_applicable,
)

if TYPE_CHECKING:
    from collections.abc import Callable


_ORDER = list(Level)
_NAMED = {
    Kind.BAD_CREDENTIAL: "a wrong API key",
    Kind.NO_CREDENTIAL: "no API key",
    Kind.MISPLACED: "the API key in an undocumented place",
}


def _rejections(
    kind: Kind, *, refused: str, no_server_error: str, described: str, why: str, highest: Level = Level.MUST
) -> tuple[Check, Check, Check]:
    """
    Define the three checks of requests that must be rejected, given their ids.

    ``highest`` is the highest level of their findings, except for server errors, which are always MUST.
    """

    def judging(
        predicate: str, judge: Callable[[Observation], Judgement]
    ) -> Callable[[Observation], Judgement]:
        def judged(o: Observation) -> Judgement:
            if o.contract.open and not _closed(o):
                return not_applicable("the contract makes the API key optional, and the relay needs none")
            return judge(o)

        judged.__doc__ = f"A request with {_NAMED[kind]} {predicate}\n\n{why}"
        return judged

    def described_once(o: Observation) -> Judgement:
        if o.ids and not any(before.kind is Kind.BATCH and _listed(before) for before in o.earlier):
            return blocked("the batch operation did not return a list with the API key either")
        return _at_most(highest, _once(o, _described))

    def below_500_once(o: Observation) -> Judgement:
        return _once(o, below_500)

    no_task = define_check(refused, highest, on=[kind], needs=[transfer], clause=security)(
        judging("never returns a task.", _refused)
    )
    no_error = define_check(
        no_server_error, Level.MUST, on=[kind], needs=[transfer], clause=standard("RFC 9110 section 15.6")
    )(judging("never causes a server error.", below_500_once))
    answer = define_check(
        described, highest, on=[kind], needs=[no_task, no_error, redirect], clause=extension("unauthorized")
    )(judging("is rejected as the contract describes.", described_once))
    return no_task, no_error, answer


def _closed(o: Observation) -> bool:
    """Whether a relay whose key is optional refuses requests without one, and returned tasks with one."""
    bare = [one for one in (*o.earlier, o) if one.kind is Kind.NO_CREDENTIAL and not one.ids]
    return o.accepted and o.proven and bool(bare) and all(map(_no_answer, bare))


def _no_answer(o: Observation) -> bool:
    missing = any(matcher.matches(o.exchange) for matcher in o.reader.missing)
    return o.exchange.status is not None and not o.overloaded and not missing and task_inside(o) is None


def _refused(o: Observation) -> Judgement:
    bare = [before for before in o.earlier if before.kind is Kind.NO_CREDENTIAL]
    if o.kind is Kind.MISPLACED and any(task_inside(before) for before in bare):
        return blocked("the relay returns the task without an API key too")
    found = task_inside(o)
    return PASSED if found is None else failed("a rejection", f"{o.exchange.status} with {found}")


def _described(o: Observation) -> Judgement:
    return as_described(o, o.reader.unauthorized)


def _once(o: Observation, judge: Callable[[Observation], Judgement]) -> Judgement:
    """
    Judge a response, unless an equal response to another kind of rejected request was judged before.

    A wrong API key is always judged, because every run sends one.
    """
    judgement = judge(o)
    if judgement.outcome is Outcome.FAIL and o.kind is not Kind.BAD_CREDENTIAL:
        for before in o.earlier:
            if before.kind in REFUSED - {o.kind} and similar_responses(before, o):
                return not_applicable(f"the response equals that to a request with {_NAMED[before.kind]}")
    return judgement


def _listed(o: Observation) -> bool:
    """Whether a batch response has a JSON document."""
    try:
        _ = o.exchange.document
    except NotJSONError:
        return False
    return o.exchange.status == 200


def _at_most(highest: Level, judgement: Judgement) -> Judgement:
    if judgement.level is None:
        return judgement
    return evolve(judgement, level=max(highest, judgement.level, key=_ORDER.index))


_WRONG = _rejections(
    Kind.BAD_CREDENTIAL,
    refused="auth/wrong/refused",
    no_server_error="auth/wrong/no-server-error",
    described="auth/wrong/answer",
    why="Otherwise every task is public, and a mistyped key goes unnoticed. Relays check only the format of "
    "a key, or check it only on submission. Clients do not recognize an undocumented rejection and keep "
    "polling.",
)
_NONE = _rejections(
    Kind.NO_CREDENTIAL,
    refused="auth/none/refused",
    no_server_error="auth/none/no-server-error",
    described="auth/none/answer",
    why="Ids can be guessed, so every task would be public. Relays leave the fetch operation open, or crash "
    "on a missing header.",
)
_MISPLACED = _rejections(
    Kind.MISPLACED,
    refused="auth/misplaced/refused",
    no_server_error="auth/misplaced/no-server-error",
    described="auth/misplaced/answer",
    why="A client that sends its key there works by chance here and fails with the next relay. Accepting it "
    "is lenient and no leak. Relays in front of others accept anything that looks like a key.",
    highest=Level.SHOULD,
)


@define_check(
    "auth/alternative/works",
    Level.MUST,
    on=[Kind.ALTERNATIVE],
    needs=[transfer, redirect],
    clause=scheme,
)
def alternative(o: Observation) -> Judgement:
    """
    Each security scheme of the contract works.

    Clients choose one scheme and never try the others. Pages list schemes that the upstream once had, or that
    a proxy removes.
    """
    if _in_another_case(o):
        return not_applicable("the scheme name in other case has a check of its own")
    return _works(o, evidence(o.contract, "components", "securitySchemes", o.credential or ""))


@define_check(
    "auth/scheme/case",
    Level.MUST,
    on=[Kind.ALTERNATIVE],
    needs=[transfer, redirect],
    clause=standard("RFC 9110 section 11.1"),
)
def scheme_case(o: Observation) -> Judgement:
    """
    The name of the authentication scheme is case-insensitive.

    Clients write "bearer" in any case, which the standard allows. Relays strip the exact prefix only, and
    then take the scheme name for a part of the key.
    """
    if not _in_another_case(o):
        return not_applicable("the scheme has no name, or it was sent as documented")
    return _works(o, Level.MUST)


def _works(o: Observation, level: Level) -> Judgement:
    readings = [str(o.reader.id(before.task)) == o.task_id for before in o.earlier]
    if not readings or not all(readings):
        return inconclusive("not every earlier fetch with the first security scheme returned the task")
    if o.task is not None and str(o.reader.id(o.task)) == o.task_id:
        return PASSED
    return failed("the task", received(o), level=level)


CHECKS = (*_WRONG, *_NONE, *_MISPLACED, alternative, scheme_case)


def _in_another_case(o: Observation) -> bool:
    """Whether the scheme name was sent, but in other case than the contract has it."""
    one = next((one for one in o.contract.credentials if one.scheme == o.credential), None)
    if one is None or not one.prefix or one.place != "header":
        return False
    sent = [value for name, value in o.exchange.request_headers if name.lower() == one.field.lower()]
    return any(
        value.lower().startswith(one.prefix.lower()) and not value.startswith(one.prefix) for value in sent
    )
