"""
Mock relays built from contracts, with optional faults and dialects.

How a relay can behave belongs here. This package imports no check, and nothing beyond the extra `mock`.
"""

from mjrelay_conformance.mock.dialects import DIALECTS, Dialect, InapplicableDialectError, UnknownDialectError
from mjrelay_conformance.mock.faults import FAULTS, Fault, InapplicableFaultError, Phase, UnknownFaultError
from mjrelay_conformance.mock.notifier import Notifier
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.responses import MockResponse
from mjrelay_conformance.mock.server import Server, ServerError, serve_mock

__all__ = [
    "DIALECTS",
    "FAULTS",
    "Dialect",
    "Fault",
    "InapplicableDialectError",
    "InapplicableFaultError",
    "MockRelay",
    "MockResponse",
    "Notifier",
    "Phase",
    "Server",
    "ServerError",
    "UnknownDialectError",
    "UnknownFaultError",
    "serve_mock",
]
