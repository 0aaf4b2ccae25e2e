"""Generate typed clients, detect drift, lint contracts and add relays."""

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
    sys.exit(f"{missing.name} is not installed; run in a clone: pip install '.[codegen]'")


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand. Exit codes: 0 for success, 1 for a failure, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m mjrelay_codegen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = {"generate": _generate, "drift": _drift, "lint": _lint, "add": _add}
    for name, text in {
        "generate": "Write the clients of all relays into generated/.",
        "drift": "Fail if generated/ differs from what generate would write.",
        "lint": "Fail if a contract or an overlay breaks a rule.",
        "add": "Write a commented scaffold of a contract for a new relay.",
    }.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--root", type=Path, help="Repository root; default: the nearest parent folder with openapi/."
        )
        if name == "add":
            command.add_argument(
                "name", metavar="NAME", help="Name of the relay: lower-case letters and digits."
            )
            command.add_argument(
                "--extends", metavar="OTHER", help="Write an overlay over this relay instead of a contract."
            )
    options = parser.parse_args(arguments)
    try:
        root = options.root or generator.find_root(Path.cwd())
        return runs[options.command](root, options)
    except MjrelayError as error:
        _print(*str(error).split("\n"))
        return 1


def _generate(root: Path, options: argparse.Namespace) -> int:
    if _lint(root, options):
        _print("nothing was generated; fix the contracts first")
        return 1
    done = generator.generate(root)
    _print(*done.changes, f"generated/ is up to date; {len(done.changes)} files changed")
    if done.left:
        _print(f"unknown files, left unchanged: {', '.join(done.left)}; move or delete them")
    return 0


def _drift(root: Path, _: argparse.Namespace) -> int:
    differences = generator.drift(root)
    if not differences:
        _print("generated/ is up to date")
        return 0
    _print(*differences, f"generated/ is out of date; run: {generator.COMMAND}")
    return 1


def _lint(root: Path, _: argparse.Namespace) -> int:
    contracts, overlays = sorted(root.glob("openapi/*.yaml")), sorted(root.glob("overlays/*/*.yaml"))
    violations = [violation for path in contracts for violation in lint_file(path)]
    for path in overlays:
        found = lint_overlay(path)
        relay = path.parent.name == "relays" and not found
        violations += lint_relay(path, root / "openapi") if relay else found
    _print(*violations, f"{len(contracts)} contracts, {len(overlays)} overlays: {len(violations)} violations")
    return 1 if violations else 0


def _add(root: Path, options: argparse.Namespace) -> int:
    path = scaffolding.add(root, options.name, options.extends)
    _print(
        f"written: {path.relative_to(root)}; read it and resolve each TODO. Then:",
        "  nox -s lint         # lists open TODOs and violations",
        "  nox -s generate     # writes the typed client",
        f"  nox -s conformance -- {options.name}    # checks the relay's mock; expect no findings",
    )
    return 0


def _print(*lines: object) -> None:
    # Names in a contract are untrusted: make them printable.
    print(*(printable_text(str(line)) for line in lines), sep="\n", file=sys.stderr)  # noqa: T201 - the output of a command


if __name__ == "__main__":
    sys.exit(main())
