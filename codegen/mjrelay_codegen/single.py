"""The typed client of one contract, as a package of its own: for contracts that are not packaged."""

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
    """The contract is not as it has to be; ``violations`` say where and how to mend it."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        many = "is 1 thing" if len(violations) == 1 else f"are {len(violations)} things"
        lines = "\n".join(map(str, violations))
        super().__init__(f"there {many} to mend before a client can be generated:\n{lines}")


@frozen
class Written:
    """A client that was written: its folder, the number of changed files, and the foreign ones left there."""

    package: Path
    changed: int
    left: tuple[str, ...] = ()


def write(contract: Contract, output: Path) -> Written:
    """
    Write the client of a contract into a directory, as the package ``<relay>_client``.

    It brings its own runtime, so that it needs attrs and httpx and nothing of ours. Raises `LintError`, and
    `GenerationError` where a foreign file is in the way, or the generator refuses. Foreign files are left
    as they are.
    """
    if violations := lint_contract(contract):
        raise LintError(violations)
    target = output / f"{contract.name}_client"
    source = contract.file or contract.source
    relay = RelaySource(contract.name, source.name, output, (source,), contract)
    overlays = sorted((data_folder("overlays") / "client").glob("*.yaml"))
    with tempfile.TemporaryDirectory(prefix="mjrelay-") as folder:
        wanted = Path(folder) / target.name
        named = contract_arguments(contract, lambda path: path.name)  # where it lies is nobody's business
        generator.write_client(wanted, relay, overlays, f"mjrelay generate {named} --output DIR")
        done = replace(wanted, target, generator.LOCK)
    return Written(target, len(done.changes), done.left)
