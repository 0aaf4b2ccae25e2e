"""The door of mjrelay_conformance.checks."""

from mjrelay_conformance.checks import registry as registry
from mjrelay_conformance.checks.selection import matching, needed, select
from mjrelay_conformance.checks.transport import SHORTEST

__all__ = ["SHORTEST", "matching", "needed", "select"]
