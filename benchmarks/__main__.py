"""``python -m benchmarks [NAME…] [--quick] [--output FILE.json]``; no result makes it fail."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from rich.console import Console

from benchmarks import machine, table
from benchmarks.rounds import FULL, QUICK

NAMES = (
    "fetch",
    "submit",
    "flight",
    "decode",
    "start",
    "memory",
    "bodies",
    "monitor",
    "simulated",
    "tickets",
    "durable",
    "judge",
)


def main() -> None:
    """Run the named benchmarks, print a table, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure mjrelay.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="the file for the JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown benchmark {min(unknown)}; choose from {', '.join(NAMES)}")
    progress = Console(stderr=True)
    rows = []
    for name in arguments.names or NAMES:
        progress.print(f"measuring {name} …", style="dim")
        rows += importlib.import_module(f"benchmarks.{name}").measure(QUICK if arguments.quick else FULL)
    facts = machine.facts()
    table.show(rows, facts)
    table.write(rows, facts, arguments.output)
    progress.print(f"written to {arguments.output}", style="dim")


if __name__ == "__main__":
    main()
