"""The door of mjrelay_codegen.linter."""

from mjrelay_codegen.linter.linting import Violation, lint, lint_contract, lint_overlay, lint_relay

__all__ = ["Violation", "lint", "lint_contract", "lint_overlay", "lint_relay"]
