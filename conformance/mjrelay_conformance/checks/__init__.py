"""
The checks: sentences that a relay keeps or breaks, one module for each family.

They may import judging, and see nothing but the observation that they are given.
"""

from mjrelay_conformance.checks.registry import (
    SelectionError,
    check_lines,
    explain_check,
    matching_ids,
    needed_checks,
    select_checks,
)
from mjrelay_conformance.checks.transport import SHORTEST

__all__ = [
    "SHORTEST",
    "SelectionError",
    "check_lines",
    "explain_check",
    "matching_ids",
    "needed_checks",
    "select_checks",
]
