"""
The rules that contracts and overlays keep, beyond being valid OpenAPI.

It may import mjrelay's contracts and what these import; a rule belongs here, and nothing that generates.
"""

from mjrelay_codegen.linter.linting import Violation, lint_contract, lint_file, lint_overlay, lint_relay

__all__ = ["Violation", "lint_contract", "lint_file", "lint_overlay", "lint_relay"]
