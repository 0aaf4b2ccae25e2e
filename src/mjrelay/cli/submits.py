"""``mjrelay submits`` and ``mjrelay find``: what became of submits."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from mjrelay.base import SettingError, read_file
from mjrelay.cli.options import (
    PATH,
    argument,
    make_relay,
    relay_argument,
    relay_options,
)
from mjrelay.cli.output import format_option, is_pretty, json_text, print_message, write_line
from mjrelay.cli.waiting import write_task
from mjrelay.contract import load_contract, relay_names
from mjrelay.http import printable_text
from mjrelay.semantics import SubmitOutcome

_LOG = "submits.jsonl"
_LARGEST_LOG = 256 << 20
_SECONDS = click.FloatRange(min=0.1)


def log_path() -> Path:
    """Return the default path of the log of submits."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "mjrelay" / _LOG


@click.command()
@argument("file", required=False, type=PATH, help="Log of submits. Default: the user's.")
@format_option("pretty", "json")
def submits(*, file: Path | None, format_: str | None) -> None:
    """
    List the submits of a log: accepted, refused, and those whose outcome is unknown.

    Exit codes: 0 every outcome is known, 1 an outcome is unknown, 2 wrong usage, 5 internal error.
    """
    path = file or log_path()
    if file is None and not path.exists():
        print_message("no submits yet")
        return
    try:
        lines = read_file(path, _LARGEST_LOG).splitlines()
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror}); name a log of submits") from error
    rows: dict[str, dict[str, Any]] = {}
    skipped = 0
    for line in filter(bytes.strip, lines):
        if (record := _logged(line)) is None:
            skipped += 1
        else:
            rows.setdefault(record["submit"], {}).update(record)
    if skipped and not rows:
        raise SettingError(f"{path} has no record of a submit, but other data; name a log of submits")
    if skipped:
        print_message(f"{path}: lines that are no record of a submit, and were skipped: {skipped}")
    unknown = 0
    hints: dict[str, None] = {}
    for row in rows.values():
        verdict = _verdict(row)
        if verdict == "unknown":
            unknown += 1
            hints[_finding(row)] = None
        row["verdict"] = verdict
        write_line(_row(row) if is_pretty(format_) else json_text(row))
    for hint in filter(None, hints):
        print_message(f"look for it with: {hint}")
    print_message(f"{len(rows)} submits, {unknown} with an unknown outcome")
    sys.exit(int(unknown > 0))


def _finding(row: dict[str, Any]) -> str:
    """Return the command that looks for a submit of the log; empty if its contract has no list of tasks."""
    name = row.get("relay", "")
    if name not in relay_names():  # a contract of the user's own, whose path is not in the log
        return ""
    lookup = load_contract(name).reader.lookup
    wanted = None if lookup is None else row.get(lookup.by)
    return "" if wanted is None else shlex.join(["mjrelay", "find", name, wanted])


def _logged(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line of a log, without members of other types, or None."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("submit"), str):
        return None
    return {name: value for name, value in record.items() if _has_its_type(name, value)}


def _has_its_type(name: str, value: Any) -> bool:
    if name in {"ids", "links"}:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str)


def _verdict(row: dict[str, Any]) -> str:
    named = row.get("ids") or row.get("links")
    outcomes = [one for one in SubmitOutcome if one == row.get("outcome")]
    if row.get("event") != "answered" or not outcomes:
        return "unknown"
    if outcomes[0].accepted or (outcomes[0] is SubmitOutcome.UNKNOWN and named):
        return "accepted"
    return "refused" if row.get("charged") == "no" else "unknown"


def _row(row: dict[str, Any]) -> str:
    ids = " ".join((*row.get("ids", ()), *row.get("links", ()))) or (row.get("state") or "")
    text = (
        f"{row.get('time', '')}  {row['verdict']:8}  {row.get('relay', '')}  {row.get('action', '')}  {ids}"
    )
    return printable_text(text.rstrip())


@click.command()
@relay_argument
@argument("wanted", metavar="TOKEN-OR-PROMPT", help="State token, or the prompt if the relay repeats none.")
@click.option("--timeout", type=_SECONDS, default=30.0, help="Timeout of the request in seconds.")
@relay_options
def find(*, relay: str, wanted: str, format_: str | None, **options: Any) -> None:
    """
    Look for the tasks of a submit whose outcome is unknown, in one request that costs nothing.

    They are found by the state token of the submit, which is in the log and in the message, or by its prompt.

    The key comes from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file.

    Exit codes: 0 found, 1 the relay lists no such task or could not be asked, 2 wrong usage, or the contract
    has no list of tasks, 5 internal error, 130 interrupted.
    """
    with make_relay(relay, **options) as client:
        tasks = client.find_submission(wanted)
    for task in tasks:
        write_task(task, task.to_dict(), pretty=is_pretty(format_))
    if not tasks:
        print_message(f"{client.name} lists no task of this submit")
    sys.exit(int(not tasks))
