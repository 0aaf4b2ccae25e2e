"""The typed client of one contract, as a package of its own: for contracts that are not packaged."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay.contract import contract_arguments, data_folder
from mjrelay_codegen import generator
from mjrelay_codegen.generator import GenerationError
from mjrelay_codegen.linter import lint_contract
from mjrelay_codegen.source import Relay

if TYPE_CHECKING:
    from mjrelay.contract import Contract
    from mjrelay_codegen.linter import Violation


class LintError(GenerationError):
    """The contract is not as it has to be; ``violations`` say where and how to mend it."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        many = "is 1 thing" if len(violations) == 1 else f"are {len(violations)} things"
        lines = "\n".join(map(str, violations))
        super().__init__(f"there {many} to mend before a client can be generated:\n{lines}")


@frozen
class Written:
    """A client that was written: the package's folder, and how many of its files had to change."""

    package: Path
    changed: int


def write(contract: Contract, output: Path) -> Written:
    """
    Write the client of a contract into a directory, as the package ``<relay>_client``.

    It brings its own runtime, so that it needs attrs and httpx and nothing of ours. Raises `LintError`, and
    `GenerationError` where something else is there already, or the generator refuses.
    """
    if violations := lint_contract(contract):
        raise LintError(violations)
    target = output / f"{contract.name}_client"
    if target.exists() and not _ours(target):
        raise GenerationError(f"{target} is there and was not generated; move it, or choose another --output")
    source = contract.file or contract.source
    relay = Relay(contract.name, source.name, output, (source,), contract.document, ())
    overlays = sorted((data_folder("overlays") / "client").glob("*.yaml"))
    with tempfile.TemporaryDirectory(prefix="mjrelay-") as folder:
        wanted = Path(folder) / target.name
        named = contract_arguments(contract, lambda path: path.name)  # where it lies is nobody's business
        generator.write_client(wanted, relay, overlays, f"mjrelay generate {named} --output DIR")
        differences = generator.replace(wanted, target)
    return Written(target, len(differences))


def _ours(package: Path) -> bool:
    if not package.is_dir():
        return False
    return not any(package.iterdir()) or (package / "contract.json").is_file()
