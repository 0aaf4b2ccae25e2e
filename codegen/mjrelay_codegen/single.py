"""Generate the typed client of one contract as a separate package: `mjrelay generate`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay.contract import contract_arguments, data_folder
from mjrelay_codegen import generator
from mjrelay_codegen.linter import lint_contract
from mjrelay_codegen.output import GenerationError, replace
from mjrelay_codegen.source import RelaySource

if TYPE_CHECKING:
    from mjrelay.contract import Contract
    from mjrelay_codegen.linter import Violation


class LintError(GenerationError):
    """The contract breaks lint rules; see ``violations``."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        count = "1 violation" if len(violations) == 1 else f"{len(violations)} violations"
        lines = "\n".join(map(str, violations))
        super().__init__(f"the contract has {count}; fix them before generating a client:\n{lines}")


@frozen
class Written:
    """The result of `write`: the package folder, the number of changed files, and the foreign files left."""

    package: Path
    changed: int
    left: tuple[str, ...] = ()


def write(contract: Contract, output: Path) -> Written:
    """
    Write the client of a contract into a directory, as the package ``<relay>_client``.

    The package includes its runtime and needs only attrs and httpx. Foreign files in it are left unchanged.

    Args:
        contract: The loaded contract.
        output: The parent directory of the package.

    Raises:
        LintError: The contract breaks lint rules.
        GenerationError: The generator rejects the contract, or a foreign file is in the way.
    """
    if violations := lint_contract(contract):
        raise LintError(violations)
    target = output / f"{contract.name}_client"
    source = contract.file or contract.source
    relay = RelaySource(contract.name, source.name, output, (source,), contract)
    overlays = sorted((data_folder("overlays") / "client").glob("*.yaml"))
    with tempfile.TemporaryDirectory(prefix="mjrelay-") as folder:
        wanted = Path(folder) / target.name
        named = contract_arguments(contract, lambda path: path.name)  # file names without private folders
        generator.write_client(wanted, relay, overlays, f"mjrelay generate {named} --output DIR")
        done = replace(wanted, target, generator.LOCK)
    return Written(target, len(done.changes), done.left)
