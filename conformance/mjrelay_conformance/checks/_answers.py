"""What several families ask of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mjrelay_conformance._check import PASSED, Judgement, Level, Observation, failed, not_applicable, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay._contract import Contract
    from mjrelay._matcher import Matcher


def below_500(o: Observation) -> Judgement:
    """The answer is no server error."""
    if o.exchange.status is not None and o.exchange.status >= 500:
        return failed("a status below 500", came(o))
    return PASSED


def as_described(o: Observation, matchers: Sequence[Matcher]) -> Judgement:
    """The answer is one of those that the contract describes, as surely as the contract knows them."""
    if not matchers:
        return not_applicable("the contract does not say how this is answered")
    if any(matcher.matches(o.exchange) for matcher in matchers):
        return PASSED
    return failed(" or ".join(map(str, matchers)), came(o), level=_weight(o.contract, matchers))


def came(o: Observation) -> str:
    """What came, in one line: status, media type and the beginning of the body."""
    exchange = o.exchange
    head = f"{exchange.status} {exchange.media_type}".strip()
    body = exchange.body[:400].decode("utf-8", "replace").strip()
    return f"{head}: {shorten(body, 120)}" if body else f"{head} with an empty body"


def _weight(contract: Contract, matchers: Sequence[Matcher]) -> Level:
    """
    How much it weighs when an answer is none of those described.

    The strongest evidence counts: a response that the page documents makes it a MUST, one that was observed
    a SHOULD, one that is only assumed INFO.
    """
    levels = {_evidence(contract, matcher.status) for matcher in matchers}
    return next((level for level in Level if level in levels), Level.INFO)


def _evidence(contract: Contract, status: int) -> Level:
    found = contract.response(status)
    if found is None:
        return Level.INFO
    evidence = found[1].get("x-evidence")
    if evidence is None:
        return Level.MUST
    return Level.INFO if evidence.get("assumed") else Level.SHOULD
