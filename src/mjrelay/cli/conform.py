"""``mjrelay conform`` and ``mjrelay replay``: judge whether a relay keeps its contract."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mjrelay.cli.options import (
    PATH,
    argument,
    key_file_option,
    overlays_option,
    relay_argument,
    seed_option,
    tasks_option,
)
from mjrelay.cli.output import load_extra, print_message, write_line
from mjrelay.cli.report import print_schema, record_format_option, show_record
from mjrelay.contract import environment_url, known_key, load_contract, read_key, relay_name, relay_names
from mjrelay.http import Redactor, set_redactor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _judging_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that ``conform`` and ``replay`` share."""
    for option in (
        record_format_option,
        click.option(
            "--label",
            metavar="NAME",
            help="Name of the relay in reports, to compare relays with one contract. Default: its contract.",
        ),
        key_file_option,
        click.option(
            "--report-dir", type=PATH, metavar="DIR", help="Write results.json and report.html here."
        ),
        overlays_option,
        click.option(
            "--baseline",
            type=PATH,
            metavar="FILE",
            help="Accepted findings: a YAML list of relay, check, reason, date.",
        ),
        click.option(
            "--exclude",
            "excluded",
            multiple=True,
            metavar="GLOB",
            help="Skip these checks; repeatable.",
        ),
        click.option(
            "--check",
            "globs",
            multiple=True,
            metavar="GLOB",
            help="Run only these checks; repeatable.",
        ),
        click.option("--strict", is_flag=True, help="Fail on every finding, not only on a broken MUST."),
        tasks_option,
    ):
        command = option(command)
    return command


@click.command()
@argument("relay", required=False, help="Relay name or path of a contract. Default: the mocks of all relays.")
@click.option(
    "--base-url",
    metavar="URL",
    help="Relay to judge. Falls back to MJRELAY_BASE_URL, then to the relay's mock.",
)
@_judging_options
@click.option(
    "--profile",
    type=click.Choice(["read", "auth", "robust", "all"]),
    help="What to test. read: fetches tasks (default for a live relay); auth: also sends other credentials; "
    "robust: also odd ids, other methods, the batch endpoint; all: everything (default on this machine).",
)
@click.option(
    "--fuzz/--no-fuzz",
    default=None,
    help="Add property-based cases. Default: on, except for a live relay.",
)
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum number of property-based cases. Default: 50.",
)
@click.option("--dry-run", is_flag=True, help="Print the requests and send none.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0.01),
    metavar="N",
    help="Maximum requests per second. Default for a live relay: 1.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum number of requests. If the plan needs more, none is sent.",
)
@click.option(
    "--max-time",
    type=click.FloatRange(min=1),
    default=600.0,
    metavar="N",
    help="Seconds after which no more requests are sent to a relay.",
)
@click.option(
    "--spacing",
    type=click.FloatRange(min=0),
    metavar="N",
    help="Seconds between two fetches of the same task. Default for a live relay: 5.",
)
@click.option("--yes", is_flag=True, help="Allow more on a live relay than the profile read does.")
@click.option(
    "--i-operate-this-relay",
    "operator",
    is_flag=True,
    help="Remove all limits: send invalid data, other methods, many wrong credentials.",
)
@click.option(
    "--key-in-url",
    is_flag=True,
    help="Send the key in the URL of a live relay too, where access logs keep it (profile auth).",
)
@click.option(
    "--pay",
    type=click.IntRange(min=0),
    metavar="N",
    help="Maximum number of submits, most of which cost money. Default: none for a live relay, else 4.",
)
@seed_option
@click.option("--list", "list_", is_flag=True, help="List the checks, each with the clause that it judges.")
@click.option("--explain", metavar="ID", help="Explain a check: what it judges, why, and how relays fail it.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of results.json.")
def conform(
    *,
    list_: bool,
    explain: str | None,
    schema: bool,
    format_: str | None,
    base_url: str | None,
    **options: Any,
) -> None:
    """
    Judge whether a relay keeps its contract.

    Without --base-url the relay's own mock is judged. A live relay receives at most 12 GET requests of the
    fetch operation; their number is printed first. Nothing is submitted to it without --pay. The key comes
    from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file.

    Exit codes: 0 conformant, 1 non-conformant or the baseline is out of date, 2 wrong usage, 3 partial (not
    enough was tested), 4 unreachable, 5 a check crashed.
    """
    relay = options["relay"]
    if schema:
        print_schema()
        return
    if list_ or explain is not None:
        checks = load_extra("mjrelay_conformance.checks", "conformance")
        contract = load_contract(relay or relay_names()[0], options["overlays"])
        if explain is not None:
            write_line(checks.explain_check(contract, explain))
            return
        chosen = checks.select_checks(options["globs"], options["excluded"])
        write_line("\n".join(checks.check_lines(contract, chosen)))
        return
    suite = load_extra("mjrelay_conformance.drivers", "conformance")
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import

    _redact_key(relay, options["key_file"])
    settings = suite.ConformOptions(
        base_url=environment_url() if base_url is None and relay else base_url, **options
    )
    try:
        code, record = suite.judge_relays(settings, Console(stderr=True))
    except suite.InterruptedRunError as error:
        show_record(error.record, format_)
        if (directory := options["report_dir"]) is not None:
            print_message(f"interrupted; show the results so far with: mjrelay report show {directory}")
        raise
    if code is not None:
        show_record(record, format_)
        sys.exit(code)


def _redact_key(relay: str | None, key_file: Path | None) -> None:
    """Redact the key from all output, the traceback of an internal error included."""
    key = read_key(key_file) if key_file else relay and known_key(relay_name(relay))
    set_redactor(Redactor(*filter(None, [key])))


@click.command()
@relay_argument
@argument("file", help="HAR 1.2, JSON Lines of exchanges, or results.json, optionally gzipped; - is stdin.")
@click.option("--base-url", metavar="URL", help="Judge only requests to this URL. Default: any.")
@_judging_options
def replay(*, format_: str | None, **options: Any) -> None:
    """
    Judge recorded traffic, without sending a request.

    An exchange counts if its URL ends like the contract's operation. What the recording does not show stays
    inconclusive: a refused request, or a task that was neither read nor named with --task. Keys in the
    recording are redacted from all output.

    Exit codes: 0 conformant, 1 non-conformant, 2 wrong usage or an unreadable file, 3 partial (not enough
    was recorded), 5 a check crashed.
    """
    suite = load_extra("mjrelay_conformance.replay", "conformance")
    code, record = suite.replay_traffic(suite.ReplayOptions(**options), print_message)
    set_redactor(record.redactor)
    show_record(record, format_)
    sys.exit(code)
