"""``mjrelay conform``: whether a relay keeps its contract."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mjrelay.cli.options import KeyFileOption, OverlaysOption, RelayArgument, TasksOption
from mjrelay.cli.output import load, talk
from mjrelay.cli.report import ViewOption, present
from mjrelay.cli.report import schema as print_schema
from mjrelay.contract import environment_url, known_key, load_contract, read_key, relay_name, relay_names
from mjrelay.http import Redactor, set_redactor


class Profile(StrEnum):
    """How much of a relay is tried."""

    READ = "read"
    AUTH = "auth"
    ROBUST = "robust"
    ALL = "all"


BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The relay to judge, else MJRELAY_BASE_URL; without either its mock is judged."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Let every finding count, not only a broken MUST.")]
Checks = Annotated[
    list[str] | None, typer.Option("--check", metavar="GLOB", help="Only the checks whose ids match.")
]
Excluded = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="All but the checks whose ids match.")
]
BaselineFile = Annotated[
    Path | None,
    typer.Option(
        "--baseline", metavar="FILE", help="Accepted findings: a YAML list of relay, check, reason, date."
    ),
]
ReportDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where to write results.json and report.html.")
]


def conform(
    relay: Annotated[
        str | None,
        typer.Argument(help="The relay's name, or the file of its contract; without it, the mocks of all."),
    ] = None,
    base_url: BaseUrl = None,
    task: TasksOption = None,
    profile: Annotated[
        Profile | None,
        typer.Option(
            metavar="NAME",
            help="What is tried. read: tasks only, the default of a live relay; auth: other credentials too; "
            "robust: odd ids, other methods, the batch endpoint; all: the default on this machine.",
        ),
    ] = None,
    fuzz: Annotated[
        bool | None,
        typer.Option(
            "--fuzz/--no-fuzz",
            help="The property-based phase; on by itself, but on a live relay only when asked.",
        ),
    ] = None,
    cases: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Requests of the property-based phase at most; 50 if not said."
        ),
    ] = None,
    strict: Strict = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")
    ] = False,
    check: Checks = None,
    exclude: Excluded = None,
    baseline: BaselineFile = None,
    overlay: OverlaysOption = None,
    report_dir: ReportDir = None,
    key_file: KeyFileOption = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="N", help="Requests a second at most; a live relay gets 1."),
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Send no more than these; nothing at all where the plan needs more."
        ),
    ] = None,
    max_time: Annotated[
        float,
        typer.Option(min=1, metavar="N", help="Seconds after which nothing more is sent to a relay."),
    ] = 600.0,
    spacing: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="N", help="Seconds between two readings of a task; 5 on a live relay if not said."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send more to a live relay than profile read does.")
    ] = False,
    operator: Annotated[
        bool,
        typer.Option(
            "--i-operate-this-relay",
            help="Without limits: invalid data, other methods, wrong credentials by the dozen.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="What random choices begin with.")] = 0,
    list_: Annotated[
        bool, typer.Option("--list", help="List the checks, what each says, and the clause it judges.")
    ] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Tell what a check judges, why, and how relays break it.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the record, results.json.")
    ] = False,
    format_: ViewOption = None,
) -> None:
    """
    Judge whether a relay keeps its contract.

    Without --base-url the relay's own mock is judged. A live relay gets 12 GET requests of the fetch
    operation at most, told before they are sent. The key comes from MJRELAY_<RELAY>_API_KEY,
    MJRELAY_API_KEY or --key-file. Exit codes: 0 conformant, 1 non-conformant (or the baseline is out of
    date), 2 wrong usage, 3 partial (not enough was exercised), 4 unreachable, 5 a check itself failed.
    """
    if schema:
        print_schema()
        return
    if list_ or explain is not None:
        checks = load("mjrelay_conformance.checks", "conformance")
        contract = load_contract(relay or relay_names()[0], overlay or ())
        if explain is not None:
            typer.echo(checks.explain_check(contract, explain))
            return
        chosen = checks.select_checks(tuple(check or ()), tuple(exclude or ()))
        typer.echo("\n".join(checks.check_lines(contract, chosen)))
        return
    suite = load("mjrelay_conformance.drivers", "conformance")
    options = suite.ConformOptions(
        relay=relay,
        base_url=environment_url() if base_url is None and relay else base_url,
        tasks=tuple(task or ()),
        profile=None if profile is None else profile.value,
        fuzz=fuzz,
        cases=cases,
        strict=strict,
        dry_run=dry_run,
        globs=tuple(check or ()),
        excluded=tuple(exclude or ()),
        baseline=baseline,
        overlays=tuple(overlay or ()),
        report_dir=report_dir,
        key_file=key_file,
        rate=rate,
        max_requests=max_requests,
        max_time=max_time,
        spacing=spacing,
        yes=yes,
        operator=operator,
        seed=seed,
    )
    _keep_back(relay, key_file)
    try:
        code, record = suite.judge_relays(options, Console(stderr=True))
    except KeyboardInterrupt:
        if report_dir is not None and not dry_run:
            talk(f"interrupted; what came until then is shown by: mjrelay report show {report_dir}")
        raise
    if code is not None:
        present(record, format_)
        raise typer.Exit(code)


def _keep_back(relay: str | None, key_file: Path | None) -> None:
    """Let no message of ours hold the key, be it of a mistake that nobody foresaw."""
    key = read_key(key_file) if key_file else relay and known_key(relay_name(relay))
    set_redactor(Redactor(*filter(None, [key])))


def replay(
    relay: RelayArgument,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="HAR 1.2, JSON Lines of exchanges, or a results.json, also packed by gzip; - is stdin.",
        ),
    ],
    base_url: Annotated[
        str | None,
        typer.Option(help="Only what was asked at this URL; otherwise any host and prefix will do."),
    ] = None,
    task: TasksOption = None,
    strict: Strict = False,
    check: Checks = None,
    exclude: Excluded = None,
    baseline: BaselineFile = None,
    overlay: OverlaysOption = None,
    report_dir: ReportDir = None,
    key_file: KeyFileOption = None,
    format_: ViewOption = None,
) -> None:
    """
    Judge recorded traffic, without a single request.

    An exchange counts where its URL ends as the contract's operation does. What the recording does not prove
    is not held against the relay: refusals stay inconclusive, and a task is known where it was read or named
    with --task. Keys are found in the recording, and in no output. Exit codes are those of conform: 0
    conformant, 1 non-conformant, 2 wrong usage or an unreadable file, 3 partial (not enough was recorded), 5
    a check itself failed.
    """
    suite = load("mjrelay_conformance.replay", "conformance")
    options = suite.ReplayOptions(
        relay=relay,
        file=file,
        base_url=base_url,
        tasks=tuple(task or ()),
        strict=strict,
        globs=tuple(check or ()),
        excluded=tuple(exclude or ()),
        baseline=baseline,
        overlays=tuple(overlay or ()),
        report_dir=report_dir,
        key_file=key_file,
    )
    code, record = suite.replay_traffic(options, talk)
    set_redactor(record.redactor)
    present(record, format_)
    raise typer.Exit(code)
