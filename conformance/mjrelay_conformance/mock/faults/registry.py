"""Every fault by name, in the order in which faults are listed."""

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
    submit,
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
        *submit.FAULTS,
    )
}


class UnknownFaultError(MjrelayError):
    """No fault has this name; ``near`` holds similar names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near = nearest_names(name, FAULTS)
        near = f"{did_you_mean(self.near)} " if self.near else ""
        super().__init__(
            f"unknown fault {name!r}; {near}list the faults with: mjrelay mock RELAY --list-faults"
        )


class InapplicableFaultError(MjrelayError):
    """A contract does not support a fault; ``name`` is the fault, ``relay`` the contract."""

    def __init__(self, name: str, relay: str) -> None:
        self.name, self.relay = name, relay
        super().__init__(
            f"fault {name} does not apply to the contract of {relay}: {FAULTS[name].summary} "
            "Omit it, or choose another fault."
        )


def select_faults(names: Iterable[str], contract: Contract) -> tuple[Fault, ...]:
    """
    Return the faults with these names, in order.

    Raises:
        UnknownFaultError: No fault has this name.
        InapplicableFaultError: The contract does not support the fault.
    """
    faults = []
    for name in names:
        if name not in FAULTS:
            raise UnknownFaultError(name)
        if not FAULTS[name].applies(contract):
            raise InapplicableFaultError(name, contract.name)
        faults.append(FAULTS[name])
    return tuple(faults)
