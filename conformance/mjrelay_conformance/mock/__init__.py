"""A mock relay made from a contract, and the named ways in which it can be wrong."""

from mjrelay_conformance.mock._faults import FAULTS, Fault, InapplicableFaultError, UnknownFaultError
from mjrelay_conformance.mock._relay import Answer, MockRelay
from mjrelay_conformance.mock._server import Server, ServerError, serve

__all__ = [
    "FAULTS",
    "Answer",
    "Fault",
    "InapplicableFaultError",
    "MockRelay",
    "Server",
    "ServerError",
    "UnknownFaultError",
    "serve",
]
