"""The command behind `nox -s generate`, `drift`, `lint` and `add-relay`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mjrelay.base import MjrelayError
from mjrelay.http import printable_text

try:
    from mjrelay_codegen import generator, scaffolding
    from mjrelay_codegen.linter import lint_file, lint_overlay, lint_relay
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed; install mjrelay[codegen]")


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit code is 0 where all is well, 1 where it is not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m mjrelay_codegen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = {"generate": _generate, "drift": _drift, "lint": _lint, "add": _add}
    for name, text in {
        "generate": "write the clients of all relays into generated/",
        "drift": "fail where generated/ is not what generate writes",
        "lint": "fail where a contract or an overlay is not as it has to be",
        "add": "begin the contract of another relay, with everything explained in comments",
    }.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--root", type=Path, help="the repository (default: found from here upwards)")
        if name == "add":
            command.add_argument("name", metavar="NAME", help="the relay's name: small letters and digits")
            command.add_argument("--extends", metavar="OTHER", help="a relay that it differs little from")
    options = parser.parse_args(arguments)
    try:
        root = options.root or generator.find_root(Path.cwd())
        return runs[options.command](root, options)
    except MjrelayError as error:
        _say(*str(error).split("\n"))
        return 1


def _generate(root: Path, options: argparse.Namespace) -> int:
    if _lint(root, options):
        _say("nothing was generated; mend the contracts first")
        return 1
    done = generator.generate(root)
    _say(*done.changes, f"generated/ is up to date; {len(done.changes)} files changed")
    if done.left:
        _say(f"not generated, and left as they are: {', '.join(done.left)}; move or delete them")
    return 0


def _drift(root: Path, _: argparse.Namespace) -> int:
    differences = generator.drift(root)
    if not differences:
        _say("generated/ is what the contracts give")
        return 0
    _say(*differences, f"generated/ is not what the contracts give; run: {generator.COMMAND}")
    return 1


def _lint(root: Path, _: argparse.Namespace) -> int:
    contracts, overlays = sorted(root.glob("openapi/*.yaml")), sorted(root.glob("overlays/*/*.yaml"))
    violations = [violation for path in contracts for violation in lint_file(path)]
    for path in overlays:
        found = lint_overlay(path)
        relay = path.parent.name == "relays" and not found
        violations += lint_relay(path, root / "openapi") if relay else found
    _say(*violations, f"{len(contracts)} contracts, {len(overlays)} overlays: {len(violations)} violations")
    return 1 if violations else 0


def _add(root: Path, options: argparse.Namespace) -> int:
    path = scaffolding.add(root, options.name, options.extends)
    _say(
        f"written: {path.relative_to(root)}; read it, and fill in what is marked TODO. Then:",
        "  nox -s lint         # says what is left to do, and what is wrong",
        "  nox -s generate     # writes the typed client",
        f"  nox -s conformance -- {options.name}    # judges the relay's own mock: there is nothing to find",
    )
    return 0


def _say(*lines: object) -> None:
    # Contracts are foreign, and so are the names in them.
    print(*(printable_text(str(line)) for line in lines), sep="\n", file=sys.stderr)  # noqa: T201 - a command talks


if __name__ == "__main__":
    sys.exit(main())
