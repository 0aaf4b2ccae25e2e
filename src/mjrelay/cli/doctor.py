"""``mjrelay doctor``: find out which contract fits a URL, and what is wrong there."""

from __future__ import annotations

import os
import sys
from importlib import resources
from typing import TYPE_CHECKING

import click

from mjrelay.base import SettingError
from mjrelay.cli.options import PATH, argument, key_file_option
from mjrelay.cli.output import format_option, is_pretty, print_message, write_json
from mjrelay.contract import load_contract, pasted_key, read_key, relay_names
from mjrelay.doctor import (
    CREDENTIAL_LIMIT,
    OVERLAY_FILE,
    REQUEST_LIMIT,
    Diagnosis,
    ProbeRequest,
    examine,
    is_fetchable,
)
from mjrelay.http import Redactor, printable_text, set_redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_SHOWN = 8
"""Maximum number of fields shown per kind."""


@click.command()
@argument("url", required=False, metavar="URL", help="A base URL, or the URL of a task.")
@click.option("--task", metavar="ID", help="An existing task. Default: the id in the URL.")
@click.option(
    "--contract",
    "contracts",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="Try this contract first; repeatable.",
)
@key_file_option
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=15.0, help="Timeout of one request in seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Same as --format json.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the output of --json.")
@format_option("pretty", "json")
def doctor(
    *,
    url: str | None,
    task: str | None,
    contracts: tuple[Path, ...],
    key_file: Path | None,
    timeout: float,
    as_json: bool,
    schema: bool,
    format_: str | None,
) -> None:
    """
    Find the contract, path prefix and auth header of a URL, and diagnose problems.

    It sends at most 8 read-only requests, prints each before it is sent, and follows no redirect. The key
    comes from MJRELAY_API_KEY or --key-file and is sent in at most 3 headers. Without a task, only the family
    of the relay can be identified.

    Exit codes: 0 identified and healthy, 1 a problem was found, 2 wrong usage, 4 no response, 5 internal
    error.
    """
    if schema:
        click.echo(_schema(), nl=False)
        return
    if not url:
        raise click.UsageError("no URL; give the base URL of a relay, or the URL of a task")
    key = read_key(key_file) if key_file else pasted_key(os.environ.get("MJRELAY_API_KEY", "")) or None
    redactor = Redactor(*([] if key is None else [key]))
    set_redactor(redactor)
    compared = [load_contract(name) for name in relay_names()]
    for contract in map(load_contract, contracts):
        if not is_fetchable(contract):
            raise SettingError(
                f"--contract {contract.file}: tasks are fetched with {contract.method}; doctor sends only "
                "GET and POST; use mjrelay conform"
            )
        compared.append(contract)
    print_message(f"sending at most {REQUEST_LIMIT} requests, the key in at most {CREDENTIAL_LIMIT} headers")
    diagnosis = examine(
        url, compared, redactor=redactor, key=key, task_id=task, timeout=timeout, announce=_announce
    )
    if is_pretty("json" if as_json else format_):
        _print_diagnosis(diagnosis)
    else:
        write_json(diagnosis.data())
    sys.exit(diagnosis.exit_code)


def _announce(request: ProbeRequest) -> None:
    print_message(str(request))


def _schema() -> str:
    file = resources.files("mjrelay") / "doctor" / "diagnosis.schema.json"
    return file.read_text(encoding="utf-8")


def _print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the diagnosis for people on stdout."""
    lines = [*_summary(diagnosis), "", *_details(diagnosis)]
    for wrong, title in ((True, "Problems"), (False, "Notes")):
        problems = [problem for problem in diagnosis.problems if problem.wrong is wrong]
        lines += ["", title] if problems else []
        for problem in problems:
            lines += [f"  {problem.name}: {problem.what}", f"    {problem.then}"]
    if diagnosis.overlay:
        lines += ["", f"    # {OVERLAY_FILE}", *(f"    {line}" for line in diagnosis.overlay.splitlines())]
    if diagnosis.python:
        lines += ["", *(f"    {line}" for line in diagnosis.python)]
    if diagnosis.conform:
        lines += ["", f"    {diagnosis.conform}"]
    sys.stdout.write("\n".join(map(printable_text, lines)) + "\n")


def _details(diagnosis: Diagnosis) -> Iterator[str]:
    seen, data = diagnosis.observations, diagnosis.data()
    if seen.endpoint is not None:
        yield f"  path      {seen.endpoint.method} {seen.origin}{seen.endpoint}"
        yield f"  key       {_key(diagnosis)}"
        if seen.untried:
            yield f"            not tried: {', '.join(map(str, seen.untried))}"
    if diagnosis.state is not None:
        yield f"  task      {seen.task_id} is {diagnosis.state.value}"
    for kind, paths in (diagnosis.unset or {}).items():
        if paths:
            yield f"  {kind:9} {', '.join(paths[:_SHOWN])}{' …' if len(paths) > _SHOWN else ''}"
    if data["missing"]:
        body = "no body" if data["missing"]["empty"] else data["missing"]["media_type"] or "no media type"
        yield f"  missing   status {data['missing']['status']}, {body}"
    yield f"  batch     {_batch(diagnosis)}"
    untried = "" if seen.endpoint else f"; {len(seen.untried_endpoints)} known paths were not tried"
    yield f"  requests  {len(seen.attempts)} of {REQUEST_LIMIT} sent{untried}"


def _summary(diagnosis: Diagnosis) -> list[str]:
    seen = diagnosis.observations
    url = seen.origin + seen.pasted
    if not diagnosis.reached:
        return [f"{url} does not respond"]
    if diagnosis.relay is None and seen.attempts[-1].ends_examination:
        return [f"{url} cannot be examined now: it does not serve requests"]
    if diagnosis.relay is None:
        near = f"; the nearest is {diagnosis.scores[0].contract.name}" if seen.endpoint else ""
        return [f"{url} matches no known contract{near}"]
    if seen.task is None:
        return [
            f"{url} belongs to the family of {', '.join(diagnosis.family)}",
            "  The server cannot be identified without an existing task; add --task ID.",
        ]
    score = f"{diagnosis.scores[0].value:.0%}"
    if len(diagnosis.alike) > 1:
        return [f"{url} matches {' or '.join(diagnosis.alike)} ({score}): the responses fit each of them"]
    return [f"{url} matches {diagnosis.relay.name} ({score})"]


def _key(diagnosis: Diagnosis) -> str:
    seen = diagnosis.observations
    if seen.credential is not None:
        return f"{seen.credential}" + (" (optional: the relay is open)" if seen.open else "")
    if not seen.keyed:
        return "none sent" + (", none required" if seen.open else "")
    found = {problem.name for problem in diagnosis.problems}
    return "refused" if "key-refused" in found else "restricted" if "forbidden" in found else "not tested"


def _batch(diagnosis: Diagnosis) -> str:
    batch = diagnosis.data()["batch"]
    if not batch["asked"]:
        return "not tested"
    return f"supported, {diagnosis.observations.batch}" if batch["there"] else "not supported"
