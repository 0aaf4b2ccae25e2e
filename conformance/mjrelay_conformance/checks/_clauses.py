"""Where in a contract the sentences rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay._contract import Clause
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
