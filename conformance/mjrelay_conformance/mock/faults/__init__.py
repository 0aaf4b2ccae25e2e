"""
Named faults: the ways in which a mock relay can be wrong on purpose, one module for each family of checks.

A fault finds its places through the contract, its schema and its `x-mj-task`, and touches no more than its
summary says. Unless that says otherwise it hits every task that is there, in every state.
"""

from mjrelay_conformance.mock.faults.fault import Fault, Phase
from mjrelay_conformance.mock.faults.registry import (
    FAULTS,
    InapplicableFaultError,
    UnknownFaultError,
    select_faults,
)

__all__ = ["FAULTS", "Fault", "InapplicableFaultError", "Phase", "UnknownFaultError", "select_faults"]
