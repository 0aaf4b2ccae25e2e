"""A mock relay made from a contract, the named ways in which it can be wrong, and others of being right."""

from mjrelay_conformance.mock._dialects import (
    DIALECTS,
    Dialect,
    InapplicableDialectError,
    UnknownDialectError,
)
from mjrelay_conformance.mock._faults import (
    FAULTS,
    Fault,
    InapplicableFaultError,
    Phase,
    UnknownFaultError,
)
from mjrelay_conformance.mock._relay import Answer, MockRelay
from mjrelay_conformance.mock._server import Server, ServerError, serve

__all__ = [
    "DIALECTS",
    "FAULTS",
    "Answer",
    "Dialect",
    "Fault",
    "InapplicableDialectError",
    "InapplicableFaultError",
    "MockRelay",
    "Phase",
    "Server",
    "ServerError",
    "UnknownDialectError",
    "UnknownFaultError",
    "serve",
]
