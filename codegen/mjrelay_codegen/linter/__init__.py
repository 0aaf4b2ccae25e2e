"""
Lint rules for contracts and overlays, on top of valid OpenAPI.

The package may import `mjrelay.contract` and the packages below it. It does not import the generator.
"""

from mjrelay_codegen.linter.linting import (
    Violation,
    lint_contract,
    lint_file,
    lint_overlay,
    lint_relay,
    lint_user_file,
)

__all__ = ["Violation", "lint_contract", "lint_file", "lint_overlay", "lint_relay", "lint_user_file"]
