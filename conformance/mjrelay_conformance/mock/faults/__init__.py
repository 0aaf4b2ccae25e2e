"""
Faults: named violations of a contract that a mock relay can have, one module per family of checks.

A fault locates the values to change through the contract, its schema and its `x-mj-task`, and changes only
what its summary describes. Unless the summary limits it, it applies to every existing task in every state.
"""

from mjrelay_conformance.mock.faults.fault import Fault, Phase
from mjrelay_conformance.mock.faults.registry import (
    FAULTS,
    InapplicableFaultError,
    UnknownFaultError,
    select_faults,
)

__all__ = ["FAULTS", "Fault", "InapplicableFaultError", "Phase", "UnknownFaultError", "select_faults"]
