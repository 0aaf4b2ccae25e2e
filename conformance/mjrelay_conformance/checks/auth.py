"""Whether a credential that is wrong, missing or misplaced is refused, and each right one works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from mjrelay_conformance.checks.helpers import (
    alike,
    as_described,
    below_500,
    came,
    evidence,
    extension,
    scheme,
    security,
    standard,
    task_inside,
)
from mjrelay_conformance.checks.transport import REDIRECT, TRANSFER
from mjrelay_conformance.judging import (
    PASSED,
    REFUSED,
    Judgement,
    Kind,
    Level,
    Observation,
    Outcome,
    failed,
    not_applicable,
    register_check,
)

if TYPE_CHECKING:
    from collections.abc import Callable


_ORDER = list(Level)
_NAMED = {
    Kind.BAD_CREDENTIAL: "a wrong credential",
    Kind.NO_CREDENTIAL: "no credential",
    Kind.MISPLACED: "a misplaced credential",
}


def _family(kind: Kind, name: str, what: str, why: str, heaviest: Level = Level.MUST) -> None:
    """
    The three checks of a request that is to be refused, ``what`` being its credential in words.

    A finding weighs ``heaviest`` at most, but for a server error, which is one whatever was sent.
    """
    no_task, no_error = f"auth/{name}/refused", f"auth/{name}/no-server-error"

    def saying(
        sentence: str, judge: Callable[[Observation], Judgement]
    ) -> Callable[[Observation], Judgement]:
        def judged(o: Observation) -> Judgement:
            return not_applicable("the contract lets anybody in") if o.contract.open else judge(o)

        judged.__doc__ = f"{what} {sentence}\n\n{why}"
        return judged

    def described_once(o: Observation) -> Judgement:
        return _at_most(heaviest, _once(o, _described))

    def below_500_once(o: Observation) -> Judgement:
        return _once(o, below_500)

    register_check(no_task, heaviest, on=[kind], needs=[TRANSFER], clause=security)(
        saying("never gets to see a task.", _refused)
    )
    register_check(
        no_error,
        Level.MUST,
        on=[kind],
        needs=[TRANSFER],
        clause=standard("RFC 9110 section 15.6"),
    )(saying("is the caller's mistake, never a server error.", below_500_once))
    register_check(
        f"auth/{name}/answer",
        heaviest,
        on=[kind],
        needs=[no_task, no_error, REDIRECT],
        clause=extension("unauthorized"),
    )(saying("is refused as the contract says.", described_once))


def _refused(o: Observation) -> Judgement:
    bare = [before for before in o.earlier if before.kind is Kind.NO_CREDENTIAL]
    if o.kind is Kind.MISPLACED and any(task_inside(before) for before in bare):
        return Judgement(
            Outcome.BLOCKED, actual="nothing to judge: the relay answers without any credential too"
        )
    found = task_inside(o)
    return PASSED if found is None else failed("a refusal", f"{o.exchange.status} with {found}")


def _described(o: Observation) -> Judgement:
    return as_described(o, o.reader.unauthorized)


def _once(o: Observation, judge: Callable[[Observation], Judgement]) -> Judgement:
    """
    What is to be said, unless it is said of a refusal of another kind that was answered alike before.

    Of a wrong credential it is always said, for that is what every run has.
    """
    judgement = judge(o)
    if judgement.outcome is Outcome.FAIL and o.kind is not Kind.BAD_CREDENTIAL:
        for before in o.earlier:
            if before.kind in REFUSED - {o.kind} and alike(before, o):
                return not_applicable(f"it was answered like a request with {_NAMED[before.kind]} before")
    return judgement


def _at_most(heaviest: Level, judgement: Judgement) -> Judgement:
    if judgement.level is None:
        return judgement
    return evolve(judgement, level=max(heaviest, judgement.level, key=_ORDER.index))


_family(
    Kind.BAD_CREDENTIAL,
    "wrong",
    "A wrong credential",
    "Otherwise anybody reads anybody's pictures, and a mistyped key goes unnoticed. Relays look at the form "
    "of a key alone, or check it only where a task is submitted; clients that are refused in another way "
    "than they know go on asking.",
)
_family(
    Kind.NO_CREDENTIAL,
    "none",
    "A request without any credential",
    "Ids can be guessed, and then every picture is public. Relays leave the reading of tasks open, or crash "
    "on a header field that is not there.",
)
_family(
    Kind.MISPLACED,
    "misplaced",
    "A right credential where the contract does not want it",
    "A client that sends it so works here by chance and fails at the next relay. It is lenient and no leak; "
    "relays in front of others take whatever looks like a key.",
    Level.SHOULD,
)


@register_check(
    "auth/alternative/works",
    Level.MUST,
    on=[Kind.ALTERNATIVE],
    needs=[TRANSFER, REDIRECT],
    clause=scheme,
)
def alternative(o: Observation) -> Judgement:
    """
    Each way of authenticating that the contract lists gets the task.

    Clients choose one of them and never try the others. Pages list ways that the server behind the relay had
    once, or that a proxy in front of it takes away.
    """
    if _in_another_case(o):
        return not_applicable("the scheme's word in another case is judged by itself")
    return _works(o, evidence(o.contract, "components", "securitySchemes", o.credential or ""))


@register_check(
    "auth/scheme/case",
    Level.MUST,
    on=[Kind.ALTERNATIVE],
    needs=[TRANSFER, REDIRECT],
    clause=standard("RFC 9110 section 11.1"),
)
def scheme_case(o: Observation) -> Judgement:
    """
    The word before a credential may be written in any case.

    Clients write bearer as they please, and the standard lets them. Relays cut off the word by comparing it
    letter for letter, and then take it for a part of the key.
    """
    if not _in_another_case(o):
        return not_applicable("the scheme has no word, or it was sent as the contract writes it")
    return _works(o, Level.MUST)


def _works(o: Observation, level: Level) -> Judgement:
    readings = [str(o.reader.id(before.task)) == o.task_id for before in o.earlier]
    if not readings or not all(readings):
        return Judgement(
            Outcome.INCONCLUSIVE, actual="the task was not read with the first credential each time before"
        )
    if o.task is not None and str(o.reader.id(o.task)) == o.task_id:
        return PASSED
    return failed("the task", came(o), level=level)


def _in_another_case(o: Observation) -> bool:
    """Whether the scheme's word was sent, but not as the contract writes it."""
    one = next((one for one in o.contract.credentials if one.scheme == o.credential), None)
    if one is None or not one.prefix or one.place != "header":
        return False
    sent = [value for name, value in o.exchange.request_headers if name.lower() == one.field.lower()]
    return any(
        value.lower().startswith(one.prefix.lower()) and not value.startswith(one.prefix) for value in sent
    )
