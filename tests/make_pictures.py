"""
Make the pictures of the documentation, docs/conform.svg and docs/report.png, from a run against mocks.

Run it after changes to reports or checks: ``nox -s pictures``. It needs Chromium.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mjrelay_conformance.drivers import ConformOptions, judge_relays
from mjrelay_conformance.mock import MockRelay, Server
from mjrelay_conformance.report import merge_records, print_record, read_record, render_html
from playwright.sync_api import sync_playwright
from rich.console import Console

from mjrelay.contract import load_contract
from mjrelay.semantics import State

RELAYS = {"zhongzhuan": ("seconds-not-ms", "wrong-auth-accepted"), "apiai": (), "mjdjourney": ()}
COMMAND = "mjrelay conform zhongzhuan --base-url $MJRELAY_BASE_URL --task {}=succeeded"


def main() -> None:
    """Write both pictures."""
    os.environ["MJRELAY_API_KEY"] = "mock-key"
    draw_terminal(Path("docs/conform.svg"))
    photograph(render_html(merged([judged(relay, faults) for relay, faults in RELAYS.items()])))


def judged(relay: str, faults: tuple[str, ...], *states: State, profile: str = "all") -> dict[str, Any]:
    """Return the record of a run against a mock with faults."""
    mock = MockRelay(load_contract(relay), key="mock-key", faults=faults)
    with tempfile.TemporaryDirectory() as folder, Server(mock) as base_url:
        options = ConformOptions(
            relay=relay,
            base_url=base_url,
            tasks=tuple(f"{mock.known[state]}={state}" for state in states or mock.known),
            profile=profile,
            fuzz=False,
            spacing=0,
            report_dir=Path(folder),
        )
        judge_relays(options, Console(file=io.StringIO()))
        return read_record(Path(folder))


def merged(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one record of several relays."""
    document = merge_records(records)
    document["header"]["options"]["mode"] = "mock"
    document["header"]["reproduce"] = "mjrelay conform --profile all --no-fuzz"
    return dict(document)


def draw_terminal(path: Path) -> None:
    """Write the terminal report of one finding as SVG."""
    known = MockRelay(load_contract("zhongzhuan")).known[State.SUCCEEDED]
    record = judged("zhongzhuan", ("seconds-not-ms",), State.SUCCEEDED, profile="read")
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(f"$ {COMMAND.format(known)}", highlight=False, soft_wrap=True)
    print_record(record, console)
    path.write_text(console.export_svg(title="mjrelay conform"), encoding="utf-8")


def photograph(page: str) -> None:
    """Write the top of an HTML report as PNG."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder, "report.html")
        file.write_text(page, encoding="utf-8")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        view = browser.new_page(viewport={"width": 1280, "height": 1300}, color_scheme="light")
        view.goto(file.as_uri())
        view.screenshot(path="docs/report.png")
        browser.close()


if __name__ == "__main__":
    main()
