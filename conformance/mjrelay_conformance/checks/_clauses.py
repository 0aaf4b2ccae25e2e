"""Where in a contract the sentences rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mjrelay_conformance._check import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mjrelay._contract import Clause, Contract
    from mjrelay._matcher import Matcher
    from mjrelay_conformance._check import Observation


def extension(*keys: str) -> Callable[[Observation], Clause]:
    """A part of the contract's `x-mj-task`."""
    return lambda o: o.contract.clause(*o.contract.location, "x-mj-task", *keys)


def response(status: int) -> Callable[[Observation], Clause]:
    """The Response Object of a status."""
    return lambda o: o.contract.clause(*o.contract.location, "responses", str(status))


def operation(o: Observation) -> Clause:
    """The fetch operation."""
    return o.contract.clause(*o.contract.location)


def security(o: Observation) -> Clause:
    """The fetch operation's `security`."""
    return o.contract.clause(*o.contract.location, "security")


def document(name: str) -> Callable[[Observation], str]:
    """A section of a public standard."""
    return lambda _: name


def weight(contract: Contract, matchers: Iterable[Matcher]) -> Level:
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
