"""Every fault by its name, in the order in which faults are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mjrelay.base import MjrelayError, did_you_mean, nearest_names
from mjrelay_conformance.mock.faults import (
    auth,
    batch,
    representation,
    schema,
    sequence,
    status,
    task,
    transport,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.faults.fault import Fault


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        *transport.FAULTS,
        *sequence.CACHING_FAULTS,
        *status.FAULTS,
        *representation.FAULTS,
        *schema.FAULTS,
        *task.FAULTS,
        *sequence.FAULTS,
        *auth.FAULTS,
        *batch.FAULTS,
    )
}


class UnknownFaultError(MjrelayError):
    """No fault has this name; ``near`` holds the likely ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near = nearest_names(name, FAULTS)
        near = f"{did_you_mean(self.near)} " if self.near else ""
        super().__init__(
            f"no fault is called {name!r}; {near}list them with: mjrelay mock RELAY --list-faults"
        )


class InapplicableFaultError(MjrelayError):
    """The contract gives a fault no place; ``name`` is the fault's, ``relay`` the contract's."""

    def __init__(self, name: str, relay: str) -> None:
        self.name, self.relay = name, relay
        super().__init__(
            f"fault {name} has no place in the contract of {relay}: {FAULTS[name].summary} "
            "Leave it out, or choose another one."
        )


def select_faults(names: Iterable[str], contract: Contract) -> tuple[Fault, ...]:
    """
    The faults of these names, in order.

    Raises `UnknownFaultError` for a name that is none, `InapplicableFaultError` for a fault that the contract
    gives no place.
    """
    faults = []
    for name in names:
        if name not in FAULTS:
            raise UnknownFaultError(name)
        if not FAULTS[name].applies(contract):
            raise InapplicableFaultError(name, contract.name)
        faults.append(FAULTS[name])
    return tuple(faults)
