"""Where in a contract the sentences rest."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay._contract import Clause, Contract
    from mjrelay._yaml import Location
    from mjrelay_conformance._check import Observation


def extension(*keys: str) -> Callable[[Observation], Clause]:
    """A part of the contract's `x-mj-task`."""
    return lambda o: _at(o.contract, (*o.contract.location, "x-mj-task", *keys))


def response(status: int) -> Callable[[Observation], Clause]:
    """The Response Object of a status."""
    return lambda o: _at(o.contract, (*o.contract.location, "responses", str(status)))


def operation(o: Observation) -> Clause:
    """The fetch operation."""
    return _at(o.contract, o.contract.location)


def security(o: Observation) -> Clause:
    """The `security` of the operation that was asked."""
    operation = (o.ids and o.contract.batch) or o.contract.location
    return _at(o.contract, (*operation, "security"))


def scheme(o: Observation) -> Clause:
    """The Security Scheme Object of the credential that was sent."""
    return _at(o.contract, ("components", "securitySchemes", o.credential or ""))


def batch(*keys: str) -> Callable[[Observation], Clause]:
    """A part of the operation that asks for several tasks; of the fetch operation where there is none."""
    return lambda o: _at(o.contract, (*(o.contract.batch or o.contract.location), *keys))


def document(name: str) -> Callable[[Observation], str]:
    """A section of a public standard."""
    return lambda _: name


@cache
def _at(contract: Contract, location: Location) -> Clause:
    """
    The clause at a location, or at the nearest place above that the contract has.

    Each exchange is judged by the same ones, and finding their lines takes a while.
    """
    node: Any = contract.document
    for depth, step in enumerate(location):
        if not isinstance(node, dict) or step not in node:
            return contract.clause(*location[:depth])
        node = node[step]
    return contract.clause(*location)
