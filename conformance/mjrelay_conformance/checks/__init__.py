"""
The checks: sentences that a relay keeps or breaks, one module for each family.

This package imports judging. A check is a pure function of an observation.
"""

from mjrelay_conformance.checks.registry import (
    CHECKS,
    SelectionError,
    check_lines,
    explain_check,
    matching_ids,
    needed_checks,
    select_checks,
)
from mjrelay_conformance.checks.transport import SHORTEST

__all__ = [
    "CHECKS",
    "SHORTEST",
    "SelectionError",
    "check_lines",
    "explain_check",
    "matching_ids",
    "needed_checks",
    "select_checks",
]
